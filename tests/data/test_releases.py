"""Every reader on its release's layout and the variants users have on disk."""

import contextlib
import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from layouts import (
    NIH_HEADER,
    WRITERS,
    amos_,
    chexpert_,
    lungs,
    montgomery_,
    msd_heart_,
    nih_chest_xray_,
    picture,
    sars_cov_2_ct_,
    shenzhen_,
    table,
)
from PIL import Image

from radlib.data import splits, tables
from radlib.data.catalog import TASKS, open_dataset
from radlib.errors import RadlibError


@pytest.mark.parametrize("name", TASKS)
def test_every_release_opens_and_reads(tmp_path, name):
    dataset = open_dataset(name, WRITERS[name](tmp_path), progress=False)
    assert dataset.name == name and dataset.task == TASKS[name] and dataset.origin == "own"
    assert set(dataset.samples["split"]) == set(splits.SPLITS)
    splits.check(dataset.samples, name)
    pixels = dataset.read(0)
    assert pixels.dtype == np.float32 and pixels.ndim == 3 and pixels.shape[0] == 1
    if dataset.task == "segmentation":
        mask = dataset.mask(0)
        assert mask.dtype == np.uint8 and mask.shape == pixels.shape[1:] and mask.max() <= len(dataset.classes)
    else:
        assert len(dataset.labels) == len(dataset)
        with pytest.raises(RadlibError, match="has no masks"):
            dataset.mask(0)


@pytest.mark.parametrize("name", TASKS)
def test_a_folder_of_another_place_has_the_same_fingerprint_and_split(tmp_path, name):
    here, there = (open_dataset(name, WRITERS[name](tmp_path / place), progress=False) for place in ("a", "ä b"))
    assert here.fingerprint == there.fingerprint
    assert splits.digest(here.samples) == splits.digest(there.samples)


@pytest.mark.parametrize("folder", ["images", "images_{:03d}", "images_{:03d}/images"])
def test_nih_images_may_lie_in_one_or_twelve_folders(tmp_path, folder):
    dataset = open_dataset("nih_chest_xray", nih_chest_xray_(tmp_path, folder=folder))
    assert len(dataset) == 40 and dataset.labels.shape == (40, 14)
    assert dataset.labels[0].tolist() == [1] + [0] * 13 and dataset.labels[1].sum() == 0
    assert dataset.samples.loc[0, ["age", "sex", "view"]].tolist() == [40, "M", "PA"]


def test_nih_validation_is_whole_patients_from_the_end_of_the_list(tmp_path):
    nih_chest_xray_(tmp_path, patients=40)
    ours = open_dataset("nih_chest_xray", tmp_path)
    assert ours.samples["split"].value_counts().to_dict() == {"train": 52, "test": 20, "validation": 8}
    assert ours.samples.loc[ours.samples["split"] == "validation", "patient"].tolist() == [
        "26", "26", "27", "27", "28", "28", "29", "29",
    ]  # fmt: skip


def test_nih_as_the_authors_split_tears_a_patient_and_says_so(tmp_path):
    theirs = open_dataset("nih_chest_xray", nih_chest_xray_(tmp_path, images=3), protocol="authors")
    assert theirs.classes[-1] == "No Finding" and theirs.labels.shape[1] == 15
    assert (theirs.labels.sum(axis=1) == 1).all()
    assert theirs.samples["split"].value_counts()["validation"] == round(45 * 10_002 / 86_524)
    assert "sit in both train and validation" in theirs.note


def test_nih_without_lists_or_with_some_images_says_so(tmp_path):
    root = nih_chest_xray_(tmp_path, lists=False)
    next(root.rglob("00000003_000.png")).unlink()
    dataset = open_dataset("nih_chest_xray", root)
    assert "39 of the 40 images" in dataset.note and "by patient, systematic" in dataset.note


def test_nih_ages_of_both_tables():
    found = tables.ages(pd.Series(["58", "058Y", "011M", "003D", "414", "", "x"]))
    assert found[:4].tolist() == [58, 58, 0, 0] and found[4:].isna().all()


def test_a_gray_radiograph_stored_in_colour_is_gray(tmp_path):
    root = nih_chest_xray_(tmp_path)
    path = next(root.rglob("00000000_000.png"))
    gray = np.asarray(Image.open(path))
    Image.fromarray(np.dstack([gray, gray, gray, np.full_like(gray, 255)])).save(path)
    np.testing.assert_array_equal(open_dataset("nih_chest_xray", root).read(0)[0], gray)


