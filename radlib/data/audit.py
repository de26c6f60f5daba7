"""Patients who may be one person under two ids, and where they cross a split."""

import re

import numpy as np
import pandas as pd


def family(patient: str) -> str:
    """The id without one closing letter after a digit: ``MR040240B`` and ``MR040240`` are both ``MR040240``."""
    match = re.fullmatch(r"(.*\d)[A-Za-z]", patient)
    return match.group(1) if match else patient


def near_equal_ids(samples: pd.DataFrame) -> pd.DataFrame:
    """Families of at least two patient ids that differ only by a last letter.

    One row a family: ``family``, ``patients`` (their ids, joined by a space), ``splits`` (the sets they sit in),
    ``images``. Likely one person each, not proven: an id's letter may mean something else.
    """
    known = samples.assign(family=samples["patient"].map(family))
    rows = [
        {
            "family": name,
            "patients": " ".join(members["patient"].unique()),
            "splits": " ".join(members["split"].unique()),
            "images": len(members),
        }
        for name, members in known.groupby("family", sort=False)
        if members["patient"].nunique() > 1
    ]
    return pd.DataFrame(rows, columns=["family", "patients", "splits", "images"])


def test_rows_with_relatives(samples: pd.DataFrame) -> np.ndarray:
    """Which samples `(N,)` bool are in test while another id of their family is in train."""
    families = samples["patient"].map(family)
    in_train = set(families[samples["split"] == "train"])
    return ((samples["split"] == "test") & families.isin(in_train)).to_numpy()
