"""From a reader's own pictures with masks to Results, end to end on pictures of 48 px."""

import csv

import nibabel
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score

from radlib.data import catalog
from radlib.data.mask_squares import mask_squares
from radlib.errors import RadlibError
from radlib.evaluate import native_masks, segmentation
from radlib.report import mask_experiment, result, segmenting
from radlib.report.mask_experiment import Segmenting

PATIENTS, SIZE = 10, 48


def write_manifest(folder, rows, columns=("image", "patient", "mask", "split")):
    with open(folder / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def ward(tmp_path):
    """Twenty pictures of ten patients, each with a bright square that its mask shows and a brighter bar, class 2."""
    folder = tmp_path / "ward"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for k in range(2 * PATIENTS):
        picture, mask = rng.integers(0, 60, (SIZE, SIZE)), np.zeros((SIZE, SIZE), np.uint8)
        top, left = rng.integers(2, 16, 2)
        mask[top : top + 24, left : left + 16] = 1
        mask[top : top + 24, left + 16 : left + 26] = 2
        picture += 90 * mask
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{k}.png")
        Image.fromarray(mask).save(folder / f"mask{k}.png")
        patient = k // 2
        part = "test" if patient >= 7 else "validation" if patient >= 5 else "train"
        rows.append((f"{k}.png", f"p{patient}", f"mask{k}.png", part))
    write_manifest(folder, rows)
    (folder / "classes.csv").write_text("value,name\n1,square\n2,bar\n")
    return folder


def settings(ward, **changes):
    given = dict(
        datasets=["manifest"],
        data_root=str(ward),
        backbones=["vits14_random"],
        segmenters=["linear"],
        image_size=28,
        learning_rates=[0.1, 1.0],
        epochs=2,
        refit_epochs=3,
        batch_size=4,
        resamples=100,
        device="cpu",
        results_dir=str(ward.parent / "results"),
    )
    return mask_experiment.checked(Segmenting, given | changes)


def dataset_of(ward):
    return catalog.open_dataset("manifest", ward, progress=False)


def measure(ward, **changes):
    return segmenting.measure(dataset_of(ward), settings(ward, **changes), "table06", progress=False)


@pytest.fixture
def fitted(monkeypatch):
    """Every segmenter that is fitted while the test runs."""
    found = []
    real = segmentation.segment

    def kept(*given, **named):
        found.append(real(*given, **named))
        return found[-1]

    monkeypatch.setattr(segmentation, "segment", kept)
    return found


@pytest.mark.parametrize("kinds", [["linear", "unet_decoder"], ["unet"]])
def test_pictures_and_masks_become_results_that_scikit_learn_confirms(ward, fitted, kinds):
    size = 28 if kinds != ["unet"] else 32
    short = dict(epochs=1, refit_epochs=1) if kinds == ["unet"] else {}
    paths = measure(ward, segmenters=kinds, image_size=size, **short)
    assert [result.read(path).protocol for path in paths] == kinds
    dataset = dataset_of(ward)
    rows = np.flatnonzero(dataset.samples["split"] == "test")
    truth = mask_squares(dataset, size, progress=False)[rows]
    for path, segmented in zip(paths, fitted, strict=True):
        drawn = np.stack([logits.argmax(0).numpy() for logits in segmented.logits(rows)])
        about = dict(labels=[1, 2], average=None, zero_division=0)
        dice = f1_score(truth.ravel(), drawn.ravel(), **about)
        jaccard = jaccard_score(truth.ravel(), drawn.ravel(), **about)
        found, arrays = result.read(path), result.read_predictions(path)
        assert found.value == pytest.approx(((dice + jaccard) / 2).mean())
        assert list(found.masks.dice.values()) == pytest.approx(dice.tolist())
        assert list(found.masks.jaccard.values()) == pytest.approx(jaccard.tolist())
        by_image = [np.mean(f1_score(t.ravel(), d.ravel(), **about)) for t, d in zip(truth, drawn, strict=True)]
        assert found.masks.case_dice == pytest.approx(np.mean(by_image))
        assert (found.n_images, found.n_patients, found.masks.cases) == (6, 3, 6)
        np.testing.assert_array_equal(arrays["rows"], rows)
        assert found.chosen == {"learning_rate": segmented.learning_rate}
        assert [row["score"] is not None for row in found.candidates] == [True, True]
        assert found.trainable_parameters == sum(weight.numel() for weight in segmented.network.parameters())


def test_the_same_seed_gives_the_same_numbers_with_nothing_kept(ward, monkeypatch, tmp_path):
    first = [result.read(path) for path in measure(ward)]
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "another cache"))
    again = [result.read(path) for path in measure(ward)]
    assert [(one.value, one.predictions_sha256) for one in first] == [
        (one.value, one.predictions_sha256) for one in again
    ]
    assert again[0].seconds["images_encoded"] == 2 * PATIENTS


