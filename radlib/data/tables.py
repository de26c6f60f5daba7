"""CSV files as strangers write them: byte order marks, spaces, doubled columns, a spreadsheet's semicolons."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from radlib.errors import RadlibError

OLDEST = 120  # years; NIH Chest X-ray has typing errors above 400
MOST_COLUMNS = 1000  # CheXpert has 19; pandas takes minutes over a line of 200,000 commas


def read(path: Path, required: Sequence[str], remedy: str = "") -> pd.DataFrame:
    """The CSV at `path` as text: every cell a string without outer spaces, empty where nothing is written.

    `required` are columns that must be there; `remedy` ends the sentence when the file is not, by default that it
    should be put there.
    Raises RadlibError, naming the file: not there, not UTF-8, more than 1,000 columns, rows longer than the header, two
    columns of one name, a required column missing, no row.
    """
    if not os.path.isfile(path):  # Path's own raises for a name that is too long for a disk
        raise RadlibError(f"There is no {path}; {remedy or 'put it there.'}")
    try:
        # No header: pandas would rename a second column of one name, and shift rows that are longer than the header.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", header=None,
                            compression=None)  # fmt: skip
    except (ValueError, OSError, OverflowError) as error:
        why = " ".join(str(error).split())
        raise RadlibError(f"{path} cannot be read as a CSV file in UTF-8 ({why}); save it again as one.") from error
    if table.shape[1] > MOST_COLUMNS:
        raise RadlibError(
            f"{path} has {table.shape[1]:,} columns, more than the {MOST_COLUMNS:,} that a table of images may have; "
            "save it again, a row an image."
        )
    table = table.fillna("").apply(lambda column: column.str.strip())
    table = table.loc[:, (table != "").any()]  # the commas a spreadsheet leaves at the ends of lines
    header, table = table.iloc[0], table.iloc[1:].reset_index(drop=True)
    if header.duplicated().any():
        raise RadlibError(f"{path} has two columns '{header[header.duplicated()].iloc[0]}'; rename or delete one.")
    table.columns = pd.Index(header)
    for name in required:
        if name not in table:
            found = ", ".join(map(str, table.columns))
            raise RadlibError(f"{path} has no column '{name}' (it has: {found}); add it, and separate by commas.")
    if table.empty:
        raise RadlibError(f"{path} lists nothing below its header; take the whole file or add rows.")
    return table


def ages(column: pd.Series) -> pd.Series:
    """Years, as float: ``58``, ``058Y``; months and days (``011M``, ``003D``) are 0; NaN when absent or above 120."""
    parts = column.str.extract(r"^0*(\d+)([YMD]?)$")
    years = pd.to_numeric(parts[0], errors="coerce").where(~parts[1].isin(["M", "D"]), 0.0)
    return years.where(years <= OLDEST)


def climbing(root: Path, names: Iterable[str], source: Path) -> list[str]:
    """One sentence for every path in `names` (the rows of `source`, from line 2) that would leave `root`.

    Only `names` that are absolute or step out of `root` by ``..`` are meant: a link inside `root` may point anywhere,
    because the reader put it there.
    """
    return [
        f"{source}, line {line}: '{name}' leaves the folder; give a path below {root}."
        for line, name in enumerate(names, start=2)
        if PurePosixPath(name).is_absolute() or _steps_out(name)
    ]


def _steps_out(name: str) -> bool:
    depth = 0
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
