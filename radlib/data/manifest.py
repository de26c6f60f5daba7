"""Bring your own images: a folder with a ``manifest.csv`` is a dataset like any other.

Columns: ``image`` (path below the folder), ``patient``, optionally ``split`` (train, validation, test), and either one
column ``label`` (any text; one class an image) or several columns of 0 and 1 (one a finding).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import pictures, problems, splits, tables
from radlib.data.dataset import Dataset, Task
from radlib.errors import RadlibError

MANIFEST = "manifest.csv"
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.2  # of patients when no split is given; the paper's Brain Tumor has 0.30 and 0.21
KNOWN = {"image", "patient", "split", "label"}


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The images that ``root/manifest.csv`` lists, in its order.

    Without a split column, 30 % of the patients (in order of first appearance) go to test and 20 % to validation by
    systematic sampling; a split of train and test alone gives up 20 % of its train patients to validation.

    Raises:
        RadlibError: no manifest, a missing column, an empty cell, a finding that is not 0 or 1, an image that is
            missing, unreadable or outside the folder, a patient in two splits, fewer than two classes.
    """
    path = root / MANIFEST
    table = _read_table(path)
    _check_images(root, path, table["image"])
    if "split" not in table:
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
    findings = list(classes) if task == "multi-label" else ["label"]
    return Dataset(
        name="manifest",
        title=root.resolve().name,
        task=task,
        classes=classes,
        samples=table.drop(columns=findings),
        labels=labels,
        origin="own",
        note=note,
        root=root,
        read_image=lambda root, row: pictures.read(root / row["image"]),
        preparation="as stored",
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


def _check_images(root: Path, path: Path, images: pd.Series) -> None:
    problems.raise_all(root, tables.climbing(root, images, path))
    if images.duplicated().any():
        raise RadlibError(f"{path}: the image '{images[images.duplicated()].iloc[0]}' is listed twice; keep one row.")
    missing = [name for name in images if not (root / name).is_file()]
    if missing:
        raise RadlibError(
            f"{path} lists {len(missing)} of {len(images)} images that do not exist, first '{missing[0]}'; "
            "correct the paths or delete the rows."
        )
    broken = [name for name in images if pictures.size(root / name) is None]  # headers; pixels are decoded once, later
    if broken:
        raise RadlibError(
            f"{path} lists {len(broken)} of {len(images)} files that are not pictures, first '{broken[0]}'; "
            "export them again as PNG, JPEG or TIFF."
        )


def _labels(path: Path, table: pd.DataFrame) -> tuple[Task, tuple[str, ...], np.ndarray]:
    """Task, class names and labels `(N,)` or `(N, K)`."""
    if "label" in table:
        classes = tuple(sorted(table["label"].unique()))
        if len(classes) < 2:
            raise RadlibError(f"{path}: every label is '{classes[0]}'; a classifier needs at least two classes.")
        codes = pd.Categorical(table["label"], categories=list(classes)).codes
        return "binary" if len(classes) == 2 else "multi-class", classes, codes.astype(np.int64)
    findings = [name for name in table.columns if name not in KNOWN]
    if not findings:
        raise RadlibError(f"{path} has no label; add a column 'label', or one column of 0 and 1 a finding.")
    for name in findings:
        odd = table.loc[~table[name].isin(["0", "1"]), name]
        if len(odd):
            raise RadlibError(
                f"{path}: column '{name}' holds '{odd.iloc[0]}' in line {odd.index[0] + 2}; without a column 'label' "
                "every other column is a finding of 0 or 1."
            )
    labels = table[findings].to_numpy(dtype=np.int64)
    return "multi-label", tuple(findings), labels
