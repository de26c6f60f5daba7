"""How well do predicted masks cover the true ones? Dice and Jaccard, all of them from three counts a sample.

For one class let T be its true pixels, P its predicted pixels and I the pixels in both. Then

    Dice = 2 I / (P + T)        (Dice 1945)            Jaccard = I / (P + T - I) = Dice / (2 - Dice)   (Jaccard 1912)

Counts add up, so whatever is scored together is summed first: all test pixels for the paper's score, the slices of a
scan for Dice per scan, the patients of a resample for an interval. Masks are needed once, for `counts`. With C: (P, K,
3) the counts of each patient and w: (P,) how often each was drawn (see `inference`), a resample's totals are w C, and
2,000 resamples are one matrix product: exact, for pixel counts are far below 2^53 (`Pooled`). Mean Dice per case is a
ratio of two such sums, w D / w M, of the Dice means of a patient's M cases that have one (`PerCase`).

The paper reports "the average of the dice and jaccard scores" (section 3.3.2); its authors' code takes the mean over
foreground classes, from counts pooled over all test pixels. That is `pooled`. Large structures and patients with many
slices weigh more in it, so Dice per case stands beside it (`per_case_dice`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate.inference import numbered

BOTH, PREDICTED, TRUE = range(3)
"""The last axis of counts: pixels predicted and true, pixels predicted, pixels true."""


@dataclass(frozen=True)
class Overlap:
    """Overlap pooled over all samples, for foreground classes 1 … K in columns 0 … K-1.

    Attributes:
        dice: (K,) in [0, 1]; NaN for a class that no true mask has.
        jaccard: (K,) in [0, 1]; NaN for the same classes.
        score: mean over the classes that are not NaN of (dice + jaccard) / 2, in [0, 1].
        totals: (K, 3) pixels in both, predicted, true, over all samples.
    """

    dice: NDArray[np.float64]
    jaccard: NDArray[np.float64]
    score: float
    totals: NDArray[np.int64]

    @property
    def absent(self) -> NDArray[np.intp]:
        """Columns of the classes left out of `score` because no true mask has them; class = column + 1.

        What was predicted of them all the same is ``totals[absent, PREDICTED]``.
        """
        return np.flatnonzero(self.totals[:, TRUE] == 0)


@dataclass(frozen=True)
class CaseDice:
    """Mean Dice per case, in [0, 1], over `scored` cases; `empty` more have no foreground, true or predicted."""

    mean: float
    scored: int
    empty: int


def counts(predicted: ArrayLike, truth: ArrayLike, classes: int) -> NDArray[np.int64]:
    """What every overlap needs to know of N samples: (N, K, 3) pixels in both, predicted, true, of classes 1 … K.

    Samples of different sizes are counted one by one, and large sets batch by batch: concatenate the answers.

    Args:
        predicted: (N, H, W) integers or booleans; 0 is background, 1 … K the classes.
        truth: (N, H, W), the same.
        classes: K, how many foreground classes there are, whether or not these masks hold them.

    Raises:
        RadlibError: shapes that differ or are not (N, H, W), values that are not whole numbers from 0 to K.
    """
    guess, real = np.asarray(predicted), np.asarray(truth)
    if guess.ndim != 3 or guess.shape != real.shape or guess.size == 0:
        raise RadlibError(
            f"Predicted masks of shape {guess.shape} and true masks of shape {real.shape} do not describe the same "
            "pixels; give both as (samples, height, width) with at least one pixel."
        )
    if classes < 1:
        raise RadlibError(f"Masks of {classes} foreground classes have no overlap; name at least 1.")
    for name, masks in (("predicted", guess), ("true", real)):
        if masks.dtype.kind not in "biu":
            raise RadlibError(f"The {name} masks are {masks.dtype}; give whole numbers, one class per pixel.")
        low, high = masks.min(), masks.max()
        if low < 0 or high > classes:
            wrong = low if low < 0 else high
            raise RadlibError(
                f"The {name} masks hold the value {wrong}, outside 0 (background) … {classes} (the last class)."
            )
    size = classes + 1
    joint = np.empty((len(real), size, size), dtype=np.int64)  # [sample, true class, predicted class]
    for sample in range(len(real)):
        pairs = real[sample].astype(np.intp) * size + guess[sample].astype(np.intp)
        joint[sample] = np.bincount(pairs.ravel(), minlength=size * size).reshape(size, size)
    both = joint.diagonal(axis1=1, axis2=2)
    return np.stack([both, joint.sum(axis=1), joint.sum(axis=2)], axis=-1)[:, 1:]


def pooled(counts: ArrayLike) -> Overlap:
    """Dice, Jaccard and the paper's score over all pixels of all samples, from `counts` (N, K, 3).

    Raises:
        RadlibError: counts of another shape or that no masks could give, or no true pixel of any class.
    """
    totals = checked(counts).sum(axis=0)
    dice, jaccard = ratios(totals)
    return Overlap(dice, jaccard, float(macro(dice, jaccard)), totals)


def per_case_dice(counts: ArrayLike, cases: ArrayLike) -> NDArray[np.float64]:
    """Dice of every case and class, the counts of a case's samples summed first: (N, K, 3), (N,) -> (M, K) in [0, 1].

    NaN where neither truth nor prediction has the class: nothing was asked and nothing claimed. 0 where only one has
    it, be it missed or invented.

    Args:
        counts: of N samples, as `counts` gives them.
        cases: (N,) case of each sample, any type that can be sorted: the image itself, or the scan of a slice. Row m
            of the answer is the m-th of the sorted names, as in `numpy.unique`.

    Raises:
        RadlibError: as `pooled`, or cases that are not one per sample.
    """
    of_case = summed(checked(counts), cases)[1].astype(np.float64)
    size = of_case[..., PREDICTED] + of_case[..., TRUE]
    dice: NDArray[np.float64] = np.divide(2 * of_case[..., BOTH], size, out=np.full(size.shape, np.nan), where=size > 0)
    return dice


def mean_case_dice(counts: ArrayLike, cases: ArrayLike) -> CaseDice:
    """Mean over cases of a case's mean Dice over the classes it has (not NaN in `per_case_dice`).

    Every case weighs the same, however large. A case of nothing, rightly predicted as nothing, has no Dice and is left
    out and counted; any prediction in it makes its Dice 0. Arguments and errors are those of `per_case_dice`.
    """
    means = class_mean(per_case_dice(counts, cases))
    scored = np.isfinite(means)
    return CaseDice(float(means[scored].mean()), int(scored.sum()), int((~scored).sum()))


class Pooled:
    """Counts of one row's N samples, an `inference.Scored` whose score is the paper's: `pooled(counts).score`.

    Args:
        counts: (N, K, 3), as `counts` gives them.
        patients: (N,) patient of each sample, any type that can be sorted.

    Raises:
        RadlibError: as `pooled`, or patients that are not one per sample, or fewer than two.
    """

    def __init__(self, counts: ArrayLike, patients: ArrayLike) -> None:
        found = checked(counts)
        self.n_patients, of_sample = numbered(np.asarray(patients), len(found))
        self.n_weights = self.n_patients
        self.value = pooled(found).score
        self._truth = found[..., TRUE]
        self._held = self._truth.any(axis=0)  # (K,)
        self._by_patient = summed(found[:, self._held], of_sample)[1].astype(np.float64)  # (P, classes held, 3)

    def score(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, R) -> (R,) mean of Dice and Jaccard; NaN where a class has lost all of its true pixels."""
        return self._score(self._sums(weights))

    def exchange(self, other: "Pooled") -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
        """Differences once patients changed places, see `inference.Scored`; `other` must be of the same true masks."""
        if not np.array_equal(self._truth, other._truth):
            raise RadlibError(
                "The two rows were counted on different true masks, so their pixels cannot change places; "
                "score both on the same samples at the same size."
            )
        mine, theirs = self._by_patient.sum(axis=0), other._by_patient.sum(axis=0)
        gain = (other._by_patient - self._by_patient).reshape(self.n_patients, -1)

        def differences(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
            moved = (swapped.T.astype(np.float64) @ gain).reshape(-1, *mine.shape)
            return self._score(mine + moved) - self._score(theirs - moved)

        return differences

    def _sums(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return (weights.T @ self._by_patient.reshape(self.n_patients, -1)).reshape(-1, *self._by_patient.shape[1:])

    @staticmethod
    def _score(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        dice, jaccard = ratios(totals)
        return np.asarray(np.mean((dice + jaccard) / 2, axis=-1))


class PerCase:
    """Counts of one row's N samples, an `inference.Scored` whose score is the mean Dice per case.

    Args:
        counts: (N, K, 3), as `counts` gives them.
        patients: (N,) patient of each sample, any type that can be sorted.
        cases: (N,) image or scan of each sample.

    Raises:
        RadlibError: as `mean_case_dice`, patients that are not one per sample, fewer than two, or a case of two
            patients.
    """

    def __init__(self, counts: ArrayLike, patients: ArrayLike, cases: ArrayLike) -> None:
        means = class_mean(per_case_dice(counts, cases))  # (M,), cases in sorted order
        names, first, of_case = np.unique(np.asarray(cases), return_index=True, return_inverse=True)
        self.n_patients, patient_of = numbered(np.asarray(patients), len(of_case))
        self.n_weights = self.n_patients
        divided = np.flatnonzero(patient_of != patient_of[first][of_case])
        if len(divided):
            raise RadlibError(
                f"Case '{names[of_case[divided[0]]]}' belongs to more than one patient; name cases apart, as in "
                "patient/scan."
            )
        scored = np.isfinite(means)
        self.value = float(means[scored].mean())
        of_patient = patient_of[first]
        self._sums = np.bincount(of_patient, np.where(scored, means, 0.0), self.n_patients)  # (P,)
        self._cases = np.bincount(of_patient, scored, self.n_patients)

    def score(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, R) -> (R,) mean Dice over the cases that have one; NaN where none has."""
        sums, cases = self._sums @ weights, self._cases @ weights
        return np.divide(sums, cases, out=np.full(len(sums), np.nan), where=cases > 0)

    def exchange(self, other: "PerCase") -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
        """Differences once patients changed places, see `inference.Scored`."""
        if self.n_patients != other.n_patients:
            raise RadlibError("The two rows are of other patients, so their cases cannot change places.")

        def differences(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
            there = swapped.astype(np.float64)
            sums, cases = (
                (mine @ (1 - there) + theirs @ there, theirs @ (1 - there) + mine @ there)
                for mine, theirs in ((self._sums, other._sums), (self._cases, other._cases))
            )
            return np.asarray(sums[0] / cases[0] - sums[1] / cases[1])

        return differences


def class_mean(dice: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, K) -> (M,) mean over the classes that are not NaN; NaN where all are."""
    known = np.isfinite(dice)
    many = known.sum(axis=1)
    total = np.where(known, dice, 0.0).sum(axis=1)
    mean: NDArray[np.float64] = np.divide(total, many, out=np.full(len(dice), np.nan), where=many > 0)
    return mean


def ratios(totals: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice and Jaccard (…, K) of pixel totals (…, K, 3); NaN where there are no true pixels."""
    both, predicted, true = np.moveaxis(np.asarray(totals, dtype=np.float64), -1, 0)
    scorable = true > 0
    dice = np.divide(2 * both, predicted + true, out=np.full(true.shape, np.nan), where=scorable)
    jaccard = np.divide(both, predicted + true - both, out=np.full(true.shape, np.nan), where=scorable)
    return dice, jaccard


def macro(dice: NDArray[np.float64], jaccard: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, K) and (…, K) -> (…) the paper's score: mean over the classes that are not NaN of (dice + jaccard) / 2."""
    return np.asarray(np.nanmean((dice + jaccard) / 2, axis=-1))


def summed(counts: NDArray[np.int64], groups: ArrayLike) -> tuple[NDArray, NDArray[np.int64]]:
    """Counts (N, …) added up within each of `groups` (N,): the M sorted names and (M, …)."""
    group_of = np.asarray(groups)
    if group_of.shape != (len(counts),):
        raise RadlibError(
            f"Patients or cases have shape {group_of.shape} for {len(counts)} samples; name one per sample."
        )
    names, group_of = np.unique(group_of, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    starts = np.searchsorted(group_of[order], np.arange(len(names)))
    return names, np.add.reduceat(counts[order], starts, axis=0)


def checked(counts: ArrayLike) -> NDArray[np.int64]:
    """`counts` as (N, K, 3) int64, once they are known to be what masks can give and to hold some truth."""
    found = np.asarray(counts)
    if found.ndim != 3 or found.shape[2] != 3 or found.size == 0 or found.dtype.kind not in "iu":
        raise RadlibError(
            f"Counts of shape {found.shape} and type {found.dtype} are not pixels of samples; "
            "give whole numbers of shape (samples, classes, 3) as `overlap.counts` does."
        )
    found = found.astype(np.int64, copy=False)
    if (found[..., BOTH] < 0).any() or (found[..., BOTH] > found[..., PREDICTED:].min(axis=-1)).any():
        raise RadlibError(
            "Some counts name more pixels in both masks than in one of them, or fewer than none; "
            "their last axis is: in both, predicted, true."
        )
    if not found[..., TRUE].any():
        raise RadlibError(
            f"The test split has no foreground: none of its {len(found)} true masks holds a pixel of any class, so "
            "there is no overlap to score; check the masks, or give test samples that show what is segmented."
        )
    return found
