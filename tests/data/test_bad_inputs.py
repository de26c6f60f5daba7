"""Two hundred bad inputs and the one sentence that each is answered with: what is wrong, where, and how to mend it."""

import gzip
import json
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from layouts import WRITERS, chexpert_, montgomery_, picture, sars_cov_2_ct_, shenzhen_, table, volume
from test_bombs import compressed_frames, mat, png
from test_dicom import GRID, save

from radlib import cli
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


class Case(NamedTuple):
    """`spoil` gets a whole stand-in of `layout`; reading it all then raises one sentence like `sentence`."""

    name: str
    layout: str
    spoil: Callable[[Path], object]
    sentence: str


def put(path: Path, content: bytes | str) -> None:
    """Write a file anew: its bytes are shared, by a hard link, with the stand-in it was copied from."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


def anew(path: Path, write: Callable[[Path], object]) -> None:
    path.unlink()
    write(path)


# Pictures: the same faults in every layout that has them.

PICTURES = {
    "nih_chest_xray": "00000000_000.png",
    "chexpert": "patient00000/study1/view1_frontal.jpg",
    "montgomery": "CXR_png/MCUCXR_0001_0.png",
    "shenzhen": "CXR_png/CHNCXR_0001_0.png",
    "sars_cov_2_ct": "Covid/Patient (1)/1.png",
    "manifest": "0.png",
}
PICTURE_FAULTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: put(path, b""),
    "text": lambda path: put(path, "not a picture"),
    "a program": lambda path: put(path, "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"),
    "cut": lambda path: put(path, path.read_bytes()[: len(path.read_bytes()) * 2 // 3]),
    "too wide": lambda path: anew(path, lambda new: png(new, 10**7, 9)),
    "too large": lambda path: anew(path, lambda new: png(new, 30_000, 30_000)),
    "a zip": lambda path: put(path, b"PK\x03\x04" + bytes(60)),
}


def pictures() -> Iterator[Case]:
    for layout, name in PICTURES.items():
        for fault, spoil in PICTURE_FAULTS.items():
            file = re.escape(name.split("/")[-1])
            said = rf"{file} (is no whole|is not a whole|claims|is missing).*[;:] \w"
            if layout == "manifest" and fault != "cut":
                said = rf"manifest.csv lists 1 of 12 files that are not pictures, first '{file}'; export"
            yield Case(f"{layout}: a picture {fault}", layout, lambda root, s=spoil, n=name: s(only(root, n)), said)


def only(root: Path, ending: str) -> Path:
    (path,) = [path for path in root.rglob("*") if path.as_posix().endswith("/" + ending)]
    return path


# Masks that are pictures.


def masks() -> Iterator[Case]:
    for layout, ending in (("montgomery", "leftMask/MCUCXR_0001_0.png"), ("shenzhen", "mask/CHNCXR_0001_0_mask.png")):
        file = re.escape(ending.split("/")[-1])
        for fault, spoil, words in (
            ("empty", lambda path: put(path, b""), "is no whole PNG"),
            ("of another size", lambda path: anew(path, lambda new: picture(new, (3, 4))), "px"),
            ("gray", lambda path: anew(path, lambda new: picture(new, values=np.full((12, 10), 7, np.uint8))),
             "is a mask whose largest value is 7; draw"),
        ):  # fmt: skip
            yield Case(
                f"{layout}: a mask {fault}",
                layout,
                lambda root, s=spoil, e=ending: s(only(root, e)),
                f"{file} .*{words}",
            )


# Volumes: images and masks of both cohorts of CT and MRI.


def raw(path: Path, low: int, content: bytes) -> None:
    """Put `content` at byte `low` of a volume's header."""
    whole = bytearray(gzip.decompress(path.read_bytes()))
    whole[low : low + len(content)] = content
    put(path, gzip.compress(bytes(whole)))


