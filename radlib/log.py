"""``radlib --log FILE …``: what happened, in a file that may be sent to whoever is asked for help."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from radlib import doctor, privacy
from radlib.errors import RadlibError

MOST = 2_000_000  # characters kept; of a longer run the end, where the fault is


class _Kept:
    """The file: lines made public as they come, so that a run that is killed leaves what it said."""

    def __init__(self, file: io.FileIO, private: Sequence[Path]) -> None:
        self.file, self.private, self.cut = file, private, False
        self.lines: list[str] = []
        self.size, self.begun = 0, ""

    def add(self, text: str) -> None:
        *whole, self.begun = (self.begun + text).split("\n")
        # of a progress bar, which draws over itself, only what stood there in the end
        self.begun = self.begun[self.begun.rstrip("\r").rfind("\r") + 1 :]
        for line in whole:
            self._put(privacy.public(line.rstrip("\r").rsplit("\r", 1)[-1], self.private) + "\n")

    def _put(self, line: str) -> None:
        self.lines.append(line)
        self.size += len(line)
        if self.size > MOST:
            self.lines = ["(what was said before is left out)\n", *self.lines[len(self.lines) // 2 :]]
            self.size = sum(map(len, self.lines))
            with contextlib.suppress(OSError):
                self.file.truncate(0)
            self._append("".join(self.lines))
        else:
            self._append(line)

    def _append(self, text: str) -> None:
        try:
            self.file.write(text.encode(errors="replace"))
        except OSError:  # the run matters more than its log
            self.cut = True

    def end(self) -> None:
        self.add("\n" if self.begun else "")


class _Both(io.TextIOBase):
    """A stream that also remembers what passes through."""

    def __init__(self, shown: TextIO, kept: _Kept) -> None:
        self.shown, self.kept = shown, kept

    def write(self, text: str) -> int:
        self.kept.add(text)
        return self.shown.write(text)

    def flush(self) -> None:
        self.shown.flush()

    def fileno(self) -> int:
        return self.shown.fileno()

    def isatty(self) -> bool:
        return self.shown.isatty()


@contextlib.contextmanager
def to(path: Path, arguments: Sequence[str], private: Sequence[Path] = ()) -> Iterator[None]:
    """Keep in `path` the command, this machine's state and what is printed in the block, private words left out.

    private: folders of the reader's data.
    Raises RadlibError, before the block, when `path` cannot be written or is no file.
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        raise RadlibError(f"The log {path} cannot be written, as it is no regular file; name another.")
    try:
        path.write_bytes(b"")
    except OSError as error:
        raise RadlibError(f"The log {path} cannot be written ({error.strerror}); name another file.") from error
    out, err = sys.stdout, sys.stderr
    with open(path, "ab", buffering=0) as file:
        kept = _Kept(file, private)
        kept.add("$ radlib " + " ".join(arguments) + f"\n\n{doctor.in_words(doctor.look(network=False))}\n\n")
        sys.stdout, sys.stderr = _Both(out, kept), _Both(err, kept)
        try:
            yield
        except Exception:
            kept.add(traceback.format_exc())
            raise
        finally:
            sys.stdout, sys.stderr = out, err
            kept.end()
            if kept.cut:
                print(f"radlib: there was no room for all of the log {path}.", file=sys.stderr)


def is_kept() -> bool:
    """Whether what this process prints goes to a log; what its children print goes there only through it."""
    return isinstance(sys.stderr, _Both)
