"""What a file is by its first bytes, where its name says something else."""

import gzip
import os
import zlib
from pathlib import Path
from typing import IO

HEAD = 348  # bytes of a NIfTI-1 header; every other sign lies before
DICM = slice(128, 132)
JPEG = b"\xff\xd8\xff"
BASELINE, LOSSLESS = 0xC0, {0xC3, 0xC7, 0xCB, 0xCF}  # markers of frames (ITU-T T.81, table B.1)
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SIGNS = {  # first bytes -> ending
    b"\x89PNG\r\n\x1a\n": ".png",
    JPEG: ".jpg",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"BM": ".bmp",
}
UNREAD = {  # first bytes of formats that are not read -> their name and what to do
    b"GIF8": ("a GIF picture", "PNG or TIFF"),
    b"\0\0\0\x0cjP  ": ("a JPEG 2000 picture", "PNG or TIFF"),
    b"\xff\x4f\xff\x51": ("a JPEG 2000 picture", "PNG or TIFF"),
    b"\0\0\0\x0cJXL ": ("a JPEG XL picture", "PNG or TIFF"),
    b"\x93NUMPY": ("a NumPy array", "NIfTI, PNG or TIFF"),
    b"NRRD": ("an NRRD volume", "NIfTI"),
    b"%PDF": ("a PDF document", "PNG or TIFF"),
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
    """A sentence when the content of `path` is not of the kind that its name says, or a kind that is not read.

    Else it is empty. Where the content is read under another name, the sentence gives the ending.
    """
    if other := _unread(path):
        return other
    found = ending(path)
    if (
        not found
        or path.name.lower().endswith(found)
        or {found, path.suffix.lower()} in ({".jpg", ".jpeg"}, {".tif", ".tiff"})
    ):
        return ""
    return f"{path} is {NAMES[found]} by its content; rename it to end in {found}."


def _unread(path: Path) -> str:
    """A sentence for content that no name would make readable; else empty."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            bits, coding = _jpeg_frame(file) if head.startswith(JPEG) else (8, BASELINE)
    except OSError:
        return ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return f"{path} is a WebP picture by its content, which is not read; save it as PNG or TIFF."
    for sign, (name, remedy) in UNREAD.items():
        if head.startswith(sign):
            return f"{path} is {name} by its content, which is not read; save it as {remedy}."
    if bits != 8 or coding in LOSSLESS:
        kind = "lossless JPEG" if coding in LOSSLESS else "JPEG"
        return f"{path} is a {kind} picture of {bits} bits a sample, which is not read; save it as PNG or TIFF."
    return ""


def _jpeg_frame(file: IO[bytes]) -> tuple[int, int]:
    """Bits a sample and the marker of the first frame of a JPEG (SOF0 to SOF15); 8 and `BASELINE` where it has none."""
    file.seek(2)
    while (marker := file.read(4))[:1] == b"\xff" and len(marker) == 4:
        if marker[1] in FRAMES:
            bits = file.read(1)
            return (bits[0] if bits else 8), marker[1]
        file.seek(max(0, int.from_bytes(marker[2:]) - 2), os.SEEK_CUR)
    return 8, BASELINE


def _is_nifti(head: bytes) -> bool:
    return head[344:348] == b"n+1\x00" or head[4:8] == b"n+2\x00"
