"""Manifests of masks, studies, volumes and DICOM files: what is understood, and what is refused in one sentence."""

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import picture, table, volume
from PIL import Image
from test_dicom import GRID, save
from test_manifest import write  # the writer of manifests

from radlib.data import files, splits
from radlib.data.catalog import open_dataset
from radlib.data.check import check
from radlib.errors import RadlibError

SHAPE = (6, 8)
PATCH = np.zeros(SHAPE, np.uint8)
PATCH[2:5, 3:7] = 1


def pictures_with_masks(root, mask=PATCH * 255, n=10, classes=None):
    """`n` patients with one picture each and the same mask."""
    for k in range(n):
        picture(root / f"i/{k}.png", SHAPE, seed=k)
        (root / "m").mkdir(exist_ok=True)
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        image.save(root / f"m/{k}.png")
    table(
        root / "manifest.csv", ("image", "patient", "mask"), [(f"i/{k}.png", f"p{k}", f"m/{k}.png") for k in range(n)]
    )
    if classes:
        table(root / "classes.csv", ("value", "name"), classes)
    return root


def read_first(root):
    dataset = open_dataset("manifest", root, progress=False)
    return dataset.mask(0)


@pytest.mark.parametrize("white", [1, 255])
def test_a_mask_without_classes_is_one_structure(tmp_path, white):
    root = pictures_with_masks(tmp_path, PATCH * np.uint8(white))
    dataset = open_dataset("manifest", root)
    assert (dataset.task, dataset.classes, dataset.labels.shape) == ("segmentation", ("structure",), (10, 0))
    np.testing.assert_array_equal(dataset.mask(0), PATCH)
    assert dataset.mask(0).dtype == np.uint8


@pytest.mark.parametrize("classes", [None, [("255", "lungs")]])
def test_gray_borders_of_a_resized_mask_are_split_in_half(tmp_path, classes):
    blurred = PATCH * 255
    blurred[2, 3:7], blurred[4, 3:7] = (90, 140, 127, 128), (1, 254, 200, 30)
    root = pictures_with_masks(tmp_path, blurred, classes=classes)
    np.testing.assert_array_equal(read_first(root), blurred >= 128)
    assert open_dataset("manifest", root).classes == (("lungs",) if classes else ("structure",))


@given(values=st.lists(st.integers(1, 65535), min_size=1, max_size=8, unique=True), seed=st.integers(0, 99))
def test_numbers_become_classes_in_the_order_of_their_table(values, seed, tmp_path_factory):
    codes = np.random.default_rng(seed).integers(0, len(values) + 1, SHAPE)
    numbers = np.array([0, *values])[codes]
    path = tmp_path_factory.mktemp("m") / "m.png"
    Image.fromarray(numbers.astype(np.uint16)).save(path)
    if values == [255]:
        return  # black and white, tested above
    np.testing.assert_array_equal(files.read_mask(files.look(path), 0, values), codes)


LABELS = PATCH.copy()
LABELS[0, :3] = 2


@pytest.mark.parametrize(
    "mask, classes, sentence",
    [
        (LABELS, None, r"0\.png holds the value 2; say in classes.csv what each number means"),
        (np.where(LABELS == 2, 255, LABELS).astype(np.uint8), None, r"holds the value 255; say in classes.csv"),
        (LABELS, [("1", "a"), ("3", "b")], r"0\.png holds the value 2; list it in classes.csv or correct the mask"),
        (np.dstack([PATCH, PATCH * 2, PATCH]), None, r"0\.png is a mask in colors; save it in gray"),
    ],
    ids=["labels", "ignore", "unlisted", "colours"],
)
def test_a_mask_whose_numbers_are_not_known_is_never_guessed(tmp_path, mask, classes, sentence):
    with pytest.raises(RadlibError, match=sentence):
        read_first(pictures_with_masks(tmp_path, mask, classes=classes))


