"""From counted masks to Results: the same resampled patients for all rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radlib.data.preprocess import PREPROCESSING
from radlib.evaluate.segmentation import Split
from radlib.report import provenance, result, scoring
from radlib.report.mask_experiment import MaskExperiment
from radlib.report.recording import data_used
from radlib.report.result import BackboneUsed, Result, Segmenter

CHOSEN_HOW = (
    "highest mean of Dice and Jaccard on the validation split; fitted once more on train + validation; test scored once"
)
ONE_RATE = "the one learning rate asked for; fitted once, to train + validation; test scored once"
NAMED_SCANS = ("paper", "stand-in")  # origins whose scans may be called by name; a reader's own are numbered


@dataclass(frozen=True)
class Row:
    """One row measured on all test images.

    `counts` is `(D, N_test, K, 3)` over D draws of training images (1 where nothing was repeated). `hd95` is
    `(M, K)` mm, the M scans in the order in which they appear in test, None where no spacing is known. The other fields
    are those of a `Result`.
    """

    protocol: Segmenter
    backbone: BackboneUsed
    counts: NDArray[np.int64]
    learning_rates: tuple[float, ...]
    candidates: Sequence[dict[str, float | None]]
    hyperparameters: dict[str, Any]
    seconds: dict[str, float]
    trainable_parameters: int
    peak_memory_mb: float
    chosen_how: str = CHOSEN_HOW
    shots: int | None = None
    hd95: NDArray[np.float64] | None = None


def record(experiment: MaskExperiment, rows: Sequence[Row], split: Split) -> list[Path]:
    """Write one Result a row; returns their paths. All rows meet the same resampled patients."""
    dataset, settings = experiment.dataset, experiment.settings
    samples = dataset.samples.iloc[split.test]
    patients = np.unique(samples["patient"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    scans = list(dict.fromkeys(samples["image"]))
    cases = samples["image"].map({name: k for k, name in enumerate(scans)}).to_numpy(np.int64)
    named = _scan_names(experiment, scans) if "slice" in samples else ()
    data = data_used(dataset, settings.data_note)
    paths = []
    for row in rows:
        arrays = {
            "rows": split.test.astype(np.int64),
            "patients": patients,
            "cases": cases,
            "counts": (row.counts if len(row.counts) > 1 else row.counts[0]).astype(np.int32),
        }
        if row.hd95 is not None:
            arrays["hd95_mm"] = row.hd95.astype(np.float32)
        found = Result(
            table=experiment.table,
            protocol=row.protocol,
            shots=row.shots,
            scored="all",
            metric="mean of Dice and Jaccard",
            **scoring.derived(arrays, dataset.classes, "", named, settings.resamples, settings.seed),
            left_out=settings.leave_out,
            n_images=len(split.test),
            n_patients=len(np.unique(patients)),
            seed=settings.seed,
            data=data,
            backbone=row.backbone,
            chosen={"learning_rate": row.learning_rates[0]} if len(set(row.learning_rates)) == 1 else {},
            chosen_how=row.chosen_how,
            candidates=tuple(dict(one) for one in row.candidates),
            hyperparameters=row.hyperparameters,
            preprocessing=f"{dataset.preparation} | {PREPROCESSING} | masks: square nearest",
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


def _scan_names(experiment: MaskExperiment, scans: Sequence[str]) -> list[str]:
    """What the test scans, named by their files, are called in a Result: patients of the reader's own are numbered."""
    if experiment.dataset.origin not in NAMED_SCANS:
        return [f"scan {k + 1}" for k in range(len(scans))]
    patients = experiment.dataset.samples.drop_duplicates("image").set_index("image")["patient"]
    return [str(patients[image]) for image in scans]
