"""What a manifest may name, seen as slices: pictures, DICOM files, NIfTI volumes, and masks in such files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radlib.data import dicom, file_kind, pictures, slice_cache, volumes
from radlib.data.raster import DEEP_WHITE, WHITE
from radlib.errors import RadlibError

MOST = DEEP_WHITE  # the largest number a mask may hold
PAIR = {".hdr", ".img"}  # NIfTI or Analyze
DICOM_SUFFIXES = {"", ".dcm", ".dicom", ".dic", ".ima"}
SHOWN = 20  # known numbers in a sentence


@dataclass(frozen=True)
class Stack:
    """What a file's header says: `slices` of `size` (H, W); a volume's header and how it is cut."""

    path: Path
    slices: int
    size: tuple[int, int]
    volume: volumes.Header | None = None
    plane: volumes.Plane | None = None


def look(path: Path) -> Stack | None:
    """What the header of `path` says, no pixel read; None when it is called like a picture and is none.

    ``.nii`` and ``.nii.gz`` are volumes, whose slices are axial; the endings of pictures are pictures; whatever else
    (``.dcm``, no ending, a number) is DICOM. Raises RadlibError, naming the file, for a volume or DICOM file that is
    damaged, incomplete or no image, for content that its name does not say, and for a format that is not read.
    """
    if volumes.is_volume(path.name):
        head = volumes.header(path)
        plane = volumes.axial(head)
        slices, height, width = volumes.stack_shape(head, plane)
        return Stack(path, slices, (height, width), head, plane)
    if path.suffix.lower() in pictures.SUFFIXES:
        size = pictures.size(path)
        if size is None and (other := file_kind.misnamed(path)):
            raise RadlibError(other)
        return Stack(path, 1, size) if size else None
    if file_kind.ending(path) != ".dcm":
        if other := file_kind.misnamed(path):
            raise RadlibError(other)
        suffix = path.suffix.lower()
        if suffix in PAIR:
            raise RadlibError(f"{path} is one file of a pair (.hdr and .img), which is not read; save it as one .nii.")
        if suffix not in DICOM_SUFFIXES and not suffix[1:].isdigit():
            raise RadlibError(
                f"{path}: files that end in {suffix} are not read; convert a volume to NIfTI, a picture to PNG or TIFF."
            )
    count, rows, columns = dicom.frames(path)
    return Stack(path, count, (rows, columns))


def misfit(image: Stack, mask: Stack) -> str:
    """A sentence when `mask` cannot be a mask of `image`; empty when it can."""
    if image.volume is not None and mask.volume is not None:
        return volumes.misfit(image.volume, mask.volume)
    if (image.volume is None) != (mask.volume is None):
        if image.slices > 1 and image.volume is None:
            return f"{mask.path} is the mask of {image.slices} DICOM frames; save it as DICOM with as many frames."
        kind = "picture" if image.volume is None else "volume"
        return f"{mask.path} is the mask of a {kind} and none itself; save it as a {kind}."
    if (image.slices, image.size) != (mask.slices, mask.size):
        several = max(image.slices, mask.slices) > 1
        of_mask, of_image = (f" in {each.slices} frames" if several else "" for each in (mask, image))
        return (
            f"{mask.path} has {mask.size[0]} x {mask.size[1]} pixels{of_mask} and its image {image.size[0]} x "
            f"{image.size[1]}{of_image}; take the mask drawn on this image."
        )
    return ""


def read(stack: Stack, k: int) -> np.ndarray:
    """Slice `k` as pixels `(C, H, W)` float32 in the file's own units."""
    if stack.plane is not None:
        return np.ascontiguousarray(slice_cache.cut(stack.path, stack.plane, k), dtype=np.float32)[None]
    return pictures.read(stack.path) if stack.path.suffix.lower() in pictures.SUFFIXES else dicom.read(stack.path, k)


def read_mask(stack: Stack, k: int, values: Sequence[int]) -> np.ndarray:
    """Slice `k` of a mask `(H, W)` uint8: 1, 2, … where it holds `values` (1 to 65535) in their order, 0 where 0.

    No `values`, or 1 or white alone: one structure, drawn as 1 or in white (255, 65535, or the largest number of fewer
    than 8 bits), whose borders may be gray because the mask was resized; half of white is the border. Raises
    RadlibError when the mask holds another number.
    """
    numbers, white = _numbers(stack, k)
    found = np.flatnonzero(np.bincount(numbers.ravel()))
    meant = [0, *values]
    if list(values) in ([], [1], [WHITE], [DEEP_WHITE]):
        if found[-1] > white // 2 and _black_and_white(found, white):
            return (numbers > white // 2).astype(np.uint8)
        meant = meant if values else [0, 1]
    strange = np.setdiff1d(found, meant)
    if len(strange):
        remedy = "list it in classes.csv or correct the mask" if values else "say in classes.csv what each number means"
        known = ", ".join(str(value) for value in meant[:SHOWN]) + (" …" if len(meant) > SHOWN else "")
        raise RadlibError(f"{stack.path} holds the value {strange[0]}; {remedy} (known are {known}).")
    place = np.zeros(found[-1] + 1, dtype=np.uint8)
    for code, value in enumerate(meant):
        if value < len(place):
            place[value] = code
    return place[numbers]


def _black_and_white(found: np.ndarray, white: int) -> bool:
    """Whether the numbers of a mask are white and the grays of blurred borders, not labels beside an 'ignore' of 255.

    Blur leaves grays on both sides of half, labels are few and small. Fewer than 8 bits are not blurred, and 16 bits
    hold white itself, which large labels do not.
    """
    gray = found[(found > 0) & (found != white)]
    blurred = white == WHITE or (white > WHITE and found[-1] == white)
    return len(gray) == 0 or (blurred and bool((gray > white // 2).any()))


def _numbers(stack: Stack, k: int) -> tuple[np.ndarray, int]:
    """What a mask's slice holds `(H, W)`, whole numbers from 0 to 65535, and which of them is white.

    Of a palette that has colors they are the places in it.
    """
    path = stack.path
    if stack.volume is None and path.suffix.lower() in pictures.SUFFIXES:
        drawn, white = pictures.raster(path).mask(path)
    else:
        drawn = read(stack, k) if stack.volume else dicom.read(path, k, mask=True)
        white = WHITE if drawn.max(initial=0) <= WHITE else DEEP_WHITE
    if any((channel != drawn[0]).any() for channel in drawn[1:]):
        raise RadlibError(f"{path} is a mask in colors; save it in gray, one number a class.")
    values = drawn[0]
    # NaN fails every comparison
    if not ((values >= 0) & (values <= MOST)).all() or (values != np.round(values)).any():
        raise RadlibError(f"{path}, slice {k}, holds values that are no label numbers; save whole numbers from 0.")
    return values.astype(np.intp), white
