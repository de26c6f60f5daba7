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
    table = paper.table(claim.table)
    assert set(claim.datasets) <= (set(table["dataset"]) if "dataset" in table else {""})


# By hand, from the paper's tables.
@pytest.mark.parametrize(
    "name, word",
    [
        ("probe-vs-vit", "supported"),  # 0.763/0.751, 0.821/0.829 (-0.008), 0.978/0.983 (-0.005), 0.976/0.975
        ("probe-vs-cnn", "partly"),  # but for DenseNet201 on SARS-CoV-2: 0.978/0.973 (+0.005)
        ("probe-vs-ssl", "supported"),  # the closest: ViT-g 0.818 against CLIP's 0.816
        ("tuned-vs-ssl", "supported"),  # ViT-g 0.769 over 0.743, 0.697; 0.848 over 0.821, 0.842 (not so ViT-L)
        ("tuned-vs-supervised-nih", "partly"),  # 0.769 against DenseNet201's 0.769: not better
        ("tuned-vs-supervised-chexpert", "supported"),  # 0.848 < 0.868
        ("knn", "partly"),  # ViT-L 0.663 is no worse than ViT-L/16's 0.663, VGG19's 0.644, MAE's, CLIP's
        ("competitive-classification", "partly"),  # kNN on CheXpert 0.771 against MAE's 0.785
        ("fewer-parameters", "partly"),  # ViT-g's decoder has 38M, U-Net 31M
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


def test_the_sentence_tells_when_the_best_row_decides():
    assert judge(BY_ID["tuned-vs-ssl"]).sentence.endswith(
        "Asked of every such row, not of the best on each dataset: partly, 5 of 8."
    )
    assert "every such row" not in judge(BY_ID["amos"]).sentence


def test_a_claim_that_names_no_size_lets_the_best_size_speak():
    sizes = {"dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14", "dinov2_vitg14"}
    for claim in claims():
        if len(sizes & {dict(row).get("backbone") for row in claim.subject}) > 1:
            assert claim.subject_pick == ("each" if claim.id == "fewer-parameters" else "best"), claim.id


def test_parameters_are_told_in_millions():
    assert "38M, unet 31M (+7M)" in judge(BY_ID["fewer-parameters"]).sentence
    assert printed("table03", "", key({"segmenter": "linear", "backbone": "dinov2_vitl14"})) == 0.001


def test_the_lead_on_amos_is_the_largest_of_table_9():
    (claim,) = (claim for claim in claims() if claim.id == "cross-task")
    leads = {each.dataset: each.difference for each in judge(claim).comparisons}
    assert leads == {"montgomery": 0.003, "shenzhen": 0.005, "amos": 0.079, "msd_heart": -0.04}


def test_a_missing_number_is_not_blamed_on_a_figure():
    assert "figure" in judge(BY_ID["few-shot-few"]).sentence
    assert judge(BY_ID["few-shot-few"], lambda *_: None).sentence == "Not every number that this compares is at hand."


def test_other_numbers_may_be_asked():
    def value(table, dataset, row):
        return 0.9 if dict(row)["backbone"] == "sam_vitl16" else 0.5

    assert judge(BY_ID["sam"], value).word == "not supported"
    assert judge(BY_ID["sam"], lambda *_: None).word == "no numbers"


def test_a_row_is_singled_out():
    assert printed("table10", "chexpert", key({"backbone": "sam_vitl16"})) == 0.792
    assert printed("table05", "chexpert", key({"backbone": "sam_vitl16"})) is None
