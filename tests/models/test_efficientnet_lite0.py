"""EfficientNet-Lite0's checkpoint becomes the network its publisher trained."""

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, pad

from radlib import assets
from radlib.models.backbones import Backbone

PALACE, DAISY = 698, 985  # ImageNet-1k classes


def test_stem_and_first_blocks_equal_a_plain_recomputation_from_the_checkpoint(lite0: Backbone, noise: Tensor) -> None:
    stored = torch.load(assets.fetch("efficientnet_lite0"), weights_only=True)

    def normalised(x: Tensor, name: str) -> Tensor:
        mean, variance = stored[name + ".running_mean"], stored[name + ".running_var"]
        return batch_norm(x, mean, variance, stored[name + ".weight"], stored[name + ".bias"], eps=1e-3)

    def weight(name: str) -> Tensor:
        return stored[name + ".weight"]

    # TensorFlow pads an even image of a stride-2 convolution on the right and below only
    x = normalised(conv2d(pad(noise, (0, 1, 0, 1)), weight("_conv_stem"), stride=2), "_bn0").clamp(0, 6)
    x = normalised(conv2d(x, weight("_blocks.0._depthwise_conv"), padding=1, groups=32), "_blocks.0._bn1").clamp(0, 6)
    x = normalised(conv2d(x, weight("_blocks.0._project_conv")), "_blocks.0._bn2")
    x = normalised(conv2d(x, weight("_blocks.1._expand_conv")), "_blocks.1._bn0").clamp(0, 6)
    x = conv2d(pad(x, (0, 1, 0, 1)), weight("_blocks.1._depthwise_conv"), stride=2, groups=96)
    x = normalised(x, "_blocks.1._bn1").clamp(0, 6)
    x = normalised(conv2d(x, weight("_blocks.1._project_conv")), "_blocks.1._bn2")

    module = lite0.module
    with torch.inference_mode():
        y = module.blocks[0](module.bn1(module.conv_stem(noise)))
        y = module.blocks[1][0](y)
    assert (x - y).norm() / x.norm() < 1e-5


def test_it_knows_a_palace_and_a_daisy(lite0: Backbone) -> None:
    named = []
    for photograph in load_sample_images().images:  # (427, 640, 3) uint8
        square = torch.tensor(photograph[:, 106:533]).permute(2, 0, 1)[None].float()
        image = torch.nn.functional.interpolate(square, (224, 224), mode="bicubic", antialias=True)
        with torch.inference_mode():
            named.append(int(lite0.module((image - 127) / 128).argmax()))  # the publisher's own scaling
    assert named == [PALACE, DAISY]
