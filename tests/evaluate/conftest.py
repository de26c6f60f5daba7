import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from radlib.data.dataset import Dataset
from radlib.models import backbones


@pytest.fixture(autouse=True)
def _own_cache(own_cache):
    """Features of tests never meet the user's."""


@pytest.fixture(scope="session")
def tiny_vit():
    """Maker of vision transformers of `depth` small blocks, so that the cache is tested and not the network."""

    def make(size, width, depth):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = VisionTransformer(size, 14, embed_dim=width, depth=depth, num_heads=2, num_classes=0)
            torch.nn.init.normal_(module.pos_embed, std=0.5)
        spec = dataclasses.replace(backbones.spec("vits14_random"), id="tiny", width=width)
        return backbones.Backbone(spec, module.eval().requires_grad_(False), size, "0" * 64)

    return make


@pytest.fixture
def noise(tmp_path):
    """Maker of a dataset of `n` noisy images, `read` from files that lie in its root."""

    def make(n, read, **changes):
        rng = np.random.default_rng(0)
        for k in range(n):
            np.save(tmp_path / f"{k}.npy", rng.random((1, 60, 50), dtype=np.float32))
        samples = pd.DataFrame({"image": [f"{k}.npy" for k in range(n)], "patient": "p", "split": "train"})
        return Dataset(
            name="noise",
            title="Noise",
            task="segmentation",
            classes=("a",),
            samples=samples,
            labels=np.zeros((n, 0), dtype=np.int64),
            origin="own",
            note="",
            root=tmp_path,
            read_image=read,
            preparation="as stored",
            **changes,
        )

    return make
