"""Bring your own images: a folder with a ``manifest.csv`` is a dataset like any other.

Columns: ``image`` (path below the folder: a picture, a DICOM file or a NIfTI volume) and ``patient``; optionally
``split`` (train, validation, test), ``study`` (images that are one case), ``age``, ``sex``, ``view``. The truth is
``label`` (any text; one class an image) or several columns of 0 and 1 (one a finding), or ``mask`` (path of a mask;
segmentation), or labels and masks, of which every page takes its own. A volume or a DICOM file of many frames is as
many samples as it has slices.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from radlib.data import audit, file_names, files, pictures, problems, slice_cache, splits, tables
from radlib.data.dataset import Dataset, Record, Task
from radlib.errors import RadlibError

MANIFEST, CLASSES = "manifest.csv", "classes.csv"
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.2  # of patients when no split is given; the paper's Brain Tumor has 0.30 and 0.21
TRUTH = ("label", "mask")
KNOWN = {"image", "patient", "split", "study", *TRUTH}
ABOUT = {"age", "sex", "view"}  # what is known of a patient; may be empty
MOST_CLASSES = 255  # of an 8-bit mask
DIGITS = len(str(files.MOST))
READERS = 8  # waiting for the disk, not computing


@dataclass(frozen=True)
class Truth:
    """One kind of truth of N rows: `labels` as `Dataset.labels`, `columns` of the manifest that hold them."""

    task: Task
    classes: tuple[str, ...]
    labels: np.ndarray
    columns: tuple[str, ...]
    source: str


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The images that ``root/manifest.csv`` lists, in its order.

    With labels (or findings) and masks it is the dataset of the labels, and its `Dataset.segmentation` that of the
    masks. Without a split column, 30 % of the patients (in order of first appearance) go to test and 20 % to validation
    by systematic sampling; a split of train and test alone gives up 20 % of its train patients to validation.

    Raises:
        RadlibError: no manifest, a missing column, an empty cell, a finding that is not 0 or 1, an image or mask that
            is missing, unreadable or outside the folder, an image listed twice, a mask of another size than its image,
            a patient in two splits, fewer than two classes.
    """
    path = root / MANIFEST
    table = _read_table(path)
    held, warnings = _look(root, path, table, progress)
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
    truths, unusable = _truths(path, table)
    warnings += unusable
    for column in ("study", "view"):
        if column in table:
            known = table[column][~table[column].str.lower().isin(audit.MISSING)]
            warnings += audit.name_warnings(known, f"{MANIFEST}, column '{column}'", column)
    if "sex" in table:
        warnings += audit.sex_warnings(table["sex"], f"{MANIFEST}, column 'sex'")
    if "study" in table:
        _check_studies(path, table, [column for truth in truths for column in truth.columns if column != "mask"])
    table = table.reset_index(drop=True).drop(columns=list(truths[0].columns) if len(truths) == 2 else [])
    opened = [_dataset(root, table, truth, held, note, warnings) for truth in truths]
    return replace(opened[0], segmentation=opened[1]) if len(opened) == 2 else opened[0]


def _dataset(
    root: Path, table: pd.DataFrame, truth: Truth, held: dict[str, files.Stack], note: str, warnings: Sequence[str]
) -> Dataset:
    """The rows of `table` with one of their truths; a file of several slices becomes as many samples."""
    masked = truth.task == "segmentation"
    samples = table if masked else table.drop(columns=[*truth.columns, "mask"], errors="ignore")
    labels = truth.labels
    counts = [held[name].slices for name in samples["image"]]
    planes = {name: plane for name in samples["image"] if (plane := held[name].plane) is not None}
    if max(counts) > 1 or planes:
        if not masked and "study" not in samples:
            samples = samples.assign(study=samples["image"])  # the label is of the whole file, not of a slice
        rows = np.repeat(np.arange(len(samples)), counts)
        samples = samples.iloc[rows].reset_index(drop=True)
        samples["slice"] = np.concatenate([np.arange(count) for count in counts])
        labels = labels[rows]
        note += f" {len(samples):,} slices in all" + ("." if masked else ", a file's slices one case.")
    values = list(_classes(root / CLASSES))

    def read_image(root: Path, row: Record) -> np.ndarray:
        return files.read(held[row["image"]], int(row.get("slice", 0)))

    def read_mask(root: Path, row: Record) -> np.ndarray:
        return files.read_mask(held[row["mask"]], int(row.get("slice", 0)), values)

    used = {name for column in ("image", "mask") if column in samples for name in samples[column]}
    return Dataset(
        name="manifest",
        title=root.resolve().name,
        task=truth.task,
        classes=truth.classes,
        samples=samples,
        labels=labels,
        origin="own",
        note=note,
        root=root,
        read_image=read_image,
        preparation="as stored",
        read_mask=read_mask if masked else None,
        mask_preparation=f"values {values}" if values else "",
        planes=planes or None,
        prepare=_preparer(root, [stack for name, stack in held.items() if name in used]),
        warnings=(*warnings, *audit.name_warnings(truth.classes, truth.source, "class")),
        patient_source=f"{MANIFEST}, column 'patient'",
    )


