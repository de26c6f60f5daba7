"""What the whole paper costs, hours and storage of every backbone on the true counts; does cost grow with images alone?

    python benchmarks/scale.py [--growth 200 2000 20000] [--images 96] [--gpu-tflops 100] [--json FILE] [--smallest]

*The paper.* Its settings and the features its pages read are those of workflow/paper.yaml, with the counts of Table 1.
What a network takes is counted in floating-point operations (torch's counter, a multiply and an add are two) and
divided by a rate: on a CPU core the one measured here, in this run, of ViT-S/14 all the way from file to shard, by
processor time, so that what else the machine does counts little; on a GPU one that is *stated*, not measured:
--gpu-tflops, sustained in half precision (100 of an A100's 312). No GPU took part.
A step of training is three times a forward pass. Decoders train on kept tokens, so their encoder is not in it.

*Growth.* 1, 10 and 100 times as many images of a folder go the same way, each in a process of its own with an empty
cache: seconds an image should stay, and so should the memory that is the process's own. What is mapped from the cache's
files is not counted: the system takes it back when it likes. Seconds are of processors here, too.
"""

import argparse
import ast
import csv
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import papermill
import timm
import torch
import yaml
from PIL import Image
from timm.layers import set_fused_attn
from torch.utils.flop_counter import FlopCounterMode

import standins
from radlib import assets
from radlib.data import catalog, origin
from radlib.evaluate import features
from radlib.models import backbones, decoders, segmenters
from radlib.report import page

CHECKOUT = Path(__file__).resolve().parents[1]
TRAINING = 3  # times a forward pass: forward, and twice as much backward
CHILD = """
import sys, threading, time
from radlib.data import catalog
from radlib.evaluate import features
from radlib.evaluate.linear_probe import linear_probe
from radlib.models import backbones
def own():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024
seen = []
def watch():
    while True:
        seen.append(own()); time.sleep(0.02)
dataset = catalog.open_dataset("manifest", sys.argv[1], progress=False)
backbone = backbones.load("efficientnet_lite0", 32)
threading.Thread(target=watch, daemon=True).start()
started = time.process_time()
frozen = features.extract(dataset, backbone, device="cpu", progress=False)
features_seconds, after = time.process_time() - started, max(seen)
started = time.process_time()
split = dataset.samples["split"].to_numpy()
linear_probe(frozen.linear_inputs(), dataset.labels, split, n_classes=2, epochs=2, seed=0)
print(features_seconds, after, time.process_time() - started, max(seen))
"""


@dataclass(frozen=True)
class Frozen:
    """Features of one dataset by one backbone: patch tokens of `blocks` last blocks where that is not 0."""

    dataset: str
    backbone: str
    image_size: int
    blocks: int = 0
    samples: int = 0


def forward(call: Callable[[], object]) -> float:
    """Floating-point operations of `call`, which runs on the meta device and computes nothing."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        call()
    return float(counter.get_total_flops())


@functools.cache
def of_backbone(name: str, size: int) -> float:
    """Operations of backbone `name` on one image of `size` px."""
    row = backbones.spec(name)
    more = {"img_size": size} if row.patch else {}
    with torch.device("meta"):
        module = timm.create_model(row.timm_name, num_classes=0, **more)
        return forward(lambda: module(torch.empty(1, 3, size, size)))


def of_decoder(kind: str, row: backbones.BackboneSpec, size: int, classes: int) -> float:
    """Operations of decoder `kind` on the tokens of one image."""
    side = size // (row.patch or 1)
    with torch.device("meta"):
        module = decoders.make(kind, row.width, classes + 1, "plain")
        tokens = torch.empty(2, decoders.BLOCKS[kind], side, side, row.width)  # batch norm wants two
        return forward(lambda: module(tokens, size)) / 2


@functools.cache
def of_scratch(kind: str, size: int, classes: int) -> float:
    """Operations of network `kind` on one image."""
    with torch.device("meta"):
        module = segmenters.make_scratch(kind, classes + 1, size)
        return forward(lambda: module(torch.empty(2, 3, size, size))) / 2


def measured_rate(images: int, root: Path) -> dict[str, float]:
    """Operations a second of ViT-S/14 at 224 px, files to shards, on Brain Tumor in `root`, seconds to decode one."""
    dataset = catalog.open_dataset("brain_tumor", root, progress=False)
    rows = np.linspace(0, len(dataset) - 1, images).round().astype(int)
    few = replace(dataset, samples=dataset.samples.iloc[rows].reset_index(drop=True), labels=dataset.labels[rows])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "assets").symlink_to(assets.cache_dir() / "assets")
        with mock.patch.dict(os.environ, {"RADLIB_CACHE": folder}):
            backbone = backbones.load("vits14_random", 224)
            started = time.process_time()
            features.extract(few, backbone, device="cpu", progress=False)
            per_image = (time.process_time() - started) / images
    started = time.process_time()
    for row in range(min(images, 32)):
        few.read(row)
    decoding = (time.process_time() - started) / min(images, 32)
    return {"image_seconds": per_image, "tflops": of_backbone("vits14_random", 224) / per_image / 1e12,
            "decode_seconds": decoding}  # fmt: skip


def images_of(one: Frozen) -> int:
    """How many images of the paper's cohort `one` is about."""
    counts = origin.paper_counts(one.dataset).set_index("split")["images"]
    return int(min(counts["all"], one.samples or counts["all"]))


