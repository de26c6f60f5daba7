"""Images that are the same, found by content and not by name."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from radlib.data import identity, volumes
from radlib.errors import RadlibError

Thing = TypeVar("Thing", bound=Hashable)
READERS = 8  # waiting for the disk, not computing


def same(root: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of at least two files of `names` (below `root`) with equal content, each in the order of `names`.

    Volumes are compared by their voxels, so that one image under two headers, or compressed in two ways, is found;
    other files byte by byte. Volumes of different shapes are not read.
    """
    things = list(dict.fromkeys(names))
    flat = [name for name in things if not volumes.is_volume(name)]
    deep = [name for name in things if volumes.is_volume(name)]
    groups = _alike([flat], lambda name: content(root / name))
    whole = _alike([deep], lambda name: volumes.header(root / name).shape)
    groups += _alike(whole, lambda name: content(root / name))
    place = {name: k for k, name in enumerate(things)}
    return sorted((tuple(group) for group in groups), key=lambda group: place[group[0]])


def content(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a volume's voxels; raises RadlibError."""
    return _voxels(path) if volumes.is_volume(path.name) else identity.of(path)


def _alike(groups: Iterable[Sequence[Thing]], sign: Callable[[Thing], Hashable]) -> list[list[Thing]]:
    """`groups` split by `sign`, those of one member dropped; a file that cannot be read is like no other."""
    found: list[list[Thing]] = []
    with ThreadPoolExecutor(READERS) as pool:
        for group in groups:
            by_sign: dict[Hashable, list[Thing]] = defaultdict(list)
            for thing, value in zip(group, pool.map(lambda thing: _told(sign, thing), group), strict=True):
                if value is not None:
                    by_sign[value].append(thing)
            found += [members for members in by_sign.values() if len(members) > 1]
    return found


def _told(sign: Callable[[Thing], Hashable], thing: Thing) -> Hashable:
    try:
        return sign(thing)
    except (OSError, RadlibError):
        return None


def _voxels(path: Path) -> str:
    whole = volumes.voxels(path)  # past the slice cache: a check leaves nothing behind
    digest = hashlib.sha256()
    for k in range(whole.shape[2]):
        digest.update(whole[:, :, k].astype("<f4").tobytes())  # one image may be stored as int16 here and float there
    return digest.hexdigest()
