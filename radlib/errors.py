"""The one exception a reader meets: a sentence that names what is wrong and how to mend it."""

import difflib
from collections.abc import Iterable

MOST_LISTED = 40  # names in one sentence; patients can be thousands
NO_MEMORY = "can't allocate memory"  # torch's words on a CPU, in a RuntimeError
BEGINNING, END = 1_500, 500  # characters of a sentence that are kept, where a stranger's word in it is a book


def plain(text: str) -> str:
    r"""`text` as one line that a terminal only shows: control characters and bytes that are no text as ``\x1b``.

    Names of files, classes and patients are a stranger's words; raw, they could move the cursor or forge a line.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class RadlibError(Exception):
    """Bad input or a bad day, told in one sentence: `plain`, and not longer than a page.

    In a notebook only the sentence is shown; the traceback of our own code would not help the reader.
    """

    def __init__(self, sentence: str) -> None:
        if len(sentence) > BEGINNING + END:
            sentence = f"{sentence[:BEGINNING]} … {sentence[-END:]}"
        super().__init__(plain(sentence))

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this method before it formats a traceback itself.
        return [f"{type(self).__name__}: {self}"]


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> RadlibError:
    """Error for a `kind` (``"backbone"``, ``"dataset"`` …) called `name` that is not one of `choices`."""
    known = sorted(choices)
    listed = ", ".join(known[:MOST_LISTED])
    if len(known) > MOST_LISTED:
        listed += f" and {len(known) - MOST_LISTED} more"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else "none is near it."
    return RadlibError(f"There is no {kind} called '{name}'; {hint} The choices are {listed}.")
