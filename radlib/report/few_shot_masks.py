"""Segmenters shown a handful of training images, draw by draw, as Results (paper section 4.2, Figure 2 right).

A shot is one image, as in the paper. The first draw is a systematic sample of the training images in file order, as the
authors' code takes it; further draws are by chance, and no two are the same images. Images without any foreground are
not drawn: they would teach a network the background alone. The whole validation split chooses the learning rate, and,
as in the authors' code, nothing but the few images is fitted in the end.

A pass over one image is one step and a pass over 69 of them nine, so equal passes would compare how long a network was
trained. Here passes over few images are added until there are as many steps as over all of them; `same_steps=False` is
the authors' way.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from radlib.data import splits
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError
from radlib.evaluate.segmentation import Rows, Schedule, Segmented, Split
from radlib.models import decoders
from radlib.report import mask_experiment, mask_recording, segmenting
from radlib.report.experiment import Settings, open_cohort_of, opened
from radlib.report.mask_experiment import MaskExperiment, Segmenting, begin, masks_of, split_of
from radlib.report.mask_recording import Row
from radlib.report.parameters import list_of_names, validated
from radlib.report.result import FEW_SHOT_MASKS, Segmenter
from radlib.report.segmenting import Fitter

CHOSEN_HOW = (
    "highest mean of Dice and Jaccard on the whole validation split; fitted once more on the few training images "
    "alone; test scored once for each draw"
)
LEAST_SCRATCH_SIZE = 32  # px
OF_BOTH_PANELS = ("data_root", "resamples", "seed", "device", "protocol", "results_dir", "data_note")
Drawn = Mapping[int | None, tuple[Rows, ...]]  # number of images, None for all -> the training rows of every draw


class FewShotMasks(Segmenting):
    """What the notebook of Figure 2's right panel takes.

    `images` are numbers of training images, empty for 1, 2, 4, 8, … as far as there are more; all of them come last and
    once. `same_steps` is told in the module. `scratch_image_size` is what networks from scratch see in px, 0 for
    `image_size`: the two need not share a size, since patches of 14 px and four halvings rarely do.
    """

    segmenters: Annotated[tuple[Segmenter, ...], Field(min_length=1)] = ("unet_decoder", "unet", "transunet")
    images: tuple[Annotated[int, Field(gt=0)], ...] = ()
    draws: Annotated[int, Field(gt=0, le=100)] = 5
    same_steps: bool = True
    scratch_image_size: Annotated[int, Field(ge=0, le=2048)] = 0

    _images = field_validator("images", mode="before")(list_of_names)

    @property
    def parts(self) -> list["FewShotMasks"]:
        """These settings for the decoders and for networks from scratch, as far as there are any."""
        of_decoders = self.model_copy(update={"segmenters": self.decoders})
        size = self.scratch_image_size or self.image_size
        of_scratch = self.model_copy(update={"segmenters": self.scratch, "image_size": size})
        return [part for part in (of_decoders, of_scratch) if part.segmenters]


def checked(prefix: str = "", **given: object) -> FewShotMasks:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one.

    `prefix` stands before the names of those that a page with two panels has for each.
    """
    settings = validated(FewShotMasks, given, {name: prefix + name for name in given if name not in OF_BOTH_PANELS})
    known = []
    for part in settings.parts:
        try:
            known.append(mask_experiment.checked(FewShotMasks, part.model_dump()))
        except RadlibError as error:
            size = "scratch_image_size" if part.scratch and settings.scratch_image_size else "image_size"
            raise RadlibError(str(error).replace("image_size", prefix + size)) from error
    least = known[-1]
    if least.scratch and least.image_size < LEAST_SCRATCH_SIZE:
        raise RadlibError(
            f"At {least.image_size} px a network from scratch halves an image to one pixel, which cannot be normalised "
            f"over a single image; ask for at least {LEAST_SCRATCH_SIZE} px."
        )
    return settings.model_copy(update={"backbones": known[0].backbones})


def open_panels(*panels: Settings | None) -> list[list[Dataset]]:
    """The datasets of every panel of a page, none of one that is None.

    As `experiment.open_datasets`, but only a page of which no dataset can be opened is refused.
    """
    asked = [panel for panel in panels if panel is not None]
    if not asked:
        raise RadlibError("No dataset is named for either panel; name one in 'datasets' or in 'mask_datasets'.")
    found = [
        [
            open_cohort_of(name, panel.data_root, panel.protocol, panel.split_file, panel.masks)
            for name in panel.datasets
        ]
        if panel is not None
        else []
        for panel in panels
    ]
    opened([cohort for of_panel in found for cohort in of_panel])
    return [[cohort.dataset for cohort in of_panel if cohort.dataset is not None] for of_panel in found]


