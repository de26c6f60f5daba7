"""A network that has learned to draw masks, how it came about, and what it draws."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radlib.evaluate.segmentation_task import Rows, Task
from radlib.models import runtime


@dataclass(frozen=True)
class Segmented:
    """A fitted segmenter and how it fared.

    Attributes:
        network: in eval mode.
        learning_rate: the chosen one.
        validation: one entry a learning rate with its score (0 to 1; None where it diverged or was alone) and,
            where it was fitted in the end, `refit_score`, that fit's on the same images.
        losses: mean loss of every epoch of the last fit.
        counts: `(N_test, K, 3)` of the test rows in order, see `overlap.counts`.
        seconds, peak_memory_mb: of fitting and predicting, earlier runs of the same checkpoint included.
        numerics: what it computed in, e.g. ``torch-bfloat16``.
        task, device: what it was made with.
    """

    network: nn.Module
    learning_rate: float
    validation: list[dict[str, float | None]]
    losses: list[float]
    counts: NDArray[np.int64]
    seconds: float
    peak_memory_mb: float
    numerics: str
    task: Task
    device: torch.device

    def logits(self, rows: Rows, batch_size: int = 8) -> Iterator[Tensor]:
        """Logits (K + 1, S, S) float32 on the CPU, of every one of `rows` in turn."""
        for low in range(0, len(rows), batch_size):
            inputs, _ = self.task.read(rows[low : low + batch_size], None)
            yield from predict(self.task, self.network, inputs, self.device).cpu()


def forward(task: Task, network: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Logits (B, K + 1, S, S) float32, multiplied in what networks train in on `device`."""
    kind = runtime.training_dtype(str(device))
    with torch.autocast(device.type, kind, enabled=kind != torch.float32):
        return task.forward(network, inputs.to(device).float()).float()


def predict(task: Task, network: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Logits (B, K + 1, S, S) float32 without gradients, see `forward`."""
    with torch.inference_mode():
        return forward(task, network, inputs, device)
