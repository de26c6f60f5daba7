"""Is one row of a table better than another? A paired permutation test on macro AUROC, and Holm's correction.

If two classifiers were equally good, each patient's two sets of scores could change places without anyone noticing.
The test does that to whole patients at random and counts how often the difference comes out as large as it was. Scores
are first turned into ranks within each row and class, so that two classifiers of different scales can change places
(Bandos, Rockette and Gur 2005).

Both arrangements are read from one sorted list: the 2N ranks of both rows, of which an arrangement takes N and leaves
the other N to the other row. That is a weighted AUROC with weights 0 and 1, as `bootstrap` computes it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from radlib.errors import RadlibError
from radlib.evaluate.auroc import one_vs_rest, scorable
from radlib.evaluate.bootstrap import CHUNK_WEIGHTS, Question

NOISE = 1e-9  # differences this close are equal; sums of ranks differ in the last digits by their order


def paired_p(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    patients: ArrayLike,
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> float:
    """Two-sided p of the difference of two rows' macro AUROC, (b + 1) / (B + 1), where b of B arrangements reach it.

    Args:
        labels: (N,) integers or (N, K) of 0/1, as for `macro_auroc`.
        scores_a: (N, K) of one row.
        scores_b: (N, K) of the other, of the same images.
        patients: (N,) patient of each image; a patient's images change places together.
        permutations: B; the smallest p is 1 / (B + 1).
        seed: of the arrangements.

    Raises:
        RadlibError: as `macro_auroc`, or patients that are not one per image.
    """
    positives, a = one_vs_rest(labels, scores_a)
    _, b = one_vs_rest(labels, scores_b)
    names, of = np.unique(np.asarray(patients), return_inverse=True)
    if of.shape != (len(positives),) or permutations < 1:
        raise RadlibError(f"{len(of)} patients for {len(positives)} images; name one patient per image.")
    questions = [
        Question.of(np.tile(positives[:, c], 2), np.concatenate([rankdata(a[:, c]), rankdata(b[:, c])]))
        for c in np.flatnonzero(scorable(positives))
    ]

    def difference(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(patients, R) -> (R,) macro AUROC of one arrangement's first row less that of its second."""
        first = np.concatenate([~swapped[of], swapped[of]]).astype(np.float64)  # (2N, R)
        return np.asarray(
            np.mean([question.auroc(first) - question.auroc(1 - first) for question in questions], axis=0)
        )

    observed = abs(difference(np.zeros((len(names), 1), bool))[0])
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_WEIGHTS // (2 * len(of)))
    reached = 0
    for start in range(0, permutations, chunk):
        swapped = generator.random((min(chunk, permutations - start), len(names))) < 0.5
        reached += int((np.abs(difference(swapped.T)) >= observed - NOISE).sum())
    return (reached + 1) / (permutations + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p by name: the chance of any false finding in the table is then at most the threshold (Holm 1979)."""
    order = sorted(p_values, key=lambda name: p_values[name])
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
