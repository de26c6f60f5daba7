"""A few images and their patch tokens, each image kept by itself: of another four only new ones are computed.

The tokens are those of a vision transformer's last block after its final norm, in float16, as `patch_tokens` keeps
those of whole datasets, and with the same key: that of a dataset which is the one image.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from radlib.data.dataset import Dataset, Reader, Record
from radlib.data.preprocess import unit_square
from radlib.errors import RadlibError
from radlib.evaluate import frozen_shards
from radlib.evaluate.frozen_shards import Encode, Layout
from radlib.models import backbones, runtime
from radlib.models.backbones import Backbone, BackboneSpec

BLOCKS = 1  # the last


@dataclass(frozen=True)
class Seen:
    """n images of a dataset as a backbone saw them.

    `tokens` (n, h, w, D) float16, last block, after the final norm. `squares` (n, S, S) float32 in [0, 1], gray, the
    image as the backbone was given it but for the normalisation. `fingerprints` are those of the single images,
    `computed` of the tokens were not in the cache, `runtime` is what runs the backbone.
    """

    tokens: NDArray[np.float16]
    squares: NDArray[np.float32]
    fingerprints: tuple[str, ...]
    computed: int
    runtime: str


def see(
    dataset: Dataset,
    backbone: Backbone,
    rows: Sequence[int],
    device: str = "auto",
    progress: bool = True,
    told: Callable[[int], None] = lambda done: None,
) -> Seen:
    """`rows` of `dataset` and their patch tokens, computed where they are not in the cache; each image is decoded once.

    `told` hears after every image how many are done. Errors are those of `frozen_shards.compute`, and RadlibError for
    no row, one that is not there, or a backbone without patch tokens.
    """
    if not len(rows):
        raise RadlibError(f"No image of {dataset.title} was named; name at least one row.")
    for row in rows:
        if not 0 <= row < len(dataset):
            raise RadlibError(f"{dataset.title} has images 0 to {len(dataset) - 1} and {row} was asked for.")
    check_backbone(backbone.spec, backbone.image_size)
    side = backbone.image_size // (backbone.spec.patch or 1)
    layout = Layout("patch_tokens", (BLOCKS, side, side, backbone.spec.width), np.float16, 1, f"last {BLOCKS} blocks")
    encoder = functools.partial(_encode, backbone, device)
    tokens, squares, fingerprints, computed = [], [], [], 0
    bar = tqdm(rows, f"{dataset.name} x {backbone.spec.id}", unit="image", disable=not progress)
    for done, row in enumerate(bar, start=1):
        one = only(dataset, row)
        found = frozen_shards.compute(
            one, backbone, layout, encoder, device=device, batch_size=1, readers=1, progress=False
        )
        tokens.append(np.asarray(found.arrays[0][0, -1]))
        squares.append(unit_square(one.read(0), backbone.image_size).mean(axis=0))
        fingerprints.append(one.fingerprint)
        computed += found.computed
        told(done)
    return Seen(np.stack(tokens), np.stack(squares), tuple(fingerprints), computed, runtime.name(device))


def check_backbone(spec: BackboneSpec, image_size: int) -> None:
    """Raise RadlibError if `spec` has no patch tokens, or cannot take images of `image_size` px."""
    if spec.family != "vit":
        raise RadlibError(f"'{spec.id}' has no patch tokens; name a vision transformer.")
    backbones.check_image_size(spec, image_size)


def only(dataset: Dataset, row: int) -> Dataset:
    """`dataset` as if `row` were all of it, decoded once however often it is read."""
    samples = dataset.samples.iloc[[row]].reset_index(drop=True)
    return dataclasses.replace(
        dataset,
        samples=samples,
        labels=dataset.labels[[row]],
        read_image=_once(dataset.read_image),
        prepare=None,  # which unpacks every volume of the cohort; reading unpacks the one it needs
    )


def _once(read: Reader) -> Reader:
    kept: list[NDArray[np.float32]] = []

    def again(root: Path, row: Record) -> np.ndarray:
        if not kept:
            kept.append(read(root, row))
        return kept[0]

    return again


@functools.lru_cache(maxsize=1)  # compiling takes as long as some images, and a page looks at several datasets
def _encode(backbone: Backbone, device: str) -> Encode:
    answer = runtime.encoder(backbone, 1, device, patch_blocks=BLOCKS)
    return lambda images: answer(images)["patches"].astype(np.float16)
