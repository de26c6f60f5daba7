"""How long are intervals by resampled patients, and are they scikit-learn's?

    python benchmarks/intervals.py [--resamples 1000] [--loop 10] [--smallest]

A cohort of the size of NIH Chest X-ray's test set: 25,596 images of 2,797 patients, 14 findings of its prevalences.
`inference.resampled` resamples patients and gives the macro AUROC of each resample; the loop it is held against asks
scikit-learn for every finding of every resample, with the images' multiplicities as weights. The loop is timed over a
few resamples and scaled up, since all of them take minutes.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from radlib.evaluate import inference
from radlib.evaluate.auroc import Ranking

IMAGES, PATIENTS = 25_596, 2_797  # the release's test_list.txt
# Shares of the release's 112,120 images, most frequent first (Wang et al. 2017, its table of findings).
PREVALENCE = (0.177, 0.119, 0.103, 0.056, 0.052, 0.047, 0.042, 0.030, 0.025, 0.022, 0.021, 0.015, 0.013, 0.002)


def cohort(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N, 14), scores (N, 14) of AUROC near 0.75, patients (N,) with unequal numbers of images."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 1.2, PATIENTS)
    patients = np.sort(
        np.concatenate([np.arange(PATIENTS), rng.choice(PATIENTS, IMAGES - PATIENTS, p=share / share.sum())])
    )
    liability = 0.6 * rng.normal(size=(PATIENTS, 14))[patients] + 0.8 * rng.normal(size=(IMAGES, 14))
    labels = (liability > np.quantile(liability, 1 - np.array(PREVALENCE), axis=0).diagonal()).astype(int)
    return labels, labels * 0.95 + rng.normal(size=labels.shape), patients


def loop(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Macro AUROC of the first `resamples` resamples by scikit-learn."""
    generator = np.random.default_rng(seed)
    n = patients.max() + 1
    drawn = generator.integers(n, size=(resamples, n))
    found = []
    for one in drawn:
        weights = np.bincount(one, minlength=n)[patients]
        found.append(np.mean([roc_auc_score(labels[:, k], scores[:, k], sample_weight=weights) for k in range(14)]))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--loop", type=int, default=10, help="resamples the scikit-learn loop is timed over")
    parser.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = parser.parse_args()
    if given.smallest:
        given.resamples, given.loop = 10, 1
    labels, scores, patients = cohort()
    started = time.perf_counter()
    ours = inference.resampled({"row": Ranking(labels, scores, patients)}, resamples=given.resamples, seed=0)[:, 0]
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    theirs = loop(labels, scores, patients, given.loop, 0)
    by_loop = (time.perf_counter() - started) / given.loop * given.resamples
    status = Path("/proc/self/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1e3
    print(f"{IMAGES:,} images of {PATIENTS:,} patients, 14 findings, {given.resamples:,} resamples")
    print(f"resampled together: {seconds:.1f} s; scikit-learn's loop: {by_loop:.0f} s (from {given.loop} resamples)")
    print(f"ratio {by_loop / seconds:.1f}; largest difference {np.abs(ours[: given.loop] - theirs).max():.1e}")
    print(f"largest memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