VOLUME_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: put(path, b""), "is empty; take"),
    "not packed": (lambda path: put(path, b"NIfTI" * 99), "is no whole NIfTI file; take"),
    "of garbage": (lambda path: put(path, gzip.compress(b"\x07" * 900)), "is no whole NIfTI file; take"),
    "without voxels": (
        lambda path: put(path, gzip.compress(gzip.decompress(path.read_bytes())[:360])), "is cut short; take",
    ),
    "cut": (lambda path: put(path, path.read_bytes()[: len(path.read_bytes()) // 2]), "(is cut short|no whole NIfTI)"),
    "with a flipped bit": (
        lambda path: put(path, flipped(path.read_bytes())), "(is cut short|no whole NIfTI file)",
    ),
    "of four axes": (
        lambda path: anew(path, lambda new: volume(new, np.zeros((6, 5, 4, 2), np.int16))),
        r"shape \(6, 5, 4, 2\); a vol",
    ),
    "of two axes": (
        lambda path: anew(path, lambda new: volume(new, np.zeros((6, 5), np.int16))),
        "a single 2-D picture of 6 x 5 pixels; save",
    ),
    "of colours": (
        lambda path: anew(path, lambda new: volume(new, np.zeros((6, 5, 4), np.complex64))), "holds complex64; convert",
    ),
    "of a million slices": (lambda path: raw(path, 42, struct.pack("<3h", *[30000] * 3)), "claims 30000 x 30000"),
    "of a negative size": (lambda path: raw(path, 42, struct.pack("<h", -6)), "(no whole NIfTI|has shape)"),
    "of nine axes": (lambda path: raw(path, 40, struct.pack("<h", 9)), "is no whole NIfTI file"),
    "without spacing": (lambda path: raw(path, 80, struct.pack("<f", 0)), "has a voxel spacing of 0 x .*; write"),
    "with NaN for spacing": (lambda path: raw(path, 84, struct.pack("<f", np.nan)), "has a voxel spacing of .*nan"),
    "with voxels far away": (lambda path: raw(path, 108, struct.pack("<f", 3e9)), "voxels begin at byte 3000000000"),
    "with voxels nowhere": (lambda path: raw(path, 108, struct.pack("<f", np.nan)), "voxels begin at byte nan"),
    "without place": (
        lambda path: raw(path, 252, struct.pack("<2h", 0, 1) + bytes(24) + struct.pack("<12f", *[np.nan] * 12)),
        "(has no usable orientation|no whole NIfTI)",
    ),
    "scaled beyond all numbers": (lambda path: raw(path, 112, struct.pack("<f", 1e30)), "scales its voxels by 1e.30"),
    "moved beyond all numbers": (lambda path: raw(path, 112, struct.pack("<2f", 1, 1e38)), "adds 1e.38 .*; export"),
    "scaled out of 64 bits": (lambda path: raw(path, 112, struct.pack("<f", 1e18)), "scales its voxels by 1e.18"),
    "of an unknown type": (lambda path: raw(path, 70, struct.pack("<h", 3333)), "is no whole NIfTI file"),
}  # fmt: skip


def flipped(content: bytes) -> bytes:
    """One bit in the middle turned."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def volumes() -> Iterator[Case]:
    for layout, name in (("amos", "amos_0001"), ("msd_heart", "la_000")):
        for folder in ("imagesTr", "labelsTr"):
            for fault, (spoil, words) in VOLUME_FAULTS.items():
                ending = f"{folder}/{name}.nii.gz"
                yield Case(
                    f"{layout}: {folder} {fault}", layout, lambda root, s=spoil, e=ending: s(only(root, e)),
                    rf"{folder}/{name}\.nii\.gz .*{words}",
                )  # fmt: skip


# dataset.json

JSON_FAULTS = {
    "empty": ("", "is no JSON file .*; take it"),
    "cut": ('{"training": [', "is no JSON file .*; take it"),
    "a list": ("[]", "has no list 'training'; take"),
    "a number": ("7", "has no list 'training'; take"),
    "without a list": ('{"training": {}}', "has no list 'training'; take"),
    "of numbers": ('{"training": [7]}', "entry 7 names no image and label"),
    "without labels": ('{"training": [{"image": "./imagesTr/x.nii.gz"}]}', "names no image and label"),
    "that climbs": ('{"training": ["../../etc/x.nii.gz"]}', "leaves the folder; give a path below"),
    "that starts at the root": ('{"training": ["/etc/x.nii.gz"]}', "leaves the folder; give a path below"),
    "of nothing": ('{"training": []}', "holds no scan with a label .*; unpack"),
    "of absent scans": ('{"training": ["./imagesTr/none.nii.gz"]}', r"none\.nii\.gz is missing; take"),
    "a hundred thousand deep": ("[" * 100_000, "is no JSON file .*; take it"),
    "of a long number": ('{"training": ' + "9" * 5000 + "}", "is no JSON file .*; take it"),
    "not of text": ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "is no JSON file .*; take it"),
}


def lists() -> Iterator[Case]:
    for layout in ("amos", "msd_heart"):
        for fault, (content, words) in JSON_FAULTS.items():
            place = "" if "scan" in words or "missing" in words else r"dataset\.json.*"
            yield Case(
                f"{layout}: dataset.json {fault}", layout,
                lambda root, c=content: put(first(root, "dataset.json"), c), place + words,
            )  # fmt: skip


# CSV files

TABLES = {"nih_chest_xray": "Data_Entry_2017_v2020.csv", "chexpert": "train.csv", "manifest": "manifest.csv"}
CSV_FAULTS: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "empty": (lambda text: "", "cannot be read as a CSV file in UTF-8 .*; save it"),
    "of a header alone": (lambda text: text.split("\n")[0] + "\n", "lists nothing below its header; take"),
    "of another alphabet": (lambda text: text.encode("utf-16"), "is text in UTF-16; save it"),
    "of bytes": (lambda text: bytes(range(256)) * 9, "cannot be read as a CSV file in UTF-8 .*; save it"),
    "with semicolons": (lambda text: text.replace(",", ";"), "separates its columns by semicolons; save it"),
    "with a column twice": (
        lambda text: "\n".join(f"{line},{line.split(',')[0]}" for line in text.splitlines()),
        "has two columns '.*; rename",
    ),
    "with a column renamed": (lambda text: text.replace(text.split(",")[0], "Name", 1), "has no column '.*; add it"),
    "with a row too long": (lambda text: text + "a,b" + ",c" * 99 + "\n", r"line \d+ has 101 cells and the header"),
    "with an open quote": (lambda text: text + '"a,b\n', "(cannot be read as a CSV file|.+[;:] .+)"),
    "packed": (lambda text: gzip.compress(text.encode()), "cannot be read as a CSV file in UTF-8 .*; save it"),
}  # fmt: skip


def tables_() -> Iterator[Case]:
    for layout, name in TABLES.items():
        for fault, (spoil, words) in CSV_FAULTS.items():
            yield Case(
                f"{layout}: {name} {fault}", layout,
                lambda root, s=spoil, n=name: put(first(root, n), s(first(root, n).read_text())),
                re.escape(name) + ".*" + words,
            )  # fmt: skip
    for name, change, words in (
        ("a cell is empty", ("p3", ""), "column 'patient' is empty in line 5; fill it or delete"),
        (
            "an image is absent",
            ("4.png", "none.png"),
            r"lists 1 of 12 images that do not exist, first 'none\.png'; correct",
        ),
        ("an image is listed twice", ("4.png", "5.png"), "twice"),
        ("a path climbs", ("4.png", "../../etc/passwd"), "line 6: .* leaves the folder; give a path below"),
        ("a path starts at the root", ("4.png", "/etc/passwd"), "line 6: .* leaves the folder; give a path below"),
        ("a path climbs by backslashes", ("4.png", "..\\\\..\\\\x.png"), "line 6: .* leaves the folder"),
        ("the classes are one", (",sick", ",well"), "every label is 'well'; a classifier needs at least two"),
        ("slices are numbered", ("label", "slice"), "column 'slice'; rename or delete"),
        ("there is no truth", (",label", ",sex"), "has no label; add a column"),
        ("a path is too long for a disk", (r"4\.png", "x" * 300 + ".png"), "do not exist, first 'x+.png'; correct"),
        ("a path would clear the screen", (r"4\.png", "\033[2J.png"), r"first '\\x1b\[2J\.png'; correct"),
        ("a path would forge a line", (r"4\.png", '"x\nradlib: all is well"'), r"first 'x\\nradlib: all is well'; cor"),
        ("a class would clear the screen", (",(sick|well)", ",\033c"), r"every label is '\\x1bc'; a classifier"),
        (
            "there are two thousand columns",
            ("label\n", "label" + "".join(f",c{k}" for k in range(2000)) + "\n"),
            "has 2,003 columns, more than the 1,000",
        ),
        (
            "an age is endless",
            (",label\n0.png,", ",label,age\n0.png,p0,well,inf\n0.png,"),
            "'inf' in line 2; write years",
        ),
        (
            "an age is negative",
            (",label\n0.png,", ",label,age\n0.png,p0,well,-5\n0.png,"),
            "'-5' in line 2; write years",
        ),
        ("a finding is no number", ("label", "pneumonia"), "column 'pneumonia' holds '.*' in line 2"),
    ):
        yield Case(
            f"manifest: {name}", "manifest",
            lambda root, c=change: put(root / "manifest.csv", re.sub(*c, (root / "manifest.csv").read_text())),
            r"manifest\.csv.*" + words,
        )  # fmt: skip

    for name, value in (
        ("a million", "1" + "0" * 6),
        ("of six digits", "100000"),
        ("of 300 digits", "9" * 300),
        ("zero", "0"),
        ("a square", "²"),
    ):
        yield Case(
            f"manifest: a class of value {name}", "manifest",
            lambda root, v=value: put(root / "classes.csv", f"value,name\n{v},heart\n"),
            r"classes\.csv, line 2: the value .* is no whole number",
        )  # fmt: skip


# MATLAB files


def without(name: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            box = file.create_group("cjdata")
            box["label"], box["PID"] = np.array([[1.0]]), np.array([[80], [49]], np.uint16)
            box["image"] = np.ones((4, 5), np.int16)
            del box[name]

    return write


def with_(name: str, value: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        without(name)(path)
        with h5py.File(path, "a") as file:
            file["cjdata"][name] = value

    return write


def with_group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        box = file.create_group("cjdata")
        box["label"], box["PID"], box["image/more"] = np.array([[1.0]]), np.array([[80]], np.uint16), 1


MAT_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: put(path, b""), "is cut short or no MATLAB v7.3 file; take"),
    "of version 5": (lambda path: put(path, b"MATLAB 5.0 MAT-file".ljust(300)), "is a MATLAB v5 file; take"),
    "text": (lambda path: put(path, "no"), "is cut short or no MATLAB v7.3 file"),
    "without its group": (lambda path: h5py.File(path, "w").close(), "has no group 'cjdata'; move it"),
    "without a label": (without("label"), "has no field 'cjdata/label'; take"),
    "without a patient": (without("PID"), "has no field 'cjdata/PID'; take"),
    "without an image": (without("image"), "has no field 'cjdata/image'; take"),
    "of an unknown label": (with_("label", [[4.0]]), "cjdata/label is 4; it must be"),
    "of no label": (with_("label", [[np.nan]]), "cjdata/label is nan; it must be"),
    "of two labels": (with_("label", [[1.0, 2.0]]), "cjdata/label is not stored as in the release"),
    "of an empty patient": (with_("PID", np.array([[32]], np.uint16)), "cjdata/PID is empty; without"),
    "of a negative patient": (with_("PID", np.array([[-5]])), "cjdata/PID is no text; take"),
    "of a patient beyond letters": (with_("PID", np.array([[2**40]])), "cjdata/PID is no text; take"),
    "of a long patient": (with_("PID", np.full((5000, 1), 80, np.uint16)), "cjdata/PID is not stored as"),
    "of text for an image": (with_("image", "pixels"), "cjdata/image"),
    "of real numbers": (with_("image", np.ones((4, 5))), "cjdata/image holds float64; the release holds"),
    "of three axes": (with_("image", np.ones((4, 5, 2), np.int16)), r"cjdata/image has shape \(4, 5, 2\); one"),
    "of no pixels": (with_("image", np.ones((0, 5), np.int16)), r"cjdata/image has shape \(0, 5\); one"),
    "of a group for an image": (with_group, "cjdata is not built as in the release"),
    "that claims too much": (lambda path: mat(path, "image", (10**6, 10**6)), "claims 1000000 x 1000000 numbers"),
}


def mats() -> Iterator[Case]:
    for fault, (write, words) in MAT_FAULTS.items():
        yield Case(
            f"brain_tumor: a slice {fault}", "brain_tumor",
            lambda root, w=write: anew(root / "3.mat", w), r"3\.mat:? .*" + words,
        )  # fmt: skip


# DICOM files of a manifest

DICOM_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: put(path, b""), "is no whole DICOM file; export"),
    "text": (lambda path: put(path, "not a scan"), "is no whole DICOM file; export"),
    "cut": (lambda path: put(path, path.read_bytes()[:-20]), "(no whole DICOM file|fewer pixels than its header)"),
    "without pixels": (lambda path: save(path, None), "is a DICOM file without an image"),
    "of no rows": (lambda path: save(path, GRID, Rows=0), "is a DICOM file without an image"),
    "of too many rows": (lambda path: save(path, GRID, Rows=60_000, Columns=60_000), "claims 1 frames of 60,000"),
    "of too many frames": (lambda path: save(path, GRID, NumberOfFrames=10**6), "claims 1,000,000 frames"),
    "of absent frames": (lambda path: save(path, GRID, NumberOfFrames=9), "holds fewer pixels than its header"),
    "of absent packed frames": (lambda path: compressed_frames(path, 9000, 6, 8), "holds fewer frames than its header"),
}  # fmt: skip


def dicoms() -> Iterator[Case]:
    for fault, (spoil, words) in DICOM_FAULTS.items():
        yield Case(
            f"manifest: a DICOM file {fault}", "dicom",
            lambda root, s=spoil: anew(root / "2.dcm", s) if s.__code__.co_names[0] != "put" else s(root / "2.dcm"),
            r"2\.dcm.* " + words,
        )  # fmt: skip


# Folders


def folders() -> Iterator[Case]:
    for layout, folder in (
        *(
            ("montgomery", f"MontgomerySet/{name}")
            for name in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask")
        ),
        *(("shenzhen", f"ChinaSet_AllFiles/{name}") for name in ("CXR_png", "mask")),
        *(("sars_cov_2_ct", name) for name in ("Covid", "Healthy", "Others")),
        *(("amos", f"amos22/{name}") for name in ("imagesTr", "labelsTr")),
        *(("msd_heart", f"Task02_Heart/{name}") for name in ("imagesTr", "labelsTr")),
    ):
        name = folder.split("/")[-1]
        yield Case(
            f"{layout}: no {name}", layout, lambda root, f=folder: (root / f).rename(root / "elsewhere"),
            rf"(no folders? .*{name}|{name}/\S* is missing|lacks|holds no).*[;:,] \w",
        )  # fmt: skip


CASES = [*pictures(), *masks(), *volumes(), *lists(), *tables_(), *mats(), *dicoms(), *folders()]


def manifest_(root: Path) -> Path:
    rows = []
    for k in range(12):
        picture(root / f"{k}.png", seed=k)
        rows.append((f"{k}.png", f"p{k}", "sick" if k % 2 else "well"))
    table(root / "manifest.csv", ("image", "patient", "label"), rows)
    return root


def dicom_(root: Path) -> Path:
    for k in range(12):
        save(root / f"{k}.dcm", GRID + k)
    table(root / "manifest.csv", ("image", "patient", "label"), [(f"{k}.dcm", f"p{k}", "ab"[k % 2]) for k in range(12)])
    return root


SMALL = {
    "chexpert": chexpert_,
    "montgomery": lambda root: montgomery_(root, 4),
    "shenzhen": lambda root: shenzhen_(root, 8),
    "sars_cov_2_ct": lambda root: sars_cov_2_ct_(root, (4, 4, 4)),
    "manifest": manifest_,
    "dicom": dicom_,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole stand-in of every layout, made once."""
    made: dict[str, Path] = {}

    def of(layout: str) -> Path:
        if layout not in made:
            root = tmp_path_factory.mktemp(layout)
            made[layout] = (SMALL.get(layout) or WRITERS[layout])(root / "whole")
        return made[layout]

    return of


def linked(source: Path, target: Path) -> Path:
    """A copy whose files are the source's own: nothing is copied but what is spoiled."""
    for folder, _, files in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True)
        for name in files:
            os.link(Path(folder) / name, place / name)
    return target


def read_all(layout: str, root: Path) -> None:
    dataset = open_dataset("manifest" if layout == "dicom" else layout, root, progress=False)
    for row in range(len(dataset)):
        dataset.read(row)
        if dataset.read_mask is not None:
            dataset.mask(row)


def one_sentence(error: RadlibError, root: Path) -> str:
    said = str(error)
    assert "\n" not in said and "Traceback" not in said and len(said) < 900
    assert said.endswith((".", "!", "?")) or "And " in said
    assert str(root) in said
    return said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_input_is_answered_with_one_sentence(tmp_path, whole, case):
    root = linked(whole(case.layout), tmp_path / "data")
    case.spoil(root)
    with pytest.raises(RadlibError) as told:
        read_all(case.layout, root)
    assert re.search(case.sentence, one_sentence(told.value, root)), told.value


@pytest.mark.parametrize("layout", [*WRITERS, "manifest", "dicom"])
def test_what_is_not_spoiled_is_read(tmp_path, whole, layout):
    read_all(layout, linked(whole(layout), tmp_path / "data"))


SPLIT = {
    "absent": (None, "There is no"),
    "empty": ("", "cannot be read as a CSV file"),
    "without a column": ("patient,part\np0,train\n", "has no column 'split'"),
    "with a patient twice": ("patient,split\np0,train\np0,test\n", "'p0' is listed twice; keep one"),
    "with a patient missing": ("patient,split\np0,train\n", "has no row for 'p1' and 10 more"),
    "with a stranger": (
        "patient,split\n" + "".join(f"p{k},train\n" for k in range(12)) + "x,test\n", "does not hold: 'x'",
    ),
    "with an unknown set": (
        "patient,split\n" + "".join(f"p{k},dev\n" for k in range(12)), "the split 'dev' is unknown",
    ),
    "without test": ("patient,split\n" + "".join(f"p{k},train\n" for k in range(12)), "no sample is in the"),
    "of bytes": ("\x00\x01,\x02\n", "split.csv"),
}  # fmt: skip


@pytest.mark.parametrize("content, sentence", SPLIT.values(), ids=SPLIT)
def test_a_bad_split_file_is_answered_with_one_sentence(tmp_path, whole, content, sentence):
    path = tmp_path / "split.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RadlibError) as told:
        open_dataset("manifest", whole("manifest"), split_file=path)
    assert re.search(sentence, one_sentence(told.value, path)), told.value


COMMANDS = [
    (["data", "check", "brain_tumour", "--root", "."], "no dataset called 'brain_tumour'; did you mean 'brain_tumor'"),
    (["data", "fetch", "nih"], "no dataset called 'nih'"),
    (["data", "split", "amos", "--root", "none", "--out", "x.csv"], "none does not exist; data_root is the folder"),
    (["data", "split", "amos", "--root", "file", "--out", "x.csv"], "file is a file; data_root is the folder"),
    (["data", "standin", "amoss", "--out", "x"], "did you mean 'amos'"),
    (["data", "standin", "amos", "--out", "x", "--patients", "3"], "3 patients .* ask for 12 patients or more"),
    (["data", "standin", "amos", "--out", "x", "--seed", "-1"], "seed of 0 or more"),
    (["data", "standin", "amos", "--out", "full"], "is not empty and is not a stand-in"),
    (["run", "table4"], "no notebook called 'table4'; did you mean 'table04'"),
    (["run", "table04", "-p", "epoch", "1"], "no parameter of table04 called 'epoch'; did you mean 'epochs'"),
    (["run", "table04", "-p", "epochs", "[1"], "Parameter 'epochs' is no YAML value"),
    (["run", "table04", "-p", "epochs", "2020-01-01"], "Parameter 'epochs' is no text, number, list or dict"),
    (["run", "table04", "-p", "epochs", "&a [*a]"], "Parameter 'epochs' is no text, number, list or dict"),
    (["run", "table04", "-p", "epochs", "[" * 9000], "Parameter 'epochs' is no YAML value"),
    (["run", "table04", "-p", "epochs", "!!python/name:os.system"], "Parameter 'epochs' is no YAML value"),
    (["run", "table04", "--output", "full"], "cannot be written to full, which is a folder; name a file"),
    (["run", "table04", "--output", "x" * 300], "cannot be written to x+ .File name too long"),
    (["data", "split", "amos", "--root", "x" * 5000, "--out", "x.csv"], "x does not exist; data_root is the folder"),
    (["data", "split", "amos", "--root", "~no-such-user", "--out", "x.csv"], "~no-such-user does not exist; data_root"),
    (["features", "amos", "--backbone", "vgg19", "--shards", "²/²"], "--shards is '²/²'; write it as K/N"),
    (["features", "amos", "--backbone", "vgg19", "--shards", "1/" + "9" * 5000], "--shards is .*; write it as K/N"),
    (["features", "amos", "--backbone", "vgg19", "--shards", "3/2"], "Part 3/2 is out of range; use 1/2 to 2/2"),
    (["features", "amos", "--backbone", "vgg19", "--image-size", "20000"], "'image_size' is 20000: at most 2048"),
    (["features", "amos", "--backbone", "vits14_random", "--seed", str(2**70)], "'seed' is .*: a number below"),
    (["features", "amos", "--backbone", "vits14_random", "--seed", "-1"], "'seed' is -1: at least 0"),
    (["features", "amos", "--backbone", "dinov2_vits14", "--patch-blocks", "9"], "'patch_blocks' is 9: at most 5"),
    (["features", "amos", "--backbone", "file:~no-such-user/x.pt=resnet18"], "user/x.pt are not there; name"),
    (["features", "amos", "--backbone", "file:" + "x" * 300 + ".pt=resnet18"], "are not there; name a"),
    (
        ["features", "amos", "--backbone", "timm:resnet81"],
        "timm model called 'resnet81'; near it are resnet50.d_in1k, ",
    ),
    (["features", "amos", "--backbone", "timm:resnet18\n"], r"timm model called 'resnet18\\n'; near it are"),
    (["features", "amos", "--backbone", "vits14_random", "--data-root", "~no-such-user"], "does not exist; data_root"),
    (["segment", "amos", "--root", "full", "--segmenter", "unett"], "segmenters"),
    (["segment", "brain_tumor", "--root", "full"], "has labels and no masks; name one of the datasets to segment"),
    (["segment", "amos", "--root", "full", "-p", "datasets", "amos"], "'datasets' is told by the command itself"),
    (["segment", "amos", "--root", "full", "-p", "backbones", "vgg19"], "'vgg19' has no patch tokens"),
    (["cache", "clear", "feature"], "no part of the cache called 'feature'; did you mean 'features'"),
    (["cache", "verify", "x"], "no part of the cache called 'x'"),
]


@pytest.mark.parametrize("arguments, sentence", COMMANDS, ids=lambda value: " ".join(value)[:60])
def test_a_bad_command_is_answered_with_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    put(tmp_path / "full" / "x.txt", "mine")
    assert cli.main(arguments) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("radlib: ") and re.search(sentence, said), said


def wrong_parameters() -> Iterator[tuple[str, object, str]]:
    for name, values in {
        "datasets": (["brain_tumour"], [], "['a", 7),
        "backbones": (["vits15"], 7, "[a"),
        "image_size": (0, -1, "big", 2.5, 10**6, None, [224]),
        "resamples": (1, "many", -5),
        "seed": (-1, "x", 1.5, 2**32),
        "device": ("tpu", 7),
        "protocol": ("theirs", 1),
        "data_root": (7, ["a"]),
        "split_file": (True,),
        "data_note": ({"a": 1},),
        "results_dir": (3,),
        "epochs": (0, "x"),
    }.items():
        for value in values:
            yield name, value, "|".join((name, *WORDS.get(name, ())))


WORDS = {"datasets": ("dataset",), "backbones": ("backbone",), "image_size": ("px",), "device": ("device",)}


@pytest.mark.parametrize("name, value, sentence", [*wrong_parameters()], ids=lambda value: repr(value)[:30])
def test_a_wrong_parameter_is_answered_with_one_sentence(name, value, sentence):
    from radlib.report import probing
    from radlib.report.experiment import checked

    with pytest.raises(RadlibError) as told:
        checked(probing.Probing, {"datasets": ["brain_tumor"], name: value})
    assert re.search(sentence, str(told.value)) and "\n" not in str(told.value), told.value


RESULT_FAULTS: dict[str, tuple[Callable[[dict], object], str]] = {
    "a value above one": (lambda found: found.update(value=1.5), "value: .* less than or equal to 1"),
    "a value that is text": (lambda found: found.update(value="high"), "value: "),
    "no value": (lambda found: found.pop("value"), "value: Field required"),
    "a field too many": (lambda found: found.update(extra=1), "extra: "),
    "an interval upside down": (lambda found: found["interval"].update(low=1.0, high=0.1), "low 1.0 is above high"),
    "an unknown protocol": (lambda found: found.update(protocol="guess"), "protocol"),
    "an unknown origin": (lambda found: found["data"].update(origin="web"), "data.origin: "),
    "a hash too short": (lambda found: found.update(predictions_sha256="abc"), "predictions_sha256: "),
    "no images": (lambda found: found.update(n_images=0), "n_images: "),
    "a later version": (lambda found: found.update(schema_version=2), "schema_version: "),
    "true for a number": (lambda found: found.update(value=True), "value: Input should be a valid number"),
    "a table that climbs": (lambda found: found.update(table="../../x"), "table: String should match"),
    "a list for text": (lambda found: found.update(table=[]), "table: "),
    "nothing in the data": (lambda found: found.update(data={}), "data.dataset: Field required"),
}


@pytest.mark.parametrize("spoil, sentence", RESULT_FAULTS.values(), ids=RESULT_FAULTS)
def test_a_bad_result_is_answered_with_one_sentence(tmp_path, spoil, sentence):
    from radlib.report import result

    good = json.loads(sorted(result.PUBLISHED.rglob("*.json"))[0].read_text())
    spoil(good)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(good))
    with pytest.raises(RadlibError) as told:
        result.read(path)
    assert re.search(sentence, one_sentence(told.value, path)), told.value


def test_a_result_that_is_no_file_of_its_kind_is_answered_with_one_sentence(tmp_path):
    from radlib.report import result

    good = sorted(result.PUBLISHED.rglob("*.json"))[0].read_text()
    os.mkfifo(tmp_path / "pipe.json")
    put(tmp_path / "large.json", good + " " * result.MOST_BYTES)
    put(tmp_path / "twice.json", good.replace('"value"', '"value": 0.5, "value"', 1))
    for name, sentence in (
        ("pipe", "pipe.json is not a regular file; check"),
        ("large", "large.json takes 16.8 MB, a Result at most"),
        ("twice", "twice.json: a field stands there twice; delete"),
        ("none", "none.json does not exist; check"),
    ):
        with pytest.raises(RadlibError, match=sentence):
            result.read(tmp_path / f"{name}.json")


def test_there_are_two_hundred_of_them():
    others = len(SPLIT) + len(COMMANDS) + len([*wrong_parameters()]) + len(RESULT_FAULTS)
    assert len(CASES) + others >= 200 and len({case.name for case in CASES}) == len(CASES)
