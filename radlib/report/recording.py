"""From what was measured to Results: the same resampled patients for all rows of a table, every test subset."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from radlib.data import audit, splits
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING
from radlib.evaluate.probe import Probe
from radlib.report import provenance, result, scoring
from radlib.report.experiment import Experiment
from radlib.report.result import BackboneUsed, Control, DataUsed, Protocol, Result

CHOSEN_HOW = "highest macro AUROC on the validation split; refitted on train + validation; test scored once"
AGE_BANDS = ("under 40", "40 to 59", "60 and over")
AGE_STARTS = (40, 60)  # years


@dataclass(frozen=True)
class Row:
    """One row measured on all test cases: a fitted probe and what it was made of.

    `probe.scores` is `(N_test, K)`, or `(D, N_test, K)` over D draws. The other fields are those of a `Result`.
    """

    protocol: Protocol
    backbone: BackboneUsed
    probe: Probe
    seconds: dict[str, float]
    chosen_how: str = CHOSEN_HOW
    control: Control = ""
    shots: int | None = None
    trainable_parameters: int | None = None
    peak_memory_mb: float | None = None

    @property
    def draws(self) -> int:
        """D; 1 where nothing was repeated."""
        return len(self.probe.scores) if self.probe.scores.ndim == 3 else 1


def record(experiment: Experiment, rows: Sequence[Row]) -> list[Path]:
    """Write one Result a row and test subset; returns their paths.

    All rows meet the same resampled patients. Where test patients have a relative in train (see `audit`), each row is
    also scored without them.
    """
    in_test = experiment.split == "test"
    paths = _record(experiment, rows, "all", in_test)
    relatives = audit.test_rows_with_relatives(experiment.whole.samples)
    rest = in_test & ~relatives
    if relatives.any() and _can_be_scored(experiment, rest):
        paths += _record(experiment, rows, "without relatives", rest)
    elif relatives.any():
        print("Too few test patients have no relative in train; the rows without relatives are left out.")
    return paths


def _record(
    experiment: Experiment, rows: Sequence[Row], scored: Literal["all", "without relatives"], counted: np.ndarray
) -> list[Path]:
    """Results of all rows on the test cases `counted` `(M,)` bool."""
    whole, settings, dataset = experiment.whole, experiment.settings, experiment.dataset
    cases = np.flatnonzero(counted)
    labels = whole.labels[cases]
    patients, numbers = np.unique(whole.samples["patient"].to_numpy()[cases], return_inverse=True)
    groups = groups_of(whole.samples.iloc[cases])
    shared = {"rows": cases, "labels": labels, "patients": numbers.astype(np.int64)}
    shared |= {f"group_{name}": members for name, (_, members) in groups.items()}
    data = data_used(dataset, settings.data_note)
    paths = []
    for row in rows:
        scores = row.probe.scores[..., np.searchsorted(row.probe.test_rows, cases), :]
        # Repeated draws are many: single precision keeps their order and halves their size.
        arrays = {**shared, "scores": scores.astype(np.float32) if scores.ndim == 3 else scores}
        found = Result(
            table=experiment.table,
            protocol=row.protocol,
            control=row.control,
            shots=row.shots,
            scored=scored,
            **scoring.derived(arrays, dataset.classes, row.control, (), settings.resamples, settings.seed),
            groups={name: names for name, (names, _) in groups.items()},
            n_images=len(cases),
            unit="image" if len(whole) == len(dataset) else "study",
            n_patients=len(patients),
            seed=settings.seed,
            data=data,
            backbone=row.backbone,
            chosen=row.probe.head,
            chosen_how=row.chosen_how,
            candidates=tuple(row.probe.validation),
            hyperparameters=row.probe.hyperparameters,
            preprocessing=f"{dataset.preparation} | {PREPROCESSING}",
            trainable_parameters=row.trainable_parameters,
            peak_memory_mb=row.peak_memory_mb,
            seconds=row.seconds,
            device=provenance.machine(settings.device),
            versions=provenance.versions(),
            commit=provenance.commit(),
            predictions_sha256="0" * 64,
        )
        paths.append(result.write(found, arrays, experiment.folder))
    return paths


def groups_of(samples: pd.DataFrame) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Subgroups that `samples` allow to form: name -> (names of the groups, `(n,)` int64 position or -1).

    Sex, age in three bands, and view, each only where at least two groups occur.
    """
    found = {}
    for name in ("sex", "view"):
        if name in samples:
            words = samples[name].astype(str).str.strip()
            names = sorted(set(words) - {"", "nan"})
            found[name] = (tuple(names), words.map({word: k for k, word in enumerate(names)}).fillna(-1))
    if "age" in samples:
        years = pd.to_numeric(samples["age"], errors="coerce")
        found["age"] = (
            AGE_BANDS,
            years.map(lambda age: -1 if np.isnan(age) else np.searchsorted(AGE_STARTS, age, "right")),
        )
    return {
        name: (names, members.to_numpy(np.int64))
        for name, (names, members) in found.items()
        if members[members >= 0].nunique() > 1
    }


def _can_be_scored(experiment: Experiment, counted: np.ndarray) -> bool:
    """Whether at least two patients and one class with and without are among the cases `counted` `(M,)` bool."""
    labels = experiment.whole.labels[counted]
    patients = experiment.whole.samples["patient"][counted].nunique()
    return bool(patients > 1 and len(labels) and (labels != labels[0]).any())


def data_used(dataset: Dataset, note: str) -> DataUsed:
    """How a Result names `dataset`; `note` is what the reader says of his copy."""
    by_split = dataset.samples.groupby("split")
    return DataUsed(
        dataset=dataset.name,
        title=dataset.title,
        origin=dataset.origin,
        note=" ".join(part for part in (dataset.note, note) if part),
        fingerprint=dataset.fingerprint,
        split_sha256=splits.digest(dataset.samples),
        truth_sha256=truth_sha256(dataset),
        classes=dataset.classes,
        images={str(name): int(n) for name, n in by_split.size().items()},
        patients={str(name): int(n) for name, n in by_split["patient"].nunique().items()},
    )


def truth_sha256(dataset: Dataset) -> str:
    """Sha256 of what `dataset` is scored against: its labels, image by image, and studies; or its masks."""
    if dataset.task == "segmentation":
        return hashlib.sha256(f"{dataset.mask_fingerprint} {dataset.mask_preparation}".encode()).hexdigest()
    digest = hashlib.sha256(f"{dataset.labels.shape}".encode())
    digest.update(np.ascontiguousarray(dataset.labels, dtype="<i8").tobytes())
    if "study" in dataset.samples:
        digest.update("\0".join(dataset.samples["study"].astype(str)).encode())
    return digest.hexdigest()
