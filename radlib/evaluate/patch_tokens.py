"""Patch tokens of a frozen vision transformer, computed once: what a decoder reads instead of the image.

A ViT-S/14 at 448 px answers with 1,024 x 384 numbers a block, two million for the five blocks that a U-Net decoder
takes. They are kept in half precision (4 MB an image; 16 MB with a ViT-g), whose rounding no decoder can tell.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from radlib.data.dataset import Dataset
from radlib.data.preprocess import normalised, unit_square
from radlib.evaluate import augmentation, frozen_shards
from radlib.evaluate.augmentation import Draws
from radlib.evaluate.frozen_shards import WHOLE, Encode, Layout, Part
from radlib.models import decoders, runtime
from radlib.models.backbones import Backbone

ROWS_PER_SHARD = 16  # 63 MB with a ViT-S at 448 px and five blocks, 250 MB with a ViT-g
MOST_BLOCKS = max(decoders.BLOCKS.values())
BATCH = 4  # images at once: at 448 px larger batches are slower on a CPU


@dataclass(frozen=True)
class PatchTokens:
    """Tokens of N images, `shards` memory-mapped `(n, blocks, h, w, D)` float16, the last block last.

    The others are those of `frozen_shards.Shards`.
    """

    shards: tuple[np.ndarray, ...]
    folder: Path
    computed: int
    seconds: float
    runtime: str

    @property
    def blocks(self) -> int:
        """How many last blocks are here."""
        return int(self.shards[0].shape[1])

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def take(self, rows: Sequence[int] | NDArray[np.intp], blocks: int) -> NDArray[np.float16]:
        """Tokens of `rows` `(B,)` from the last `blocks` blocks, `(B, blocks, h, w, D)`."""
        return np.stack([self.shards[row // ROWS_PER_SHARD][row % ROWS_PER_SHARD, -blocks:] for row in rows])


def extract(
    dataset: Dataset,
    backbone: Backbone,
    blocks: int,
    device: str = "auto",
    readers: int = 2,
    progress: bool = True,
    part: Part = WHOLE,
) -> PatchTokens:
    """Patch tokens of `dataset` (of its `part`) from at least the last `blocks` blocks of `backbone`; cached.

    Errors are those of `frozen_shards.compute`, and RadlibError for a backbone without patch tokens.
    """
    if frozen_shards.complete(dataset, backbone, _layout(backbone, MOST_BLOCKS), device=device):
        blocks = MOST_BLOCKS  # what was computed for one decoder serves the others
    found = frozen_shards.compute(
        dataset,
        backbone,
        _layout(backbone, blocks),
        _encoder(backbone, blocks, device),
        device=device,
        batch_size=BATCH,
        readers=readers,
        progress=progress,
        part=part,
    )
    return PatchTokens(found.arrays, found.folder, found.computed, found.seconds, found.runtime)


@dataclass(frozen=True)
class Views:
    """Augmented views of some images: the tokens of view `v` of the `k`-th of `rows` stand at place `k * count + v`.

    `rows` are sorted.
    """

    tokens: PatchTokens
    rows: NDArray[np.intp]
    count: int
    draws: Draws

    def mixed(
        self,
        rows: NDArray[np.intp],
        tokens: NDArray[np.float16],
        masks: torch.Tensor,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.float16], torch.Tensor]:
        """A batch in which each image is replaced, by chance, by one of its views: as likely each view as itself.

        `rows` `(B,)` are among the views' rows; `tokens` `(B, blocks, h, w, D)` and `masks` `(B, S, S)` are the images
        as they are, of at most as many blocks. Returns both with the views' tokens and the masks moved alike.
        """
        chosen = generator.integers(self.count + 1, size=len(rows))
        turned = np.flatnonzero(chosen)
        if not len(turned):
            return tokens, masks
        places = np.searchsorted(self.rows, rows[turned]) * self.count + chosen[turned] - 1
        tokens, masks = tokens.copy(), masks.clone()
        tokens[turned] = self.tokens.take(places, tokens.shape[1])
        masks[turned] = augmentation.masks(masks[turned], self.draws[places])
        return tokens, masks


def extract_views(
    dataset: Dataset,
    backbone: Backbone,
    blocks: int,
    rows: NDArray[np.intp],
    count: int,
    seed: int,
    device: str = "auto",
    readers: int = 2,
    progress: bool = True,
) -> Views:
    """`count` flipped and rotated views of each of `rows`, turned as images and then encoded; cached like `extract`."""
    n = len(rows) * count
    draws = augmentation.draw(n, np.random.default_rng(seed))

    def image(place: int) -> np.ndarray:
        square = unit_square(dataset.read(int(rows[place // count])), backbone.image_size)
        moved = augmentation.images(torch.from_numpy(square)[None], draws[place : place + 1])
        return normalised(moved[0].numpy())

    these = hashlib.sha256(rows.tobytes()).hexdigest()[:12]
    words = f", {count} views of rows {these}, flips {augmentation.FLIP_CHANCE}, seed {seed}"
    if frozen_shards.complete(dataset, backbone, _layout(backbone, MOST_BLOCKS, words), n, device):
        blocks = MOST_BLOCKS
    found = frozen_shards.compute(
        dataset,
        backbone,
        _layout(backbone, blocks, words),
        _encoder(backbone, blocks, device),
        image=image,
        n=n,
        device=device,
        batch_size=BATCH,
        readers=readers,
        progress=progress,
    )
    tokens = PatchTokens(found.arrays, found.folder, found.computed, found.seconds, found.runtime)
    return Views(tokens, rows, count, draws)


def _layout(backbone: Backbone, blocks: int, views: str = "") -> Layout:
    side = backbone.image_size // (backbone.spec.patch or 1)
    shape = (blocks, side, side, backbone.spec.width)
    return Layout("patch_tokens", shape, np.float16, ROWS_PER_SHARD, f"last {blocks} blocks{views}")


def _encoder(backbone: Backbone, blocks: int, device: str) -> Callable[[], Encode]:
    def make() -> Encode:
        answer = runtime.encoder(backbone, BATCH, device, patch_blocks=blocks)
        return lambda images: answer(images)["patches"].astype(np.float16)

    return make
