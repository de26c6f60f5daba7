"""AMOS and MSD Heart as strangers have them: other folders, other tables, scans that are not the paper's."""

import json

import numpy as np
import pytest
from layouts import amos_, msd_heart_, volume

from radlib.data import amos, decathlon, volumes
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


def by_scan(dataset):
    return dataset.samples.drop_duplicates("patient").set_index("patient")["split"]


def test_the_release_of_amos_gives_100_40_and_160_scans(tmp_path):
    found = [decathlon.Scan(f"amos_{k:04d}", "", "", "validation" if k % 3 == 0 else "training") for k in range(1, 301)]
    split = amos._split(tmp_path, found)
    assert [split.count(name) for name in ("test", "validation", "train")] == [100, 40, 160]
    assert {name for name, scan in zip(split, found, strict=True) if scan.part == "validation"} == {"test"}


def test_amos_without_official_validation_draws_its_test_by_scan(tmp_path):
    root = amos_(tmp_path, scans=[1, 2, 4, 5, 7, 8, 10, 11, 13])
    split = by_scan(open_dataset("amos", root, progress=False))
    assert split.value_counts().to_dict() == {"train": 4, "test": 3, "validation": 2}
    assert split.index[split == "test"].tolist() == ["amos_0001", "amos_0005", "amos_0010"]


@pytest.mark.parametrize("base", [".", "amos22", "AMOS22", "amos22/amos22"])
def test_amos_may_lie_in_its_archives_folder_or_above(tmp_path, base):
    assert len(open_dataset("amos", amos_(tmp_path, base=base), progress=False)) == 9 * 4


def test_labels_of_test_scans_are_left_alone(tmp_path):
    root = amos_(tmp_path)
    volume(root / "amos22/imagesTs/amos_0200.nii.gz", np.zeros((6, 5, 4), np.int16))
    volume(root / "amos22/labelsTs/amos_0200.nii.gz", np.zeros((6, 5, 4), np.uint8))
    path = root / "amos22/dataset.json"
    about = json.loads(path.read_text()) | {"test": ["./imagesTs/amos_0200.nii.gz"]}
    path.write_text(json.dumps(about), encoding="utf-8-sig")
    assert "amos_0200" not in set(open_dataset("amos", root, progress=False).samples["patient"])


def test_scans_without_a_label_are_counted_where_no_table_lists_scans(tmp_path):
    root = amos_(tmp_path)
    (root / "amos22/dataset.json").unlink()
    (root / "amos22/labelsTr/amos_0001.nii.gz").unlink()
    dataset = open_dataset("amos", root, progress=False)
    assert "1 volume without one is left out" in dataset.note and len(by_scan(dataset)) == 8


def test_mri_scans_that_a_copy_of_ct_alone_lacks_are_not_missed(tmp_path):
    root = amos_(tmp_path, scans=[*range(1, 10), 507])
    for part in ("imagesTr", "imagesVa", "labelsTr", "labelsVa"):
        (root / "amos22" / part / "amos_0507.nii.gz").unlink(missing_ok=True)
    assert "1 MRI scan (" in open_dataset("amos", root, progress=False).note


@pytest.mark.parametrize("value", [16, -1, 1.5])
def test_labels_out_of_range_are_told_with_their_slice(tmp_path, value):
    root = amos_(tmp_path)
    labels = np.ones((6, 5, 4), np.float32 if isinstance(value, float) else np.int16)
    labels[3, 2, 2] = value
    volume(root / "amos22/labelsTr/amos_0001.nii.gz", labels)
    dataset = open_dataset("amos", root, progress=False)
    with pytest.raises(RadlibError, match=rf"amos_0001\.nii\.gz, slice 2, holds the label {value:g}; whole numbers"):
        dataset.mask(2)


def test_labels_stored_as_real_numbers_are_read(tmp_path):
    root = amos_(tmp_path)
    before = open_dataset("amos", root, progress=False).mask(1)
    path = root / "amos22/labelsTr/amos_0001.nii.gz"
    volume(path, volumes.voxels(path).astype(np.float64))
    np.testing.assert_array_equal(open_dataset("amos", root, progress=False).mask(1), before)


def test_a_mask_far_from_its_image_is_refused(tmp_path):
    root = amos_(tmp_path)
    affine = np.diag([1.5, 1.5, 5, 1])
    affine[2, 3] = 400
    volume(root / "amos22/labelsTr/amos_0001.nii.gz", np.zeros((6, 5, 4), np.uint8), affine)
    with pytest.raises(RadlibError, match="lies 400 mm away from its image"):
        open_dataset("amos", root, progress=False)


def test_predicted_slices_go_back_into_the_order_of_the_scan(tmp_path):
    root = amos_(tmp_path)
    path = root / "amos22/labelsTr/amos_0001.nii.gz"
    truth = volumes.voxels(path)
    dataset = open_dataset("amos", root, progress=False)
    rows = np.flatnonzero(dataset.samples["patient"] == "amos_0001")
    stack = np.stack([dataset.mask(int(row)) for row in rows])
    np.testing.assert_array_equal(volumes.restore(stack, volumes.axial(volumes.header(path))), truth)


def test_every_slice_of_a_heart_is_clipped_by_itself(tmp_path):
    root = msd_heart_(tmp_path)
    stored = volumes.voxels(root / "Task02_Heart/imagesTr/la_000.nii.gz")
    pixels = open_dataset("msd_heart", root, protocol="authors", progress=False).read(2)[0]
    low, high = np.percentile(stored[:, :, 2], (5, 95))
    expected = np.where(stored[:, :, 2] <= low, 0, np.minimum(stored[:, :, 2], high))
    np.testing.assert_allclose(pixels, expected, rtol=1e-6)


def test_hearts_of_two_scans_cannot_be_split(tmp_path):
    with pytest.raises(RadlibError, match="holds 2 patients or scans; at least 3 are needed"):
        open_dataset("msd_heart", msd_heart_(tmp_path, scans=2), progress=False)
