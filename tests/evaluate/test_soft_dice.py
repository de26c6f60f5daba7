import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss, DiceLoss

from radlib.errors import RadlibError
from radlib.evaluate.soft_dice import LOSSES, SMOOTH, loss, soft_dice

MONAI = {"softmax": True, "to_onehot_y": True, "smooth_nr": SMOOTH, "smooth_dr": SMOOTH}
THEIRS = {"dice": DiceLoss(**MONAI), "dice + cross-entropy": DiceCELoss(**MONAI)}


def of(function, logits):
    logits = logits.clone().requires_grad_()
    value = function(logits)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize("kind", LOSSES)
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 6), st.integers(1, 9), st.sampled_from([0.1, 1, 30]))
def test_value_and_gradient_are_monais(kind, seed, batch, classes, side, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(batch, classes, side, side + 1, generator=generator)
    present = int(torch.randint(1, classes + 1, (), generator=generator))  # the last classes may have no pixel
    masks = torch.randint(present, (batch, side, side + 1), generator=generator, dtype=torch.uint8)
    ours = of(lambda given: loss(kind, given, masks), logits)
    theirs = of(lambda given: THEIRS[kind](given, masks[:, None].long()), logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_perfect_mask_costs_nothing_even_of_classes_that_no_pixel_has():
    masks = torch.zeros(2, 4, 4, dtype=torch.uint8)
    masks[0, :2] = 1
    logits = 1e4 * torch.nn.functional.one_hot(masks.long(), 5).movedim(-1, 1).float()
    assert soft_dice(logits, masks) == pytest.approx(0, abs=1e-6)


def test_a_wholly_wrong_mask_costs_almost_everything():
    masks = torch.zeros(1, 8, 8, dtype=torch.uint8)
    logits = torch.stack([torch.full((1, 8, 8), -1e4), torch.full((1, 8, 8), 1e4)], dim=1)
    assert soft_dice(logits, masks) == pytest.approx(1, abs=1e-6)


def test_half_precision_logits_are_summed_in_float32():
    # 448 x 448 pixels of probability 1/2 add up to more than float16 can hold
    logits = torch.zeros(1, 2, 448, 448, dtype=torch.float16)
    masks = torch.zeros(1, 448, 448, dtype=torch.uint8)
    masks[:, :, :224] = 1
    assert soft_dice(logits, masks) == pytest.approx(0.5, abs=1e-6)


def test_an_unknown_loss_is_named():
    with pytest.raises(RadlibError, match="no loss called 'focal'"):
        loss("focal", torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8))
