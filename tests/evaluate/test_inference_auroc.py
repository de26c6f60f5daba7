"""Intervals against a naive loop that really copies the images of the patients drawn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from radlib.errors import RadlibError
from radlib.evaluate import inference
from radlib.evaluate.auroc import Ranking, macro_auroc


def ranked(labels, scores_by_row, patients):
    return {row: Ranking(labels, scores, patients) for row, scores in scores_by_row.items()}


def auroc_intervals(labels, scores_by_row, patients, **options):
    return inference.intervals(ranked(labels, scores_by_row, patients), **options)


def cohort(seed=0, patients=25, classes=3, decimals=1):
    """Patients with 1 to 9 images each, one class a patient, and scores rounded so that many tie."""
    generator = np.random.default_rng(seed)
    of_patient = np.arange(patients) % classes
    patient = np.repeat(np.arange(patients), generator.integers(1, 10, patients))
    labels = of_patient[patient]
    scores = {
        row: np.round(generator.normal(size=(len(labels), classes)) + skill * np.eye(classes)[labels], decimals)
        for row, skill in (("weak", 0.3), ("strong", 1.5))
    }
    return labels, scores, np.array([f"P{p:02d}" for p in patient])


def naive(labels, scores, patients, resamples, seed):
    """One resample after another: draw patients, concatenate their images, ask scikit-learn class by class."""
    names = np.unique(patients)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    truth = labels if labels.ndim == 2 else labels[:, None] == np.arange(scores.shape[1])
    values = []
    for draw in drawn:
        rows = np.concatenate([np.flatnonzero(patients == names[p]) for p in draw])
        if all(0 < truth[rows, c].sum() < len(rows) for c in range(truth.shape[1])):
            values.append(np.mean([roc_auc_score(truth[rows, c], scores[rows, c]) for c in range(truth.shape[1])]))
    return np.array(values)


def test_every_resample_equals_scikit_learn_on_copied_images():
    labels, scores, patients = cohort()
    ours = inference.resampled(ranked(labels, scores, patients), resamples=60, seed=3)
    for column, row in enumerate(scores):
        np.testing.assert_allclose(ours[:, column], naive(labels, scores[row], patients, 60, 3), atol=1e-10)


def test_multi_label_resamples_equal_scikit_learn_on_copied_images():
    _, scores, patients = cohort()
    labels = np.random.default_rng(8).integers(0, 2, (len(patients), 3))
    ours = inference.resampled(ranked(labels, scores, patients), resamples=40, seed=0)
    np.testing.assert_allclose(ours[:, 1], naive(labels, scores["strong"], patients, 40, 0), atol=1e-10)


def test_interval_is_the_percentiles_of_the_naive_loop():
    labels, scores, patients = cohort()
    found = auroc_intervals(labels, scores, patients, resamples=80, seed=5, level=0.9)["strong"]
    low, high = np.quantile(naive(labels, scores["strong"], patients, 80, 5), [0.05, 0.95])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-10)
    assert (found.level, found.resamples, found.resamples_used) == (0.9, 80, 80)
    assert found.low < macro_auroc(labels, scores["strong"]) < found.high


def test_a_resample_that_loses_a_class_is_dropped_for_every_row_and_counted():
    labels, scores, patients = cohort(patients=6)  # two patients a class: a class vanishes in one of twelve draws
    found = auroc_intervals(labels, scores, patients, resamples=120, seed=1)
    kept = {interval.resamples_used for interval in found.values()}
    assert kept == {len(naive(labels, scores["weak"], patients, 120, 1))}
    assert 0 < kept.pop() < 120


def test_resamples_depend_on_the_seed_and_neither_on_the_other_rows_nor_on_the_chunk(monkeypatch):
    labels, scores, patients = cohort()
    together = auroc_intervals(labels, scores, patients, resamples=101)
    alone = auroc_intervals(labels, {"strong": scores["strong"]}, patients, resamples=101)
    assert alone["strong"] == together["strong"]
    monkeypatch.setattr(inference, "CHUNK_WEIGHTS", 7 * len(labels))
    assert auroc_intervals(labels, scores, patients, resamples=101) == together
    assert auroc_intervals(labels, scores, patients, resamples=101, seed=1) != together


def test_a_difference_is_paired_over_identical_resamples():
    labels, scores, patients = cohort()
    strong, weak = ranked(labels, scores, patients)["strong"], ranked(labels, scores, patients)["weak"]
    difference, interval = inference.paired_difference(strong, weak, resamples=60)
    pairs = [naive(labels, scores[row], patients, 60, 0) for row in ("strong", "weak")]
    low, high = np.quantile(pairs[0] - pairs[1], [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-10)
    assert difference == pytest.approx(macro_auroc(labels, scores["strong"]) - macro_auroc(labels, scores["weak"]))
    zero, nothing = inference.paired_difference(weak, weak, resamples=50)
    assert (zero, nothing.low, nothing.high) == (0, 0, 0)


def test_drawing_patients_widens_the_interval_where_their_images_are_alike():
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 20)
    labels = (np.arange(40) % 2)[patients]
    scores = (generator.normal(size=40) + (np.arange(40) % 2))[patients] + 0.1 * generator.normal(size=len(labels))
    by_patient = auroc_intervals(labels, {"row": scores}, patients, resamples=300)["row"]
    by_image = auroc_intervals(labels, {"row": scores}, np.arange(len(labels)), resamples=300)["row"]
    assert by_patient.high - by_patient.low > 2.5 * (by_image.high - by_image.low)


def test_intervals_cover_the_true_auroc_about_as_often_as_they_say():
    # Two normals one deviation apart: the true AUROC is Phi(1 / sqrt 2) = 0.7602. Three images a patient share half
    # of their variance. Over 200 cohorts a coverage of 0.95 is seen within 3 standard errors, 0.90 … 1.00.
    generator, truth, covered = np.random.default_rng(42), 0.7602499389065233, 0
    patients = np.repeat(np.arange(80), 3)
    labels = (np.arange(80) % 2)[patients]
    for trial in range(200):
        shared, own = generator.normal(size=80)[patients], generator.normal(size=240)
        scores = labels + np.sqrt(0.5) * (shared + own)
        interval = auroc_intervals(labels, {"row": scores}, patients, resamples=300, seed=trial)["row"]
        covered += interval.low <= truth <= interval.high
    assert 0.90 <= covered / 200 <= 0.995


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patients": np.zeros(8)}, "at least two patients"),
        ({"patients": np.arange(5)}, "one patient per sample"),
        ({"scores_by_row": {}}, "at least one row"),
        ({"resamples": 0}, "make no interval"),
        ({"level": 1.0}, "level 1.0 does not exist"),
        ({"labels": np.zeros(8, int)}, "same label"),
        ({"scores_by_row": {"row": np.full(8, np.nan)}}, "NaN"),
    ],
)
def test_what_cannot_be_resampled_is_refused_in_a_sentence(change, sentence):
    good = {
        "labels": np.arange(8) % 2,
        "scores_by_row": {"row": np.arange(8.0)},
        "patients": np.arange(8),
        "resamples": 10,
    }
    auroc_intervals(**good)
    with pytest.raises(RadlibError, match=sentence):
        auroc_intervals(**{**good, **change})
