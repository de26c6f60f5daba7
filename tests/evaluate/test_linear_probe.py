"""The linear probe against a plain torch loop, against scikit-learn where the problem is convex, and at its door."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.linear_probe import INITIAL_STD, linear_probe, with_shuffled_labels


def cohort(seed=0, n=300, widths=(12, 20), classes=3, multi_label=False):
    """Features of two widths, labels, and a split of 3 : 1 : 1."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (n, classes)) if multi_label else generator.integers(0, classes, n)
    signal = labels if multi_label else np.eye(classes)[labels]
    inputs = {
        f"cls{width}": (
            generator.normal(size=(n, width)) + signal @ generator.normal(size=(classes, width)) / 3
        ).astype(np.float32)
        for width in widths
    }
    split = np.array(["train", "train", "validation", "train", "test"])[np.arange(n) % 5]
    return inputs, labels, split


def plain_loop(features, labels, rows, score_rows, rate, *, classes, epochs, batch_size, seed):
    """One nn.Linear, torch's SGD and its cosine scheduler, autograd: nothing shared with the code under test."""
    layer = torch.nn.Linear(features.shape[1], classes)
    first = np.random.default_rng(seed).standard_normal((classes, features.shape[1]), dtype=np.float32)
    layer.weight.data = torch.tensor(INITIAL_STD * first)
    layer.bias.data.zero_()
    steps = epochs * -(-len(rows) // batch_size)
    optimiser = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9, weight_decay=0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    loss = torch.nn.BCEWithLogitsLoss() if labels.ndim == 2 else torch.nn.CrossEntropyLoss()
    truth = torch.tensor(labels, dtype=torch.float32 if labels.ndim == 2 else torch.int64)
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rows[generator.permutation(len(rows))]
        for start in range(0, len(rows), batch_size):
            batch = order[start : start + batch_size]
            optimiser.zero_grad()
            loss(layer(torch.tensor(features[batch])), truth[batch]).backward()
            optimiser.step()
            scheduler.step()
    with torch.no_grad():
        logits = layer(torch.tensor(features[score_rows])).double()
    return (logits.sigmoid() if labels.ndim == 2 else logits.softmax(dim=1)).numpy()


@pytest.mark.parametrize("multi_label", [False, True])
def test_each_head_of_the_grid_equals_a_plain_loop_that_trains_it_alone(multi_label):
    inputs, labels, split = cohort(multi_label=multi_label)
    schedule = {"epochs": 7, "batch_size": 32, "seed": 3}
    probe = linear_probe(inputs, labels, split, n_classes=3, learning_rates=(0.01, 0.5), **schedule)
    train, validation, test = (np.flatnonzero(split == name) for name in ("train", "validation", "test"))
    table = {}
    for row in probe.validation:
        features, rate = inputs[row["input"]], row["learning_rate"]
        scores = plain_loop(features, labels, train, validation, rate, classes=3, **schedule)
        expected = roc_auc_score(labels[validation], scores, multi_class="ovr")
        assert row["validation_auroc"] == pytest.approx(expected, abs=1e-4)
        table[row["input"], rate] = expected
    name, rate = max(table, key=table.get)
    assert probe.head == {"input": name, "learning_rate": rate}
    both = np.concatenate([train, validation])
    expected = plain_loop(inputs[name], labels, both, test, rate, classes=3, **schedule)
    np.testing.assert_allclose(probe.scores, expected, atol=1e-5)
    np.testing.assert_array_equal(probe.test_rows, test)


def test_with_time_it_reaches_the_optimum_that_scikit_learn_finds():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 500)
    features = (generator.normal(size=(500, 4)) + 1.2 * np.eye(3, 4)[labels]).astype(np.float32)
    split = np.array(["train", "validation", "train", "test", "train"])[np.arange(500) % 5]
    probe = linear_probe(
        {"cls": features}, labels, split, n_classes=3, learning_rates=(0.5,), epochs=600, batch_size=500
    )
    fit = split != "test"
    oracle = LogisticRegression(C=np.inf, tol=1e-8, max_iter=5000).fit(features[fit], labels[fit])
    np.testing.assert_allclose(probe.scores, oracle.predict_proba(features[~fit]), atol=1e-3)


