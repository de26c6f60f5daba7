"""TransUNet (Chen et al. 2021, https://arxiv.org/abs/2102.04306) with R50-ViT-L/16, trained from scratch (Table 3).

A ResNetV2-50 shrinks the image to 1/16, a ViT-L/16 mixes that map's pixels as tokens, and a cascade of bilinear
enlargements and convolutions, joined by the ResNet's maps at 1/8, 1/4 and 1/2, leads back to the image's size. The
numbers are those of the published configuration R50-ViT-L_16 (Beckschen/TransUNet, networks/vit_seg_configs.py) with
the three skips that the paper's authors set. 324.6 million parameters at 448 px, of which Table 3 prints 324M.

One thing differs: the pooling after the first convolution reaches the last row and column of an image of even size,
as in the ResNet of Google's hybrid ViT. The published code leaves both out and fills the skip at 1/4 with zeros there.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from radlib.errors import RadlibError
from radlib.models.unet import check_image_size

TITLE = "TransUNet"
PATCH = 16  # px of the image to one token
WIDTH, DEPTH, HEADS = 1024, 24, 16  # ViT-L; its MLPs are 4096 wide, timm's four times the width
DROPOUT = 0.1  # after the embedding and in the MLPs; none in attention
RESNET_UNITS = (3, 4, 9)  # of widths 256, 512, 1024; the fourth stage of a ResNet50 gives its units to the third
RESNET_WIDTHS = (256, 512, 1024)
BOTTOM = 512  # channels at which the decoder begins
DECODER = (256, 128, 64, 16)
SKIPS = (512, 256, 64, 0)  # channels of the ResNet's maps at 1/8, 1/4 and 1/2; none at the image's own size


class TransUNet(nn.Module):
    """ResNetV2-50, 24 transformer blocks and the cascaded upsampler, for square images of `image_size` px.

    `classes` counts the background. The position embedding has one row a token, so one network takes one size.
    Raises RadlibError for a size that 16 does not divide.
    """

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        check_image_size(image_size, TITLE)
        self.image_size = image_size
        self.resnet = _resnet()
        self.embed = nn.Conv2d(RESNET_WIDTHS[-1], WIDTH, 1)
        self.position = nn.Parameter(torch.zeros(1, (image_size // PATCH) ** 2, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.Sequential(*(_block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.bottom = nn.Sequential(*_convolution(WIDTH, BOTTOM))
        self.joins = nn.ModuleList(
            nn.Sequential(*_convolution(below + skip, width), *_convolution(width, width))
            for below, skip, width in zip((BOTTOM, *DECODER[:-1]), SKIPS, DECODER, strict=True)
        )
        self.classify = nn.Conv2d(DECODER[-1], classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of images (B, 3, H, W), H = W = `image_size`."""
        if images.shape[2:] != (self.image_size, self.image_size):
            h, w = images.shape[2:]
            raise RadlibError(f"This {TITLE} was made for images of {self.image_size} px a side, not {h} x {w}.")
        half, quarter, eighth, x = self.resnet.forward_intermediates(images, intermediates_only=True)
        tokens = self.embed(x).flatten(2).transpose(1, 2)  # (B, h*w, WIDTH)
        tokens = self.norm(self.blocks(self.dropout(tokens + self.position)))
        x = self.bottom(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))
        for join, skip in zip(self.joins, (eighth, quarter, half, None), strict=True):
            x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = join(x if skip is None else torch.cat([x, skip], dim=1))
        return self.classify(x)


def _resnet() -> nn.Module:
    """The ResNetV2-50 as far as 1/16: standardised weights, group norm, no pre-activation."""
    from timm.layers import GroupNormAct, StdConv2d
    from timm.models.resnetv2 import ResNetV2

    resnet = ResNetV2(
        RESNET_UNITS,
        RESNET_WIDTHS,
        num_classes=0,
        global_pool="",
        preact=False,
        stem_type="same",
        conv_layer=partial(StdConv2d, eps=1e-5),
        norm_layer=partial(GroupNormAct, num_groups=32, eps=1e-6),
    )
    for stage, width in zip(resnet.stages, RESNET_WIDTHS, strict=True):
        stage.blocks[0].downsample.norm = nn.GroupNorm(width, width)  # TransUNet's shortcuts: one group a channel
    return resnet


def _block() -> nn.Module:
    """One block of ViT-L; first weights of the MLP as in TransUNet, and dropout in it alone."""
    from timm.models.vision_transformer import Block

    block = Block(WIDTH, HEADS, qkv_bias=True, proj_drop=DROPOUT, norm_layer=partial(nn.LayerNorm, eps=1e-6))
    block.attn.proj_drop = nn.Identity()
    for layer in (block.mlp.fc1, block.mlp.fc2):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(layer.bias, std=1e-6)
    return block


def _convolution(channels: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
