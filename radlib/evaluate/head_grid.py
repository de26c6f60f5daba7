"""The linear probe's grid of heads, inputs x learning rates, as torch modules that a learning backbone can feed."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radlib.evaluate.linear_probe import INITIAL_STD, MOMENTUM
from radlib.evaluate.probe import probabilities
from radlib.models.backbones import Backbone
from radlib.models.runtime import LAST_BLOCKS


def inputs(backbone: Backbone, images: Tensor) -> dict[str, Tensor]:
    """Normalised images (B, 3, H, W) -> what heads read, each (B, d) float32, with gradients.

    The names and the order within each are those of `features.Features.linear_inputs`.
    """
    if backbone.spec.family != "vit":
        return {"pooled": backbone.pooled(images).float()}
    cls, patches = backbone.tokens(images, LAST_BLOCKS)
    four, one = cls.float().flatten(1), cls[:, -1].float()
    mean = patches[:, -1].float().mean(dim=(1, 2))
    return {"cls1": one, "cls1+mean": torch.cat([one, mean], 1), "cls4": four, "cls4+mean": torch.cat([four, mean], 1)}


class HeadGrid(nn.Module):
    """One linear layer for every input and learning rate; `names` lists the pairs in order.

    All start from weights drawn from the seed alone, N(0, 0.01²), bias 0, as the linear probe's.
    """

    def __init__(self, backbone: Backbone, rates: Sequence[float], n_classes: int, multi_label: bool, seed: int):
        super().__init__()
        width = backbone.spec.width
        widths = {"cls1": 1, "cls1+mean": 2, "cls4": LAST_BLOCKS, "cls4+mean": LAST_BLOCKS + 1}
        if backbone.spec.family != "vit":
            widths = {"pooled": 1}
        self.names = [(name, rate) for name in widths for rate in rates]
        self.multi_label = multi_label
        start = torch.Generator().manual_seed(seed)
        self.heads = nn.ModuleList(nn.Linear(widths[name] * width, n_classes) for name, _ in self.names)
        for head in self.heads:
            nn.init.normal_(head.weight, std=INITIAL_STD, generator=start)
            nn.init.zeros_(head.bias)

    def optimizer(self) -> torch.optim.SGD:
        """SGD with one group a head, each at its own rate."""
        groups = [
            {"params": list(head.parameters()), "lr": rate}
            for head, (_, rate) in zip(self.heads, self.names, strict=True)
        ]
        return torch.optim.SGD(groups, momentum=MOMENTUM)

    def set_rates(self, optimizer: torch.optim.SGD, cosine: float) -> None:
        """Every group of `optimizer` at its head's learning rate times `cosine`."""
        for group, (_, rate) in zip(optimizer.param_groups, self.names, strict=True):
            group["lr"] = rate * cosine

    def loss(self, features: Mapping[str, Tensor], targets: Tensor) -> Tensor:
        """Sum over heads of the mean cross-entropy, of a softmax or of one sigmoid a label; targets (B, K)."""
        entropy = nn.functional.binary_cross_entropy_with_logits if self.multi_label else nn.functional.cross_entropy
        losses = [
            entropy(head(features[name]), targets) for head, (name, _) in zip(self.heads, self.names, strict=True)
        ]
        return torch.stack(losses).sum()

    def scores(self, number: int, features: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """Probabilities (M, K) of head `number` for features (M, d) of every input."""
        head = self.heads[number]
        with torch.inference_mode():
            rows = torch.from_numpy(features[self.names[number][0]]).to(head.weight.device)
            return probabilities(head(rows).float().cpu().numpy(), self.multi_label)
