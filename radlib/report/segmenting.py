"""Decoders on frozen backbones and networks from scratch, measured as Results."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from radlib import assets
from radlib.data import splits
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING, normalised
from radlib.data.squares import squares
from radlib.evaluate import augmentation, native_masks, patch_tokens, segmentation
from radlib.evaluate.patch_tokens import PatchTokens
from radlib.evaluate.segmentation import Schedule, Segmented, Split, Task
from radlib.models import backbones, decoders, runtime, segmenters
from radlib.models.backbones import Backbone
from radlib.report import experiment, mask_recording
from radlib.report.mask_experiment import MaskExperiment, Segmenting, begin, masks_of, split_of
from radlib.report.mask_recording import Row
from radlib.report.result import BackboneUsed, Segmenter


@dataclass(frozen=True)
class Fit:
    """A segmenter fitted to some rows, and what a Result says of its backbone."""

    segmented: Segmented
    used: BackboneUsed
    feature_seconds: float = 0.0
    encoded: int = 0


Fitter = Callable[[Split, Schedule], Fit]


def measure(dataset: Dataset, settings: Segmenting, table: str, progress: bool = True) -> list[Path]:
    """Every decoder on every backbone, and every network from scratch, as Results of `table`; their paths."""
    begun = begin(dataset, settings, table)
    split = split_of(begun)
    rows = [
        row(begun, kind, split, [fit_whole(begun, kind, backbone, progress)])
        for backbone in loaded(settings)
        for kind in settings.decoders
    ]
    rows += [row(begun, kind, split, [fit_whole(begun, kind, None, progress)]) for kind in settings.scratch]
    return mask_recording.record(begun, rows, split)


def loaded(settings: Segmenting) -> Iterator[Backbone]:
    """The backbones that decoders stand on, one after the other; none for networks from scratch."""
    for name in settings.backbones if settings.decoders else ():
        yield backbones.load(name, settings.image_size, settings.seed, settings.backbones)


def fit_whole(begun: MaskExperiment, kind: Segmenter, backbone: Backbone | None, progress: bool = True) -> Fit:
    """`kind` fitted to the whole split: a decoder on `backbone`, or, with None, a network from scratch."""
    split, together = split_of(begun), backbone is not None
    fit = scratch(begun, kind, progress) if backbone is None else decoder(begun, backbone, kind, progress)
    return fit(split, begun.settings.schedule(together))


def decoder(begun: MaskExperiment, backbone: Backbone, kind: Segmenter, progress: bool = True) -> Fitter:
    """What fits decoder `kind` on `backbone` to the rows and by the schedule it is given."""
    tokens = tokens_of(begun, backbone, progress)

    def fit(split: Split, how: Schedule) -> Fit:
        segmented = fit_decoder(begun, backbone, tokens, kind, split, how, progress)
        return Fit(segmented, experiment.used(backbone, tokens.runtime), tokens.seconds, tokens.computed)

    return fit


def scratch(begun: MaskExperiment, kind: Segmenter, progress: bool = True) -> Fitter:
    """What trains network `kind` from random weights on the rows and by the schedule it is given."""

    def fit(split: Split, how: Schedule) -> Fit:
        segmented = fit_scratch(begun, kind, split, how, progress)
        return Fit(segmented, scratch_used(begun, kind, segmented))

    return fit


def tokens_of(begun: MaskExperiment, backbone: Backbone, progress: bool = True) -> PatchTokens:
    """The patch tokens that all decoders asked for read; checksums of the cache are gone through in every call."""
    return patch_tokens.extract(
        begun.dataset, backbone, begun.settings.blocks, begun.settings.device, progress=progress
    )


def fit_decoder(
    begun: MaskExperiment,
    backbone: Backbone,
    tokens: PatchTokens,
    kind: Segmenter,
    split: Split,
    schedule: Schedule,
    progress: bool = True,
) -> Segmented:
    """Decoder `kind` on `tokens`, the patch tokens of `backbone` (see `tokens_of`)."""
    dataset, settings, size = begun.dataset, begun.settings, backbone.image_size
    blocks = decoders.BLOCKS[kind]
    masks = masks_of(begun, size)
    views = None
    if settings.views:
        views = patch_tokens.extract_views(
            dataset,
            backbone,
            settings.blocks,
            split.refit,
            settings.views,
            settings.seed,
            settings.device,
            progress=progress,
        )

    def read(rows: NDArray[np.intp], generator: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        seen, truth = tokens.take(rows, blocks), torch.from_numpy(masks[rows])
        if generator is not None and views is not None:
            seen, truth = views.mixed(rows, seen, truth, generator)
        return torch.from_numpy(seen), truth

    width, classes = backbone.spec.width, len(dataset.classes)
    task = Task(
        make=lambda: decoders.make(kind, width, classes + 1, settings.ending),
        forward=lambda network, inputs: network(inputs, size),
        read=read,
        split=split,
        classes=classes,
    )
    about = {"backbone": backbone.spec.id, "weights": backbone.weights_sha256, "views": str(settings.views),
             "ending": settings.ending}  # fmt: skip
    return _segmented(begun, task, kind, size, schedule, about, progress)


def fit_scratch(
    begun: MaskExperiment, kind: Segmenter, split: Split, schedule: Schedule, progress: bool = True
) -> Segmented:
    """Network `kind` trained from random weights on images, flipped and rotated anew in every epoch."""
    dataset, settings = begun.dataset, begun.settings
    size, classes = settings.image_size, len(dataset.classes)
    pictures = squares(dataset, size, progress=progress)
    masks = masks_of(begun, size)

    def read(rows: NDArray[np.intp], generator: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        images, truth = torch.from_numpy(pictures[rows]), torch.from_numpy(masks[rows])
        if generator is not None and settings.augment:
            draws = augmentation.draw(len(rows), generator)
            images, truth = augmentation.images(images, draws), augmentation.masks(truth, draws)
        return torch.from_numpy(normalised(images.numpy())), truth

    def forward(network: nn.Module, images: Tensor) -> Tensor:
        logits: Tensor = network(images.contiguous(memory_format=torch.channels_last))
        return logits

    task = Task(
        make=lambda: segmenters.make_scratch(kind, classes + 1, size),  # type: ignore[arg-type]
        forward=forward,
        read=read,
        split=split,
        classes=classes,
    )
    return _segmented(begun, task, kind, size, schedule, {"augment": str(settings.augment)}, progress)


def scratch_used(begun: MaskExperiment, kind: Segmenter, segmented: Segmented) -> BackboneUsed:
    """How a Result names a network without a backbone."""
    return BackboneUsed(
        id="scratch",
        title=f"{segmenters.TITLES[kind]} from scratch",
        weights_sha256=f"random, seed {begun.settings.seed}",
        image_size=begun.settings.image_size,
        runtime=segmented.numerics,
    )


def _segmented(
    begun: MaskExperiment,
    task: Task,
    kind: Segmenter,
    size: int,
    schedule: Schedule,
    about: dict[str, str],
    progress: bool,
) -> Segmented:
    """Fitted, or gone on with from the checkpoint of this very run."""
    dataset = begun.dataset
    parts = [rows.tobytes() for rows in (task.split.train, task.split.validation, task.split.refit, task.split.test)]
    identity = {
        "segmenter": kind,
        "data": dataset.fingerprint,
        "masks": dataset.mask_fingerprint,
        "split": hashlib.sha256(b"|".join([splits.digest(dataset.samples).encode(), *parts])).hexdigest(),
        "classes": ", ".join(dataset.classes),
        "preprocessing": f"{dataset.preparation} | {PREPROCESSING}",
        "image_size": str(size),
        **about,
    }
    everything: Sequence[object] = [identity, schedule.hyperparameters(), runtime.training_name(begun.settings.device)]
    key = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]
    saved = assets.cache_dir() / "segmenters" / f"{dataset.name}__{kind}__{size}px__{key}.pt"
    with FileLock(saved.with_suffix(".lock")):
        return segmentation.segment(task, schedule, saved, identity, begun.settings.device, progress)


def row(
    begun: MaskExperiment,
    kind: Segmenter,
    split: Split,
    fits: Sequence[Fit],
) -> Row:
    """A row of one fit or, over draws of training images, of several."""
    first, fitted = fits[0], [fit.segmented for fit in fits]
    hd95 = None
    if begun.dataset.planes is not None and len(fitted) == 1:
        predictions = native_masks.predicted(begun.dataset, fitted[0], split.test)
        hd95 = native_masks.scan_distances(begun.dataset, predictions)[1]
    settings = begun.settings
    extra: dict[str, object] = (
        {"views": settings.views, "ending": settings.ending}
        if kind in decoders.BLOCKS
        else {"augment": settings.augment}
    )
    if settings.train_images:
        extra["train_images"] = settings.train_images
    return Row(
        protocol=kind,
        backbone=first.used,
        counts=np.stack([one.counts for one in fitted]),
        learning_rates=tuple(one.learning_rate for one in fitted),
        candidates=fitted[0].validation,
        hyperparameters={
            "protocol": kind,
            **settings.schedule().hyperparameters(),
            **extra,
            "numerics": fitted[0].numerics,
        },
        seconds={
            "features": first.feature_seconds,
            "images_encoded": float(first.encoded),
            "fit": sum(one.seconds for one in fitted),
        },
        trainable_parameters=sum(weight.numel() for weight in fitted[0].network.parameters()),
        peak_memory_mb=max(one.peak_memory_mb for one in fitted),
        chosen_how=mask_recording.CHOSEN_HOW if len(settings.learning_rates) > 1 else mask_recording.ONE_RATE,
        hd95=hd95,
    )
