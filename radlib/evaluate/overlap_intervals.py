"""How sure is an overlap? Percentile intervals from resampled patients, and a permutation test of two rows.

As in `bootstrap`, patients are drawn, not slices: slices of a patient resemble each other. Counts add up, so a resample
needs no mask. With C: (P, K, 3) the counts of each patient and w: (P,) how often each was drawn, the resample's totals
are w C, and 2,000 resamples are one product of matrices: exact, for pixel counts are far below 2^53. Mean Dice per case
is a ratio of two such sums, w D / w M, of the Dice means of a patient's M cases that have one.

Every row of a table sees the same resamples, so that a difference of two rows is a paired one. A resample that has lost
all true pixels of a class scored on the whole set is dropped, for every row and every figure: all that remain speak of
the same classes. `Interval.resamples_used` says how many remain.

Percentile intervals of few patients are too narrow: simulated (see the tests), a 95 % interval held the truth in 0.94
of cohorts of 40 patients, 0.89 of 10 and 0.79 of 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate import overlap
from radlib.evaluate.bootstrap import CHUNK_WEIGHTS, Interval, multiplicities, percentiles
from radlib.evaluate.permutation import NOISE


@dataclass(frozen=True)
class Draws:
    """What each row scores on each of the R usable resamples of `resamples` that were asked for.

    Attributes:
        rows: of the table, in the order given; a column each of the arrays.
        resamples: how many were asked for.
        score: (R, rows) mean of Dice and Jaccard, as `overlap.pooled`.
        dice: (R, rows, K) pooled Dice of each class; NaN throughout for a class that no true mask has.
        case_dice: (R, rows) mean Dice per case, as `overlap.mean_case_dice`.
    """

    rows: tuple[str, ...]
    resamples: int
    score: NDArray[np.float64]
    dice: NDArray[np.float64]
    case_dice: NDArray[np.float64]


@dataclass(frozen=True)
class OverlapIntervals:
    """The intervals of one row, or of one less another.

    Attributes:
        score: of the mean of Dice and Jaccard.
        dice: of each class's pooled Dice; None for a class that no true mask has.
        case_dice: of the mean Dice per case.
    """

    score: Interval
    dice: tuple[Interval | None, ...]
    case_dice: Interval


def overlap_intervals(
    counts_by_row: Mapping[str, ArrayLike],
    patients: ArrayLike,
    cases: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, OverlapIntervals]:
    """Patient-clustered percentile intervals of each row's overlap, from the same resamples for all rows and figures.

    Args:
        counts_by_row: row of a table -> its (N, K, 3) `overlap.counts` of the same N samples in the same order. Masks
            may be of another size from row to row; the classes they hold may not differ.
        patients: (N,) patient of each sample, any type that can be sorted.
        cases: (N,) image or scan of each sample for Dice per case; by default every sample is a case of its own.
        resamples: 2,000 by default, so that each end of a 95 % interval rests on 50 resamples.
        seed: of the resamples; equal seeds, patients and classes present give equal resamples whatever the rows.
        level: coverage asked for, between 0 and 1.

    Raises:
        RadlibError: no rows, counts that `overlap.pooled` refuses or that do not match, fewer than two patients, a
            case of two patients, or a class held by so few patients that no resample keeps it.
    """
    draws = resampled(counts_by_row, patients, cases, resamples=resamples, seed=seed)
    return {row: intervals_of(draws, row, level) for row in draws.rows}


def intervals_of(draws: Draws, row: str, level: float = 0.95) -> OverlapIntervals:
    """The intervals of one row of `draws`."""
    column = draws.rows.index(row)
    return _intervals(draws.score[:, column], draws.dice[:, column], draws.case_dice[:, column], draws.resamples, level)


def paired_differences(draws: Draws, row: str, reference: str, level: float = 0.95) -> OverlapIntervals:
    """The intervals of `row` less `reference`.

    Both are scored on each resample, so what makes a test set easy or hard for both cancels.
    """
    here, there = draws.rows.index(row), draws.rows.index(reference)
    score, dice, case_dice = (
        figure[:, here] - figure[:, there] for figure in (draws.score, draws.dice, draws.case_dice)
    )
    return _intervals(score, dice, case_dice, draws.resamples, level)


def resampled(
    counts_by_row: Mapping[str, ArrayLike],
    patients: ArrayLike,
    cases: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Draws:
    """The scores of each row on the same resamples of patients; arguments and errors are `overlap_intervals`'."""
    if not counts_by_row:
        raise RadlibError("There are no counts to resample; give at least one row.")
    if resamples < 1:
        raise RadlibError(f"{resamples} resamples make no interval; ask for at least 1.")
    rows = {row: overlap.checked(counts) for row, counts in counts_by_row.items()}
    _refuse_other_samples(rows)
    samples = len(next(iter(rows.values())))
    if cases is None:
        cases = np.arange(samples)
    by_patient = {row: _by_patient(counts, patients) for row, counts in rows.items()}
    totals = np.stack(list(by_patient.values()), axis=1).astype(np.float64)  # (P, rows, K, 3)
    dice_sums = np.stack([_case_dice_sums(counts, patients, cases) for counts in rows.values()], axis=1)  # (P, rows, 2)
    scorable = totals[..., overlap.TRUE].any(axis=(0, 1))  # (K,) the same in every row

    n_patients, n_rows, classes = totals.shape[:3]
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_WEIGHTS // n_patients)
    score, dice, case_dice = [], [], []
    for start in range(0, resamples, chunk):
        weights = multiplicities(generator, min(chunk, resamples - start), n_patients).T  # (chunk, P)
        drawn = (weights @ totals.reshape(n_patients, -1)).reshape(-1, n_rows, classes, 3)
        usable = (drawn[:, :, scorable, overlap.TRUE] > 0).all(axis=(1, 2))
        of_class, jaccard = overlap.ratios(drawn[usable])
        sums = (weights[usable] @ dice_sums.reshape(n_patients, -1)).reshape(-1, n_rows, 2)
        score.append(overlap.macro(of_class[..., scorable], jaccard[..., scorable]))
        dice.append(of_class)
        # A usable resample has true pixels, so every row has at least one case with a Dice in it.
        case_dice.append(sums[..., 0] / sums[..., 1])
    found = Draws(tuple(rows), resamples, *(np.concatenate(chunks) for chunks in (score, dice, case_dice)))
    if len(found.score) == 0:
        raise RadlibError(
            f"None of {resamples} resamples of {n_patients} patients keeps every class; score more patients per class."
        )
    return found


