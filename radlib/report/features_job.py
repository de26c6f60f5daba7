"""``radlib features``: frozen features computed before the pages read them; one job is a run of shards.

A page finds in the cache what such jobs left there and computes the rest itself, so only the time depends on them.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from radlib.errors import RadlibError, plain
from radlib.evaluate import features, patch_tokens
from radlib.evaluate.frozen_shards import Part
from radlib.models import backbones, runtime
from radlib.report import experiment, sam
from radlib.report.parameters import Pixels, Seed, validated


class FeaturesJob(BaseModel):
    """The options of ``radlib features``, named as the notebooks' parameters.

    `patch_blocks` is the number of last blocks whose patch tokens are kept for segmentation, 0 for what classifiers
    read. `samples` is the largest number of images (see `sam.sample`), 0 for all. Without `data_root` the dataset is
    simulated.
    """

    dataset: str
    backbone: str
    image_size: Pixels
    patch_blocks: Annotated[int, Field(ge=0, le=patch_tokens.MOST_BLOCKS)]
    samples: Annotated[int, Field(ge=0)]
    data_root: str
    protocol: str
    seed: Seed
    device: str


def compute(options: Mapping[str, object], part: Part) -> str:
    """Compute the features of the shards of `part` that are not in the cache; returns a line that says how many.

    Raises RadlibError for options that a page would refuse, a dataset that cannot be opened, weights that cannot be
    downloaded, an unreadable image and a full disk. Finished shards are kept.
    """
    job = validated(FeaturesJob, options)
    row = backbones.spec(job.backbone)
    backbones.check_image_size(row, job.image_size)
    if job.patch_blocks:
        backbones.check_patch_tokens(row)
    runtime.name(job.device)
    backbones.fetch_weights(job.backbone)
    cohort = experiment.open_cohort_of(job.dataset, job.data_root, job.protocol)
    if cohort.dataset is None:
        raise RadlibError(cohort.missing)
    dataset = sam.sample(cohort.dataset, job.samples) if job.samples else cohort.dataset
    backbone = backbones.load(job.backbone, job.image_size, job.seed)
    found: features.Features | patch_tokens.PatchTokens
    if job.patch_blocks:
        found = patch_tokens.extract(dataset, backbone, job.patch_blocks, device=job.device, part=part)
    else:
        found = features.extract(dataset, backbone, device=job.device, part=part)
    return plain(
        f"{dataset.title} x {job.backbone} at {job.image_size} px, part {part.number} of {part.of}: "
        f"{len(found.shards)} shards, {found.computed:,} images computed in {found.seconds:.1f} s ({found.runtime})"
    )
