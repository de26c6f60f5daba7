"""Flips and rotations for segmentation: one random draw moves an image and its mask alike.

A draw is one matrix, and both pictures are sampled through it, so they cannot part. Flipping or rotating patch tokens
would be something else than tokens of a flipped image: a vision transformer adds a position to every patch and has seen
few heads-down patients, and a rotation by other than right angles does not map patches onto patches. So images are
turned, and encoded anew.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

FLIP_CHANCE = 0.25  # vertical, and horizontal; authors' repository, which by mistake flips vertically both times
MOST_DEGREES = 90.0  # either way; authors' repository


@dataclass(frozen=True)
class Draws:
    """B random draws: whether each image is flipped top to bottom, left to right, and by how many degrees it turns."""

    vertical: NDArray[np.bool_]
    horizontal: NDArray[np.bool_]
    degrees: NDArray[np.float64]

    def __getitem__(self, which: NDArray[np.intp] | slice) -> "Draws":
        return Draws(self.vertical[which], self.horizontal[which], self.degrees[which])

    def matrices(self) -> Tensor:
        """(B, 2, 3) float32, from a place in the new picture to its place in the old one, both in [-1, 1]."""
        angle = np.deg2rad(self.degrees)
        across, down = np.where(self.horizontal, -1.0, 1.0), np.where(self.vertical, -1.0, 1.0)
        rows = [
            np.stack([np.cos(angle) * across, -np.sin(angle) * across, np.zeros_like(angle)], axis=1),
            np.stack([np.sin(angle) * down, np.cos(angle) * down, np.zeros_like(angle)], axis=1),
        ]
        return torch.from_numpy(np.stack(rows, axis=1).astype(np.float32))


def draw(n: int, generator: np.random.Generator) -> Draws:
    """`n` draws by the paper's chances."""
    chances = generator.random((n, 2)) < FLIP_CHANCE
    return Draws(chances[:, 0], chances[:, 1], generator.uniform(-MOST_DEGREES, MOST_DEGREES, n))


def images(pictures: Tensor, draws: Draws) -> Tensor:
    """(B, C, S, S) float32 in [0, 1] moved by `draws`, bilinear; what comes from outside is 0, the darkest."""
    return grid_sample(pictures, _grid(pictures, draws), mode="bilinear", padding_mode="zeros", align_corners=False)


def masks(pictures: Tensor, draws: Draws) -> Tensor:
    """(B, S, S) uint8 class numbers moved by `draws`, nearest; what comes from outside is background."""
    planes = pictures[:, None].float()
    moved = grid_sample(planes, _grid(planes, draws), mode="nearest", padding_mode="zeros", align_corners=False)
    return moved[:, 0].to(pictures.dtype)


def _grid(pictures: Tensor, draws: Draws) -> Tensor:
    matrices = draws.matrices().to(pictures.device)
    return affine_grid(matrices, [len(pictures), 1, *pictures.shape[-2:]], align_corners=False)
