"""What the notebooks that classify share: their parameters, the datasets they open, and the checks at the door."""

import filecmp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator

import standins
from radlib import assets
from radlib.data import catalog
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError, plain
from radlib.evaluate import cases
from radlib.evaluate.cases import Cases
from radlib.evaluate.probe import open_cohort
from radlib.models import backbones, own_weights, runtime
from radlib.report import result
from radlib.report.parameters import Pixels, Seed, in_project, list_of_names, validated
from radlib.report.result import BackboneUsed, Record


class Settings(Record):
    """Parameters that every notebook of classification takes; each says in its own cell what they mean.

    `masks`: whether the notebook wants the masks of a dataset that has labels and masks.
    """

    masks: ClassVar[bool] = False

    datasets: Annotated[tuple[str, ...], Field(min_length=1)]
    data_root: str = ""
    split_file: str = ""
    backbones: tuple[str, ...] = ()
    image_size: Pixels = 224
    resamples: Annotated[int, Field(ge=100)] = 2000
    seed: Seed = 0
    device: str = "auto"
    protocol: Literal["ours", "authors"] = "ours"
    results_dir: str = ""
    data_note: str = ""

    _names = field_validator("datasets", "backbones", mode="before")(list_of_names)


Given = TypeVar("Given", bound=Settings)


def checked(
    model: type[Given], given: Mapping[str, object], size: Callable[[str, int], int] = lambda _, image_size: image_size
) -> Given:
    """The notebook's parameters with types and names checked; the rows that need no model hub if none is named.

    `size` says what image size in px a backbone sees of the one asked for, where that is not the same.
    Raises RadlibError naming the first parameter that is wrong.
    """
    settings = validated(model, given)
    rows = settings.backbones or tuple(backbones.default_backbones())
    for name in rows:
        backbones.check_image_size(backbones.spec(name), size(name, settings.image_size))
    for name in settings.datasets:
        catalog.check_name(name)
        if catalog.TASKS.get(name) == "segmentation":
            raise RadlibError(f"Dataset '{name}' has masks and no labels; name one of the datasets to classify.")
    runtime.name(settings.device)
    if settings.split_file and len(settings.datasets) > 1:
        raise RadlibError("Parameter 'split_file' is of one dataset; name one in 'datasets'.")
    return settings.model_copy(update={"backbones": tuple(dict.fromkeys(rows))})


@dataclass(frozen=True)
class Cohort:
    """One dataset asked for: opened, or the sentence that says why it is not."""

    name: str
    dataset: Dataset | None
    missing: str = ""

    @property
    def datasets(self) -> list[Dataset]:
        """The dataset, and where it has labels and masks the one of its masks too; none if it is not opened."""
        dataset = self.dataset
        return [each for each in (dataset, dataset and dataset.segmentation) if each is not None]


def open_cohort_of(name: str, data_root: str, protocol: str, split_file: str = "", masks: bool = False) -> Cohort:
    """Dataset `name` below `data_root`, or its stand-in where that is empty; a fault becomes the cohort's sentence.

    `masks`: of a dataset with labels and masks, open the masks. Its `Dataset.warnings` are printed.
    """
    try:
        root = data_root or standins.write(name, assets.cache_dir() / "standins" / name)
        dataset = catalog.open_dataset(name, root, protocol, split_file)
    except RadlibError as error:
        return Cohort(name, None, str(error))
    if masks and dataset.segmentation is not None:
        dataset = dataset.segmentation
    for sentence in dataset.warnings:
        print(plain(f"Warning, {dataset.title}: {sentence}"))
    return Cohort(name, dataset)


def open_datasets(settings: Settings) -> list[Dataset]:
    """The datasets asked for; one that cannot be opened beside others is named in a printed line.

    Raises RadlibError when none can be opened: with the only one's sentence, or with all of them.
    """
    cohorts = [
        open_cohort_of(name, settings.data_root, settings.protocol, settings.split_file, settings.masks)
        for name in settings.datasets
    ]
    return opened(cohorts)


