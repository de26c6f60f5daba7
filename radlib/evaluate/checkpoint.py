"""Checkpoints of training: whole or not there, of this very run or refused."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radlib import atomic
from radlib.errors import RadlibError

SECONDS_BETWEEN = 30.0  # what a killed training can lose, besides the epoch it was in

# The sum of the file's bytes stands behind them: torch looks for its zip from the end of a file and passes over what
# follows it, and leaves the zip's own checksums unread.
MARK = b"\nsha256 "
TRAILER = len(MARK) + 64
BLOCK = 1 << 20


def write(path: Path, agrees: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Put `state` (tensors, numbers, text, lists and dicts of them) at `path`, with what it must agree with to be read.

    Straight to a file beside it, which then takes its name: a checkpoint of a large backbone would not fit into memory
    twice. Raises RadlibError when the disk does not take it; the previous checkpoint stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.part(path) as part:
            torch.save({"agrees": dict(agrees), "state": dict(state)}, part)
            with open(part, "rb+") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                file.write(MARK + digest.encode())
        atomic.sweep(path.parent)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else "no room, or the disk fails"
        raise RadlibError(
            f"The checkpoint cannot be written to {path.parent} ({reason}); make room or set RADLIB_CACHE, then run "
            "again: what was saved before is kept."
        ) from error


def read(path: Path, agrees: Mapping[str, str]) -> dict[str, Any] | None:
    """The state at `path`, None if there is none or it is damaged, which is said; no pickled code is ever run.

    Raises RadlibError for a file that another run left there, naming what differs.
    """
    if not path.exists():
        return None
    try:
        if not sound(path):
            raise ValueError("checksum")
        found = torch.load(path, map_location="cpu", weights_only=True)
        made_with, state = found["agrees"], found["state"]
        differing = [name for name in agrees if made_with.get(name) != agrees[name]]
    except MemoryError:
        raise
    except Exception:  # torch's reader of zips and pickles meets damage with exceptions of every kind
        print(f"The checkpoint {path.name} was damaged; this training starts anew.")
        return None
    if differing:
        name = differing[0]
        raise RadlibError(
            f"{path} is the checkpoint of another run: its {name} is {made_with.get(name)}, this run's {agrees[name]}; "
            "delete it or move it away."
        )
    return dict(state)


def sound(path: Path) -> bool:
    """Whether the bytes of the file at `path` are those that were written; one without a checksum is taken as it is.

    Raises OSError.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TRAILER))
        trailer = file.read()
        if not trailer.startswith(MARK):
            return True  # of radlib 0.1, which wrote none
        file.seek(0)
        left = size - TRAILER
        while left and (block := file.read(min(BLOCK, left))):
            digest.update(block)
            left -= len(block)
    return trailer[len(MARK) :] == digest.hexdigest().encode()


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` as they are now, on the CPU: training goes on without changing them."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
