"""How sure is a macro AUROC? Percentile intervals from resampled patients.

Images of one patient resemble each other, so patients are drawn, not images (Field and Welsh 2007, cluster
bootstrap). A resample of P patients is the list of how often each was drawn; an image then counts that many
times. With weights w, the weighted AUROC of one class is

    sum over positives i of w_i (weight of negatives below i + half the weight of negatives tied with i)
    --------------------------------------------------------------------------------------------------
                         (weight of all positives) (weight of all negatives)

and its order never changes: the negatives are sorted once, each positive finds its place among them once, and
every resample is one cumulative sum. Ties are exact. Every row of a table sees the same resamples, so that a
difference of two rows is a paired one.

A resample that has lost every positive or every negative of a class scored on the whole set is dropped: all
that remain average the same classes. `Interval.resamples_used` says how many remain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc, one_vs_rest, scorable

CHUNK_WEIGHTS = 1 << 18
"""Image weights held at once: 2 MB, so that a chunk of resamples stays in a CPU's cache and memory is bounded."""


@dataclass(frozen=True)
class Interval:
    """A percentile interval `[low, high]` at `level`, from `resamples_used` of `resamples` resamples."""

    low: float
    high: float
    level: float
    resamples: int
    resamples_used: int


def auroc_intervals(
    labels: ArrayLike,
    scores_by_row: Mapping[str, ArrayLike],
    patients: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Patient-clustered percentile interval of each row's macro AUROC, from the same resamples for all rows.

    Args:
        labels: (N,) integers or (N, K) of 0/1, as for `macro_auroc`.
        scores_by_row: row of a table -> its (N, K) scores of the same N images.
        patients: (N,) patient of each image, any type that can be sorted.
        resamples: 2,000 by default, so that each end of a 95 % interval rests on 50 resamples.
        seed: of the resamples; equal seeds, labels and patients give equal resamples whatever the rows.
        level: coverage asked for, between 0 and 1.

    Raises:
        RadlibError: no rows, fewer than two patients, shapes that differ, scores that have no AUROC, or a
            class held by so few patients that no resample keeps it.
    """
    draws = resampled_aurocs(labels, scores_by_row, patients, resamples=resamples, seed=seed)
    return {row: percentiles(draws[:, column], resamples, level) for column, row in enumerate(scores_by_row)}


def paired_difference(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    patients: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, Interval]:
    """Macro AUROC of a minus that of b, and its interval; arguments and errors are those of `auroc_intervals`.

    Both are scored on each resample, so what makes a test set easy or hard for both cancels.
    """
    both = {"a": scores_a, "b": scores_b}
    draws = resampled_aurocs(labels, both, patients, resamples=resamples, seed=seed)
    difference = macro_auroc(labels, scores_a) - macro_auroc(labels, scores_b)
    return difference, percentiles(draws[:, 0] - draws[:, 1], resamples, level)


@dataclass(frozen=True)
class Question:
    """One class of one row, sorted once: who is above whom does not depend on the resample."""

    positives: NDArray[np.intp]  # (n1,) images
    negatives: NDArray[np.intp]  # (n0,) images, from the lowest score to the highest
    below: NDArray[np.intp]  # (n1,) how many negatives score below each positive
    below_or_tied: NDArray[np.intp]  # (n1,) … or the same

    @classmethod
    def of(cls, is_positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> "Question":
        """The question who of `is_positive` (N,) is above whom by `scores` (N,)."""
        positives, negatives = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
        negatives = negatives[np.argsort(scores[negatives], kind="stable")]
        places = (np.searchsorted(scores[negatives], scores[positives], side) for side in ("left", "right"))
        return cls(positives, negatives, *places)

    def auroc(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, R) image weights -> (R,) AUROC, NaN where no positive or no negative has weight."""
        lighter = np.zeros((len(self.negatives) + 1, weights.shape[1]))  # [j]: weight of the j lowest negatives
        np.cumsum(weights[self.negatives], axis=0, out=lighter[1:])
        positive = weights[self.positives]
        above = np.einsum("ir,ir->r", positive, lighter[self.below])
        above += np.einsum("ir,ir->r", positive, lighter[self.below_or_tied])
        pairs = positive.sum(axis=0) * lighter[-1]
        auroc: NDArray[np.float64] = np.divide(above / 2, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        return auroc


def resampled_aurocs(
    labels: ArrayLike,
    scores_by_row: Mapping[str, ArrayLike],
    patients: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Macro AUROC of each row on each usable resample: (resamples_used, rows), rows in the order given.

    Arguments and errors are those of `auroc_intervals`.
    """
    patient_of = np.asarray(patients)
    if not scores_by_row:
        raise RadlibError("There are no scores to resample; give at least one row.")
    if patient_of.shape != (len(np.asarray(labels)),):
        raise RadlibError(
            f"Patients have shape {patient_of.shape} for {len(np.asarray(labels))} images; name one patient per image."
        )
    if resamples < 1:
        raise RadlibError(f"{resamples} resamples make no interval; ask for at least 1.")
    names, patient_of = np.unique(patient_of, return_inverse=True)
    if len(names) < 2:
        raise RadlibError(f"{len(names)} patient cannot be resampled; an interval needs at least two patients.")

    questions: list[list[Question]] = []  # rows x scorable classes
    for scores in scores_by_row.values():
        positives, columns = one_vs_rest(labels, scores)
        questions.append([Question.of(positives[:, c], columns[:, c]) for c in np.flatnonzero(scorable(positives))])

    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_WEIGHTS // len(patient_of))
    draws = np.empty((resamples, len(questions)))
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        weights = multiplicities(generator, count, len(names))[patient_of]  # (N, count)
        for row, classes in enumerate(questions):
            # The mean of a NaN is NaN: a resample that lost a class is marked, for every row alike.
            draws[start : start + count, row] = np.mean([q.auroc(weights) for q in classes], axis=0)
    usable = draws[np.isfinite(draws).all(axis=1)]
    if len(usable) == 0:
        raise RadlibError(
            f"None of {resamples} resamples of {len(names)} patients keeps every class; score more patients per class."
        )
    return usable


def multiplicities(generator: np.random.Generator, count: int, patients: int) -> NDArray[np.float64]:
    """How often each patient is drawn when as many are drawn, with replacement, as there are: (patients, count)."""
    drawn = generator.integers(patients, size=(count, patients))
    flat = drawn + patients * np.arange(count)[:, None]
    counts = np.bincount(flat.ravel(), minlength=count * patients).reshape(count, patients)
    return np.ascontiguousarray(counts.T, dtype=np.float64)


def percentiles(draws: NDArray[np.float64], resamples: int, level: float = 0.95) -> Interval:
    """The central `level` of `draws` `(resamples_used,)`, of `resamples` that were asked for."""
    if not 0 < level < 1:
        raise RadlibError(f"An interval at level {level} does not exist; ask for 0 < level < 1.")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, resamples, len(draws))
