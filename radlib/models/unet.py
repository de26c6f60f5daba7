"""U-Net (Ronneberger et al. 2015) as the paper trains it from scratch (Tables 3 and 7): 31.0 million parameters.

Widths and depth are the original's; as in the copy the authors use (milesial/Pytorch-UNet) convolutions are padded, so
that a mask has its image's size, and each is followed by a batch norm.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from radlib.errors import RadlibError

WIDTHS = (64, 128, 256, 512, 1024)
HALVINGS = 16  # px of the image to one pixel of the smallest map; every side must be a multiple of it


def check_image_size(image_size: int, title: str = "U-Net") -> None:
    """Raise RadlibError, naming the nearest fit sizes in px, unless 16 divides `image_size`; `title` names the net."""
    if image_size < HALVINGS or image_size % HALVINGS:
        below = max(image_size // HALVINGS, 1) * HALVINGS
        raise RadlibError(
            f"image_size {image_size} is not a multiple of {HALVINGS}, which {title} needs; "
            f"the nearest that are: {below} and {below + HALVINGS}."
        )


class UNet(nn.Module):
    """Four times double convolution and halving, the same way up again, a 1x1 convolution to `classes` logits.

    `classes` counts the background; `channels` is the image's.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList(_double_convolution(a, b) for a, b in pairwise((channels, *WIDTHS)))
        narrowing = list(pairwise(reversed(WIDTHS)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in narrowing)
        self.join = nn.ModuleList(_double_convolution(2 * b, b) for _, b in narrowing)
        self.classify = nn.Conv2d(WIDTHS[0], classes, 1)
        self.halve = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of images (B, channels, H, W); H and W multiples of 16."""
        for side in images.shape[2:]:
            check_image_size(side)
        x, skips = self.down[0](images), []
        for convolve in self.down[1:]:
            skips.append(x)
            x = convolve(self.halve(x))
        for enlarge, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat([skip, enlarge(x)], dim=1))
        return self.classify(x)


def _double_convolution(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entering in (channels, width):
        layers += [nn.Conv2d(entering, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