def paired_p(
    counts_a: ArrayLike, counts_b: ArrayLike, patients: ArrayLike, *, permutations: int = 2000, seed: int = 0
) -> float:
    """Two-sided p of the difference of two rows' pooled scores, (b + 1) / (B + 1), where b of B arrangements reach it.

    If two rows were equally good, each patient's two sets of counts could change places without anyone noticing. With
    few patients every one of the 2^P arrangements is taken instead of B random ones; B is then the 2^P - 1 that differ
    from the one observed. P patients allow no p below 2 / 2^P, for the mirror image of what was observed always
    reaches it: four patients cannot show a difference (p is at least 0.125).

    Args:
        counts_a: (N, K, 3) `overlap.counts` of one row.
        counts_b: of the other, of the same true masks.
        patients: (N,) patient of each sample; a patient's samples change places together.
        permutations: B, and the largest number of arrangements that are all taken.
        seed: of random arrangements.

    Raises:
        RadlibError: counts that `overlap.pooled` refuses or of other true masks, fewer than two patients.
    """
    a, b = overlap.checked(counts_a), overlap.checked(counts_b)
    if a.shape != b.shape or not np.array_equal(a[..., overlap.TRUE], b[..., overlap.TRUE]):
        raise RadlibError(
            "The two rows were counted on different true masks, so their pixels cannot change places; "
            "score both on the same samples at the same size."
        )
    if permutations < 1:
        raise RadlibError(f"{permutations} permutations make no p; ask for at least 1.")
    of_a, of_b = _by_patient(a, patients), _by_patient(b, patients)
    total, gain = of_a.sum(axis=0), (of_b - of_a).astype(np.float64)  # (K, 3), (P, K, 3)
    scorable = total[:, overlap.TRUE] > 0
    n_patients = len(gain)

    def distances(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(R, patients) -> (R,) how far apart an arrangement's two rows score."""
        moved = (swapped.astype(np.float64) @ gain.reshape(n_patients, -1)).reshape(-1, *total.shape)
        pair = np.stack([total + moved, of_b.sum(axis=0) - moved])[:, :, scorable]  # (2, R, classes, 3)
        one, other = overlap.macro(*overlap.ratios(pair))
        return np.abs(one - other)

    observed = distances(np.zeros((1, n_patients), bool))[0] - NOISE
    all_of_them = 2**n_patients <= permutations
    arrangements = 2**n_patients if all_of_them else permutations
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_WEIGHTS // n_patients)
    reached = 0
    for start in range(0, arrangements, chunk):
        stop = min(start + chunk, arrangements)
        if all_of_them:  # arrangement k swaps the patients whose bit is set in k
            swapped = (np.arange(start, stop)[:, None] >> np.arange(n_patients)) & 1 == 1
        else:
            swapped = generator.random((stop - start, n_patients)) < 0.5
        reached += int((distances(swapped) >= observed).sum())
    # Arrangement 0 of all swaps nobody: it is the observed one, which (b + 1) / (B + 1) adds to random ones.
    return reached / arrangements if all_of_them else (reached + 1) / (permutations + 1)


def _intervals(
    score: NDArray[np.float64],
    dice: NDArray[np.float64],
    case_dice: NDArray[np.float64],
    resamples: int,
    level: float,
) -> OverlapIntervals:
    """The intervals of (R,), (R, K) and (R,) draws."""
    classes = (None if np.isnan(of_class).all() else percentiles(of_class, resamples, level) for of_class in dice.T)
    return OverlapIntervals(
        percentiles(score, resamples, level), tuple(classes), percentiles(case_dice, resamples, level)
    )


def _by_patient(counts: NDArray[np.int64], patients: ArrayLike) -> NDArray[np.int64]:
    """Counts (N, K, 3) -> (P, K, 3), patients in sorted order; fewer than two cannot be told from one another."""
    names, of_patient = overlap.summed(counts, patients)
    if len(names) < 2:
        raise RadlibError(
            f"{len(names)} patient cannot be drawn or exchanged; intervals and p need at least two patients."
        )
    return of_patient


def _case_dice_sums(counts: NDArray[np.int64], patients: ArrayLike, cases: ArrayLike) -> NDArray[np.float64]:
    """Of each patient, (P, 2): the sum of the mean Dice of their cases that have one, and how many have one."""
    means = overlap.class_mean(overlap.per_case_dice(counts, cases))  # (M,), cases in sorted order
    names, first, of_case = np.unique(np.asarray(cases), return_index=True, return_inverse=True)
    patient_of = np.unique(np.asarray(patients), return_inverse=True)[1]
    torn = np.flatnonzero(patient_of != patient_of[first][of_case])
    if len(torn):
        raise RadlibError(
            f"Case '{names[of_case[torn[0]]]}' belongs to more than one patient; name cases apart, as in patient/scan."
        )
    scored = np.isfinite(means)
    sums = [np.where(scored, means, 0.0), scored.astype(np.float64)]
    return np.column_stack([np.bincount(patient_of[first], weights) for weights in sums])


def _refuse_other_samples(rows: Mapping[str, NDArray[np.int64]]) -> None:
    """Raise unless all rows count as many samples and classes, and true pixels of the same classes."""
    (first, reference), *rest = rows.items()
    present = reference[..., overlap.TRUE].any(axis=0)
    for row, counts in rest:
        if counts.shape != reference.shape or (counts[..., overlap.TRUE].any(axis=0) != present).any():
            raise RadlibError(
                f"Rows '{first}' and '{row}' count {reference.shape[:2]} and {counts.shape[:2]} samples and classes, "
                "or other classes; rows of one table are scored on the same samples."
            )
