"""How a backbone is fine-tuned: rates, batches, augmentation, and the words for them."""

from dataclasses import dataclass
from typing import Any

from radlib.evaluate.linear_probe import MOMENTUM
from radlib.models import adapters

# Learning rates of the backbone's own weights. 1e-5: authors' repository. The paper prints none for the others: 2e-4 is
# what LoRA's paper uses for its largest models; biases, being so few, bear 1e-3, which is ours.
BACKBONE_RATES: dict[adapters.Method, float] = {"fine_tune": 1e-5, "lora": 2e-4, "bitfit": 1e-3}
CROP_SCALE = (0.75, 1.0)  # of an image's area; authors' repository
FLIP_CHANCE = 0.5  # authors' repository
PROCEDURE = 1  # raised when the same settings would give other numbers: older checkpoints are then not gone on from


@dataclass(frozen=True)
class Settings:
    """How to train.

    batch_size: images behind each step. at_once: images in memory together; gradients add up until `batch_size`.
    backbone_rate: learning rate of the backbone's weights (AdamW, no weight decay: its step does not depend on how many
    heads pull), falling on a cosine like the heads'.
    """

    method: adapters.Method
    epochs: int = 10
    batch_size: int = 128
    at_once: int = 16
    learning_rates: tuple[float, ...] = (1e-3, 5e-3, 1e-2, 5e-2)
    backbone_rate: float | None = None
    seed: int = 0

    @property
    def rate(self) -> float:
        """`backbone_rate`, or the method's own."""
        return BACKBONE_RATES[self.method] if self.backbone_rate is None else self.backbone_rate

    def described(self) -> dict[str, str]:
        """Settings as the words a checkpoint carries."""
        words = {name: str(value) for name, value in vars(self).items() if name not in ("at_once", "backbone_rate")}
        lora = {"lora_rank": str(adapters.LORA_RANK)} if self.method == "lora" else {}
        return {**words, **lora, "backbone_rate": str(self.rate), "procedure": str(PROCEDURE)}

    def hyperparameters(self) -> dict[str, Any]:
        """Settings as a Result carries them, ready for JSON."""
        said = {
            **vars(self),
            "learning_rates": list(self.learning_rates),
            "backbone_rate": self.rate,
            "backbone_optimizer": "AdamW, no weight decay",
            "head_optimizer": f"SGD, momentum {MOMENTUM}",
            "schedule": "cosine to 0, per step",
            "augmentation": f"crop {CROP_SCALE[0]:g} to {CROP_SCALE[1]:g} of the area, mirrored by {FLIP_CHANCE:g}",
            "refit_on": "nothing: epoch and head were chosen on validation",
        }
        if self.method == "lora":
            said["lora"] = {
                "rank": adapters.LORA_RANK,
                "alpha": adapters.LORA_ALPHA,
                "dropout": adapters.LORA_DROPOUT,
                "layers": list(adapters.LORA_LAYERS),
            }
        return {"protocol": self.method, **said}
