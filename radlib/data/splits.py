"""Train, validation and test sets that never share a patient."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from radlib import atomic
from radlib.data import audit, tables
from radlib.errors import RadlibError

SPLITS = ("train", "validation", "test")
SPLIT_REMEDY = "parameter 'split_file' wants a CSV of patient and split, as 'radlib data split' writes it."


def systematic(n: int, m: int) -> np.ndarray:
    """Positions of a systematic sample of `m` out of `n` ordered things, `(m,)` int64, increasing.

    The step n/m is real and positions are rounded half to even, as numpy rounds: the paper's slice counts come out
    exactly only so (Brain Tumor 1,344 / 718 / 1,002; half-up rounding gives 1,347 / 718 / 999).
    """
    if not 0 < m <= n:
        raise RadlibError(f"Cannot draw {m} of {n} patients: ask for at least 1 and at most {n}.")
    return np.round(np.arange(m) * (n / m)).astype(np.int64)


def by_patient(patients: pd.Series, n_test: int, n_validation: int, source: str) -> np.ndarray:
    """Split of each sample, `(N,)` of ``train``/``validation``/``test``, every patient in one set.

    Patients are ordered by first appearance in `patients` `(N,)`; `n_test` of them are drawn systematically, then
    `n_validation` of the rest (paper section 3.2, "systemic sampling"; the order is the authors' code's).
    `source` is the file or folder the patients came from, for the sentence that says there are too few.
    """
    order = list(dict.fromkeys(patients))
    if n_test + n_validation >= len(order):
        raise RadlibError(
            f"{source}: its patients, {len(order)} in all, cannot give {n_test} to test, {n_validation} to validation "
            "and any to train; add patients or a 'split' column."
        )
    test = {order[i] for i in systematic(len(order), n_test)}
    rest = [patient for patient in order if patient not in test]
    validation = {rest[i] for i in systematic(len(rest), n_validation)}
    return np.array(["test" if p in test else "validation" if p in validation else "train" for p in patients])


def as_paper(samples: pd.DataFrame, paper: int, test: int, validation: int, source: str) -> np.ndarray:
    """`by_patient` of `samples` as the paper split: of `paper` patients (or scans) `test` and `validation`.

    A copy of another size keeps these shares, at least one patient each.
    """
    n = samples["patient"].nunique()
    if n < 3:
        raise RadlibError(
            f"{source} holds {n} patients or scans; at least 3 are needed to make train, validation and test."
        )
    n_test, n_validation = (max(1, round(n * part / paper)) for part in (test, validation))
    return by_patient(samples["patient"], n_test, n_validation, source)


def with_validation(samples: pd.DataFrame, share: float) -> np.ndarray:
    """The split column of `samples`, with `share` of the train patients (at least one) drawn to validation."""
    split = samples["split"].to_numpy(dtype=object, copy=True)
    order = list(dict.fromkeys(samples["patient"][split == "train"]))
    if len(order) > 1:
        drawn = {order[i] for i in systematic(len(order), max(1, round(len(order) * share)))}
        split[(split == "train") & samples["patient"].isin(drawn).to_numpy()] = "validation"
    return split


def check(samples: pd.DataFrame, source: str) -> None:
    """Raise if the table `samples` (columns patient, split) lacks a set or lets a patient sit in two.

    `source` is the file or folder the table came from, for the sentence.
    """
    unknown = sorted(set(samples["split"]) - set(SPLITS))
    if unknown:
        raise RadlibError(f"{source}: the split '{unknown[0]}' is unknown; column 'split' takes {', '.join(SPLITS)}.")
    for name in SPLITS:
        if name not in set(samples["split"]):
            raise RadlibError(f"{source}: no sample is in the {name} split; give it at least one patient.")
    sets_of = samples.groupby("patient", sort=False)["split"].unique()
    torn = sets_of[sets_of.map(len) > 1]
    if len(torn):
        raise RadlibError(
            f"{source}: patient '{torn.index[0]}' is in both {' and '.join(sorted(torn.iloc[0]))}"
            + (f" (and {len(torn) - 1} more patients are torn)" if len(torn) > 1 else "")
            + "; put all images of a patient into one split."
        )


def digest(samples: pd.DataFrame) -> str:
    """Sha256 of the split as a CSV of image, patient, split: two results with the same one used the same split."""
    text = samples[["image", "patient", "split"]].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def save(samples: pd.DataFrame, path: Path) -> None:
    """Write the split as a CSV of patient and split, one row a patient in order of first appearance."""
    table = samples[["patient", "split"]].drop_duplicates()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(path, table.to_csv(index=False, lineterminator="\n").encode())
    except OSError as error:
        raise RadlibError(f"{path} cannot be written ({error.strerror}); name another file.") from error


def load(samples: pd.DataFrame, path: Path) -> np.ndarray:
    """The split column `(N,)` that the CSV at `path` (columns patient, split) gives `samples`.

    Raises:
        RadlibError: no such file, a column missing, a patient listed twice, a patient of `samples` who is not listed or
            a listed one who is not in `samples`, an unknown or an empty split.
    """
    table = tables.read(path, ("patient", "split"), SPLIT_REMEDY)
    twice = table["patient"][table["patient"].duplicated()]
    if len(twice):
        raise RadlibError(f"{path}: patient '{twice.iloc[0]}' is listed twice; keep one row.")
    for here, there, remedy in (
        (samples["patient"], table["patient"], "has no row for"),
        (table["patient"], samples["patient"], "lists a patient the data does not hold:"),
    ):
        absent = here[~here.isin(there)].unique()
        if len(absent):
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            alike = [pair for pair in audit.respelled([absent[0], *there.unique()]) if pair[0] == absent[0]]
            if alike:
                raise RadlibError(
                    f"{path} and the data spell patients differently: {audit.in_words(alike)}; write every patient as "
                    "the data does."
                )
            raise RadlibError(f"{path} {remedy} '{absent[0]}'{more}; it must list every patient of the data once.")
    split = samples["patient"].map(table.set_index("patient")["split"]).to_numpy(dtype=object)
    check(samples.assign(split=split), str(path))
    return split
