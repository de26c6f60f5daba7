"""What strangers' folders were seen or imagined to hold: one sentence that names the file and the remedy."""

import gzip
import json
import os
import re

import nibabel
import numpy as np
import pytest
from layouts import WRITERS, picture, volume
from PIL import Image

from radlib.data.catalog import TASKS, open_dataset
from radlib.errors import RadlibError


def spoil(root, pattern, find, put):
    for path in root.rglob(pattern):
        path.write_text(path.read_text().replace(find, put))


def empty(root, pattern):
    next(iter(sorted(root.rglob(pattern)))).write_bytes(b"")


def loop(root, pattern):
    path = sorted(root.rglob(pattern))[0]
    path.unlink()
    path.symlink_to(path.name)


def remove(root, pattern):
    sorted(root.rglob(pattern))[0].unlink()


def reversed_scan(root, pattern):
    path = sorted(root.rglob(pattern))[0]
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), np.diag([-1.5, 1.5, 5, 1])), path)


def cut_short(root, pattern):
    path = sorted(root.rglob(pattern))[0]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:400]))


def four_d(root, pattern):
    volume(sorted(root.rglob(pattern))[0], np.zeros((6, 5, 4, 2), np.int16))


def huge(root, pattern):
    path = sorted(root.rglob(pattern))[0]
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))


def bad_header(root, pattern):
    path = sorted(root.rglob(pattern))[0]
    path.write_bytes(gzip.compress(b"\x00\x01" * 400))


def v5(root, pattern):
    sorted(root.rglob(pattern))[0].write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200))


