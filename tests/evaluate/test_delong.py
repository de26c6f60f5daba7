import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radlib.errors import RadlibError
from radlib.evaluate import inference
from radlib.evaluate.auroc import Ranking
from radlib.evaluate.delong import delong


def placements(labels, scores):
    """DeLong's structural components by their definition."""
    x, y = scores[labels == 1], scores[labels == 0]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    return wins.mean(axis=1), wins.mean(axis=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(8, 60), levels=st.sampled_from([3, 1000]))
def test_covariance_is_its_definition_ties_included(seed, n, levels):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, rng.integers(0, 2, n)]
    scores = rng.integers(0, levels, (len(labels), 3)).astype(float)
    found = delong(labels, scores)
    above, below = zip(*(placements(labels, column) for column in scores.T), strict=True)
    m, k = (labels == 1).sum(), (labels == 0).sum()
    np.testing.assert_allclose(found.covariance, np.cov(above) / m + np.cov(below) / k, atol=1e-12)
    np.testing.assert_allclose(found.aurocs, [roc_auc_score(labels, column) for column in scores.T])


def test_one_image_a_patient_is_the_plain_variance():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 50), rng.normal(size=(50, 2))
    patients = rng.permutation(50)
    np.testing.assert_allclose(delong(labels, scores, patients).covariance, delong(labels, scores).covariance)


def test_copied_images_teach_nothing_more():
    """Every image three times, as one patient's: the variance is that of the single images, not a third of it."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 80)
    scores = labels + rng.normal(size=80)
    single = delong(labels, scores).covariance
    three = [np.repeat(each, 3) for each in (labels, scores, np.arange(80))]
    np.testing.assert_allclose(delong(*three).covariance, single)
    assert delong(three[0], three[1]).covariance[0, 0] < 0.4 * single[0, 0]


def test_the_resampled_interval_agrees():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(150), rng.integers(1, 6, 150))
    n = len(patients)
    sick = rng.random(150) < 0.4
    labels = np.where(rng.random(n) < 0.8, sick[patients], ~sick[patients]).astype(int)
    scores = labels + rng.normal(size=150)[patients] + 0.5 * rng.normal(size=n)
    low, high = delong(labels, scores, patients).interval(0)
    resampled = inference.intervals({"a": Ranking(labels, scores, patients)}, resamples=2000)["a"]
    assert (low, high) == pytest.approx((resampled.low, resampled.high), abs=0.015)
    alone = delong(labels, scores).interval(0)
    assert alone[1] - alone[0] < 0.9 * (high - low)  # patients that resemble themselves must widen it


def test_equal_rows_have_p_one_and_a_plain_difference_a_small_one():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 200)
    rows = np.stack([labels + rng.normal(size=200), rng.normal(size=200)], 1)
    found = delong(labels, np.column_stack([rows, rows[:, 0] * 3]))
    assert found.p(0, 2) == 1
    assert found.p(0, 1) < 1e-4


@pytest.mark.parametrize(
    "labels, scores, patients, sentence",
    [
        ([0, 1, 2], [1.0, 2, 3], None, "labels of 0 and 1"),
        ([0, 1], [1.0, 2], None, "1 patients have positives"),
        ([0, 0, 1, 1], [1.0, 2, np.nan, 3], None, "finite scores"),
        ([0, 0, 1, 1], [1.0, 2, 3, 4], ["a", "b", "c", "c"], "1 patients have positives"),
        ([0, 1], [1.0, 2, 3], None, "do not describe the same images"),
    ],
)
def test_bad_input_is_told(labels, scores, patients, sentence):
    with pytest.raises(RadlibError, match=sentence):
        delong(labels, scores, patients)
