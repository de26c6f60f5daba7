"""Area under the ROC curve: the chance that a positive image scores above a negative one, a tie counting one half.

Computed from ranks (Mann and Whitney 1947): with mid-ranks r_i of the scores, n1 positives and n0 negatives,

    AUROC = (sum of r_i over the positives - n1 (n1 + 1) / 2) / (n1 n0).

The macro average is the mean over classes. Two classes: the plain AUROC of the second. More: one class
against the rest. Multi-label: one AUROC per label. A class that lacks positives or negatives among the scored
images has no AUROC; it is NaN in `per_class_auroc` and left out of the mean.

With weights w, as a resample of patients has them (see `inference`), the AUROC of one class is

    sum over positives i of w_i (weight of negatives below i + half the weight of negatives tied with i)
    --------------------------------------------------------------------------------------------------
                         (weight of all positives) (weight of all negatives)

and its order never changes: the negatives are sorted once, each positive finds its place among them once, and every
resample is one cumulative sum (`Ranking`). Ties are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from radlib.errors import RadlibError
from radlib.evaluate.inference import numbered


def macro_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean AUROC over the classes that have both positives and negatives among these images, in [0, 1].

    Args:
        labels: (N,) integers 0 … K-1 for two or more exclusive classes, or (N, K) of 0/1 for multi-label.
        scores: (N, K), higher means more likely; (N,) is accepted for two classes (score of class 1).

    Raises:
        RadlibError: shapes or values that do not fit, or labels of a single class.
    """
    return float(np.nanmean(_auroc_by_column(*one_vs_rest(labels, scores))))


