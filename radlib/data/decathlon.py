"""The layout of the Medical Segmentation Decathlon, which AMOS shares: ``dataset.json``, ``imagesTr``, ``labelsTr``.

A scan is one image volume and one label volume of the same grid; its slices are the samples.
"""

import functools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from tqdm import tqdm

from radlib.data import slice_cache, tables, volumes
from radlib.data.dataset import Reader, Record
from radlib.errors import RadlibError

LISTS = {"training": "Tr", "validation": "Va"}  # of dataset.json -> ending of the folders
FEW = 50  # scans below which no progress bar is worth its line


@dataclass(frozen=True)
class Scan:
    """One case: paths of its volumes below the folder of ``dataset.json``, and the list it is in."""

    name: str
    image: str
    mask: str
    part: str


def base(root: Path, folders: Sequence[str]) -> Path:
    """The folder that holds ``imagesTr``: `root`, or one of `folders` below it."""
    for place in (root, *(root / name for name in folders)):
        if (place / "imagesTr").is_dir():
            return place
    raise RadlibError(f"{root} has no folder imagesTr, nor has {folders[0]} in it; unpack the release there.")


def scans(folder: Path) -> tuple[list[Scan], str]:
    """The scans with labels that ``dataset.json`` in `folder` lists, sorted by name, and a sentence if it is missing.

    Its lists ``training`` and ``validation`` count; what it lists for testing has no labels in the releases, and
    ``labelsTs``, which some copies have, is left alone. Without it every volume of ``imagesTr`` and ``imagesVa`` counts
    that has a label of the same name, and the sentence tells how many have none.
    Raises RadlibError: no JSON in it, no list, a path that leaves the folder, no scan.
    """
    path = folder / "dataset.json"
    found: list[Scan] = []
    said = ""
    if path.is_file():
        about = _about(path)
        for part, ending in LISTS.items():
            for entry in about.get(part) or []:
                image, mask = _pair(path, entry, ending)
                found.append(Scan(_stem(image), image, mask, part))
        outside = [name for scan in found for name in (scan.image, scan.mask) if tables.leaves(name)]
        if outside:
            raise RadlibError(f"{path}: '{outside[0]}' leaves the folder; give a path below {folder}.")
    else:
        said = "Without dataset.json every volume that has a label counts."
        bare = 0
        for part, ending in LISTS.items():
            labels = {file.name for file in _volumes(folder / f"labels{ending}")}
            for file in _volumes(folder / f"images{ending}"):
                if file.name in labels:
                    image, mask = f"images{ending}/{file.name}", f"labels{ending}/{file.name}"
                    found.append(Scan(_stem(file.name), image, mask, part))
                else:
                    bare += 1
        if bare:
            said += f" {bare} volumes without one are left out." if bare > 1 else " 1 volume without one is left out."
    if not found:
        raise RadlibError(f"{folder} holds no scan with a label (imagesTr, labelsTr); unpack the release there.")
    twice = pd.Series([scan.name for scan in found])
    if twice.duplicated().any():
        raise RadlibError(f"{path} lists '{twice[twice.duplicated()].iloc[0]}' twice; take the release's file.")
    return sorted(found, key=lambda scan: scan.name), said


def heads(folder: Path, found: Sequence[Scan], progress: bool) -> tuple[list[volumes.Header], list[str]]:
    """Headers of the images, and a sentence for every volume that is damaged or a mask that does not fit its image."""

    def look(scan: Scan) -> tuple[volumes.Header | None, list[str]]:
        both: list[volumes.Header] = []
        wrong = []
        for name in (scan.image, scan.mask):
            try:
                both.append(volumes.header(folder / name))
            except RadlibError as error:
                wrong.append(str(error))
        if len(both) == 2:
            sentence = volumes.misfit(*both)
            wrong += [sentence] if sentence else []
        return (both[0] if both and not wrong else None), wrong

    with ThreadPoolExecutor(8) as pool:  # waiting for the disk, not computing
        seen = list(
            tqdm(
                pool.map(look, found),
                "reading headers",
                len(found),
                unit="scan",
                disable=not progress or len(found) < FEW,
            )
        )
    return [head for head, _ in seen if head is not None], [sentence for _, wrong in seen for sentence in wrong]


def samples(root: Path, folder: Path, found: Sequence[Scan], counts: Sequence[int]) -> pd.DataFrame:
    """One row a slice: image, mask (below `root`), patient (the scan's name) and slice; `counts` slices a scan."""
    prefix = folder.relative_to(root)
    rows = [
        {
            "image": (prefix / scan.image).as_posix(),
            "mask": (prefix / scan.mask).as_posix(),
            "patient": scan.name,
            "slice": k,
        }
        for scan, count in zip(found, counts, strict=True)
        for k in range(count)
    ]
    return pd.DataFrame(rows)


def mask_reader(planes: dict[str, volumes.Plane], classes: int) -> Reader:
    """Reads the mask slice of a row, whose scan is cut as `planes` (by scan) says; refuses labels above `classes`."""

    def read(root: Path, row: Record) -> np.ndarray:
        path = root / row["mask"]
        cut = slice_cache.cut(path, planes[row["patient"]], int(row["slice"]))
        strange = (cut < 0) | (cut > classes)
        if cut.dtype.kind == "f":
            strange |= cut != np.round(cut)
        if strange.any():
            raise RadlibError(
                f"{path}, slice {row['slice']}, holds the label {cut[strange][0]:g}; whole numbers from 0 to {classes} "
                "are expected: take the file from the release again."
            )
        return np.ascontiguousarray(cut, dtype=np.uint8)

    return read


def by_image(table: pd.DataFrame, planes: dict[str, volumes.Plane]) -> dict[str, volumes.Plane]:
    """`Dataset.planes`: `planes` by scan as planes by the image path of `table`."""
    once = table.drop_duplicates("patient")
    return {image: planes[scan] for image, scan in zip(once["image"], once["patient"], strict=True)}


def preparer(root: Path, table: pd.DataFrame, planes: dict[str, volumes.Plane], title: str) -> Callable[[bool], None]:
    """`Dataset.prepare`: unpacks every image and mask of `table` once."""
    once = table.drop_duplicates("patient")
    paths = [root / name for column in ("image", "mask") for name in once[column]]
    axes = [planes[patient].axis for patient in once["patient"]] * 2
    return functools.partial(slice_cache.build, paths, axes, title)


def _about(path: Path) -> dict[str, list[object]]:
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise RadlibError(f"{path} is no JSON file ({error}); take it from the release.") from error
    if not isinstance(about, dict) or not isinstance(about.get("training"), list):
        raise RadlibError(f"{path} has no list 'training'; take it from the release.")
    return about


def _pair(path: Path, entry: object, ending: str) -> tuple[str, str]:
    """Image and label of an entry of dataset.json, without the leading ``./``."""
    if isinstance(entry, dict) and isinstance(entry.get("image"), str) and isinstance(entry.get("label"), str):
        image, label = entry["image"], entry["label"]
    elif isinstance(entry, str):  # an image alone: its label has its name
        image, label = entry, f"labels{ending}/{PurePosixPath(entry).name}"
    else:
        raise RadlibError(f"{path}: the entry {entry!r} names no image and label; take the release's file.")
    return image.removeprefix("./"), label.removeprefix("./")


def _volumes(folder: Path) -> list[Path]:
    """Volumes in `folder`; the ``._`` files that macOS packs beside them are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if volumes.is_volume(path.name) and not path.name.startswith("."))


def _stem(name: str) -> str:
    return PurePosixPath(name).name.removesuffix(".gz").removesuffix(".nii")
