"""One array a file, mapped into memory, with a checksum: what is cut short or has a flipped bit is not there."""

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors.numpy import save

from radlib import atomic

NAME = "values"
HEADER_LIMIT = 1 << 20  # bytes; our own headers are below 1 KiB, so anything longer is not one of ours
TYPES = {"F32": np.float32, "F16": np.float16, "I16": np.int16, "I32": np.int32, "U8": np.uint8, "U16": np.uint16}


def write(path: Path, array: np.ndarray) -> None:
    """Put `array` (a type of `TYPES`) at `path` as safetensors, whole or not at all; raises OSError."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(array.data).hexdigest()
    atomic.replace(path, save({NAME: array}, metadata={"sha256": digest}))


def write_rows(path: Path, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    """As `write`, for a float32 array too large for memory that comes in `pieces` of its rows, in order.

    Raises OSError, and ValueError when the pieces are not `shape` together; neither leaves anything behind.
    """
    # The checksum stands in the header, before the bytes it is of: room for it is kept and filled in at the end.
    entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 4 * math.prod(shape)]}
    header = json.dumps({"__metadata__": {"sha256": "0" * 64}, NAME: entry}).encode()
    header += b" " * (-len(header) % 8)  # safetensors wants its data aligned
    digest, written = hashlib.sha256(), 0
    with atomic.part(path) as part, open(part, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for piece in pieces:
            content = np.ascontiguousarray(piece, dtype=np.float32).data
            digest.update(content)
            written += file.write(content)
        if written != entry["data_offsets"][1]:
            raise ValueError(f"{written} bytes came for an array of shape {shape}")
        file.seek(8)
        file.write(header.replace(b"0" * 64, digest.hexdigest().encode()))


def _header(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """The header of an open file, and at which byte its array starts; raises ValueError for one that is not ours."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length < HEADER_LIMIT:
        raise ValueError(f"a header of {length} bytes")
    return json.loads(file.read(length)), 8 + length


def sound(path: Path) -> bool:
    """Whether `path` is an array of ours, of whatever shape, whose bytes are those that were written."""
    try:
        with open(path, "rb") as file:
            header, start = _header(file)
            size = math.prod(header[NAME]["shape"]) * np.dtype(TYPES[header[NAME]["dtype"]]).itemsize
            if path.stat().st_size != start + size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == header["__metadata__"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def read(path: Path, shape: tuple[int, ...], trusted: bool = False) -> np.ndarray | None:
    """The array mapped into memory, or None if it is absent, cut short, of another shape, or its checksum differs.

    trusted: leave the checksum out, because it was right when this process mapped the file before.
    """
    try:
        with open(path, "rb") as file:
            header, start = _header(file)
        if tuple(header[NAME]["shape"]) != shape:
            return None
        array = np.memmap(path, dtype=TYPES[header[NAME]["dtype"]], mode="r", offset=start, shape=shape)
        whole = trusted or hashlib.sha256(array.data).hexdigest() == header["__metadata__"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return array if whole else None
