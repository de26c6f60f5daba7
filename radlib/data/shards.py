"""Rows of a dataset worked out once and kept on disk in shards, mapped into memory.

A killed run loses one shard at most, a damaged shard is made again, and what is finished is never worked out twice.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from radlib import assets, atomic, checked_array
from radlib.errors import RadlibError

ROWS_PER_SHARD = 64  # 6 MB of gray 224 px squares: what a killed run loses


def folder(kind: str, key: Sequence[object]) -> Path:
    """Where shards of `kind` (``squares``, ``mask_squares``) with everything they depend on in `key` lie."""
    return assets.cache_dir() / kind / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]


def kept(
    place: Path,
    rows: int,
    read: Callable[[int], np.ndarray],
    shapes: Sequence[tuple[int, ...]],
    words: str,
    readers: int,
    bar: tqdm,
) -> tuple[np.ndarray, ...]:
    """The shards in `place` of `rows` rows, each memory-mapped; those that are not there are read and written first.

    read: row -> array in the type to be kept, called by `readers` threads; the arrays of a shard are broadcast to one
        shape, which is one of `shapes`.
    words: what is kept, ``Images of 224 px``, for the sentence of a full disk.
    Raises RadlibError where the disk cannot hold them; finished shards stay.
    """
    shards = []
    with ThreadPoolExecutor(readers, thread_name_prefix="decode") as pool:
        for low in range(0, rows, ROWS_PER_SHARD):
            inside = range(low, min(low + ROWS_PER_SHARD, rows))
            path = place / f"{low:08d}.safetensors"
            wanted = [(len(inside), *shape) for shape in shapes]
            found = next((array for shape in wanted if (array := checked_array.read(path, shape)) is not None), None)
            if found is None:
                if path.exists():
                    print(f"{words}: {path.name} in the cache was damaged and is made again.")
                array = np.stack(np.broadcast_arrays(*pool.map(read, inside)))
                try:
                    place.mkdir(parents=True, exist_ok=True)
                    checked_array.write(path, array)
                except OSError as error:
                    raise RadlibError(
                        f"{words} cannot be written to {place} ({error.strerror}); make room or set RADLIB_CACHE, then "
                        "run again: what is finished is kept."
                    ) from error
                found = checked_array.read(path, array.shape, trusted=True)
                if found is None:
                    raise RadlibError(f"{words} written to {place} read back damaged; check that disk.")
            shards.append(found)
            bar.update(len(inside))
    atomic.sweep(place)
    return tuple(shards)
