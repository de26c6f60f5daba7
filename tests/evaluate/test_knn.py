"""Nearest neighbours against scikit-learn, ML-kNN by hand and by a plain loop, the weighted vote by its formula."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from radlib.errors import RadlibError
from radlib.evaluate import knn
from radlib.evaluate.knn import ml_knn, neighbours, weighted_knn

SPLIT = np.repeat(["train", "validation", "test"], (60, 20, 25))


def cohort(multi_label=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (105, 4)) if multi_label else np.arange(105) % 3
    shift = labels @ rng.normal(size=(4, 8)) if multi_label else rng.normal(size=(3, 8))[labels]
    return (rng.normal(size=(105, 8)) + shift).astype(np.float32), labels


@pytest.mark.parametrize("blocks", [(1024, 16384), (7, 11), (1, 3)])
def test_neighbours_are_scikit_learns_whatever_the_blocks(monkeypatch, blocks):
    monkeypatch.setattr(knn, "QUERIES_AT_ONCE", blocks[0])
    monkeypatch.setattr(knn, "TRAIN_AT_ONCE", blocks[1])
    features, _ = cohort()
    train, queries = np.arange(60), np.arange(60, 105)
    similarity, index = neighbours(features, train, queries, 9)
    oracle = NearestNeighbors(n_neighbors=9, metric="cosine").fit(features[train])
    distance, expected = oracle.kneighbors(features[queries])
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(1 - similarity, distance, atol=1e-6)


def test_leaving_one_out_is_scikit_learns_without_a_query():
    features, _ = cohort()
    train = np.arange(5, 65)
    _, index = neighbours(features, train, train, 4, leave_one_out=True)
    expected = NearestNeighbors(n_neighbors=4, metric="cosine").fit(features[train]).kneighbors()[1]
    np.testing.assert_array_equal(index, expected)


def test_a_memory_map_is_never_read_whole(tmp_path, monkeypatch):
    features, _ = cohort()
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    monkeypatch.setattr(knn, "TRAIN_AT_ONCE", 16)
    monkeypatch.setattr(knn, "QUERIES_AT_ONCE", 8)
    largest, unit = [], knn._unit
    monkeypatch.setattr(knn, "_unit", lambda mapped, rows: largest.append(len(rows)) or unit(mapped, rows))
    found = neighbours(mapped, np.arange(60), np.arange(60, 105), 5)
    assert max(largest) == 16
    monkeypatch.undo()
    np.testing.assert_array_equal(found[1], neighbours(features, np.arange(60), np.arange(60, 105), 5)[1])


def test_ml_knn_by_hand():
    """Four train images on two rays, k = 1: every image's nearest other lies on its own ray.

    With the label of the ray: rows with the label 2, prior (1 + 2) / (2 + 4) = 1/2. Each labelled row has 1 labelled
    neighbour: P(1 | label) = (1 + 2) / (2 + 2) = 3/4, P(0 | label) = 1/4; without the label P(1) = 1/4, P(0) = 3/4.
    A query on the labelled ray: posterior (1/2 · 3/4) / (1/2 · 3/4 + 1/2 · 1/4) = 3/4; on the other ray 1/4.
    """
    rays = np.array([[1, 0.1], [1, 0.2], [0.1, 1], [0.2, 1]], np.float32)
    features = np.concatenate([rays, rays[[0, 2]], rays[[1, 3]] * 7])
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1]])
    targets = labels[:4].astype(np.float32)
    fit, queries = np.arange(4), np.array([6, 7])
    own, theirs = neighbours(features, fit, fit, 1, True)[1], neighbours(features, fit, queries, 1)[1]
    expected = [[3 / 4, 1 / 4], [1 / 4, 3 / 4]]
    np.testing.assert_allclose(knn._posterior(targets, own, theirs, 1.0, True), expected)


@pytest.mark.parametrize("multi_label", [False, True])
def test_ml_knn_is_a_plain_loop(multi_label):
    features, labels = cohort(multi_label)
    probe = ml_knn(features, labels, SPLIT, n_classes=4 if multi_label else 3, ks=(3, 5))
    hot = labels if multi_label else np.eye(3, dtype=int)[labels]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    fit, k, n_labels = range(80), probe.head["k"], hot.shape[1]

    def count(row, label):
        near = sorted((other for other in fit if other != row), key=lambda other: -float(unit[row] @ unit[other]))[:k]
        return sum(hot[other, label] for other in near)

    expected = np.empty((25, n_labels))
    for label in range(n_labels):
        prior = (1 + sum(hot[row, label] for row in fit)) / (2 + 80)
        tables = {bearing: np.ones(k + 1) for bearing in (0, 1)}
        for row in fit:
            tables[hot[row, label]][count(row, label)] += 1
        for place, row in enumerate(range(80, 105)):
            j = count(row, label)
            yes = prior * tables[1][j] / tables[1].sum()
            no = (1 - prior) * tables[0][j] / tables[0].sum()
            expected[place, label] = yes / (yes + no)
    if not multi_label:
        expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.scores, expected, atol=1e-12)
    assert [row["k"] for row in probe.validation] == [3, 5]


def test_the_weighted_vote_is_its_formula():
    features, labels = cohort()
    probe = weighted_knn(features, labels, SPLIT, n_classes=3, ks=(4,))
    unit = features.astype(np.float64) / np.linalg.norm(features, axis=1, keepdims=True)
    for place, row in enumerate(range(80, 105)):
        similarity = unit[row] @ unit[:80].T
        near = np.argsort(-similarity)[:4]
        weights = np.exp(similarity[near] / 0.07)
        expected = [weights[labels[near] == k].sum() / weights.sum() for k in range(3)]
        np.testing.assert_allclose(probe.scores[place], expected, atol=1e-4)  # float32 cosines over 0.07


def test_all_k_of_one_search_are_those_of_each_alone():
    features, labels = cohort()
    together = weighted_knn(features, labels, SPLIT, n_classes=3, ks=(5, 10, 20))
    alone = [weighted_knn(features, labels, SPLIT, n_classes=3, ks=(k,)).validation[0] for k in (5, 10, 20)]
    assert together.validation == alone
    best = max(alone, key=lambda row: row["validation_auroc"])
    assert together.head == {"k": best["k"]}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
def test_order_and_scale_of_rows_do_not_matter(seed, scale):
    features, labels = cohort()
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(80), np.arange(80, 105)])
    turned = features[order] * np.float32(scale)
    split = SPLIT[order]
    for classify in (ml_knn, weighted_knn):
        one = classify(features, labels, SPLIT, n_classes=3, ks=(6,)).scores
        np.testing.assert_allclose(one, classify(turned, labels[order], split, n_classes=3, ks=(6,)).scores, atol=1e-4)


def test_votes_are_probabilities_to_the_last_digit():
    features, labels = cohort()
    labels[:] = np.where(np.arange(105) % 3 == 2, 2, 0)
    labels[5] = 1
    scores = weighted_knn(features, labels, SPLIT, n_classes=3, ks=(3, 7, 50)).scores
    assert scores.min() >= 0 and scores.max() <= 1


def test_zeros_are_near_nothing():
    features, labels = cohort()
    features[100] = 0
    similarity, _ = neighbours(features, np.arange(80), np.array([100]), 80)
    np.testing.assert_array_equal(similarity, np.zeros((1, 80)))
    probe = weighted_knn(features, labels, SPLIT, n_classes=3, ks=(60,))
    assert np.isfinite(probe.scores).all()


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_lengths_whose_squares_leave_float32_change_nothing(scale):
    features, _ = cohort()
    train, queries = np.arange(60), np.arange(60, 105)
    similarity, index = neighbours(features * np.float32(scale), train, queries, 4)
    expected = neighbours(features, train, queries, 4)
    np.testing.assert_array_equal(index, expected[1])
    np.testing.assert_allclose(similarity, expected[0], atol=1e-6)


def test_the_weighted_vote_of_labels_is_each_labels_share():
    features, labels = cohort(multi_label=True)
    probe = weighted_knn(features, labels, SPLIT, n_classes=4, ks=(7,), temperature=0.001)
    unit = features.astype(np.float64) / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit[80:] @ unit[:80].T
    near = np.argsort(-similarity, axis=1)[:, :7]
    found = np.take_along_axis(similarity, near, axis=1)
    weights = np.exp((found - found[:, :1]) / 0.001)
    expected = (weights[:, :, None] * labels[near]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.scores, expected, atol=1e-3)  # float32 cosines over 0.001
    assert probe.scores.dtype == np.float64 and (probe.scores.sum(axis=1) > 1.01).any()


def test_labels_of_test_images_are_not_read():
    features, labels = cohort()
    other = labels.copy()
    other[80:] = np.roll(labels[80:], 1)
    for classify in (ml_knn, weighted_knn):
        one, two = (classify(features, truth, SPLIT, n_classes=3, ks=(3, 9)) for truth in (labels, other))
        np.testing.assert_array_equal(one.scores, two.scores)
        assert one.validation == two.validation


def test_bad_input_is_told():
    features, labels = cohort()
    for classify in (ml_knn, weighted_knn):
        with pytest.raises(RadlibError, match="At least 61 neighbours are asked for and train has 60 rows; ask for f"):
            classify(features, labels, SPLIT, n_classes=3, ks=(61, 70))
        for ks in ((), (0, 5)):
            with pytest.raises(RadlibError, match="give at least one, each 1 or more"):
                classify(features, labels, SPLIT, n_classes=3, ks=ks)
        holed = features.copy()
        holed[3, 3] = np.nan
        with pytest.raises(RadlibError, match="'last layer' holds NaN or infinity in 1 of 105 rows"):
            classify(holed, labels, SPLIT, n_classes=3)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(RadlibError, match="smoothing is .* must be positive"):
            ml_knn(features, labels, SPLIT, n_classes=3, smoothing=wrong)
        with pytest.raises(RadlibError, match="temperature is .* must be positive"):
            weighted_knn(features, labels, SPLIT, n_classes=3, temperature=wrong)


@pytest.mark.parametrize(("classify", "most"), [(ml_knn, 59), (weighted_knn, 60)])
def test_a_k_beyond_train_is_left_out_and_named(classify, most):
    features, labels = cohort()
    probe = classify(features, labels, SPLIT, n_classes=3, ks=(100, 10, most, most + 1))
    assert probe.hyperparameters["ks"] == [10, most]
    assert probe.hyperparameters["ks_left_out"] == [100, most + 1]
    assert [row["k"] for row in probe.validation] == [10, most]
    assert json.loads(json.dumps(probe.hyperparameters))["chosen"] == probe.head
