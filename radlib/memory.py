"""The largest memory a piece of work held."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

SECONDS_BETWEEN_LOOKS = 0.02
MB = 1e6


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