def test_test_labels_and_test_features_change_neither_the_choice_nor_the_head():
    inputs, labels, split = cohort()
    test = np.flatnonzero(split == "test")
    settings = {"n_classes": 3, "epochs": 3}
    probe = linear_probe(inputs, labels, split, **settings)
    relabelled = labels.copy()
    relabelled[test] = np.random.default_rng(9).permutation(labels[test])
    assert (relabelled != labels).any()
    again = linear_probe(inputs, relabelled, split, **settings)
    assert (again.head, again.validation) == (probe.head, probe.validation)
    np.testing.assert_array_equal(again.scores, probe.scores)
    other = {name: np.where((split == "test")[:, None], -features, features) for name, features in inputs.items()}
    assert linear_probe(other, labels, split, **settings).validation == probe.validation


def test_the_cohort_a_probe_works_on_holds_no_test_label():
    from radlib.evaluate.probe import open_cohort

    inputs, labels, split = cohort()
    opened = open_cohort(inputs, labels, split, 3)
    held = {field.name for field in dataclasses.fields(opened) if "target" in field.name or "label" in field.name}
    assert held == {"train_targets", "validation_targets", "validation_labels", "multi_label"}
    assert len(opened.train_targets) == (split == "train").sum()
    assert len(opened.validation_targets) == len(opened.validation_labels) == (split == "validation").sum()


def test_ties_go_to_the_smaller_learning_rate_then_to_the_first_input():
    inputs, labels, split = cohort(widths=(6,))
    same = {"second": inputs["cls6"], "first": inputs["cls6"].copy()}
    probe = linear_probe(same, labels, split, n_classes=3, learning_rates=(2e-9, 1e-9), epochs=1)
    aurocs = {row["validation_auroc"] for row in probe.validation}
    assert len(aurocs) == 1  # rates this small leave every head at its first weights
    assert probe.head == {"input": "second", "learning_rate": 1e-9}


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_diverged_head_is_named_and_not_chosen(multi_label):
    inputs, labels, split = cohort(multi_label=multi_label)
    inputs["huge"] = inputs["cls12"] * np.float32(1e30)
    probe = linear_probe(inputs, labels, split, n_classes=3, learning_rates=(0.01,), epochs=2)
    assert [row["diverged"] for row in probe.validation] == [False, False, True]
    assert probe.validation[2] == {
        "input": "huge", "learning_rate": 0.01, "validation_auroc": None, "diverged": True
    }  # fmt: skip
    with pytest.raises(RadlibError, match="All 1 heads diverged"):
        linear_probe({"huge": inputs["huge"]}, labels, split, n_classes=3, learning_rates=(0.01,), epochs=2)


def test_memory_mapped_half_precision_features_give_what_the_array_gives(tmp_path):
    inputs, labels, split = cohort(widths=(12,))
    np.save(tmp_path / "cls.npy", inputs["cls12"].astype(np.float16))
    mapped = np.load(tmp_path / "cls.npy", mmap_mode="r")
    probes = [linear_probe({"cls": x}, labels, split, n_classes=3, epochs=3) for x in (mapped, np.array(mapped))]
    np.testing.assert_array_equal(probes[0].scores, probes[1].scores)


