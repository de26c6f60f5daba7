"""Brain Tumor (Cheng 2015, figshare 1512427): the release's ``1.mat`` … ``3064.mat``, MATLAB v7.3.

Each file is HDF5 with a group ``cjdata``: ``label`` (1 meningioma, 2 glioma, 3 pituitary), ``PID`` (the patient's id
as character codes), ``image`` (int16, T1 contrast-enhanced, 512x512), ``tumorBorder`` and ``tumorMask``.
"""

import math
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from radlib.data import origin, problems, splits
from radlib.data.dataset import Dataset, Record
from radlib.data.preprocess import clip_percentiles
from radlib.errors import RadlibError

MOST_NUMBERS = 2**24  # in one array: a slice of 4,096 x 4,096; the release's have a 64th of that
LONGEST_ID = 64  # characters of a patient's id; the release's have 6 to 9
CLASSES = ("meningioma", "glioma", "pituitary tumour")
PAPER_PATIENTS, PAPER_TEST, PAPER_VALIDATION = 233, 70, 50  # authors' repository, patients


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The slices below `root` (the release's four archives may stay in folders of their own).

    Patients are split as the paper's were, systematically over their order of first appearance: of 233 patients 70
    test and 50 of the rest validation; a smaller copy keeps these shares. ``protocol="authors"`` feeds the picture
    transposed, as HDF5 readers see what MATLAB stored by columns and as the authors' loader leaves it.

    Raises:
        RadlibError: no slice, a file that is no whole v7.3 ``.mat`` file, a missing field, a label other than 1, 2, 3,
            a patient with two labels, too few patients. All bad files are counted in the one sentence.
    """
    files = _numbered_files(root)
    rows, wrong = [], []
    for number in tqdm(sorted(files), desc="reading labels", unit="file", disable=not progress or len(files) < 500):
        try:
            label, patient = _label_and_patient(files[number])
        except RadlibError as error:
            wrong.append(str(error))
            continue
        rows.append({"image": files[number].relative_to(root).as_posix(), "patient": patient, "label": label})
    problems.raise_all(root, wrong)
    samples = pd.DataFrame(rows)
    mixed = samples.groupby("patient")["label"].nunique()
    if (mixed > 1).any():
        raise RadlibError(
            f"{root}: patient '{mixed.idxmax()}' has slices with two labels; correct cjdata/label or cjdata/PID."
        )
    samples["split"] = splits.as_paper(samples, PAPER_PATIENTS, PAPER_TEST, PAPER_VALIDATION, str(root))
    splits.check(samples, str(root))
    labels = samples.pop("label").to_numpy(dtype=np.int64) - 1
    transposed = protocol == "authors"
    kind, note = origin.of("brain_tumor", root, samples)
    return Dataset(
        name="brain_tumor",
        title="Brain Tumor",
        task="multi-class",
        classes=CLASSES,
        samples=samples,
        labels=labels,
        origin=kind,
        note=note,
        patient_source="cjdata/PID of the .mat files",
        root=root,
        read_image=read_transposed if transposed else read_upright,
        preparation="5th-95th percentile clip" + (" | transposed" if transposed else ""),
    )


def read_upright(root: Path, row: Record) -> np.ndarray:
    """The slice of a sample `(1, H, W)` float32 as a radiologist holds it: MATLAB's columns put back."""
    return clip_percentiles(np.ascontiguousarray(_stored_image(root / row["image"]).T))[None]


def read_transposed(root: Path, row: Record) -> np.ndarray:
    """The slice of a sample `(1, W, H)` float32 as the HDF5 file stores it, which is what the authors' loader fed."""
    return clip_percentiles(_stored_image(root / row["image"]))[None]


def read_mask(path: Path) -> np.ndarray:
    """Tumour mask `(H, W)` bool of one slice, upright."""
    with h5py.File(path, "r") as file:
        _check_stored(path, file["cjdata"], "tumorMask")
        return np.asarray(file["cjdata/tumorMask"]).T > 0


def _stored_image(path: Path) -> np.ndarray:
    with h5py.File(path, "r") as file:
        _check_stored(path, file["cjdata"], "image")
        return np.asarray(file["cjdata/image"])


def _check_stored(path: Path, record: h5py.Group, name: str) -> None:
    """Raise if the array `name` claims more numbers than a slice has, or lies in another file than `path`.

    HDF5 allows both without a byte of data: numbers never written are zero, and an array may be a window on any file.
    """
    found = record[name]
    if not isinstance(found, h5py.Dataset):
        raise TypeError(name)
    if found.size is not None and found.size > MOST_NUMBERS:
        shape = " x ".join(map(str, found.shape))
        raise RadlibError(f"{path}: cjdata/{name} claims {shape} numbers; take the file from the release again.")
    if found.chunks and math.prod(found.chunks) > MOST_NUMBERS:
        blocks = " x ".join(map(str, found.chunks))
        raise RadlibError(
            f"{path}: cjdata/{name} is packed in blocks of {blocks} numbers; take the file from the release again."
        )
    link = record.get(name, getlink=True)
    if found.external or found.is_virtual or not isinstance(link, h5py.HardLink):
        raise RadlibError(f"{path}: cjdata/{name} lies in another file; take the file from the release again.")


def _numbered_files(root: Path) -> dict[int, Path]:
    """Slice number -> file; the fold index ``cvind.mat`` of the release is known and not a slice."""
    if not root.is_dir():
        raise RadlibError(f"The folder {root} does not exist; give the one that holds 1.mat, 2.mat, … .")
    files: dict[int, Path] = {}
    for path in sorted(root.rglob("*.mat")):
        if path.name == "cvind.mat":
            continue
        if not path.is_file():
            raise RadlibError(f"{path} is not a file; rename it or move it away.")
        if not re.fullmatch(r"[1-9]\d*", path.stem):
            raise RadlibError(f"{path} is not named like a slice (1.mat, 2.mat, …); rename it or move it away.")
        if int(path.stem) in files:
            raise RadlibError(f"{path} and {files[int(path.stem)]} are the same slice number; keep one of them.")
        files[int(path.stem)] = path
    if not files:
        raise RadlibError(f"{root} holds no slice; unpack the release's archives there (1.mat, 2.mat, …).")
    return files


def _label_and_patient(path: Path) -> tuple[int, str]:
    try:
        with h5py.File(path, "r") as file:
            if "cjdata" not in file:
                raise RadlibError(
                    f"{path} has no group 'cjdata'; move it away or take the file from the release again."
                )
            if not isinstance(file.get("cjdata", getlink=True), h5py.HardLink):
                raise RadlibError(f"{path}: cjdata lies in another file; take the file from the release again.")
            record = file["cjdata"]
            absent = [name for name in ("label", "PID", "image") if name not in record]
            if absent:
                raise RadlibError(f"{path} has no field 'cjdata/{absent[0]}'; take the file from the release again.")
            for name in ("label", "PID", "image"):
                _check_stored(path, record, name)
            label, codes = (np.asarray(record[name]).reshape(-1) for name in ("label", "PID"))
            shape, dtype = record["image"].shape, record["image"].dtype
            for name, values, kinds in (("label", label, "fiu"), ("PID", codes, "iu")):
                wrong = len(values) != 1 if name == "label" else len(values) > LONGEST_ID
                if values.dtype.kind not in kinds or wrong:
                    raise RadlibError(
                        f"{path}: cjdata/{name} is not stored as in the release; take the file from there."
                    )
    except (TypeError, AttributeError) as error:  # a group where an array should be, or an array for the group
        raise RadlibError(f"{path}: cjdata is not built as in the release; take the file from there again.") from error
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises for damaged files
        with path.open("rb") as file:
            first = file.read(19)
        why = "is a MATLAB v5 file" if first == b"MATLAB 5.0 MAT-file" else "is cut short or no MATLAB v7.3 file"
        raise RadlibError(f"{path} {why}; take the file from the release again.") from error
    if not ((codes > 0) & (codes <= sys.maxunicode)).all():
        raise RadlibError(f"{path}: cjdata/PID is no text; take the file from the release again.")
    patient = "".join(chr(code) for code in codes).strip()
    if label[0] not in (1, 2, 3):
        raise RadlibError(f"{path}: cjdata/label is {label[0]:g}; it must be 1 meningioma, 2 glioma or 3 pituitary.")
    if not patient:
        raise RadlibError(f"{path}: cjdata/PID is empty; without a patient id no honest split can be made.")
    if len(shape) != 2 or 0 in shape:
        raise RadlibError(f"{path}: cjdata/image has shape {shape}; one slice (W, H) is expected.")
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise RadlibError(f"{path}: cjdata/image holds {dtype}; the release holds integers of at most 16 bit.")
    return int(label[0]), patient
