"""SAM's encoder against DINOv2's, on large images and a sample of each dataset (paper section 4.4, Table 10)."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from radlib.data.dataset import Dataset
from radlib.data.splits import systematic
from radlib.models import backbones
from radlib.report import experiment, probing, recording
from radlib.report.probing import Probing

TABLE = "table10"


class LargeImages(Probing):
    """What the notebook of Table 10 takes: `image_size` is the most, see `fitting_size`; `samples` images at most."""

    samples: Annotated[int, Field(gt=0)] = 20_000


def checked(**given: object) -> LargeImages:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    return experiment.checked(LargeImages, given, size=fitting_size)


def fitting_size(name: str, image_size: int) -> int:
    """The side in px nearest below `image_size` that backbone `name` takes: of a ViT/14 at 1,024 px it is 1,022."""
    patch = backbones.spec(name).patch
    return image_size if patch is None else max(patch, image_size // patch * patch)


def sample(dataset: Dataset, samples: int) -> Dataset:
    """A systematic sample of `samples` images over the dataset's rows; the dataset itself where it has no more."""
    if len(dataset) <= samples:
        return dataset
    rows = systematic(len(dataset), samples)
    kept = dataset.samples.iloc[rows].reset_index(drop=True)
    note = f"{dataset.note} {samples:,} of its {len(dataset):,} images, sampled systematically."
    return replace(dataset, samples=kept, labels=dataset.labels[rows], note=note.strip())


def measure(dataset: Dataset, settings: LargeImages, progress: bool = True) -> list[Path]:
    """Linear probes of every backbone on a sample of `dataset`, as Results; their paths."""
    begun = experiment.begin(sample(dataset, settings.samples), settings, TABLE)
    sizes = {name: fitting_size(name, settings.image_size) for name in settings.backbones}
    return recording.record(begun, probing.measure_frozen(begun, settings, progress, sizes))


def sizes_in_words(settings: LargeImages) -> str:
    """What every row saw, e.g. ``dinov2_vitl14 1,022 px``."""
    sizes = {name: fitting_size(name, settings.image_size) for name in settings.backbones}
    if len(set(sizes.values())) == 1:
        return f"{next(iter(sizes.values())):,} px"
    return ", ".join(f"{name} {size:,} px" for name, size in sizes.items())
