from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, rankdata
from sklearn.metrics import roc_auc_score

from radlib.errors import RadlibError
from radlib.evaluate import inference
from radlib.evaluate.auroc import Ranking
from radlib.evaluate.inference import holm


def paired_p(labels, a, b, patients, **options):
    return inference.paired_p(Ranking(labels, a, patients), Ranking(labels, b, patients), **options)


def clinic(seed=0, patients=8, images=3):
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), images)
    labels = rng.integers(0, 2, patients)[of]
    labels[:images], labels[-images:] = 0, 1
    return rng, labels, of


def exact_p(labels, a, b, patients):
    """All 2^P arrangements by scikit-learn."""
    a, b = rankdata(a), rankdata(b)
    names = np.unique(patients)
    observed = abs(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    reached = []
    for swaps in product([False, True], repeat=len(names)):
        swap = np.array(swaps)[np.searchsorted(names, patients)]
        one, other = np.where(swap, b, a), np.where(swap, a, b)
        reached.append(abs(roc_auc_score(labels, one) - roc_auc_score(labels, other)) >= observed - 1e-9)
    return np.mean(reached)


@pytest.mark.parametrize("seed", range(4))
def test_p_is_the_share_of_all_arrangements(seed):
    rng, labels, patients = clinic(seed)
    a, b = labels + rng.normal(size=len(labels)), labels * 0.3 + rng.normal(size=len(labels)) * 50
    exact = exact_p(labels, a, b, patients)
    assert paired_p(labels, a, b, patients) == exact  # 2^8 arrangements: all of them
    drawn = [paired_p(labels, a, b, patients, permutations=255, seed=draw) for draw in range(20)]
    assert np.mean(drawn) == pytest.approx(exact, abs=0.03)


def test_rows_of_other_labels_cannot_be_exchanged():
    _, labels, patients = clinic()
    with pytest.raises(RadlibError, match="other labels or patients"):
        inference.paired_p(Ranking(labels, labels, patients), Ranking(1 - labels, labels, patients))


def test_equal_rows_cannot_be_told_apart():
    _, labels, patients = clinic()
    scores = np.linspace(0, 1, len(labels))
    assert paired_p(labels, scores, scores, patients, permutations=100) == 1
    assert paired_p(labels, scores, scores**3 * 9, patients, permutations=100) == 1  # of another scale, the same order


def test_a_plain_difference_has_the_smallest_p():
    rng, labels, patients = clinic(patients=60, images=1)
    found = paired_p(labels, labels + 0.01 * rng.normal(size=60), rng.normal(size=60), patients, permutations=500)
    assert found == 1 / 501


def test_p_is_uniform_when_the_rows_are_equally_good():
    found = []
    for seed in range(60):
        rng, labels, patients = clinic(seed, patients=30, images=2)
        a, b = (labels + rng.normal(size=60) for _ in range(2))
        found.append(paired_p(labels, a, b, patients, permutations=200, seed=seed))
    assert kstest(found, "uniform").pvalue > 0.01


def test_chunks_do_not_change_p(monkeypatch):
    rng, labels, patients = clinic(3)
    a, b = (np.stack([-labels + rng.normal(size=24), labels + rng.normal(size=24)], 1) for _ in range(2))
    whole = paired_p(labels, a, b, patients, permutations=300)
    monkeypatch.setattr(inference, "CHUNK_WEIGHTS", 500)
    assert paired_p(labels, a, b, patients, permutations=300) == whole


def test_one_patient_per_image_is_asked_for():
    _, labels, patients = clinic()
    with pytest.raises(RadlibError, match=r"shape \(7,\) for 24 samples"):
        paired_p(labels, labels, labels, patients[:7])


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2 (= 0.06, as the one before), 0.5 x 1."""
    found = holm({"c": 0.03, "a": 0.01, "d": 0.5, "b": 0.02})
    assert found == pytest.approx({"c": 0.06, "a": 0.04, "d": 0.5, "b": 0.06})
    assert holm({}) == {}


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_helps(ps):
    given_p = {str(k): p for k, p in enumerate(ps)}
    found = holm(given_p)
    assert all(p <= found[name] <= 1 for name, p in given_p.items())
    by_p = [found[name] for name in sorted(given_p, key=lambda name: given_p[name])]
    assert by_p == sorted(by_p)
    assert min(found.values()) == pytest.approx(min(1, len(ps) * min(ps)))
