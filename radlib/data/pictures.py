"""PNG, JPEG and TIFF files: their size from the header, their pixels in stored units."""

from pathlib import Path

import numpy as np
from PIL import Image

from radlib.errors import RadlibError

GRAY_MODES = {"1", "L", "I", "I;16", "I;16L", "I;16B", "F", "LA", "La"}


def size(path: Path) -> tuple[int, int] | None:
    """`(H, W)` in pixels from the header alone; None when the file is no picture Pillow can open."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def read(path: Path) -> np.ndarray:
    """A picture Pillow can open -> `(C, H, W)` float32 in its stored units; C 1 when gray (8 to 32 bit), else 3 (RGB).

    Palettes are looked up; transparency is dropped, since a radiograph's alpha carries no tissue.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode in GRAY_MODES:
                gray = picture.convert("L") if picture.mode in ("1", "LA", "La") else picture
                return np.asarray(gray, dtype=np.float32)[None]
            return np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise RadlibError(f"{path} is not a whole picture ({error}); export it again as PNG, JPEG or TIFF.") from error