def opened(cohorts: list[Cohort]) -> list[Dataset]:
    """The datasets of `cohorts` that are there, the others named in a printed line; errors as of `open_datasets`."""
    refuse_if_all_missing(cohorts)
    for cohort in cohorts:
        if cohort.dataset is None:
            print(f"{cohort.name} is left out: {cohort.missing}")
    return [cohort.dataset for cohort in cohorts if cohort.dataset is not None]


def refuse_if_all_missing(cohorts: list[Cohort]) -> None:
    """Raise RadlibError with every cohort's sentence, each once, when none could be opened."""
    if all(cohort.dataset is None for cohort in cohorts):
        raise RadlibError(" ".join(dict.fromkeys(cohort.missing for cohort in cohorts)))


@dataclass(frozen=True)
class Experiment:
    """A dataset that passed every check, and where the Results of `table` about it go."""

    dataset: Dataset
    whole: Cases
    settings: Settings
    table: str
    folder: Path

    @property
    def split(self) -> np.ndarray:
        """`(M,)` the split of every case."""
        return self.whole.samples["split"].to_numpy()

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.dataset.classes)


def begin(dataset: Dataset, settings: Settings, table: str) -> Experiment:
    """Everything that can be refused is refused here, before an image is encoded or a weight downloaded twice.

    Raises RadlibError for masks without labels, labels no classifier could be scored on, a single patient in test,
    weights that cannot be had, and a folder for Results that cannot be made.
    """
    if dataset.task == "segmentation":
        raise RadlibError(f"{dataset.title} has masks and no labels; probe one of the datasets to classify.")
    whole = cases.of(dataset)
    split = whole.samples["split"].to_numpy()
    hot = whole.labels if whole.labels.ndim == 2 else whole.labels[:, None] == np.arange(len(dataset.classes))
    unseen = [name for name, seen in zip(dataset.classes, hot[split == "train"].any(axis=0), strict=True) if not seen]
    if unseen and (split == "train").any():
        raise RadlibError(
            f"{dataset.root}: no image of the train split bears {', '.join(unseen)}, so no head can learn it; move "
            "patients that do to train, by a split_file, or leave the class out."
        )
    try:
        open_cohort({"labels alone": np.empty((len(whole), 0))}, whole.labels, split, len(dataset.classes))
    except RadlibError as error:
        raise RadlibError(f"{dataset.root}: {error}") from error
    if whole.samples["patient"][split == "test"].nunique() < 2:
        raise RadlibError(f"{dataset.root}: one patient is in test; an interval over patients needs at least two.")
    folder = in_project(settings.results_dir or f"results/{dataset.origin}")
    result.make_folder(folder, table)
    fetch_weights(settings.backbones)
    return Experiment(dataset, whole, settings, table, folder)


def fetch_weights(names: Sequence[str]) -> None:
    """Check that the weights of every backbone of `names` are on this machine, before any of them is used.

    Raises RadlibError for weights that cannot be had, and for two files of the same content: their rows would be one.
    """
    seen: list[tuple[Path, str]] = []
    for name in names:
        backbones.fetch_weights(name)
        if name.startswith("file:"):
            path, network = own_weights.parts(name)
            for other, its_network in seen:
                if network == its_network and filecmp.cmp(path, other, shallow=False):
                    raise RadlibError(f"{path} is a copy of {other}; name only one of them in 'backbones'.")
            seen.append((path, network))


def used(backbone: backbones.Backbone, runs_on: str) -> BackboneUsed:
    """How a Result names `backbone`; `runs_on` is the runtime's name."""
    return BackboneUsed(
        id=backbone.spec.id,
        title=backbone.spec.title,
        weights_sha256=backbone.weights_sha256,
        image_size=backbone.image_size,
        runtime=runs_on,
    )
