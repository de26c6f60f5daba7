"""Fine-tuning as Results: all weights, biases or LoRA, beside the linear probe at the same image size.

Paper section 4.3, Tables 5 and 8.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from radlib import assets
from radlib.data import splits
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING
from radlib.data.squares import squares
from radlib.errors import RadlibError
from radlib.evaluate.fine_tune import fine_tune
from radlib.evaluate.schedule import Settings as Schedule
from radlib.models import backbones, runtime
from radlib.models.adapters import Method
from radlib.models.backbones import Backbone
from radlib.report import experiment, probing, recording
from radlib.report.experiment import Experiment
from radlib.report.parameters import Pixels, list_of_names
from radlib.report.probing import Probing
from radlib.report.recording import Row

CHOSEN_HOW = "head and epoch of the highest macro AUROC on the validation split; not refitted; test scored once"


class FineTuning(Probing):
    """What a notebook that fine-tunes takes beside the parameters of frozen backbones.

    `tuned_image_size` is the size in px that training sees, `image_size` where it is None; `tuned_epochs`,
    `batch_size`, `at_once` and `backbone_rate` are those of `fine_tune.Settings`.
    """

    methods: tuple[Method, ...] = ("bitfit", "lora", "fine_tune")
    tuned_image_size: Pixels | None = None
    tuned_epochs: Annotated[int, Field(gt=0)] = 10
    batch_size: Annotated[int, Field(gt=0)] = 128
    at_once: Annotated[int, Field(gt=0)] = 16
    backbone_rate: Annotated[float, Field(gt=0, lt=1)] | None = None

    _methods = field_validator("methods", mode="before")(list_of_names)

    @property
    def training_size(self) -> int:
        """Side in px of the images that training sees."""
        return self.tuned_image_size or self.image_size


def checked(**given: object) -> FineTuning:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    settings = experiment.checked(FineTuning, given)
    for name in settings.backbones:
        row = backbones.spec(name)
        backbones.check_image_size(row, settings.training_size)
        if "lora" in settings.methods and row.family == "cnn":
            raise RadlibError(f"LoRA adds to attention layers and '{name}' has none; leave it or 'lora' out.")
    return settings


def measure(dataset: Dataset, settings: FineTuning, table: str, progress: bool = True) -> list[Path]:
    """The frozen protocols, every method of fine-tuning, and the controls, as Results of `table`; their paths."""
    begun = experiment.begin(dataset, settings, table)
    frozen = probing.measure_frozen(begun, settings, progress)
    tuned = measure_tuned(begun, settings, progress)
    return recording.record(begun, [r for r in frozen if not r.control] + tuned + [r for r in frozen if r.control])


def measure_tuned(begun: Experiment, settings: FineTuning, progress: bool = True) -> list[Row]:
    """Every backbone fine-tuned by every method, not yet written.

    A run that was cut short goes on from its last whole epoch; one that finished is not trained again.
    """
    rows = []
    numerics = runtime.training_name(settings.device)
    images = squares(begun.dataset, settings.training_size, progress=progress)
    for name in settings.backbones:
        for method in settings.methods:
            backbone = backbones.load(name, settings.training_size, settings.seed, settings.backbones)
            schedule = Schedule(
                method=method,
                epochs=settings.tuned_epochs,
                batch_size=settings.batch_size,
                at_once=min(settings.at_once, settings.batch_size),
                backbone_rate=settings.backbone_rate,
                seed=settings.seed,
            )
            identity = {**_identity(begun, backbone), "numerics": numerics}
            tuned = fine_tune(
                images,
                begun.whole,
                backbone,
                schedule,
                n_classes=begun.n_classes,
                saved=_checkpoint(begun, backbone, schedule, identity),
                identity=identity,
                device=settings.device,
                progress=progress,
            )
            rows.append(
                Row(
                    method,
                    experiment.used(backbone, numerics),
                    tuned.probe,
                    {"features": 0.0, "images_encoded": 0.0, "fit": tuned.seconds},
                    chosen_how=CHOSEN_HOW,
                    trainable_parameters=tuned.trainable_parameters,
                    peak_memory_mb=tuned.peak_memory_mb,
                )
            )
    return rows


def _identity(begun: Experiment, backbone: Backbone) -> dict[str, str]:
    """What a checkpoint must agree with: other images, another split or other weights make another run."""
    return {
        "backbone": backbone.spec.id,
        "weights": backbone.weights_sha256,
        "data": begun.dataset.fingerprint,
        "split": splits.digest(begun.dataset.samples),
        "classes": ", ".join(begun.dataset.classes),
        "preprocessing": f"{begun.dataset.preparation} | {PREPROCESSING}",
        "image_size": str(backbone.image_size),
    }


def _checkpoint(begun: Experiment, backbone: Backbone, schedule: Schedule, identity: dict[str, str]) -> Path:
    """Where this run's checkpoint lies: runs that differ in anything have different names."""
    everything: Sequence[object] = [identity, {**vars(schedule), "at_once": None}]
    key = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:12]
    name = f"{begun.dataset.name}__{backbone.spec.id.replace(':', '_')}__{schedule.method}__{key}.pt"
    return assets.cache_dir() / "fine_tuning" / name
