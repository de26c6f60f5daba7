"""What every probe of frozen features shares: what it answers, what it refuses, and how validation chooses.

A probe may look at the labels of train and validation only. `open_cohort` checks everything at the door and
hands out no test label, so nothing behind it can read one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax

from radlib.data.splits import SPLITS
from radlib.errors import RadlibError
from radlib.evaluate.auroc import scorable

ROWS_AT_ONCE = 4096
"""Rows of a memory map read together: 32 MB at width 1,920 in float32."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe: what validation chose and what the refitted head says about test.

    Attributes:
        head: the chosen head, `{"input": name, "learning_rate": 0.01}` (or `"C"` for logistic regression).
        validation: one row a head, in the order tried: the keys of `head`, `validation_auroc` (macro, trained
            on train alone; None when diverged) and `diverged`.
        scores: (N_test, K) probabilities, float64: rows sum to 1 for exclusive classes, one sigmoid each for
            labels.
        test_rows: (N_test,) rows of the inputs that `scores` describes, ascending.
        seconds: wall time of choosing, refitting and scoring.
        hyperparameters: every setting that changes a number, ready for JSON.
    """

    head: dict[str, Any]
    validation: list[dict[str, Any]]
    scores: NDArray[np.float64]
    test_rows: NDArray[np.intp]
    seconds: float
    hyperparameters: dict[str, Any]


@dataclass(frozen=True)
class Cohort:
    """Rows of each split, and the labels a probe may see. `targets` are one-hot or 0/1, (rows, K) float32."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]
    train_targets: NDArray[np.float32]
    validation_targets: NDArray[np.float32]
    validation_labels: NDArray[Any]
    multi_label: bool

    @property
    def fit(self) -> NDArray[np.intp]:
        """Rows of the refit: train, then validation."""
        return np.concatenate([self.train, self.validation])

    @property
    def fit_targets(self) -> NDArray[np.float32]:
        """(rows, K) targets of the refit, in the order of `fit`."""
        return np.concatenate([self.train_targets, self.validation_targets])


def open_cohort(inputs: Mapping[str, NDArray[Any]], labels: ArrayLike, split: ArrayLike, n_classes: int) -> Cohort:
    """Check inputs, labels and split before any long work; the only place where test labels are looked at.

    Args:
        inputs: name -> (N, d) finite features; memory maps are read in pieces.
        labels: (N,) integers 0 … n_classes-1, or (N, n_classes) of 0/1 for multi-label.
        split: (N,) of "train", "validation" or "test".
        n_classes: K, at least 2 for exclusive classes.

    Raises:
        RadlibError: shapes that differ, an unknown split, an empty split, labels outside the classes, a class
            missing from train, a single class in validation or test, or features that are NaN or infinite.
    """
    truth, part = np.asarray(labels), np.asarray(split)
    if not inputs:
        raise RadlibError("There are no inputs to probe; give at least one array of features.")
    if truth.ndim not in (1, 2) or part.shape != truth.shape[:1]:
        raise RadlibError(
            f"Labels of shape {truth.shape} and a split of shape {part.shape} do not describe the same images; "
            "give one label (or row of labels) and one split name per image."
        )
    for name, features in inputs.items():
        if features.ndim != 2 or len(features) != len(truth):
            raise RadlibError(
                f"Input '{name}' has shape {features.shape} for {len(truth)} labels; it must be (N, width)."
            )
    strange = ~np.isin(part, SPLITS)
    if strange.any():
        raise RadlibError(
            f"The split of {strange.sum()} images is '{part[strange][0]}'; use train, validation or test."
        )
    rows = {name: np.flatnonzero(part == name) for name in SPLITS}
    targets = _one_hot(truth, n_classes)
    for name in SPLITS:
        if len(rows[name]) == 0:
            raise RadlibError(f"The {name} split is empty; give it at least one image of two classes.")
        if not scorable(targets[rows[name]] == 1).any():
            raise RadlibError(
                f"All {len(rows[name])} images of the {name} split carry the same label; it needs at least two classes."
            )
    missing = np.flatnonzero(~targets[rows["train"]].any(axis=0))
    if len(missing):
        raise RadlibError(
            f"Class {missing[0]} has no image in the train split, so no head can learn it; "
            "move patients that bear it to train or leave the class out."
        )
    for name, features in inputs.items():
        bad = sum(
            int((~np.isfinite(features[start : start + ROWS_AT_ONCE]).all(axis=1)).sum())
            for start in range(0, len(features), ROWS_AT_ONCE)
        )
        if bad:
            raise RadlibError(
                f"Input '{name}' holds NaN or infinity in {bad} of {len(features)} rows; extract those features again."
            )
    return Cohort(
        **rows,
        train_targets=targets[rows["train"]],
        validation_targets=targets[rows["validation"]],
        validation_labels=truth[rows["validation"]],
        multi_label=truth.ndim == 2,
    )


def choose(validation: Sequence[dict[str, Any]], strength: str) -> dict[str, Any]:
    """The row of highest validation AUROC; ties go to the smaller `strength`, then to the input tried first.

    Raises:
        RadlibError: every head diverged.
    """
    finite = [row for row in validation if not row["diverged"]]
    if not finite:
        raise RadlibError(
            f"All {len(validation)} heads diverged; check the scale of the features or lower the {strength} grid."
        )
    return min(finite, key=lambda row: (-row["validation_auroc"], row[strength]))  # min keeps the first of equals


def probabilities(logits: NDArray[Any], multi_label: bool) -> NDArray[np.float64]:
    """Logits (..., K) -> softmax over K, or one sigmoid per label, in float64; NaN where a logit is not finite."""
    exact = np.where(np.isfinite(logits), logits, np.nan).astype(np.float64)
    answer: NDArray[np.float64] = expit(exact) if multi_label else softmax(exact, axis=-1)
    return answer


def _one_hot(labels: NDArray[Any], n_classes: int) -> NDArray[np.float32]:
    """(N,) or (N, K) -> (N, K) float32."""
    if labels.ndim == 2:
        if labels.shape[1] != n_classes or not np.isin(labels, (0, 1)).all():
            raise RadlibError(
                f"Multi-label labels of shape {labels.shape} must be 0 or 1 in {n_classes} columns, one per class."
            )
        return labels.astype(np.float32)
    outside = ~np.isin(labels, np.arange(n_classes))
    if outside.any() or n_classes < 2:
        wrong = f"Label {labels[outside][0]} is outside" if outside.any() else "One class is not enough for"
        raise RadlibError(f"{wrong} 0 … {n_classes - 1}; number at least two classes from 0.")
    hot: NDArray[np.float32] = (labels[:, None] == np.arange(n_classes)).astype(np.float32)
    return hot
