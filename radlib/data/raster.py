"""A decoded picture (colors, transparency, palette), and what an image and a mask take from it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from radlib.errors import RadlibError

WHITE = 255  # of 8 bits; fewer bits are stretched to it
DEEP_WHITE = 65535  # of 16 bits
ROWS_FLIPPED, COLUMNS_FLIPPED, TRANSPOSED = {3, 4, 7, 8}, {2, 3, 6, 7}, {5, 6, 7, 8}  # EXIF 2.32 and TIFF 6.0, tag 274


@dataclass(frozen=True)
class Raster:
    """One picture as stored.

    Attributes:
        colors: `(C, H, W)` float32, C 1 (gray) or 3 (RGB), not multiplied by alpha: 0 to 255 for 8 bits and fewer, the
            stored numbers for more.
        alpha: `(H, W)` float32, 0 transparent to 1 opaque; None where the file has no transparency.
        places: `(H, W)` positions in a palette that has colors; None for gray palettes and without a palette.
        bits: bits a stored gray sample has, 1 to 7 where `colors` are stretched from them; 8 for 8 and more.
        zero_is_white: whether the file stores white as 0, as WhiteIsZero and CMYK do, and `colors` are inverted.
    """

    colors: np.ndarray
    alpha: np.ndarray | None = None
    places: np.ndarray | None = None
    bits: int = 8
    zero_is_white: bool = False

    def upright(self, orientation: int) -> "Raster":
        """The picture as viewers show it; `orientation` is tag 274 (1 to 8; any other number counts as 1)."""
        alpha = None if self.alpha is None else _upright(self.alpha, orientation)
        places = None if self.places is None else _upright(self.places, orientation)
        return replace(self, colors=_upright(self.colors, orientation), alpha=alpha, places=places)

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

    def mask(self, path: Path) -> tuple[np.ndarray, int]:
        """Numbers `(C, H, W)` of a mask as the file stores them, and the number that is white.

        The numbers are the mask's colors, the positions in its palette, or what is drawn in alpha: if alpha varies and
        the color does not, the opaque part is the drawing, 0 to 255. If both vary, the picture over black is taken.
        White is 1, 3 or 15 in 1, 2 and 4 bits, 255, or 65535 where a number is larger than that.

        Raises RadlibError, naming `path`, if it is open whether 0 is the background (white stored as 0, a palette whose
        first color is not black), or if colors and alpha disagree.
        """
        if self.zero_is_white:
            raise RadlibError(
                f"{path} is a mask that stores white as 0 (PhotometricInterpretation), so it is open whether 0 is "
                "inside; save it with black as 0 (BlackIsZero)."
            )
        numbers, white = self._drawn(path)
        return numbers, white if numbers.max(initial=0) <= white else DEEP_WHITE

    def _drawn(self, path: Path) -> tuple[np.ndarray, int]:
        white, alpha = (1 << self.bits) - 1, self.alpha
        numbers = self.colors if self.places is None else self.places[None]
        if white < WHITE and self.places is None:
            numbers = np.rint(numbers * (white / WHITE))
        if alpha is None or (np.ptp(alpha) == 0 and alpha.max(initial=0) > 0):
            if self.places is not None and self.colors[:, self.places == 0].any():
                raise RadlibError(
                    f"{path} is a mask with a palette whose color 0 is not black, so it is open whether 0 is the "
                    "background; save it in gray, one number a class."
                )
            return numbers, white
        if not np.ptp(self.colors, axis=(1, 2)).any():
            return np.rint(WHITE * alpha)[None], WHITE
        if not numbers[:, alpha == 0].any():
            partly = numbers[:, (alpha > 0) & (alpha < 1)]
            drawn = numbers[numbers > 0]
            if not partly.any():
                return numbers, white
            if self.places is None and drawn.min() == drawn.max():  # one structure with soft borders
                return np.asarray(np.rint(numbers * alpha)), white
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
