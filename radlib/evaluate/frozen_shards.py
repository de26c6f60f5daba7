"""What a frozen backbone answers to a dataset's images, computed once: shards on disk that a killed run leaves whole.

A folder of the cache holds one dataset seen by one backbone. Its name is a hash of everything that decides the
numbers (dataset fingerprint, preparation, image size, weights' sha256, runtime). A shard is one safetensors file with
its own checksum, written beside its place and then renamed, so that a half-written shard is never read; reading maps
it into memory.
"""

import functools
import hashlib
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from radlib import assets, atomic, checked_array
from radlib.data.dataset import Dataset
from radlib.data.preprocess import PREPROCESSING, model_input
from radlib.errors import RadlibError
from radlib.memory import amount
from radlib.models import runtime
from radlib.models.backbones import Backbone

ROOM_LEFT = 1 << 28  # bytes that a run leaves free on the disk

Encode = Callable[[np.ndarray], np.ndarray]  # images (b, 3, H, W) -> answers (b, *shape)
Image = Callable[[int], np.ndarray]  # place -> (3, H, W) float32, normalised


@dataclass(frozen=True)
class Layout:
    """What one kind of answer looks like on disk.

    `kind` names the cache's folder, `shape` is of one image's answer, `dtype` float32 or float16, `rows_per_shard` what
    a killed run can lose. `variant` adds to the key what tells this answer from others of the same kind and images.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: type[np.floating]
    rows_per_shard: int
    variant: str = ""

    def bounds(self, n: int) -> list[tuple[int, int]]:
        """First and last-but-one place of every shard of `n` images."""
        return [(low, min(low + self.rows_per_shard, n)) for low in range(0, n, self.rows_per_shard)]


@dataclass(frozen=True)
class Part:
    """The `number`-th (from 1) of `of` runs of neighbouring shards, as equal as whole shards allow: one job of many.

    Who computes a shard does not show in its bytes, since batches never cross shards.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise RadlibError(f"Part {self.number}/{self.of} is out of range; use 1/{self.of} to {self.of}/{self.of}.")

    def take(self, bounds: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """This part's shards of all `bounds`; none where there are fewer shards than parts."""
        first, end = (len(bounds) * k // self.of for k in (self.number - 1, self.number))
        return bounds[first:end]


WHOLE = Part()


@dataclass(frozen=True)
class Shards:
    """`arrays` memory-mapped `(n, *shape)` in order, where they lie, what was computed in this call and how."""

    arrays: tuple[np.ndarray, ...]
    folder: Path
    computed: int
    seconds: float
    runtime: str


def compute(
    dataset: Dataset,
    backbone: Backbone,
    layout: Layout,
    encoder: Callable[[], Encode],
    image: Image | None = None,
    n: int | None = None,
    device: str = "auto",
    batch_size: int = 8,
    readers: int = 2,
    progress: bool = True,
    part: Part = WHOLE,
) -> Shards:
    """Answers for `n` images of `dataset` (all of its rows), from the cache where they lie there, else computed.

    `encoder` is called only if there is something to compute. `image` gives the image at a place where that is not
    simply the row of that number. `batch_size` images go through the backbone at once while `readers` threads decode
    the next ones. Batches never cross a shard, so that a resumed run gives the same bytes. With `part` only its shards
    are looked at, and returned: the others are another job's.

    Raises:
        RadlibError: an unreadable image (named), answers that are not finite, a cache that cannot be written, a disk
            that is full or cannot hold what is missing. Finished shards stay.
    """
    start = time.perf_counter()
    size = backbone.image_size
    get = image or (lambda row: model_input(dataset.read(row), size))
    numerics = runtime.name(device)
    folder = folder_of(dataset, backbone, layout, numerics)
    bounds = part.take(layout.bounds(len(dataset) if n is None else n))
    paths = [folder / _name(low) for low, _ in bounds]
    shapes = [(high - low, *layout.shape) for low, high in bounds]
    shards = [checked_array.read(path, shape) for path, shape in zip(paths, shapes, strict=True)]
    computed = 0
    if any(shard is None for shard in shards):
        with FileLock(folder / f"{part.number}-of-{part.of}.lock"):  # a second run waits and reads what the first wrote
            shards = [
                checked_array.read(path, shape) if shard is None else shard
                for shard, path, shape in zip(shards, paths, shapes, strict=True)
            ]
            todo = [k for k, shard in enumerate(shards) if shard is None]
            cut_short = [paths[k].name for k in todo if paths[k].exists()]
            if cut_short:
                print(f"{len(cut_short)} damaged feature file(s) are computed again, first {cut_short[0]}.")
            computed = sum(shapes[k][0] for k in todo)
            if todo:
                _refuse_too_little_room(folder, computed * int(np.prod(layout.shape)) * np.dtype(layout.dtype).itemsize)
                if dataset.prepare is not None:
                    dataset.prepare(progress)
                encode = encoder()
                images = _decoded(get, [place for k in todo for place in range(*bounds[k])], readers)
                title = f"{dataset.name} x {backbone.spec.id}"
                with tqdm(total=computed, desc=title, unit="image", disable=not progress) as bar:
                    for k in todo:
                        low, high = bounds[k]
                        values = _encoded(images, high - low, encode, layout, batch_size, bar)
                        _refuse_not_finite(values, dataset, backbone, low if image is None else None)
                        writing(paths[k], functools.partial(checked_array.write, paths[k], values))
                        shards[k] = checked_array.read(paths[k], values.shape)
    atomic.sweep(folder)
    whole = [shard for shard in shards if shard is not None]
    if len(whole) < len(shards):
        raise RadlibError(f"Features written to {folder} read back damaged; check that disk.")
    return Shards(tuple(whole), folder, computed, time.perf_counter() - start, numerics)


def complete(dataset: Dataset, backbone: Backbone, layout: Layout, n: int | None = None, device: str = "auto") -> bool:
    """Whether every shard of `n` images of `dataset` (all of its rows) lies in the cache.

    Whether each is sound is seen when it is read.
    """
    folder = folder_of(dataset, backbone, layout, runtime.name(device), make=False)
    return all((folder / _name(low)).is_file() for low, _ in layout.bounds(len(dataset) if n is None else n))


def folder_of(dataset: Dataset, backbone: Backbone, layout: Layout, numerics: str, make: bool = True) -> Path:
    """The cache folder of this dataset and backbone, with a ``key.json`` that says in words what its name hashes."""
    key = {
        "dataset": dataset.fingerprint,
        "preparation": f"{dataset.preparation} | {PREPROCESSING}",
        "image_size": backbone.image_size,
        "backbone": backbone.spec.id,
        "weights": backbone.weights_sha256,
        "runtime": numerics,
        "rows_per_shard": layout.rows_per_shard,
        **({"variant": layout.variant} if layout.variant else {}),
    }
    text = json.dumps(key, indent=1, sort_keys=True)
    folder = assets.cache_dir() / layout.kind / hashlib.sha256(text.encode()).hexdigest()[:24]
    if not make:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        said = folder / "key.json"
        if not said.is_file() or said.read_bytes() != text.encode():
            atomic.replace(said, text.encode())
    except OSError as error:
        raise RadlibError(
            f"The cache folder {folder} cannot be written ({error.strerror}); set RADLIB_CACHE to one that can."
        ) from error
    return folder


def _name(low: int) -> str:
    return f"{low:08d}.safetensors"


def writing(path: Path, write: Callable[[], None]) -> None:
    """Do `write`, which puts features at `path`; a disk that does not take them becomes one sentence."""
    try:
        write()
    except FileNotFoundError as error:
        raise RadlibError(f"{path.parent} was deleted while features were put there; run the same again.") from error
    except OSError as error:
        raise RadlibError(
            f"Features cannot be written to {path.parent} ({error.strerror}); make room or set RADLIB_CACHE, then run "
            "again: what is finished is kept."
        ) from error


def _refuse_too_little_room(folder: Path, size: int) -> None:
    """Hours of a GPU are not spent on what the disk cannot hold; small caches are simply tried."""
    free = shutil.disk_usage(folder).free
    if size > ROOM_LEFT and free < size + ROOM_LEFT:
        raise RadlibError(
            f"The features still to be computed take {amount(size)} and {folder} has {amount(free)} left; "
            "make room, set RADLIB_CACHE to another disk, or ask for smaller images."
        )


def _decoded(image: Image, places: Sequence[int], readers: int) -> Iterator[np.ndarray]:
    """Images `(3, size, size)` of `places` in order, decoded by threads that stay at most 32 images ahead."""
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix="decode") as pool:
        try:
            for place in places:
                waiting.append(pool.submit(image, place))
                if len(waiting) >= 32:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _encoded(
    images: Iterator[np.ndarray], n: int, encode: Encode, layout: Layout, batch_size: int, bar: "tqdm[None]"
) -> np.ndarray:
    """The next `n` images through the backbone, `(n, *shape)`."""
    out = np.empty((n, *layout.shape), dtype=layout.dtype)
    for low in range(0, n, batch_size):
        batch = np.stack(list(islice(images, min(batch_size, n - low))))
        out[low : low + len(batch)] = encode(batch)
        bar.update(len(batch))
    return out


def _refuse_not_finite(values: np.ndarray, dataset: Dataset, backbone: Backbone, first: int | None) -> None:
    """Answers `(n, *shape)` of rows from `first` on that are not finite are never kept: no head could learn.

    `first` is None where places are no rows and the image cannot be named.
    """
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if len(bad):
        named = "" if first is None else f", first {dataset.root / dataset.samples['image'].iloc[first + bad[0]]}"
        raise RadlibError(
            f"'{backbone.spec.id}' gives NaN or infinite features for {len(bad)} images{named}; check its "
            "weights, or on a GPU use device 'cpu', whose float32 does not overflow."
        )
