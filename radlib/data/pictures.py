"""PNG, JPEG and TIFF files: their size from the header, their pixels in stored units."""

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from radlib.errors import RadlibError

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow converts to gray
GRAY_MODES = {"1", "L", "I", "I;16", "I;16L", "I;16B", "F", "LA", "La"}


SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
FEW = 500  # files below which no progress bar is worth its line


def below(root: Path) -> Iterator[str]:
    """Pictures below `root` as POSIX paths from it, in order of name; linked folders are entered, each once.

    Hidden files (such as macOS leaves beside unpacked ones) are no pictures.
    """
    entered = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:  # a link back to where we are would never end
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        here = Path(folder).relative_to(root).as_posix()
        prefix = "" if here == "." else f"{here}/"
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield prefix + name


def sizes(root: Path, names: Sequence[str], progress: bool = True) -> list[tuple[int, int] | None]:
    """`size` of every picture `names` below `root`, headers read by several threads."""
    with ThreadPoolExecutor(8) as pool:  # waiting for the disk, not computing
        found = pool.map(lambda name: size(root / name), names)
        return list(tqdm(found, "reading headers", len(names), unit="file", disable=not progress or len(names) < FEW))


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


def read_gray(path: Path) -> np.ndarray:
    """A radiograph or slice -> `(1, H, W)` float32; colour, which it has by its format alone, becomes luminance.

    A gray picture stored as RGB(A) has equal channels, and its luminance is exactly their value.
    """
    pixels = read(path)
    if len(pixels) == 1:
        return pixels
    if (pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all():
        return pixels[:1]
    return np.tensordot(LUMINANCE, pixels, 1)[None]


def read_sample(root: Path, row: Mapping[Hashable, Any]) -> np.ndarray:
    """The gray picture that a row of a dataset's samples names in ``image``, as `Dataset.read_image` wants it."""
    return read_gray(root / row["image"])


def read_mask(path: Path) -> np.ndarray:
    """A mask drawn as a picture -> `(H, W)` bool: true above half of the largest value its type can hold.

    A mask that was resized with interpolation has gray borders, which half splits; one of 0 and 1 is taken as drawn.
    """
    pixels = read_gray(path)[0]
    top = pixels.max(initial=0)
    return pixels > (0 if top <= 1 else 127 if top <= 255 else 32767)
