import gzip
import json

import numpy as np
import pytest
from layouts import WRITERS, picture, volume

from radlib import cli
from radlib.data.catalog import TASKS
from radlib.data.check import check


def levels(report):
    return {finding.level: finding.what for finding in report.findings}


@pytest.mark.parametrize("name", TASKS)
def test_a_whole_release_has_no_error(tmp_path, name):
    more = {"patients": 60} if name == "nih_chest_xray" else {}  # so that every finding is met in train
    report = check(name, WRITERS[name](tmp_path, **more), deep=True, progress=False)
    assert report.exit_code == 0, report.as_text()
    assert [row["split"] for row in report.counts][0] == "all"
    assert sum(row["images"] for row in report.counts[1:]) == report.counts[0]["images"]


def test_the_same_film_in_two_splits_is_an_error_and_other_labels_are_said(tmp_path):
    root = WRITERS["nih_chest_xray"](tmp_path)
    first, last = sorted(root.rglob("*.png"), key=lambda path: path.name)[::39]
    last.write_bytes(first.read_bytes())
    report = check("nih_chest_xray", root, progress=False)
    assert report.exit_code == 1
    (across, disagree) = [finding for finding in report.findings if "There more than once" in finding.what]
    assert across.level == "error" and "in two splits" in across.what
    assert first.name in across.where[0] and last.name in across.where[0]
    assert disagree.level == "warning" and "different labels" in disagree.what


def test_one_image_under_two_headers_with_two_masks_is_found(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    images = sorted(root.rglob("imagesTr/*.gz"))
    import nibabel

    pixels = np.asarray(nibabel.load(images[2]).dataobj)
    volume(images[7], pixels.astype(np.float32), np.diag([2, 2, 3, 1.0]))
    masks = sorted(root.rglob("labelsTr/*.gz"))
    volume(masks[7], np.asarray(nibabel.load(masks[7]).dataobj), np.diag([2, 2, 3, 1.0]))
    report = check("msd_heart", root, progress=False)
    twice = [finding for finding in report.findings if "There more than once" in finding.what]
    assert len(twice) == 2 and all("la_002.nii.gz = " in finding.where[0] for finding in twice)
    assert "different labels or masks" in twice[1].what


def test_broken_headers_are_errors_before_anything_is_decoded(tmp_path):
    root = WRITERS["chexpert"](tmp_path)
    broken = sorted(root.rglob("*frontal.jpg"))[3]
    broken.write_bytes(b"")
    report = check("chexpert", root, progress=False)
    (finding,) = [finding for finding in report.findings if finding.level == "error"]
    assert finding.what == "1 file is no whole picture." and broken.name in finding.where[0]


def test_deep_finds_what_only_pixels_tell(tmp_path):
    root = WRITERS["amos"](tmp_path)
    image, mask = (sorted(root.rglob(f"{kind}Tr/*.gz")) for kind in ("images", "labels"))
    volume(image[0], np.full((6, 5, 4), 7, np.int16))
    volume(mask[1], np.full((6, 5, 4), 40, np.uint8))
    volume(image[2], np.full((6, 5, 4), np.nan, np.float32))
    assert check("amos", root, progress=False).exit_code == 0
    report = check("amos", root, deep=True, progress=False)
    (error,) = [finding for finding in report.findings if finding.level == "error"]
    assert any("holds the label 40; whole numbers" in line for line in error.where)
    assert any("holds NaN" in line for line in error.where)
    (flat,) = [finding for finding in report.findings if "One value throughout" in finding.what]
    assert flat.where[0].endswith("slice 0") and "amos_0001" in flat.where[0] and len(flat.where) == 4


def test_deep_names_scans_and_classes_without_foreground(tmp_path):
    root = WRITERS["amos"](tmp_path)
    masks = sorted(root.rglob("labelsTr/*.gz"))
    volume(masks[1], np.zeros((6, 5, 4), np.uint8))
    for path in sorted(root.rglob("labelsVa/*.gz")):
        volume(path, np.full((6, 5, 4), 6, np.uint8))
    report = check("amos", root, deep=True, progress=False)
    (bare,) = [finding for finding in report.findings if "without any foreground" in finding.what]
    assert bare.what == "Mask without any foreground: 1 scan." and bare.level == "warning"
    assert bare.where == ("amos22/imagesTr/amos_0002.nii.gz",)
    (absent,) = [finding for finding in report.findings if "of the classes" in finding.what]
    assert absent.what == "No mask in test holds 14 of the classes." and "liver" not in absent.where


def test_deep_refuses_a_split_of_background(tmp_path):
    root = WRITERS["amos"](tmp_path)
    for path in root.rglob("labelsVa/*.gz"):
        volume(path, np.zeros((6, 5, 4), np.uint8))
    report = check("amos", root, deep=True, progress=False)
    assert report.exit_code == 1
    assert [finding.what for finding in report.findings if finding.level == "error"] == [
        "No mask in test holds any foreground."
    ]


def test_a_spacing_of_zero_is_an_error_that_names_the_field(tmp_path):
    root = WRITERS["amos"](tmp_path)
    path = sorted(root.rglob("imagesTr/*.gz"))[2]
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[80:84] = bytes(4)  # pixdim[1]
    path.write_bytes(gzip.compress(bytes(raw)))
    report = check("amos", root, progress=False)
    assert report.exit_code == 1
    assert f"{path.name} has a voxel spacing of 0 x 1.5 x 5 mm (pixdim in its header)" in report.findings[0].what


def test_every_problem_of_a_folder_that_cannot_be_opened_is_listed(tmp_path):
    root = WRITERS["montgomery"](tmp_path)
    for path in sorted(root.rglob("rightMask/*.png"))[:7]:
        path.unlink()
    report = check("montgomery", root, progress=False)
    assert report.exit_code == 1 and len(report.findings) == 7


def test_relatives_and_absent_classes_are_warnings(tmp_path):
    root = WRITERS["nih_chest_xray"](tmp_path)
    path = root / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace(",19,", ",0B,").replace(",0,40,", ",0,40,"))
    report = check("nih_chest_xray", root, progress=False)
    said = "\n".join(finding.what for finding in report.findings)
    assert "1 family of patient ids" in said and "No image in test bears" in said


