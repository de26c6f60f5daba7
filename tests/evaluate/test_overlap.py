"""Dice and Jaccard by hand, against scikit-learn, torchmetrics and MONAI, and the properties they must have."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice, compute_iou
from sklearn.metrics import f1_score, jaccard_score
from torch.nn.functional import one_hot
from torchmetrics.functional.classification import multiclass_jaccard_index
from torchmetrics.functional.segmentation import dice_score

from radlib.errors import RadlibError
from radlib.evaluate import overlap
from radlib.evaluate.overlap import mean_case_dice, per_case_dice, pooled

CLASSES = 3
small_masks = arrays(np.uint8, (5, 4, 6), elements=st.integers(0, CLASSES))
cases_of_five = arrays(np.int64, 5, elements=st.integers(0, 3))

# Two samples of two classes, small enough to count with a finger.
TRUTH = np.array([[[1, 1, 0], [1, 1, 2]], [[0, 0, 0], [0, 2, 2]]])
PREDICTED = np.array([[[1, 1, 1], [0, 0, 2]], [[0, 0, 1], [0, 0, 2]]])
COUNTS = [[[2, 3, 4], [1, 1, 1]], [[0, 1, 0], [1, 1, 2]]]


def masks(seed=0, samples=8, size=16, classes=CLASSES):
    """Predictions right in two pixels of three, elsewhere anything."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes + 1, (samples, size, size))
    noise = generator.integers(0, classes + 1, truth.shape)
    return np.where(generator.random(truth.shape) < 0.67, truth, noise), truth


def planes(labels, classes=CLASSES):
    """(N, H, W) labels -> (N, 1 + K, H, W) one-hot, as MONAI wants them."""
    return one_hot(torch.tensor(labels.astype(np.int64)), classes + 1).movedim(-1, 1)


def test_counts_by_hand():
    assert overlap.counts(PREDICTED, TRUTH, 2).tolist() == COUNTS


def test_pooled_by_hand():
    found = pooled(COUNTS)
    assert found.totals.tolist() == [[2, 4, 4], [2, 2, 3]]
    assert found.dice == pytest.approx([4 / 8, 4 / 5])
    assert found.jaccard == pytest.approx([2 / 6, 2 / 3])
    assert found.score == pytest.approx((1 / 2 + 1 / 3 + 4 / 5 + 2 / 3) / 4)
    assert found.absent.tolist() == []


