"""A decoded picture (colors, transparency, palette), and what an image and a mask take from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radlib.errors import RadlibError

WHITE = 255  # of 8 bits; fewer bits are stretched to it
ROWS_FLIPPED, COLUMNS_FLIPPED, TRANSPOSED = {3, 4, 7, 8}, {2, 3, 6, 7}, {5, 6, 7, 8}  # EXIF 2.32 and TIFF 6.0, tag 274


@dataclass(frozen=True)
class Raster:
    """One picture as stored.

    Attributes:
        colors: `(C, H, W)` float32, C 1 (gray) or 3 (RGB), not multiplied by alpha: 0 to 255 for 8 bits and fewer, the
            stored numbers for more.
        alpha: `(H, W)` float32, 0 transparent to 1 opaque; None where the file has no transparency.
        places: `(H, W)` positions in a palette that has colors; None for gray palettes and without a palette.
    """

    colors: np.ndarray
    alpha: np.ndarray | None = None
    places: np.ndarray | None = None

    def upright(self, orientation: int) -> "Raster":
        """The picture as viewers show it; `orientation` is tag 274 (1 to 8; any other number counts as 1)."""
        alpha = None if self.alpha is None else _upright(self.alpha, orientation)
        places = None if self.places is None else _upright(self.places, orientation)
        return Raster(_upright(self.colors, orientation), alpha, places)

    def image(self, path: Path) -> np.ndarray:
        """Pixels `(C, H, W)` of an image.

        Alpha is dropped: it carries no tissue. Raises RadlibError, naming `path`, if it is all there is to see.
        """
        flat = not np.ptp(self.colors, axis=(1, 2)).any()
        if flat and self.alpha is not None and np.ptp(self.alpha) > 0:
            raise RadlibError(
                f"{path} has one color throughout and its picture in transparency (alpha); flatten it and save it "
                "without transparency."
            )
        return self.colors

    def mask(self, path: Path) -> np.ndarray:
        """Numbers `(C, H, W)` of a mask: its colors, the positions in its palette, or what is drawn in alpha.

        If alpha varies and the color does not, the opaque part is the drawing, 0 to 255. If both vary, the picture over
        black is taken. Raises RadlibError, naming `path`, if colors and alpha tell different stories.
        """
        numbers = self.colors if self.places is None else self.places[None]
        alpha = self.alpha
        if alpha is None or (np.ptp(alpha) == 0 and alpha.max(initial=0) > 0):
            return numbers
        if not np.ptp(self.colors, axis=(1, 2)).any():
            return np.rint(WHITE * alpha)[None]
        if not numbers[:, alpha == 0].any():
            partly = numbers[:, (alpha > 0) & (alpha < 1)]
            drawn = numbers[numbers > 0]
            if not partly.any():
                return numbers
            if self.places is None and drawn.min() == drawn.max():  # one structure with soft borders
                return np.asarray(np.rint(numbers * alpha))
        raise RadlibError(
            f"{path} is a mask whose colors and transparency (alpha) do not agree on what is inside; save it in gray "
            "without transparency."
        )


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """`(H, W)` as shown of a picture stored as `size` `(H, W)`; `orientation` is tag 274."""
    return (size[1], size[0]) if orientation in TRANSPOSED else size


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    array = array.swapaxes(-1, -2) if orientation in TRANSPOSED else array
    array = array[..., ::-1, :] if orientation in ROWS_FLIPPED else array
    return np.ascontiguousarray(array[..., ::-1] if orientation in COLUMNS_FLIPPED else array)
