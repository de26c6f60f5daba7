"""Images as training reads them again and again: decoded and squared once, kept on disk, mapped into memory.

Fine-tuning sees every image in every epoch and each method sees them anew; a radiograph is decoded for the first of all
these. What is kept is `preprocess.unit_square` in half precision: [0, 1] in steps of at most 1/2048, finer than the
8 bit the releases have.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from radlib import assets, checked_array
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING, unit_square
from radlib.errors import RadlibError

ROWS_PER_SHARD = 64  # 6 MB of gray 224 px squares: what a killed run loses


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
    key = json.dumps([dataset.fingerprint, dataset.preparation, PREPROCESSING, size, ROWS_PER_SHARD])
    folder = assets.cache_dir() / "squares" / hashlib.sha256(key.encode()).hexdigest()[:24]
    shards = []
    if dataset.prepare is not None:
        dataset.prepare(progress)
    with (
        ThreadPoolExecutor(readers, thread_name_prefix="decode") as pool,
        tqdm(total=len(dataset), desc=f"{dataset.name} at {size} px", unit="image", disable=not progress) as bar,
    ):
        for low in range(0, len(dataset), ROWS_PER_SHARD):
            rows = range(low, min(low + ROWS_PER_SHARD, len(dataset)))
            path = folder / f"{low:08d}.safetensors"
            shapes = [(len(rows), channels, size, size) for channels in (1, 3)]
            found = next((array for shape in shapes if (array := checked_array.read(path, shape)) is not None), None)
            if found is None:
                images = list(pool.map(lambda row: unit_square(dataset.read(row), size), rows))
                channels = max(len(image) for image in images)
                array = np.stack([np.broadcast_to(image, (channels, size, size)) for image in images])
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    checked_array.write(path, array.astype(np.float16))
                except OSError as error:
                    raise RadlibError(
                        f"Images of {size} px cannot be written to {folder} ({error.strerror}); make room or set "
                        "RADLIB_CACHE, then run again: what is finished is kept."
                    ) from error
                found = checked_array.read(path, array.shape, trusted=True)
                if found is None:
                    raise RadlibError(f"Images written to {folder} read back damaged; check that disk.")
            shards.append(found)
            bar.update(len(rows))
    return Squares(tuple(shards), size)