@pytest.mark.parametrize(
    "release, prefix", [("CheXpert-v1.0-small", True), ("CheXpert-v1.0", True), ("", False), ("CheXpert-v1.0", False)]
)
def test_chexpert_folders_and_prefixes(tmp_path, release, prefix):
    dataset = open_dataset("chexpert", chexpert_(tmp_path, release, prefix=prefix))
    assert dataset.samples["split"].value_counts().to_dict() == {"train": 12, "validation": 4, "test": 4}
    assert "20 lateral views are left out" in dataset.note
    assert dataset.samples.loc[0, ["sex", "age", "view"]].tolist() == ["M", 50, "AP"]
    assert dataset.read(0).shape == (1, 9, 7)


def test_chexpert_blank_and_uncertain_are_zero_and_the_authors_count_uncertain(tmp_path):
    ours = open_dataset("chexpert", chexpert_(tmp_path))
    # patient k has cells (k + j) mod 4 of 1, blank, 0, -1
    assert ours.labels[0].tolist() == [1, 0, 0, 0, 1] and ours.labels[3].tolist() == [0, 1, 0, 0, 0]
    theirs = open_dataset("chexpert", tmp_path, protocol="authors")
    assert theirs.classes[-1] == "Uncertain"
    np.testing.assert_array_equal(theirs.labels[:, :5], ours.labels)
    assert theirs.labels[0, 5] == 1 and theirs.labels[:, 5].all()


def test_chexpert_without_test_csv_tests_on_valid(tmp_path):
    dataset = open_dataset("chexpert", chexpert_(tmp_path, test=False))
    assert dataset.samples["split"].value_counts().to_dict() == {"train": 11, "test": 4, "validation": 1}
    assert "valid.csv is test" in dataset.note


@pytest.mark.parametrize("base", ["MontgomerySet", "Montgomery/MontgomerySet", "."])
def test_montgomery_masks_and_split(tmp_path, base):
    dataset = open_dataset("montgomery", montgomery_(tmp_path, base=base))
    left, right = lungs()
    np.testing.assert_array_equal(dataset.mask(0), np.where(left, 1, np.where(right, 2, 0)))
    assert "".join(name[0] for name in dataset.samples["split"]) == "tvt" + "ttt" + "tvt" + "ttt"
    assert np.flatnonzero(dataset.samples["split"] == "test").tolist() == [0, 3, 6, 9]
    assert dataset.samples.loc[2, ["patient", "age", "sex"]].tolist() == ["MCUCXR_0003", 32, "F"]


def test_a_pixel_in_both_lungs_is_left(tmp_path):
    root = montgomery_(tmp_path)
    both = np.ones((12, 10), bool)
    for side in ("left", "right"):
        picture(root / f"MontgomerySet/ManualMask/{side}Mask/MCUCXR_0001_0.png", values=both)
    assert np.unique(open_dataset("montgomery", root).mask(0)).tolist() == [1]


@pytest.mark.parametrize("n, expected", [(138, (69, 23, 46)), (566, (361, 91, 114))])
def test_the_papers_split_sizes_of_the_lung_sets(n, expected):
    from radlib.data import lung_masks

    every = (3, 4) if n == 138 else (5, 5)
    drawn = lung_masks.split([str(k) for k in range(n)], *every, "here").tolist()
    assert tuple(drawn.count(name) for name in splits.SPLITS) == expected


@pytest.mark.parametrize("masks", ["mask", "masks"])
def test_shenzhen_leaves_out_what_has_no_mask_and_says_so(tmp_path, masks):
    dataset = open_dataset("shenzhen", shenzhen_(tmp_path, masks=masks))
    assert len(dataset) == 11 and "1 radiographs have no mask" in dataset.note
    left, right = lungs()
    np.testing.assert_array_equal(dataset.mask(0), left | right)


def test_sars_slices_are_in_order_of_number_or_as_text(tmp_path):
    root = sars_cov_2_ct_(tmp_path)
    names = open_dataset("sars_cov_2_ct", root).samples["image"].head(3).tolist()
    assert [name.rsplit("/", 1)[1] for name in names] == ["1.png", "2.png", "10.png"]
    texts = open_dataset("sars_cov_2_ct", root, protocol="authors").samples["image"].head(3).tolist()
    assert [name.rsplit("/", 1)[1] for name in texts] == ["1.png", "10.png", "2.png"]


