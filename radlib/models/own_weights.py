"""Weights from a file of the reader's: ``file:PATH=TIMM_NAME``, a checkpoint for a network that timm knows."""

import os
import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from radlib.errors import RadlibError

HEADS = ("head.", "head_dist.", "fc.", "classifier.", "fc_norm.")  # of another task; features are taken before them


def parts(name: str) -> tuple[Path, str]:
    """The file and the timm name in ``file:PATH=TIMM_NAME``; raises RadlibError where either is missing."""
    path, _, timm_name = name.removeprefix("file:").rpartition("=")
    if not path or not timm_name:
        raise RadlibError(f"'{name}' names no weights; write file:PATH=TIMM_NAME, e.g. file:mine.pt=resnet18.")
    return Path(os.path.expanduser(path)), timm_name


def check(path: Path) -> None:
    """Raise RadlibError unless `path` is a file."""
    if not os.path.isfile(path):
        raise RadlibError(f"The weights {path} are not there; name a .safetensors, .pt or .pth file.")


def load(path: Path, module: nn.Module) -> nn.Module:
    """`module`, its head taken off, with the weights in `path`; those of a head are left aside.

    A ``.safetensors`` file, or what ``torch.save`` wrote of a state dict, bare or under ``state_dict`` or ``model``;
    no code in it is run. Raises RadlibError for a file that is no such thing and for weights of another network.
    """
    check(path)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _torch_state(path)
        missing, unexpected = module.load_state_dict(state, strict=False)
    except pickle.UnpicklingError as error:  # its own words advise to let the file run code
        raise RadlibError(f"{path} holds no weights that can be read without running code in it.") from error
    except RadlibError:
        raise
    except Exception as error:  # torch raises whatever a file that is none leads it to
        said = " ".join(str(error).split())[:200]
        raise RadlibError(f"{path} does not hold the weights of this network ({said}).") from error
    strange = [key for key in unexpected if not key.startswith(HEADS)]
    if missing or strange:
        raise RadlibError(
            f"{path} holds the weights of another network: {len(missing)} are missing, first "
            f"'{[*missing, '–'][0]}', and {len(strange)} are too many, first '{[*strange, '–'][0]}'."
        )
    return module


def _torch_state(path: Path) -> dict[str, Tensor]:
    _check_packed(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        content = content.get(key, content) if isinstance(content, dict) else content
    tensors = content.items() if isinstance(content, dict) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors):
        raise ValueError("it holds no state dict")
    return dict(tensors)


def _check_packed(path: Path) -> None:
    """Raise ValueError for a zip whose members are compressed: torch stores them as they are, a bomb does not."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as held:
            if any(member.compress_type != zipfile.ZIP_STORED for member in held.infolist()):
                raise ValueError("its members are compressed, which torch.save does not do")
