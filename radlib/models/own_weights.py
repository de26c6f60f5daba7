"""Weights from a checkpoint file: ``file:PATH=TIMM_NAME`` for the reader's own, and the files of the model hub.

A checkpoint rarely is the bare state dict that timm saves. Its tensors may lie in nested dicts (``teacher``,
``state_dict``), behind prefixes (``module.``, ``backbone.``), beside heads of another task, under the names of the
network's authors, and with a position embedding for images of another size. `load` finds the network in such a file
and leaves the conversion of names to timm's own ``checkpoint_filter_fn``.
"""

import contextlib
import io
import math
import os
import pickle
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from radlib.errors import RadlibError

HEADS = ("head.", "head_dist.", "fc.", "classifier.", "fc_norm.")  # of another task; features are taken before them
# What pretraining adds beside the network: heads of DINO and iBOT, projections of contrastive learning, MAE's decoder.
PRETRAINING = re.compile(r"\w*(head|project|predict|decoder|mask_token)\w*", re.IGNORECASE)
# Of equal networks in one file, the one that papers evaluate; BYOL's is the online one, I-JEPA's the target encoder.
EVALUATED = ("teacher", "ema", "online", "target_encoder")
FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")  # names of it in timm's families
BLOCK_IN_CHUNK = re.compile(r"^blocks\.\d+\.(\d+)\.")  # DINOv2 trained in chunks: blocks.<chunk>.<block>.…
# What torch.compile, FSDP and activation checkpointing put into the names of all below the block that they wrap.
WRAPPER = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
BATCHES = ".num_batches_tracked"  # a counter that evaluation does not use
OTHER_NETWORK = "name the timm model that was trained"
LONGEST_HEADER = 100_000_000  # bytes of a safetensors header; its library allows no more

State = dict[str, Tensor]


def parts(name: str) -> tuple[Path, str]:
    """The file and the timm name in ``file:PATH=TIMM_NAME``; raises RadlibError where either is missing."""
    path, _, timm_name = name.removeprefix("file:").rpartition("=")
    if not path or not timm_name:
        raise RadlibError(f"'{name}' names no weights; write file:PATH=TIMM_NAME, e.g. file:mine.pt=resnet18.")
    return Path(os.path.expanduser(path)), timm_name


def check(path: Path) -> None:
    """Raise RadlibError unless `path` is a file."""
    if not os.path.isfile(path):
        what = "a folder" if os.path.isdir(path) else "not there"
        raise RadlibError(f"The weights {path} are {what}; name a .safetensors, .pt or .pth file.")


def load(path: Path, module: nn.Module, remedy: str = "") -> nn.Module:
    """`module`, a network that timm made, with the weights in `path` as float32.

    A safetensors file, or what ``torch.save`` wrote of tensors in dicts; no code in it is run. Of several copies
    of the network in one file, the teacher's or the averaged one is taken. Heads that `module` lacks are left out, and
    so is what pretraining added beside the network; a printed line names the latter. A square position embedding of
    another size sets the input size of `module`; it is not resampled here.

    Raises RadlibError, with the `remedy` where one is given, for a file that cannot be read, for weights that do not
    fit `module` and for those that are not finite floating-point numbers.
    """
    check(path)
    held = _read(path, remedy)
    finite = remedy or "save every parameter as finite floating-point numbers"
    remedy = remedy or OTHER_NETWORK
    wanted = module.state_dict()
    prefix, state = _fitting(held, module, wanted, f"{path} does not hold the weights of this network", remedy)
    if not any(key in wanted for key in state):
        raise RadlibError(f"{path} holds none of the weights of this network (first '{next(iter(held))}'); {remedy}.")
    extra = [key for key in state if key not in wanted and not key.startswith(HEADS) and not key.endswith(BATCHES)]
    strange = [key for key in extra if not PRETRAINING.fullmatch(key.split(".")[0])]
    missing = _missing(state, wanted)
    if missing or strange:
        raise RadlibError(
            f"{path} holds the weights of another network: {_counted(missing, 'missing')} and "
            f"{_counted(strange, 'not part of it')}; {remedy}."
        )
    wanted = module.state_dict()  # the position embedding may have another size now
    fitting = {key: value for key, value in state.items() if key in wanted}
    for key, value in fitting.items():
        fault = _unusable(value, number=wanted[key].is_floating_point())
        if fault:
            raise RadlibError(f"{path} holds no usable weights: '{key}' {fault}; {finite}.")
    misshaped = [key for key, value in fitting.items() if value.shape != wanted[key].shape]
    if misshaped:
        theirs, ours = (tuple(tensors[misshaped[0]].shape) for tensors in (fitting, wanted))
        if len(misshaped) == 1 and len(ours) == 4 and (theirs[0], *theirs[2:]) == (ours[0], *ours[2:]):
            remedy = f"it takes images of {theirs[1]} channel(s), while radlib's have {ours[1]}"
        raise RadlibError(
            f"{path} holds the weights of another network: {len(misshaped)} have another shape, the first "
            f"'{misshaped[0]}' with {theirs} instead of {ours}; {remedy}."
        )
    module.load_state_dict(fitting, strict=False)
    left_out = {key.split(".")[0] for key in extra}
    left_out |= {_beside(key, prefix) for key in held if not key.startswith(prefix)}
    if left_out:
        place = f"the weights under '{prefix.rstrip('.')}'" if prefix else "the weights of the network"
        print(f"{path.name}: only {place} are used, without {', '.join(sorted(left_out))}.")
    return module


