import pytest

from radlib import paper
from radlib.paper.claims import claims, compare, judge, key, printed

BY_ID = {claim.id: claim for claim in claims()}


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.id)
def test_every_claim_names_rows_that_its_table_has(claim):
    if claim.table == "figure2":
        assert judge(claim).word == "no numbers"
        return
    found = compare(claim, printed)
    assert found
    assert judge(claim).word != "no numbers"
    assert set(claim.datasets) <= set(paper.table(claim.table)["dataset"])


# By hand, from the paper's tables.
@pytest.mark.parametrize(
    "name, word",
    [
        ("probe-vs-vit", "supported"),  # 0.763/0.751, 0.821/0.829 (-0.008), 0.978/0.983 (-0.005), 0.976/0.975
        ("probe-vs-cnn", "partly"),  # but for DenseNet201 on SARS-CoV-2: 0.978/0.973 (+0.005)
        ("probe-vs-ssl", "supported"),  # the closest: ViT-g 0.818 against CLIP's 0.816
        ("tuned-vs-ssl", "partly"),  # ViT-L: 0.717 < MAE's 0.743, 0.786 < both
        ("tuned-vs-supervised-nih", "partly"),  # 0.769 against DenseNet201's 0.769: not better
        ("tuned-vs-supervised-chexpert", "supported"),  # 0.848 < 0.868
        ("knn", "partly"),  # ViT-L 0.663 is no worse than ViT-L/16's 0.663, VGG19's 0.644, MAE's, CLIP's
        ("caption-5", "partly"),  # CheXpert: ViT-L/16 probes 0.829, fine-tunes 0.873
        ("linear-decoder", "supported"),  # gaps 0.029, 0.021, 0.077, 0.173: three below 0.1
        ("unet-decoder", "supported"),
        ("easy-segmentation", "partly"),  # MSD Heart: 0.876 against U-Net's 0.911
        ("amos", "supported"),  # ViT-g 0.540 against TransUNet's 0.535
        ("superior-segmentation", "partly"),  # MSD Heart: U-Net 0.911 is better
        ("peft-vs-probe", "partly"),  # BitFit on CheXpert: 0.817 < 0.818
        ("peft-vs-tuning", "partly"),  # CheXpert: 0.823 and 0.817 against 0.848
        ("cross-task", "supported"),  # three higher, MSD Heart 0.799 < 0.839
        ("cross-task-amos", "supported"),
        ("sam", "supported"),
    ],
)
def test_the_papers_own_numbers_say(name, word):
    assert judge(BY_ID[name]).word == word


def test_the_sentence_names_the_worst_comparison():
    assert judge(BY_ID["peft-vs-probe"]).sentence == (
        "3 of 4 comparisons are as claimed; the one furthest from it, on CheXpert: bitfit 0.817, linear probe 0.818 "
        "(-0.001)."
    )


def test_other_numbers_may_be_asked():
    def value(table, dataset, row):
        return 0.9 if dict(row)["backbone"] == "sam_vitl16" else 0.5

    assert judge(BY_ID["sam"], value).word == "not supported"
    assert judge(BY_ID["sam"], lambda *_: None).word == "no numbers"


def test_a_row_is_singled_out():
    assert printed("table10", "chexpert", key({"backbone": "sam_vitl16"})) == 0.792
    assert printed("table05", "chexpert", key({"backbone": "sam_vitl16"})) is None
