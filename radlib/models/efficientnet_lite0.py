"""EfficientNet-Lite0's published checkpoint under timm's names.

The checkpoint is TensorFlow's, ported with TensorFlow's "same" padding (an odd pixel of padding goes right and
below) and its batch-norm epsilon of 1e-3. timm calls that model `tf_efficientnet_lite0`; its `efficientnet_lite0`
has the same parameters but pads evenly and is another network. Held against the publisher's own code
(efficientnet_lite_pytorch 0.1.0), the outputs of `tf_efficientnet_lite0` are equal.
"""

from pathlib import Path

import torch
from torch import Tensor

STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks a stage; the checkpoint numbers all 16 in one row
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# the first block does not expand its channels, so timm's numbering of its layers starts one step later
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def state_dict(path: Path) -> dict[str, Tensor]:
    """Weights of timm's `tf_efficientnet_lite0` read from the checkpoint at `path`."""
    checkpoint: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {_timm_name(name): tensor for name, tensor in checkpoint.items()}


def _timm_name(name: str) -> str:
    if not name.startswith("_blocks."):
        layer, kind = name.split(".")
        return f"{_STEM_AND_HEAD[layer]}.{kind}"
    _, number, layer, kind = name.split(".")
    stage, block = [(stage, block) for stage, blocks in enumerate(STAGES) for block in range(blocks)][int(number)]
    names = _BLOCK if stage else _FIRST_BLOCK
    return f"blocks.{stage}.{block}.{names[layer]}.{kind}"