CASES = [
    ("nih_chest_xray", lambda r: spoil(r, "Data*.csv", "Patient ID", "Person"), "has no column 'Patient ID'"),
    ("nih_chest_xray", lambda r: spoil(r, "Data*.csv", ",", ";"), "separates its columns by semicolons; save it"),
    ("nih_chest_xray", lambda r: spoil(r, "Data*.csv", "Mass", "Elephant"), "the finding 'Elephant' is unknown"),
    (
        "nih_chest_xray",
        lambda r: spoil(r, "Data*.csv", "00000003_000.png", "../../x.png"),
        "line 8: .* leaves the folder",
    ),
    (
        "nih_chest_xray",
        lambda r: spoil(r, "Data*.csv", "00000003_000.png", "/etc/passwd"),
        "line 8: .* leaves the folder",
    ),
    (
        "nih_chest_xray",
        lambda r: spoil(r, "Data*.csv", "00000003_000", "00000003_001"),
        "'00000003_001.png' is listed twice",
    ),
    (
        "nih_chest_xray",
        lambda r: spoil(r, "test_list.txt", "00000019_001.png\n", ""),
        "is in neither of train_val_list",
    ),
    (
        "nih_chest_xray",
        lambda r: spoil(r, "test_list.txt", "00000019_001.png", "00000000_000.png"),
        "is in (neither|both)",
    ),
    ("nih_chest_xray", lambda r: remove(r, "Data*.csv"), "has no Data_Entry_2017_v2020.csv"),
    ("nih_chest_xray", lambda r: (r / "Data_Entry_2017.csv").write_text("x"), "keep the one you mean"),
    ("nih_chest_xray", lambda r: [p.unlink() for p in r.rglob("*.png")], "holds none of the 40 images"),
    ("nih_chest_xray", lambda r: picture(r / "images/00000003_000.png"), "are the same image; keep one"),
    (
        "nih_chest_xray",
        lambda r: next(r.rglob("Data*.csv")).write_bytes(b"\xff\xfe\x00"),
        "is text in UTF-16; save it as CSV in UTF-8",
    ),
    ("chexpert", lambda r: remove(r, "train.csv"), "has no train.csv"),
    ("chexpert", lambda r: remove(r, "valid.csv"), "There is no .*valid.csv; take it from the release"),
    ("chexpert", lambda r: spoil(r, "train.csv", "Edema", "Oedema"), "train.csv has no column 'Edema'"),
    ("chexpert", lambda r: spoil(r, "train.csv", "-1.0", "maybe"), "line 8: 'maybe' in column 'Atelectasis'"),
    ("chexpert", lambda r: spoil(r, "train.csv", "patient00003", "person3"), "names no patient"),
    ("chexpert", lambda r: spoil(r, "train.csv", "CheXpert-v1.0-small/train", "../secret"), "leaves the folder"),
    ("chexpert", lambda r: remove(r, "*frontal.jpg"), "lacks 1 of the 20 frontal images"),
    ("montgomery", lambda r: empty(r, "leftMask/*.png"), "MCUCXR_0001_0.png is no whole PNG"),
    ("montgomery", lambda r: remove(r, "rightMask/*.png"), "rightMask/MCUCXR_0001_0.png is missing"),
    (
        "montgomery",
        lambda r: picture(r / "MontgomerySet/ManualMask/leftMask/MCUCXR_0001_0.png", (5, 4)),
        "4 x 5 px and its image",
    ),
    ("montgomery", lambda r: loop(r, "CXR_png/*.png"), "is (missing|no whole PNG)"),
    ("montgomery", lambda r: (r / "MontgomerySet/CXR_png").rename(r / "pictures"), "has no folder CXR_png"),
    ("montgomery", lambda r: [p.unlink() for p in r.rglob("CXR_png/*.png")], "holds no MCUCXR_"),
    ("shenzhen", lambda r: (r / "ChinaSet_AllFiles/mask").rename(r / "m"), "has no folder mask"),
    ("shenzhen", lambda r: [p.unlink() for p in r.rglob("*_mask.png")], "holds no mask of these radiographs"),
    ("shenzhen", lambda r: empty(r, "CXR_png/*.png"), "CHNCXR_0001_0.png is no whole PNG"),
    ("sars_cov_2_ct", lambda r: (r / "Healthy").rename(r / "Fine"), "has no folder Healthy"),
    ("sars_cov_2_ct", lambda r: picture(r / "Covid" / "7.png"), "slices outside of patients' folders"),
    ("sars_cov_2_ct", lambda r: (r / "Covid/Patient (99)").mkdir(), r"Patient \(99\) holds no slice"),
    ("sars_cov_2_ct", lambda r: (r / "covid-19").mkdir(), "are the same group"),
    ("amos", lambda r: bad_header(r, "imagesTr/*.gz"), "amos_0001.nii.gz is no whole NIfTI file"),
    ("amos", lambda r: empty(r, "imagesTr/*.gz"), "amos_0001.nii.gz is empty"),
    ("amos", lambda r: cut_short(r, "labelsTr/*.gz"), "labelsTr/amos_0001.nii.gz is cut short"),
    ("amos", lambda r: four_d(r, "imagesTr/*.gz"), r"has shape \(6, 5, 4, 2\)"),
    ("amos", lambda r: huge(r, "imagesTr/*.gz"), "claims 30000 x 30000 x 30000 voxels"),
    (
        "amos",
        lambda r: volume(sorted(r.rglob("labelsTr/*.gz"))[0], np.zeros((6, 5, 3), np.uint8)),
        "take the mask drawn on",
    ),
    ("amos", lambda r: reversed_scan(r, "labelsTr/*.gz"), "is stored along LAS and its image along RAS"),
    ("amos", lambda r: remove(r, "labelsTr/*.gz"), "labelsTr/amos_0001.nii.gz is missing"),
    ("amos", lambda r: loop(r, "imagesTr/*.gz"), "amos_0001.nii.gz"),
    ("amos", lambda r: (r / "amos22/dataset.json").write_text("{"), "dataset.json is no JSON file"),
    ("amos", lambda r: (r / "amos22/dataset.json").write_text("[]"), "has no list 'training'"),
    ("amos", lambda r: spoil(r, "dataset.json", "./imagesTr/amos_0001", "../../x"), "leaves the folder"),
    ("amos", lambda r: (r / "amos22/dataset.json").write_text(json.dumps({"training": [7]})), "entry 7 names no image"),
    ("amos", lambda r: (r / "amos22/imagesTr").rename(r / "t"), "has no folder imagesTr"),
    ("msd_heart", lambda r: bad_header(r, "imagesTr/*.gz"), "la_000.nii.gz is no whole NIfTI file"),
    ("msd_heart", lambda r: spoil(r, "dataset.json", "la_001", "la_000"), "lists 'la_000' twice"),
    ("brain_tumor", lambda r: v5(r, "1.mat"), "1.mat is a MATLAB v5 file"),
    ("brain_tumor", lambda r: empty(r, "1.mat"), "1.mat is cut short or no MATLAB v7.3 file"),
    ("brain_tumor", lambda r: loop(r, "1.mat"), "1.mat is not a file"),
]