def test_sars_patients_are_studies_split_as_the_paper(tmp_path):
    dataset = open_dataset(
        "sars_cov_2_ct", sars_cov_2_ct_(tmp_path / "x" / "archive", names=("COVID", "healthy", "Other")).parent
    )
    assert dataset.samples["study"].nunique() == 21 and dataset.labels.sum() == 24
    held = dataset.samples.drop_duplicates("study")["split"].tolist()
    assert [held.count(name) for name in splits.SPLITS] == [9, 5, 7]
    assert held == splits.by_patient(dataset.samples["patient"].drop_duplicates(), 7, 5, "x").tolist()


def test_the_papers_patient_counts_of_sars(tmp_path):
    drawn = splits.by_patient(pd.Series(range(210)), 70, 50, "x").tolist()
    assert [drawn.count(name) for name in splits.SPLITS] == [90, 50, 70]


def test_amos_takes_ct_and_the_official_validation_as_test(tmp_path):
    dataset = open_dataset("amos", amos_(tmp_path, scans=[*range(1, 10), 507, 600]), progress=False)
    assert "2 MRI scans" in dataset.note
    by_scan = dataset.samples.drop_duplicates("patient").set_index("patient")["split"]
    assert by_scan[["amos_0003", "amos_0006", "amos_0009"]].tolist() == ["test"] * 3
    assert by_scan.value_counts().to_dict() == {"train": 4, "test": 3, "validation": 2}
    pixels = dataset.read(0)
    assert pixels.min() >= -1024 and pixels.max() <= 600


def test_amos_without_its_json_reads_the_folders(tmp_path):
    root = amos_(tmp_path)
    whole = open_dataset("amos", root, progress=False)
    (root / "amos22" / "dataset.json").unlink()
    (root / "amos22" / "imagesTr" / "._amos_0001.nii.gz").write_bytes(b"macOS")
    again = open_dataset("amos", root, progress=False)
    assert again.samples.equals(whole.samples) and "Without dataset.json" in again.note


def test_msd_heart_shares_of_a_small_copy_and_authors_orientation(tmp_path):
    root = msd_heart_(tmp_path)
    ours, theirs = (open_dataset("msd_heart", root, protocol=way, progress=False) for way in ("ours", "authors"))
    assert ours.samples.drop_duplicates("patient")["split"].value_counts().to_dict() == {
        "train": 6, "test": 2, "validation": 2,
    }  # fmt: skip
    np.testing.assert_array_equal(ours.read(0)[0], theirs.read(0)[0].T[::-1])
    np.testing.assert_array_equal(ours.mask(0), theirs.mask(0).T[::-1])


def test_a_split_file_replaces_the_split_and_is_said(tmp_path):
    root = montgomery_(tmp_path / "data")
    dataset = open_dataset("montgomery", root)
    path = tmp_path / "split.csv"
    splits.save(dataset.samples, path)
    again = open_dataset("montgomery", root, split_file=path)
    assert again.samples.equals(dataset.samples) and "Split by split.csv" in again.note
    path.write_text(path.read_text().replace("MCUCXR_0001,test", "MCUCXR_0001,train"))
    assert open_dataset("montgomery", root, split_file=path).samples["split"][0] == "train"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cells=st.lists(st.text(max_size=12), min_size=3, max_size=3), line=st.integers(0, 5))
@example(cells=["", "\x00", ""], line=0)
def test_garbage_in_the_nih_table_is_a_dataset_or_a_sentence(tmp_path, cells, line):
    root = tmp_path / "garbage"
    if not root.exists():
        nih_chest_xray_(root, patients=6, images=1, lists=False)
    rows = [[f"{k:08d}_000.png", "Mass", 0, k, 50, "M", "PA", 1, 1, 1, 1] for k in range(6)]
    rows[line][0], rows[line][1], rows[line][3] = cells
    try:
        table(root / "Data_Entry_2017_v2020.csv", NIH_HEADER, rows)
    except (UnicodeEncodeError, csv.Error):
        return
    with contextlib.suppress(RadlibError):
        open_dataset("nih_chest_xray", root)