def _missing(state: State, wanted: State) -> list[str]:
    return [key for key in wanted if key not in state and not key.endswith(BATCHES)]


def _unusable(value: Tensor, number: bool) -> str:
    """Why `value` cannot be copied into a network, where a `number` must be floating point and finite; or nothing."""
    if value.is_meta or value.is_nested or value.layout != torch.strided:
        return "is no dense tensor with values"
    if number and not value.is_floating_point():
        return f"is of type {value.dtype}".replace("torch.", "")
    return "has values that are not finite" if number and not value.isfinite().all() else ""


def _counted(keys: list[str], what: str) -> str:
    return f"{len(keys)} {'is' if len(keys) == 1 else 'are'} {what}" + (f" (first '{keys[0]}')" if keys else "")


def _beside(key: str, prefix: str) -> str:
    """The part of a checkpoint that `key` belongs to, as long as it takes to tell it from `prefix`."""
    theirs, ours = key.split("."), prefix.split(".")
    same = next((k for k, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other), 0)
    return ".".join(theirs[: same + 1])


def _fitting(held: State, module: nn.Module, wanted: State, fault: str, remedy: str) -> tuple[str, State]:
    """The prefix behind which `held` has the most of `module`'s weights, and these, under timm's names."""
    best: tuple[str, State] | None = None
    reason = ""
    for prefix in _prefixes(held, wanted):
        inside = {key.removeprefix(prefix): value for key, value in held.items() if key.startswith(prefix)}
        try:
            state = _converted(inside, module)
        except RadlibError as error:
            raise RadlibError(f"{fault} ({error}); {remedy}.") from error
        except Exception as error:  # timm's filters raise whatever a layout they do not know leads them to
            said = " ".join(str(error).split())[:120]
            reason = f"timm cannot convert it: {type(error).__name__}: {said}"
            continue
        if best is None or len(_missing(state, wanted)) < len(_missing(best[1], wanted)):
            best = prefix, state
        if not _missing(state, wanted):
            break
    if best is None:
        raise RadlibError(f"{fault} ({reason}); {remedy}.")
    return best


def _prefixes(held: State, wanted: State) -> Iterator[str]:
    """Where in `held` the network may lie: at the top, or behind the prefix under which most of its names are found."""
    yield ""
    found: Counter[str] = Counter()
    for key in held:
        components = key.split(".")
        for k in range(1, len(components)):
            name = ".".join(components[k:])
            if name in wanted or BLOCK_IN_CHUNK.sub(r"blocks.\1.", name) in wanted:
                found[".".join(components[:k]) + "."] += 1
    most = max(found.values(), default=0)
    equal = [prefix for prefix, count in found.items() if count == most]
    ranks = {prefix: [word not in prefix for word in EVALUATED] for prefix in equal}
    yield from sorted(equal, key=ranks.__getitem__)[:1]
    yield from sorted({key.split(".")[0] + "." for key in held if "." in key} & {"model.", "state_dict.", "teacher."})


def _converted(state: State, module: nn.Module) -> State:
    """`state` under timm's names, and `module` made for images of the size that `state` was trained at."""
    # Published and retrained DINOv2 weights: timm knows them by their mask token, which is sometimes taken out.
    if "mask_token" in state:
        state = {BLOCK_IN_CHUNK.sub(r"blocks.\1.", key): value for key, value in state.items()}
    elif any(key == "register_tokens" or ".mlp.w12." in key for key in state):
        state["mask_token"] = torch.zeros(1)
    registers = any(key in state for key in ("register_tokens", "reg_token", "storage_tokens"))
    if "cls_token" in state and registers != (getattr(module, "reg_token", None) is not None):
        raise RadlibError("only one of the two has register tokens")
    _set_grid(state, module)
    kernel, own = state.get("patch_embed.proj.weight"), getattr(getattr(module, "patch_embed", None), "proj", None)
    if kernel is not None and own is not None and kernel.ndim == 4 and kernel.shape[2:] != own.weight.shape[2:]:
        # timm would resample it, without a word, and make a network that nobody trained
        raise RadlibError(f"its patches are {kernel.shape[-1]} px wide, not {own.weight.shape[-1]} px")
    family_filter = _filter_of(module)
    if family_filter is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # one of them prints what it tried
            try:
                state = family_filter(state, module)
            except TypeError:  # some take the state dict alone
                state = family_filter(state)
    return state