def test_a_second_run_encodes_and_trains_nothing(ward, monkeypatch):
    (first,) = map(result.read, measure(ward))
    monkeypatch.setattr(segmentation._Run, "_fit", lambda *_: pytest.fail("trained again"))
    (again,) = map(result.read, measure(ward))
    assert (again.value, again.seconds["fit"]) == (first.value, first.seconds["fit"])
    assert again.seconds["images_encoded"] == 0


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"image_size": 42}, {"views": 1}, {"loss": "dice + cross-entropy"}, {"leave_out": ["p0"]}],
)
def test_what_changes_the_numbers_is_fitted_anew(ward, fitted, change):
    measure(ward)
    measure(ward, **change)
    one, other = fitted
    assert not all(
        np.array_equal(a.detach(), b.detach())
        for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True)
    )


def test_another_mask_is_another_run(ward, fitted):
    measure(ward)
    Image.fromarray(np.full((SIZE, SIZE), 2, np.uint8)).save(ward / "mask3.png")
    measure(ward)
    assert fitted[0].losses != fitted[1].losses


def test_patients_left_out_are_not_trained_on_and_said(ward, monkeypatch):
    dataset, run = dataset_of(ward), settings(ward, leave_out="['p0', 'p3']")
    split = segmenting.split_of(segmenting.begin(dataset, run, "table06"))
    named = dataset.samples["patient"]
    assert {"p0", "p3"}.isdisjoint(named.iloc[split.train]) and {"p0", "p3"}.isdisjoint(named.iloc[split.refit])
    assert (len(split.train), len(split.validation), len(split.refit), len(split.test)) == (6, 4, 10, 6)
    (path,) = measure(ward, leave_out=["p0", "p3"])
    assert result.read(path).left_out == ("p0", "p3")


def test_views_are_encoded_only_of_what_is_trained_on(ward):
    (path,) = measure(ward, views=2)
    assert result.read(path).hyperparameters["views"] == 2


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"leave_out": ["nobody"]}, "no patient to leave out called 'nobody'"),
        ({"leave_out": ["p9"]}, "'p9' is not in the train split; only patients trained on can be left out"),
        ({"leave_out": ["p0", "p5"]}, "'p5' is not in the train split"),
        ({"leave_out": ["p0", "p1", "p2", "p3", "p4"]}, "No image is in the train split"),
    ],
)
def test_patients_that_cannot_be_left_out_are_named(ward, changes, sentence):
    with pytest.raises(RadlibError, match=sentence):
        segmenting.begin(dataset_of(ward), settings(ward, **changes), "table06")


def resplit(ward, part_of):
    rows = list(csv.reader((ward / "manifest.csv").read_text().splitlines()))[1:]
    write_manifest(ward, [(*row[:3], part_of(row[1], row[3])) for row in rows])


def test_a_single_test_patient_is_refused_before_any_work(ward, monkeypatch):
    resplit(ward, lambda patient, part: "train" if patient in ("p7", "p8") else part)
    monkeypatch.setattr(segmentation, "segment", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(RadlibError, match="one patient is in test; an interval over patients needs at least two"):
        measure(ward)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_split_without_foreground_is_refused_before_any_work(ward, monkeypatch, part):
    for _, _, mask, where in list(csv.reader((ward / "manifest.csv").read_text().splitlines()))[1:]:
        if where == part:
            Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(ward / mask)
    monkeypatch.setattr(segmenting.backbones, "load", lambda *_: pytest.fail("a backbone was loaded"))
    with pytest.raises(RadlibError, match=f"No mask of the {part} split holds any foreground at 28 px"):
        measure(ward)


def test_labels_without_masks_are_refused(clinic):
    dataset = catalog.open_dataset("manifest", clinic, progress=False)
    with pytest.raises(RadlibError, match="has labels and no masks; segment one of the datasets with masks"):
        segmenting.begin(dataset, settings(clinic), "table06")


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"segmenters": ["lineal"]}, "Parameter 'segmenters.0' is 'lineal'"),
        ({"segmenters": []}, "Parameter 'segmenters' is"),
        ({"backbones": ["efficientnet_lite0"]}, "'efficientnet_lite0' has no patch tokens to decode; name a vision"),
        ({"backbones": ["vits14_rand"]}, "no backbone called 'vits14_rand'; did you mean 'vits14_random'"),
        ({"image_size": 30}, "30 is not a multiple of the patch size 14 .*28 and 42"),
        ({"image_size": 28, "segmenters": ["unet"]}, "28 is not a multiple of 16, which U-Net needs"),
        ({"image_size": 0}, "Parameter 'image_size' is 0"),
        ({"learning_rates": "fast"}, "Parameter 'learning_rates.0' is 'fast'"),
        ({"learning_rates": "[0.1, quick]"}, "Parameter 'learning_rates.1' is 'quick'"),
        ({"learning_rates": "[0.1"}, "Parameter 'learning_rates' is .*this is no list"),
        ({"learning_rates": [0.1, -1]}, "Parameter 'learning_rates.1' is -1"),
        ({"learning_rates": []}, "Parameter 'learning_rates' is"),
        ({"learning_rates": [float("nan")]}, "Parameter 'learning_rates.0' is nan"),
        ({"epochs": 0}, "Parameter 'epochs' is 0"),
        ({"batch_size": "many"}, "Parameter 'batch_size' is 'many'"),
        ({"loss": "focal"}, "Parameter 'loss' is 'focal'"),
        ({"ending": "other"}, "Parameter 'ending' is 'other'"),
        ({"views": -1}, "Parameter 'views' is -1"),
        ({"device": "gpu"}, "no device called 'gpu'"),
        ({"datasets": ["brain_tumor"]}, "Dataset 'brain_tumor' has labels and no masks"),
        ({"datasets": ["amoss"]}, "no dataset called 'amoss'; did you mean 'amos'"),
        ({"split_file": "s.csv", "datasets": ["amos", "montgomery"]}, "'split_file' is of one dataset"),
    ],
)
def test_wrong_parameters_are_named(ward, changes, sentence):
    with pytest.raises(RadlibError, match=sentence):
        settings(ward, **changes)


