"""The published DINOv2's resampling of its position embedding, by itself."""

import pytest
import torch
from timm.layers import resample_abs_pos_embed

from radlib.models import backbones
from radlib.models.position_embedding import resample_as_published


@pytest.fixture(scope="module")
def position() -> torch.Tensor:
    return torch.randn(1, 1 + 37 * 37, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("grid", [(16, 16), (32, 32), (40, 40), (16, 24)])
def test_patches_are_resampled_bicubic_without_antialias_by_n_plus_a_tenth(
    position: torch.Tensor, grid: tuple[int, int]
) -> None:
    h, w = grid
    square = position[0, 1:].T.reshape(1, 8, 37, 37)
    expected = torch.nn.functional.interpolate(
        square, scale_factor=((h + 0.1) / 37, (w + 0.1) / 37), mode="bicubic", antialias=False
    )
    resampled = resample_as_published(position, grid)
    assert resampled.shape == (1, 1 + h * w, 8)
    torch.testing.assert_close(resampled[0, 1:].T.reshape(8, h, w), expected[0], rtol=0, atol=0)
    torch.testing.assert_close(resampled[:, :1], position[:, :1], rtol=0, atol=0)


def test_the_published_rule_is_not_timms_default(position: torch.Tensor) -> None:
    ours, timms = resample_as_published(position, (16, 16)), resample_abs_pos_embed(position, (16, 16))
    assert (ours - timms).norm() / timms.norm() > 0.01


def test_at_518_px_nothing_is_resampled(position: torch.Tensor) -> None:
    assert resample_as_published(position, (37, 37)) is position


def test_a_loaded_backbone_follows_the_rule_at_each_size() -> None:
    at_518 = backbones.load("vits14_random", image_size=518).module.pos_embed
    at_224 = backbones.load("vits14_random", image_size=224).module.pos_embed
    assert at_518.shape == (1, 1 + 37 * 37, 384)
    torch.testing.assert_close(at_224, resample_as_published(at_518, (16, 16)), rtol=0, atol=0)
