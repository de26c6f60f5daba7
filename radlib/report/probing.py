"""Linear probing of frozen backbones on one dataset, from images to Results (paper section 3.3.1, Table 4)."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from radlib import assets
from radlib.data import audit, catalog, splits, standins
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING
from radlib.errors import RadlibError
from radlib.evaluate import cases, features
from radlib.evaluate.auroc import macro_auroc, per_class_auroc
from radlib.evaluate.bootstrap import auroc_intervals
from radlib.evaluate.cases import Cases
from radlib.evaluate.linear_probe import Probe, linear_probe
from radlib.evaluate.logistic_regression import logistic_regression
from radlib.evaluate.probe import open_cohort
from radlib.models import backbones, runtime
from radlib.report import provenance, result
from radlib.report.parameters import list_of_names, validated
from radlib.report.result import BackboneUsed, DataUsed, Interval, Record, Result

Protocol = Literal["linear_probe", "logistic_regression"]
TABLE = "table04"
CHOSEN_HOW = "highest macro AUROC on the validation split; refitted on train + validation; test scored once"


class Parameters(Record):
    """What a probing notebook's parameters cell says, checked before anything long begins."""

    datasets: Annotated[tuple[str, ...], Field(min_length=1)] = ("brain_tumor",)
    data_root: str = ""
    split_file: str = ""
    backbones: tuple[str, ...] = ()
    protocols: Annotated[tuple[Protocol, ...], Field(min_length=1)] = ("linear_probe", "logistic_regression")
    image_size: Annotated[int, Field(gt=0, le=2048)] = 224  # px; the paper's largest is SAM's 1,024
    epochs: Annotated[int, Field(gt=0)] = 100
    resamples: Annotated[int, Field(ge=100)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    protocol: Literal["ours", "authors"] = "ours"
    results_dir: str = ""
    data_note: str = ""

    _lists = field_validator("datasets", "backbones", "protocols", mode="before")(list_of_names)


def checked(**given: object) -> Parameters:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    parameters = validated(Parameters, given)
    rows = parameters.backbones or tuple(backbones.default_backbones())
    for name in rows:
        backbones.check_image_size(backbones.spec(name), parameters.image_size)
    for name in parameters.datasets:
        catalog.check_name(name)
    runtime.name(parameters.device)
    if parameters.split_file and len(parameters.datasets) > 1:
        raise RadlibError("Parameter 'split_file' is of one dataset; name one in 'datasets'.")
    return parameters.model_copy(update={"backbones": rows})


def open_datasets(parameters: Parameters) -> list[Dataset]:
    """The datasets asked for, below ``data_root``, or their stand-ins where no ``data_root`` is given."""
    found = []
    for name in parameters.datasets:
        root = parameters.data_root or standins.write(name, assets.cache_dir() / "standins" / name)
        found.append(catalog.open_dataset(name, root, parameters.protocol, parameters.split_file))
    return found


def probe_backbones(dataset: Dataset, parameters: Parameters, progress: bool = True) -> list[Path]:
    """Probe every backbone on `dataset` and write one Result a row; returns the Results' paths.

    All rows share the same resampled patients. Where test patients have a relative in train (see `audit`), each row is
    also scored without them. Images of one study count once, by the mean of their features.
    """
    if dataset.task == "segmentation":
        raise RadlibError(f"{dataset.title} has masks and no labels; probe one of the datasets to classify.")
    whole = cases.of(dataset)
    split = whole.samples["split"].to_numpy()
    # Labels that no classifier could be scored on are refused before a single image is encoded.
    try:
        open_cohort({"labels alone": np.empty((len(whole), 0))}, whole.labels, split, len(dataset.classes))
    except RadlibError as error:
        raise RadlibError(f"{dataset.root}: {error}") from error
    in_test = split == "test"
    if whole.samples["patient"][in_test].nunique() < 2:
        raise RadlibError(f"{dataset.root}: one patient is in test; an interval over patients needs at least two.")
    folder = Path(parameters.results_dir or f"results/{dataset.origin}")
    result.make_folder(folder, TABLE)
    for name in parameters.backbones:  # a row whose weights cannot be had is told before others cost minutes
        backbones.fetch_weights(name)
    measured: dict[tuple[str, Protocol], tuple[Probe, BackboneUsed, dict[str, float]]] = {}
    for name in parameters.backbones:
        backbone = backbones.load(name, parameters.image_size, parameters.seed)
        frozen = features.extract(dataset, backbone, parameters.device, progress=progress)
        inputs = {part: whole.mean(rows) for part, rows in frozen.linear_inputs().items()}
        used = BackboneUsed(
            id=name,
            title=backbone.spec.title,
            weights_sha256=backbone.weights_sha256,
            image_size=backbone.image_size,
            runtime=frozen.runtime,
        )
        for protocol in parameters.protocols:
            start = time.perf_counter()
            probe = _fit(protocol, inputs, whole, len(dataset.classes), parameters)
            seconds = {
                "features": frozen.seconds,
                "images_encoded": float(frozen.computed),
                "fit": time.perf_counter() - start,
            }
            measured[name, protocol] = (probe, used, seconds)
    paths = _write(dataset, whole, parameters, measured, "all", in_test, folder)
    relatives = audit.test_rows_with_relatives(whole.samples)
    rest = in_test & ~relatives
    if relatives.any() and _can_be_scored(whole, rest):
        paths += _write(dataset, whole, parameters, measured, "without relatives", rest, folder)
    elif relatives.any():
        print("Too few test patients have no relative in train; the rows without relatives are left out.")
    return paths


def _fit(
    protocol: Protocol, inputs: dict[str, np.ndarray], whole: Cases, classes: int, parameters: Parameters
) -> Probe:
    split = whole.samples["split"].to_numpy()
    if protocol == "linear_probe":
        return linear_probe(
            inputs, whole.labels, split, n_classes=classes, epochs=parameters.epochs, seed=parameters.seed
        )
    return logistic_regression(inputs, whole.labels, split, n_classes=classes)


def _write(
    dataset: Dataset,
    whole: Cases,
    parameters: Parameters,
    measured: dict[tuple[str, Protocol], tuple[Probe, BackboneUsed, dict[str, float]]],
    scored: Literal["all", "without relatives"],
    counted: np.ndarray,
    folder: Path,
) -> list[Path]:
    """Results of all rows on the test cases `counted` `(M,)` bool, written into `folder`."""
    rows = np.flatnonzero(counted)
    labels = whole.labels[rows]
    patients, numbers = np.unique(whole.samples["patient"].to_numpy()[rows], return_inverse=True)
    scores = {key: probe.scores[np.searchsorted(probe.test_rows, rows)] for key, (probe, _, _) in measured.items()}
    intervals = auroc_intervals(
        labels,
        {"/".join(key): value for key, value in scores.items()},
        numbers,
        resamples=parameters.resamples,
        seed=parameters.seed,
    )
    paths = []
    for key, (probe, used, seconds) in measured.items():
        interval = intervals["/".join(key)]
        record = Result(
            table=TABLE,
            protocol=key[1],
            scored=scored,
            value=macro_auroc(labels, scores[key]),
            interval=Interval(**asdict(interval)),
            per_class={
                name: None if np.isnan(area) else area
                for name, area in per_class_auroc(labels, scores[key], dataset.classes).items()
            },
            n_images=len(rows),
            unit="image" if len(whole) == len(dataset) else "study",
            n_patients=len(patients),
            seed=parameters.seed,
            data=_data_used(dataset, parameters.data_note),
            backbone=used,
            chosen=probe.head,
            chosen_how=CHOSEN_HOW,
            candidates=tuple(probe.validation),
            hyperparameters=probe.hyperparameters,
            preprocessing=f"{dataset.preparation} | {PREPROCESSING}",
            seconds=seconds,
            device=provenance.machine(parameters.device),
            versions=provenance.versions(),
            commit=provenance.commit(),
            predictions_sha256="0" * 64,
        )
        arrays = {"rows": rows, "labels": labels, "patients": numbers.astype(np.int64), "scores": scores[key]}
        paths.append(result.write(record, arrays, folder))
    return paths


def _can_be_scored(whole: Cases, counted: np.ndarray) -> bool:
    """Whether at least two patients and one class with and without are among the cases `counted` `(M,)` bool."""
    labels = whole.labels[counted]
    patients = whole.samples["patient"][counted].nunique()
    return bool(patients > 1 and len(labels) and (labels != labels[0]).any())


def _data_used(dataset: Dataset, note: str) -> DataUsed:
    by_split = dataset.samples.groupby("split")
    return DataUsed(
        dataset=dataset.name,
        title=dataset.title,
        origin=dataset.origin,
        note=" ".join(part for part in (dataset.note, note) if part),
        fingerprint=dataset.fingerprint,
        split_sha256=splits.digest(dataset.samples),
        classes=dataset.classes,
        images={str(name): int(n) for name, n in by_split.size().items()},
        patients={str(name): int(n) for name, n in by_split["patient"].nunique().items()},
    )
