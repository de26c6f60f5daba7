"""Otsu's threshold (1979): the cut of some numbers into two groups that leaves least variance inside them."""

import numpy as np
from numpy.typing import ArrayLike

from radlib.errors import RadlibError


def threshold(values: ArrayLike) -> float:
    """The threshold between two of `values` (N,) that parts them best; half way between its two neighbours.

    Exact: every cut between two different values is tried, without a histogram. For n values below the cut with sum a,
    and N - n above with sum -a (the mean is taken off first), the variance between the groups is proportional to
    a^2 / (n (N - n)); its maximum is the minimum of the variance within. Of equal cuts the lowest is taken.

    Raises RadlibError when all values are the same.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    cuts = np.flatnonzero(x[1:] > x[:-1])
    if not len(cuts):
        raise RadlibError("All patches have the same score, so no threshold parts them; check the images.")
    low = np.cumsum(x - x.mean())[cuts]  # the sum above is its negative, since all add up to 0
    n = cuts + 1.0
    best = cuts[np.argmax(low**2 / (n * (len(x) - n)))]
    middle = x[best] + (x[best + 1] - x[best]) / 2
    return float(middle if middle < x[best + 1] else x[best])  # two neighbouring floats have nothing between them
