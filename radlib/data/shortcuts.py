"""What an image's acquisition alone tells: size, view, age, sex, number of slices; never a pixel.

A classifier that reads these and nothing else says how much of a score could be had without looking (DeGrave et al.
2021; a view alone gives 0.59 on NIH Chest X-ray).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import pictures
from radlib.data.dataset import Dataset

WORDS = ("view", "sex")


def shortcuts(dataset: Dataset, progress: bool = True) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features `(N, d)` float32 of every image and what each column means; d is 0 where nothing varies.

    Image height and width in pixels as shown (pictures and the release of Brain Tumor), age in years (the cohort's
    median where it is not known), 0/1 for each view and sex, and for slices the number of images of their study.
    """
    samples = dataset.samples
    columns: dict[str, np.ndarray] = {}
    sizes = _sizes(dataset, progress)
    if sizes is not None:
        columns["image height"], columns["image width"] = sizes
    if "study" in samples:
        columns["images of the study"] = samples.groupby("study")["image"].transform("size").to_numpy(float)
    if "age" in samples:
        age = pd.to_numeric(samples["age"], errors="coerce").astype(float)
        columns["age"] = age.fillna(age.median()).to_numpy()
        columns["age unknown"] = age.isna().to_numpy(float)
    for name in WORDS:
        if name in samples:
            words = samples[name].astype(str).str.strip().replace({"nan": ""})
            for word in sorted(set(words)):
                columns[f"{name} {word or 'unknown'}"] = (words == word).to_numpy(float)
    columns = {name: values for name, values in columns.items() if np.ptp(np.nan_to_num(values)) > 0}
    found = np.column_stack([np.nan_to_num(values) for values in columns.values()] or [np.empty((len(samples), 0))])
    return found.astype(np.float32), tuple(columns)


def _sizes(dataset: Dataset, progress: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Heights and widths `(N,)` in px, from file headers; None where the files are of another kind."""
    names = list(dataset.samples["image"])
    kinds = {Path(name).suffix.lower() for name in names}
    if kinds <= pictures.SUFFIXES:
        found = pictures.sizes(dataset.root, names, progress)
    elif kinds == {".mat"}:
        found = [_mat_size(dataset.root / name) for name in names]
    else:
        return None
    sizes = np.array([size or (np.nan, np.nan) for size in found], dtype=float)
    return sizes[:, 0], sizes[:, 1]


def _mat_size(path: Path) -> tuple[int, int] | None:
    import h5py

    try:
        with h5py.File(path) as file:
            width, height = file["cjdata/image"].shape  # MATLAB stores columns first
            return height, width
    except (OSError, KeyError, ValueError):
        return None
