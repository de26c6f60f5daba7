"""Linear probe: one linear layer on frozen features, the paper's section 4.1 and Tables 4 and 5.

Heads are inputs x learning rates, all trained at once on one stream of batches. Validation chooses the head,
which is trained again from scratch on train + validation and scores test once.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.probe import ROWS_AT_ONCE, Probe, choose, open_cohort, probabilities

MOMENTUM = 0.9  # as the authors' classification code; no weight decay
MOST_STEPS = 10_000  # 100 passes over 12,800 rows; on 100,000 rows more changed the AUROC by 0.0001 (benchmarks)
INITIAL_STD = 0.01  # weights N(0, 0.01²), bias 0, as DINOv2's and the authors' linear evaluation

__all__ = ["Probe", "linear_probe"]


def linear_probe(
    inputs: Mapping[str, NDArray[Any]],
    labels: ArrayLike,
    split: ArrayLike,
    *,
    n_classes: int,
    learning_rates: Sequence[float] = (1e-3, 5e-3, 1e-2, 5e-2),
    epochs: int = 100,
    batch_size: int = 128,
    seed: int = 0,
    refit: bool = True,
) -> Probe:
    """Train every head on train, choose on validation, refit on both, score test.

    Args:
        inputs: name -> (N, d) features, e.g. "cls1", "cls4+mean"; memory maps are read batch by batch.
        labels: (N,) integers 0 … K-1 (cross-entropy), or (N, K) of 0/1 (binary cross-entropy, mean over
            labels).
        split: (N,) of "train", "validation" or "test".
        n_classes: K.
        learning_rates: the protocol's grid; each falls to 0 on a cosine, step by step.
        epochs: passes over the rows, fewer where they would be more than `MOST_STEPS` steps.
        batch_size: rows per step; the last batch of an epoch may be smaller.
        seed: of the first weights and of the order of the rows.
        refit: False scores test by the chosen head as it was trained on train alone.

    Returns:
        A `Probe`. Among equal validation AUROCs the smaller learning rate wins, then the input given first. A
        head whose loss became NaN or infinite stands in the table as diverged and cannot be chosen.

    Raises:
        RadlibError: what `open_cohort` refuses, a grid or count that is not positive, or all heads diverged.
    """
    started = time.perf_counter()
    rates = [float(rate) for rate in learning_rates]
    if not rates or min(*rates, epochs, batch_size) <= 0:
        raise RadlibError("Learning rates, epochs and batch size must be positive and at least one rate given.")
    cohort = open_cohort(inputs, labels, split, n_classes)
    epochs = _enough(epochs, len(cohort.train), batch_size)
    schedule: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}

    heads = _train(inputs, cohort.train, cohort.train_targets, rates, cohort.multi_label, **schedule)
    validation: list[dict[str, Any]] = []
    for name, head in heads.items():
        scores = head.probabilities(inputs[name], cohort.validation)
        for h, rate in enumerate(rates):
            diverged = not (np.isfinite(head.losses[h]) and np.isfinite(scores[:, h]).all())
            auroc = None if diverged else macro_auroc(cohort.validation_labels, scores[:, h])
            validation.append({"input": name, "learning_rate": rate, "validation_auroc": auroc, "diverged": diverged})
    best = choose(validation, "learning_rate")

    name, rate = best["input"], best["learning_rate"]
    if refit:
        again = _train({name: inputs[name]}, cohort.fit, cohort.fit_targets, [rate], cohort.multi_label, **schedule)
        scores = again[name].probabilities(inputs[name], cohort.test)[:, 0]
    else:
        scores = heads[name].probabilities(inputs[name], cohort.test)[:, rates.index(rate)]
    if not np.isfinite(scores).all():
        raise RadlibError(f"The chosen head ({name}, learning rate {rate:g}) diverged when refitted; lower the grid.")
    return Probe(
        head={"input": name, "learning_rate": rate},
        validation=validation,
        scores=scores,
        test_rows=cohort.test,
        seconds=time.perf_counter() - started,
        hyperparameters={
            "protocol": "linear_probe",
            "inputs": list(inputs),
            "learning_rates": rates,
            **schedule,
            "optimizer": "SGD",
            "momentum": MOMENTUM,
            "weight_decay": 0.0,
            "schedule": "cosine to 0, per step",
            "initialisation": f"weights N(0, {INITIAL_STD}^2), bias 0",
            "loss": "binary cross-entropy" if cohort.multi_label else "cross-entropy",
            "refit_on": "train + validation" if refit else "nothing",
            "chosen": {"input": name, "learning_rate": rate},
        },
    )


def with_shuffled_labels(
    features: NDArray[Any],
    labels: ArrayLike,
    split: ArrayLike,
    *,
    n_classes: int,
    learning_rate: float,
    draws: int,
    epochs: int = 100,
    batch_size: int = 128,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Test scores (draws, N_test, K) of one head fitted to train + validation whose labels were dealt out anew.

    What such a head says of test can only be chance: a score apart from 0.5 would tell of a label that leaked. All
    draws are trained at once, on features less their mean over the fitted rows: otherwise a rare class, shuffled
    or not, would push every head towards that mean, which may happen to tell the classes apart. Other arguments and
    errors are those of `linear_probe`, with the one input `features` (N, d).
    """
    cohort = open_cohort({"features": features}, labels, split, n_classes)
    generator = np.random.default_rng([seed, 1])
    order = [generator.permutation(len(cohort.fit)) for _ in range(draws)]
    dealt = np.stack([cohort.fit_targets[each] for each in order], axis=1)  # (rows, draws, K)
    centred = _Centred(features, _mean(features, cohort.fit))
    epochs = _enough(epochs, len(cohort.train), batch_size)
    heads = _train(
        {"features": centred},
        cohort.fit,
        dealt,
        [learning_rate] * draws,
        cohort.multi_label,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        starts=range(seed, seed + draws),  # equal first weights would lean all draws the same way
    )
    return heads["features"].probabilities(centred, cohort.test).transpose(1, 0, 2)


