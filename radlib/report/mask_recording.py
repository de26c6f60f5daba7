"""From counted masks to Results: the same resampled patients for all rows of a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radlib.data.preprocess import PREPROCESSING
from radlib.evaluate import overlap, overlap_intervals
from radlib.evaluate.bootstrap import percentiles
from radlib.evaluate.segmentation import Split
from radlib.report import provenance, result
from radlib.report.mask_experiment import MaskExperiment
from radlib.report.recording import data_used
from radlib.report.result import BackboneUsed, Interval, Masks, Result, Segmenter

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
    columns = {f"{r}/{d}": one for r, row in enumerate(rows) for d, one in enumerate(row.counts)}
    drawn = overlap_intervals.resampled(columns, patients, cases, resamples=settings.resamples, seed=settings.seed)
    data = data_used(dataset, settings.data_note)
    paths, first = [], 0
    for row in rows:
        mine = slice(first, first + len(row.counts))
        first = mine.stop
        scores = tuple(overlap.pooled(one).score for one in row.counts)
        pooled = overlap.pooled(row.counts.sum(axis=0))
        found = Result(
            table=experiment.table,
            protocol=row.protocol,
            shots=row.shots,
            scored="all",
            metric="mean of Dice and Jaccard",
            value=float(np.mean(scores)),
            interval=_interval(drawn.score[:, mine], settings.resamples),
            per_class=_by_class((pooled.dice + pooled.jaccard) / 2, dataset.classes),
            draws=scores if len(scores) > 1 else (),
            masks=_masks(row, drawn.case_dice[:, mine], cases, scans, experiment),
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
        arrays = {
            "rows": split.test.astype(np.int64),
            "patients": patients,
            "cases": cases,
            "counts": (row.counts if len(row.counts) > 1 else row.counts[0]).astype(np.int32),
        }
        if row.hd95 is not None:
            arrays["hd95_mm"] = row.hd95.astype(np.float32)
        paths.append(result.write(found, arrays, experiment.folder))
    return paths


def _masks(
    row: Row, drawn: NDArray[np.float64], cases: NDArray[np.int64], scans: Sequence[str], experiment: MaskExperiment
) -> Masks:
    """What a row's masks are worth; of several draws of training images the mean of each figure."""
    dataset, classes = experiment.dataset, experiment.dataset.classes
    pooled = overlap.pooled(row.counts.sum(axis=0))
    by_draw = [overlap.mean_case_dice(one, cases) for one in row.counts]
    by_case = np.stack([overlap.per_case_dice(one, cases) for one in row.counts])  # (D, M, K)
    in_volumes = "slice" in dataset.samples
    named = dataset.origin in NAMED_SCANS
    by_scan: dict[str, dict[str, float | None]] = {}
    if in_volumes:
        patients = dataset.samples.drop_duplicates("image").set_index("image")["patient"]
        for k, image in enumerate(scans):
            by_scan[str(patients[image]) if named else f"scan {k + 1}"] = _by_class(_mean(by_case[:, k]), classes)
    hd95: dict[str, float | None] = {}
    missed: dict[str, int] = {}
    if row.hd95 is not None:
        both = np.where(np.isfinite(row.hd95), row.hd95, np.nan)
        hd95 = _by_class(_mean(both), classes)
        missed = {str(name): int(n) for name, n in zip(classes, np.isinf(row.hd95).sum(axis=0), strict=True)}
    return Masks(
        dice=_by_class(pooled.dice, classes),
        jaccard=_by_class(pooled.jaccard, classes),
        absent=tuple(classes[k] for k in pooled.absent),
        case="scan" if in_volumes else "image",
        case_dice=float(np.mean([one.mean for one in by_draw])),
        case_interval=_interval(drawn, experiment.settings.resamples),
        cases=by_draw[0].scored,
        cases_empty=by_draw[0].empty,
        case_dice_per_class=_by_class(_mean(by_case.reshape(-1, len(classes))), classes),
        by_scan=by_scan,
        hd95_mm=hd95,
        hd95_missed=missed,
    )


def _interval(drawn: NDArray[np.float64], resamples: int) -> Interval:
    """Of the draws' mean over resampled patients `(R, D)`."""
    return Interval(**asdict(percentiles(drawn.mean(axis=1), resamples)))


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(M, K)` -> `(K,)` mean over what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    sums = np.where(known, values, 0).sum(axis=0)
    return np.divide(sums, known.sum(axis=0), out=np.full(values.shape[1], np.nan), where=known.any(axis=0))


def _by_class(values: NDArray[np.float64], classes: Sequence[str]) -> dict[str, float | None]:
    return {str(name): None if np.isnan(value) else float(value) for name, value in zip(classes, values, strict=True)}
