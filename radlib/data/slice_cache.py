"""Compressed volumes unpacked once: a ``.nii.gz`` can only be read from its start, slices in any order want better.

Each volume becomes one file of slices under ``<cache>/slices``, mapped into memory, with a checksum; its name is made
of the source's whole content (`identity`) and of the axis it is cut along. A ``.nii`` whose values need no work is
mapped where it lies.
"""

import functools
import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
from filelock import FileLock
from tqdm import tqdm

from radlib import assets, atomic, checked_array
from radlib.data import identity, volumes
from radlib.errors import RadlibError
from radlib.memory import amount

BUILDERS = max(1, min(4, os.cpu_count() or 1))  # each holds one unpacked volume in memory
OPEN_VOLUMES = 256  # maps kept open; each holds no memory but one of the 1,024 files a process may usually open

_trusted: set[tuple[str, identity.Sign]] = set()  # cached files whose checksum was right
_one_by_one: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def cut(path: Path, plane: volumes.Plane, k: int) -> np.ndarray:
    """Slice `k` of the volume `path` as the `(H, W)` picture of `plane`.

    Raises RadlibError, naming the file: damaged, without a slice `k`, or with NaN or infinite values in it.
    """
    stack = opened(path, plane.axis)
    if not 0 <= k < len(stack):
        raise RadlibError(
            f"{path} has {len(stack)} slices and slice {k} was asked for; correct the table that names it."
        )
    if stack.dtype.kind == "f" and not np.isfinite(stack[k]).all():
        raise RadlibError(f"{path} holds NaN or infinite values in slice {k}; export the volume again.")
    return np.asarray(volumes.upright(stack[k], plane))


def opened(path: Path, axis: int) -> np.ndarray:
    """All cuts of the volume `path` along stored `axis`, `(S, A, B)`, mapped into memory; unpacked first if need be."""
    return _opened(path, axis, identity.of(path))


def build(paths: Sequence[Path], axes: Sequence[int], title: str, progress: bool = True) -> None:
    """Unpack those of `paths`, cut along `axes`, that are not unpacked yet, several at once; says how much it takes.

    Raises RadlibError before any work when the cache's disk has no room for them.
    """
    missing = [
        (path, axis)
        for path, axis, content in zip(paths, axes, identity.of_all(paths, progress), strict=True)
        if not _place(content, axis).is_file() and not volumes.header(path).plain
    ]
    if not missing:
        return
    size = bytes_needed([path for path, _ in missing])
    folder = _folder()
    free = shutil.disk_usage(folder).free
    if free < size:
        raise RadlibError(
            f"The slices of {title} take {amount(size)} and {folder} has {amount(free)} left; make room or "
            "set RADLIB_CACHE to another disk."
        )
    if progress:
        print(f"{title}: {len(missing)} volumes are unpacked once, {amount(size)} in {folder}.")
    with ThreadPoolExecutor(BUILDERS) as pool:
        done = pool.map(lambda job: opened(*job), missing)
        for _ in tqdm(done, "unpacking volumes", len(missing), unit="volume", disable=not progress):
            pass
    atomic.sweep(folder)


def bytes_needed(paths: Sequence[Path]) -> int:
    """Bytes that the slices of `paths` take at most, from their headers."""
    heads = (volumes.header(path) for path in paths)
    return sum(int(np.prod(head.shape)) * max(1, min(head.dtype.itemsize, 4)) for head in heads)


@functools.lru_cache(maxsize=OPEN_VOLUMES)
def _opened(path: Path, axis: int, content: str) -> np.ndarray:
    head = volumes.header(path)
    if head.plain:
        return np.moveaxis(nibabel.load(path).dataobj.get_unscaled().reshape(head.shape), axis, 0)
    others = [n for k, n in enumerate(head.shape) if k != axis]
    shape = (head.shape[axis], others[0], others[1])
    place = _place(content, axis)
    with _guard:
        lock = _one_by_one.setdefault(place.name, threading.Lock())
    try:
        # Threads of this process wait for each other, and so do processes: nobody unpacks what another is unpacking.
        with lock, FileLock(place.with_suffix(".lock")):
            trusted = place.exists() and (place.name, identity.sign(place)) in _trusted
            found = checked_array.read(place, shape, trusted=trusted)
            if found is None:
                if place.exists():
                    print(f"The cached slices of {path.name} were damaged and are made again.")
                voxels = volumes.voxels(path)
                if identity.of(path) != content:
                    raise RadlibError(f"{path} has changed while it was read; run again when nothing writes to it.")
                checked_array.write(place, np.moveaxis(voxels, axis, 0))
                found = checked_array.read(place, shape)
            if found is not None:
                _trusted.add((place.name, identity.sign(place)))
    except OSError as error:
        raise RadlibError(
            f"The slices of {path.name} cannot be kept in {place.parent} ({error.strerror}); make room there or set "
            "RADLIB_CACHE."
        ) from error
    if found is None:
        raise RadlibError(f"The slices written to {place} read back damaged; check that disk.")
    return found


def _place(content: str, axis: int) -> Path:
    return _folder() / f"{hashlib.sha256(f'{content} {axis}'.encode()).hexdigest()[:32]}.safetensors"


def _folder() -> Path:
    folder = assets.cache_dir() / "slices"
    folder.mkdir(exist_ok=True)
    return folder