def test_palettes_gray_as_seen_and_coloured_as_numbered(tmp_path):
    gray, coloured = (Image.fromarray(1 - PATCH if k == 0 else LABELS).convert("P") for k in (0, 1))
    gray.putpalette([255, 255, 255, 0, 0, 0])  # number 0 is white
    coloured.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    np.testing.assert_array_equal(read_first(pictures_with_masks(tmp_path / "gray", gray)), PATCH)
    root = pictures_with_masks(tmp_path / "coloured", coloured, classes=[("2", "two"), ("1", "one")])
    assert open_dataset("manifest", root).classes == ("two", "one")
    np.testing.assert_array_equal(read_first(root), np.array([0, 2, 1])[LABELS])


@pytest.mark.parametrize(
    "rows, sentence",
    [
        ([("0", "background")], "line 2: the value '0' is no whole number from 1 .* background and needs no row"),
        ([("1", "a"), ("1", "b")], "line 3: '1, b' is there twice"),
        ([("1", "a"), ("2", "a")], "line 3: '2, a' is there twice"),
        ([("x", "a")], "line 2: the value 'x'"),
        ([("1", "")], "line 2: '1, ' is there twice or has no name"),
        ([(k, f"c{k}") for k in range(1, 300)], "names 299 classes; at most 255"),
    ],
)
def test_a_bad_table_of_classes_is_told(tmp_path, rows, sentence):
    with pytest.raises(RadlibError, match=rf"classes\.csv.*{sentence}"):
        open_dataset("manifest", pictures_with_masks(tmp_path, classes=rows))


def test_all_masks_that_do_not_fit_are_told_together(tmp_path):
    root = pictures_with_masks(tmp_path)
    for k in (3, 5):
        picture(root / f"m/{k}.png", (8, 6))
    with pytest.raises(RadlibError, match=r"m/3\.png has 8 x 6 pixels.*its image 6 x 8.*m/5\.png has 8 x 6"):
        open_dataset("manifest", root)


def scans(root, n=10, suffix=".nii.gz", masks=True, label=False):
    """`n` scans of 4 slices; every slice of a mask holds its own number of voxels."""
    rows = []
    for k in range(n):
        volume(root / f"i/{k}{suffix}", np.random.default_rng(k).integers(-900, 900, (5, 6, 4)).astype(np.int16))
        mask = np.zeros((5, 6, 4), np.uint8)
        for z in range(4):
            mask[: z + 1, 0, z] = 1
        volume(root / f"m/{k}{suffix}", mask)
        rows.append((f"i/{k}{suffix}", f"p{k}", *([f"m/{k}{suffix}"] * masks), *(["ab"[k % 2]] * label)))
    header = ("image", "patient", *(["mask"] * masks), *(["label"] * label))
    table(root / "manifest.csv", header, rows)
    return root


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volumes_are_cut_into_slices_with_their_masks(tmp_path, suffix):
    dataset = open_dataset("manifest", scans(tmp_path / "Café 医院", suffix=suffix), progress=False)
    assert len(dataset) == 40 and "40 slices in all" in dataset.note
    assert dataset.samples["slice"].tolist()[:5] == [0, 1, 2, 3, 0] and "study" not in dataset.samples
    dataset.prepare(False)
    assert [int(dataset.mask(k).sum()) for k in range(8)] == [1, 2, 3, 4] * 2
    assert dataset.read(0).shape == (1, 6, 5)  # rows from front to back, columns from right to left
    assert splits_of_patients(dataset) == {1}


def test_volumes_of_one_slice_are_volumes(tmp_path):
    for k in range(5):
        volume(tmp_path / f"i/{k}.nii.gz", np.full((5, 6, 1), k, np.int16))
        volume(tmp_path / f"m/{k}.nii.gz", np.ones((5, 6, 1), np.uint8))
    rows = [(f"i/{k}.nii.gz", f"p{k}", f"m/{k}.nii.gz") for k in range(5)]
    table(tmp_path / "manifest.csv", ("image", "patient", "mask"), rows)
    dataset = open_dataset("manifest", tmp_path, progress=False)
    assert dataset.samples["slice"].tolist() == [0] * 5 and set(dataset.planes) == {row[0] for row in rows}


def splits_of_patients(dataset):
    return set(dataset.samples.groupby("patient")["split"].nunique())


