"""Frozen features, computed once: shards on disk that a killed run leaves whole and the next run continues.

A folder of the cache holds one dataset seen by one backbone. Its name is a hash of everything that decides the
numbers (dataset fingerprint, preparation, image size, weights' sha256, runtime). A shard is one safetensors file of
`ROWS_PER_SHARD` images with its own checksum, written beside its place and then renamed, so that a half-written shard
is never read; reading maps it into memory.
"""

import functools
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from radlib import assets, atomic, checked_array
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING, model_input
from radlib.errors import RadlibError
from radlib.models import runtime
from radlib.models.backbones import Backbone

ROWS_PER_SHARD = 64  # what a killed run can lose: four seconds of a ViT-S, some minutes of a ViT-g on a CPU
VIT_PARTS = ("cls-4", "cls-3", "cls-2", "cls-1", "patch_mean")  # the order of `runtime.Encoder`'s outputs
IN_MEMORY_BYTES = 1 << 29  # 512 MB: 70,000 images of a ViT-S; what is larger is read from disk row by row
STALE_SECONDS = 3600  # an unfinished file this old belongs to a run that was killed


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
            _writing(path, lambda: checked_array.write_rows(path, shape, flat))
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
) -> Features:
    """Features of every image of `dataset`, from the cache where they lie there, else computed and kept.

    `batch_size` images go through the backbone at once while `readers` threads decode the next ones. Batches never
    cross a shard, so that a resumed run gives the same bytes.

    Raises:
        RadlibError: an unreadable image (named), features that are not finite, a cache that cannot be written, a full
            disk. Finished shards stay.
    """
    start = time.perf_counter()
    parts = VIT_PARTS if backbone.spec.family == "vit" else ("pooled",)
    numerics = runtime.name(device)
    folder = _folder(dataset, backbone, numerics)
    bounds = [(low, min(low + ROWS_PER_SHARD, len(dataset))) for low in range(0, len(dataset), ROWS_PER_SHARD)]
    paths = [folder / f"{low:08d}.safetensors" for low, _ in bounds]
    width = backbone.spec.width
    shards = [
        checked_array.read(path, (high - low, len(parts), width))
        for path, (low, high) in zip(paths, bounds, strict=True)
    ]
    todo = [k for k, shard in enumerate(shards) if shard is None]
    cut_short = [paths[k].name for k in todo if paths[k].exists()]
    if cut_short:
        print(f"{len(cut_short)} cached feature file(s) were damaged and are computed again, first {cut_short[0]}.")
    computed = sum(bounds[k][1] - bounds[k][0] for k in todo)
    if todo:
        if dataset.prepare is not None:
            dataset.prepare(progress)
        encode = runtime.encoder(backbone, batch_size, device)
        images = _decoded(dataset, [row for k in todo for row in range(*bounds[k])], backbone.image_size, readers)
        title = f"{dataset.name} x {backbone.spec.id}"
        with tqdm(total=computed, desc=title, unit="image", disable=not progress) as bar:
            for k in todo:
                low, high = bounds[k]
                values = _encoded(images, high - low, encode, len(parts), width, bar)
                _refuse_not_finite(values, dataset, backbone, low)
                _writing(paths[k], functools.partial(checked_array.write, paths[k], values))
                shards[k] = checked_array.read(paths[k], (high - low, len(parts), width))
    _sweep(folder)
    whole = [shard for shard in shards if shard is not None]
    if len(whole) < len(shards):
        raise RadlibError(f"Features written to {folder} read back damaged; check that disk.")
    return Features(parts, tuple(whole), folder, computed, time.perf_counter() - start, numerics)


def _folder(dataset: Dataset, backbone: Backbone, numerics: str) -> Path:
    """The cache folder of this dataset and backbone, with a ``key.json`` that says in words what its name hashes."""
    key = {
        "dataset": dataset.fingerprint,
        "preparation": f"{dataset.preparation} | {PREPROCESSING}",
        "image_size": backbone.image_size,
        "backbone": backbone.spec.id,
        "weights": backbone.weights_sha256,
        "runtime": numerics,
        "rows_per_shard": ROWS_PER_SHARD,
    }
    text = json.dumps(key, indent=1, sort_keys=True)
    folder = assets.cache_dir() / "features" / hashlib.sha256(text.encode()).hexdigest()[:24]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "key.json").is_file():
            atomic.replace(folder / "key.json", text.encode())
    except OSError as error:
        raise RadlibError(
            f"The cache folder {folder} cannot be written ({error.strerror}); set RADLIB_CACHE to one that can."
        ) from error
    return folder


def _decoded(dataset: Dataset, rows: list[int], size: int, readers: int) -> Iterator[np.ndarray]:
    """Images `(3, size, size)` of `rows` in order, decoded by threads that stay at most 32 images ahead."""

    def decode(row: int) -> np.ndarray:
        return model_input(dataset.read(row), size)

    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix="decode") as pool:
        try:
            for row in rows:
                waiting.append(pool.submit(decode, row))
                if len(waiting) >= 32:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _encoded(
    images: Iterator[np.ndarray],
    n: int,
    encode: runtime.Encoder,
    parts: int,
    width: int,
    bar: "tqdm[None]",
) -> np.ndarray:
    """The next `n` images through the backbone, `(n, parts, width)` float32."""
    out = np.empty((n, parts, width), dtype=np.float32)
    for low in range(0, n, encode.batch_size):
        batch = np.stack(list(islice(images, min(encode.batch_size, n - low))))
        answer = [array.reshape(len(batch), -1, width) for array in encode(batch).values()]
        out[low : low + len(batch)] = np.concatenate(answer, axis=1)
        bar.update(len(batch))
    return out


def _refuse_not_finite(values: np.ndarray, dataset: Dataset, backbone: Backbone, first: int) -> None:
    """Features `(n, parts, D)` of rows from `first` on that are not finite are never kept: no head could learn."""
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if len(bad):
        path = dataset.root / dataset.samples["image"].iloc[first + bad[0]]
        raise RadlibError(
            f"'{backbone.spec.id}' gives NaN or infinite features for {len(bad)} images, first {path}; check its "
            "weights, or on a GPU use device 'cpu', whose float32 does not overflow."
        )


def _writing(path: Path, write: Callable[[], None]) -> None:
    """Do `write`, which puts features at `path`; a disk that does not take them becomes one sentence."""
    try:
        write()
    except OSError as error:
        raise RadlibError(
            f"Features cannot be written to {path.parent} ({error.strerror}); make room or set RADLIB_CACHE, then run "
            "again: what is finished is kept."
        ) from error


def _sweep(folder: Path) -> None:
    """Remove what killed runs left half-written; younger files may belong to a run beside this one."""
    for part in folder.glob("*.part-*"):
        try:
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()
        except FileNotFoundError:  # the other run has just finished with it
            pass
