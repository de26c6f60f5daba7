"""What follows from a Result's predictions: its value, its interval and its breakdown, for labels and masks alike.

`derived` is the one place in which these numbers come about; the arrays that it takes are stored beside every Result,
so that anybody can compute them again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radlib.evaluate import inference, overlap
from radlib.evaluate.auroc import Ranking, per_class_auroc
from radlib.evaluate.inference import Scored
from radlib.evaluate.overlap import PerCase, Pooled
from radlib.report.result import Interval, Masks

Arrays = Mapping[str, NDArray]


def derived(
    arrays: Arrays, classes: Sequence[str], control: str, scans: Sequence[str], resamples: int, seed: int
) -> dict[str, Any]:
    """The fields of a Result that follow from its predictions: value, interval, per_class, draws, masks.

    `arrays` are those of `Result`; `scans` name the cases where they are scans of several slices. The interval is of
    the mean of all draws, so that patients alone vary; that of shuffled labels asks what a single run that knows
    nothing would show, so each resample takes one of its draws.
    """
    rows = draws(arrays)
    values = tuple(row.value for row in rows)
    every: dict[str, Scored] = {str(k): row for k, row in enumerate(rows)}
    if "counts" in arrays:
        patients, of_sample = arrays["patients"], arrays["cases"]
        every |= {f"case {k}": PerCase(one, patients, of_sample) for k, one in enumerate(_counts(arrays))}
    drawn = inference.resampled(every, resamples=resamples, seed=seed)
    scores, cases = drawn[:, : len(rows)], drawn[:, len(rows) :]
    if control == "shuffled labels":
        which = np.random.default_rng(seed).integers(len(rows), size=len(scores))
        interval = _interval(scores[np.arange(len(scores)), which], resamples, unit="patient and draw")
    else:
        interval = _interval(scores.mean(axis=1), resamples)
    fields = {"value": float(np.mean(values)), "interval": interval, "draws": values if len(values) > 1 else ()}
    if "counts" in arrays:
        pooled = overlap.pooled(_counts(arrays).sum(axis=0))
        masks = _masks(arrays, classes, scans, _interval(cases.mean(axis=1), resamples))
        return fields | {"per_class": _by_class((pooled.dice + pooled.jaccard) / 2, classes), "masks": masks}
    by_draw = [per_class_auroc(arrays["labels"], one, classes) for one in _scores(arrays)]
    areas = overlap.class_mean(np.array([list(of_class.values()) for of_class in by_draw]).T)
    return fields | {"per_class": _by_class(areas, list(by_draw[0]))}


def draws(arrays: Arrays) -> list[Scored]:
    """Each draw of a Result's predictions (one where nothing was repeated), scored by the Result's own metric."""
    patients = arrays["patients"]
    if "counts" in arrays:
        return [Pooled(one, patients) for one in _counts(arrays)]
    return [Ranking(arrays["labels"], one, patients) for one in _scores(arrays)]


def together(arrays: Arrays) -> Scored:
    """All draws of a Result's predictions as one row: mean scores, or all masks' pixels together."""
    if "counts" in arrays:
        return Pooled(_counts(arrays).sum(axis=0), arrays["patients"])
    return Ranking(arrays["labels"], _scores(arrays).mean(axis=0), arrays["patients"])


def _counts(arrays: Arrays) -> NDArray[np.int64]:
    """(D, n, K, 3)"""
    counts = arrays["counts"].astype(np.int64)
    return counts if counts.ndim == 4 else counts[None]


def _scores(arrays: Arrays) -> NDArray[np.floating]:
    """(D, n, K)"""
    scores = arrays["scores"]
    return scores if scores.ndim == 3 else scores[None]


def _masks(arrays: Arrays, classes: Sequence[str], scans: Sequence[str], interval: Interval) -> Masks:
    """What the masks are worth beyond the one score; of several draws the mean of each figure."""
    counts, cases = _counts(arrays), arrays["cases"]
    pooled = overlap.pooled(counts.sum(axis=0))
    by_draw = [overlap.mean_case_dice(one, cases) for one in counts]
    by_case = np.stack([overlap.per_case_dice(one, cases) for one in counts])  # (D, M, K)
    hd95: dict[str, float | None] = {}
    missed: dict[str, int] = {}
    if "hd95_mm" in arrays:
        distances = arrays["hd95_mm"]  # (M, K), infinite where only one of truth and prediction has the class
        hd95 = _by_class(overlap.class_mean(np.where(np.isfinite(distances), distances, np.nan).T), classes)
        missed = {str(name): int(n) for name, n in zip(classes, np.isinf(distances).sum(axis=0), strict=True)}
    return Masks(
        dice=_by_class(pooled.dice, classes),
        jaccard=_by_class(pooled.jaccard, classes),
        absent=tuple(classes[k] for k in pooled.absent),
        case="scan" if scans else "image",
        case_dice=float(np.mean([one.mean for one in by_draw])),
        case_interval=interval,
        cases=by_draw[0].scored,
        cases_empty=by_draw[0].empty,
        case_dice_per_class=_by_class(overlap.class_mean(by_case.reshape(-1, len(classes)).T), classes),
        by_scan={name: _by_class(overlap.class_mean(by_case[:, k].T), classes) for k, name in enumerate(scans)},
        hd95_mm=hd95,
        hd95_missed=missed,
    )


def _interval(drawn: NDArray[np.float64], resamples: int, **fields: Any) -> Interval:
    return Interval(**asdict(inference.percentiles(drawn, resamples)), **fields)


def _by_class(values: NDArray[np.float64], classes: Sequence[str]) -> dict[str, float | None]:
    return {str(name): None if np.isnan(value) else float(value) for name, value in zip(classes, values, strict=True)}
