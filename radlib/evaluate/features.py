"""Frozen features for classifiers, computed once: class tokens and mean patch of a ViT, the pooled vector of a CNN."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radlib import checked_array
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError
from radlib.evaluate import frozen_shards
from radlib.evaluate.frozen_shards import WHOLE, Encode, Layout, Part
from radlib.models import runtime
from radlib.models.backbones import Backbone

ROWS_PER_SHARD = 64  # what a killed run can lose: four seconds of a ViT-S, some minutes of a ViT-g on a CPU
VIT_PARTS = ("cls-4", "cls-3", "cls-2", "cls-1", "patch_mean")  # the order of `runtime.Encoder`'s outputs
IN_MEMORY_BYTES = 1 << 29  # 512 MB: 70,000 images of a ViT-S; what is larger is read from disk row by row


@dataclass(frozen=True)
class Features:
    """What a frozen backbone said about a dataset.

    Attributes:
        parts: names along axis 1 of every shard: ``cls-4`` … ``cls-1``, ``patch_mean`` of a ViT, ``pooled`` of a CNN.
        shards: memory-mapped `(n, len(parts), D)` float32, `n` at most `ROWS_PER_SHARD`, in the dataset's row order.
        folder: where they lie.
        computed: images encoded in this call; 0 when all came from the cache.
        seconds: wall time of this call, decoding included.
        runtime: e.g. ``openvino-float32``.
    """

    parts: tuple[str, ...]
    shards: tuple[np.ndarray, ...]
    folder: Path
    computed: int
    seconds: float
    runtime: str

    def rows(self) -> np.ndarray:
        """All parts side by side, `(N, len(parts)·D)` float32: in memory when small, else one file mapped into it.

        The file lies beside the shards and is as large as they are together. Without it a batch of random rows would
        open a hundred shards, and all of them in memory would be gigabytes (2.3 GB for NIH Chest X-ray and a ViT-L).

        Raises RadlibError when the disk cannot hold the file.
        """
        shape = (sum(map(len, self.shards)), len(self.parts) * self.shards[0].shape[2])
        flat = (shard.reshape(len(shard), -1) for shard in self.shards)
        if 4 * shape[0] * shape[1] <= IN_MEMORY_BYTES:
            return np.concatenate(list(flat))
        path = self.folder / f"whole-{shape[0]}.safetensors"
        if (found := checked_array.read(path, shape)) is None:
            if path.exists():
                print(f"{path.name} in the cache was damaged and is put together again.")
            frozen_shards.writing(path, lambda: checked_array.write_rows(path, shape, flat))
            found = checked_array.read(path, shape, trusted=True)
        if found is None:
            raise RadlibError(f"Features written to {self.folder} read back damaged; check that disk.")
        return found

    def linear_inputs(self) -> dict[str, np.ndarray]:
        """The inputs a linear head may take (paper section 3.3.1; authors' repository), each `(N, d)`.

        A ViT has four: cls of the last block or of the last four, `d` = D or 4·D, with or without the mean of the last
        block's patches, `d` + D. A CNN has one, its pooled feature.
        """
        whole = self.rows()
        if self.parts == ("pooled",):
            return {"pooled": whole}
        # Every input is a run of neighbouring columns of [cls-4, cls-3, cls-2, cls-1, patch_mean]: a view, read once.
        width = whole.shape[1] // len(self.parts)
        last, mean = (self.parts.index(name) * width for name in ("cls-1", "patch_mean"))
        return {
            "cls1": whole[:, last:mean],
            "cls1+mean": whole[:, last:],
            "cls4": whole[:, :mean],
            "cls4+mean": whole,
        }


def extract(
    dataset: Dataset,
    backbone: Backbone,
    device: str = "auto",
    batch_size: int = 8,
    readers: int = 2,
    progress: bool = True,
    part: Part = WHOLE,
) -> Features:
    """Features of every image of `dataset` (of those of `part`), from the cache where they lie there, else computed.

    Arguments and errors are those of `frozen_shards.compute`.
    """
    parts = VIT_PARTS if backbone.spec.family == "vit" else ("pooled",)
    width = backbone.spec.width

    def encoder() -> Encode:
        answer = runtime.encoder(backbone, batch_size, device)

        def encode(images: np.ndarray) -> np.ndarray:
            return np.concatenate([one.reshape(len(images), -1, width) for one in answer(images).values()], axis=1)

        return encode

    layout = Layout("features", (len(parts), width), np.float32, ROWS_PER_SHARD)
    found = frozen_shards.compute(
        dataset,
        backbone,
        layout,
        encoder,
        device=device,
        batch_size=batch_size,
        readers=readers,
        progress=progress,
        part=part,
    )
    return Features(parts, found.arrays, found.folder, found.computed, found.seconds, found.runtime)