def test_a_patient_in_two_splits_is_an_error(tmp_path):
    root = WRITERS["nih_chest_xray"](tmp_path)
    lists = [root / name for name in ("train_val_list.txt", "test_list.txt")]
    moved = "00000000_001.png\n"
    lists[0].write_text(lists[0].read_text().replace(moved, ""))
    lists[1].write_text(lists[1].read_text() + moved)
    report = check("nih_chest_xray", root, progress=False)
    assert report.exit_code == 1
    assert any("patient '0' is in both test and train" in finding.what for finding in report.findings)


def test_the_command_prints_text_or_json_and_ends_with_the_code(tmp_path, capsys):
    root = WRITERS["shenzhen"](tmp_path)
    assert cli.main(["data", "check", "shenzhen", "--root", str(root)]) == 0
    assert "No error was found." in capsys.readouterr().out
    picture(root / "ChinaSet_AllFiles/mask/CHNCXR_0001_0_mask.png", (3, 3))
    assert cli.main(["data", "check", "shenzhen", "--root", str(root), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["exit_code"] == 1 and report["findings"][0]["level"] == "error"
    assert cli.main(["data", "check", "shenzen", "--root", str(root)]) == 2
    assert "did you mean 'shenzhen'" in capsys.readouterr().err


def test_the_split_command_writes_a_table_that_can_be_changed_and_given_back(tmp_path, capsys):
    root = WRITERS["montgomery"](tmp_path / "data")
    assert cli.main(["data", "split", "montgomery", "--root", str(root), "--out", str(tmp_path / "s.csv")]) == 0
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "patient,split" and len(lines) == 13 and lines[1] == "MCUCXR_0001,test"
    (tmp_path / "s.csv").write_text("\n".join(lines[:-1]))
    given = ["data", "check", "montgomery", "--root", str(root), "--split-file", str(tmp_path / "s.csv")]
    assert cli.main(given) == 1
    assert "has no row for 'MCUCXR_0012'" in capsys.readouterr().out
