"""DICOM files: their frames from the header, their pixels in the units the file says (HU for CT)."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from radlib.errors import RadlibError


def frames(path: Path) -> tuple[int, int, int]:
    """Frames, rows and columns of the image in `path`, no pixel read.

    Raises RadlibError, naming the file: no DICOM file, or one without an image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            about = pydicom.dcmread(path, stop_before_pixels=True)
            shape = int(about.get("NumberOfFrames", 1) or 1), int(about.get("Rows", 0)), int(about.get("Columns", 0))
    except (InvalidDicomError, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RadlibError(f"{path} is no whole DICOM file; export it again.") from error
    if min(shape) < 1:
        kind = about.get("Modality", "unknown kind")
        raise RadlibError(f"{path} is a DICOM file without an image ({kind}); delete its row or name an image.")
    return shape


def read(path: Path, frame: int = 0) -> np.ndarray:
    """Frame `frame` as pixels `(C, H, W)` float32: rescaled as the file says, and bright where tissue is dense.

    MONOCHROME1 pictures, whose dense parts are stored dark, are turned round. Raises RadlibError when the pixels are
    missing, cut short, or compressed in a way that cannot be decoded here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = pydicom.dcmread(path)
            pixels = file.pixel_array
    except NotImplementedError as error:
        raise RadlibError(f"{path} is compressed in a way that cannot be read here; save it uncompressed.") from error
    except Exception as error:  # decoders and damaged files raise many kinds
        why = " ".join(str(error).split())[:160]
        raise RadlibError(
            f"{path}: its pixels cannot be read ({why}); save it uncompressed or export it again."
        ) from error
    colour = int(file.get("SamplesPerPixel", 1)) == 3
    if pixels.ndim == (4 if colour else 3):
        pixels = pixels[frame]
    if colour:
        return np.asarray(pixels, dtype=np.float32).transpose(2, 0, 1)
    values = pixels.astype(np.float32) * float(file.get("RescaleSlope", 1)) + float(file.get("RescaleIntercept", 0))
    if file.get("PhotometricInterpretation") == "MONOCHROME1":
        values = values.max() + values.min() - values
    return values[None]
