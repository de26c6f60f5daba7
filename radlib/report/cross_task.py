"""One decoder on several encoders at several image sizes: does an encoder that classifies also segment? (Table 9)."""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from radlib.data.dataset import Dataset
from radlib.report import mask_experiment, segmenting
from radlib.report.mask_experiment import Segmenting
from radlib.report.parameters import Pixels, list_of_names, validated
from radlib.report.result import Segmenter

TABLE = "table09"


class CrossTask(Segmenting):
    """What the notebook of Table 9 takes: every backbone is decoded at each of `image_sizes`, in px."""

    segmenters: Annotated[tuple[Segmenter, ...], Field(min_length=1)] = ("unet_decoder",)
    image_sizes: Annotated[tuple[Pixels, ...], Field(min_length=1)] = (224, 448)

    _sizes = field_validator("image_sizes", mode="before")(list_of_names)

    def at(self, size: int) -> "CrossTask":
        """The same with one image size, in px."""
        return self.model_copy(update={"image_size": size})


def checked(given: Mapping[str, object]) -> CrossTask:
    """The notebook's parameters with types and names checked, every size against every backbone.

    Raises RadlibError naming the first parameter that is wrong.
    """
    asked = validated(CrossTask, given)
    by_size = [mask_experiment.checked(CrossTask, asked.at(size).model_dump()) for size in asked.image_sizes]
    return by_size[0]


def measure(dataset: Dataset, settings: CrossTask, progress: bool = True) -> list[Path]:
    """Every segmenter at every size as Results of Table 9; their paths.

    Equal seeds and patients make equal resamples, so rows of different sizes may be compared as pairs.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # said again when its turn comes
        for size in settings.image_sizes:  # whatever is wrong with any size is told before the first is trained
            mask_experiment.begin(dataset, settings.at(size), TABLE)
    return [
        path
        for size in settings.image_sizes
        for path in segmenting.measure(dataset, settings.at(size), TABLE, progress)
    ]
