"""The fastest honest way this machine has to run a frozen backbone.

On a CPU OpenVINO compiles the network in float32 at one static batch size and runs it as two halves side by side;
without OpenVINO torch runs it. On a GPU torch runs it under float16 autocast, as the paper did. Devices and
precisions are decided here and nowhere else.
"""

import importlib.util
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radlib.errors import RadlibError, unknown_name
from radlib.models.backbones import Backbone, check_patch_tokens

LAST_BLOCKS = 4  # class tokens kept: the widest input of the paper's linear probes

Images = NDArray[np.float32]
Answer = Callable[[Images], tuple[NDArray[np.float32], ...]]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A backbone made ready for batches of up to `batch_size` images.

    `name` says what runs it: "openvino-float32", "torch-float32" or "torch-float16". `outputs` gives the shape of each
    output without its batch axis: ``{"cls": (4, D), "patch_mean": (D,)}`` for a ViT (class tokens of the last four
    blocks, the last block last, and the mean of the last block's patch tokens, all after the final norm) and
    ``{"pooled": (D,)}`` otherwise; ``{"patches": (n, h, w, D)}`` where the patch tokens of n blocks were asked for.
    """

    name: str
    batch_size: int
    image_size: int
    outputs: dict[str, tuple[int, ...]]
    _answer: Answer = field(repr=False)

    def __call__(self, images: Images) -> dict[str, NDArray[np.float32]]:
        """Features of normalised `images` (b, 3, H, W) float32 with b <= `batch_size`; arrays (b, ...) of their own.

        Not for two threads at once; other threads run while it computes.
        """
        if images.dtype != np.float32 or images.shape[1:] != (3, self.image_size, self.image_size):
            raise RadlibError(
                f"The encoder takes float32 images (b, 3, {self.image_size}, {self.image_size}), "
                f"not {images.dtype} {images.shape}."
            )
        if not 1 <= len(images) <= self.batch_size:
            raise RadlibError(f"The encoder takes 1 to {self.batch_size} images at once, not {len(images)}.")
        return dict(zip(self.outputs, self._answer(images), strict=True))


def encoder(backbone: Backbone, batch_size: int, device: str = "auto", patch_blocks: int = 0) -> Encoder:
    """`backbone` compiled for `batch_size` images on `device`: "auto", "cpu", "cuda" or "cuda:N".

    With `patch_blocks` it answers with the patch tokens of so many last blocks of a ViT instead of what classifiers
    need. "auto" takes a GPU when torch sees one. Raises `RadlibError` for a device that is unknown or not there, and
    for patch tokens of a network that has none.
    """
    features = _patches(backbone, patch_blocks) if patch_blocks else _features(backbone)
    if name(device) == "openvino-float32":
        answer = _openvino_answer(backbone, features, batch_size)
    else:
        answer = _torch_answer(backbone, features, torch_device(device))
    width = backbone.spec.width
    outputs: dict[str, tuple[int, ...]] = {"cls": (LAST_BLOCKS, width), "patch_mean": (width,)}
    if backbone.spec.family != "vit":
        outputs = {"pooled": (width,)}
    if patch_blocks:
        side = backbone.image_size // (backbone.spec.patch or 1)
        outputs = {"patches": (patch_blocks, side, side, width)}
    return Encoder(name(device), batch_size, backbone.image_size, outputs, answer)


def name(device: str = "auto") -> str:
    """What would run a backbone on `device`, without compiling anything: the `name` its `Encoder` would have."""
    if torch_device(device).type == "cuda":
        return "torch-float16"
    return "openvino-float32" if importlib.util.find_spec("openvino") else "torch-float32"


def training_dtype(device: str = "auto") -> torch.dtype:
    """The type that networks multiply in while they train; weights and losses are float32.

    float16 on a GPU, as the paper. On a CPU bfloat16 where the processor multiplies matrices of it (AMX), three times
    faster for a U-Net decoder there; else float32, since emulated bfloat16 is slower than either.
    """
    if torch_device(device).type == "cuda":
        return torch.float16
    return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


def training_name(device: str = "auto") -> str:
    """What networks compute in while they train on `device`, e.g. ``torch-float32``."""
    return str(training_dtype(device)).replace("torch.", "torch-")


def torch_device(device: str) -> torch.device:
    """The torch device called "auto", "cpu", "cuda" or "cuda:N"; raises RadlibError if it is not there."""
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not (kind == "cuda" and number.isdigit())):
        raise unknown_name("device", device, ("auto", "cpu", "cuda", "cuda:0"))
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= seen:
        raise RadlibError(f"device '{device}' is not there: torch sees {seen} GPUs; choose 'cpu' or 'auto'.")
    return torch.device(kind, int(number or 0)) if kind == "cuda" else torch.device("cpu")


def _features(backbone: Backbone) -> Callable[[Tensor], tuple[Tensor, ...]]:
    if backbone.spec.family != "vit":
        return lambda images: (backbone.pooled(images),)

    def cls_and_patch_mean(images: Tensor) -> tuple[Tensor, ...]:
        cls, patches = backbone.tokens(images, LAST_BLOCKS)  # (B, 4, D), (B, 4, h, w, D)
        return cls, patches[:, -1].mean(dim=(1, 2))

    return cls_and_patch_mean


def _patches(backbone: Backbone, blocks: int) -> Callable[[Tensor], tuple[Tensor, ...]]:
    check_patch_tokens(backbone.spec)
    return lambda images: (backbone.tokens(images, blocks)[1],)


def _torch_answer(backbone: Backbone, features: Callable[[Tensor], tuple[Tensor, ...]], device: torch.device) -> Answer:
    backbone.module.to(device)

    def answer(images: Images) -> tuple[NDArray[np.float32], ...]:
        half = torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")
        with torch.inference_mode(), half:
            outputs = features(torch.from_numpy(images).to(device))
        return tuple(output.float().cpu().numpy() for output in outputs)

    return answer


def _openvino_answer(backbone: Backbone, features: Callable[[Tensor], tuple[Tensor, ...]], batch_size: int) -> Answer:
    # Importing OpenVINO sends a usage event through this package; where it cannot be imported OpenVINO uses a stub.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    size = (3, backbone.image_size, backbone.image_size)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracer's: deprecation, and shape checks that become constants
        # A plain function traces several times faster than a module, whose every layer would be scripted; given the
        # module itself, convert_model would run it three times on the example.
        traced = torch.jit.trace(lambda images: features(images), torch.zeros(1, *size), check_trace=False)
    # A thread that decodes the next images now and then takes a core from the encoder. With one batch over all cores
    # every layer waits for the slower core; with half a batch on each half of the cores only the batch's end does.
    streams = min(torch.get_num_threads(), batch_size, 2)
    part = -(-batch_size // streams)
    graph = openvino.convert_model(traced, input=[[part, *size]])
    compiled = openvino.Core().compile_model(
        graph,
        "CPU",
        {
            "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": "f32",  # machines with bfloat16 units would use those otherwise
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        },
    )
    requests = [compiled.create_infer_request() for _ in range(streams)]

    def answer(images: Images) -> tuple[NDArray[np.float32], ...]:
        b = len(images)
        if b < streams * part:  # the graph's batch is static; a last batch is filled up with empty images
            images = np.concatenate([images, np.zeros((streams * part - b, *size), np.float32)])
        for k, request in enumerate(requests):
            request.start_async({0: np.ascontiguousarray(images[k * part : (k + 1) * part])}, share_inputs=True)
        for request in requests:
            request.wait()
        # concatenating copies, and must: a request overwrites its outputs at the next call
        parts = [[request.get_output_tensor(i).data for request in requests] for i in range(len(compiled.outputs))]
        return tuple(np.concatenate(arrays)[:b] for arrays in parts)

    return answer
