"""Montgomery County (Jaeger et al. 2014): 138 radiographs with a mask of each lung."""

from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import lung_masks, origin, pictures, problems
from radlib.data.dataset import Dataset, Record
from radlib.errors import RadlibError

CLASSES = ("left lung", "right lung")  # of the patient, as the release names its folders
FOLDERS = ("MontgomerySet", "Montgomery/MontgomerySet", "NLM-MontgomeryCXRSet/MontgomerySet", "Montgomery")
MERGED = ("Lung Segmentation", "data/Lung Segmentation")  # a copy on Kaggle, both lungs in one mask
EVERY_TEST, EVERY_VALIDATION = 3, 4  # authors' repository: 46 test, 23 of the rest validation, 69 train
SIDES = {"left_mask": "ManualMask/leftMask", "right_mask": "ManualMask/rightMask"}


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The radiographs in ``CXR_png`` with the masks of the same name in ``ManualMask/leftMask`` and ``rightMask``.

    A pixel in both masks is left lung: the authors' code adds the masks, which makes a third class of it.

    Raises:
        RadlibError: no ``CXR_png`` or ``ManualMask``, a missing mask, a file that is no picture, a mask of another size
            than its image.
    """
    base = lung_masks.base(root, (*FOLDERS, *MERGED))
    if not (base / "ManualMask").is_dir():
        raise RadlibError(
            f"{base} has no folder ManualMask; take the release, which draws each lung by itself (copies with both in "
            "one mask can be read with a manifest)."
        )
    names, others = lung_masks.radiographs(base, "MCUCXR_")
    prefix = base.relative_to(root)
    samples = pd.DataFrame({"image": [(prefix / lung_masks.IMAGES / name).as_posix() for name in names]})
    for column, folder in SIDES.items():
        samples[column] = [(prefix / folder / Path(name).name).as_posix() for name in names]
    samples["patient"] = lung_masks.patients(names)
    problems.raise_all(
        root,
        lung_masks.size_problems(root, samples["image"].tolist(), [samples[side].tolist() for side in SIDES], progress),
    )
    samples[["age", "sex"]] = lung_masks.readings(base, names, r"Age:\s*(\d+[YMD]?)", r"Sex:\s*([FM])")
    samples["split"] = lung_masks.split(samples["patient"].tolist(), EVERY_TEST, EVERY_VALIDATION, str(root))
    kind, note = origin.of("montgomery", root, samples)
    if others:
        note = f"{note} {others} pictures in CXR_png are not Montgomery's and are left out.".strip()
    return Dataset(
        name="montgomery",
        title="Montgomery County",
        task="segmentation",
        classes=CLASSES,
        samples=samples,
        labels=np.empty((len(samples), 0), dtype=np.int64),
        origin=kind,
        note=note,
        root=root,
        read_image=pictures.read_sample,
        preparation="gray as stored",
        read_mask=_read_mask,
    )


def _read_mask(root: Path, row: Record) -> np.ndarray:
    left, right = (pictures.read_mask(root / row[side]) for side in SIDES)
    return np.where(left, 1, np.where(right, 2, 0)).astype(np.uint8)
