"""How DINOv2 stretches its position embedding to image sizes it was not trained at."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

OFFSET = 0.1  # `interpolate_offset` of the published model (facebookresearch/dinov2, vision_transformer.py)


def resample_as_published(position: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embedding (1, 1 + n*n, D), class token first, for a `grid` of (h, w) patches: (1, 1 + h*w, D).

    The published model resamples bicubic, without antialiasing, by the scale factors (h + 0.1)/n and
    (w + 0.1)/n, so the sampling points are not those of a resize "to h x w". timm's default (antialiased, by
    size) changes the tokens of a ViT-S/14 at 224 px by more than 1 %. A grid of n x n is returned as it is.
    """
    n = round((position.shape[1] - 1) ** 0.5)
    if grid == (n, n):
        return position
    cls, patches = position[:, :1], position[:, 1:]
    h, w = grid
    stretched = interpolate(
        patches.reshape(1, n, n, -1).permute(0, 3, 1, 2),
        scale_factor=((h + OFFSET) / n, (w + OFFSET) / n),
        mode="bicubic",
        antialias=False,
    )
    return torch.cat([cls, stretched.permute(0, 2, 3, 1).reshape(1, h * w, -1)], dim=1)
