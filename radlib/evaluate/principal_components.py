"""Principal components of patch tokens, with signs that depend on the data alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError

SYMMETRIC = 1e-9  # third moment of standardised scores below which their tails count as equally long


@dataclass(frozen=True)
class Components:
    """The K directions of largest variance of some vectors: `mean` (D,), orthonormal `axes` (K, D) and `explained`
    (K,), each one's share of the whole variance in [0, 1], falling.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    explained: NDArray[np.float64]

    def scores(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Places of `vectors` (..., D) along the axes, (..., K)."""
        return (np.asarray(vectors, dtype=np.float64) - self.mean) @ self.axes.T


def fit(vectors: ArrayLike, k: int) -> Components:
    """The first `k` principal components of `vectors` (N, D), in float64.

    The sign of an axis is free, so a rule fixes it: scores have their longer tail on the positive side (third moment
    above 0); with tails alike the score farthest from 0 is positive. Turning every vector round turns the axes too and
    leaves the scores as they are.

    Raises RadlibError when there are not more vectors than components, fewer dimensions than components, values that
    are not finite, or vectors that are all the same.
    """
    x = np.asarray(vectors, dtype=np.float64)
    n, width = x.shape
    if n <= k:
        raise RadlibError(f"{k} components need more than {k} patches and there are {n}; take more or larger images.")
    if width < k:
        raise RadlibError(f"{k} components were asked for and tokens are {width} wide; ask for fewer.")
    if not np.isfinite(x).all():
        raise RadlibError("Some patch tokens are NaN or infinite; check the backbone's weights and the images.")
    mean = x.mean(axis=0)
    centred = x - mean
    # D x D whatever N: components are the eigenvectors of the covariance, variances its eigenvalues.
    variances, vectors_ = np.linalg.eigh(centred.T @ centred)
    total = float(variances.sum())
    if total <= 1e-20 * max(float((x**2).sum()), np.finfo(float).tiny):
        raise RadlibError("All patches have the same token, so there is nothing to tell them apart; check the images.")
    axes = vectors_.T[::-1][:k]
    axes = axes * turns(centred @ axes.T)[:, None]
    return Components(mean, axes, np.clip(variances[::-1][:k] / total, 0, 1))


def turns(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """+1 or -1 for each column of centred `scores` (N, K): what turns it as the rule of `fit` says."""
    spread = np.sqrt((scores**2).mean(axis=0))
    standard = scores / np.where(spread > 0, spread, 1)
    skewness = (standard**3).mean(axis=0)
    farthest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)[0]
    deciding = np.where(np.abs(skewness) > SYMMETRIC, skewness, farthest)
    return np.where(deciding < 0, -1.0, 1.0)
