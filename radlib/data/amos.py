"""AMOS (Ji et al. 2022): abdominal CT with 15 organs; its MRI scans are not part of the paper."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import decathlon, origin, problems, slice_cache, splits, volumes
from radlib.data.dataset import Dataset, Reader, Record
from radlib.errors import RadlibError

CLASSES = (  # the release's order
    "spleen",
    "right kidney",
    "left kidney",
    "gall bladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "postcava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate or uterus",
)
FOLDERS = ("amos22", "AMOS22", "amos22/amos22")
LAST_CT = 500  # scans with a higher number are MRI (release)
EVERY_VALIDATION = 5  # of the training scans; with the official validation scans as test this fits the paper's counts
TEST_SHARE = 1 / 3  # of scans, where there are no official validation scans
HU = (-1024, 600)  # authors' repository


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """Axial slices of every CT scan below `root` that has labels, cut to [-1024, 600] HU.

    The release's validation scans are test, every fifth of its training scans is validation. The paper does not say
    how it split; a third of its slices are test and a fifth of the rest validation, as here. Slices are axial and
    upright whatever the stored order of axes; ``protocol="authors"`` takes the stored third axis as it is.

    Raises:
        RadlibError: no imagesTr, a dataset.json that is none, a volume that is missing or damaged, a mask of another
            grid than its image, too few scans. All bad files are told together.
    """
    base = decathlon.base(root, FOLDERS)
    every, said = decathlon.scans(base)
    found = [scan for scan in every if _number(scan.name) <= LAST_CT]
    if not found:
        raise RadlibError(f"{root} holds {len(every)} MRI scans and no CT (amos_0001 to amos_0500); add the CT scans.")
    heads, wrong = decathlon.heads(base, found, progress)
    problems.raise_all(root, wrong)
    authors = protocol == "authors"
    planes = {
        scan.name: volumes.AS_STORED if authors else volumes.axial(head)
        for scan, head in zip(found, heads, strict=True)
    }
    counts = [head.shape[planes[scan.name].axis] for scan, head in zip(found, heads, strict=True)]
    samples = decathlon.samples(root, base, found, counts)
    by_scan = dict(zip((scan.name for scan in found), _split(root, found), strict=True))
    samples["split"] = samples["patient"].map(by_scan)
    splits.check(samples, str(root))
    kind, note = origin.of("amos", root, samples)
    notes = [note, said]
    mri = len(every) - len(found)
    if mri:
        notes.append(f"Left out: {mri} MRI scan{'s' if mri > 1 else ''} (numbered above {LAST_CT}).")
    return Dataset(
        name="amos",
        title="AMOS",
        task="segmentation",
        classes=CLASSES,
        samples=samples,
        labels=np.empty((len(samples), 0), dtype=np.int64),
        origin=kind,
        note=" ".join(part for part in notes if part),
        root=root,
        read_image=_reader(planes),
        preparation="HU cut to [-1024, 600]" + (" | as stored" if authors else " | axial, upright"),
        read_mask=decathlon.mask_reader(planes, len(CLASSES)),
        planes=decathlon.by_image(samples, planes),
        window=HU,
        prepare=decathlon.preparer(root, samples, planes, "AMOS"),
    )


def _reader(planes: dict[str, volumes.Plane]) -> Reader:
    def read(root: Path, row: Record) -> np.ndarray:
        cut = slice_cache.cut(root / row["image"], planes[row["patient"]], int(row["slice"]))
        return np.clip(cut, *HU).astype(np.float32)[None]

    return read


def _number(name: str) -> int:
    match = re.search(r"(\d+)$", name)
    return int(match.group(1)) if match else 0


def _split(root: Path, found: list[decathlon.Scan]) -> list[str]:
    """The split of each scan."""
    names = pd.Series([scan.name for scan in found])
    official = np.array([scan.part == "validation" for scan in found])
    if not official.any():
        n_test = max(1, round(len(found) * TEST_SHARE))
        return splits.by_patient(names, n_test, -(-(len(found) - n_test) // EVERY_VALIDATION), str(root)).tolist()
    split = np.where(official, "test", "train").astype(object)
    rows = np.flatnonzero(~official)
    if len(rows) < 2:
        raise RadlibError(
            f"{root} holds {len(rows)} training scans; at least 2 are needed to make train and validation."
        )
    split[rows[::EVERY_VALIDATION]] = "validation"
    return split.tolist()
