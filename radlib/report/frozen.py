"""Frozen features computed ahead of the pages that read them: one job is one dataset, backbone, size and run of shards.

A page finds in the cache what such jobs left there and computes the rest itself, so nothing depends on them but time.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from radlib.errors import RadlibError, plain
from radlib.evaluate import features, patch_tokens
from radlib.evaluate.frozen_shards import WHOLE, Part
from radlib.models import backbones, runtime
from radlib.report import experiment, parameters, sam


@dataclass(frozen=True)
class Frozen:
    """What one backbone says of one dataset, in the words of the notebooks' parameters.

    `blocks` is how many last blocks of patch tokens are kept, 0 for what classifiers read. `samples` is the most images
    that are taken (see `sam.sample`), 0 for all. `data_root` is empty for the stand-in.
    """

    dataset: str
    backbone: str
    image_size: int
    blocks: int = 0
    samples: int = 0
    data_root: str = ""
    protocol: str = "ours"
    seed: int = 0
    device: str = "auto"

    @property
    def kind(self) -> str:
        """``tokens`` for masks, ``features`` for classifiers: the names of their jobs."""
        return "tokens" if self.blocks else "features"

    def check(self) -> None:
        """Raise RadlibError, before a dataset is opened, for a name, number or device that is none."""
        parameters.validated(_Numbers, {name: getattr(self, name) for name in _Numbers.model_fields})
        row = backbones.spec(self.backbone)
        backbones.check_image_size(row, self.image_size)
        runtime.name(self.device)
        if self.blocks:
            backbones.check_patch_tokens(row)


class _Numbers(BaseModel):
    """What of `Frozen` has bounds."""

    image_size: parameters.Pixels
    blocks: Annotated[int, Field(ge=0, le=patch_tokens.MOST_BLOCKS)]
    samples: Annotated[int, Field(ge=0)]
    seed: parameters.Seed


def compute(asked: Frozen, part: Part = WHOLE, progress: bool = True) -> str:
    """Features of `asked` for the shards of `part` in the cache; says in a line how many were there and were computed,
    and at its end in which folder of the cache they lie.

    Raises RadlibError for what the pages refuse: a dataset that cannot be opened, weights that cannot be had, an
    unreadable image, a full disk. Finished shards stay.
    """
    asked.check()
    backbones.fetch_weights(asked.backbone)
    cohort = experiment.open_cohort_of(asked.dataset, asked.data_root, asked.protocol)
    if cohort.dataset is None:
        raise RadlibError(cohort.missing)
    dataset = sam.sample(cohort.dataset, asked.samples) if asked.samples else cohort.dataset
    backbone = backbones.load(asked.backbone, asked.image_size, asked.seed)
    how: dict[str, Any] = {"device": asked.device, "progress": progress, "part": part}
    found: features.Features | patch_tokens.PatchTokens
    if asked.blocks:
        found = patch_tokens.extract(dataset, backbone, asked.blocks, **how)
    else:
        found = features.extract(dataset, backbone, **how)
    what = "patch tokens" if asked.blocks else "features"
    mine = "" if part.of == 1 else f", part {part.number} of {part.of}"
    return plain(
        f"{dataset.title} x {asked.backbone} at {asked.image_size} px, {what}{mine}: "
        f"{len(found.shards)} shards, {found.computed:,} images computed in {found.seconds:.1f} s ({found.runtime}), "
        f"in {found.folder.parent.name}/{found.folder.name}"
    )