def bytes_of(one: Frozen) -> int:
    """What its features take on disk: float32 for classifiers, float16 for patch tokens."""
    row = backbones.spec(one.backbone)
    if not one.blocks:
        return 4 * row.width * (len(features.VIT_PARTS) if row.family == "vit" else 1)
    return 2 * one.blocks * (one.image_size // (row.patch or 1)) ** 2 * row.width


def every_backbone(rate: float, gpu: float, few: bool) -> list[dict[str, Any]]:
    """Ten rows of Table 2 on eight datasets: features at 224 px of four, tokens of five blocks at 448 px of four."""
    table = []
    for name in ["dinov2_vits14"] if few else backbones.names()[:10]:
        row = backbones.spec(name)
        line: dict[str, Any] = {"backbone": name, "gflop_224": of_backbone(name, 224) / 1e9}
        for kind, task, size, blocks in (("features", False, 224, 0), ("tokens", True, 448, 5)):
            if blocks and row.family != "vit":
                line.update({f"{kind}_core_hours": None, f"{kind}_gpu_hours": None, f"{kind}_gb": None})
                continue
            size = size // (row.patch or 1) * (row.patch or 1)
            asked = [
                Frozen(each, name, size, blocks)
                for each, what in catalog.TASKS.items()
                if (what == "segmentation") == task
            ]
            n, flop = sum(map(images_of, asked)), of_backbone(name, size)
            line[f"{kind}_core_hours"], line[f"{kind}_gpu_hours"] = n * flop / rate / 3600, n * flop / gpu / 3600
            line[f"{kind}_gb"] = sum(images_of(one) * bytes_of(one) for one in asked) / 1e9
        table.append(line)
    return table


def every_page(rate: float, gpu: float, few: bool) -> list[dict[str, Any]]:
    """The pages with the paper's settings: hours of features and of training, and what the cache holds of it.

    Features that pages share are counted with the first of them.
    """
    paper = yaml.safe_load((CHECKOUT / "workflow" / "paper.yaml").read_text())
    groups, seen, table = paper.pop("features").values(), set(), []
    for name in sorted(paper)[: 1 if few else None]:
        defaults = papermill.inspect_notebook(str(page.notebooks()[name]))
        parameters = {key: ast.literal_eval(one["default"]) for key, one in defaults.items()} | paper[name]
        asked = read_by(name, parameters, groups)
        new = [one for one in asked if one not in seen]
        seen.update(new)
        frozen = sum(images_of(one) * of_backbone(one.backbone, one.image_size) for one in new)
        trained = tuning(parameters, asked) + masks(name, parameters)
        table.append({
            "page": name, "features_core_hours": frozen / rate / 3600, "features_gpu_hours": frozen / gpu / 3600,
            "training_core_hours": trained / rate / 3600, "training_gpu_hours": trained / gpu / 3600,
            "gb": sum(images_of(one) * bytes_of(one) for one in new) / 1e9,
        })  # fmt: skip
    return table


def read_by(name: str, parameters: dict[str, Any], groups: Iterable[dict[str, Any]]) -> list[Frozen]:
    """The features of `groups` that page `name` reads with `parameters`."""
    both = [[parameters.get(f"{panel}{key}", ()) for key in ("datasets", "backbones")] for panel in ("", "mask_")]
    return [
        Frozen(dataset, backbone, group["image_size"], group.get("patch_blocks", 0), group.get("samples", 0))
        for group in groups
        if name in group["pages"]
        for dataset, backbone in itertools.product(group["datasets"], group["backbones"])
        if any(dataset in datasets and backbone in named for datasets, named in both)
    ]


def tuning(parameters: dict[str, Any], asked: list[Frozen]) -> float:
    """Fine-tuning: every method, epoch and training image; the test images are few beside them."""
    if "methods" not in parameters:
        return 0.0
    methods, epochs = parameters.get("methods", []), parameters.get("tuned_epochs", 0)
    size = parameters.get("tuned_image_size") or parameters.get("image_size")
    return sum(len(methods) * epochs * images_of(one) * TRAINING * of_backbone(one.backbone, size) for one in asked)


def masks(page: str, parameters: dict[str, Any]) -> float:
    """Decoders and networks from scratch: every rate for `epochs`, one for `refit_epochs`; Figure 2 left out."""
    kinds = parameters.get("segmenters", ["linear", "unet_decoder"] if page == "figure3" else [])
    total = 0.0
    for dataset in parameters["datasets"] if kinds else []:
        classes = {"montgomery": 2, "shenzhen": 1, "amos": 15, "msd_heart": 1}[dataset]
        counts = origin.paper_counts(dataset).set_index("split")["images"]
        seen = len(parameters["learning_rates"]) * parameters["epochs"] * counts["train"]
        seen += parameters["refit_epochs"] * (counts["train"] + counts["validation"])
        for kind in kinds:
            for size in parameters.get("image_sizes", [parameters.get("image_size")]):
                each = [of_scratch(kind, size, classes)] if kind not in decoders.BLOCKS else [
                    of_decoder(kind, backbones.spec(name), size, classes) for name in parameters["backbones"]
                ]  # fmt: skip
                total += TRAINING * seen * sum(each)
    return total


def growth(sizes: list[int]) -> list[dict[str, float]]:
    """Features and a probe on `sizes` images, each in a process and a cache of its own."""
    table = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root, cache = Path(folder) / "images", Path(folder) / "cache"
            synthetic(root, n)
            cache.mkdir()
            (cache / "assets").symlink_to(assets.cache_dir() / "assets")
            command = [sys.executable, "-c", CHILD, str(root)]
            done = subprocess.run(
                command, env=os.environ | {"RADLIB_CACHE": str(cache)}, check=True, stdout=subprocess.PIPE, text=True
            )
            seconds, memory, probe, probe_memory = map(float, done.stdout.split())
            table.append({"images": n, "features_s": seconds, "features_mb": memory, "probe_s": probe,
                          "probe_mb": probe_memory})  # fmt: skip
    return table


def synthetic(root: Path, n: int) -> None:
    """`n` pictures of 64 px of `n` patients, fifty different ones linked again and again; two classes."""
    root.mkdir()
    for k in range(50):
        values = np.random.default_rng(k).integers(0, 100 + 100 * (k % 2), (64, 64), dtype=np.uint8)
        Image.fromarray(values).save(root / f"picture{k}.png")
    with open(root / "manifest.csv", "w", newline="") as file:
        write = csv.writer(file)
        write.writerow(("image", "patient", "label", "split"))
        for k in range(n):
            os.link(root / f"picture{k % 50}.png", root / f"{k}.png")
            write.writerow((f"{k}.png", f"p{k}", "ab"[k % 2], ("train", "train", "validation", "test")[k // 2 % 4]))


def show(title: str, table: list[dict[str, Any]]) -> None:
    """Print a table of numbers."""
    print(f"\n{title}")
    print("".join(f"{name:>20}" for name in (table[0] if table else ())))
    for row in table:
        cells = [
            "–" if value is None else f"{value:,.2f}" if isinstance(value, float) else f"{value}"
            for value in row.values()
        ]
        print("".join(f"{cell:>20}" for cell in cells), flush=True)


def main() -> None:
    """Measure, simulate, print and write where asked."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--growth", type=int, nargs="*", default=[200, 2000, 20000])
    ask.add_argument("--images", type=int, default=96, help="images behind the measured rate")
    ask.add_argument("--gpu-tflops", type=float, default=100.0, help="stated rate of a GPU, sustained")
    ask.add_argument("--json", type=Path)
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if given.smallest:
        given.growth, given.images = [8], 4
    set_fused_attn(False)  # the counter sees plain matrix products
    place = assets.cache_dir() / "standins"
    if given.smallest:
        root = standins.write("brain_tumor", place / "brain_tumor-12", 12)
    else:
        root = standins.write("brain_tumor", place / "brain_tumor")
    rate = measured_rate(given.images, root)
    print({name: round(value, 4) for name, value in rate.items()}, flush=True)
    cpu, gpu = rate["tflops"] * 1e12, given.gpu_tflops * 1e12
    found: dict[str, Any] = {"rate": rate}
    for title, measure in (
        ("growth", lambda: growth(given.growth)),
        ("backbones", lambda: every_backbone(cpu, gpu, given.smallest)),
        ("pages", lambda: every_page(cpu, gpu, given.smallest)),
    ):
        found[title] = measure()
        show(title, found[title])
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
