import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from radlib.data import audit, brain_tumor, splits
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError

MAGIC = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"


def write_slice(path, label=1, patient="100", image=None, drop=None):
    image = np.arange(48, dtype=np.int16).reshape(6, 8) if image is None else image  # as MATLAB shows it
    with h5py.File(path, "w", userblock_size=512) as file:
        record = file.create_group("cjdata")
        record["label"] = np.array([[float(label)]])
        record["PID"] = np.array([[ord(c)] for c in patient], dtype=np.uint16)
        record["image"] = image.T
        record["tumorMask"] = (image > 40).T.astype(np.uint8)
        if drop:
            del record[drop]
    with open(path, "r+b") as file:
        file.write(MAGIC)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "tumours"
    root.mkdir()
    for k in range(20):
        write_slice(root / f"{k + 1}.mat", label=k % 3 + 1, patient=f"{100 + k % 12 // 3 * 3 + k % 3}")
    return root


def test_slices_are_in_number_order_with_labels_and_patients(folder):
    dataset = open_dataset("brain_tumor", folder)
    assert dataset.samples["image"].tolist() == [f"{k + 1}.mat" for k in range(20)]
    assert dataset.labels.tolist() == [k % 3 for k in range(20)]
    assert dataset.samples["patient"].iloc[0] == "100"
    assert (dataset.origin, dataset.classes[2]) == ("own", "pituitary tumour")


def test_the_picture_is_upright_unless_the_authors_way_is_asked_for(folder):
    ours, theirs = (open_dataset("brain_tumor", folder, protocol=p) for p in ("ours", "authors"))
    assert ours.read(0).shape == (1, 6, 8)
    np.testing.assert_array_equal(theirs.read(0)[0], ours.read(0)[0].T)
    assert ours.preparation != theirs.preparation and ours.fingerprint == theirs.fingerprint


@given(arrays(np.int16, (7, 9), elements=st.integers(-32768, 32767)))
def test_clip_follows_numpys_percentiles(image):
    low, high = np.percentile(image, (5, 95))
    expected = np.where(image <= low, 0, np.minimum(image, high))
    np.testing.assert_allclose(brain_tumor.clip_percentiles(image), expected, rtol=1e-6)


def test_clip_follows_the_percentiles_of_a_large_image():
    image = np.random.default_rng(0).integers(10, 4000, (64, 64)).astype(np.int16)
    low, high = np.percentile(image, 5), np.percentile(image, 95)
    clipped = brain_tumor.clip_percentiles(image)
    assert (clipped[image <= low] == 0).all()
    assert clipped.max() == pytest.approx(high)
    middle = (image > low) & (image < high)
    np.testing.assert_array_equal(clipped[middle], image[middle])


def test_archives_unpacked_side_by_side_and_the_fold_index_are_understood(folder):
    (folder / "first").mkdir()
    (folder / "1.mat").rename(folder / "first" / "1.mat")
    (folder / "cvind.mat").write_bytes(b"fold index of the release")
    assert open_dataset("brain_tumor", folder).samples["image"].iloc[0] == "first/1.mat"


def put(path, field, value):
    with h5py.File(path, "r+") as file:
        del file["cjdata"][field]
        if value is None:
            file["cjdata"].create_group(field)
        else:
            file["cjdata"][field] = value


