"""The AUROC against scikit-learn, torchmetrics, its definition by pairs, and the properties it must have."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import multiclass_auroc

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc, per_class_auroc

few_scores = arrays(np.float64, 30, elements=st.integers(0, 4).map(float))  # many ties
binary = arrays(np.int64, 30, elements=st.integers(0, 1))


def by_pairs(labels, scores):
    """The definition: share of (positive, negative) pairs in the right order, ties one half."""
    gaps = scores[labels == 1][:, None] - scores[labels == 0][None]
    return np.mean((gaps > 0) + 0.5 * (gaps == 0))


def softmax_cohort(seed, n=200, k=3):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, k, n)
    scores = np.exp(generator.normal(size=(n, k)) + np.eye(k)[labels])
    return labels, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_three_classes_agree_with_scikit_learn_and_torchmetrics(seed):
    labels, scores = softmax_cohort(seed)
    ours = macro_auroc(labels, scores)
    assert ours == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr", average="macro"), abs=1e-12)
    theirs = multiclass_auroc(torch.tensor(scores), torch.tensor(labels), num_classes=3, average="macro")
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_per_class_agrees_with_scikit_learn_one_against_the_rest():
    labels, scores = softmax_cohort(7)
    for index, (name, ours) in enumerate(per_class_auroc(labels, scores, ["a", "b", "c"]).items()):
        assert name == "abc"[index]
        assert ours == pytest.approx(roc_auc_score(labels == index, scores[:, index]), abs=1e-12)


@given(binary, few_scores)
def test_ties_count_one_half(labels, scores):
    assume(0 < labels.sum() < len(labels))
    assert macro_auroc(labels, scores) == pytest.approx(by_pairs(labels, scores), abs=1e-12)
    assert macro_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(binary, few_scores)
def test_only_the_order_of_scores_matters_and_reversing_it_mirrors_the_auroc(labels, scores):
    assume(0 < labels.sum() < len(labels))
    auroc = macro_auroc(labels, scores)
    assert 0 <= auroc <= 1
    assert macro_auroc(labels, np.exp(scores) + 5) == auroc
    assert macro_auroc(labels, -scores) == pytest.approx(1 - auroc, abs=1e-12)
    assert macro_auroc(1 - labels, scores) == pytest.approx(1 - auroc, abs=1e-12)


@given(binary)
def test_a_constant_score_knows_nothing(labels):
    assume(0 < labels.sum() < len(labels))
    assert macro_auroc(labels, np.full(len(labels), 0.3)) == 0.5


def test_two_classes_are_scored_by_the_second_column_alone():
    labels, scores = softmax_cohort(3, k=2)
    assert macro_auroc(labels, scores) == macro_auroc(labels, scores[:, 1])
    assert per_class_auroc(labels, scores, ["benign", "malignant"]) == {"malignant": macro_auroc(labels, scores)}


def test_multi_label_averages_what_can_be_scored_and_names_the_rest():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (50, 4))
    labels[:, 1], labels[:, 3] = 0, 1
    scores = generator.random((50, 4))
    found = per_class_auroc(labels, scores, ["mass", "never", "nodule", "always"])
    assert np.isnan(found["never"]) and np.isnan(found["always"])
    expected = [roc_auc_score(labels[:, c], scores[:, c]) for c in (0, 2)]
    assert [found["mass"], found["nodule"]] == pytest.approx(expected, abs=1e-12)
    assert macro_auroc(labels, scores) == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_class_absent_from_test_is_named_and_left_out():
    labels, scores = softmax_cohort(5)
    labels, scores = labels[labels != 1], scores[labels != 1]
    found = per_class_auroc(labels, scores, ["a", "b", "c"])
    assert np.isnan(found["b"])
    assert macro_auroc(labels, scores) == pytest.approx((found["a"] + found["c"]) / 2)


@pytest.mark.parametrize(
    ("labels", "scores", "sentence"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], "same label"),
        ([[1, 0], [1, 0]], np.ones((2, 2)), "same label"),
        ([0, 1, 7], np.ones((3, 3)), "Label 7"),
        ([0, 1], [0.1, np.nan], "1 images hold NaN"),
        ([0, 1, 1], [0.1, 0.2], "do not describe the same images"),
        ([[0, 1], [1, 0]], np.ones((2, 3)), "must be equal"),
        ([[0, -1], [1, 0]], np.ones((2, 2)), "other than 0 and 1"),
        ([], [], "do not describe the same images"),
    ],
)
def test_what_has_no_auroc_is_refused_in_a_sentence(labels, scores, sentence):
    with pytest.raises(RadlibError, match=sentence):
        macro_auroc(labels, scores)


def test_one_name_per_class():
    labels, scores = softmax_cohort(0)
    with pytest.raises(RadlibError, match="2 class names"):
        per_class_auroc(labels, scores, ["a", "b"])
