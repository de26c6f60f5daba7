"""What Montgomery and Shenzhen share: a folder ``CXR_png`` of radiographs, one a patient, and masks of the lungs."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import pictures, splits, tables
from radlib.errors import RadlibError

IMAGES = "CXR_png"


def base(root: Path, folders: Sequence[str]) -> Path:
    """The folder that holds ``CXR_png``: `root`, or one of `folders` below it."""
    for place in (root, *(root / name for name in folders)):
        if (place / IMAGES).is_dir():
            return place
    raise RadlibError(f"{root} has no folder {IMAGES}, nor has {folders[0]} in it; unpack the release there.")


def radiographs(folder: Path, prefix: str) -> tuple[list[str], int]:
    """Names of the PNGs in ``CXR_png`` that begin with `prefix`, sorted, and how many pictures there do not."""
    names = [name for name in pictures.below(folder / IMAGES) if name.lower().endswith(".png")]
    wanted = [name for name in names if Path(name).name.startswith(prefix)]
    if not wanted:
        raise RadlibError(f"{folder / IMAGES} holds no {prefix}….png; unpack the release there.")
    return wanted, len(names) - len(wanted)


def size_problems(root: Path, images: Sequence[str], masks: Iterable[Sequence[str]], progress: bool) -> list[str]:
    """A sentence for every image or mask that is no picture, and for every mask that is not of its image's size.

    `masks` are columns beside `images`, all paths below `root`.
    """
    of_image = pictures.sizes(root, images, progress)
    wrong = [_no_picture(root / name) for name, size in zip(images, of_image, strict=True) if size is None]
    for column in masks:
        for image, size, name, found in zip(
            images, of_image, column, pictures.sizes(root, column, progress), strict=True
        ):
            if found is None:
                wrong.append(_no_picture(root / name))
            elif size is not None and found != size:
                wrong.append(
                    f"{root / name} is {found[1]} x {found[0]} px and its image {Path(image).name} is {size[1]} x "
                    f"{size[0]} px; take the mask drawn on this image."
                )
    return wrong


def patients(names: Sequence[str]) -> list[str]:
    """Patient of each radiograph: its name without ending and without the closing _0 (normal) or _1 (tuberculosis)."""
    return [re.sub(r"_[01]$", "", Path(name).stem) for name in names]


def readings(folder: Path, names: Sequence[str], age: str, sex: str) -> pd.DataFrame:
    """Age (years) and sex (F, M) of each radiograph from ``ClinicalReadings``; empty where there is no reading.

    `age` and `sex` are patterns whose first group is the age (``031Y``, ``45``) and a word that begins with f or m.
    """
    rows = []
    for name in names:
        path = folder / "ClinicalReadings" / f"{Path(name).stem}.txt"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found = [re.search(pattern, text, re.IGNORECASE) for pattern in (age, sex)]
        rows.append([match.group(1).upper() if match else "" for match in found])
    table = pd.DataFrame(rows, columns=["age", "sex"])
    return table.assign(age=tables.ages(table["age"]), sex=table["sex"].str[:1])


def split(patients: Sequence[str], every_test: int, every_validation: int, source: str) -> np.ndarray:
    """Every `every_test`-th patient in order is test, every `every_validation`-th of the rest validation.

    The authors took the order in which their file system listed the files, which is lost: sizes agree, members do not.
    """
    n_test = -(-len(patients) // every_test)
    n_validation = -(-(len(patients) - n_test) // every_validation)
    return splits.by_patient(pd.Series(patients), n_test, n_validation, source)


def _no_picture(path: Path) -> str:
    if not path.exists():
        return f"{path} is missing; take it from the release."
    return f"{path} is no whole PNG; take the file from the release again."
