"""Losses of segmentation: soft Dice, alone or with cross-entropy (paper section 3.3.2; authors' repository)."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from radlib.errors import unknown_name

Loss = Literal["dice", "dice + cross-entropy"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
SMOOTH = 1e-5  # above and below the fraction line; MONAI's, which the authors' repository uses


def soft_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - soft Dice of logits (B, C, H, W) against masks (B, H, W) uint8 of 0…C-1: a scalar in [0, 1].

    With p = softmax over classes and t = one-hot truth, each image and class, background included, gives
    1 - (2 Σ p t + ε) / (Σ p + Σ t + ε), sums over pixels; the loss is the mean of them all.
    """
    probabilities = logits.float().softmax(dim=1)
    truth = masks[:, None] == torch.arange(logits.shape[1], device=masks.device)[:, None, None]
    common = torch.where(truth, probabilities, 0).sum(dim=(2, 3))
    sizes = probabilities.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return (1 - (2 * common + SMOOTH) / (sizes + SMOOTH)).mean()


def loss(kind: Loss, logits: Tensor, masks: Tensor) -> Tensor:
    """The loss called `kind`, one of `LOSSES`; shapes as in `soft_dice`."""
    if kind not in LOSSES:
        raise unknown_name("loss", kind, LOSSES)
    total = soft_dice(logits, masks)
    if kind == "dice + cross-entropy":
        total = total + cross_entropy(logits.float(), masks.long())
    return total
