"""Bring your own images: a folder with a ``manifest.csv`` is a dataset like any other.

Columns: ``image`` (path below the folder: a picture, a DICOM file or a NIfTI volume) and ``patient``; optionally
``split`` (train, validation, test), ``study`` (images that are one case), ``age``, ``sex``, ``view``; and one of three
kinds of truth: ``label`` (any text; one class an image), ``mask`` (path of a mask; segmentation), or several columns of
0 and 1 (one a finding). A volume or a DICOM file of many frames is as many samples as it has slices.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import dicom, pictures, problems, slice_cache, splits, tables, volumes
from radlib.data.dataset import Dataset, Reader, Record, Task
from radlib.errors import RadlibError

MANIFEST, CLASSES = "manifest.csv", "classes.csv"
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.2  # of patients when no split is given; the paper's Brain Tumor has 0.30 and 0.21
TRUTH = ("label", "mask")
KNOWN = {"image", "patient", "split", "study", *TRUTH}
ABOUT = {"age", "sex", "view"}  # what is known of a patient; may be empty
READERS = 8  # waiting for the disk, not computing


@dataclass(frozen=True)
class _File:
    """What a file's header says: how many slices it is, its (H, W) pixels or (X, Y, Z) voxels, and how it is cut."""

    slices: int
    shape: tuple[int, ...]
    plane: volumes.Plane | None = None


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The images that ``root/manifest.csv`` lists, in its order.

    Without a split column, 30 % of the patients (in order of first appearance) go to test and 20 % to validation by
    systematic sampling; a split of train and test alone gives up 20 % of its train patients to validation.

    Raises:
        RadlibError: no manifest, a missing column, an empty cell, a finding that is not 0 or 1, an image or mask that
            is missing, unreadable or outside the folder, a mask of another size than its image, a patient in two
            splits, fewer than two classes, both labels and masks.
    """
    path = root / MANIFEST
    table = _read_table(path)
    held = _look(root, path, table)
    if "split" in table:
        table["split"] = table["split"].replace({"val": "validation", "valid": "validation"})
    else:
        n = table["patient"].nunique()
        table["split"] = splits.by_patient(
            table["patient"], max(1, round(n * TEST_SHARE)), max(1, round(n * VALIDATION_SHARE)), str(path)
        )
    note = f"{len(table):,} images of {table['patient'].nunique():,} patients, listed in {MANIFEST}."
    if "validation" not in set(table["split"]):
        table["split"] = splits.with_validation(table, VALIDATION_SHARE)
        note += " Its split had no validation set: 20 % of the train patients were drawn for it."
    splits.check(table, str(path))
    task, classes, labels = _labels(path, table)
    truth = [name for name in (*classes, "label") if name in table and name not in ABOUT and task != "segmentation"]
    samples = table.drop(columns=truth)
    if "age" in samples:
        samples["age"] = pd.to_numeric(samples["age"], errors="coerce")
    counts = [held[name].slices for name in samples["image"]]
    if max(counts) > 1:
        rows = np.repeat(np.arange(len(samples)), counts)
        samples = samples.iloc[rows].reset_index(drop=True)
        samples["slice"] = np.concatenate([np.arange(count) for count in counts])
        labels = labels[rows]
        note += f" {len(samples):,} slices in all."
    return Dataset(
        name="manifest",
        title=root.resolve().name,
        task=task,
        classes=classes,
        samples=samples,
        labels=labels,
        origin="own",
        note=note,
        root=root,
        read_image=_image_reader(held),
        preparation="as stored",
        read_mask=_mask_reader(root, held) if task == "segmentation" else None,
        prepare=_preparer(root, held),
    )


def _read_table(path: Path) -> pd.DataFrame:
    if not path.parent.is_dir():
        raise RadlibError(f"The folder {path.parent} does not exist; give the one that holds {MANIFEST}.")
    if not path.is_file():
        raise RadlibError(f"{path.parent} has no {MANIFEST}; write one with the columns image, patient and label.")
    table = tables.read(path, ("image", "patient"))
    for name in KNOWN.intersection(table.columns):
        empty = np.flatnonzero(table[name] == "")
        if len(empty):
            raise RadlibError(
                f"{path}: column '{name}' is empty in line {empty[0] + 2}"
                + (f" and {len(empty) - 1} more" if len(empty) > 1 else "")
                + "; fill it or delete the row."
            )
    return table


def _look(root: Path, path: Path, table: pd.DataFrame) -> dict[str, _File]:
    """Every image's and mask's header, by name; raises RadlibError that tells all that is wrong with them."""
    columns = [column for column in ("image", "mask") if column in table]
    for column in columns:
        problems.raise_all(root, tables.climbing(root, table[column], path))
    images = table["image"]
    if images.duplicated().any():
        raise RadlibError(f"{path}: the image '{images[images.duplicated()].iloc[0]}' is listed twice; keep one row.")
    names = list(dict.fromkeys(name for column in columns for name in table[column]))
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise RadlibError(
            f"{path} lists {len(missing)} of {len(names)} images that do not exist, first '{missing[0]}'; "
            "correct the paths or delete the rows."
        )
    with ThreadPoolExecutor(READERS) as pool:
        looked = list(pool.map(lambda name: _header(root / name), names))
    held = {name: found for name, found in zip(names, looked, strict=True) if isinstance(found, _File)}
    broken = [(name, found) for name, found in zip(names, looked, strict=True) if isinstance(found, str)]
    no_pictures = [name for name, sentence in broken if not sentence]
    wrong = [sentence for _, sentence in broken if sentence]
    if no_pictures:
        wrong.append(
            f"{path} lists {len(no_pictures)} of {len(names)} files that are not pictures, first '{no_pictures[0]}'; "
            "export them again as PNG, JPEG or TIFF."
        )
    problems.raise_all(root, wrong)
    if "mask" in table:
        for image, mask in zip(images, table["mask"], strict=True):
            if held[image].shape != held[mask].shape or held[image].slices != held[mask].slices:
                wrong.append(
                    f"{root / mask} has {held[mask].shape} pixels and its image {held[image].shape}; take the mask "
                    "drawn on this image."
                )
    problems.raise_all(root, wrong)
    return held


def _header(path: Path) -> _File | str:
    """What the file's header says, or what is wrong with it; an empty text where it is simply no picture."""
    try:
        if volumes.is_volume(path.name):
            head = volumes.header(path)
            plane = volumes.axial(head)
            return _File(head.shape[plane.axis], head.shape, plane)
        if path.suffix.lower() in pictures.SUFFIXES:
            size = pictures.size(path)
            return _File(1, size) if size else ""
        count, rows, columns = dicom.frames(path)
        return _File(count, (rows, columns))
    except RadlibError as error:
        return str(error)


