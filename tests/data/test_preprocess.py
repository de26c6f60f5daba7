import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import normalize, resize

from radlib.data.preprocess import model_input


def test_matches_torchvision_step_by_step():
    # Pillow and torch round their filters differently by a few 1e-5.
    pixels = np.random.default_rng(0).normal(100, 40, (1, 300, 260)).astype(np.float32)
    square = resize(torch.from_numpy(pixels), [224, 224], InterpolationMode.BICUBIC, antialias=True)
    scaled = (square - square.min()) / (square.max() - square.min())
    expected = normalize(scaled.repeat(3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    np.testing.assert_allclose(model_input(pixels, 224), expected.numpy(), atol=1e-4)


def test_a_constant_image_is_not_nan():
    image = model_input(np.full((1, 64, 64), 7.0), 28)
    assert np.isfinite(image).all()
    np.testing.assert_allclose(image, np.broadcast_to(model_input(np.zeros((3, 64, 64)), 28), image.shape))


@given(st.floats(1, 1000), st.floats(-1000, 1000))
def test_units_do_not_matter(gain, offset):
    pixels = np.random.default_rng(1).random((1, 40, 50))
    np.testing.assert_allclose(model_input(pixels * gain + offset, 28), model_input(pixels, 28), atol=0.02)


def test_each_channel_is_scaled_on_its_own():
    pixels = np.random.default_rng(2).random((3, 40, 40))
    louder = pixels * np.array([1, 10, 100])[:, None, None]
    np.testing.assert_allclose(model_input(louder, 28), model_input(pixels, 28), atol=1e-4)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match=r"\(1 or 3, H, W\)"):
        model_input(np.zeros((2, 8, 8)), 28)
