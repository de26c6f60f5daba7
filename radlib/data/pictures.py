"""PNG, JPEG, TIFF and BMP files: their size from the header, their pixels upright and at full depth."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import ExifTags, Image, ImageFile
from tqdm import tqdm

from radlib import memory
from radlib.data import file_kind, tiff
from radlib.data.raster import Raster, turned_size
from radlib.errors import RadlibError

# What Pillow, tifffile and imagecodecs raise for damaged files, whatever their kind.
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, EOFError),
    *(RuntimeError, AssertionError, struct.error, zlib.error, Image.DecompressionBombError),
)
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow converts to gray
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
# Pillow looks at the content, not at the name: without this list a PostScript program called x.png would be run.
FORMATS = ("PNG", "JPEG", "BMP")  # TIFF is tifffile's: Pillow drops half the bits of 16-bit color
PNG_BITS = 24  # place of the byte with the bits of a sample
INVERTED = np.arange(255, -1, -1)  # a palette that shows 0 as white and 255 as black, as ImageJ's inverting one
BMP_START, BMP_HEAD = 10, 40  # where a BMP says where its pixels start; bytes of the shortest header with compression
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_METADATA = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}
MOST_METADATA = 1 << 20  # bytes of one chunk; EXIF has at most 64 KiB
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
    """`(H, W)` in pixels as shown, from the header alone; None when the file is no picture that can be opened.

    One that claims more than `MOST_PIXELS` cannot be; `read` says so.
    """
    try:
        if tiff.is_tiff(path):
            _check_claim(path, *tiff.stored_size(path))
            return tiff.size(path)
        with _opened(path) as picture:
            return turned_size((picture.height, picture.width), _orientation(path, picture))
    except (*BROKEN, RadlibError):
        return None


def _opened(path: Path) -> ImageFile.ImageFile:
    """The PNG, JPEG or BMP at `path` with only its header read, to be used in a ``with``.

    Raises what `BROKEN` names for what is none, and RadlibError for one that claims more than `MOST_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours comes earlier than Pillow's error
            picture = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise RadlibError(f"{path} claims too many pixels; {TOO_LARGE}") from error
    try:
        _check_claim(path, picture.height, picture.width)
    except RadlibError:
        picture.close()
        raise
    return picture


def _check_claim(path: Path, height: int, width: int) -> None:
    if width * height > MOST_PIXELS or max(width, height) > MOST_ALONG:
        raise RadlibError(f"{path} claims {width:,} x {height:,} pixels; {TOO_LARGE}")


def _orientation(path: Path, picture: Image.Image) -> int:
    """Orientation, 1 to 8, by EXIF or XMP, without decoding: Pillow would decode a PNG to look behind its pixels."""
    if picture.format == "PNG":
        with Image.open(io.BytesIO(_png_metadata(path)), formats=("PNG",)) as one_pixel:
            about = one_pixel.getexif()
    else:
        about = picture.getexif()
    found = about.get(ExifTags.Base.Orientation, 1)
    return found if isinstance(found, int) else 1


def _png_metadata(path: Path) -> bytes:
    """A PNG of one pixel with the metadata (EXIF, XMP, text) of the one at `path`, wherever it stands there."""
    kept = []
    with open(path, "rb", buffering=0) as file:
        file.seek(len(PNG_SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4]), head[4:]
            if kind not in PNG_METADATA or length > MOST_METADATA:
                file.seek(length + 4, os.SEEK_CUR)
                continue
            body = file.read(length + 4)
            if zlib.crc32(kind + body[:-4]) == int.from_bytes(body[-4:]):
                kept.append(head + body)
    pixel = [_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), _chunk(b"IDAT", zlib.compress(b"\0\0"))]
    return b"".join([PNG_SIGNATURE, pixel[0], *kept, pixel[1], _chunk(b"IEND", b"")])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def read(path: Path) -> np.ndarray:
    """A picture -> `(C, H, W)` float32 in its stored units, upright; C 1 when gray (1 to 32 bit), else 3 (RGB).

    Palettes are looked up, 1, 2 and 4 bits are stretched to 255, 32-bit numbers keep 24 significant bits.
    Transparency is dropped. Raises RadlibError for a file that is no whole picture, holds several, has its picture in
    transparency alone, stores its pixels in a way that cannot be read here, or needs more memory than is free.
    """
    return raster(path).image(path)


def raster(path: Path) -> Raster:
    """The picture at `path`, decoded and upright, with its transparency and palette; raises as `read` does."""
    try:
        if tiff.is_tiff(path):
            _check_claim(path, *tiff.stored_size(path))
            return tiff.read(path)
        with warnings.catch_warnings(), _opened(path) as picture:
            warnings.simplefilter("ignore")  # what Pillow warns of it reads all the same, or raises
            memory.check_room(path, picture.width * picture.height * BYTES_A_PIXEL)
            if picture.format == "PNG" and (pages := getattr(picture, "n_frames", 1)) > 1:
                raise RadlibError(f"{path} holds {pages} pictures; save each as a file of its own.")
            return _decoded(path, picture).upright(_orientation(path, picture))
    except BROKEN as error:
        if other := file_kind.misnamed(path):
            raise RadlibError(other) from error
        raise RadlibError(f"{path} is not a whole picture ({error}); export it again as PNG, JPEG or TIFF.") from error


def _decoded(path: Path, picture: ImageFile.ImageFile) -> Raster:
    colorful, zero_is_white, bits = False, picture.mode == "CMYK", 8
    if picture.mode == "P":
        palette = np.array(picture.getpalette("RGB"), dtype=int).reshape(-1, 3)
        colorful = bool((palette != palette[:, :1]).any())
        zero_is_white = np.array_equal(palette, np.repeat(INVERTED[:, None], 3, axis=1))
    if picture.format == "PNG":  # by libpng: Pillow drops half the bits of 16-bit color
        samples = imagecodecs.png_decode(path.read_bytes())
        samples = samples[..., None] if samples.ndim == 2 else samples
        bits = 8 if picture.mode == "P" else min(path.read_bytes()[PNG_BITS], 8)
    elif picture.format == "BMP" and (four := _four_bytes(path.read_bytes())) is not None:
        samples = four
    else:
        gray = picture.mode in ("1", "L") or (picture.mode == "P" and not colorful)
        mode = "L" if gray else "RGBA" if picture.mode == "RGBA" else "RGB"
        samples = np.atleast_3d(np.asarray(picture.convert(mode)))
    channels = samples.transpose(2, 0, 1)
    alpha = None
    if len(channels) in (2, 4):
        alpha = channels[-1] / np.float32(np.iinfo(channels.dtype).max)
        channels = channels[:-1]
    if picture.mode == "P" and not colorful:
        channels = channels[:1]
    places = np.asarray(picture) if colorful else None
    return Raster(channels.astype(np.float32), alpha, places, bits, zero_is_white)


def _four_bytes(stored: bytes) -> np.ndarray | None:
    """A BMP of 32 bits without bit fields -> `(H, W, C)`, C 4 where the last byte varies and so is alpha, else 3.

    Such a header does not say what the fourth byte means: programs leave it empty or write alpha, and Pillow drops it.
    None for a BMP of another kind. Raises ValueError where pixels are missing.
    """
    start, head, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", stored, BMP_START)
    if head < BMP_HEAD or (bits, compression) != (32, 0):
        return None
    samples = np.frombuffer(stored, np.uint8, 4 * width * abs(height), start).reshape(abs(height), width, 4)
    samples = samples[:: 1 if height < 0 else -1, :, [2, 1, 0, 3]]
    return samples if np.ptp(samples[..., 3]) > 0 else samples[..., :3]


def read_gray(path: Path) -> np.ndarray:
    """A radiograph or slice -> `(1, H, W)` float32; colour, which it has by its format alone, becomes luminance.

    A gray picture stored as RGB(A) has equal channels, and its luminance is exactly their value.
    """
    return _gray(read(path))


def _gray(pixels: np.ndarray) -> np.ndarray:
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
    Drawn in alpha, what is opaque is inside (see `Raster.mask`). Raises RadlibError where nothing is 1 or bright, or
    something is below 0: such numbers mean something else than "inside".
    """
    numbers, white = raster(path).mask(path)
    pixels = _gray(numbers)[0]
    low, top = pixels.min(initial=0), pixels.max(initial=0)
    half = (1 if top <= 1 else white) / 2
    if not low >= 0 or 0 < top <= half:  # NaN is refused too
        which = f"largest value is {top:g}" if low >= 0 else f"smallest value is {low:g}"
        raise RadlibError(f"{path} is a mask whose {which}; draw what is inside as 1 or in white, the rest as 0.")
    return pixels > half
