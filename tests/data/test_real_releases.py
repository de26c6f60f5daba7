"""The readers, manifests and checks on real patient images, where they are kept beside the project."""

import csv
import runpy
import shutil
import sys
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from radlib.data import audit, predicted_masks, slice_cache, splits
from radlib.data.catalog import open_dataset
from radlib.data.check import check
from radlib.report import result

REPOSITORY = Path(__file__).resolve().parents[2]


def manifest(folder, header, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def published(pattern):
    """The one fingerprint of the published Results that `pattern` finds."""
    found = {result.read(path).data.fingerprint for path in (REPOSITORY / "results" / "published").glob(pattern)}
    (fingerprint,) = found
    return fingerprint


def split_counts(dataset):
    return [int((dataset.samples["split"] == name).sum()) for name in ("train", "validation", "test")]


@pytest.fixture(scope="module")
def heart(tmp_path_factory, real_images):
    """Task02_Heart as the release has it, written once."""
    out = tmp_path_factory.mktemp("heart")
    script = real_images / "mri-heart-msd-task02" / "to_release.py"
    before, sys.argv = sys.argv, [str(script), str(out)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before
    return out


def test_msd_heart_is_the_papers_to_the_slice(heart):
    dataset = open_dataset("msd_heart", heart, progress=False)
    assert (dataset.origin, dataset.note) == ("paper", "")
    assert split_counts(dataset) == [1339, 450, 482]
    by_scan = dataset.samples.drop_duplicates("patient").set_index("patient")["split"]
    assert by_scan.index[by_scan == "test"].tolist() == ["la_003", "la_010", "la_018", "la_023"]
    kept = REPOSITORY / "book" / "datasets" / "splits" / "msd_heart.csv"
    assert splits.load(dataset.samples, kept).tolist() == dataset.samples["split"].tolist()
    dataset.prepare(False)
    row = int(np.flatnonzero(dataset.samples["patient"] == "la_010")[60])
    assert dataset.read(row).shape[1:] == dataset.mask(row).shape == (256, 256) and dataset.mask(row).any()


def test_the_check_finds_the_two_scans_with_one_image_and_two_masks(heart):
    report = check("msd_heart", heart, progress=False)
    assert [row["images"] for row in report.counts] == [row["paper_images"] for row in report.counts]
    found = [finding for finding in report.findings if "There more than once" in finding.what]
    assert all("la_005.nii.gz = " in finding.where[0] and "la_026" in finding.where[0] for finding in found)
    assert any("different labels or masks" in finding.what for finding in found)


def test_the_true_masks_of_the_hearts_come_back_voxel_by_voxel(heart, tmp_path):
    dataset = open_dataset("msd_heart", heart, progress=False)
    dataset.prepare(False)
    rows = np.flatnonzero(dataset.samples["split"] == "test")
    paths = predicted_masks.write(dataset, ((int(row), dataset.mask(int(row))) for row in rows), tmp_path / "out")
    assert [path.name for path in paths] == [f"la_{k:03d}.nii.gz" for k in (3, 10, 18, 23)]
    for path in paths:
        found, label = nibabel.load(path), nibabel.load(heart / "Task02_Heart/labelsTr" / path.name)
        np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(label.dataobj))
        np.testing.assert_array_equal(found.affine, label.affine)
        assert (found.header["qform_code"], found.header["sform_code"]) == (
            label.header["qform_code"],
            label.header["sform_code"],
        )
        spacing = predicted_masks.spacing_mm(dataset, path.name.removesuffix(".nii.gz"))
        np.testing.assert_allclose(spacing, label.header.get_zooms(), rtol=1e-6)


def test_heart_volumes_are_a_manifest_too(heart, tmp_path):
    rows = [(f"i/la_{k:03d}.nii.gz", f"m/la_{k:03d}.nii.gz", f"la_{k:03d}") for k in (3, 4, 5, 7, 9, 26)]
    for image, mask, name in rows:
        for place, kind in ((image, "imagesTr"), (mask, "labelsTr")):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            shutil.copy(heart / "Task02_Heart" / kind / f"{name}.nii.gz", tmp_path / place)
    dataset = open_dataset("manifest", manifest(tmp_path, ("image", "mask", "patient"), rows), progress=False)
    assert dataset.task == "segmentation" and dataset.classes == ("structure",)
    release = open_dataset("msd_heart", heart, progress=False).samples["patient"].value_counts()
    assert dataset.samples["patient"].value_counts().to_dict() == {name: release[name] for _, _, name in rows}
    assert {dataset.mask(k).max() for k in range(40, 60)} == {0, 1}
    report = check("manifest", tmp_path, progress=False)
    assert any("i/la_005.nii.gz = i/la_026.nii.gz" in finding.where[0] for finding in report.findings if finding.where)


def test_montgomery_in_its_own_layout_and_as_a_manifest(real_images, tmp_path):
    source = real_images / "xray-lungseg-montgomery"
    index = pd.read_csv(source / "index.csv")
    release = tmp_path / "release" / "MontgomerySet"
    for side in ("leftMask", "rightMask"):
        (release / "ManualMask" / side).mkdir(parents=True)
    (release / "CXR_png").mkdir()
    for name in index["file"]:
        shutil.copy(source / "images" / name, release / "CXR_png" / name)
        mask = np.asarray(Image.open(source / "masks" / name).convert("L")) > 127
        parts, _ = ndimage.label(mask)
        largest = 1 + np.argsort(np.bincount(parts.ravel())[1:])[-2:]
        # the patient's right lung is on the left of the picture
        right, left = sorted(largest, key=lambda part: np.nonzero(parts == part)[1].mean())
        for side, part in (("leftMask", left), ("rightMask", right)):
            Image.fromarray(parts == part).save(release / "ManualMask" / side / name)
    dataset = open_dataset("montgomery", release.parent, progress=False)
    assert dataset.origin == "paper" and split_counts(dataset) == [69, 23, 46]
    assert dataset.fingerprint == published("table06/montgomery__*.json")
    assert check("montgomery", release.parent, progress=False).exit_code == 0
    centre = [np.nonzero(dataset.mask(0) == k)[1].mean() for k in (1, 2)]
    assert centre[0] > centre[1]

    for kind in ("images", "masks"):
        shutil.copytree(source / kind, tmp_path / "own" / kind)
    rows = [
        (f"images/{name}", f"masks/{name}", patient)
        for name, patient in zip(index["file"], index["patient"], strict=True)
    ]
    own = manifest(tmp_path / "own", ("image", "mask", "patient"), rows)
    dataset = open_dataset("manifest", own)
    assert len(dataset) == 138
    masks = [(row, dataset.mask(row)) for row in range(0, 138, 9)]
    for (_, mask), path in zip(masks, predicted_masks.write(dataset, masks, tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), mask)
        drawn = np.asarray(Image.open(source / "masks" / path.name).convert("L"))
        np.testing.assert_array_equal(mask, drawn > 127)
    assert check("manifest", own, deep=True, progress=False).exit_code == 0


def test_brain_tumor_as_a_manifest_has_relatives_across_the_split(real_images, tmp_path):
    source = real_images / "mri-brain-tumor-cheng"
    index = pd.read_csv(source / "index.csv", dtype=str)
    (tmp_path / "images").symlink_to(source / "images")
    rows = index.assign(image="images/" + index["index"] + ".jpg")[["image", "patient_id", "split", "label_name"]]
    manifest(tmp_path, ("image", "patient", "split", "label"), rows.to_numpy().tolist())
    dataset = open_dataset("manifest", tmp_path)
    assert split_counts(dataset) == [1344, 718, 1002]
    kept = REPOSITORY / "book" / "datasets" / "splits" / "brain_tumor.csv"
    assert splits.load(dataset.samples, kept).tolist() == dataset.samples["split"].tolist()
    assert audit.test_rows_with_relatives(dataset.samples).sum() == 145
    report = check("manifest", tmp_path, progress=False)
    (relatives,) = [finding for finding in report.findings if "closing letter" in finding.what]
    assert "12 families" in relatives.what and "145 test images" in relatives.what


def test_nih_full_size_opens_as_it_is(real_images):
    dataset = open_dataset("nih_chest_xray", real_images / "xray-nih-1024")
    assert len(dataset) == 24 and dataset.read(0).shape == (1, 1024, 1024)
    assert dict(zip(dataset.classes, dataset.labels[1], strict=True))["Fibrosis"] == 1
    report = check("nih_chest_xray", real_images / "xray-nih-1024", deep=True, progress=False)
    assert not any("usable" in finding.what or "more than once" in finding.what for finding in report.findings)


def test_nih_tiny_images_in_the_releases_layout_and_as_a_manifest(real_images, tmp_path):
    source = real_images / "xray-nih1000-64px"
    table = pd.read_csv(source / "labels.csv", dtype=str)
    table = table[~table["file"].str.startswith("larger/")]
    (tmp_path / "release" / "images").mkdir(parents=True)
    for file, name in zip(table["file"], table["Image Index"], strict=True):
        (tmp_path / "release" / "images" / name).symlink_to(source / file)
    table.drop(columns="file").to_csv(tmp_path / "release" / "Data_Entry_2017.csv", index=False)
    dataset = open_dataset("nih_chest_xray", tmp_path / "release")
    assert len(dataset) == 1000 and dataset.read(0).shape == (1, 64, 64)
    expected = table["Finding Labels"].str.get_dummies("|").sum()
    assert {name: int(n) for name, n in zip(dataset.classes, dataset.labels.sum(axis=0), strict=True)} == {
        name: int(expected.get(name, 0)) for name in dataset.classes
    }
    for part in ("train", "valid", "test"):
        (tmp_path / "own" / part).parent.mkdir(exist_ok=True)
        (tmp_path / "own" / part).symlink_to(source / part)
    effusion = table["Finding Labels"].str.contains("Effusion").astype(int)
    rows = zip(
        table["file"],
        table["Patient ID"],
        table["file"].str.split("/").str[0].replace("valid", "validation"),
        effusion,
        strict=True,
    )
    own = manifest(tmp_path / "own", ("image", "patient", "split", "Effusion"), rows)
    report = check("manifest", own, progress=False)
    assert report.exit_code == 1 and "more patients are torn" in report.findings[0].what  # as its notes say


def test_covid_ct_is_scored_by_patient(real_images, tmp_path):
    source = real_images / "ct-covid-ct"
    index = pd.read_csv(source / "index.csv", dtype=str)
    for group in ("CT_COVID", "CT_NonCOVID"):
        (tmp_path / group).symlink_to(source / group)
    split = index["split_in_source_repo"].replace({"val": "validation"})
    rows = zip(index["file"], index["patient"], index["patient"], split, index["covid"], strict=True)
    own = manifest(tmp_path, ("image", "patient", "study", "split", "label"), rows)
    dataset = open_dataset("manifest", own)
    assert len(dataset) == 232 and dataset.samples["study"].nunique() == 131
    assert dataset.fingerprint == published("table04/covid_ct__*.json")
    assert check("manifest", own, deep=True, progress=False).exit_code == 0


def test_the_lossless_slices_are_what_the_volumes_hold(heart, real_images):
    first = sorted((real_images / "mri-heart-msd-task02" / "slices" / "la_003").glob("*.jxl"))[40]
    stack = slice_cache.opened(heart / "Task02_Heart/imagesTr/la_003.nii.gz", 2)
    np.testing.assert_array_equal(stack[40], imagecodecs.jpegxl_decode(first.read_bytes()))
