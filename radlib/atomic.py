"""Files that are either whole or as they were before.

What is being written lies beside its place, called as no other writer calls it: ``<name>.part-<home>-<pid>-<random>``,
where `home` stands for this machine since it was started (and the container in it). So two machines on one disk, two
processes and two threads never meet in a file, and it can be told whether the writer of a leftover still lives.
"""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

FOREIGN_SECONDS = 86_400  # an unfinished file of another machine this far from now, either way, has no writer any more
NAME = re.compile(r"\.part-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}(?:\.ipynb)?$")
OLD_NAME = re.compile(r"\.(?:safetensors|pt)\.part-\d+$")  # of caches before version 0.2, by process alone


def replace(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; raises OSError, leaving nothing behind, also for a device."""
    with part(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def part(path: Path) -> Iterator[Path]:
    """A file beside `path` to be written: it takes that place when the block ends, and is removed when it fails."""
    check_place(path)
    beside = unfinished(path)
    try:
        yield beside
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):  # its folder may never have been one
            beside.unlink()


def check_place(path: Path) -> None:
    """Raise OSError where a file would take the place of what is none, such as ``/dev/null``."""
    if os.path.lexists(path) and not os.path.islink(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "what is there is no regular file", str(path))


def unfinished(path: Path, ending: str = "") -> Path:
    """A name beside `path` that nobody else writes to; `ending` is kept at its end for writers that look at it."""
    stem = path.name.removesuffix(ending) if ending else path.name
    return path.with_name(f"{stem}.part-{_home()}-{os.getpid()}-{secrets.token_hex(4)}{ending}")


def sweep(folder: Path) -> list[Path]:
    """Remove what killed runs left half-written in `folder`, files and folders; returns what was removed.

    A file of a process that lives stays, whatever its time says: clocks jump. One of another machine, whose processes
    cannot be asked, stays for a day before and after the time it bears.
    """
    gone = []
    for leftover in folder.glob("*.part-*"):
        with contextlib.suppress(OSError):  # the other run has just finished with it, or we may not
            if not _is_written(leftover):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
                gone.append(leftover)
    return gone


def _is_written(leftover: Path) -> bool:
    """Whether somebody may still be writing this file."""
    name = NAME.search(leftover.name)
    if name and name[1] == _home():
        return _lives(int(name[2]))
    if name or OLD_NAME.search(leftover.name):
        return abs(time.time() - leftover.stat().st_mtime) < FOREIGN_SECONDS
    return True  # not one of ours


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # not ours to ask; that it may not be asked says that it lives
        return True
    return True


@functools.cache
def _home() -> str:
    """Eight digits that stand for this machine since its start and this container; no name in them."""
    words = [platform.node()]
    with contextlib.suppress(OSError):  # Linux alone tells these
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        words.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:8]
