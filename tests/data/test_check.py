import gzip
import json

import nibabel
import numpy as np
import pytest
import tifffile
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


def warnings_of(root, name="manifest"):
    report = check(name, root, deep=True, progress=False)
    return {finding.what: finding for finding in report.findings if finding.level == "warning"}


def segmentation(root, images, masks):
    """A manifest of 12 pictures with masks, one a patient."""
    root.mkdir(parents=True, exist_ok=True)
    rows = ["image,patient,mask"]
    for k, (image, mask) in enumerate(zip(images, masks, strict=True)):
        tifffile.imwrite(root / f"{k}.tif", image)
        picture(root / f"m{k}.png", values=mask)
        rows.append(f"{k}.tif,p{k},m{k}.png")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


HALF = np.where(np.arange(64).reshape(8, 8) % 8 < 4, 255, 0).astype(np.uint8)


def test_masks_that_are_all_foreground_are_said(tmp_path):
    film = np.arange(64, dtype=np.uint16).reshape(8, 8)
    full = np.full((8, 8), 255, np.uint8)
    found = warnings_of(segmentation(tmp_path, [film + k for k in range(12)], [full, full, *[HALF] * 10]))
    assert found["Mask that is all foreground: 2 images."].where == ("0.tif", "1.tif")
    assert not warnings_of(segmentation(tmp_path / "b", [film + k for k in range(12)], [HALF] * 12))


def test_images_that_are_normalized_already_are_said(tmp_path):
    raw = np.random.default_rng(0).normal(400, 90, (12, 3, 40, 40)).astype(np.float32)
    film = raw[0, 0]
    images = [*raw[:, 0]]
    images[1] = (film - film.mean()) / film.std()
    images[2] = (film - film.min()) / np.ptp(film)
    images[3] = (images[2] - 0.485) / 0.229  # as torchvision does
    images[4] = (film > 400).astype(np.float32)  # black and white, not normalized
    images[5] = (film - 400) / 1000 + 40  # small, but neither around 0 nor in [0, 1]
    mask = np.kron(HALF, np.ones((5, 5), np.uint8))
    found = warnings_of(segmentation(tmp_path, images, [mask] * 12))
    assert found["Normalized already, by their values: 3 images."].where == ("1.tif", "2.tif", "3.tif")


def normalized(root, images):
    """Which of twelve `images` are said to be normalized already."""
    mask = np.kron(HALF, np.ones((5, 5), np.uint8))
    found = warnings_of(segmentation(root, images, [mask] * 12))
    return [finding.where for what, finding in found.items() if what.startswith("Normalized already")]


BODY = np.hypot(*np.mgrid[-20:20, -20:20]) < 14
ROWS = tuple(f"{k}.tif" for k in range(12))


@pytest.mark.parametrize("outside", [0, -4.5, -2, 3])
def test_a_body_standardized_on_a_constant_background_is_said(tmp_path, outside):
    body = np.random.default_rng(0).normal(400, 90, (12, 40, 40)).clip(300, 700)
    inside = [(film - film[BODY].mean()) / film[BODY].std() for film in body]
    images = [np.where(BODY, film, outside).astype(np.float32) for film in inside]
    lowest = outside == 0 or outside <= min(film[BODY].min() for film in inside)
    assert normalized(tmp_path, images) == ([ROWS] if lowest else [])


@pytest.mark.parametrize("background", [False, True])
def test_images_standardized_by_the_mean_of_their_cohort_are_said(tmp_path, background):
    rng = np.random.default_rng(0)
    body = np.stack([rng.normal(200 + 40 * k, 90 + 5 * k, (40, 40)) for k in range(12)])
    seen = body[:, BODY] if background else body
    images = np.where(BODY | (not background), (body - seen.mean()) / seen.std(), 0).astype(np.float32)
    assert normalized(tmp_path / "all", images) == [ROWS]
    images[5] = body[5]  # one that is not: the others are not a cohort any more
    (some,) = normalized(tmp_path / "some", images) or [()]
    assert "5.tif" not in some


