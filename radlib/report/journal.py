"""Which Results a command has written, itself or in the kernels it started."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "RADLIB_RESULTS_WRITTEN"  # names a file of paths, each ended by a zero byte; kernels inherit it


@contextlib.contextmanager
def written() -> Iterator[list[Path]]:
    """A list that, when the block ends, holds the path of every Result written in it, each once."""
    found: list[Path] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "written"
        file.touch()
        os.environ[VARIABLE] = str(file)
        try:
            yield found
        finally:
            del os.environ[VARIABLE]
            paths = file.read_bytes().split(b"\0")[:-1]
            found += [Path(os.fsdecode(path)) for path in dict.fromkeys(paths)]


def note(path: Path) -> None:
    """Add the Result at `path` to the list of the `written` block in which this process runs, if any."""
    if place := os.environ.get(VARIABLE):
        with contextlib.suppress(OSError), open(place, "ab") as file:  # a summary is not worth a lost Result
            file.write(os.fsencode(path.resolve()) + b"\0")
