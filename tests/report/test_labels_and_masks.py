"""One manifest with labels and masks: every page takes its own, and neither meets what the other kept."""

import numpy as np
import pytest
from layouts import table
from PIL import Image

from radlib.report import cohorts, experiment, few_shot, few_shot_masks, mask_experiment, mask_files, probing, result
from radlib.report import segmenting as segmenting_
from radlib.report.mask_experiment import Segmenting

PARTS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4


@pytest.fixture
def ward(tmp_path, own_cache):
    """Twelve patients with two pictures each: a bright square, outlined, wide in those who are sick."""
    folder = tmp_path / "ward"
    folder.mkdir()
    rng, rows = np.random.default_rng(0), []
    for k in range(24):
        patient, sick = k // 2, k // 2 % 2
        mask = np.zeros((48, 48), np.uint8)
        mask[10:30, 8 : 40 if sick else 20] = 1
        Image.fromarray((rng.integers(0, 60, (48, 48)) + 120 * mask).astype(np.uint8)).save(folder / f"{k}.png")
        Image.fromarray(mask).save(folder / f"m{k}.png")
        rows.append((f"{k}.png", f"p{patient}", "sick" if sick else "well", f"m{k}.png", PARTS[patient]))
    table(folder / "manifest.csv", ("image", "patient", "label", "mask", "split"), rows)
    return folder


def given(ward, **changes):
    shared = dict(datasets=["manifest"], data_root=str(ward), device="cpu", resamples=100, image_size=28)
    return shared | {"backbones": ["vits14_random"], "results_dir": str(ward.parent / "results")} | changes


QUICK = dict(segmenters=["linear"], learning_rates=[0.1], epochs=1, refit_epochs=1, batch_size=4)


def test_pages_take_labels_or_masks_from_one_manifest(ward):
    classify = probing.checked(**given(ward, protocols="knn", neighbours=3, controls=False))
    segment = mask_experiment.checked(Segmenting, given(ward, **QUICK))
    (labels,), (masks,) = experiment.open_datasets(classify), experiment.open_datasets(segment)
    assert labels.classes == ("sick", "well") and masks.classes == ("structure",)
    (probed,) = map(result.read, probing.probe_backbones(labels, classify, progress=False))
    (drawn,) = map(result.read, segmenting_.measure(masks, segment, "table06", progress=False))
    assert (probed.metric, probed.data.classes) == ("macro AUROC", ("sick", "well"))
    assert drawn.masks is not None and drawn.data.classes == ("structure",)
    assert probed.data.fingerprint == drawn.data.fingerprint and probed.data.split_sha256 == drawn.data.split_sha256


def test_the_two_panels_of_figure_2_take_one_each(ward):
    left = few_shot.checked(**given(ward, shots=[1]))
    right = few_shot_masks.checked(**given(ward, **QUICK, images=[1]))
    (labels,), (masks,) = few_shot_masks.open_panels(left, right)
    assert (labels.task, masks.task) == ("binary", "segmentation")


def test_the_command_that_segments_takes_the_masks(ward, tmp_path):
    more = {name: value for name, value in given(ward, **QUICK).items() if name not in ("datasets", "data_root")}
    more.pop("segmenters")
    found, written = mask_files.segment("manifest", ward, "linear", more, tmp_path / "out", progress=False)
    assert found.data.classes == ("structure",) and len(written) == found.n_images


def test_table_1_says_what_a_manifest_has(ward):
    (cohort,) = cohorts.open_all(cohorts.checked(datasets=["manifest"], data_root=str(ward)))
    assert cohorts.words(cohort.dataset) == "one of two classes; masks, 1 structure; your data"
    assert [dataset.task for dataset in cohort.datasets] == ["binary", "segmentation"]