def _read_table(path: Path) -> pd.DataFrame:
    if not path.parent.is_dir():
        raise RadlibError(f"The folder {path.parent} does not exist; give the one that holds {MANIFEST}.")
    if not path.is_file():
        raise RadlibError(f"{path.parent} has no {MANIFEST}; write one with the columns image, patient and label.")
    table = tables.read(path, ("image", "patient"))
    if "slice" in table:
        raise RadlibError(f"{path}: radlib itself numbers slices in a column 'slice'; rename or delete yours.")
    for name in KNOWN.intersection(table.columns):
        empty = table.index[table[name] == ""]
        if len(empty):
            raise RadlibError(
                f"{path}: column '{name}' is empty in line {empty[0]}"
                + (f" and {len(empty) - 1} more" if len(empty) > 1 else "")
                + "; fill it or delete the row."
            )
    if "age" in table:
        table["age"] = _ages(path, table["age"])
    return table


def _ages(path: Path, column: pd.Series) -> pd.Series:
    """Years as numbers, NaN where nothing is written."""
    years = pd.to_numeric(column, errors="coerce")
    odd = column[~years.between(0, tables.OLDEST) & (column != "")]
    if len(odd):
        raise RadlibError(
            f"{path}: column 'age' holds '{odd.iloc[0]}' in line {odd.index[0]}; write years, from 0 to "
            f"{tables.OLDEST}, or nothing."
        )
    return years


def _look(root: Path, path: Path, table: pd.DataFrame, progress: bool) -> tuple[dict[str, files.Stack], list[str]]:
    """Every image's and mask's header by name, and warnings; in `table` names become those that the disk holds.

    Raises RadlibError that tells all that is wrong with the files.
    """
    columns = [column for column in ("image", "mask") if column in table]
    for column in columns:
        problems.raise_all(root, tables.climbing(root, table[column], path))
    names = list(dict.fromkeys(name for column in columns for name in table[column]))
    missing = [name for name in names if not os.path.isfile(root / name)]  # a name too long for a disk raises in Path
    meant, near = file_names.on_disk(root, missing)
    missing = [name for name in missing if name not in meant]
    if missing:
        first = next((name for name in missing if name in near), missing[0])
        there = f" (the folder holds '{near[first]}', in other upper and lower case)" if first in near else ""
        raise RadlibError(
            f"{path} lists {len(missing)} of {len(names)} files that do not exist, first '{first}'{there}; "
            "correct the paths or delete the rows."
        )
    if meant:
        for column in columns:
            table[column] = table[column].map(lambda name: meant.get(name, name))
        names = list(dict.fromkeys(meant.get(name, name) for name in names))
    images = table["image"]
    warnings = _twice(root, path, images)
    with ThreadPoolExecutor(READERS) as pool:
        looking = pool.map(lambda name: _header(root / name), names)
        quiet = not progress or len(names) < pictures.FEW
        looked = list(tqdm(looking, "reading headers", len(names), unit="file", disable=quiet))
    held = {name: found for name, found in zip(names, looked, strict=True) if isinstance(found, files.Stack)}
    wrong = [found for found in looked if isinstance(found, str)]
    no_pictures = [name for name, found in zip(names, looked, strict=True) if found is None]
    if no_pictures:
        wrong.append(
            f"{path} lists {len(no_pictures)} of {len(names)} files that are not pictures, first '{no_pictures[0]}'; "
            "export them again as PNG, JPEG or TIFF."
        )
    if "mask" in table:
        pairs = zip(images, table["mask"], strict=True)
        found = [files.misfit(held[i], held[m]) for i, m in pairs if i in held and m in held]
        wrong += [sentence for sentence in found if sentence]
    problems.raise_all(root, wrong)
    return held, warnings


def _twice(root: Path, path: Path, images: pd.Series) -> list[str]:
    """Raise if one image is listed twice, in whatever way its path is written; a warning where links lead to one file.

    Copies of a file are found by `radlib data check`, which compares contents.
    """
    places: dict[tuple[int, int] | str, list[str]] = {}
    for name in images:
        status = os.stat(root / name)
        place = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(root / name)
        places.setdefault(place, []).append(name)
    shared = [group for group in places.values() if len(group) > 1]
    wrong = [
        f"{path}: the image '{first}' is listed twice"
        + (f" (again as '{other}')" if other != first else "")
        + "; keep one row."
        for first, *others in shared
        for other in others
        if file_names.key(other) == file_names.key(first)
    ]
    problems.raise_all(root, wrong)
    if not shared:
        return []
    first, other, *_ = shared[0]
    return [
        f"{MANIFEST}: several names lead to one file by links ({len(shared):,} files), first '{first}' "
        f"and '{other}'; keep one row of each."
    ]


