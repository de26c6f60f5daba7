"""Bring your own images: a folder with a ``manifest.csv`` is a dataset like any other.

Columns: ``image`` (path below the folder: a picture, a DICOM file or a NIfTI volume) and ``patient``; optionally
``split`` (train, validation, test), ``study`` (images that are one case), ``age``, ``sex``, ``view``; and one of three
kinds of truth: ``label`` (any text; one class an image), ``mask`` (path of a mask; segmentation), or several columns of
0 and 1 (one a finding). A volume or a DICOM file of many frames is as many samples as it has slices.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from radlib.data import files, pictures, problems, slice_cache, splits, tables
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
    held = _look(root, path, table, progress)
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
    truth = {"multi-label": list(classes), "segmentation": []}.get(task, ["label"])
    if "study" in table:
        _check_studies(path, table, truth)
    samples = table.drop(columns=truth)
    counts = [held[name].slices for name in samples["image"]]
    planes = {name: plane for name in samples["image"] if (plane := held[name].plane) is not None}
    if max(counts) > 1 or planes:
        if truth and "study" not in samples:
            samples["study"] = samples["image"]  # the label is of the whole file, not of a slice
        rows = np.repeat(np.arange(len(samples)), counts)
        samples = samples.iloc[rows].reset_index(drop=True)
        samples["slice"] = np.concatenate([np.arange(count) for count in counts])
        labels = labels[rows]
        note += f" {len(samples):,} slices in all" + (", a file's slices one case." if truth else ".")
    values = list(_classes(root / CLASSES))

    def read_image(root: Path, row: Record) -> np.ndarray:
        return files.read(held[row["image"]], int(row.get("slice", 0)))

    def read_mask(root: Path, row: Record) -> np.ndarray:
        return files.read_mask(held[row["mask"]], int(row.get("slice", 0)), values)

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
        read_image=read_image,
        preparation="as stored",
        read_mask=read_mask if task == "segmentation" else None,
        mask_preparation=f"values {values}" if values else "",
        planes=planes or None,
        prepare=_preparer(root, held),
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
        empty = np.flatnonzero(table[name] == "")
        if len(empty):
            raise RadlibError(
                f"{path}: column '{name}' is empty in line {empty[0] + 2}"
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
            f"{path}: column 'age' holds '{odd.iloc[0]}' in line {odd.index[0] + 2}; write years, from 0 to "
            f"{tables.OLDEST}, or nothing."
        )
    return years


def _look(root: Path, path: Path, table: pd.DataFrame, progress: bool) -> dict[str, files.Stack]:
    """Every image's and mask's header, by name; raises RadlibError that tells all that is wrong with them."""
    columns = [column for column in ("image", "mask") if column in table]
    for column in columns:
        problems.raise_all(root, tables.climbing(root, table[column], path))
    images = table["image"]
    if images.duplicated().any():
        raise RadlibError(f"{path}: the image '{images[images.duplicated()].iloc[0]}' is listed twice; keep one row.")
    names = list(dict.fromkeys(name for column in columns for name in table[column]))
    missing = [name for name in names if not os.path.isfile(root / name)]  # a name too long for a disk raises in Path
    if missing:
        raise RadlibError(
            f"{path} lists {len(missing)} of {len(names)} images that do not exist, first '{missing[0]}'; "
            "correct the paths or delete the rows."
        )
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
    return held


def _header(path: Path) -> files.Stack | str | None:
    """What the file's header says, or what is wrong with it; None where it is simply no picture."""
    try:
        return files.look(path)
    except RadlibError as error:
        return str(error)


def _preparer(root: Path, held: dict[str, files.Stack]) -> Callable[[bool], None] | None:
    """`Dataset.prepare` for the compressed volumes among the files; None where there are none."""
    jobs = [(stack.path, stack.plane.axis) for stack in held.values() if stack.plane is not None]
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
    for line, (value, name) in enumerate(zip(table["value"], table["name"], strict=True), start=2):
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


def _labels(path: Path, table: pd.DataFrame) -> tuple[Task, tuple[str, ...], np.ndarray]:
    """Task, class names and labels `(N,)`, `(N, K)`, or `(N, 0)` where there are masks."""
    if "mask" in table:
        if "label" in table:
            raise RadlibError(f"{path} has a column 'label' and a column 'mask'; delete the one that is not the task.")
        names = _classes(path.parent / CLASSES).values() or ("structure",)
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
