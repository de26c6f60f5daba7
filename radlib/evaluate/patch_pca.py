"""Figure 1: patches of several images of one kind coloured by principal components of their tokens (section 4.5).

As in DINOv2 (Oquab et al. 2023): components of all patches together, of which the first parts body from background;
components of the body's patches again, of which three become red, green and blue. A colour means the same in every
image that was fitted together. Nothing is chosen by hand: Otsu's rule sets the threshold, the side that holds less of
the images' border is the body, and `principal_components.fit` has a rule for signs. Each can be overridden.

Tokens may carry an offset that all patches of an image share. Fitted together as they are, components then tell the
images apart and not their parts; with each image's own mean taken off first ("centred") they tell the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate import otsu, principal_components
from radlib.evaluate.principal_components import Components

Fitting = Literal["centred", "joint", "single"]
Side = Literal["above", "below"]
Scaling = Literal["range", "deviation"]

COMPONENTS = 3
PERCENTILES = (2.0, 98.0)  # of the foreground's scores: what becomes 0 and 1 by "range"
DEVIATIONS = 2.0  # from the mean: what becomes 0 and 1 by "deviation"


@dataclass(frozen=True)
class Fit:
    """One fit of all images, or that of one image.

    `first` are the components of all patches, `second` those of the foreground, which is the `side` of `threshold` on
    the first component. `border` is the share of the images' border patches above the threshold; `between` the share
    of the foreground's variance that lies between the means of the images.
    """

    first: Components
    second: Components
    threshold: float
    side: Side
    border: float
    between: float


@dataclass(frozen=True)
class Picture:
    """What n images of h x w patches became.

    `rgb` (n, h, w, 3) in [0, 1], 0 outside `foreground` (n, h, w). `first` (n, h, w) is component 1 of all patches,
    `scores` (n, h, w, K) are the foreground's, NaN elsewhere. `fits` is one, or one an image.
    """

    rgb: NDArray[np.float64]
    foreground: NDArray[np.bool_]
    first: NDArray[np.float64]
    scores: NDArray[np.float64]
    fits: tuple[Fit, ...]


def picture(
    tokens: Sequence[ArrayLike] | NDArray[np.floating],
    fitting: Fitting = "centred",
    threshold: float | None = None,
    side: Side | None = None,
    flips: Sequence[int] = (),
    scaling: Scaling = "range",
    percentiles: tuple[float, float] = PERCENTILES,
    k: int = COMPONENTS,
) -> Picture:
    """Colours of the patches whose `tokens` are given, (n, h, w, D) or n arrays (h, w, D).

    fitting: ``joint`` (the paper's) fits all images together, ``centred`` does so after each image's own mean was
    taken off, ``single`` fits each image by itself.  threshold: on component 1, in place of Otsu's.  side: of it that
    is foreground, in place of the one with less of the border.  flips: components (from 1) of the second fit to turn
    round.  scaling: to colours, ``range`` of the foreground's `percentiles` or ``deviation``, two of them about the
    mean; what lies outside is cut.  k: components of the second fit, of which the first three become colours.

    Raises RadlibError for images of different grids, fewer patches than components, tokens that are not finite or all
    the same, a threshold outside component 1, and a foreground with too few patches.
    """
    grids = _one_grid(tokens)
    check_options(fitting, flips, scaling, percentiles, side, k)
    n, h, w, _ = grids.shape
    flip = np.where(np.isin(np.arange(1, k + 1), flips), -1.0, 1.0)
    rgb, foreground = np.zeros((n, h, w, 3)), np.zeros((n, h, w), dtype=bool)
    first, scores = np.zeros((n, h, w)), np.full((n, h, w, k), np.nan)
    fits = []
    for part in [slice(i, i + 1) for i in range(n)] if fitting == "single" else [slice(None)]:
        fit, first[part], body, found = _fit(grids[part], fitting == "centred", threshold, side, k)
        foreground[part] = body
        scores[part][body] = found * flip
        rgb[part][body] = _colours((found * flip)[:, :3], scaling, percentiles)
        fits.append(fit)
    return Picture(rgb, foreground, first, scores, tuple(fits))


def _fit(
    grids: NDArray[np.float64], centred: bool, threshold: float | None, side: Side | None, k: int
) -> tuple[Fit, NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Both fits of `grids` (n, h, w, D); component 1 and foreground (n, h, w), and the foreground's scores (M, K)."""
    everything = np.ones(grids.shape[:3], dtype=bool)
    patches = _less_own_mean(grids, everything) if centred else grids.reshape(-1, grids.shape[-1])
    components = principal_components.fit(patches, COMPONENTS)
    first = components.scores(patches)[:, 0].reshape(everything.shape)
    low, high = float(first.min()), float(first.max())
    cut = otsu.threshold(first) if threshold is None else float(threshold)
    if not low <= cut < high:
        raise RadlibError(f"Threshold {cut:g} lies outside component 1, which runs from {low:.3g} to {high:.3g}.")
    above = first > cut
    border = float(above[:, border_of(*above.shape[1:])].mean())
    chosen: Side = side or less_of_the_border(above)
    foreground = above if chosen == "above" else ~above
    if foreground.sum() <= k:
        raise RadlibError(
            f"Only {foreground.sum()} patches lie {chosen} threshold {cut:.3g}; move it, or take the other side."
        )
    own = _less_own_mean(grids, foreground)
    body = grids[foreground]
    second = principal_components.fit(own if centred else body, k)
    total = float(body.var(axis=0).sum())
    between = 1 - float((own**2).sum()) / len(own) / total if total > 0 else 0.0
    fit = Fit(components, second, cut, chosen, border, max(between, 0.0))
    return fit, first, foreground, second.scores(own if centred else body)


def _less_own_mean(grids: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The `chosen` (n, h, w) patches of `grids` (n, h, w, D) less the mean of those of the same image, (M, D)."""
    parts = [grid[mask] for grid, mask in zip(grids, chosen, strict=True) if mask.any()]
    return np.concatenate([part - part.mean(axis=0) for part in parts])


def less_of_the_border(above: NDArray[np.bool_]) -> Side:
    """The side of a threshold that fewer of the border's patches lie on; the smaller side if they are as many.

    `above` (n, h, w): which patches lie above it.
    """
    for part in (above[:, border_of(*above.shape[1:])], above):
        high, low = int(part.sum()), int((~part).sum())
        if high != low:
            return "above" if high < low else "below"
    return "above"


def border_of(h: int, w: int) -> NDArray[np.bool_]:
    """The outermost patches of a grid, (h, w)."""
    border = np.ones((h, w), dtype=bool)
    border[1:-1, 1:-1] = False
    return border


def _colours(scores: NDArray[np.float64], scaling: Scaling, percentiles: tuple[float, float]) -> NDArray[np.float64]:
    """Scores (N, 3) of the foreground to [0, 1]."""
    if scaling == "range":
        low, high = np.percentile(scores, percentiles, axis=0)
    else:
        mean, spread = scores.mean(axis=0), DEVIATIONS * scores.std(axis=0)
        low, high = mean - spread, mean + spread
    width = np.where(high > low, high - low, 1)
    return np.clip((scores - low) / width, 0, 1)


def _one_grid(tokens: Sequence[ArrayLike] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Tokens as one array (n, h, w, D) float64."""
    images = [np.asarray(image) for image in tokens]
    if not images:
        raise RadlibError("There is no image to colour; name at least one.")
    for number, image in enumerate(images, start=1):
        if image.ndim != 3:
            raise RadlibError(f"Tokens of image {number} have shape {image.shape}; a grid (h, w, D) is expected.")
        if image.shape != images[0].shape:
            grids = " and ".join("{} x {} patches of width {}".format(*one.shape) for one in (images[0], image))
            raise RadlibError(f"Images 1 and {number} differ: {grids}; compute all at one size by one backbone.")
    return np.stack(images).astype(np.float64)


def check_options(
    fitting: str,
    flips: Sequence[int],
    scaling: str,
    percentiles: tuple[float, float],
    side: str | None = None,
    k: int = COMPONENTS,
) -> None:
    """Raise RadlibError for what `picture` could not do with any tokens."""
    if fitting not in ("centred", "joint", "single"):
        raise RadlibError(f"Fitting '{fitting}' is none of 'centred', 'joint' and 'single'.")
    wrong = [flip for flip in flips if flip not in range(1, k + 1)]
    if wrong:
        raise RadlibError(f"There is no component {wrong[0]} to flip; components are 1 to {k}.")
    if scaling not in ("range", "deviation"):
        raise RadlibError(f"Scaling '{scaling}' is neither 'range' nor 'deviation'.")
    if side not in (None, "above", "below"):
        raise RadlibError(f"Side '{side}' is neither 'above' nor 'below'.")
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise RadlibError(f"Percentiles {percentiles} do not rise between 0 and 100.")
    if k < COMPONENTS:
        raise RadlibError(f"{k} components cannot become three colours; ask for {COMPONENTS} or more.")