def _pixels(path: Path, file: _File, k: int) -> np.ndarray:
    """Slice `k` of a file `(C, H, W)` float32."""
    if file.plane is not None:
        return np.ascontiguousarray(slice_cache.cut(path, file.plane, k), dtype=np.float32)[None]
    return pictures.read(path) if path.suffix.lower() in pictures.SUFFIXES else dicom.read(path, k)


def _image_reader(held: dict[str, _File]) -> Reader:
    return lambda root, row: _pixels(root / row["image"], held[row["image"]], int(row.get("slice", 0)))


def _mask_reader(root: Path, held: dict[str, _File]) -> Reader:
    values = _class_values(root)

    def read(root: Path, row: Record) -> np.ndarray:
        name = row["mask"]
        if not values:
            if held[name].plane is None and Path(name).suffix.lower() in pictures.SUFFIXES:
                return pictures.read_mask(root / name).astype(np.uint8)
            return (_pixels(root / name, held[name], int(row.get("slice", 0)))[0] > 0).astype(np.uint8)
        drawn = _pixels(root / name, held[name], int(row.get("slice", 0)))[0]
        strange = np.setdiff1d(drawn, [0, *values])
        if len(strange):
            raise RadlibError(f"{root / name} holds the value {strange[0]:g}; list it in {CLASSES} or mend the mask.")
        mask = np.zeros(drawn.shape, dtype=np.uint8)
        for k, value in enumerate(values, start=1):
            mask[drawn == value] = k
        return mask

    return read


def _preparer(root: Path, held: dict[str, _File]) -> Callable[[bool], None] | None:
    """`Dataset.prepare` for the compressed volumes among the files; None where there are none."""
    jobs = [(root / name, file.plane.axis) for name, file in held.items() if file.plane is not None]
    if not jobs:
        return None
    return lambda progress: slice_cache.build([p for p, _ in jobs], [a for _, a in jobs], root.resolve().name, progress)


def _class_values(root: Path) -> list[int]:
    """Values in the masks of class 1, 2, … as ``classes.csv`` says; none without it: all that is drawn is one class."""
    path = root / CLASSES
    if not path.is_file():
        return []
    table = tables.read(path, ("value", "name"))
    try:
        values = [int(value) for value in table["value"]]
    except ValueError as error:
        raise RadlibError(f"{path}: column 'value' holds whole numbers from 1 to 255 ({error}).") from error
    if len(set(values)) < len(values) or not all(0 < value < 256 for value in values):
        raise RadlibError(f"{path}: column 'value' holds different whole numbers from 1 to 255; correct it.")
    return values


def _labels(path: Path, table: pd.DataFrame) -> tuple[Task, tuple[str, ...], np.ndarray]:
    """Task, class names and labels `(N,)`, `(N, K)`, or `(N, 0)` where there are masks."""
    if "mask" in table:
        if "label" in table:
            raise RadlibError(f"{path} has a column 'label' and a column 'mask'; delete the one that is not the task.")
        names = (
            tables.read(path.parent / CLASSES, ("value", "name"))["name"]
            if _class_values(path.parent)
            else ["structure"]
        )
        return "segmentation", tuple(names), np.empty((len(table), 0), dtype=np.int64)
    if "label" in table:
        classes = tuple(sorted(table["label"].unique()))
        if len(classes) < 2:
            raise RadlibError(f"{path}: every label is '{classes[0]}'; a classifier needs at least two classes.")
        codes = pd.Categorical(table["label"], categories=list(classes)).codes
        return "binary" if len(classes) == 2 else "multi-class", classes, codes.astype(np.int64)
    findings = [name for name in table.columns if name not in KNOWN | ABOUT]
    if not findings:
        raise RadlibError(
            f"{path} has no label; add a column 'label', a column 'mask', or one column of 0 and 1 a finding."
        )
    for name in findings:
        odd = table.loc[~table[name].isin(["0", "1"]), name]
        if len(odd):
            raise RadlibError(
                f"{path}: column '{name}' holds '{odd.iloc[0]}' in line {odd.index[0] + 2}; without a column 'label' "
                "every other column is a finding of 0 or 1."
            )
    labels = table[findings].to_numpy(dtype=np.int64)
    return "multi-label", tuple(findings), labels
