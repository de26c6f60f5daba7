"""Few-shot linear probes of every backbone, draw by draw, as Results (paper section 4.2, Figure 2 left)."""

import time
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from radlib import memory
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError
from radlib.evaluate import features
from radlib.evaluate.few_shot import few_shot, possible_shots
from radlib.models import backbones
from radlib.report import experiment, recording
from radlib.report.experiment import Experiment, Settings
from radlib.report.parameters import list_of_names
from radlib.report.recording import Row

TABLE = "figure2"
SHOTS = (1, 2, 4, 8, 16)  # patients a class, the paper's Figure 2
CHOSEN_HOW = "highest macro AUROC on the whole validation split; not refitted; test scored once for each draw"


class FewShot(Settings):
    """What the notebook of Figure 2's left panel takes; without `shots` those of the paper that the data can serve."""

    shots: tuple[Annotated[int, Field(gt=0)], ...] = ()
    draws: Annotated[int, Field(gt=0, le=100)] = 5
    epochs: Annotated[int, Field(gt=0)] = 100

    _shots = field_validator("shots", mode="before")(list_of_names)


def checked(**given: object) -> FewShot:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    return experiment.checked(FewShot, given)


def measure(dataset: Dataset, settings: FewShot, progress: bool = True) -> list[Path]:
    """One Result for every backbone and number of shots, all training patients last; returns their paths.

    Raises RadlibError for more shots than a class has patients.
    """
    begun = experiment.begin(dataset, settings, TABLE)
    shots = _shots(begun, settings)
    rows = []
    for name in settings.backbones:
        backbone = backbones.load(name, settings.image_size, settings.seed, settings.backbones)
        frozen = features.extract(dataset, backbone, settings.device, progress=progress)
        inputs = {part: begun.whole.mean(values) for part, values in frozen.linear_inputs().items()}
        cost = {"features": frozen.seconds, "images_encoded": float(frozen.computed)}
        for number in (*shots, None):
            with memory.peak() as held:
                started = time.perf_counter()
                probe = few_shot(
                    inputs,
                    begun.whole.labels,
                    begun.split,
                    begun.whole.samples["patient"].to_numpy(),
                    dataset.classes,
                    shots=number,
                    draws=settings.draws,
                    epochs=settings.epochs,
                    seed=settings.seed,
                )
            rows.append(
                Row(
                    "few_shot",
                    experiment.used(backbone, frozen.runtime),
                    probe,
                    {**cost, "fit": time.perf_counter() - started},
                    chosen_how=CHOSEN_HOW,
                    shots=number,
                    trainable_parameters=begun.n_classes * (inputs[probe.head["input"]].shape[1] + 1),
                    peak_memory_mb=held.mb,
                )
            )
    return recording.record(begun, rows)


def _shots(begun: Experiment, settings: FewShot) -> tuple[int, ...]:
    """The numbers of shots to run; those asked for must be possible, the paper's are cut to what the data hold."""
    grid = settings.shots or SHOTS
    samples = begun.whole.samples
    found = possible_shots(
        begun.whole.labels,
        begun.split,
        samples["patient"].to_numpy(),
        begun.dataset.classes,
        grid=grid,
        draws=settings.draws,
        seed=settings.seed,
    )
    left_out = [str(shots) for shots in grid if shots not in found]
    if left_out and settings.shots:
        most = max(found, default=0)
        raise RadlibError(
            f"{begun.dataset.root}: {left_out[0]} patients a class are asked for in 'shots', and some class has too "
            f"few training patients that bear it on all of their images; the most of those asked for is {most}."
        )
    if left_out:
        print(
            f"{begun.dataset.title}: no {', '.join(left_out)} patients a class; some class has too few training "
            "patients that bear it on all of their images."
        )
    return found
