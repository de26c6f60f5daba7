"""CSV files as strangers write them: byte order marks, spaces, doubled columns, a spreadsheet's semicolons."""

import codecs
import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from radlib.errors import RadlibError

OLDEST = 120  # years; NIH Chest X-ray has typing errors above 400
MOST_COLUMNS = 1000  # CheXpert has 19


def read(path: Path, required: Sequence[str], remedy: str = "") -> pd.DataFrame:
    """The CSV at `path` as text: every cell a string without outer spaces, empty where nothing is written.

    The index holds the line of the file in which each row begins, as a text editor counts it: blank lines and line
    breaks inside quotes count, a row of empty cells is skipped. A spreadsheet's first line ``sep=,`` and an unnamed
    column that numbers the rows (as pandas writes its index) are skipped too.

    `required` are columns that must be there; `remedy` ends the sentence when the file is not, by default that it
    should be put there.
    Raises RadlibError, naming the file: not there, not UTF-8, separated by anything but commas, more than 1,000
    columns, rows longer than the header, a column without a name, two of one name, a required one missing, no row.
    """
    if not os.path.isfile(path):  # Path's own raises for a name that is too long for a disk
        raise RadlibError(f"There is no {path}; {remedy or 'put it there.'}")
    lines, rows = _rows(path, required)
    if not rows:
        raise RadlibError(f"{path} cannot be read as a CSV file in UTF-8 (it is empty); save it again as one.")
    header, width = rows[0], max(map(len, rows))
    if width > MOST_COLUMNS:
        raise RadlibError(
            f"{path} has {width:,} columns, more than the {MOST_COLUMNS:,} that a table of images may have; "
            "save it again, a row an image."
        )
    for line, row in zip(lines, rows, strict=True):
        if any(row[len(header) :]):
            raise RadlibError(
                f"{path} cannot be read as a CSV file: line {line} has {len(row)} cells and the header {len(header)}; "
                "put text that holds a comma in quotes and save it again."
            )
    width = len(header)
    cells = [row if len(row) == width else (row + [""] * (width - len(row)))[:width] for row in rows[1:]]
    table = pd.DataFrame(cells, columns=range(width), index=lines[1:], dtype=str)
    keep = [k for k, name in enumerate(header) if name or not (table[k] == "").all()]  # commas at the ends of lines
    keep = [k for k in keep if header[k] or not _numbers_rows(table[k])]
    nameless = [k for k in keep if not header[k]]
    if nameless:
        raise RadlibError(f"{path}: column {nameless[0] + 1} has no name in the header; name it or delete the column.")
    table = table[keep].set_axis(pd.Index([header[k] for k in keep]), axis=1)
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise RadlibError(f"{path} has two columns '{twice}'; rename or delete one.")
    for name in required:
        if name not in table:
            found = ", ".join(table.columns)
            raise RadlibError(f"{path} has no column '{name}' (it has: {found}); add it, or correct its name.")
    if table.empty:
        raise RadlibError(f"{path} lists nothing below its header; take the whole file or add rows.")
    return table


def _rows(path: Path, required: Sequence[str]) -> tuple[list[int], list[list[str]]]:
    """The line in which each row that is not empty begins, and its cells without outer spaces."""
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        with open(path, "rb") as file:
            if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise RadlibError(f"{path} is text in UTF-16; save it as CSV in UTF-8.")
        with open(path, encoding="utf-8-sig", newline="") as text:
            _check_separator(path, next((line for line in text if line.strip()), ""), required)
            text.seek(0)
            reader, begins = csv.reader(text, strict=True), 1
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    lines.append(begins)
                    rows.append(cells)
                begins = reader.line_num + 1
    except (ValueError, OSError, csv.Error) as error:
        why = " ".join(str(error).split()) + (f", line {reader.line_num}" if isinstance(error, csv.Error) else "")
        raise RadlibError(f"{path} cannot be read as a CSV file in UTF-8 ({why}); save it again as one.") from error
    if rows and rows[0][0].lower() in ("sep=", "sep=,") and not any(rows[0][1:]):  # LibreOffice quotes it
        return lines[1:], rows[1:]
    return lines, rows


def _check_separator(path: Path, line: str, required: Sequence[str]) -> None:
    """Raise if the first `line` holds a `required` column between other separators than commas, or says ``sep=;``."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        parts = [part.strip(' "\r\n') for part in line.split(separator)]
        if [parts[0].lower(), *parts[1:]] == ["sep=", ""] or (len(parts) > 1 and set(parts) & set(required)):
            raise RadlibError(f"{path} separates its columns by {name}; save it as CSV with commas.")


def _numbers_rows(column: pd.Series) -> bool:
    """Whether the cells are 0, 1, 2, … or 1, 2, 3, …, all or without the rows that were deleted."""
    if not column.str.fullmatch("[0-9]{1,9}").all():
        return False
    return bool(column.astype(int).is_monotonic_increasing and column.is_unique)


def ages(column: pd.Series) -> pd.Series:
    """Years, as float: ``58``, ``058Y``; months and days (``011M``, ``003D``) are 0; NaN when absent or above 120."""
    parts = column.str.extract(r"^0*(\d+)([YMD]?)$")
    years = pd.to_numeric(parts[0], errors="coerce").where(~parts[1].isin(["M", "D"]), 0.0)
    return years.where(years <= OLDEST)


def climbing(root: Path, names: pd.Series, source: Path) -> list[str]:
    """One sentence for every path in `names` (a column of `source` as `read` returns it) that would leave `root`.

    Only `names` that are absolute or step out of `root` by ``..`` are meant: a link inside `root` may point anywhere,
    because the reader put it there.
    """
    return [
        f"{source}, line {line}: '{name}' leaves the folder; give a path below {root}."
        for line, name in names.items()
        if leaves(name)
    ]


def leaves(name: str) -> bool:
    """Whether the path `name`, as POSIX or Windows writes it, is absolute or steps out of its folder by ``..``."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or re.match("[A-Za-z]:[/\\\\]", name):
        return True
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
