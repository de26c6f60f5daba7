"""Images as training reads them again and again: decoded and squared once, kept on disk, mapped into memory.

Fine-tuning sees every image in every epoch and each method sees them anew; a radiograph is decoded for the first of all
these. What is kept is `preprocess.unit_square` in half precision: [0, 1] in steps of at most 1/2048, finer than the
8 bit the releases have.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from radlib.data import shards
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING, unit_square
from radlib.data.shards import ROWS_PER_SHARD


@dataclass(frozen=True)
class Squares:
    """N square images in shards, memory-mapped, `(n, C, size, size)` float16 in [0, 1], C 1 or 3 shard by shard."""

    shards: tuple[np.ndarray, ...]
    size: int

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Images of `rows` `(B,)` as `(B, 3, size, size)` float32 in [0, 1], gray repeated."""
        out = np.empty((len(rows), 3, self.size, self.size), np.float32)
        for place, row in enumerate(rows):
            out[place] = self.shards[row // ROWS_PER_SHARD][row % ROWS_PER_SHARD]
        return out


def squares(dataset: Dataset, size: int, readers: int = 2, progress: bool = True) -> Squares:
    """Every image of `dataset` as a square of `size` px, from the cache or decoded by `readers` threads and kept.

    Raises RadlibError for an unreadable image (named) and a disk that cannot hold them; finished shards stay.
    """
    key = [dataset.fingerprint, dataset.preparation, PREPROCESSING, size, ROWS_PER_SHARD]
    if dataset.prepare is not None:
        dataset.prepare(progress)

    def read(row: int) -> np.ndarray:
        return unit_square(dataset.read(row), size).astype(np.float16)

    shapes = [(channels, size, size) for channels in (1, 3)]
    title = f"{dataset.name} at {size} px"
    with tqdm(total=len(dataset), desc=title, unit="image", disable=not progress) as bar:
        place = shards.folder("squares", key)
        return Squares(shards.kept(place, len(dataset), read, shapes, f"Images of {size} px", readers, bar), size)