def _enough(epochs: int, rows: int, batch_size: int) -> int:
    """`epochs`, or as many as make `MOST_STEPS` steps over `rows` rows."""
    return max(1, min(epochs, MOST_STEPS // -(-rows // batch_size)))


class _Centred:
    """Rows of `features` less `mean`, computed as they are read."""

    def __init__(self, features: NDArray[Any], mean: NDArray[np.float32]) -> None:
        self.features, self.mean, self.shape = features, mean, features.shape

    def __getitem__(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return _read(self.features, rows) - self.mean


def _mean(features: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Mean over `rows` (n,) -> (d,), read in pieces."""
    total = np.zeros(features.shape[1])
    for start in range(0, len(rows), ROWS_AT_ONCE):
        total += _read(features, rows[start : start + ROWS_AT_ONCE]).sum(axis=0, dtype=np.float64)
    return (total / len(rows)).astype(np.float32)


@dataclass
class _Heads:
    """H heads of one input of width d, stacked so that a step is one matrix product for all of them.

    In numpy, because such narrow products (128, d) x (d, 12) took twice as long in torch on a CPU.
    """

    weight: NDArray[np.float32]  # (H * K, d)
    bias: NDArray[np.float32]  # (H * K,)
    weight_velocity: NDArray[np.float32]  # (H * K, d)
    bias_velocity: NDArray[np.float32]  # (H * K,)
    losses: NDArray[np.float32]  # (H,) sum over steps: NaN or infinite once a step was
    rates: NDArray[np.float32]  # (H * K,) the learning rate of each row of weights
    multi_label: bool

    @classmethod
    def start(
        cls, width: int, n_classes: int, learning_rates: Sequence[float], multi_label: bool, seeds: Sequence[int]
    ) -> "_Heads":
        # A head starts from weights drawn from its seed alone: trained among others it is the head it would be alone.
        shape = (n_classes, width)
        drawn = {one: np.random.default_rng(one).standard_normal(shape, dtype=np.float32) for one in set(seeds)}
        weight = np.concatenate([np.float32(INITIAL_STD) * drawn[one] for one in seeds])
        bias = np.zeros(len(weight), np.float32)
        rates = np.repeat(np.asarray(learning_rates, np.float32), n_classes)
        losses = np.zeros(len(learning_rates), np.float32)
        return cls(weight, bias, np.zeros_like(weight), np.zeros_like(bias), losses, rates, multi_label)

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, d) -> (B, H, K)."""
        return (features @ self.weight.T + self.bias).reshape(len(features), len(self.losses), -1)

    def step(self, features: NDArray[np.float32], targets: NDArray[np.float32], cosine: float) -> None:
        """One SGD step on a batch: features (B, d), targets (B, K) or (B, H, K), learning rates times `cosine`.

        With the mean cross-entropy L = -1/B sum_b log p_b[y_b] the gradient by the logits is (p - y) / B,
        whether p is a softmax or one sigmoid per label (there the mean is also over the K labels); by the
        weight (H * K, d) it is (p - y)ᵀ features / B, and the velocity is v <- 0.9 v + gradient.
        """
        logits = self.logits(features)  # (B, H, K)
        wanted = targets if targets.ndim == 3 else targets[:, None]  # every head its own targets, or all the same
        if self.multi_label:
            self.losses += (np.logaddexp(0, logits) - wanted * logits).mean(axis=(0, 2))
            gradient = (expit(logits) - wanted) / np.float32(len(targets) * targets.shape[-1])
        else:
            logits -= logits.max(axis=2, keepdims=True)
            odds = np.exp(logits)
            total = odds.sum(axis=2, keepdims=True)
            self.losses += (np.log(total[:, :, 0]) - (wanted * logits).sum(axis=2)).mean(axis=0)
            gradient = (odds / total - wanted) / np.float32(len(targets))
        gradient = gradient.reshape(len(features), -1)
        self.weight_velocity *= MOMENTUM
        self.weight_velocity += gradient.T @ features
        self.bias_velocity *= MOMENTUM
        self.bias_velocity += gradient.sum(axis=0)
        rates = self.rates * np.float32(cosine)
        self.weight -= rates[:, None] * self.weight_velocity
        self.bias -= rates * self.bias_velocity

    def probabilities(self, features: "NDArray[Any] | _Centred", rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """(len(rows), H, K). In float64, where a probability near 1 does not yet tie with its neighbours."""
        with np.errstate(over="ignore", invalid="ignore"):
            pieces = [
                self.logits(_read(features, rows[start : start + ROWS_AT_ONCE]))
                for start in range(0, len(rows), ROWS_AT_ONCE)
            ]
        return probabilities(np.concatenate(pieces), self.multi_label)


def _train(
    inputs: "Mapping[str, NDArray[Any] | _Centred]",
    rows: NDArray[np.intp],
    targets: NDArray[np.float32],
    learning_rates: Sequence[float],
    multi_label: bool,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    starts: Sequence[int] = (),
) -> dict[str, _Heads]:
    """Train inputs x learning rates on one stream of batches; targets (len(rows), K), or (len(rows), H, K).

    `starts` seeds the first weights head by head; by default all have `seed`.
    """
    seeds = starts or [seed] * len(learning_rates)
    heads = {
        name: _Heads.start(features.shape[1], targets.shape[-1], learning_rates, multi_label, seeds)
        for name, features in inputs.items()
    }
    # A head may diverge; its loss tells. Products this narrow gain nothing from a second thread, and the sums
    # stay the same on any number of cores.
    with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(1, "blas"):
        for cosine, batch in _batches(len(rows), epochs, batch_size, seed):
            wanted = targets[batch]
            for name, head in heads.items():
                head.step(_read(inputs[name], rows[batch]), wanted, cosine)
    return heads


def _batches(n: int, epochs: int, batch_size: int, seed: int) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """Shuffled batches of 0 … n-1 and, falling from 1 to 0, the cosine factor of each step."""
    generator = np.random.default_rng(seed)
    per_epoch = -(-n // batch_size)
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = generator.permutation(n)
        start = step % per_epoch * batch_size
        yield (1 + np.cos(np.pi * step / (epochs * per_epoch))) / 2, order[start : start + batch_size]


def _read(features: "NDArray[Any] | _Centred", rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Rows of an array or a memory map as float32 (len(rows), d)."""
    return np.asarray(features[rows], dtype=np.float32)
