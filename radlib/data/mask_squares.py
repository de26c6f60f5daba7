"""Masks as training reads them again and again: decoded and squared once, kept on disk, mapped into memory.

They lie on the squares of the images (`squares`): pixel i of `size` looks at the place (i + 1/2) · n / size of the n
that are stored, which is where Pillow's bicubic resizing puts the middle of its filter. A class number is taken as it
is there (nearest); between two classes there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from radlib.data import shards
from radlib.data.dataset import Dataset
from radlib.data.shards import ROWS_PER_SHARD
from radlib.data.splits import SPLITS
from radlib.errors import RadlibError

SAMPLING = "square nearest, pixel centres"
SHOWN = 5  # names in a printed line


@dataclass(frozen=True)
class MaskSquares:
    """N square masks in shards, memory-mapped, `(n, size, size)` uint8, 0 background and 1…K the classes."""

    shards: tuple[np.ndarray, ...]
    size: int

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Masks of `rows` `(B,)` as `(B, size, size)` uint8."""
        out = np.empty((len(rows), self.size, self.size), np.uint8)
        for place, row in enumerate(rows):
            out[place] = self.shards[row // ROWS_PER_SHARD][row % ROWS_PER_SHARD]
        return out


def mask_squares(dataset: Dataset, size: int, readers: int = 2, progress: bool = True) -> MaskSquares:
    """Every mask of `dataset` as a square of `size` px, from the cache or decoded by `readers` threads and kept.

    Raises RadlibError for a dataset without masks, a mask that cannot be read or holds a number that is no class
    (named), and a disk that cannot hold them; finished shards stay.
    """
    key = [dataset.mask_fingerprint, dataset.preparation, dataset.mask_preparation, SAMPLING, size, ROWS_PER_SHARD]
    if dataset.prepare is not None:
        dataset.prepare(progress)

    def read(row: int) -> np.ndarray:
        return nearest(dataset.mask(row), size)

    title = f"masks of {dataset.name} at {size} px"
    with tqdm(total=len(dataset), desc=title, unit="mask", disable=not progress) as bar:
        place = shards.folder("mask_squares", key)
        found = shards.kept(place, len(dataset), read, [(size, size)], f"Masks of {size} px", readers, bar)
    return MaskSquares(found, size)


def nearest(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask `(H, W)` -> `(size, size)`, each pixel the stored one its middle falls into."""
    rows, columns = ((2 * np.arange(size) + 1) * n // (2 * size) for n in mask.shape)
    return np.asarray(mask[np.ix_(rows, columns)])


def check_foreground(masks: MaskSquares, samples: pd.DataFrame, classes: Sequence[str]) -> None:
    """Raise RadlibError if a split has no foreground at all; print what is only a pity.

    masks: of all rows of `samples` (`Dataset.samples`), whose `classes` are 1…K.
    Printed in one line each: classes that a split lacks, and the scans (of pictures: images) without any foreground.
    Nothing can be learnt from a train split of background, no learning rate be chosen on a validation split of it, and
    on such a test split the empty mask would be perfect.
    """
    K = len(classes)
    has = np.zeros((len(samples), K), dtype=bool)
    for low in range(0, len(samples), ROWS_PER_SHARD):
        rows = np.arange(low, min(low + ROWS_PER_SHARD, len(samples)))
        for row, mask in zip(rows, masks[rows], strict=True):
            has[row] = np.bincount(mask.ravel(), minlength=K + 1)[1 : K + 1] > 0
    split = samples["split"].to_numpy()
    for name in [name for name in SPLITS if (split == name).any()]:
        inside = has[split == name].any(axis=0)
        if not inside.any():
            raise RadlibError(
                f"No mask of the {name} split holds any foreground at {masks.size} px ({_listed(classes)}); look at "
                "the masks, or split the cohort otherwise."
            )
        absent = [title for title, there in zip(classes, inside, strict=True) if not there]
        if absent:
            print(f"At {masks.size} px no mask of the {name} split holds {_listed(absent)}.")
    bare = ~has.any(axis=1)
    by_scan = pd.Series(bare).groupby(samples["image"].to_numpy(), sort=False).all()
    empty = by_scan.index[by_scan].tolist()
    if empty:
        print(f"At {masks.size} px {len(empty)} of {len(by_scan)} masks hold no foreground: {_listed(empty)}.")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
