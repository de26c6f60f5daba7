import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from radlib.errors import RadlibError
from radlib.evaluate.calibration import calibration


def test_brier_and_curve_are_scikit_learns():
    rng = np.random.default_rng(0)
    said = rng.random(1500)
    labels = (rng.random(1500) < said**2).astype(int)
    found = calibration(labels, said)
    share, mean = calibration_curve(labels, said, n_bins=15, strategy="quantile")
    np.testing.assert_allclose(found.curve[:, 0], mean, atol=2e-3)  # it bins by quantiles, we by count
    np.testing.assert_allclose(found.curve[:, 1], share, atol=0.02)
    assert found.brier == pytest.approx(brier_score_loss(labels, said))
    assert found.ece == pytest.approx(np.abs(share - mean).mean(), abs=5e-3)


def test_what_is_told_as_often_as_it_happens_has_no_error():
    said = np.repeat([0.0, 0.25, 0.5, 1.0], 40)
    labels = np.concatenate([np.zeros(40), np.arange(40) % 4 == 0, np.arange(40) % 2, np.ones(40)]).astype(int)
    found = calibration(labels, said, bins=4)
    assert found.ece == 0
    assert found.brier == pytest.approx((0.25 * 0.75 + 0.25) / 4)


def test_a_constant_is_wrong_by_its_distance_from_the_frequency():
    labels = (np.arange(100) < 30).astype(int)
    found = calibration(labels, np.full(100, 0.9), bins=1)
    assert found.ece == pytest.approx(0.6)
    assert found.brier == pytest.approx(0.3 * 0.01 + 0.7 * 0.81)


def test_classes_are_questions_of_their_own():
    rng = np.random.default_rng(1)
    said = rng.dirichlet(np.ones(3), 300)
    labels = np.array([rng.choice(3, p=row) for row in said])
    found = calibration(labels, said)
    alone = [calibration((labels == k).astype(int), said[:, k]) for k in range(3)]
    assert found.ece == pytest.approx(np.mean([each.ece for each in alone]))
    assert found.brier == pytest.approx(np.mean([each.brier for each in alone]))
    assert found.curve[:, 2].sum() == 900
    multi = calibration(np.eye(3, dtype=int)[labels], said)
    assert multi.ece == pytest.approx(found.ece)


def test_fewer_images_than_bins():
    assert len(calibration([0, 1, 1], [0.1, 0.8, 0.9]).curve) == 3


def test_what_is_no_probability_is_refused():
    with pytest.raises(RadlibError, match=r"reach from -1 to 2; they must lie in 0 … 1"):
        calibration([0, 1], [-1.0, 2.0])