@pytest.mark.parametrize("name, spoiling, sentence", CASES, ids=[f"{c[0]}-{k}" for k, c in enumerate(CASES)])
def test_a_bad_folder_is_told_in_one_sentence(tmp_path, name, spoiling, sentence):
    root = WRITERS[name](tmp_path / "data")
    spoiling(root)
    with pytest.raises(RadlibError) as told:
        open_dataset(name, root, progress=False)
    assert re.search(sentence, str(told.value)), told.value
    assert str(root) in str(told.value) and "Traceback" not in str(told.value)


@pytest.mark.parametrize("name", TASKS)
def test_an_empty_folder_and_a_missing_one_are_told(tmp_path, name):
    for root, sentence in ((tmp_path, "is empty"), (tmp_path / "none", "does not exist")):
        with pytest.raises(RadlibError, match=sentence):
            open_dataset(name, root)
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(RadlibError, match=str(tmp_path)):
        open_dataset(name, tmp_path)


def test_all_problems_of_a_folder_are_told_together(tmp_path):
    root = WRITERS["montgomery"](tmp_path)
    for k, path in enumerate(sorted(root.rglob("leftMask/*.png"))[:5]):
        path.unlink() if k % 2 else path.write_bytes(b"")
    with pytest.raises(RadlibError, match="And 2 more; radlib data check lists them all") as told:
        open_dataset("montgomery", root)
    assert len(told.value.problems) == 5


def test_a_byte_order_mark_spaces_and_other_alphabets_are_understood(tmp_path):
    root = WRITERS["nih_chest_xray"](tmp_path / "Röntgen 胸片")
    path = root / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace(",Mass,", ", Mass ,"), encoding="utf-8-sig")
    assert open_dataset("nih_chest_xray", root).labels.sum() == 20


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "P", "LA", "1", "RGB"])
def test_every_mode_of_picture_is_read_gray(tmp_path, mode):
    root = WRITERS["shenzhen"](tmp_path)
    path = sorted(root.rglob("CXR_png/*.png"))[0]
    gray = np.asarray(Image.open(path))
    if mode == "I;16":
        Image.fromarray(gray.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(gray).convert(mode).save(path)
    pixels = open_dataset("shenzhen", root).read(0)
    assert pixels.shape == (1, *gray.shape) and np.isfinite(pixels).all()
    if mode not in ("1", "P"):
        np.testing.assert_allclose(pixels[0] / (257 if mode == "I;16" else 1), gray)


def test_what_only_pixels_tell_is_told_when_they_are_read(tmp_path):
    root = WRITERS["amos"](tmp_path)
    first = sorted(root.rglob("imagesTr/*.gz"))[0]
    volume(first, np.full((6, 5, 4), np.nan, np.float32))
    volume(sorted(root.rglob("labelsTr/*.gz"))[0], np.full((6, 5, 4), 16, np.uint8))
    dataset = open_dataset("amos", root, progress=False)
    with pytest.raises(RadlibError, match=f"{first.name} holds NaN"):
        dataset.read(0)
    with pytest.raises(RadlibError, match="holds the label 16; whole numbers from 0 to 15"):
        dataset.mask(0)


def test_a_truncated_picture_is_told_when_it_is_read(tmp_path):
    root = WRITERS["chexpert"](tmp_path)
    path = next(iter(sorted(root.rglob("train/*/*/*frontal.jpg"))))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(RadlibError, match="is not a whole picture"):
        open_dataset("chexpert", root).read(0)


def test_a_folder_called_like_a_picture_and_a_linked_folder_do_no_harm(tmp_path):
    root = WRITERS["nih_chest_xray"](tmp_path / "data", folder="images")
    (root / "images" / "x.png").mkdir()
    os.symlink(root, root / "images" / "again")
    assert len(open_dataset("nih_chest_xray", root)) == 40
