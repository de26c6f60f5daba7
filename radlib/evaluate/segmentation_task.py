"""What is to be learned when something learns to draw masks, from which rows, and how (paper section 3.3.2)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from radlib.errors import RadlibError
from radlib.evaluate.soft_dice import Loss

MOMENTUM = 0.9  # authors' repository, no weight decay
LEARNING_RATES = (1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1)  # authors' repository

Rows = NDArray[np.intp]
# Rows (B,), and a generator for training -> what the network is fed (B, …), and masks (B, S, S) uint8
Read = Callable[[Rows, np.random.Generator | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Schedule:
    """How to train.

    epochs: passes over train to choose the rate. refit_epochs: passes with that rate over what it is fitted to in the
    end. batch_size: images behind each step. together: whether all rates train side by side, which reads every batch
    once and holds as many networks in memory; the numbers are the same but for networks with dropout, which then draw
    from one stream of random numbers.
    """

    learning_rates: tuple[float, ...] = LEARNING_RATES
    epochs: int = 50
    refit_epochs: int = 100
    batch_size: int = 8
    loss: Loss = "dice"
    seed: int = 0
    together: bool = True

    def hyperparameters(self) -> dict[str, Any]:
        """Settings as a Result carries them, ready for JSON."""
        said = {name: value for name, value in asdict(self).items() if name != "together"}
        return {
            **said,
            "learning_rates": list(self.learning_rates),
            "optimizer": f"SGD, momentum {MOMENTUM}, no weight decay",
            "schedule": "cosine to 0, per step",
        }


@dataclass(frozen=True)
class Split:
    """Rows to choose a rate with, to choose it by, to fit in the end, and to be scored on."""

    train: Rows
    validation: Rows
    refit: Rows
    test: Rows

    @classmethod
    def of(cls, names: NDArray[Any]) -> "Split":
        """From the split of every row `(N,)`; the last fit is to train and validation together.

        Raises RadlibError where a part is empty.
        """
        train, validation, test = (np.flatnonzero(names == part) for part in ("train", "validation", "test"))
        for part, rows in (("train", train), ("validation", validation), ("test", test)):
            if not len(rows):
                raise RadlibError(f"No image is in the {part} split; give a split_file that fills it.")
        return cls(train, validation, np.sort(np.concatenate([train, validation])), test)


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    make: a network with first weights of its own, from torch's random numbers. forward: network and what it is fed ->
    logits (B, K + 1, S, S). classes: K, without the background.
    """

    make: Callable[[], nn.Module]
    forward: Callable[[nn.Module, Tensor], Tensor]
    read: Read
    split: Split
    classes: int
