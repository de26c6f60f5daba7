"""Decoders: from a frozen backbone's patch tokens to a mask (paper section 3.3.2, Table 3).

The linear decoder reads each token of the last block on its own and so shows what the tokens already hold; the U-Net
decoder joins the last five blocks on the way up. Both follow the authors' repository
(MohammedSB/DINOv2ForRadiology, dinov2/eval/segmentation/utils.py) but for what is said below.
"""

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from radlib.errors import RadlibError, unknown_name

Ending = Literal["plain", "authors"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)

BLOCKS = {"linear": 1, "unet_decoder": 5}  # a decoder's name -> how many last blocks' tokens it reads
LINEAR_STD = 0.01  # standard deviation of the linear decoder's first weights, the authors'


def make(name: str, width: int, classes: int, ending: Ending = "plain") -> nn.Module:
    """The decoder called `name`, untrained, for tokens of `width` numbers and `classes` outputs, background included.

    `ending` matters to the U-Net decoder alone. Raises RadlibError for an unknown name.
    """
    if name == "linear":
        return LinearDecoder(width, classes)
    if name == "unet_decoder":
        return UNetDecoder(width, classes, ending)
    raise unknown_name("decoder", name, BLOCKS)


class LinearDecoder(nn.Module):
    """One 1x1 convolution on the last block's tokens: `width` + 1 parameters a class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(width, classes, 1)
        nn.init.normal_(self.classify.weight, std=LINEAR_STD)
        nn.init.zeros_(self.classify.bias)

    def forward(self, tokens: Tensor, size: int) -> Tensor:
        """Logits (B, classes, size, size) in float32 of tokens (B, n, h, w, D), of which the last block is read."""
        logits = self.classify(_as_image(tokens[:, -1]))
        return interpolate(logits.float(), size=(size, size), mode="bilinear", align_corners=False)


class UNetDecoder(nn.Module):
    """Four blocks that each double the grid: widths D, D/2, D/4, D/8, `classes`.

    The last block's tokens go up; each up block is joined by the tokens of the next earlier transformer block. All of
    these have the same grid of patches, so the skips bring depth, not resolution. `ending` is what becomes of the
    joined maps of the last up block: ``plain``, a 1x1 convolution to logits; ``authors``, 3x3 convolution, batch norm
    and ReLU as in every other block, so that logits below zero are cut off. Convolutions before a batch norm have no
    bias, which the norm would take away again (the authors' have: 1,794 of 17.2 million parameters at D = 1024).
    """

    def __init__(self, width: int, classes: int, ending: Ending = "plain") -> None:
        super().__init__()
        if ending not in ENDINGS:
            raise unknown_name("ending of the U-Net decoder", ending, ENDINGS)
        widths = (width, width // 2, width // 4, width // 8, classes)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.skips = nn.ModuleList(_convolution(width, b) for b in widths[1:])
        self.joins = nn.ModuleList(_convolution(2 * b, b) for b in widths[1:])
        if ending == "plain":
            self.joins[-1] = nn.Conv2d(2 * classes, classes, 1)

    def forward(self, tokens: Tensor, size: int) -> Tensor:
        """Logits (B, classes, size, size) in float32 of tokens (B, n, h, w, D), n >= 5, the last block last."""
        needed, given = BLOCKS["unet_decoder"], tokens.shape[1]
        if given < needed:
            raise RadlibError(f"The U-Net decoder reads the tokens of the last {needed} blocks, not of {given}.")
        x = _as_image(tokens[:, -1])
        for earlier, (up, skip, join) in enumerate(zip(self.ups, self.skips, self.joins, strict=True), start=2):
            x = up(x)
            # convolved on the small grid and enlarged after: up to 256 times less work than the other way round
            side = skip(_as_image(tokens[:, -earlier]))
            # corners aligned, as the authors do
            side = interpolate(side, size=x.shape[2:], mode="bilinear", align_corners=True)
            x = join(torch.cat([x, side], dim=1))
        return interpolate(x.float(), size=(size, size), mode="bicubic", align_corners=False)


def _as_image(tokens: Tensor) -> Tensor:
    """Tokens (B, h, w, D) as (B, D, h, w), without a copy: such a view lies in memory as channels_last."""
    return tokens.permute(0, 3, 1, 2)


def _convolution(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
