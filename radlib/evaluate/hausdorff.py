"""How far apart are two outlines? The 95th-percentile Hausdorff distance, in millimetres.

Overlap hardly sees a far speck or a thin miss; distance does. The surface S of a mask is the mask minus its erosion by
the cross of nearest neighbours (4 in 2-D, 6 in 3-D), everything outside the picture being background, so that a mask
at the border has a surface there. Between two surfaces, with d the Euclidean distance between pixel centres,

    directed(A, B) = 95th percentile over a in S(A) of  min over b in S(B) of d(a, b)
    HD95(A, B)     = max(directed(A, B), directed(B, A)).

The percentile is interpolated linearly between neighbours. The maximum itself (Huttenlocher et al. 1993) would rest on
one pixel; the 95th percentile is the usual way to make it bear a few stray ones.

The nearest pixel of a surface is looked up, exactly, in a k-d tree of that surface's pixels: surfaces are thin, so that
takes a fraction of a distance transform's time in a volume. Both masks are cropped to the box that holds them, which
changes nothing but the time.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from radlib.errors import RadlibError

PERCENTILE = 95.0


def hd95(predicted: ArrayLike, truth: ArrayLike, spacing_mm: Sequence[float]) -> float:
    """The 95th-percentile symmetric surface distance of two masks of one class, in mm.

    Not every pair has one, and the caller says how many do: NaN when both masks are empty, infinity when one is.

    Args:
        predicted: (H, W) or (D, H, W) booleans.
        truth: the same shape.
        spacing_mm: distance of neighbouring pixels along each axis, in the order of the axes.

    Raises:
        RadlibError: masks that are not boolean, not 2-D or 3-D, or not of one shape; a spacing that is not one positive
            number per axis.
    """
    guess, real = np.asarray(predicted), np.asarray(truth)
    if guess.shape != real.shape or guess.ndim not in (2, 3):
        raise RadlibError(
            f"Masks of shape {guess.shape} and {real.shape} have no surface distance; give two of one 2-D or 3-D shape."
        )
    if guess.dtype != bool or real.dtype != bool:
        raise RadlibError(
            f"Masks of type {guess.dtype} and {real.dtype} are not outlines of one class; compare them with it first, "
            "as in `mask == 1`."
        )
    spacing = tuple(float(step) for step in spacing_mm)
    if len(spacing) != guess.ndim or not all(math.isfinite(step) and step > 0 for step in spacing):
        raise RadlibError(
            f"A pixel spacing of {spacing} mm cannot measure a {guess.ndim}-D mask; give {guess.ndim} positive finite "
            "numbers, from the image's header or, where it has none, (1.0, …) to measure in pixels."
        )
    if not guess.any() or not real.any():
        return math.nan if guess.any() == real.any() else math.inf
    box = bounding_box(guess | real)
    surfaces = [surface(mask[box]) for mask in (guess, real)]
    return max(directed(surfaces[0], surfaces[1], spacing), directed(surfaces[1], surfaces[0], spacing))


def directed(
    start: NDArray[np.bool_], target: NDArray[np.bool_], spacing: Sequence[float], percentile: float = PERCENTILE
) -> float:
    """`percentile` over the pixels of `start` of the distance to the nearest pixel of `target`, in `spacing`'s unit."""
    nearest, _ = cKDTree(np.argwhere(target) * spacing).query(np.argwhere(start) * spacing)
    return float(np.percentile(nearest, percentile))


def surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of `mask` with a nearest neighbour outside it; beyond the array lies background."""
    inside: NDArray[np.bool_] = ndimage.binary_erosion(mask)  # scipy's default is the cross, its border value 0
    return mask & ~inside


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds every true pixel of a `mask` that has some."""
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box
