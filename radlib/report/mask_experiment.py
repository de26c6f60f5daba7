"""A dataset with masks that passed every check, and the parameters of the notebooks that segment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from pydantic import Field, field_validator

from radlib.data import catalog
from radlib.data.dataset import Dataset
from radlib.data.mask_squares import MaskSquares, check_foreground, mask_squares
from radlib.data.splits import systematic
from radlib.errors import RadlibError, unknown_name
from radlib.evaluate.segmentation import LEARNING_RATES, Schedule, Split
from radlib.evaluate.soft_dice import Loss
from radlib.models import backbones, decoders, runtime, segmenters, unet
from radlib.report import experiment, result
from radlib.report.experiment import Settings
from radlib.report.parameters import Pixels, list_of_names, validated
from radlib.report.result import Segmenter

PAPER_SIZE = 448  # px, section 3.3.2


class Segmenting(Settings):
    """Parameters that every notebook of segmentation takes.

    `backbones` are those that decoders stand on. `learning_rates`, `epochs`, `refit_epochs`, `batch_size` and `loss`
    are those of `segmentation.Schedule`, `ending` is that of `decoders.UNetDecoder`. `augment` turns and flips what
    networks from scratch are trained on; `views` is how many turned views of each training image are encoded for
    decoders beside the image itself. `leave_out` names patients that are not trained on. `train_images` is how many
    images of train, and of validation, are used at most, taken systematically; 0 uses all.
    """

    segmenters: Annotated[tuple[Segmenter, ...], Field(min_length=1)] = ("linear", "unet_decoder")
    image_size: Pixels = PAPER_SIZE
    learning_rates: Annotated[tuple[Annotated[float, Field(gt=0, lt=10)], ...], Field(min_length=1)] = LEARNING_RATES
    epochs: Annotated[int, Field(gt=0)] = 50
    refit_epochs: Annotated[int, Field(gt=0)] = 100
    batch_size: Annotated[int, Field(gt=0)] = 8
    loss: Loss = "dice"
    ending: decoders.Ending = "plain"
    augment: bool = True
    views: Annotated[int, Field(ge=0, le=64)] = 0
    leave_out: tuple[str, ...] = ()
    train_images: Annotated[int, Field(ge=0)] = 0

    _lists = field_validator("segmenters", "learning_rates", "leave_out", mode="before")(list_of_names)

    @property
    def decoders(self) -> tuple[Segmenter, ...]:
        """Those of `segmenters` that stand on a backbone."""
        return tuple(name for name in self.segmenters if name in decoders.BLOCKS)

    @property
    def blocks(self) -> int:
        """How many last blocks of a backbone its decoders read between them."""
        return max(decoders.BLOCKS[name] for name in self.decoders)

    @property
    def scratch(self) -> tuple[Segmenter, ...]:
        """Those of `segmenters` that are trained whole."""
        return tuple(name for name in self.segmenters if name in segmenters.SCRATCH)

    def schedule(self, together: bool = True) -> Schedule:
        """How to train with these parameters."""
        return Schedule(
            learning_rates=self.learning_rates,
            epochs=self.epochs,
            refit_epochs=self.refit_epochs,
            batch_size=self.batch_size,
            loss=self.loss,
            seed=self.seed,
            together=together,
        )


Given = TypeVar("Given", bound=Segmenting)


def checked(model: type[Given], given: Mapping[str, object]) -> Given:
    """The notebook's parameters with types and names checked; raises RadlibError naming the first wrong one."""
    settings = validated(model, given)
    for name in settings.datasets:
        catalog.check_name(name)
        if name != "manifest" and catalog.TASKS.get(name) != "segmentation":
            raise RadlibError(f"Dataset '{name}' has labels and no masks; name one of the datasets to segment.")
    rows = settings.backbones or default_backbones()
    for name in rows if settings.decoders else ():
        row = backbones.spec(name)
        backbones.check_patch_tokens(row)
        backbones.check_image_size(row, settings.image_size)
    for name in settings.scratch:
        unet.check_image_size(settings.image_size, segmenters.TITLES[name])
    runtime.name(settings.device)
    if settings.split_file and len(settings.datasets) > 1:
        raise RadlibError("Parameter 'split_file' is of one dataset; name one in 'datasets'.")
    return settings.model_copy(update={"backbones": tuple(dict.fromkeys(rows))})


def default_backbones() -> tuple[str, ...]:
    """Vision transformers that can be had without a model hub, without the one that learned nothing."""
    return tuple(name for name in backbones.default_backbones() if backbones.spec(name).family == "vit")[:1]


@dataclass(frozen=True)
class MaskExperiment:
    """A dataset with masks that passed every check, and where the Results of `table` about it go."""

    dataset: Dataset
    settings: Segmenting
    table: str
    folder: Path


def begin(dataset: Dataset, settings: Segmenting, table: str) -> MaskExperiment:
    """Everything that can be refused is refused here, before an image is encoded or a weight downloaded twice.

    Raises RadlibError for labels without masks, an empty split, a single patient in test, a split without foreground,
    unknown patients to leave out, weights that cannot be had, and a folder for Results that cannot be made.
    """
    if dataset.read_mask is None:
        raise RadlibError(f"{dataset.title} has labels and no masks; segment one of the datasets with masks.")
    known = set(dataset.samples["patient"].astype(str))
    for name in settings.leave_out:
        if name not in known:
            raise unknown_name("patient to leave out", name, known)
    folder = Path(settings.results_dir or f"results/{dataset.origin}")
    begun = MaskExperiment(dataset, settings, table, folder)
    tested = dataset.samples["patient"].to_numpy()[split_of(begun).test]
    if len(set(tested)) < 2:
        raise RadlibError(f"{dataset.root}: one patient is in test; an interval over patients needs at least two.")
    result.make_folder(folder, table)
    experiment.fetch_weights(settings.backbones if settings.decoders else ())
    check_foreground(masks_of(begun, settings.image_size), dataset.samples, dataset.classes)
    return begun


def split_of(begun: MaskExperiment) -> Split:
    """The rows of every part; of what is trained on without patients to leave out, and `train_images` at most."""
    names = begun.dataset.samples["split"].to_numpy(dtype=object, copy=True)
    left = begun.dataset.samples["patient"].astype(str).isin(begun.settings.leave_out).to_numpy()
    tested = begun.dataset.samples["patient"][left & (names != "train")]
    if len(tested):
        raise RadlibError(f"'{tested.iloc[0]}' is not in the train split; only patients trained on can be left out.")
    names[left] = "left out"
    most = begun.settings.train_images
    for part in ("train", "validation"):
        rows = np.flatnonzero(names == part)
        if 0 < most < len(rows):
            names[np.delete(rows, systematic(len(rows), most))] = "left out"
    return Split.of(names)


def masks_of(begun: MaskExperiment, size: int, progress: bool = False) -> MaskSquares:
    """The masks of every row as squares of `size` px."""
    return mask_squares(begun.dataset, size, progress=progress)
