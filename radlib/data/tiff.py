"""TIFF files, read by tifffile: every bit depth, sign, compression and layout, in the sense their header gives."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from radlib import memory
from radlib.data.raster import WHITE, Raster, turned_size
from radlib.errors import RadlibError

MAGIC = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}  # classic and BigTIFF, either byte order
SAMPLES = {  # PhotometricInterpretation -> samples a pixel, without ExtraSamples (TIFF 6.0)
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.PALETTE: 1,
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.YCBCR: 3,
    tifffile.PHOTOMETRIC.SEPARATED: 4,
}
ZERO_IS_WHITE = {tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.SEPARATED}
JPEG = {6, 7, 33007, 34892}  # compressions whose decoder turns YCbCr into RGB
MOST_EXTRA = 4  # samples a pixel beyond gray or color
MOST_TILE = 1 << 24  # pixels of a tile, which is decoded whole; common ones have 2**16
BYTES_A_PIXEL = 24  # while it is read, besides the samples themselves
PALETTE_SCALE = 257  # palettes hold 16 bits an entry: 65535 is 255

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its warnings are raised here or harmless


def is_tiff(path: Path) -> bool:
    """Whether the file begins as a TIFF does, whatever it is called; raises OSError where it cannot be opened."""
    with open(path, "rb") as file:
        return file.read(4) in MAGIC


def stored_size(path: Path) -> tuple[int, int]:
    """`(H, W)` in pixels as stored, from the header alone; raises what tifffile raises for a damaged one."""
    with _page(path) as page:
        return int(page.imagelength), int(page.imagewidth)  # damage may have made a text of them


def size(path: Path) -> tuple[int, int]:
    """`(H, W)` in pixels as shown (the Orientation tag counts), from the header alone."""
    with _page(path) as page:
        return turned_size((int(page.imagelength), int(page.imagewidth)), _orientation(page))


def read(path: Path) -> Raster:
    """The picture at `path`, upright, at full depth; white is bright, also where the file stores it as 0.

    Raises RadlibError, naming the file and the field: several pictures, a color space or a kind of number that is not
    read, an extra channel without a meaning, or a file that is cut short. Damage raises what tifffile raises.
    """
    with _page(path) as page:
        file = page.parent
        about = (file.imagej_metadata or {}) if len(file.pages) == 1 else {}
        if (pages := max(len(file.pages), int(about.get("images", 1)), page.imagedepth)) > 1:
            raise RadlibError(f"{path} holds {pages} pictures; save each as a file of its own.")
        _check(path, page)
        memory.check_room(path, page.nbytes + page.imagelength * page.imagewidth * BYTES_A_PIXEL)
        stored = page.asarray(squeeze=False, maxworkers=1)  # (planes, 1, H, W, samples)
        samples = stored[:, 0, :, :, 0] if stored.shape[0] > 1 else stored[0, 0].transpose(2, 0, 1)
        color, extra = np.split(samples, [SAMPLES[page.photometric]])
        places = None
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            palette = np.asarray(page.colormap, dtype=np.float32)
            palette /= PALETTE_SCALE if palette.max() > WHITE else 1
            places = color[0] if (palette != palette[:1]).any() else None
            color = palette[:, color[0]] if places is not None else palette[:1, color[0]]
        else:
            color = _light(color, page)
        alpha = _alpha(path, page, extra)
        associated = page.extrasamples[:1] == (tifffile.EXTRASAMPLE.ASSOCALPHA,)
        if alpha is not None and associated:
            color = np.where(alpha > 0, color / np.where(alpha > 0, alpha, 1), 0)
            color = np.rint(color) if samples.dtype.kind == "u" else color  # whole numbers before, and again
        bits = 8 if page.photometric == tifffile.PHOTOMETRIC.PALETTE else min(page.bitspersample, 8)
        inverted = page.photometric in ZERO_IS_WHITE
        return Raster(np.asarray(color, np.float32), alpha, places, bits, inverted).upright(_orientation(page))


@contextmanager
def _page(path: Path) -> Iterator[tifffile.TiffPage]:
    with tifffile.TiffFile(path) as file:
        yield file.pages.first


def _orientation(page: tifffile.TiffPage) -> int:
    return int(page.tags.valueof(274, default=1))


def _check(path: Path, page: tifffile.TiffPage) -> None:
    """Raise RadlibError for what the header says and cannot be read here, and for a file that ends too early."""
    photometric = page.photometric
    if 262 not in page.tags:
        raise RadlibError(
            f"{path} does not say whether 0 is black or white (PhotometricInterpretation); export it again."
        )
    if isinstance(page.bitspersample, tuple):
        bits = ", ".join(map(str, page.bitspersample))
        raise RadlibError(f"{path} has {bits} bits a sample (BitsPerSample); save it with as many for each.")
    if photometric not in SAMPLES or (photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression not in JPEG):
        name = getattr(photometric, "name", photometric)
        raise RadlibError(
            f"{path} has the color space {name} (PhotometricInterpretation), which cannot be read here; save it in "
            "gray or RGB."
        )
    if page.dtype is None or page.dtype.kind not in "buif":
        raise RadlibError(
            f"{path} holds {page.bitspersample} bits a sample of kind {page.sampleformat} (BitsPerSample, "
            "SampleFormat), which cannot be read here; save it as whole or real numbers of 8, 16 or 32 bits."
        )
    if not 0 <= page.samplesperpixel - SAMPLES[photometric] <= MOST_EXTRA:
        raise RadlibError(
            f"{path} has {page.samplesperpixel} samples a pixel (SamplesPerPixel); save it in gray or RGB."
        )
    if page.tilelength * page.tilewidth > MOST_TILE:
        raise RadlibError(
            f"{path} has tiles of {page.tilewidth:,} x {page.tilelength:,} pixels (TileWidth, TileLength); its header "
            "is damaged: export it again."
        )
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not all(page.databytecounts) or max(ends, default=0) > page.parent.filehandle.size:
        raise RadlibError(f"{path} is not a whole picture (pixels are missing); export it again as PNG, JPEG or TIFF.")


def _light(color: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Gray or RGB, more is brighter, fewer than 8 bits stretched to 255; of inks what they leave of white."""
    bits, signed = page.bitspersample, color.dtype.kind == "i"
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and color.dtype.kind == "f":
        color = color.astype(np.float64)  # half precision would round the sum
        color = color.min() + color.max() - color
    elif page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        color = ~color if signed or color.dtype.kind == "b" else color.dtype.type((1 << bits) - 1) - color
    light = color.astype(np.float32) * (WHITE / ((1 << bits) - 1) if bits < 8 else 1)
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        most = np.float32(np.iinfo(color.dtype).max if color.dtype.kind in "iu" else 1)
        light = (most - light[:3]) * (most - light[3]) / most
    return light


def _alpha(path: Path, page: tifffile.TiffPage, extra: np.ndarray) -> np.ndarray | None:
    """Transparency `(H, W)` from 0 to 1: the first of the `extra` samples (E, H, W), also where its kind is not given.

    Raises RadlibError for further ones that are not the same everywhere.
    """
    has_alpha = len(extra) > 0 and extra.dtype.kind in "buf"
    if any(np.ptp(one.astype(np.float32)) > 0 for one in extra[int(has_alpha) :]):
        raise RadlibError(f"{path} has extra channels (ExtraSamples); save it in gray or RGB alone.")
    if not has_alpha:
        return None
    most = 1 if extra.dtype.kind in "bf" else (1 << page.bitspersample) - 1
    return np.asarray(extra[0] / np.float32(most), dtype=np.float32)
