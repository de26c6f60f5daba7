"""Shenzhen (Jaeger et al. 2014): 662 radiographs, 566 of them with a mask of both lungs (Stirenko et al. 2018)."""

from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import lung_masks, origin, pictures, problems
from radlib.data.dataset import Dataset, Record
from radlib.errors import RadlibError

CLASSES = ("lung",)
FOLDERS = (
    "ChinaSet_AllFiles",
    "ChinaSet_AllFiles/ChinaSet_AllFiles",
    "Lung Segmentation",
    "data/Lung Segmentation",
    "Shenzhen",
)
EVERY_TEST, EVERY_VALIDATION = 5, 5  # authors' repository: 114 test, 91 of the rest validation, 361 train


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The radiographs in ``CXR_png`` that have a mask ``NAME_mask.png`` in ``mask`` or ``masks`` beside it.

    Raises:
        RadlibError: no ``CXR_png``, no mask at all, a file that is no picture, a mask of another size than its image.
    """
    base = lung_masks.base(root, FOLDERS)
    names, others = lung_masks.radiographs(base, "CHNCXR_")
    folder = next((base / name for name in ("mask", "masks") if (base / name).is_dir()), None)
    if folder is None:
        raise RadlibError(
            f"{base} has no folder mask; the masks are not part of the release: get them (see the data card) and put "
            "them there."
        )
    drawn = {Path(name).name: name for name in pictures.below(folder)}  # Kaggle's archive has mask/mask/
    masked = [name for name in names if f"{Path(name).stem}_mask.png" in drawn]
    if not masked:
        raise RadlibError(f"{folder} holds no mask of these radiographs, such as {Path(names[0]).stem}_mask.png.")
    prefix = base.relative_to(root)
    stems = [Path(name).stem for name in masked]
    samples = pd.DataFrame(
        {
            "image": [(prefix / lung_masks.IMAGES / name).as_posix() for name in masked],
            "mask": [(prefix / folder.name / drawn[f"{stem}_mask.png"]).as_posix() for stem in stems],
            "patient": lung_masks.patients(masked),
        }
    )
    problems.raise_all(
        root, lung_masks.size_problems(root, samples["image"].tolist(), [samples["mask"].tolist()], progress)
    )
    # a reading begins "male 45yrs"
    samples[["age", "sex"]] = lung_masks.readings(base, masked, r"(\d+)\s*y", r"\A\s*(female|male)")
    samples["split"] = lung_masks.split(samples["patient"].tolist(), EVERY_TEST, EVERY_VALIDATION, str(root))
    kind, note = origin.of("shenzhen", root, samples)
    notes = [note, f"{len(names) - len(masked)} radiographs have no mask and are left out."]
    if others:
        notes.append(f"{others} pictures in CXR_png are not Shenzhen's and are left out.")
    return Dataset(
        name="shenzhen",
        title="Shenzhen",
        task="segmentation",
        classes=CLASSES,
        samples=samples,
        labels=np.empty((len(samples), 0), dtype=np.int64),
        origin=kind,
        note=" ".join(notes).strip(),
        root=root,
        read_image=pictures.read_sample,
        preparation="gray as stored",
        read_mask=_read_mask,
    )


def _read_mask(root: Path, row: Record) -> np.ndarray:
    return pictures.read_mask(root / row["mask"]).astype(np.uint8)