def cut(path):
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    "spoiling, sentence",
    [
        (lambda f: write_slice(f / "3.mat", label=7), r"3\.mat: cjdata/label is 7; it must be 1 meningioma"),
        (lambda f: write_slice(f / "3.mat", drop="PID"), r"3\.mat has no field 'cjdata/PID'"),
        (lambda f: write_slice(f / "3.mat", patient=" "), r"3\.mat: cjdata/PID is empty"),
        (lambda f: write_slice(f / "3.mat", image=np.zeros((6, 8))), r"3\.mat: cjdata/image holds float64"),
        (lambda f: write_slice(f / "3.mat", image=np.zeros(6, np.int16)), r"3\.mat: cjdata/image has shape"),
        (lambda f: (f / "STANDIN.json").write_text("{"), r"STANDIN\.json is damaged"),
        (lambda f: (f / "99.mat").mkdir(), r"99\.mat is not a file"),
        (lambda f: put(f / "3.mat", "label", b"two"), r"3\.mat: cjdata/label is not stored as in the release"),
        (lambda f: put(f / "3.mat", "label", np.zeros((0, 1))), r"3\.mat: cjdata/label is not stored"),
        (lambda f: put(f / "3.mat", "PID", b"100"), r"3\.mat: cjdata/PID is not stored"),
        (lambda f: put(f / "3.mat", "PID", np.array([np.nan])), r"3\.mat: cjdata/PID is not stored"),
        (lambda f: put(f / "3.mat", "image", None), r"3\.mat: cjdata is not built as in the release"),
        (lambda f: cut(f / "3.mat"), r"3\.mat is cut short"),
        (lambda f: (f / "3.mat").write_bytes(b""), r"3\.mat is cut short"),
        (lambda f: (f / "3.mat").write_bytes(b"MATLAB 5.0 MAT-file, by"), r"3\.mat is a MATLAB v5 file"),
        (lambda f: (f / "a.mat").write_bytes(b""), r"a\.mat is not named like a slice"),
        (lambda f: [cut(p) for p in f.glob("?.mat")], "And 6 more; radlib data check lists them all"),
        (
            lambda f: write_slice(f / "3.mat", label=1, patient="100") or write_slice(f / "4.mat", 2, "100"),
            "two labels",
        ),
        (lambda f: [p.unlink() for p in f.glob("*.mat")], "is empty"),
        (lambda f: [p.rename(p.with_suffix(".txt")) for p in f.glob("*.mat")], "holds no slice"),
        (lambda f: [p.unlink() for p in f.glob("*.mat") if p.stem not in ("1", "2")], "at least 3 are needed"),
    ],
)
def test_a_bad_folder_is_told_in_one_sentence(folder, spoiling, sentence):
    spoiling(folder)
    with pytest.raises(RadlibError, match=sentence):
        open_dataset("brain_tumor", folder)


def test_a_missing_cjdata_is_named(folder):
    with h5py.File(folder / "2.mat", "w") as file:
        file["other"] = 1
    with pytest.raises(RadlibError, match=r"2\.mat has no group 'cjdata'"):
        open_dataset("brain_tumor", folder)


def test_unknown_names_meet_the_nearest_one(folder):
    with pytest.raises(RadlibError, match="did you mean 'brain_tumor'"):
        open_dataset("brain_tumour", folder)
    with pytest.raises(RadlibError, match="nowhere does not exist"):
        open_dataset("brain_tumor", folder / "nowhere")


def test_the_fingerprint_follows_content_not_place(folder, tmp_path):
    before = open_dataset("brain_tumor", folder).fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    assert open_dataset("brain_tumor", moved).fingerprint == before
    write_slice(moved / "1.mat", label=1, patient="100", image=np.zeros((6, 8), np.int16))
    assert open_dataset("brain_tumor", moved).fingerprint != before


@pytest.fixture(scope="module")
def real_index(real_images):
    return pd.read_csv(real_images / "mri-brain-tumor-cheng" / "index.csv", dtype=str)


def test_the_papers_split_comes_out_exactly_on_the_real_ids(real_index):
    split = splits.by_patient(real_index["patient_id"], brain_tumor.PAPER_TEST, brain_tumor.PAPER_VALIDATION, "")
    assert (split == real_index["split"].replace("val", "validation")).all()
    assert pd.Series(split).value_counts().to_dict() == {"train": 1344, "test": 1002, "validation": 718}


def test_the_audit_finds_the_families_that_cross_the_real_split(real_index):
    samples = real_index.rename(columns={"patient_id": "patient"})
    families = audit.near_equal_ids(samples)
    assert len(families) == 18
    assert families["patients"].str.split().map(len).sum() == 42
    assert (families["splits"].str.split().map(len) > 1).sum() == 12
    assert audit.test_rows_with_relatives(samples).sum() == 145


def test_real_slices_in_the_releases_layout_are_read(real_images, tmp_path):
    source = real_images / "mri-brain-tumor-cheng"
    subprocess.run(
        [sys.executable, source / "to_release.py", tmp_path, "--every", "40"], check=True, capture_output=True
    )
    dataset = open_dataset("brain_tumor", tmp_path)
    index = pd.read_csv(source / "index.csv", dtype=str).set_index("index")
    names = dataset.samples["image"].str.removesuffix(".mat")
    assert (dataset.labels + 1 == index.loc[names, "label"].astype(int)).all()
    assert (dataset.samples["patient"].to_numpy() == index.loc[names, "patient_id"]).all()
    picture = np.asarray(Image.open(source / "images" / f"{names[0]}.jpg"))
    np.testing.assert_array_equal(dataset.read(0)[0], brain_tumor.clip_percentiles(picture))