def test_volumes_standardized_within_the_body_are_said(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    assert not [what for what in warnings_of(root, "msd_heart") if "Normalized" in what]
    images = sorted(root.rglob("imagesTr/*.gz"))
    for path, empty in zip(images[:3], (0, -9, None), strict=True):
        source = nibabel.load(path)
        scan = np.random.default_rng(0).normal(5, 3, source.shape)  # slices without a body at both ends
        body = np.zeros(source.shape, bool)
        body[2:-2, 2:-2, 1:-1] = True
        scan = (scan - scan[body].mean()) / scan[body].std()
        whole = scan / 1000 + 2 if empty is None else np.where(body, scan, empty)
        volume(path, whole.astype(np.float32), source.affine)
    (finding,) = [finding for what, finding in warnings_of(root, "msd_heart").items() if "Normalized" in what]
    assert finding.where == tuple(path.relative_to(root).as_posix() for path in images[:2])


@pytest.mark.parametrize(
    "low, high",
    [(0, 0.003), (0.2, 2.5), (0.1, 0.9), (-0.8, 0.7), (0, 1.4)],
    ids=["ADC in mm2/s", "T1 in s", "share", "velocity in m/s", "T2 in s"],
)
def test_small_physical_units_are_not_called_normalized(tmp_path, low, high):
    films = np.random.default_rng(0).uniform(low, high, (12, 40, 40)).astype(np.float32)
    assert normalized(tmp_path / "all", films) == []
    assert normalized(tmp_path / "body", np.where(BODY, films, 0)) == []


@pytest.mark.parametrize("value, share", [(-2000, "below"), (1500, "above")])
def test_a_window_that_clips_much_is_said(tmp_path, value, share):
    root = WRITERS["amos"](tmp_path)
    inside = np.linspace(-1024, 600, 16 * 16 * 8).reshape(16, 16, 8).astype(np.int16)
    images, masks = sorted(root.rglob("images*/*.nii.gz")), sorted(root.rglob("labels*/*.nii.gz"))
    for path, mask in zip(images, masks, strict=True):
        volume(path, inside)
        volume(mask, np.pad(np.ones((4, 4, 4), np.uint8), ((0, 12), (0, 12), (0, 4))))
    assert not [what for what in warnings_of(root, "amos") if "clips" in what]
    for path, part in zip(images[:2], (0.04, 0.06), strict=True):
        cut = inside.copy()
        cut.ravel()[: round(part * cut.size)] = value
        volume(path, cut)
    noise = np.random.default_rng(0).normal(-1024, 40, inside.shape).astype(np.int16)  # air
    volume(images[2], np.where(inside < -800, noise, inside))
    (finding,) = [finding for what, finding in warnings_of(root, "amos").items() if "clips" in what]
    assert finding.what.startswith("More than 5% of the pixels outside the window of -1024 to 600")
    (where,) = finding.where
    assert images[1].name in where and f"6% {share}" in where


def test_a_volume_stored_in_another_orientation_than_its_cohort_is_said(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    assert not [what for what in warnings_of(root, "msd_heart") if "other axes" in what]
    image, mask = (sorted(root.rglob(f"{folder}/*.gz"))[3] for folder in ("imagesTr", "labelsTr"))
    for path in (image, mask):
        source = nibabel.load(path)
        volume(path, np.asarray(source.dataobj)[::-1], source.affine @ np.diag([-1, 1, 1, 1]))
    (finding,) = [finding for what, finding in warnings_of(root, "msd_heart").items() if "other axes" in what]
    assert finding.what.endswith("1 volume.")
    assert finding.where == (f"{image.relative_to(root).as_posix()} (LAS)",)
    pairs = list(zip(*(sorted(root.rglob(f"{folder}/*.gz")) for folder in ("imagesTr", "labelsTr")), strict=True))
    for k, pair in enumerate(pairs):  # three ways, none of them usual
        flips = [1, 1, 1, 1]
        flips[:2] = [(1, 1), (-1, 1), (1, -1)][k % 3]
        for path in pair:
            source = nibabel.as_closest_canonical(nibabel.load(path))
            volume(path, np.asarray(source.dataobj)[:: flips[0], :: flips[1]], source.affine @ np.diag(flips))
    (finding,) = [finding for what, finding in warnings_of(root, "msd_heart").items() if "axes" in what]
    assert finding.what.startswith("Stored along 3 different axes (")
    assert finding.what.endswith(f"{len(pairs)} volumes.") and len(finding.where) == len(pairs)
