"""How well do predicted masks cover the true ones? Dice and Jaccard, all of them from three counts a sample.

For one class let T be its true pixels, P its predicted pixels and I the pixels in both. Then

    Dice = 2 I / (P + T)        (Dice 1945)            Jaccard = I / (P + T - I) = Dice / (2 - Dice)   (Jaccard 1912)

Counts add up, so whatever is scored together is summed first: all test pixels for the paper's score, the slices of a
scan for Dice per scan, the patients of a resample for an interval. Masks are needed once, for `counts`.

The paper reports "the average of the dice and jaccard scores" (section 3.3.2); its authors' code takes the mean over
foreground classes, from counts pooled over all test pixels. That is `pooled`. Large structures and patients with many
slices weigh more in it, so Dice per case stands beside it (`per_case_dice`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError

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
