"""The largest memory a piece of work held, and what is left of it."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from radlib.errors import RadlibError

SECONDS_BETWEEN_LOOKS = 0.02
MB = 1e6
SMALL = 1 << 29  # bytes for which free memory is not asked after: 512 MB

# Control groups, which bound containers and jobs of Slurm: where they lie, and the files of a group's limit, of what it
# holds and of what of that are pages of files that it can let go (version 2, and 1 of older systems).
GROUPS, MINE = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
VERSIONS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_bytes() -> int:
    """Bytes that this process may still take: the system's, or what its container, job or own limits leave."""
    free = [int(psutil.virtual_memory().available), *_left_by_groups()]
    with contextlib.suppress(ImportError):  # Windows has no limits of this kind
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            free.append(most - int(psutil.Process().memory_info().vms))
    return max(0, min(free))


def _left_by_groups() -> Iterator[int]:
    """Bytes that each control group which holds this process leaves, its own and those around it."""
    mine: dict[str, str] = {}
    with contextlib.suppress(OSError):  # Linux alone has them; a line is ``4:memory:/a/b``, or ``0::/a/b``
        for line in MINE.read_text(encoding="utf-8", errors="replace").splitlines():
            _, kinds, place = line.split(":", 2)
            mine.update(dict.fromkeys(kinds.split(","), place))
    for kind, limit, current, pages in VERSIONS:
        places = [mine[kind].strip("/")] if kind in mine else []
        while places:
            group = GROUPS / kind / places[-1]
            with contextlib.suppress(OSError, ValueError):  # no such files, or "max"
                held = int((group / current).read_text(encoding="ascii"))
                counts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
                yield int((group / limit).read_text(encoding="ascii")) - held + int(counts.get(pages, 0))
            places = [places[-1].rpartition("/")[0]] if places[-1] else []


def check_room(path: Path, needed: int) -> None:
    """Raise RadlibError, before it is tried, if the `needed` bytes that `path` takes unpacked are not free."""
    if needed < SMALL or (free := free_bytes()) > needed:
        return
    raise RadlibError(
        f"{path} takes {amount(needed)} of memory to unpack and {amount(free)} are free; end other programs, use a "
        "machine with more memory, or look whether its header is damaged."
    )


def amount(size: float) -> str:
    """Bytes in words, of memory or disk: ``812 B``, ``12.0 MB``, ``1.3 GB``."""
    for unit, least in (("GB", 1e9), ("MB", 1e5)):
        if size >= least:
            return f"{size / max(least, MB):,.1f} {unit}"
    return f"{size:,.0f} B"


@dataclass
class Peak:
    """`mb`: largest resident memory of this process in MB (10⁶ bytes) while the block ran, libraries included."""

    mb: float = 0.0


@contextmanager
def peak() -> Iterator[Peak]:
    """Watch this process's resident memory while the block runs.

    Looks every 20 ms, because the system's own high-water mark counts from the start of the process and so would charge
    a row with what another row needed.
    """
    process, found, done = psutil.Process(), Peak(), threading.Event()

    def look() -> None:
        found.mb = max(found.mb, process.memory_info().rss / MB)

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            look()

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    look()
    thread.start()
    try:
        yield found
    finally:
        look()
        done.set()
        thread.join()
