"""What ``radlib run`` prints at its end: one line for every Result that the page wrote."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from radlib.report import labels, leaderboard, result


def in_words(paths: Sequence[Path]) -> str:
    """The Results at `paths` as an aligned table a metric: dataset, row, value, 95 % interval, test patients.

    The last line names their folders.
    """
    found = [result.read(path) for path in paths]
    lines: list[str] = []
    for metric in dict.fromkeys(each.metric for each in found):
        mine = [each for each in found if each.metric == metric]
        table: list[tuple[str, ...]] = [("dataset", "row", metric, "interval", "patients")]
        titles = labels.titles([each.data for each in mine])
        for title, each, (row, note) in zip(titles, mine, leaderboard.described(mine), strict=True):
            interval = f"[{each.interval.low:.3f}, {each.interval.high:.3f}]"
            table.append((title, f"{row}, {note}", f"{each.value:.3f}", interval, f"{each.n_patients:,}"))
        lines += _aligned(table)
    folders = ", ".join(dict.fromkeys(_shown(path.parent) for path in paths))
    return "\n".join([*lines, f"results: {folders}"])


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells padded to their column's width, on a terminal that shows East Asian letters two columns wide."""
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _shown(folder: Path) -> str:
    """`folder` as seen from the current one where it lies below it."""
    here = os.path.relpath(folder)
    return str(folder) if here.startswith("..") else here
