import pytest
import torch

from radlib.errors import RadlibError
from radlib.models.transunet import TransUNet

SIZE = 32


def on_meta(size, classes=1):
    """The network without memory for its 324 million weights."""
    with torch.device("meta"):
        return TransUNet(classes, size)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return TransUNet(classes=2, image_size=SIZE)


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def test_it_has_the_papers_parameters_at_the_papers_size():
    network = on_meta(448)
    assert count(network) == 324_625_681
    assert count(network.resnet) == 11_894_848  # ResNet50's first three stages, nine units in the third
    assert count(network.blocks) == 24 * 12_596_224  # ViT-L's blocks
    assert network.position.numel() == 28 * 28 * 1024


def test_size_changes_the_position_embedding_alone():
    assert count(on_meta(448)) - count(on_meta(224)) == (28 * 28 - 14 * 14) * 1024


def test_shapes_at_the_papers_size():
    network = on_meta(448, classes=16)
    images = torch.empty(2, 3, 448, 448, device="meta")
    maps = network.resnet.forward_intermediates(images, intermediates_only=True)
    assert [tuple(found.shape[1:]) for found in maps] == [
        (64, 224, 224),
        (256, 112, 112),
        (512, 56, 56),
        (1024, 28, 28),
    ]
    assert network(images).shape == (2, 16, 448, 448)


def test_every_parameter_learns(small):
    torch.manual_seed(0)
    logits = small.train()(torch.randn(2, 3, SIZE, SIZE))
    assert logits.shape == (2, 2, SIZE, SIZE)
    logits.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in small.parameters())
    small.zero_grad()


def test_it_drops_while_training_only(small):
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(small.eval()(image), small(image))
        assert not torch.equal(small.train()(image), small(image))


@pytest.mark.parametrize("number", range(3), ids=["1/2", "1/4", "1/8"])
def test_each_map_of_the_resnet_reaches_the_mask_by_its_own_skip(small, number, monkeypatch):
    small.eval()
    images = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = small(images)
        maps = small.resnet.forward_intermediates(images, intermediates_only=True)
        maps[number] = maps[number] + 1
        monkeypatch.setattr(small.resnet, "forward_intermediates", lambda *_, **__: maps)
        assert (small(images) - plain).abs().max() > 1e-5


def test_other_sizes_are_refused(small):
    with pytest.raises(RadlibError, match="450 is not a multiple of 16, which TransUNet needs.*448 and 464"):
        on_meta(450)
    with pytest.raises(RadlibError, match="made for images of 32 px a side, not 48 x 32"):
        small(torch.empty(1, 3, 48, 32))
