"""What a copy on disk is: the paper's data, a simulated stand-in or the reader's own."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pandas as pd

from radlib.errors import RadlibError

Origin = Literal["paper", "stand-in", "own"]
MARKER = "STANDIN.json"  # written last into every stand-in, so a cohort cut short does not carry it


def paper_counts(name: str) -> pd.DataFrame:
    """Images and patients the paper used of dataset `name`: columns split (all, train, …), images, patients, source.

    A count the paper, its code and the release leave open is NaN.
    """
    with files(__package__).joinpath("paper_counts.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    return table[table["dataset"] == name].drop(columns="dataset").reset_index(drop=True)


def counts(samples: pd.DataFrame) -> pd.DataFrame:
    """Images and patients of `samples`, one row for all and one a split: columns split, images, patients."""
    parts = [("all", samples), *samples.groupby("split", sort=False)]
    rows = [{"split": name, "images": len(part), "patients": part["patient"].nunique()} for name, part in parts]
    return pd.DataFrame(rows)


def of(name: str, root: Path, samples: pd.DataFrame) -> tuple[Origin, str]:
    """Origin of the copy of dataset `name` in `root`, and a sentence on it (empty for the paper's).

    A stand-in carries a marker. A copy is the paper's when every count in `paper_counts` is met exactly.
    Raises RadlibError for a damaged marker.
    """
    marker = root / MARKER
    if marker.is_file():
        try:
            return "stand-in", str(json.loads(marker.read_text(encoding="utf-8"))["note"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RadlibError(f"{marker} is damaged; delete the cohort's folder and write it again.") from error
    expected, found = paper_counts(name).set_index("split"), counts(samples).set_index("split")
    known = expected[["images", "patients"]].stack()
    if len(known) and (found[["images", "patients"]].stack().reindex(known.index) == known).all():
        return "paper", ""
    n, whole = f"{len(samples):,} images of {samples['patient'].nunique():,} patients", expected["images"].get("all")
    return "own", f"{n}; the paper used {int(whole):,} images." if whole else f"{n}."
