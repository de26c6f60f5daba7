"""Frozen backbones read by kNN, a linear probe and logistic regression, beside rows that should know nothing.

Paper section 3.3.1, Tables 4, 5 and 10.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from radlib import memory
from radlib.data.dataset import Dataset
from radlib.data.shortcuts import shortcuts
from radlib.errors import RadlibError
from radlib.evaluate import features
from radlib.evaluate.knn import ml_knn, weighted_knn
from radlib.evaluate.linear_probe import linear_probe, with_shuffled_labels
from radlib.evaluate.logistic_regression import logistic_regression
from radlib.evaluate.probe import Probe
from radlib.models import backbones
from radlib.report import experiment, recording
from radlib.report.experiment import Experiment, Settings
from radlib.report.parameters import list_of_names
from radlib.report.recording import Row
from radlib.report.result import BackboneUsed

FrozenProtocol = Literal["knn", "weighted_knn", "linear_probe", "logistic_regression"]
Inputs = Mapping[str, np.ndarray]  # name of what a head may read -> (M, d)
SHUFFLES = 10  # fits to shuffled labels: their mean is known three times better than one alone would be
ACQUISITION = BackboneUsed(
    id="acquisition", title="No pixels: the acquisition alone", weights_sha256="none", image_size=0, runtime="none"
)


class Probing(Settings):
    """What a notebook of frozen backbones takes."""

    protocols: Annotated[tuple[FrozenProtocol, ...], Field(min_length=1)] = ("linear_probe", "logistic_regression")
    neighbours: Annotated[int, Field(gt=0)] = 5
    epochs: Annotated[int, Field(gt=0)] = 100
    controls: bool = True

    _protocols = field_validator("protocols", mode="before")(list_of_names)


def checked(**given: object) -> Probing:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    return experiment.checked(Probing, given)


def probe_backbones(dataset: Dataset, settings: Probing, table: str = "table04", progress: bool = True) -> list[Path]:
    """Every backbone and protocol on `dataset`, and the controls; writes one Result a row and returns their paths.

    Images of one study count once, by the mean of their features.
    """
    begun = experiment.begin(dataset, settings, table)
    return recording.record(begun, measure_frozen(begun, settings, progress))


def measure_frozen(
    begun: Experiment, settings: Probing, progress: bool = True, sizes: Mapping[str, int] | None = None
) -> list[Row]:
    """The rows of `probe_backbones`, not yet written: backbones in order, each with its protocols, then controls.

    `sizes` gives some backbones an image size in px of their own.
    """
    rows: list[Row] = []
    for number, name in enumerate(settings.backbones):
        backbone = backbones.load(name, (sizes or {}).get(name, settings.image_size), settings.seed, settings.backbones)
        frozen = features.extract(begun.dataset, backbone, settings.device, progress=progress)
        inputs = {part: begun.whole.mean(values) for part, values in frozen.linear_inputs().items()}
        cost = {"features": frozen.seconds, "images_encoded": float(frozen.computed)}
        used = experiment.used(backbone, frozen.runtime)
        found = {protocol: _row(protocol, used, inputs, begun, settings, cost) for protocol in settings.protocols}
        rows += found.values()
        if settings.controls and number == 0:
            rows.append(_shuffled(found.get("linear_probe"), used, inputs, begun, settings))
    if settings.controls and (blind := _acquisition(begun, progress)) is not None:
        rows.append(blind)
    return [row for row in rows if not row.control] + [row for row in rows if row.control]


def _row(
    protocol: FrozenProtocol,
    used: BackboneUsed,
    inputs: Inputs,
    begun: Experiment,
    settings: Probing,
    cost: Mapping[str, float],
) -> Row:
    labels, split, n = begun.whole.labels, begun.split, begun.n_classes
    last = inputs["cls1"] if "cls1" in inputs else inputs["pooled"]  # kNN reads the last layer (paper section 3.3.1)
    fits: dict[str, Callable[[], Probe]] = {
        "linear_probe": lambda: linear_probe(
            inputs, labels, split, n_classes=n, epochs=settings.epochs, seed=settings.seed
        ),
        "logistic_regression": lambda: logistic_regression(inputs, labels, split, n_classes=n),
        "knn": lambda: ml_knn(last, labels, split, n_classes=n, ks=(settings.neighbours,)),
        "weighted_knn": lambda: weighted_knn(last, labels, split, n_classes=n),
    }
    with memory.peak() as held:
        started = time.perf_counter()
        try:
            probe = fits[protocol]()
        except RadlibError as error:
            raise RadlibError(f"{begun.dataset.title}, {used.id}: {error}") from error
        seconds = {**cost, "fit": time.perf_counter() - started}
    learned = None if protocol.endswith("knn") else _head_size(probe, inputs, n)
    return Row(protocol, used, probe, seconds, trainable_parameters=learned, peak_memory_mb=held.mb)


def _head_size(probe: Probe, inputs: Inputs, n_classes: int) -> int:
    return n_classes * (inputs[probe.head["input"]].shape[1] + 1)


def _shuffled(found: Row | None, used: BackboneUsed, inputs: Inputs, begun: Experiment, settings: Probing) -> Row:
    """The chosen head of the linear probe fitted to labels that were dealt out anew: it can know nothing."""
    labels, split, n = begun.whole.labels, begun.split, begun.n_classes
    started = time.perf_counter()
    schedule: dict[str, Any] = {"n_classes": n, "epochs": settings.epochs, "seed": settings.seed}
    probe = found.probe if found else linear_probe(inputs, labels, split, **schedule)
    chosen = inputs[probe.head["input"]]
    scores = with_shuffled_labels(
        chosen, labels, split, learning_rate=probe.head["learning_rate"], draws=SHUFFLES, **schedule
    )
    return Row(
        "linear_probe",
        used,
        replace(probe, scores=scores, validation=[], hyperparameters={**probe.hyperparameters, "shuffles": SHUFFLES}),
        {"features": 0.0, "images_encoded": 0.0, "fit": time.perf_counter() - started},
        chosen_how="the head that the true labels chose, refitted on train + validation with their labels shuffled",
        control="shuffled labels",
        trainable_parameters=_head_size(probe, inputs, n),
    )


def _acquisition(begun: Experiment, progress: bool) -> Row | None:
    """Logistic regression on what the acquisition tells; None, and said, where it tells nothing."""
    started = time.perf_counter()
    values, names = shortcuts(begun.dataset, progress)
    if not names:
        print(
            f"{begun.dataset.title}: every image has the same size and no view, age or sex is known; no shortcut row."
        )
        return None
    inputs = {"acquisition": begun.whole.mean(values)}
    probe = logistic_regression(inputs, begun.whole.labels, begun.split, n_classes=begun.n_classes)
    settings: dict[str, Any] = {**probe.hyperparameters, "columns": list(names)}
    return Row(
        "logistic_regression",
        ACQUISITION,
        replace(probe, hyperparameters=settings),
        {"features": 0.0, "images_encoded": 0.0, "fit": time.perf_counter() - started},
        control="shortcut",
        trainable_parameters=_head_size(probe, inputs, begun.n_classes),
    )