@dataclass(frozen=True)
class Prepared:
    """A dataset that passed every check, once for decoders and once for networks from scratch, and what was drawn."""

    settings: FewShotMasks
    parts: tuple[MaskExperiment, ...]
    drawn: Drawn


def measure(dataset: Dataset, settings: FewShotMasks, progress: bool = True) -> list[Path]:
    """One Result for every segmenter and number of training images, all of them last; returns their paths.

    Raises what `prepare` raises.
    """
    return carry_out(prepare(dataset, settings), progress)


def prepare(dataset: Dataset, settings: FewShotMasks) -> Prepared:
    """Draw the images; nothing is encoded or trained.

    Raises RadlibError for more images than train has, and what `begin` raises.
    """
    parts = tuple(begin(dataset, part, FEW_SHOT_MASKS) for part in settings.parts)
    return Prepared(settings, parts, draws(parts[0], settings))


def carry_out(prepared: Prepared, progress: bool = True) -> list[Path]:
    """Fit and score all that was prepared, see `measure`."""
    settings, drawn = prepared.settings, prepared.drawn
    rows: list[Row] = []
    for begun in prepared.parts:
        part = begun.settings
        for backbone in segmenting.loaded(part):
            for kind in part.decoders:
                rows += _rows(begun, settings, kind, drawn, segmenting.decoder(begun, backbone, kind, progress))
        for kind in part.scratch:
            rows += _rows(begun, settings, kind, drawn, segmenting.scratch(begun, kind, progress))
    first = prepared.parts[0]
    return mask_recording.record(first, rows, split_of(first))


def draws(begun: MaskExperiment, settings: FewShotMasks) -> Drawn:
    """The training rows of every number of images and draw; all of them are one draw.

    Raises RadlibError for more images than there are with foreground.
    """
    train = split_of(begun).train
    masks = masks_of(begun, begun.settings.image_size)
    known = np.array([row for row in train if masks[np.array([row])].any()], dtype=np.intp)
    for number in settings.images:
        if number > len(known):
            raise RadlibError(
                f"{begun.dataset.root}: {number} training images are asked for in 'images', and {len(known)} of the "
                "train split hold any foreground; ask for fewer."
            )
    numbers = sorted(set(settings.images)) or [2**k for k in range(len(known).bit_length()) if 2**k < len(known)]
    found: dict[int | None, tuple[Rows, ...]] = {
        number: draw_images(known, number, settings.draws, settings.seed) for number in numbers
    }
    return found | {None: (train,)}


def draw_images(rows: Rows, images: int, times: int, seed: int) -> tuple[Rows, ...]:
    """`times` different sets of `images` of `rows` `(n,)`, each in order: the first systematic, the others by `seed`.

    Fewer sets where there are not so many.
    """
    found = [rows[splits.systematic(len(rows), images)]]
    generator = np.random.default_rng([seed, images])
    while len(found) < min(times, math.comb(len(rows), images)):
        drawn = np.sort(generator.permutation(rows)[:images])
        if not any(np.array_equal(drawn, other) for other in found):
            found.append(drawn)
    return tuple(found)


def schedule(settings: Segmenting, same_steps: bool, images: int, of_all: int, together: bool) -> Schedule:
    """How to train on `images` images where all are `of_all`; see the module for the passes."""
    whole = settings.schedule(together)
    steps, steps_of_all = (-(-n // whole.batch_size) for n in (images, of_all))
    times = -(-steps_of_all // steps) if same_steps else 1
    return replace(whole, epochs=whole.epochs * times, refit_epochs=whole.refit_epochs * times)


def _rows(begun: MaskExperiment, settings: FewShotMasks, kind: Segmenter, drawn: Drawn, fit: Fitter) -> Iterator[Row]:
    """A row for every number of images, fitted draw by draw."""
    whole, together = split_of(begun), kind in decoders.BLOCKS
    for number, sets in drawn.items():
        how = schedule(begun.settings, settings.same_steps, len(sets[0]), len(whole.train), together)
        fits = []
        for rows in sets:
            one = fit(Split(rows, whole.validation, rows, whole.test), how)
            fits.append(replace(one, segmented=_counted_only(one.segmented)) if number else one)
        row = segmenting.row(begun, kind, whole, fits)
        said = {
            **row.hyperparameters,
            **how.hyperparameters(),
            "shots": number or "all",
            "same_steps": settings.same_steps,
            "train_rows_by_draw": [rows.tolist() for rows in sets] if number else "all",
            "learning_rate_by_draw": list(row.learning_rates),
        }
        yield replace(row, shots=number, chosen_how=CHOSEN_HOW, hyperparameters=said)


def _counted_only(fitted: Segmented) -> Segmented:
    """Without memory for weights: draws of TransUNet, 1.3 GB each, are not held beside each other."""
    return replace(fitted, network=fitted.network.to("meta"))