def test_a_seed_repeats_and_another_seed_differs():
    inputs, labels, split = cohort()
    first, again, other = (linear_probe(inputs, labels, split, n_classes=3, epochs=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.scores != other.scores).any()


def test_scores_are_probabilities_and_the_settings_are_ready_for_json():
    inputs, labels, split = cohort(classes=2)
    probe = linear_probe(inputs, labels, split, n_classes=2, epochs=2)
    assert probe.scores.shape == ((split == "test").sum(), 2)
    np.testing.assert_allclose(probe.scores.sum(axis=1), 1)
    settings = json.loads(json.dumps(probe.hyperparameters))
    assert settings["momentum"] == 0.9 and settings["weight_decay"] == 0 and settings["chosen"] == probe.head
    assert (settings["epochs"], settings["batch_size"], settings["seed"]) == (2, 128, 0)
    assert json.loads(json.dumps(probe.validation)) == probe.validation and len(probe.validation) == 8


def spoil(inputs, labels, split, how):
    train, validation, test = (split == name for name in ("train", "validation", "test"))
    if how == "nan":
        inputs["cls12"][[4, 7]] = [[np.nan], [np.inf]]
    elif how == "missing class":
        split = np.where(train & (labels == 2), "test", split)
    elif how == "one class in validation":
        labels = np.where(validation, 1, labels)
    elif how == "one class in test":
        labels = np.where(test, 1, labels)
    elif how == "empty validation":
        split = np.where(validation, "train", split)
    elif how == "unknown split":
        split = np.where(validation, "val", split)
    elif how == "label 7":
        labels = np.where(np.arange(len(labels)) == 5, 7, labels)
    elif how == "short input":
        inputs["cls20"] = inputs["cls20"][:-1]
    elif how == "no input":
        inputs = {}
    return inputs, labels, split


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("nan", "'cls12' holds NaN or infinity in 2 of 300 rows"),
        ("missing class", "Class 2 has no image in the train split"),
        ("one class in validation", "60 images of the validation split carry the same label"),
        ("one class in test", "60 images of the test split carry the same label"),
        ("empty validation", "validation split is empty"),
        ("unknown split", "60 images is 'val'; use train, validation or test"),
        ("label 7", "Label 7 is outside 0 … 2"),
        ("short input", "'cls20' has shape"),
        ("no input", "no inputs to probe"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_before_training(how, sentence, monkeypatch):
    from radlib.evaluate import linear_probe as module

    monkeypatch.setattr(module, "_train", lambda *_, **__: pytest.fail("training began"))
    inputs, labels, split = spoil(*cohort(), how)
    with pytest.raises(RadlibError, match=sentence):
        linear_probe(inputs, labels, split, n_classes=3)


@pytest.mark.parametrize("change", [{"learning_rates": ()}, {"learning_rates": (0.0,)}, {"epochs": 0}])
def test_a_grid_that_is_not_positive_is_refused(change):
    inputs, labels, split = cohort()
    with pytest.raises(RadlibError, match="must be positive"):
        linear_probe(inputs, labels, split, n_classes=3, **change)


def test_shuffled_labels_teach_nothing():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    features = (rng.normal(size=(600, 20)) + labels[:, None]).astype(np.float32)
    split = np.repeat(["train", "validation", "test"], 200)
    scores = with_shuffled_labels(features, labels, split, n_classes=2, learning_rate=0.01, draws=40, epochs=10, seed=0)
    assert scores.shape == (40, 200, 2)
    areas = [macro_auroc(labels[400:], draw) for draw in scores]
    assert abs(np.mean(areas) - 0.5) < 4 * np.std(areas) / np.sqrt(40)
    honest = linear_probe({"f": features}, labels, split, n_classes=2, epochs=10)
    assert macro_auroc(labels[400:], honest.scores) > 0.95


def test_a_shuffled_draw_is_the_head_it_would_be_alone():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (90, 3))
    features = rng.normal(size=(90, 4)).astype(np.float32)
    split = np.repeat(["train", "validation", "test"], 30)
    given = {"n_classes": 3, "learning_rate": 0.05, "epochs": 5, "batch_size": 16, "seed": 4}
    many = with_shuffled_labels(features, labels, split, draws=3, **given)
    one = with_shuffled_labels(features, labels, split, draws=1, **given)
    np.testing.assert_allclose(many[0], one[0], atol=1e-6)


def test_large_sets_take_fewer_passes_and_say_so(monkeypatch):
    from radlib.evaluate import linear_probe as module

    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(90, 3)).astype(np.float32), np.arange(90) % 2
    split = np.repeat(["train", "validation", "test"], 30)
    monkeypatch.setattr(module, "MOST_STEPS", 12)
    capped = linear_probe({"f": features}, labels, split, n_classes=2, epochs=50, batch_size=8)
    three = linear_probe({"f": features}, labels, split, n_classes=2, epochs=3, batch_size=8)
    assert capped.hyperparameters["epochs"] == 3
    np.testing.assert_array_equal(capped.scores, three.scores)
