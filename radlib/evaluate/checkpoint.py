"""Checkpoints of training: whole or not there, of this very run or refused."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radlib.errors import RadlibError


def write(path: Path, agrees: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Put `state` (tensors, numbers, text, lists and dicts of them) at `path`, with what it must agree with to be read.

    Straight to a file beside it, which then takes its name: a checkpoint of a large backbone would not fit into memory
    twice. Raises RadlibError when the disk does not take it; the previous checkpoint stays.
    """
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"agrees": dict(agrees), "state": dict(state)}, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise RadlibError(
            f"The checkpoint cannot be written to {path.parent} ({reason}); make room or set RADLIB_CACHE, then run "
            "again: it goes on from the last whole epoch."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def read(path: Path, agrees: Mapping[str, str]) -> dict[str, Any] | None:
    """The state at `path`, None if there is none; no pickled code is ever run.

    Raises RadlibError for a damaged file, and for one that another run left there, naming what differs.
    """
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        made_with, state = found["agrees"], found["state"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise RadlibError(f"{path} is no whole checkpoint; delete it and run again.") from error
    differing = [name for name in agrees if made_with.get(name) != agrees[name]]
    if differing:
        name = differing[0]
        raise RadlibError(
            f"{path} is the checkpoint of another run: its {name} is {made_with.get(name)}, this run's {agrees[name]}; "
            "delete it or move it away."
        )
    return dict(state)


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` as they are now, on the CPU: training goes on without changing them."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
