"""What each job may take of a machine: ``workflow/resources.csv``, a table that its users edit."""

import re
from collections.abc import Iterable
from pathlib import Path

from radlib.data import tables
from radlib.errors import RadlibError, unknown_name

KINDS = ("check", "features", "tokens", "page", "book")  # of jobs; a page's own name may stand there too
LEAST = {"cores": 1, "memory_mb": 1, "gpus": 0, "minutes": 1}


def read(path: Path, pages: Iterable[str]) -> dict[str, dict[str, int]]:
    """Job -> cores, memory_mb, gpus, minutes; jobs are the five kinds and, where they have a row, some of `pages`.

    Raises RadlibError, naming file, line and column: no such table, an unknown job, one that stands there twice, a
    kind that is missing, a cell that is no whole number or a smaller one than a job can run with.
    """
    table = tables.read(path, ["job", *LEAST])
    known = [*KINDS, *pages]
    asked: dict[str, dict[str, int]] = {}
    for line, row in table.to_dict("index").items():
        job, where = row["job"], f"{path}, line {line}"
        if job not in known:
            raise RadlibError(f"{where}: {unknown_name('kind of job or page', job, known)}")
        if job in asked:
            raise RadlibError(f"{where}: '{job}' stands there a second time; keep one of the two lines.")
        for column, least in LEAST.items():
            if not re.fullmatch("[0-9]{1,9}", row[column]) or int(row[column]) < least:
                raise RadlibError(
                    f"{where}: {column} of '{job}' is '{row[column]}'; write a whole number of {least} or more."
                )
        asked[job] = {column: int(row[column]) for column in LEAST}
    for kind in KINDS:
        if kind not in asked:
            raise RadlibError(f"{path} has no line for '{kind}'; add one, with {', '.join(LEAST)}.")
    return asked
