"""All that is wrong with a folder, told together: readers collect sentences and raise once."""

from collections.abc import Sequence
from pathlib import Path

from radlib.errors import RadlibError

SHOWN = 3  # sentences of a raised error; `radlib data check` prints all of them


class FolderError(RadlibError):
    """What keeps a folder from being read as a dataset.

    problems: every sentence, each naming its file and remedy; the message holds the first ones and the count.
    """

    def __init__(self, root: Path, problems: Sequence[str]) -> None:
        self.root, self.problems = root, tuple(str(RadlibError(sentence)) for sentence in problems)
        rest = len(problems) - SHOWN
        more = f" And {rest} more; radlib data check lists them all." if rest > 0 else ""
        super().__init__(" ".join(self.problems[:SHOWN]) + more)


def raise_all(root: Path, problems: Sequence[str]) -> None:
    """Raise one FolderError if there are any `problems` (whole sentences) with the folder `root`."""
    if problems:
        raise FolderError(root, problems)
