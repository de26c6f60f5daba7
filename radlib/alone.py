"""One process at a time: what two would make alike is made once, and the second finds it made."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from radlib import assets


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Nobody else on this machine is in a block for the same `what`, e.g. a path: a second process waits.

    Not to be entered again for the same `what` inside. A process that is killed lets go.
    """
    locks = assets.cache_dir() / "locks"
    locks.mkdir(exist_ok=True)
    with FileLock(locks / hashlib.sha256(what.encode()).hexdigest()[:24]):
        yield
