"""The four segmenters of Table 3 by name: two networks trained from scratch, two decoders on a frozen backbone."""

from typing import Literal, get_args

import torch
from torch import nn

from radlib.errors import RadlibError, unknown_name
from radlib.models import backbones, decoders
from radlib.models.transunet import TransUNet
from radlib.models.unet import UNet, check_image_size

Scratch = Literal["unet", "transunet"]
SCRATCH: tuple[Scratch, ...] = get_args(Scratch)

TITLES = {
    "unet": "U-Net",
    "transunet": "TransUNet (R50-ViT-L/16)",
    "linear": "linear decoder",
    "unet_decoder": "U-Net decoder",
}

IMAGE_SIZE = 448  # px, the paper's; TransUNet's position embedding, and so its size, depends on it


def make_scratch(name: Scratch, classes: int, image_size: int) -> nn.Module:
    """The network called `name`, untrained, for square images of `image_size` px; `classes` counts the background.

    It maps images (B, 3, H, W) to logits (B, classes, H, W). Raises RadlibError for an unknown name and for a size in
    px that 16 does not divide.
    """
    if name not in SCRATCH:
        raise unknown_name("network trained from scratch", name, SCRATCH)
    check_image_size(image_size, TITLES[name])
    return UNet(classes) if name == "unet" else TransUNet(classes, image_size)


def count_parameters(
    name: str, backbone: str | None, classes: int, ending: decoders.Ending = "plain"
) -> tuple[int, int]:
    """Numbers that segmenter `name` trains, and those of the whole network with its frozen `backbone`.

    Built without memory for them, for `classes` outputs and images of 448 px. `backbone` is None for the networks
    trained from scratch and the id of one for the decoders. Raises RadlibError for unknown names.
    """
    if name not in TITLES:
        raise unknown_name("segmenter", name, TITLES)
    with torch.device("meta"):
        if name in SCRATCH:
            trained, frozen = make_scratch(name, classes, IMAGE_SIZE), 0
        elif backbone is None:
            raise RadlibError(f"The {TITLES[name]} stands on a backbone; name one, e.g. dinov2_vitl14.")
        else:
            trained = decoders.make(name, backbones.spec(backbone).width, classes, ending)
            frozen = backbones.count_parameters(backbone)
    trainable = sum(weight.numel() for weight in trained.parameters())
    return trainable, trainable + frozen
