"""L2-regularised logistic regression by L-BFGS: the convex alternative reported beside the SGD linear probe.

The usual probe of CLIP and DINO (Radford et al. 2021, section 3.2 and appendix A.3). C is scikit-learn's: for
n images

    minimise  (1/n) sum of cross-entropies + |W|² / (2 C n),   W: (K, d), the bias free.

Multi-label problems sum over labels, which makes each label its own regression with the same C. Features are
standardised by the mean and standard deviation of the rows they are fitted on: the penalty then weighs every
coordinate alike, one grid of C fits every backbone, and L-BFGS needs a fraction of the steps.

For each input C grows from the strongest penalty on, each fit starting from the last; validation chooses
input and C; the refit on train + validation scores test once.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.probe import Probe, choose, open_cohort, probabilities

TOLERANCE = 1e-5  # largest entry of the gradient at the end: probabilities are then right to 1e-3 up to C = 1
MAX_ITERATIONS = 1000
FALLS_THAT_END_A_PATH = 2

__all__ = ["Probe", "logistic_regression"]


def logistic_regression(
    inputs: Mapping[str, NDArray[Any]],
    labels: ArrayLike,
    split: ArrayLike,
    *,
    n_classes: int,
    Cs: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
) -> Probe:
    """Fit each input along the path of C on train, choose on validation, refit on both, score test.

    Args:
        inputs: name -> (N, d) features, as for `linear_probe`; one at a time is held in memory.
        labels: (N,) integers 0 … K-1, or (N, K) of 0/1.
        split: (N,) of "train", "validation" or "test".
        n_classes: K.
        Cs: inverse penalties, scikit-learn's C. An input's path ends early once its validation AUROC has
            fallen twice in a row; the table holds what was fitted.

    Returns:
        A `Probe` whose head and table have "C" for a learning rate. Among equal validation AUROCs the smaller
        C (the stronger penalty) wins, then the input given first. Nothing is random. With two classes both
        have weights, so that C here is 2 C of scikit-learn's single weight vector.

    Raises:
        RadlibError: what `open_cohort` refuses, or a C that is not positive.
    """
    started = time.perf_counter()
    path = sorted(float(c) for c in Cs)
    if not path or path[0] <= 0:
        raise RadlibError("The path of C needs at least one value, and all of them positive.")
    cohort = open_cohort(inputs, labels, split, n_classes)

    validation: list[dict[str, Any]] = []
    for name, features in inputs.items():
        train, (held_out,) = _standardised(features, cohort.train, cohort.validation)
        weights, aurocs = np.zeros((n_classes, train.shape[1] + 1)), []
        for c in path:
            weights = _fit(train, cohort.train_targets, c, cohort.multi_label, weights)
            scores = probabilities(_logits(weights, held_out), cohort.multi_label)
            aurocs.append(macro_auroc(cohort.validation_labels, scores))
            validation.append({"input": name, "C": c, "validation_auroc": aurocs[-1], "diverged": False})
            if _falling(aurocs):
                break
    best = choose(validation, "C")

    name, c = best["input"], best["C"]
    fit, (test,) = _standardised(inputs[name], cohort.fit, cohort.test)
    weights = _fit(fit, cohort.fit_targets, c, cohort.multi_label, np.zeros((n_classes, fit.shape[1] + 1)))
    return Probe(
        head={"input": name, "C": c},
        validation=validation,
        scores=probabilities(_logits(weights, test), cohort.multi_label),
        test_rows=cohort.test,
        seconds=time.perf_counter() - started,
        hyperparameters={
            "protocol": "logistic_regression",
            "inputs": list(inputs),
            "Cs": path,
            "path_ends_after_falls": FALLS_THAT_END_A_PATH,
            "optimizer": "L-BFGS",
            "tolerance": TOLERANCE,
            "max_iterations": MAX_ITERATIONS,
            "standardised": True,
            "loss": "binary cross-entropy" if cohort.multi_label else "cross-entropy",
            "refit_on": "train + validation",
            "chosen": {"input": name, "C": c},
        },
    )


def _falling(aurocs: Sequence[float]) -> bool:
    last = aurocs[-FALLS_THAT_END_A_PATH - 1 :]
    return len(last) > FALLS_THAT_END_A_PATH and all(a > b for a, b in zip(last, last[1:], strict=False))


def _standardised(
    features: NDArray[Any], fit: NDArray[np.intp], *others: NDArray[np.intp]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Rows `fit` and `others` with mean 0 and deviation 1 over `fit`; a constant column becomes 0 there."""
    rows = np.asarray(features[fit], dtype=np.float32)
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    deviation[deviation <= 1e-6 * np.abs(mean)] = 1.0  # constant up to float32 rounding: nothing to learn from
    shift, scale = mean.astype(np.float32), deviation.astype(np.float32)
    rest = [(np.asarray(features[other], dtype=np.float32) - shift) / scale for other in others]
    rows -= shift
    rows /= scale
    return rows, rest


def _logits(weights: NDArray[np.float64], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights (K, d + 1), the bias last; features (N, d) -> (N, K)."""
    single = weights.astype(np.float32)
    logits: NDArray[np.float32] = features @ single[:, :-1].T + single[:, -1]
    return logits


def _fit(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    c: float,
    multi_label: bool,
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """L-BFGS from `start` (K, d + 1); features (n, d), targets (n, K). The products are float32, the sums float64."""
    n, penalty = len(features), 1 / (c * len(features))

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(start.shape)
        logits = _logits(weights, features).astype(np.float64)
        if multi_label:
            loss = np.sum(np.logaddexp(0, logits) - targets * logits)
            residual = expit(logits) - targets
        else:
            logits -= logits.max(axis=1, keepdims=True)
            odds = np.exp(logits)
            total = odds.sum(axis=1, keepdims=True)
            loss = np.sum(np.log(total)) - np.sum(targets * logits)
            residual = odds / total - targets
        residual /= n
        gradient = np.empty_like(weights)
        gradient[:, :-1] = residual.T.astype(np.float32) @ features + penalty * weights[:, :-1]
        gradient[:, -1] = residual.sum(axis=0)
        return loss / n + penalty / 2 * np.sum(weights[:, :-1] ** 2), gradient.ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps, "maxls": 50}
    # numpy and scipy each bring a BLAS with threads of its own; on few cores they wait for one another, ten
    # times as long as the products take on one.
    with threadpool_limits(1, "blas"):
        found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    fitted: NDArray[np.float64] = found.x.reshape(start.shape)
    return fitted
