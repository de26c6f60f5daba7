"""Logistic regression along an L2 path against scikit-learn's own, fitted one C at a time."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radlib.errors import RadlibError
from radlib.evaluate.linear_probe import Probe
from radlib.evaluate.logistic_regression import _falling, logistic_regression


def cohort(seed=0, n=400, widths=(10, 25), classes=3, multi_label=False):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (n, classes)) if multi_label else generator.integers(0, classes, n)
    signal = labels if multi_label else np.eye(classes)[labels]
    inputs = {
        f"cls{width}": (
            5 + 3 * generator.normal(size=(n, width)) + signal @ generator.normal(size=(classes, width))
        ).astype(np.float32)
        for width in widths
    }
    split = np.array(["train", "train", "validation", "train", "test"])[np.arange(n) % 5]
    return inputs, labels, split


def oracle(features, labels, fit, score, c):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8, max_iter=5000))
    return model.fit(features[fit].astype(np.float64), labels[fit]).predict_proba(features[score])


def test_path_choice_and_scores_equal_scikit_learn_with_three_classes():
    inputs, labels, split = cohort()
    train, validation, test = (split == name for name in ("train", "validation", "test"))
    probe = logistic_regression(inputs, labels, split, n_classes=3, Cs=(1e-2, 1e-4, 1e-3))
    table = {}
    for row in probe.validation:
        scores = oracle(inputs[row["input"]], labels, train, validation, row["C"])
        table[row["input"], row["C"]] = roc_auc_score(labels[validation], scores, multi_class="ovr")
        assert row["validation_auroc"] == pytest.approx(table[row["input"], row["C"]], abs=5e-4)
    assert [c for name, c in table if name == "cls10"] == [1e-4, 1e-3, 1e-2]
    name, c = probe.head["input"], probe.head["C"]
    assert table[name, c] == pytest.approx(max(table.values()), abs=5e-4)
    expected = oracle(inputs[name], labels, ~test, test, c)
    np.testing.assert_allclose(probe.scores, expected, atol=5e-4)
    np.testing.assert_array_equal(probe.test_rows, np.flatnonzero(test))
    assert isinstance(probe, Probe)


def test_labels_of_a_multi_label_problem_are_regressions_of_their_own():
    inputs, labels, split = cohort(multi_label=True, widths=(10,))
    probe = logistic_regression(inputs, labels, split, n_classes=3, Cs=(0.01,))
    test = split == "test"
    for k in range(3):
        expected = oracle(inputs["cls10"], labels[:, k], ~test, test, 0.01)[:, 1]
        np.testing.assert_allclose(probe.scores[:, k], expected, atol=5e-4)


def test_two_classes_with_c_are_scikit_learns_with_twice_c():
    inputs, labels, split = cohort(classes=2, widths=(10,))
    probe = logistic_regression(inputs, labels, split, n_classes=2, Cs=(0.01,))
    test = split == "test"
    np.testing.assert_allclose(probe.scores, oracle(inputs["cls10"], labels, ~test, test, 0.02), atol=5e-4)


def test_features_in_other_units_give_the_same_answer():
    inputs, labels, split = cohort(widths=(10,))
    scale = np.float32(2.0) ** np.arange(-5, 5)
    shifted = {"cls10": inputs["cls10"] * scale}
    first, second = (logistic_regression(x, labels, split, n_classes=3) for x in (inputs, shifted))
    assert first.head == second.head
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-3)


def test_a_constant_column_changes_nothing():
    inputs, labels, split = cohort(widths=(10,))
    wider = {"cls10": np.hstack([inputs["cls10"], np.full((len(labels), 1), 0.1, np.float32)])}
    first, second = (logistic_regression(x, labels, split, n_classes=3) for x in (inputs, wider))
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-3)


def test_a_path_ends_after_two_falls_in_a_row():
    assert not _falling([0.9, 0.8])
    assert not _falling([0.9, 0.8, 0.8])
    assert not _falling([0.9, 0.8, 0.85, 0.84])
    assert _falling([0.7, 0.9, 0.8, 0.7])


def test_test_labels_change_neither_the_choice_nor_the_scores():
    inputs, labels, split = cohort()
    test = np.flatnonzero(split == "test")
    relabelled = labels.copy()
    relabelled[test] = np.random.default_rng(9).permutation(labels[test])
    first, again = (logistic_regression(inputs, truth, split, n_classes=3) for truth in (labels, relabelled))
    assert (first.head, first.validation) == (again.head, again.validation)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_ties_go_to_the_stronger_penalty_then_to_the_first_input():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = (np.eye(3)[labels] * 50 + generator.normal(size=(120, 3))).astype(np.float32)  # every AUROC is 1
    split = np.array(["train", "validation", "test"])[np.arange(120) // 40]
    probe = logistic_regression({"b": features, "a": features}, labels, split, n_classes=3)
    assert {row["validation_auroc"] for row in probe.validation} == {1.0}
    assert probe.head == {"input": "b", "C": 1e-6}


def test_bad_input_is_refused_in_a_sentence():
    inputs, labels, split = cohort()
    with pytest.raises(RadlibError, match="all of them positive"):
        logistic_regression(inputs, labels, split, n_classes=3, Cs=(0.0,))
    inputs["cls10"][3] = np.nan
    with pytest.raises(RadlibError, match="in 1 of 400 rows"):
        logistic_regression(inputs, labels, split, n_classes=3)
