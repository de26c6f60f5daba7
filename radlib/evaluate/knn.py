"""Nearest neighbours on frozen features: ML-kNN and DINOv2's weighted vote (paper section 3.3.1, Table 5).

Neighbours are exact: cosine similarity by blocks of one matrix product, keeping each query's best. All k come from one
search for the largest. Features are read and normalised a block at a time, so 100,000 rows of width 1,536 may stay on
disk.

ML-kNN (Zhang and Zhou 2007) counts, for each label, how many of the k neighbours bear it, and asks how often images
that bear the label have such a count. With smoothing s, n rows, and c(j) the number of rows with the label that have j
labelled neighbours among their k nearest other rows (and the same for rows without it):

    prior = (s + rows with the label) / (2 s + n),   P(j | label) = (s + c(j)) / (s (k + 1) + sum of c),
    posterior = prior P(j | label) / (prior P(j | label) + (1 - prior) P(j | no label)).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.probe import Cohort, Probe, choose, open_cohort

QUERIES_AT_ONCE = 512
TRAIN_AT_ONCE = 16384
"""Rows of one block: 32 MB of similarities (float32), 64 MB of their order (int64) and 100 MB of train rows at width
1,536. Wide enough that the product, not Python, takes the time; smaller ones would read the queries more often."""

Rows = NDArray[np.intp]
Targets = NDArray[np.float32]
Scores = Callable[[Rows, Targets, Rows, Sequence[int]], list[NDArray[np.float64]]]
"""Fit rows and their targets (n, K), queries, every k wanted -> scores (Q, K) of each k."""


def neighbours(
    features: NDArray[Any], train: Rows, queries: Rows, k: int, leave_one_out: bool = False
) -> tuple[NDArray[np.float32], Rows]:
    """The k most similar of rows `train` for each of rows `queries`: cosines and positions in `train`, (Q, k) each.

    Most similar first. Where several tie for the last place, which of them is in is not said. A row of zeros has
    similarity 0 to every other. `leave_one_out`: a row is no neighbour of itself.

    Args:
        features: (N, d); a memory map is read in blocks.
        train: (n,) rows.
        queries: (Q,) rows.
        k: at most n, or n - 1 when leaving one out.
        leave_one_out: see above.
    """
    similarity = np.full((len(queries), k), -np.inf, np.float32)
    index = np.zeros((len(queries), k), np.intp)
    for low in range(0, len(train), TRAIN_AT_ONCE):
        block = train[low : low + TRAIN_AT_ONCE]
        columns = _unit(features, block)
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            rows = slice(start, start + QUERIES_AT_ONCE)
            near = _unit(features, queries[rows]) @ columns.T
            if leave_one_out:
                near[queries[rows][:, None] == block[None]] = -np.inf
            keep = min(k, near.shape[1])
            best = np.argpartition(near, -keep, axis=1)[:, -keep:]
            candidates = np.concatenate([similarity[rows], np.take_along_axis(near, best, 1)], axis=1)
            places = np.concatenate([index[rows], best + low], axis=1)
            order = np.argsort(-candidates, axis=1, kind="stable")[:, :k]
            similarity[rows] = np.take_along_axis(candidates, order, 1)
            index[rows] = np.take_along_axis(places, order, 1)
    return similarity, index


def ml_knn(
    features: NDArray[Any],
    labels: ArrayLike,
    split: ArrayLike,
    *,
    n_classes: int,
    ks: Sequence[int] = (5,),
    smoothing: float = 1.0,
) -> Probe:
    """ML-kNN for every k; validation chooses k, train + validation together are then asked about test.

    Args:
        features: (N, d), of the backbone's last layer.
        labels: (N,) integers 0 … K-1 (each class is a label of its own), or (N, K) of 0/1.
        split: (N,) of "train", "validation" or "test".
        n_classes: K.
        ks: numbers of neighbours; 5 in the authors' repository.
        smoothing: s above; 1 in the authors' repository (Laplace).

    Returns:
        A `Probe`; scores are posteriors, of exclusive classes divided by their sum. A k that train has too few other
        rows for is left out and named in the hyperparameters.

    Raises:
        RadlibError: what `open_cohort` refuses, a k below 1, no k that train has rows for, or a smoothing that is not
            positive.
    """
    started = time.perf_counter()
    if not 0 < smoothing < np.inf:
        raise RadlibError(f"ML-kNN's smoothing is {smoothing:g}; it must be positive, or unseen counts have no chance.")
    cohort, usable = _open(features, labels, split, n_classes, ks, leave_one_out=True)

    def scores(fit: Rows, targets: Targets, queries: Rows, wanted: Sequence[int]) -> list[NDArray[np.float64]]:
        _, own = neighbours(features, fit, fit, max(wanted), leave_one_out=True)
        _, theirs = neighbours(features, fit, queries, max(wanted))
        return [_posterior(targets, own[:, :k], theirs[:, :k], smoothing, cohort.multi_label) for k in wanted]

    settings = {"protocol": "knn", "smoothing": smoothing}
    return _choose(cohort, scores, ks, usable, settings, started)


def weighted_knn(
    features: NDArray[Any],
    labels: ArrayLike,
    split: ArrayLike,
    *,
    n_classes: int,
    ks: Sequence[int] = (10, 20, 100, 200),
    temperature: float = 0.07,
) -> Probe:
    """A vote of the k nearest, each weighing exp(cosine / temperature), as DINOv2's evaluation; k chosen on validation.

    Arguments, answer and errors are those of `ml_knn`, the temperature being what must be positive. For 0/1 labels a
    score is the weighted share of neighbours that bear the label. Grid and temperature are DINOv2's.
    """
    started = time.perf_counter()
    if not 0 < temperature < np.inf:
        raise RadlibError(f"The temperature is {temperature:g}; it must be positive, so that nearer rows weigh more.")
    cohort, usable = _open(features, labels, split, n_classes, ks, leave_one_out=False)

    def scores(fit: Rows, targets: Targets, queries: Rows, wanted: Sequence[int]) -> list[NDArray[np.float64]]:
        similarity, index = neighbours(features, fit, queries, max(wanted))
        # less the largest, so that no exponential overflows at a low temperature
        weights = np.exp((similarity - similarity[:, :1]).astype(np.float64) / temperature)
        found = []
        for k in wanted:
            votes = np.zeros((len(queries), targets.shape[1]))
            for place in range(k):  # one neighbour at a time: (Q, k, K) at once would be large
                votes += targets[index[:, place]] * weights[:, place, None]
            share = votes / weights[:, :k].sum(axis=1, keepdims=True)
            found.append(np.minimum(share, 1))  # sums of floats may end a hair above
        return found

    settings = {"protocol": "weighted_knn", "temperature": temperature}
    return _choose(cohort, scores, ks, usable, settings, started)


def _open(
    features: NDArray[Any], labels: ArrayLike, split: ArrayLike, n_classes: int, ks: Sequence[int], leave_one_out: bool
) -> tuple[Cohort, list[int]]:
    """The cohort, and which of `ks` train has rows for, in the order given."""
    cohort = open_cohort({"last layer": features}, labels, split, n_classes)
    if not ks or min(ks) < 1:
        raise RadlibError(f"The numbers of neighbours are {list(ks)}; give at least one, each 1 or more.")
    n = len(cohort.train)
    usable = [k for k in ks if k <= n - leave_one_out]
    if not usable:
        raise RadlibError(f"At least {min(ks)} neighbours are asked for and train has {n} rows; ask for fewer.")
    return cohort, usable


def _choose(
    cohort: Cohort, scores: Scores, ks: Sequence[int], usable: list[int], settings: dict[str, Any], started: float
) -> Probe:
    """Score validation for every usable k from train alone, then test for the best from train + validation."""
    found = scores(cohort.train, cohort.train_targets, cohort.validation, usable)
    validation = [
        {"k": k, "validation_auroc": macro_auroc(cohort.validation_labels, one), "diverged": False}
        for k, one in zip(usable, found, strict=True)
    ]
    best = {"k": choose(validation, "k")["k"]}
    (test,) = scores(cohort.fit, cohort.fit_targets, cohort.test, [best["k"]])
    return Probe(
        head=best,
        validation=validation,
        scores=test,
        test_rows=cohort.test,
        seconds=time.perf_counter() - started,
        hyperparameters={
            **settings,
            "similarity": "cosine",
            "ks": usable,
            "ks_left_out": [k for k in ks if k not in usable],
            "refit_on": "train + validation",
            "chosen": best,
        },
    )


def _posterior(
    targets: Targets,
    own: Rows,
    theirs: Rows,
    smoothing: float,
    multi_label: bool,
) -> NDArray[np.float64]:
    """Posterior (Q, K) of every label; `own` (n, k) and `theirs` (Q, k) are neighbours' positions in targets (n, K)."""
    n, k = own.shape
    bears = targets == 1
    prior = (smoothing + bears.sum(axis=0)) / (2 * smoothing + n)
    seen = targets[theirs].sum(axis=1).astype(np.intp)  # (Q, K) labelled neighbours
    known = targets[own].sum(axis=1).astype(np.intp)  # (n, K)
    posterior = np.empty(seen.shape)
    for label in range(targets.shape[1]):
        likelihood = []
        for part in (bears[:, label], ~bears[:, label]):
            counts = np.bincount(known[part, label], minlength=k + 1)
            likelihood.append((smoothing + counts) / (smoothing * (k + 1) + counts.sum()))
        yes = prior[label] * likelihood[0][seen[:, label]]
        no = (1 - prior[label]) * likelihood[1][seen[:, label]]
        posterior[:, label] = yes / (yes + no)
    return posterior if multi_label else posterior / posterior.sum(axis=1, keepdims=True)


def _unit(features: NDArray[Any], rows: Rows) -> NDArray[np.float32]:
    """Rows as float32 of length 1; a row of zeros stays."""
    found = features[rows].astype(np.float32)
    largest = np.abs(found).max(axis=1, keepdims=True)
    # by the largest entry first: squares of very large or very small ones would overflow or vanish
    found /= np.where(largest > 0, largest, 1)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    found /= np.where(length > 0, length, 1)
    return found