def _filter_of(module: nn.Module) -> Callable[..., State] | None:
    """The function by which timm makes checkpoints of `module`'s family its own; some families need none."""
    import timm

    made_of = getattr(module, "pretrained_cfg", None)  # timm writes it on what it makes
    if made_of is None:
        return None
    entrypoint = timm.models.model_entrypoint(made_of["architecture"])
    family = vars(sys.modules[entrypoint.__module__])
    return next((family[name] for name in FILTERS if name in family), None)


def _set_grid(state: State, module: Any) -> None:
    """Give `module` the input size that the position embedding in `state`, (1, tokens, D), was trained at.

    Where it has none for the class token, as in some copies of DINOv2, zeros take its place.
    """
    position, own = state.get("pos_embed"), getattr(module, "pos_embed", None)
    if position is None or own is None or position.ndim != 3 or not hasattr(module, "set_input_size"):
        return
    before = (
        1
        if "register_tokens" in state
        else 0
        if getattr(module, "no_embed_class", False)
        else int(module.num_prefix_tokens)
    )
    if before and math.isqrt(position.shape[1]) ** 2 == position.shape[1]:
        position = torch.cat([position.new_zeros(1, before, position.shape[2]), position], dim=1)
        state["pos_embed"] = position
    side = math.isqrt(position.shape[1] - before)
    if side**2 != position.shape[1] - before:
        raise RadlibError(f"its position embedding of {position.shape[1]} tokens is not that of square images")
    if (side, side) != tuple(module.patch_embed.grid_size):
        module.set_input_size(img_size=tuple(side * size for size in module.patch_embed.patch_size))


def _read(path: Path, remedy: str) -> State:
    """Every tensor in `path` as float32, names of nested dicts joined by dots."""
    fault = f"{path} does not hold the weights of this network"
    ending = f"; {remedy}." if remedy else "."
    try:
        with path.open("rb") as file:  # names are not trusted, and torch.load goes by that of a path
            head = file.read(24)
            file.seek(0)
            if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
                content: Any = load_file(path)
            elif head.startswith((b"PK", b"\x80")):  # a zip, as torch.save writes, or a pickle, as it once wrote
                _check_packed(path)
                content = torch.load(file, map_location="cpu", weights_only=True)
            else:
                ending = ending if remedy else "; download it again, with git lfs pull if it is a Git LFS pointer."
                start = f"it starts with {ascii(head.decode('latin-1'))}" if head else "it is empty"
                raise ValueError(f"{start}, unlike a file of torch.save or safetensors")
        held = {
            WRAPPER.sub("", name): value.float() if value.is_floating_point() else value
            for name, value in _tensors(content, "")
        }
    except pickle.UnpicklingError as error:  # its own words advise to let the file run code
        raise RadlibError(_refusal(path, str(error))) from error
    except Exception as error:  # torch raises whatever a damaged or foreign file leads it to
        said = " ".join(str(error).split())[:200]
        raise RadlibError(f"{fault} ({said}){ending}") from error
    if not held:
        raise RadlibError(f"{fault} (it holds no tensors under names){ending}")
    return held


def _tensors(content: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, Tensor) and isinstance(key, str):
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from _tensors(value, f"{prefix}{key}.")


def _refusal(path: Path, said: str) -> str:
    """Why a pickle is not read; with objects beside its weights, how to save these alone."""
    held = re.search(r"GLOBAL ([\w.]+)", said)
    if held is None:
        return f"{path} holds no weights that can be read without running code in it; torch.save a state_dict instead."
    alone = path.with_name(f"{path.stem}_weights.pth")
    inside = "{str(k): f(v) for k, v in o.items()} if isinstance(o, dict) else o if torch.is_tensor(o) else None"
    return (
        f"{path} holds {held[1]} beside its weights, and reading it could run code in it; if you trust the file, save "
        f'its weights alone and name {alone.name} instead: python -c "import torch; '
        f"f = lambda o: f(o.state_dict()) if hasattr(o, 'state_dict') else {inside}; "
        f"torch.save(f(torch.load('{path}', map_location='cpu', weights_only=False)), '{alone}')\""
    )


def _check_packed(path: Path) -> None:
    """Raise ValueError for TorchScript, and for a zip of compressed members: torch stores them, a bomb does not."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as held:
            if any(name.endswith("/constants.pkl") for name in held.namelist()):
                raise ValueError("it is a TorchScript program; save the state_dict of its network with torch.save")
            if any(member.compress_type != zipfile.ZIP_STORED for member in held.infolist()):
                raise ValueError("its members are compressed, which torch.save does not do")
