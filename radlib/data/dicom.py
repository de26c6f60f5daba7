"""DICOM files: their frames from the header, their pixels in the units the file says (HU for CT)."""

import io
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.filereader import read_partial
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, pixel_array

from radlib.data import pictures
from radlib.errors import RadlibError

INTEGERS = 0x7FE00010
# What says how pixels are stored (C.7.6.3.1, all type 1); without them a decoder would guess.
REQUIRED = ("PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated")
REQUIRED_OF_INTEGERS = ("BitsStored", "PixelRepresentation")
PIXELS = {0x7FE00008, 0x7FE00009, INTEGERS}  # float, double and integer pixel data (DICOM part 3, C.7.6.3, C.7.6.24)
# What a frame's values mean; in enhanced CT and MR every frame may have its own (DICOM part 3, C.7.6.16.2.9).
SHARED, PER_FRAME = 0x52009229, 0x52009230
SHAPE = 0x20500020  # Presentation LUT Shape
# Color spaces that pydicom decodes (part 3, C.7.6.3.1.2), and the shape that says the same (C.8.11.3)
COLOR_SPACES = {"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
PADDING = (  # value and other end of the range of padding, by kind of pixels (C.7.5.1.1.2, C.7.6.16.2.1)
    ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
)
DEFLATED = pydicom.uid.DeflatedExplicitVRLittleEndian
ALWAYS_LOSSY = {pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEGExtended12Bit, pydicom.uid.JPEGLSNearLossless}
MAYBE_LOSSY = {pydicom.uid.JPEG2000, pydicom.uid.JPEG2000MC, pydicom.uid.HTJ2K}
UNDEFINED = 0xFFFFFFFF  # length of compressed pixel data
MOST_FRAMES = 2**15  # of one file; a cine loop or an enhanced CT has some thousands
LEAST_OF_FRAME = 8  # bytes that the smallest compressed frame takes: the head of its item
MOST_DEFLATED = 1 << 28  # bytes that may come out of a deflated file; pydicom holds them all
BLOCK = 1 << 14  # bytes unpacked at once: at most a thousand times as many come out
PIXELS_HEAD = 12  # bytes before compressed pixels: tag, kind, two reserved, length (DICOM part 5, 7.1.2)
FIRST_GROUP = 128 + 4 + 12  # bytes before what the length of the first group counts: preamble, DICM, that length itself


def frames(path: Path) -> tuple[int, int, int]:
    """Frames, rows and columns of the image in `path`, no pixel read.

    Raises RadlibError, naming the file: no DICOM file, one without an image or cut short, or pixels that are compressed
    in a way that cannot be decoded here.
    """
    lengths: list[int] = []  # of the pixel data: as the file says, and as it still holds

    integers = False

    def at_pixels(tag: int, kind: str | None, length: int) -> bool:
        nonlocal integers
        if tag in PIXELS:
            lengths.extend((length, os.fstat(file.fileno()).st_size - file.tell()))
            integers = tag == INTEGERS
        return bool(lengths)

    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")
            _check_deflated(path)
            about = read_partial(file, stop_when=at_pixels)
            shape = int(about.get("NumberOfFrames") or 1), int(about.get("Rows") or 0), int(about.get("Columns") or 0)
            bits = int(about.get("BitsAllocated") or 0) * int(about.get("SamplesPerPixel") or 1)
            syntax = about.file_meta.get("TransferSyntaxUID")
            kind = str(about.get("Modality", ""))
    except RadlibError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise RadlibError(f"{path} is no whole DICOM file; export it again.") from error
    if min(shape) < 1 or not lengths:
        known = kind if len(kind) <= 16 and kind.isalnum() else "unknown kind"  # CT, MR, SR, ...; a damaged one is long
        raise RadlibError(f"{path} is a DICOM file without an image ({known}); delete its row or name an image.")
    if shape[0] > MOST_FRAMES or shape[1] * shape[2] > pictures.MOST_PIXELS:
        raise RadlibError(
            f"{path} claims {shape[0]:,} frames of {shape[2]:,} x {shape[1]:,} pixels; its header is damaged or it is "
            "no radiograph: export it again."
        )
    _check_decodable(path, syntax)
    for name in REQUIRED + REQUIRED_OF_INTEGERS if integers else REQUIRED:
        if about.get(name) is None:
            raise RadlibError(f"{path} has no {name} in its header; add it or export the file again.")
    _check_meaning(path, about, mask=False)
    promised = shape[0] * shape[1] * shape[2] * bits // 8
    if about.get("PhotometricInterpretation") == "YBR_FULL_422":
        promised = promised * 2 // 3  # colour is stored for every second pixel
    said, held = lengths
    if said == UNDEFINED and held < shape[0] * LEAST_OF_FRAME:
        raise RadlibError(f"{path} holds fewer frames than its header promises; export it again.")
    if said != UNDEFINED and (said < promised or (not syntax.is_deflated and held < promised)):
        raise RadlibError(f"{path} holds fewer pixels than its header promises; export it again.")
    return shape


def read(path: Path, frame: int = 0, mask: bool = False) -> np.ndarray:
    """Frame `frame` as pixels `(C, H, W)` float32 in the units of its Modality LUT, bright where tissue is dense.

    C is 1, or 3 where the file has color or a palette. MONOCHROME1 frames, whose dense parts are stored dark, are
    inverted. Padding (PixelPaddingValue to PixelPaddingRangeLimit) becomes the lowest value of the rest, as air, or 0
    in a mask. Windows (VOI LUT), overlays, PixelAspectRatio and patient orientation are not applied.

    Raises RadlibError, naming the file and the field: pixels that are missing, cut short or compressed in a way that
    cannot be decoded here, a color space that is not read, fields that contradict each other, padding blurred by lossy
    compression, a MONOCHROME1 mask.
    """
    _check_packed_size(path, frame)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored, about = _stored(path, frame)
            _check_meaning(path, about, mask)
            pixels = _used_bits(path, stored, about)
            if pixels.ndim == 2 and about.PhotometricInterpretation != "PALETTE COLOR":
                return _gray(path, pixels, _padding(path, stored, pixels, about), about, frame, mask)[None]
            if pixels.ndim == 2:
                pixels = apply_color_lut(pixels, about)
    except RadlibError:
        raise
    except Exception as error:  # decoders and damaged files raise many kinds
        why = " ".join(str(error).split())[:160]
        raise RadlibError(
            f"{path}: its pixels cannot be read ({why}); export it again, without compression if it has any."
        ) from error
    if pixels.shape[2] != 3:
        raise RadlibError(f"{path} has {pixels.shape[2]} values a pixel; save it in gray or in color (RGB).")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def _stored(path: Path, frame: int) -> tuple[np.ndarray, pydicom.Dataset]:
    """The numbers of `frame` before any bit is masked, and what the header says of them."""
    if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED:
        about = pydicom.dcmread(path)  # pydicom finds pixels by their place, which a deflated file does not have
        return pixel_array(about, index=frame, correct_unused_bits=False), about
    about = pydicom.dcmread(path, specific_tags=["BitsAllocated"], stop_before_pixels=True)
    if about.get("BitsAllocated") == 1:
        about = pydicom.dcmread(path)  # frames of bits follow each other within a byte, which reading one overlooks
        frames = pixel_array(about)
        return (frames[frame] if frames.ndim == 3 else frames), about
    about = pydicom.Dataset()
    tags = [SHARED, PER_FRAME, SHAPE]
    return pixel_array(path, ds_out=about, index=frame, specific_tags=tags, correct_unused_bits=False), about


def _gray(
    path: Path, pixels: np.ndarray, padded: np.ndarray, about: pydicom.Dataset, frame: int, mask: bool
) -> np.ndarray:
    """`(H, W)` float32 in the file's units, `padded` pixels out of the way."""
    values = np.asarray(_in_units(path, pixels, _meaning(about, frame)), dtype=np.float32)
    inside = values if padded.all() else values[~padded]
    low, high = inside.min(), inside.max()
    if about.PhotometricInterpretation == "MONOCHROME1":
        values = low + high - values
    return np.where(padded, 0 if mask else low, values).astype(np.float32)


def _check_meaning(path: Path, about: pydicom.Dataset, mask: bool) -> None:
    """Raise RadlibError where the header leaves open what the numbers of the pixels mean."""
    space, shape = str(about.get("PhotometricInterpretation")), str(about.get("PresentationLUTShape") or "")
    if space not in COLOR_SPACES | SHAPES.keys():
        raise RadlibError(
            f"{path} has the color space {space[:16]} (PhotometricInterpretation), which cannot be read here; save it "
            "in gray or RGB."
        )
    if shape in SHAPES.values() and SHAPES.get(space, shape) != shape:
        raise RadlibError(
            f"{path} has PhotometricInterpretation {space} and PresentationLUTShape {shape}, which contradict each "
            "other; correct the one that is wrong."
        )
    if mask and space == "MONOCHROME1":
        raise RadlibError(
            f"{path} is a mask whose PhotometricInterpretation is MONOCHROME1, so it is open whether 0 is inside; save "
            "it as MONOCHROME2."
        )


def _used_bits(path: Path, stored: np.ndarray, about: pydicom.Dataset) -> np.ndarray:
    """The BitsStored bits below and with HighBit, with their sign; what lies in the others, as overlays, is left out.

    Whole numbers that were not compressed as JPEG, whose decoders give pixels alone.
    """
    syntax, allocated = about.file_meta.TransferSyntaxUID, int(about.BitsAllocated)
    if stored.dtype.kind not in "iu" or allocated < 8 or (syntax.is_encapsulated and syntax != pydicom.uid.RLELossless):
        return stored
    used = int(about.get("BitsStored") or allocated)
    high = int(about.get("HighBit") or used - 1)
    if not used - 1 <= high < allocated:
        raise RadlibError(f"{path} has HighBit {high}, BitsStored {used}, BitsAllocated {allocated}; export it again.")
    if used == allocated:
        return stored
    return (stored << (allocated - 1 - high)) >> (allocated - used)


def _padding(path: Path, stored: np.ndarray, pixels: np.ndarray, about: pydicom.Dataset) -> np.ndarray:
    """Which pixels `(H, W)` are padding: `pixels` in the range, or `stored` where scanners pad beyond BitsStored.

    Raises RadlibError where lossy compression has scattered the padding to both sides of its value.
    """
    for name, other in PADDING:
        if about.get(name) is None or (name == "PixelPaddingValue") != (pixels.dtype.kind in "iu"):
            continue
        ends = [_in_kind(value, pixels, about) for value in (about[name].value, about.get(other)) if value is not None]
        low, high = min(ends), max(ends)
        if _is_lossy(about) and (pixels < low).any() and (pixels > high).any():
            raise RadlibError(
                f"{path} has {name} {about[name].value} and lossy compression, which blurs its padding into other "
                "values; export it again without loss."
            )
        nothing = np.isnan(pixels) if np.isnan(low) else np.zeros(pixels.shape, dtype=bool)
        return nothing | ((pixels >= low) & (pixels <= high)) | ((stored >= low) & (stored <= high))
    return np.zeros(pixels.shape, dtype=bool)


def _is_lossy(about: pydicom.Dataset) -> bool:
    """Whether the pixels were ever compressed with loss; JPEG 2000 may be either, so there the header counts."""
    said = str(about.get("LossyImageCompression") or "")
    syntax = about.file_meta.TransferSyntaxUID
    return said == "01" or syntax in ALWAYS_LOSSY or (syntax in MAYBE_LOSSY and said != "00")


def _in_kind(value: Any, pixels: np.ndarray, about: pydicom.Dataset) -> float:
    """A padding value as the pixels' own kind of number, whichever of US and SS its two bytes were written as."""
    if pixels.dtype.kind == "f":
        return float(value)
    if isinstance(value, bytes):  # VR unknown
        value = int.from_bytes(value[:2], "little" if about.original_encoding[1] else "big")
    value = int(value) & 0xFFFF
    if pixels.dtype.kind == "u":
        return value
    bits = int(about.get("BitsStored") or 16)
    sign = bits if value >> bits == 0 and bits < 16 else 16  # -2000 in 12 bits is 2096, in 16 bits 63536
    return value - (1 << sign) if value >= 1 << (sign - 1) else value


def _in_units(path: Path, pixels: np.ndarray, meaning: pydicom.Dataset) -> np.ndarray:
    """Stored values -> those after the Modality LUT; a slope or an intercept that is missing is 1 or 0."""
    if meaning.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(pixels.astype(np.int64), meaning))
    slope, intercept = meaning.get("RescaleSlope"), meaning.get("RescaleIntercept")
    slope, intercept = float(1 if slope is None else slope), float(0 if intercept is None else intercept)
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise RadlibError(
            f"{path} has RescaleSlope {slope:g} and RescaleIntercept {intercept:g}; correct them or export it again."
        )
    return np.asarray(pixels.astype(np.float64) * slope + intercept)


