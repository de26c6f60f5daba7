"""``radlib --log FILE …``: what happened, in a file that may be sent to whoever is asked for help."""

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from radlib import atomic, doctor, privacy
from radlib.errors import RadlibError

MOST = 2_000_000  # characters kept; of a longer run the end, where the fault is


class _Both(io.TextIOBase):
    """A stream that also remembers what passes through."""

    def __init__(self, shown: TextIO, kept: list[str]) -> None:
        self.shown, self.kept = shown, kept

    def write(self, text: str) -> int:
        self.kept.append(text)
        return self.shown.write(text)

    def flush(self) -> None:
        self.shown.flush()

    def fileno(self) -> int:
        return self.shown.fileno()

    def isatty(self) -> bool:
        return self.shown.isatty()


@contextlib.contextmanager
def to(path: Path, arguments: Sequence[str], private: Sequence[Path] = ()) -> Iterator[None]:
    """Keep what is printed in the block in `path`, with the command and this machine's state, private words left out.

    private: folders of the reader's data. The file is written when the block ends, however it ends.
    Raises RadlibError, before the block, when `path` cannot be written.
    """
    kept: list[str] = []
    _put(path, "radlib has begun.\n")
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Both(out, kept), _Both(err, kept)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        said = "".join(kept)[-MOST:]
        # of a progress bar, which draws over itself, only what stood there in the end
        lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in said.split("\n")]
        words = privacy.public("\n".join(["$ radlib " + " ".join(arguments), *lines]), private)
        _put(path, f"{words}\n\n{doctor.in_words(doctor.look(network=False))}\n")


def _put(path: Path, text: str) -> None:
    try:
        atomic.replace(path, text.encode(errors="replace"))
    except OSError as error:
        raise RadlibError(f"The log {path} cannot be written ({error.strerror}); name another file.") from error
