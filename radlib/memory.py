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

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")  # of a container, of a Slurm job


def free_bytes() -> int:
    """Bytes that this process may still take: the system's, or what its container or its own limits leave."""
    free = [int(psutil.virtual_memory().available)]
    with contextlib.suppress(OSError, ValueError):  # no such files, or "max"
        most, held = (int(Path(path).read_text()) for path in LIMITS)
        free.append(most - held)
    with contextlib.suppress(ImportError):  # Windows has no limits of this kind
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            free.append(most - int(psutil.Process().memory_info().vms))
    return max(0, min(free))


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
