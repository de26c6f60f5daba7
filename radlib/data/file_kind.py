"""What a file is by its first bytes, where its name says something else."""

import gzip
import zlib
from pathlib import Path

HEAD = 348  # bytes of a NIfTI-1 header; every other sign lies before
DICM = slice(128, 132)
SIGNS = {  # first bytes -> ending
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"BM": ".bmp",
}
NAMES = {
    ".nii": "an uncompressed NIfTI file",
    ".nii.gz": "a NIfTI file compressed by gzip",
    ".dcm": "a DICOM file",
    ".png": "a PNG picture",
    ".jpg": "a JPEG picture",
    ".tif": "a TIFF picture",
    ".bmp": "a BMP picture",
}


def ending(path: Path) -> str:
    """The ending that a file with this content should have, such as ``.nii.gz``; empty when it is none that is read."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                return ".nii.gz" if _is_nifti(packed.read(HEAD)) else ""
    except (OSError, EOFError, zlib.error):
        return ""
    if _is_nifti(head):
        return ".nii"
    if head[DICM] == b"DICM":
        return ".dcm"
    return next((ending for sign, ending in SIGNS.items() if head.startswith(sign)), "")


def misnamed(path: Path) -> str:
    """A sentence when the content of `path` is of another kind than its name says and may be renamed; else empty."""
    found = ending(path)
    if (
        not found
        or path.name.lower().endswith(found)
        or {found, path.suffix.lower()} in ({".jpg", ".jpeg"}, {".tif", ".tiff"})
    ):
        return ""
    return f"{path} is {NAMES[found]} by its content; rename it to end in {found}."


def _is_nifti(head: bytes) -> bool:
    return head[344:348] == b"n+1\x00" or head[4:8] == b"n+2\x00"
