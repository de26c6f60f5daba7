"""The AUROC's variance in closed form: an independent check of the resampled intervals.

Each positive has a placement, the share of negatives it scores above (a tie counts half), and each negative the share
of positives above it; the AUROC is the mean of either. DeLong, DeLong and Clarke-Pearson (1988) read the variance from
the placements' spread; Obuchowski (1997) sums them within patients first, which is the same where every patient has
one image. Placements come from ranks (Sun and Xu 2014).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from radlib.errors import RadlibError


@dataclass(frozen=True)
class Areas:
    """AUROCs `(R,)` of R rows on the same images, and their covariance `(R, R)`."""

    aurocs: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def interval(self, row: int, level: float = 0.95) -> tuple[float, float]:
        """Normal interval of one row, cut at 0 and 1."""
        half = norm.ppf((1 + level) / 2) * np.sqrt(self.covariance[row, row])
        return max(0.0, float(self.aurocs[row] - half)), min(1.0, float(self.aurocs[row] + half))

    def p(self, a: int, b: int) -> float:
        """Two-sided p of the difference of two rows; 1 where the rows are the same."""
        contrast = np.zeros(len(self.aurocs))
        contrast[[a, b]] = 1, -1
        variance = contrast @ self.covariance @ contrast
        if variance <= 1e-15:
            return 1.0
        return float(2 * norm.sf(abs(contrast @ self.aurocs) / np.sqrt(variance)))


def delong(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike | None = None) -> Areas:
    """AUROCs and covariance of R rows of scores for one yes-or-no question.

    Args:
        labels: (N,) of 0/1.
        scores: (N, R), higher means more likely 1; (N,) for one row.
        patients: (N,) patient of each image; every image its own where it is None.

    Raises:
        RadlibError: shapes that differ, labels other than 0 and 1, fewer than two patients with positives or with
            negatives.
    """
    truth, rows = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    of = np.arange(len(truth)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    if truth.ndim != 1 or len(rows) != len(truth) or of.shape != truth.shape:
        raise RadlibError(
            f"Labels {truth.shape}, scores {rows.shape} and patients {of.shape} do not describe the same images."
        )
    if not np.isin(truth, (0, 1)).all() or not np.isfinite(rows).all():
        raise RadlibError("DeLong's variance needs labels of 0 and 1 and finite scores.")
    positive = truth == 1
    m, n, clusters = int(positive.sum()), int((~positive).sum()), int(of.max(initial=-1)) + 1
    with_positive, with_negative = len(np.unique(of[positive])), len(np.unique(of[~positive]))
    if min(with_positive, with_negative) < 2:
        raise RadlibError(
            f"{with_positive} patients have positives and {with_negative} have negatives; a variance needs two of each."
        )
    places = np.empty_like(rows)
    for row in range(rows.shape[1]):
        everywhere = rankdata(rows[:, row])
        places[positive, row] = (everywhere[positive] - rankdata(rows[positive, row])) / n
        places[~positive, row] = 1 - (everywhere[~positive] - rankdata(rows[~positive, row])) / m
    aurocs = places[positive].mean(axis=0)
    excess = places - aurocs
    above, below = np.zeros((clusters, rows.shape[1])), np.zeros((clusters, rows.shape[1]))
    np.add.at(above, of[positive], excess[positive])
    np.add.at(below, of[~positive], excess[~positive])
    s10 = with_positive / ((with_positive - 1) * m) * above.T @ above
    s01 = with_negative / ((with_negative - 1) * n) * below.T @ below
    s11 = clusters / (clusters - 1) * above.T @ below
    return Areas(aurocs, s10 / m + s01 / n + (s11 + s11.T) / (m * n))
