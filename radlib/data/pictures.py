"""PNG, JPEG and TIFF files: their size from the header, their pixels in stored units."""

import os
import struct
import warnings
import zlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from radlib import memory
from radlib.errors import RadlibError

# What Pillow raises for damaged files, whatever their kind.
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow converts to gray
GRAY_MODES = {"1", "L", "I", "I;16", "I;16L", "I;16B", "F", "LA", "La"}


SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
# Pillow looks at the content, not at the name: without this list a PostScript program called x.png would be run.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
PAGED = ("TIFF", "PNG")  # a JPEG may carry a preview as a second picture, which is none of its own
MOST_PIXELS = 10**8  # a scanned film has a tenth of that; more is a bomb or a slide of a microscope
MOST_ALONG = 2**16 - 1  # along one side: what DICOM and JPEG can say
TOO_LARGE = "its header is damaged or it is no radiograph: take the file again or export it smaller."
BYTES_A_PIXEL = 24  # while it is read: as stored, as RGB, as float32, and a copy of each half
FEW = 500  # files below which no progress bar is worth its line


def below(root: Path) -> Iterator[str]:
    """Pictures below `root` as POSIX paths from it, in order of name; linked folders are entered, each once.

    Hidden files (such as macOS leaves beside unpacked ones) are no pictures. Raises RadlibError for a folder that may
    not be listed and for a name that is not UTF-8, as archives from other systems leave: neither is passed over.
    """
    entered = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
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
                found = prefix + name
                if not found.isascii():
                    _check_utf8(root, found)
                yield found


def _refuse(error: OSError) -> None:
    raise RadlibError(f"{error.filename} cannot be listed ({error.strerror}); mend its permissions.") from error


def _check_utf8(root: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise RadlibError(f"{root} holds {ascii(name)}, whose name is not UTF-8; rename it.") from error


def sizes(root: Path, names: Sequence[str], progress: bool = True) -> list[tuple[int, int] | None]:
    """`size` of every picture `names` below `root`, headers read by several threads."""
    with ThreadPoolExecutor(8) as pool:  # waiting for the disk, not computing
        found = pool.map(lambda name: size(root / name), names)
        return list(tqdm(found, "reading headers", len(names), unit="file", disable=not progress or len(names) < FEW))


def size(path: Path) -> tuple[int, int] | None:
    """`(H, W)` in pixels from the header alone; None when the file is no picture that can be opened.

    One that claims more than `MOST_PIXELS` cannot be; `read` says so.
    """
    try:
        with opened(path) as picture:
            return picture.height, picture.width
    except (*BROKEN, RadlibError):
        return None


def opened(path: Path) -> Image.Image:
    """The picture at `path` with only its header read, to be used in a ``with``.

    Raises what `BROKEN` names for what is none, and RadlibError for one that claims more than `MOST_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours comes earlier than Pillow's error
            picture = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise RadlibError(f"{path} claims too many pixels; {TOO_LARGE}") from error
    width, height = picture.size
    if width * height > MOST_PIXELS or max(width, height) > MOST_ALONG:
        picture.close()
        raise RadlibError(f"{path} claims {width:,} x {height:,} pixels; {TOO_LARGE}")
    return picture


def read(path: Path) -> np.ndarray:
    """A picture Pillow can open -> `(C, H, W)` float32 in its stored units; C 1 when gray (8 to 32 bit), else 3 (RGB).

    Palettes are looked up; transparency is dropped, since a radiograph's alpha carries no tissue.
    Raises RadlibError for a file that is no whole picture, holds several, or needs more memory than is free.
    """
    try:
        with warnings.catch_warnings(), opened(path) as picture:
            warnings.simplefilter("ignore")  # what Pillow warns of it reads all the same, or raises
            memory.check_room(path, picture.width * picture.height * BYTES_A_PIXEL)
            if (pages := getattr(picture, "n_frames", 1)) > 1 and picture.format in PAGED:
                raise RadlibError(f"{path} holds {pages} pictures; save each as a file of its own.")
            if picture.mode in GRAY_MODES:
                gray = picture.convert("L") if picture.mode in ("1", "LA", "La") else picture
                return np.asarray(gray, dtype=np.float32)[None]
            return np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)
    except BROKEN as error:
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
    """A mask drawn as a picture -> `(H, W)` bool: true above half of white, which is 255, or 65535 in 16 bit.

    A mask that was resized with interpolation has gray borders, which half splits; one of 0 and 1 is taken as drawn.
    Raises RadlibError where nothing is 1 or bright: such numbers mean something else than "inside".
    """
    pixels = read_gray(path)[0]
    top = pixels.max(initial=0)
    half = 0 if top <= 1 else 127 if top <= 255 else 32767
    if 0 < top <= half:
        raise RadlibError(f"{path} is a mask whose largest value is {top:g}; draw what is inside as 1 or in white.")
    return pixels > half
