"""A stranger's small file, read whole: never a pipe that says nothing, a device that never ends, or a disk image."""

import os
from pathlib import Path

from radlib import memory
from radlib.errors import RadlibError


def read(path: Path, most: int) -> bytes:
    """The content of `path`, at most `most` bytes; raises RadlibError, naming it, for anything else."""
    try:
        if not os.path.isfile(path):
            fault = "is no regular file" if os.path.lexists(path) else "is not there"
            raise RadlibError(f"{path} {fault}; check the path.")
        if (size := os.path.getsize(path)) > most:
            raise RadlibError(
                f"{path} takes {memory.amount(size)}, a file of its kind at most {memory.amount(most)}; name another."
            )
        return path.read_bytes()
    except OSError as error:
        raise RadlibError(f"{path} cannot be read ({error.strerror}); check the path and its permissions.") from error