def _check_packed_size(path: Path, frame: int) -> None:
    """Raise if a frame packed as JPEG or JPEG 2000 says, in its own header, another size than the file's.

    A decoder goes by the frame's, and would take the memory for it before pydicom compares the two.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID.name.startswith("JPEG"):
                return
            with open(path, "rb") as file:
                about = read_partial(file, stop_when=lambda tag, kind, length: tag in PIXELS)
                file.seek(PIXELS_HEAD, os.SEEK_CUR)
                packed = get_frame(file, frame, number_of_frames=int(about.get("NumberOfFrames") or 1))
            with Image.open(io.BytesIO(packed), formats=("JPEG", "JPEG2000")) as inner:
                said, promised = inner.size, (int(about.Columns), int(about.Rows))
    except Exception:  # not to be opened here: the decoder says why
        return
    if said != promised:
        raise RadlibError(
            f"{path} promises frames of {promised[0]:,} x {promised[1]:,} pixels and holds one of {said[0]:,} x "
            f"{said[1]:,}; export it again."
        )


def _meaning(about: pydicom.Dataset, frame: int) -> pydicom.Dataset:
    """Where the header says what the values of `frame` mean: of this frame, of all frames, or of the file."""
    for groups, k in ((about.get(PER_FRAME), frame), (about.get(SHARED), 0)):
        items: Any = groups.value if groups else []
        if k < len(items) and "PixelValueTransformationSequence" in items[k]:
            return items[k].PixelValueTransformationSequence[0]
    return about


def _check_deflated(path: Path) -> None:
    """Raise if a file whose whole data set is deflated unpacks to more than memory should be asked for."""
    about = pydicom.filereader.read_file_meta_info(path)
    if about.get("TransferSyntaxUID") != DEFLATED:
        return
    unpacked, unpack = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    with open(path, "rb") as file:
        file.seek(FIRST_GROUP + int(about.get("FileMetaInformationGroupLength") or 0))
        while block := file.read(BLOCK):
            unpacked += len(unpack.decompress(block))
            if unpacked > MOST_DEFLATED:
                raise RadlibError(
                    f"{path} unpacks to more than {MOST_DEFLATED >> 20} MB; save it uncompressed or look whether it is "
                    "the file you mean."
                )


def _check_decodable(path: Path, syntax: pydicom.uid.UID | None) -> None:
    if syntax is None:
        raise RadlibError(f"{path} does not say how its pixels are stored (transfer syntax); export it again.")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        name = " ".join(str(syntax.name).split())[:64]
        raise RadlibError(
            f"{path} is compressed as {name}, which cannot be read here; save it uncompressed."
        ) from error
    if not decoder.is_available:
        plugins = ", ".join(text.split(" ")[0] for text in decoder.missing_dependencies)
        raise RadlibError(
            f"{path} is compressed as {syntax.name}; save it uncompressed, or install one of {plugins} for pydicom."
        )