def test_the_label_of_a_scan_is_one_case_however_many_slices_it_has(tmp_path):
    dataset = open_dataset("manifest", scans(tmp_path, masks=False, label=True), progress=False)
    assert len(dataset) == 40 and dataset.samples["study"].nunique() == 10
    assert "a file's slices one case" in dataset.note
    np.testing.assert_array_equal(dataset.labels, np.repeat([0, 1] * 5, 4))


def reverse(path):
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), np.diag([1.5, 1.5, -5, 1])), path)


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda r: reverse(r / "m/3.nii.gz"), r"m/3\.nii\.gz is stored along RAI and its image along RAS"),
        (lambda r: volume(r / "m/3.nii.gz", np.zeros((5, 6, 3), np.uint8)), r"m/3\.nii\.gz has \(5, 6, 3\) voxels"),
        (lambda r: (r / "m/3.nii.gz").write_bytes(b""), r"m/3\.nii\.gz is empty"),
        (lambda r: (r / "i/3.nii.gz").write_bytes(b"abc"), r"i/3\.nii\.gz is no whole NIfTI file"),
        (lambda r: volume(r / "i/3.nii.gz", np.zeros((5, 6, 4, 2), np.int16)), r"i/3\.nii\.gz has shape"),
        (lambda r: (r / "m/3.nii.gz").unlink(), r"1 of 20 files that do not exist, first 'm/3\.nii\.gz'"),
        (lambda r: edit(r, "m/3.nii.gz", "../m"), r"line 5: '\.\./m' leaves the folder"),
        (lambda r: loop(r / "m/3.nii.gz"), r"1 of 20 files that do not exist"),
        (lambda r: edit(r, ",mask", ",slice"), "radlib itself numbers slices"),
        (lambda r: mask_as_picture(r), r"m/3\.png is the mask of a volume and none itself"),
    ],
)
def test_bad_volumes_of_a_manifest_are_told_when_it_is_opened(tmp_path, spoil, sentence):
    root = scans(tmp_path)
    spoil(root)
    with pytest.raises(RadlibError, match=sentence):
        open_dataset("manifest", root, progress=False)


def edit(root, find, put):
    path = root / "manifest.csv"
    path.write_text(path.read_text().replace(find, put))


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


def mask_as_picture(root):
    picture(root / "m/3.png", (6, 5))
    edit(root, "m/3.nii.gz", "m/3.png")


def test_what_only_voxels_tell_is_told_when_they_are_read(tmp_path):
    root = scans(tmp_path)
    volume(root / "m/0.nii.gz", np.full((5, 6, 4), 0.5, np.float32))
    volume(root / "m/1.nii.gz", np.full((5, 6, 4), 2, np.uint8))
    volume(root / "i/2.nii.gz", np.full((5, 6, 4), np.nan, np.float32))
    dataset = open_dataset("manifest", root, progress=False)
    for row, read, sentence in (
        (0, dataset.mask, "0.nii.gz, slice 0, holds values that are no label numbers"),
        (4, dataset.mask, "1.nii.gz holds the value 2; say in classes.csv"),
        (8, dataset.read, "2.nii.gz holds NaN or infinite values in slice 0"),
    ):
        with pytest.raises(RadlibError, match=sentence):
            read(row)


def test_a_dicom_image_may_have_a_picture_as_its_mask(tmp_path):
    root = pictures_with_masks(tmp_path)
    for k in range(10):
        save(root / f"i/1.2.840.{k}", GRID + k)
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text("".join(line.replace(".png,p", ",p") + "\n" for line in text.split()))
    edit(root, "i/", "i/1.2.840.")
    dataset = open_dataset("manifest", root)
    np.testing.assert_array_equal(dataset.read(2)[0], GRID + 2)
    np.testing.assert_array_equal(dataset.mask(2), PATCH)


def studies(root, rows, header=("image", "patient", "study", "label")):
    for row in rows:
        picture(root / row[0], SHAPE)
    table(root / "manifest.csv", header, rows)
    return root