def _header(path: Path) -> files.Stack | str | None:
    """What the file's header says, or what is wrong with it; None where it is simply no picture."""
    try:
        return files.look(path)
    except RadlibError as error:
        return str(error)


def _preparer(root: Path, stacks: Sequence[files.Stack]) -> Callable[[bool], None] | None:
    """`Dataset.prepare` for the compressed volumes among `stacks`; None where there are none."""
    jobs = [(stack.path, stack.plane.axis) for stack in stacks if stack.plane is not None]
    if not jobs:
        return None
    paths, axes = zip(*jobs, strict=True)
    return functools.partial(slice_cache.build, paths, axes, root.resolve().name)


def _check_studies(path: Path, table: pd.DataFrame, truth: list[str]) -> None:
    """Raise if the rows of a study differ in patient, split or a column of `truth`: they could not be one case."""
    for column in ("patient", "split", *truth):
        torn = table.groupby("study", sort=False)[column].nunique()
        if (torn > 1).any():
            raise RadlibError(
                f"{path}: the rows of study '{torn[torn > 1].index[0]}' differ in column '{column}'; give them one "
                f"{column}, or two study names."
            )


def _classes(path: Path) -> dict[int, str]:
    """Value in the masks -> name of the class, as ``classes.csv`` at `path` says; empty when there is none."""
    if not path.is_file():
        return {}
    table = tables.read(path, ("value", "name"))
    found: dict[int, str] = {}
    for line, value, name in zip(table.index, table["value"], table["name"], strict=True):
        if not value.isascii() or not value.isdigit() or len(value) > DIGITS or not 0 < int(value) <= files.MOST:
            raise RadlibError(
                f"{path}, line {line}: the value '{value}' is no whole number from 1 to {files.MOST}; 0 is the "
                "background and needs no row."
            )
        if int(value) in found or name in found.values() or not name:
            raise RadlibError(f"{path}, line {line}: '{value}, {name}' is there twice or has no name; correct it.")
        found[int(value)] = name
    if len(found) > MOST_CLASSES:
        raise RadlibError(f"{path} names {len(found)} classes; at most {MOST_CLASSES} fit a mask of 8 bit.")
    return found


def _truths(path: Path, table: pd.DataFrame) -> tuple[list[Truth], list[str]]:
    """The labels, the masks or both, in this order; and warnings of labels beside masks that cannot be used."""
    if "mask" not in table:
        return [_labels(path, table)], []
    names = tuple(_classes(path.parent / CLASSES).values()) or ("structure",)
    nothing = np.empty((len(table), 0), dtype=np.int64)
    masks = Truth("segmentation", names, nothing, ("mask",), f"{CLASSES}, column 'name'")
    others = _findings(table)
    if "label" not in table and not any(table[name].isin(["0", "1"]).all() for name in others):
        return [masks], []
    try:
        return [_labels(path, table), masks], []
    except RadlibError as error:
        return [masks], [f"Masks alone can be used. {str(error).replace(str(path), MANIFEST)}"]


def _findings(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name not in KNOWN | ABOUT]


def _labels(path: Path, table: pd.DataFrame) -> Truth:
    """The column 'label', or every column that has no other meaning as a finding."""
    if "label" in table:
        classes = tuple(sorted(table["label"].unique()))
        if len(classes) < 2:
            raise RadlibError(f"{path}: every label is '{classes[0]}'; a classifier needs at least two classes.")
        codes = pd.Categorical(table["label"], categories=list(classes)).codes
        task: Task = "binary" if len(classes) == 2 else "multi-class"
        return Truth(task, classes, codes.astype(np.int64), ("label",), f"{MANIFEST}, column 'label'")
    findings = _findings(table)
    if not findings:
        raise RadlibError(
            f"{path} has no label; add a column 'label', a column 'mask', or one column of 0 and 1 a finding."
        )
    for name in findings:
        odd = table.loc[~table[name].isin(["0", "1"]), name]
        if len(odd):
            raise RadlibError(
                f"{path}: column '{name}' holds '{odd.iloc[0]}' in line {odd.index[0]}; without a column 'label' "
                "every other column is a finding of 0 or 1."
            )
    labels = table[findings].to_numpy(dtype=np.int64)
    return Truth("multi-label", tuple(findings), labels, tuple(findings), f"{MANIFEST}, names of the columns")