def per_class_auroc(labels: ArrayLike, scores: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """AUROC of each class by its name; NaN names a class without positives or without negatives here.

    Args:
        labels: as for `macro_auroc`.
        scores: as for `macro_auroc`.
        classes: K names in column order. With two exclusive classes the answer holds the second alone.

    Raises:
        RadlibError: as `macro_auroc`, or the number of names is not the number of classes.
    """
    positives, columns = one_vs_rest(labels, scores)
    named = list(classes)[1:] if np.ndim(labels) == 1 and len(classes) == 2 else list(classes)
    if len(named) != columns.shape[1]:
        raise RadlibError(
            f"{len(classes)} class names were given for scores of shape {np.shape(scores)}; give one name per class."
        )
    return dict(zip(named, _auroc_by_column(positives, columns).tolist(), strict=True))


class Ranking:
    """Scores of one row's N images, an `inference.Scored` whose score is the macro AUROC.

    Args:
        labels: as for `macro_auroc`.
        scores: as for `macro_auroc`.
        patients: (N,) patient of each image, any type that can be sorted.

    Raises:
        RadlibError: as `macro_auroc`, or patients that are not one per image, or fewer than two.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> None:
        positives, columns = one_vs_rest(labels, scores)
        self.n_patients, self._patient_of = numbered(np.asarray(patients), len(positives))
        self.n_weights = len(positives)
        self.value = float(np.nanmean(_auroc_by_column(positives, columns)))
        held = scorable(positives)
        self._positives, self._columns = positives[:, held], columns[:, held]
        self._questions = [_Question.of(*pair) for pair in zip(self._positives.T, self._columns.T, strict=True)]

    def score(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, R) -> (R,) macro AUROC; NaN where a class has lost its positives or its negatives."""
        of_images = weights[self._patient_of]
        return np.asarray(np.mean([question.auroc(of_images) for question in self._questions], axis=0))

    def exchange(self, other: "Ranking") -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
        """Differences once patients changed places, see `inference.Scored`; `other` must be of the same labels.

        Scores are first turned into ranks within each row and class, so that classifiers of different scales can change
        places. Every arrangement is read from one sorted list, the 2N ranks of both rows, of which it takes N and
        leaves N to the other row: a weighted AUROC with weights 0 and 1.
        """
        same = np.array_equal(self._positives, other._positives) and np.array_equal(self._patient_of, other._patient_of)
        if not same:
            raise RadlibError("The two rows are of other labels or patients, so their scores cannot change places.")
        questions = [
            _Question.of(np.tile(truth, 2), np.concatenate([rankdata(mine), rankdata(theirs)]))
            for truth, mine, theirs in zip(self._positives.T, self._columns.T, other._columns.T, strict=True)
        ]

        def differences(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
            of_images = swapped[self._patient_of]
            first = np.concatenate([~of_images, of_images]).astype(np.float64)  # (2N, R)
            return np.asarray(np.mean([each.auroc(first) - each.auroc(1 - first) for each in questions], axis=0))

        return differences


@dataclass(frozen=True)
class _Question:
    """One class of one row, sorted once: which image is above which does not depend on the resample."""

    positives: NDArray[np.intp]  # (n1,) images
    negatives: NDArray[np.intp]  # (n0,) images, from the lowest score to the highest
    below: NDArray[np.intp]  # (n1,) how many negatives score below each positive
    below_or_tied: NDArray[np.intp]  # (n1,) … or the same

    @classmethod
    def of(cls, is_positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> "_Question":
        """Which of `is_positive` (N,) are above which others by `scores` (N,)."""
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


def one_vs_rest(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The binary questions an AUROC asks: who is positive (N, C) and the score of each (N, C) as float64.

    C is 1 for two exclusive classes, else K. Raises RadlibError as `macro_auroc` does.
    """
    truth, scored = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim not in (1, 2) or scored.ndim not in (1, 2) or len(truth) != len(scored) or len(truth) == 0:
        raise RadlibError(
            f"Labels of shape {truth.shape} and scores of shape {scored.shape} do not describe the same images; "
            "give (N,) or (N, K) labels and (N, K) scores with N of at least 1."
        )
    if not np.isfinite(scored).all():
        bad = int((~np.isfinite(scored.reshape(len(scored), -1)).all(axis=1)).sum())
        raise RadlibError(f"The scores of {bad} images hold NaN or infinity; an AUROC needs finite scores.")
    if truth.ndim == 2:
        if truth.shape != scored.shape:
            raise RadlibError(
                f"Multi-label labels have shape {truth.shape} but scores {scored.shape}; they must be equal."
            )
        if not np.isin(truth, (0, 1)).all():
            raise RadlibError("Multi-label labels hold values other than 0 and 1; decide what those mean first.")
        positives = truth == 1
    else:
        n_classes = 2 if scored.ndim == 1 else scored.shape[1]
        if n_classes < 2:
            raise RadlibError("Scores have one column for exclusive classes; give (N,) or (N, 2) for two classes.")
        outside = ~np.isin(truth, np.arange(n_classes))
        if outside.any():
            raise RadlibError(
                f"Label {truth[outside][0]} is outside 0 … {n_classes - 1}, the classes that have a column of scores."
            )
        positives = truth[:, None] == np.arange(n_classes)
        if n_classes == 2:
            positives, scored = positives[:, 1:], scored.reshape(len(scored), -1)[:, -1:]
    if not scorable(positives).any():
        raise RadlibError(
            f"All {len(truth)} images carry the same label, so there is no AUROC; score images of at least two classes."
        )
    return positives, scored


def scorable(positives: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of C columns (N, C) hold both a positive and a negative: (C,)."""
    return np.asarray(positives.any(axis=0) & ~positives.all(axis=0))


def _auroc_by_column(positives: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) and (N, C) -> (C,), NaN where a column is not scorable."""
    ranks = np.column_stack([_mid_ranks(column) for column in scores.T])
    n1 = positives.sum(axis=0, dtype=np.float64)
    n0 = len(positives) - n1
    above = np.where(positives, ranks, 0.0).sum(axis=0) - n1 * (n1 + 1) / 2
    pairs = n1 * n0
    auroc: NDArray[np.float64] = np.divide(above, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return auroc


def _mid_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) -> (N,) ranks from 1 to N, tied scores sharing their mean: half-way between the first and last place."""
    ordered = np.sort(scores)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right") + 1) / 2