def test_dice_per_case_by_hand():
    one_by_one = per_case_dice(COUNTS, ["first", "second"])
    assert one_by_one.ravel() == pytest.approx([4 / 7, 1, 0, 2 / 3])
    of_one_scan = per_case_dice(COUNTS, ["scan", "scan"])
    assert of_one_scan.ravel() == pytest.approx([4 / 8, 4 / 5])
    mean = mean_case_dice(COUNTS, [0, 1])
    assert (mean.mean, mean.scored, mean.empty) == (pytest.approx(((4 / 7 + 1) / 2 + (0 + 2 / 3) / 2) / 2), 2, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_counts_agree_with_comparing_class_by_class(dtype):
    predicted, truth = masks()
    found = overlap.counts(predicted.astype(dtype), truth.astype(dtype), CLASSES)
    assert found.shape == (8, CLASSES, 3) and found.dtype == np.int64
    for k in range(1, CLASSES + 1):
        expected = [((predicted == k) & (truth == k)), predicted == k, truth == k]
        np.testing.assert_array_equal(found[:, k - 1], np.stack([e.sum(axis=(1, 2)) for e in expected], axis=-1))


def test_boolean_masks_are_one_class():
    predicted, truth = masks(classes=1)
    np.testing.assert_array_equal(overlap.counts(predicted == 1, truth == 1, 1), overlap.counts(predicted, truth, 1))


@pytest.mark.parametrize("seed", range(3))
def test_pooled_agrees_with_scikit_learn_on_all_pixels(seed):
    predicted, truth = masks(seed)
    found = pooled(overlap.counts(predicted, truth, CLASSES))
    arguments = {"y_true": truth.ravel(), "y_pred": predicted.ravel(), "labels": [1, 2, 3], "average": None}
    dice, jaccard = f1_score(**arguments), jaccard_score(**arguments)
    assert found.dice == pytest.approx(dice, abs=1e-12)
    assert found.jaccard == pytest.approx(jaccard, abs=1e-12)
    assert found.score == pytest.approx((dice.mean() + jaccard.mean()) / 2, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_pooled_agrees_with_torchmetrics(seed):
    predicted, truth = (torch.tensor(labels) for labels in masks(seed))
    found = pooled(overlap.counts(predicted, truth, CLASSES))
    dice = dice_score(
        predicted,
        truth,
        num_classes=CLASSES + 1,
        include_background=False,
        average="none",
        input_format="index",
        aggregation_level="global",
    )
    jaccard = multiclass_jaccard_index(predicted, truth, num_classes=CLASSES + 1, average="none")[1:]
    assert found.dice == pytest.approx(dice.ravel().numpy(), abs=1e-6)
    assert found.jaccard == pytest.approx(jaccard.numpy(), abs=1e-6)


@given(small_masks, small_masks)
def test_dice_per_image_is_monais_where_a_class_is_true_or_predicted(predicted, truth):
    assume(truth.any())
    found = per_case_dice(overlap.counts(predicted, truth, CLASSES), np.arange(5))
    # MONAI gives a class that is in neither mask Dice 1 here (or, ignoring empty truth, NaN also to invented pixels).
    theirs = compute_dice(planes(predicted), planes(truth), include_background=False, ignore_empty=False).numpy()
    nothing = np.stack([~((predicted == k) | (truth == k)).any(axis=(1, 2)) for k in (1, 2, 3)], axis=1)
    np.testing.assert_array_equal(np.isnan(found), nothing)
    np.testing.assert_allclose(found[~nothing], theirs[~nothing], atol=1e-6)


def test_dice_per_scan_is_monais_on_the_volume():
    predicted, truth = masks(samples=12)
    scans = np.repeat(["b", "a", "c"], 4)
    found = per_case_dice(overlap.counts(predicted, truth, CLASSES), scans)
    for row, scan in enumerate("abc"):
        volumes = (
            one_hot(torch.tensor(labels[scans == scan]), 4).movedim(-1, 0)[None] for labels in (predicted, truth)
        )
        theirs = compute_dice(*volumes, include_background=False)
        assert found[row] == pytest.approx(theirs[0].numpy(), abs=1e-6)


@given(small_masks, small_masks)
def test_pooled_is_monai_on_all_samples_as_one_volume(predicted, truth):
    assume(truth.any())
    found = pooled(overlap.counts(predicted, truth, CLASSES))
    volumes = [planes(labels).movedim(0, 1)[None] for labels in (predicted, truth)]  # (1, 1 + K, N, H, W)
    for ours, theirs in ((found.dice, compute_dice), (found.jaccard, compute_iou)):
        np.testing.assert_allclose(ours, theirs(*volumes, include_background=False)[0].numpy(), atol=1e-6)


@given(small_masks, small_masks)
def test_dice_and_jaccard_tell_the_same_and_lie_between_0_and_1(predicted, truth):
    assume(truth.any())
    found = pooled(overlap.counts(predicted, truth, CLASSES))
    scorable = np.delete(np.arange(CLASSES), found.absent)
    dice, jaccard = found.dice[scorable], found.jaccard[scorable]
    np.testing.assert_allclose(dice, 2 * jaccard / (1 + jaccard), atol=1e-12)
    assert (jaccard >= 0).all() and (jaccard <= dice).all() and (dice <= 1).all()
    assert 0 <= found.score <= 1
    assert np.isnan(found.dice[found.absent]).all() and np.isnan(found.jaccard[found.absent]).all()


@given(small_masks, small_masks)
def test_swapping_prediction_and_truth_changes_nothing_where_both_are_there(predicted, truth):
    assume(predicted.any() and truth.any())
    there, back = (overlap.counts(a, b, CLASSES) for a, b in ((predicted, truth), (truth, predicted)))
    np.testing.assert_array_equal(there, back[..., [0, 2, 1]])
    np.testing.assert_array_equal(per_case_dice(there, np.arange(5)), per_case_dice(back, np.arange(5)))
    both = np.setdiff1d(np.arange(CLASSES), [*pooled(there).absent, *pooled(back).absent])
    np.testing.assert_array_equal(pooled(there).dice[both], pooled(back).dice[both])


@given(small_masks, small_masks, cases_of_five, st.permutations(range(5)))
def test_the_order_of_samples_does_not_matter(predicted, truth, cases, order):
    assume(truth.any())
    counts = overlap.counts(predicted, truth, CLASSES)
    assert pooled(counts).score == pooled(counts[order]).score
    np.testing.assert_array_equal(per_case_dice(counts, cases), per_case_dice(counts[order], cases[order]))
    assert mean_case_dice(counts, cases) == mean_case_dice(counts[order], cases[order])


@given(small_masks)
def test_a_perfect_prediction_scores_1_and_nothing_predicted_0(truth):
    assume(truth.any())
    perfect, nothing = (overlap.counts(guess, truth, CLASSES) for guess in (truth, np.zeros_like(truth)))
    assert pooled(perfect).score == 1 and mean_case_dice(perfect, np.arange(5)).mean == 1
    assert pooled(nothing).score == 0 and mean_case_dice(nothing, np.arange(5)).mean == 0


@given(small_masks, small_masks)
def test_counting_in_batches_is_counting_at_once(predicted, truth):
    batches = [overlap.counts(predicted[part], truth[part], CLASSES) for part in (slice(0, 2), slice(2, 5))]
    np.testing.assert_array_equal(np.concatenate(batches), overlap.counts(predicted, truth, CLASSES))


def test_a_class_no_true_mask_has_is_named_and_left_out_and_its_predicted_pixels_are_told():
    predicted, truth = masks()
    truth[truth == 2] = 0
    found = pooled(overlap.counts(predicted, truth, CLASSES))
    assert found.absent.tolist() == [1]
    assert np.isnan(found.dice[1]) and np.isnan(found.jaccard[1])
    assert found.totals[found.absent, overlap.PREDICTED].tolist() == [(predicted == 2).sum()]
    kept = [0, 2]
    assert found.score == pytest.approx((found.dice[kept].mean() + found.jaccard[kept].mean()) / 2, abs=1e-15)


def test_empty_cases_are_left_out_and_counted_and_invented_ones_score_0():
    truth, predicted = np.zeros((4, 3, 3), int), np.zeros((4, 3, 3), int)
    truth[0, 0, 0] = predicted[0, 0, 0] = 1  # right
    truth[1, 0, 0] = 1  # missed
    predicted[2, 0, 0] = 2  # invented; sample 3 is empty and rightly so
    counts = overlap.counts(predicted, truth, 2)
    np.testing.assert_array_equal(
        per_case_dice(counts, np.arange(4)), [[1, np.nan], [0, np.nan], [np.nan, 0], [np.nan] * 2]
    )
    found = mean_case_dice(counts, np.arange(4))
    assert (found.mean, found.scored, found.empty) == (pytest.approx(1 / 3), 3, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"truth": TRUTH[:1]}, "do not describe the same pixels"),
        ({"predicted": PREDICTED[0], "truth": TRUTH[0]}, "do not describe the same pixels"),
        ({"predicted": PREDICTED[:0], "truth": TRUTH[:0]}, "at least one pixel"),
        ({"classes": 0}, "name at least 1"),
        ({"predicted": PREDICTED.astype(float)}, "predicted masks are float64"),
        ({"truth": TRUTH * 127}, r"true masks hold the value 254, outside 0 \(background\) … 2"),
        ({"predicted": PREDICTED - 1}, "predicted masks hold the value -1"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_a_sentence(change, sentence):
    with pytest.raises(RadlibError, match=sentence):
        overlap.counts(**{"predicted": PREDICTED, "truth": TRUTH, "classes": 2, **change})


@pytest.mark.parametrize("score", [pooled, lambda counts: mean_case_dice(counts, np.arange(len(counts)))])
@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        (overlap.counts(PREDICTED, TRUTH * 0, 2), "test split has no foreground: none of its 2 true masks"),
        (np.ones((4, 3), int), r"shape \(4, 3\)"),
        (np.ones((4, 2, 3)), "type float64"),
        (np.array([[[3, 2, 5]]]), "more pixels in both masks than in one"),
        (np.array([[[-1, 2, 5]]]), "fewer than none"),
    ],
)
def test_counts_that_have_no_overlap_are_refused_in_a_sentence(score, counts, sentence):
    with pytest.raises(RadlibError, match=sentence):
        score(counts)


def test_one_case_per_sample_is_asked_for():
    with pytest.raises(RadlibError, match=r"shape \(1,\) for 2 samples"):
        per_case_dice(COUNTS, [0])
