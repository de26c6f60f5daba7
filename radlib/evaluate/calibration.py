"""Do the probabilities mean what they say? Calibration error, Brier score and the reliability curve.

Every class is a question of its own: its probability against whether the image bears it (two exclusive classes: the
second alone).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate.auroc import one_vs_rest

BINS = 15  # the number usual since Guo et al. 2017


@dataclass(frozen=True)
class Calibration:
    """How far probabilities are from frequencies.

    Attributes:
        ece: mean over classes of the expected calibration error in equal-mass bins (Nixon et al. 2019), 0 to 1.
        brier: mean over classes of the mean squared error (Brier 1950), 0 to 1.
        curve: one row a bin, all classes pooled: mean probability, share that bears the class, number; `(bins, 3)`.
    """

    ece: float
    brier: float
    curve: NDArray[np.float64]


def calibration(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> Calibration:
    """Calibration of probabilities (N, K) against labels (N,) or (N, K), as for `macro_auroc`.

    Bins hold equally many images, because rare findings put nearly all of them below 0.1, where bins of equal width
    would be one. Images of equal probability may fall into neighbouring bins.

    Raises:
        RadlibError: as `macro_auroc`, or a probability outside 0 … 1.
    """
    truth, said = one_vs_rest(labels, probabilities)
    if said.min() < 0 or said.max() > 1:
        raise RadlibError(f"Probabilities reach from {said.min():g} to {said.max():g}; they must lie in 0 … 1.")
    errors = []
    for c in range(said.shape[1]):
        rows = _curve(truth[:, c], said[:, c], bins)
        errors.append(float(np.abs(rows[:, 0] - rows[:, 1]) @ rows[:, 2] / rows[:, 2].sum()))
    brier = float(((said - truth) ** 2).mean())
    return Calibration(float(np.mean(errors)), brier, _curve(truth.ravel(), said.ravel(), bins))


def _curve(truth: NDArray[np.bool_], said: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order)))]
    return np.array([(said[part].mean(), truth[part].mean(), len(part)) for part in parts])
