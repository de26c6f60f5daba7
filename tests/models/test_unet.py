import pytest
import torch

from radlib.errors import RadlibError
from radlib.models.unet import UNet, check_image_size


def test_it_has_the_papers_parameters():
    with torch.device("meta"):
        assert sum(weight.numel() for weight in UNet(1).parameters()) == 31_037_633


def test_a_mask_has_its_images_size_and_every_parameter_learns():
    torch.manual_seed(0)
    network = UNet(classes=3)
    logits = network(torch.randn(2, 3, 32, 48))
    assert logits.shape == (2, 3, 32, 48)
    logits.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_images_of_one_channel_can_be_asked_for():
    with torch.device("meta"):
        assert UNet(classes=2, channels=1)(torch.empty(1, 1, 448, 448)).shape == (1, 2, 448, 448)


def test_it_sees_detail_and_surroundings():
    """A pixel moves its own logits most, by way of the uppermost skip, and some 60 px away, by way of the bottom."""
    torch.manual_seed(0)
    network = UNet(classes=1).eval().double()  # what comes far is below what float32 tells from nothing
    image = torch.randn(1, 3, 128, 128, dtype=torch.float64)
    changed = image.clone()
    changed[..., 64, 64] += 5
    with torch.inference_mode():
        moved = (network(image) - network(changed))[0, 0].abs()
    assert moved[64, 64] > 10 * moved[64, 100] and moved[64, 120] > 0


@pytest.mark.parametrize("size, nearest", [(450, "448 and 464"), (224 + 15, "224 and 240"), (8, "16 and 32")])
def test_a_size_that_cannot_be_halved_four_times_is_refused(size, nearest):
    with pytest.raises(RadlibError, match=f"image_size {size} is not a multiple of 16, which U-Net needs.*{nearest}"):
        check_image_size(size)
    with torch.device("meta"), pytest.raises(RadlibError, match=nearest):
        UNet(2)(torch.empty(1, 3, 448, size))


def test_fit_sizes_pass():
    for size in (16, 224, 448):
        check_image_size(size)
