"""``radlib cache list|clear|verify``: what lies in the cache, for what, whether it is sound, and how to get rid of it.

Whatever is here can be made again: the worst that clearing it costs is time, and of `assets` a download.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from radlib import assets, atomic, checked_array
from radlib.errors import RadlibError, unknown_name

KINDS = {  # folder of the cache -> what lies there
    "assets": "downloaded wheels' members: real CT and MRI, encoders",
    "standins": "simulated cohorts",
    "identity": "hashes of image files that were read before",
    "slices": "unpacked volumes",
    "squares": "decoded images for fine-tuning",
    "mask_squares": "decoded masks",
    "features": "what frozen backbones say of images",
    "patch_tokens": "what decoders read of frozen backbones",
    "fine_tuning": "checkpoints of tuned backbones",
    "segmenters": "checkpoints of decoders and networks that draw masks",
    "weights": "which weights this machine has used",
}
ALL = "all"


@dataclass(frozen=True)
class Shelf:
    """One folder of the cache: `kind`, how many files it holds, `size` in bytes, how many files are unfinished."""

    kind: str
    what: str
    files: int
    size: int
    unfinished: int


def shelves() -> list[Shelf]:
    """What lies in every folder of the cache, those of `KINDS` first; others are listed too and never touched."""
    root = assets.cache_place()  # may be for reading only
    there = root.iterdir() if root.is_dir() else []
    names = [*KINDS, *sorted(path.name for path in there if path.is_dir() and path.name not in KINDS)]
    found = []
    for name in names:
        files = list(_files(root / name))
        size = sum(map(_size, files))
        half = sum(".part" in path.name for path in files)
        found.append(Shelf(name, KINDS.get(name, "not radlib's"), len(files), size, half))
    return found


def clear(kind: str) -> int:
    """Delete everything of `kind` (a name of `KINDS`, or ``all``); returns the bytes that became free.

    Raises RadlibError for an unknown kind, for a folder that is not radlib's alone, and for what cannot be deleted.
    """
    if kind not in (*KINDS, ALL):
        raise unknown_name("part of the cache", kind, (*KINDS, ALL))
    freed, root = 0, assets.cache_dir()
    if not (root / assets.CACHE_TAG).is_file():  # RADLIB_CACHE may name somebody's project, with a folder "weights"
        raise RadlibError(
            f"{root} is not marked as a cache (it has no {assets.CACHE_TAG}), so nothing is deleted; do it by hand, "
            "or let RADLIB_CACHE name a folder of its own."
        )
    for name in KINDS if kind == ALL else (kind,):
        folder = root / name
        freed += 0 if folder.is_symlink() else sum(map(_size, _files(folder)))
        try:
            # A link, as a cache that shares its downloads has one, goes alone: what it leads to is another's.
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            else:
                folder.unlink(missing_ok=True)
        except OSError as error:
            raise RadlibError(f"{folder} cannot be deleted ({error.strerror}); mend its permissions.") from error
    return freed


@dataclass(frozen=True)
class Verdict:
    """What `verify` saw of one kind: files `sound`, paths `damaged`, leftovers `swept`, files without a checksum.

    deleted: whether the damaged ones are gone.
    """

    kind: str
    sound: int
    damaged: tuple[Path, ...]
    swept: int
    unchecked: int
    deleted: bool


def verify(kind: str = ALL, delete: bool = False) -> Iterator[Verdict]:
    """Read every cached file of `kind` against its checksum and remove what killed runs left unfinished.

    delete: damaged files too, but for those that a link leads to. A run would find them itself and make them again.
    Raises RadlibError for an unknown kind.
    """
    if kind not in (*KINDS, ALL):
        raise unknown_name("part of the cache", kind, (*KINDS, ALL))
    for name in KINDS if kind == ALL else (kind,):
        folder = assets.cache_place() / name
        mine = not folder.is_symlink()  # what a link leads to is another's: read, and left as it is
        places = {folder, *(path.parent for path in _files(folder))} if mine else ()
        swept = sum(len(atomic.sweep(place)) for place in places if place.is_dir())
        verdicts = [(path, _sound(name, path)) for path in _checked(name, folder)]
        damaged = tuple(path for path, sound in verdicts if sound is False)
        deleted = delete and mine
        if deleted:
            for path in damaged:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        yield Verdict(
            name,
            sum(sound is True for _, sound in verdicts),
            damaged,
            swept,
            sum(sound is None for _, sound in verdicts),
            deleted,
        )


def _checked(kind: str, folder: Path) -> Sequence[Path]:
    """What has a checksum of its own: files, and of stand-ins whole cohorts."""
    if not folder.is_dir():
        return []
    if kind == "standins":
        return sorted(path for path in folder.iterdir() if path.is_dir() and ".part" not in path.name)
    return sorted(path for path in _files(folder) if path.suffix != ".lock" and ".part" not in path.name)


def _sound(kind: str, path: Path) -> bool | None:
    """Whether `path` is as it was written; None where nothing tells."""
    import standins
    from radlib.data import identity
    from standins import marker

    by_ending: dict[str, Callable[[Path], bool | None]] = {
        ".safetensors": checked_array.sound,
        ".pt": _checkpoint,
        ".json": _key,
        ".sha256": _note,
        ".index": identity.sound,
    }
    test = by_ending.get(path.suffix)
    try:
        if kind == "standins":
            return standins.sound(path) if standins.SUM in marker(path) else None
        if kind == "assets":
            member = {each.sha256[:12]: each for wheel in assets.WHEELS for each in wheel.members}.get(path.parent.name)
            return assets.sound(path, member) if member else None
        return test(path) if test else None
    except FileNotFoundError:  # another process has just taken it away
        return None
    except OSError:
        return False


def _checkpoint(path: Path) -> bool:
    from radlib.evaluate import checkpoint  # torch is slow to import

    return checkpoint.sound(path)


def _key(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.parent.name)


def _note(path: Path) -> bool:
    from radlib.models import known_weights

    return known_weights.sound(path)


def _files(folder: Path) -> Iterator[Path]:
    """Files below `folder`; what another process takes away meanwhile is left out."""
    for here, _, names in os.walk(folder):
        yield from (path for path in (Path(here, name) for name in names) if path.is_file())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def verdict_in_words(found: Verdict) -> str:
    """The lines that ``radlib cache verify`` prints of one kind."""
    words = f"{found.kind:14}{found.sound:>8,} sound"
    words += f", {found.unchecked:,} without a checksum" if found.unchecked else ""
    words += f", {found.swept:,} leftovers removed" if found.swept else ""
    told = "deleted" if found.deleted else "damaged; the next run makes it again"
    root = assets.cache_place()  # below it names are hashes and numbers, which tell nothing of anybody
    return "\n".join([words, *(f"{'':14}{path.relative_to(root)}: {told}" for path in found.damaged)])


def in_words(found: Sequence[Shelf]) -> str:
    """The table that ``radlib cache list`` prints."""
    root = assets.cache_place()
    free = f"{shutil.disk_usage(root).free / 1e9:,.1f} GB free" if root.is_dir() else "not made yet"
    lines = [f"{root}, {free}"]
    for shelf in found:
        half = f", {shelf.unfinished} unfinished" if shelf.unfinished else ""
        lines.append(f"  {shelf.kind:14}{shelf.size / 1e6:>12,.1f} MB{shelf.files:>8,} files  {shelf.what}{half}")
    lines.append(f"  {'together':14}{sum(shelf.size for shelf in found) / 1e6:>12,.1f} MB")
    return "\n".join(lines)