def test_rows_of_one_study_are_kept_together(tmp_path):
    rows = [(f"{k}.png", f"p{k // 4}", f"s{k // 2}", "ab"[k // 4 % 2]) for k in range(40)]
    dataset = open_dataset("manifest", studies(tmp_path, rows))
    assert dataset.samples["study"].nunique() == 20 and len(dataset) == 40
    assert set(dataset.samples.groupby("study")["split"].nunique()) == {1}


@pytest.mark.parametrize(
    "change, column",
    [({1: "p9"}, "patient"), ({3: "b"}, "label")],
)
def test_rows_of_one_study_that_differ_are_refused(tmp_path, change, column):
    rows = [[f"{k}.png", f"p{k // 4}", f"s{k // 2}", "ab"[k // 4 % 2]] for k in range(40)]
    for place, value in change.items():
        rows[1][place] = value
    with pytest.raises(RadlibError, match=f"rows of study 's0' differ in column '{column}'; give them one {column}"):
        open_dataset("manifest", studies(tmp_path, rows))


def test_findings_of_one_study_must_agree(tmp_path):
    rows = [(f"{k}.png", f"p{k // 2}", f"s{k // 2}", int(k == 3), k // 2 % 2) for k in range(20)]
    with pytest.raises(RadlibError, match="study 's1' differ in column 'mass'"):
        open_dataset("manifest", studies(tmp_path, rows, ("image", "patient", "study", "mass", "oedema")))


def test_what_is_known_of_patients_is_no_finding(tmp_path):
    rows = [(f"{k}.png", f"p{k}", 40 + k if k else "", "F", "AP", k % 2) for k in range(10)]
    header = ("image", "patient", "age", "sex", "view", "oedema")
    dataset = open_dataset("manifest", studies(tmp_path, rows, header))
    assert dataset.classes == ("oedema",) and dataset.samples["view"].tolist() == ["AP"] * 10
    assert np.isnan(dataset.samples["age"][0]) and dataset.samples["age"].tolist()[1:] == list(range(41, 50))
    edit(tmp_path, ",45,", ",45 years,")
    with pytest.raises(RadlibError, match="column 'age' holds '45 years' in line 7; write years"):
        open_dataset("manifest", tmp_path)


def test_classes_may_be_called_like_columns(tmp_path):
    rows = [(f"{k}.png", f"p{k}", f"s{k}", "patient" if k % 2 else "image") for k in range(10)]
    dataset = open_dataset("manifest", studies(tmp_path, rows))
    assert dataset.classes == ("image", "patient") and {"image", "patient"} <= set(dataset.samples)


@pytest.mark.parametrize("truth", ["label", "findings"])
def test_labels_and_masks_together_serve_both_kinds_of_page(tmp_path, truth):
    root = pictures_with_masks(tmp_path, LABELS, classes=[("1", "one"), ("2", "two")])
    only_masks = open_dataset("manifest", root)
    rows = [(f"i/{k}.png", f"p{k}", f"m/{k}.png", k % 2, k // 2 % 2) for k in range(10)]
    if truth == "label":
        table(root / "manifest.csv", ("image", "patient", "mask", "label"), [row[:4] for row in rows])
    else:
        table(root / "manifest.csv", ("image", "patient", "mask", "mass", "oedema"), rows)
    dataset = open_dataset("manifest", root)
    masks = dataset.segmentation
    expected = np.array([row[3] if truth == "label" else row[3:] for row in rows])
    np.testing.assert_array_equal(dataset.labels, expected)
    assert dataset.classes == (("0", "1") if truth == "label" else ("mass", "oedema"))
    assert dataset.read_mask is None and "mask" not in dataset.samples
    assert (masks.task, masks.classes, masks.segmentation) == ("segmentation", ("one", "two"), None)
    np.testing.assert_array_equal(masks.mask(3), LABELS)
    pd.testing.assert_frame_equal(masks.samples, only_masks.samples)
    assert (masks.fingerprint, masks.mask_fingerprint) == (only_masks.fingerprint, only_masks.mask_fingerprint)
    assert dataset.fingerprint == masks.fingerprint  # the same images: what a backbone says of them is kept once


def test_volumes_with_labels_and_masks_are_cases_to_classify_and_slices_to_segment(tmp_path):
    dataset = open_dataset("manifest", scans(tmp_path, label=True), progress=False)
    masks = dataset.segmentation
    assert set(dataset.samples["study"]) == set(dataset.samples["image"]) and "study" not in masks.samples
    assert len(dataset) == len(masks) == len(dataset.labels)
    assert masks.mask(0).shape == masks.read(0).shape[1:]


def test_a_split_file_divides_labels_and_masks_alike(tmp_path):
    root = scans(tmp_path / "ward", label=True)
    samples = open_dataset("manifest", root, progress=False).samples
    swapped = samples.assign(split=samples["split"].replace({"train": "test", "test": "train"}))
    splits.save(swapped, tmp_path / "split.csv")
    dataset = open_dataset("manifest", root, split_file=tmp_path / "split.csv", progress=False)
    assert dataset.samples["split"].tolist() == swapped["split"].tolist()
    assert dataset.segmentation.samples["split"].tolist() == swapped["split"].tolist()


def test_a_label_that_cannot_be_learned_leaves_the_masks_usable(tmp_path):
    root = pictures_with_masks(tmp_path)
    table(root / "manifest.csv", ("image", "patient", "mask", "label"),
          [(f"i/{k}.png", f"p{k}", f"m/{k}.png", "sick") for k in range(10)])  # fmt: skip
    dataset = open_dataset("manifest", root)
    assert dataset.task == "segmentation" and dataset.segmentation is None
    assert dataset.warnings[0].startswith("Masks alone can be used. manifest.csv: every label is 'sick'; a")


def test_columns_beside_masks_that_are_no_findings_stay_what_they_are(tmp_path):
    root = pictures_with_masks(tmp_path)
    table(root / "manifest.csv", ("image", "patient", "mask", "scanner"),
          [(f"i/{k}.png", f"p{k}", f"m/{k}.png", "ABC"[k % 3]) for k in range(10)])  # fmt: skip
    dataset = open_dataset("manifest", root)
    assert dataset.task == "segmentation" and "scanner" in dataset.samples and not dataset.warnings


def test_the_check_looks_at_labels_and_masks(tmp_path):
    root = pictures_with_masks(tmp_path, LABELS, classes=[("1", "one"), ("2", "two")])
    table(root / "manifest.csv", ("image", "patient", "mask", "label"),
          [(f"i/{k}.png", f"p{k}", f"m/{k}.png", "ab"[k == 0]) for k in range(10)])  # fmt: skip
    Image.fromarray(PATCH * 77).save(root / "m/3.png")
    (root / "i/8.png").write_bytes((root / "i/7.png").read_bytes())
    picture(root / "m/8.png", SHAPE, seed=0)
    Image.fromarray(PATCH).save(root / "m/8.png")  # the same image with another mask
    report = check("manifest", root, deep=True, progress=False)
    said = " ".join(finding.what + " ".join(finding.where) for finding in report.findings)
    assert "holds the value 77" in said
    assert "of the classes" in said  # a label that a split lacks
    assert "different labels or masks" in said


def test_a_mask_of_dicom_frames_is_to_have_as_many_frames(tmp_path):
    frames = np.random.default_rng(0).integers(0, 9, (10, 4, 6, 8))
    for k, image in enumerate(frames):
        save(tmp_path / f"{k}.dcm", image)
        volume(tmp_path / f"m{k}.nii.gz", np.ones((8, 6, 4), np.uint8))
        save(tmp_path / f"m{k}.dcm", image[:3] > 4)
    for ending, words in (
        (".nii.gz", "is the mask of 4 DICOM frames; save it as DICOM with as many frames"),
        (".dcm", "has 6 x 8 pixels in 3 frames and its image 6 x 8 in 4 frames; take the mask"),
    ):
        rows = [(f"{k}.dcm", f"p{k}", f"m{k}{ending}") for k in range(10)]
        root = write(tmp_path, rows, ("image", "patient", "mask"))
        with pytest.raises(RadlibError, match=words):
            open_dataset("manifest", root, progress=False)
