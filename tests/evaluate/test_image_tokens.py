"""Tokens of a few images: from the cache where they lie there, each image decoded once."""

import collections
import dataclasses

import numpy as np
import pytest
import torch

from radlib.data.preprocess import model_input, unit_square
from radlib.errors import RadlibError
from radlib.evaluate import image_tokens
from radlib.models import runtime

SIZE, WIDTH, N = 56, 16, 6  # 4 x 4 patches


@pytest.fixture(autouse=True)
def _torch_encodes(monkeypatch):
    monkeypatch.setattr(runtime, "name", lambda device="auto": "torch-float32")


@pytest.fixture(scope="module")
def backbone(tiny_vit):
    return tiny_vit(SIZE, WIDTH, depth=2)


@pytest.fixture
def decoded():
    """How often each image was decoded."""
    return collections.Counter()


@pytest.fixture
def cohort(noise, decoded):
    def read(root, row):
        decoded[row["image"]] += 1
        return np.load(root / row["image"])

    def unpack_everything(progress):
        raise AssertionError("a whole cohort was prepared for a few images")

    return noise(N, read, prepare=unpack_everything)


def see(cohort, backbone, rows, **options):
    return image_tokens.see(cohort, backbone, rows, "cpu", progress=False, **options)


def test_tokens_and_squares_are_those_of_the_images(cohort, backbone):
    seen = see(cohort, backbone, [4, 1])
    images = torch.from_numpy(np.stack([model_input(cohort.read(k), SIZE) for k in (4, 1)]))
    expected = backbone.tokens(images)[1][:, -1].numpy()
    assert (seen.tokens.shape, seen.tokens.dtype) == ((2, 4, 4, WIDTH), np.float16)
    np.testing.assert_allclose(seen.tokens, expected, rtol=2**-10, atol=1e-5)
    np.testing.assert_array_equal(seen.squares, [unit_square(cohort.read(k), SIZE)[0] for k in (4, 1)])


def test_an_image_is_decoded_once_and_encoded_once(cohort, backbone, decoded, monkeypatch):
    first = see(cohort, backbone, [0, 1, 2])
    assert first.computed == 3 and decoded == {"0.npy": 1, "1.npy": 1, "2.npy": 1}
    more = see(cohort, backbone, [2, 0, 5])
    assert more.computed == 1, "only the new one"
    np.testing.assert_array_equal(more.tokens[:2], first.tokens[[2, 0]])
    monkeypatch.setattr(runtime, "encoder", lambda *_, **__: pytest.fail("encoded again"))
    assert see(cohort, backbone, [5, 1]).computed == 0


def test_another_image_in_the_file_is_another_key(cohort, backbone):
    first = see(cohort, backbone, [0])
    np.save(cohort.root / "0.npy", np.random.default_rng(9).random((1, 60, 50), dtype=np.float32))
    again = see(cohort, backbone, [0])
    assert again.computed == 1 and again.fingerprints != first.fingerprints


def test_it_is_told_how_many_are_done(cohort, backbone):
    heard = []
    see(cohort, backbone, [3, 1, 2], told=heard.append)
    assert heard == [1, 2, 3]


def test_rows_that_are_not_there_are_refused(cohort, backbone):
    with pytest.raises(RadlibError, match="Noise has images 0 to 5 and 6 was asked for"):
        see(cohort, backbone, [0, 6])
    with pytest.raises(RadlibError, match="No image of Noise was named"):
        see(cohort, backbone, [])


def test_a_network_without_patch_tokens_is_refused(cohort, backbone):
    convolutional = dataclasses.replace(backbone, spec=dataclasses.replace(backbone.spec, family="cnn"))
    with pytest.raises(RadlibError, match="'tiny' has no patch tokens; name a vision transformer"):
        see(cohort, convolutional, [0])


def test_a_backbone_that_answers_nan_names_the_image(cohort, backbone):
    class Broken(torch.nn.Module):
        def forward_intermediates(self, images, **_):
            return [(torch.full((len(images), WIDTH, 4, 4), torch.nan), torch.zeros(len(images), 1, WIDTH))]

    broken = dataclasses.replace(backbone, module=Broken(), weights_sha256="1" * 64)
    with pytest.raises(RadlibError, match="NaN or infinite features for 1 images, first .*3.npy"):
        see(cohort, broken, [3])
