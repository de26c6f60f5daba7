import dataclasses

import pytest
import timm
import torch

from radlib.errors import RadlibError
from radlib.models import adapters, backbones


@pytest.fixture
def giant():
    """DINOv2's ViT-g/14 without memory for its weights."""
    row = backbones.spec("dinov2_vitg14")
    with torch.device("meta"):
        module = timm.create_model(row.timm_name, num_classes=0)
    return backbones.Backbone(row, module.requires_grad_(False), row.image_size, "none")


# Table 8 of the paper prints 1,100M (100%), 8M (0.7%) and 0.8M (0.07%).
@pytest.mark.parametrize(
    "method, exact, millions, share",
    [
        ("fine_tune", 1_136_479_232, 1_100, 1.0),
        ("lora", 32 * (1536 + 3 * 1536) * 40 + 40 * 3 * 1536, 8, 0.007),
        ("bitfit", 760_832, 0.8, 0.0007),
    ],
)
def test_trainable_parameters_are_table_8s(giant, method, exact, millions, share):
    whole = sum(weight.numel() for weight in giant.module.parameters())
    with torch.device("meta"):
        found = adapters.trainable_parameters(adapters.adapt(giant, method))
    assert found == exact
    assert found / 1e6 == pytest.approx(millions, rel=0.06)
    assert found / whole == pytest.approx(share, rel=0.06)


def small(name="vits14_random"):
    return backbones.load(name, 28, seed=0)


@pytest.mark.parametrize("method", adapters.METHODS)
def test_an_adapted_backbone_answers_as_before_until_it_learns(method):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 28, 28)
    before = small().tokens(images)
    backbone = small()
    adapters.adapt(backbone, method)
    after = backbone.tokens(images)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", adapters.METHODS)
def test_a_step_changes_what_should_learn_and_nothing_else(method):
    backbone = small()
    module = adapters.adapt(backbone, method).train()
    start = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    learning = {name for name, weight in module.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.SGD([w for w in module.parameters() if w.requires_grad], 1.0)
    cls, patches = backbone.tokens(torch.randn(2, 3, 28, 28))
    (cls.square().mean() + patches[..., :7].mean()).backward()
    optimizer.step()
    moved = {name for name, weight in module.named_parameters() if not torch.equal(weight, start[name])}
    assert moved and moved <= learning
    if method == "bitfit":
        assert all(name.endswith("bias") for name in learning)
    if method == "lora":
        assert all("lora_" in name or name.endswith("qkv.base_layer.bias") for name in learning)


def test_lora_on_a_network_without_attention_is_told():
    backbone = backbones.load("efficientnet_lite0", 32)
    with pytest.raises(RadlibError, match="'efficientnet_lite0' has none; use bitfit or fine_tune"):
        adapters.adapt(backbone, "lora")


def test_an_unknown_method_is_told():
    with pytest.raises(RadlibError, match="no method of fine-tuning called 'loar'; did you mean 'lora'"):
        adapters.adapt(dataclasses.replace(small()), "loar")