def test_lists_of_numbers_may_come_as_papermills_text(ward):
    assert settings(ward, learning_rates="[1e-3, 0.5]").learning_rates == (1e-3, 0.5)


def test_numbers_that_yaml_takes_for_text_are_numbers(ward):
    assert settings(ward, learning_rates="[1e-3]").learning_rates == (0.001,)
    assert settings(ward, learning_rates="1e-3").learning_rates == (0.001,)


def test_a_convolutional_backbone_is_no_matter_where_no_decoder_stands_on_it(ward):
    assert settings(ward, segmenters=["unet"], image_size=32, backbones=["efficientnet_lite0"]).decoders == ()


def volume(folder, name, patient, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((30, 32, 4), np.uint8)
    mask[8:22, 6:26, 1:] = 1
    spacing = np.diag([1.0, 2.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image((mask * 90 + rng.integers(0, 60, mask.shape)).astype(np.int16), spacing),
                 folder / f"{name}.nii.gz")  # fmt: skip
    nibabel.save(nibabel.Nifti1Image(mask, spacing), folder / f"{name}_mask.nii.gz")
    return f"{name}.nii.gz", patient, f"{name}_mask.nii.gz"


@pytest.fixture
def mixed(tmp_path):
    """Five volumes of four slices, and one test picture among them."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    parts = ["train", "train", "validation", "test", "test"]
    rows = [(*volume(folder, f"v{k}", f"p{k}", k), part) for k, part in enumerate(parts)]
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    Image.fromarray(mask * 120).save(folder / "x.png")
    Image.fromarray(mask).save(folder / "x_mask.png")
    write_manifest(folder, [*rows[:4], ("x.png", "px", "x_mask.png", "test"), rows[4]])
    return folder


def test_scans_have_distances_in_mm_and_a_picture_among_them_has_none(mixed):
    (path,) = measure(mixed)
    found, arrays = result.read(path), result.read_predictions(path)
    assert arrays["hd95_mm"].shape == (3, 1)
    assert np.isnan(arrays["hd95_mm"][1, 0]) and not np.isnan(arrays["hd95_mm"][[0, 2], 0]).any()
    assert found.masks.case == "scan" and found.masks.cases + found.masks.cases_empty == 3


def test_true_masks_are_no_millimetre_apart_and_moved_ones_their_shift(mixed):
    dataset = dataset_of(mixed)
    rows = np.flatnonzero(dataset.samples["split"] == "test")

    def shifted(by, axis):
        return ((int(row), np.roll(dataset.mask(int(row)), by, axis)) for row in rows)

    scans, exact = native_masks.scan_distances(dataset, shifted(0, 0))
    assert scans == ["v3.nii.gz", "x.png", "v4.nii.gz"]
    np.testing.assert_array_equal(exact[[0, 2]], 0)
    distances = {native_masks.scan_distances(dataset, shifted(1, axis))[1][0, 0] for axis in (0, 1)}
    assert distances == {1.0, 2.0}  # the spacing of either axis in the plane


def test_predicted_masks_have_the_images_own_sizes(mixed, fitted):
    measure(mixed)
    dataset = dataset_of(mixed)
    rows = np.flatnonzero(dataset.samples["split"] == "test")
    for row, mask in native_masks.predicted(dataset, fitted[0], rows):
        assert mask.shape == dataset.mask(row).shape and mask.dtype == np.uint8
