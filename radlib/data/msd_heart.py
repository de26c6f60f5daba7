"""MSD Heart (Antonelli et al. 2022, Task02_Heart): 20 MRI scans with the left atrium outlined."""

from pathlib import Path

import numpy as np

from radlib.data import decathlon, origin, problems, slice_cache, splits, volumes
from radlib.data.dataset import Dataset, Reader, Record
from radlib.data.preprocess import clip_percentiles

CLASSES = ("left atrium",)
FOLDERS = ("Task02_Heart",)
PAPER_SCANS, PAPER_TEST, PAPER_VALIDATION = 20, 4, 4  # authors' repository
# The header is a stub: slices along the stored third axis are sagittal in truth, and so turned the patient is upright.
UPRIGHT = volumes.Plane(axis=2, rows=1, flip_rows=True)


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The slices along the stored third axis of every scan below `root`, each clipped to its 5th-95th percentile.

    Scans are split as the paper's were, systematically over their sorted names: of 20 scans 4 test and 4 of the rest
    validation; a smaller copy keeps these shares. ``protocol="authors"`` leaves the picture as it is stored.

    Raises:
        RadlibError: no imagesTr, a dataset.json that is none, a volume that is missing or damaged, a mask of another
            grid than its image, fewer than 3 scans. All bad files are told together.
    """
    base = decathlon.base(root, FOLDERS)
    found, said = decathlon.scans(base)
    heads, wrong = decathlon.heads(base, found, progress)
    problems.raise_all(root, wrong)
    plane = volumes.AS_STORED if protocol == "authors" else UPRIGHT
    samples = decathlon.samples(root, base, found, [head.shape[2] for head in heads])
    samples["split"] = splits.as_paper(samples, PAPER_SCANS, PAPER_TEST, PAPER_VALIDATION, str(root))
    splits.check(samples, str(root))
    planes = {scan.name: plane for scan in found}
    kind, note = origin.of("msd_heart", root, samples)
    return Dataset(
        name="msd_heart",
        title="MSD Heart",
        task="segmentation",
        classes=CLASSES,
        samples=samples,
        labels=np.empty((len(samples), 0), dtype=np.int64),
        origin=kind,
        note=" ".join(part for part in (note, said) if part),
        root=root,
        read_image=_reader(plane),
        preparation="5th-95th percentile clip" + (" | as stored" if protocol == "authors" else ""),
        read_mask=decathlon.mask_reader(planes, len(CLASSES)),
        planes=decathlon.by_image(samples, planes),
        prepare=decathlon.preparer(root, samples, planes, "MSD Heart"),
    )


def _reader(plane: volumes.Plane) -> Reader:
    def read(root: Path, row: Record) -> np.ndarray:
        cut = slice_cache.cut(root / row["image"], plane, int(row["slice"]))
        return clip_percentiles(np.ascontiguousarray(cut))[None]

    return read
