"""Intervals against a naive loop that copies the samples of the patients drawn; p against every arrangement."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import kstest

from radlib.errors import RadlibError
from radlib.evaluate import inference
from radlib.evaluate.overlap import PerCase, Pooled, mean_case_dice, pooled


def scored(rows, patients, scans):
    """Score and Dice per case of every row."""
    found = {(row, "score"): Pooled(counts, patients) for row, counts in rows.items()}
    return found | {(row, "case"): PerCase(counts, patients, scans) for row, counts in rows.items()}


def paired_p(counts_a, counts_b, patients, **options):
    return inference.paired_p(Pooled(counts_a, patients), Pooled(counts_b, patients), **options)


def cohort(seed=0, patients=20, classes=3, per_class=0.8):
    """Two rows of counts of patients with 1 or 2 scans of 1 to 6 slices, each patient a little easier or harder."""
    generator = np.random.default_rng(seed)
    scan = np.repeat(np.arange(2 * patients), generator.integers(1, 7, 2 * patients))
    scan = scan[scan % 4 != 3]  # every other patient has one scan
    patient = scan // 2
    true = generator.integers(1, 400, (len(scan), classes)) * (generator.random((len(scan), classes)) < per_class)
    ease = generator.uniform(0.6, 1, patients)[patient][:, None]
    rows = {}
    for row, skill in (("weak", 0.5), ("strong", 0.9)):
        both = np.floor(true * skill * ease * generator.uniform(0.8, 1, true.shape)).astype(int)
        extra = generator.integers(0, 80, true.shape) * (generator.random(true.shape) < 0.7)
        rows[row] = np.stack([both, both + extra, true], axis=-1)
    return rows, np.array([f"P{p:02d}" for p in patient]), np.array([f"S{s:02d}" for s in scan])


def naive(counts, patients, scans, resamples, seed):
    """One resample after another: score and Dice per case of copied samples, copied scans renamed."""
    names = np.unique(patients)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    kept = []
    for draw in drawn:
        rows = [np.flatnonzero(patients == names[p]) for p in draw]
        copies = np.concatenate([[f"{copy} {scans[r]}" for r in of] for copy, of in enumerate(rows)])
        found = counts[np.concatenate(rows)]
        if (found[..., 2].sum(axis=0) > 0)[counts[..., 2].any(axis=0)].all():
            kept.append([pooled(found).score, mean_case_dice(found, copies).mean])
    return np.array(kept)


def numbers(interval):
    return interval.low, interval.high


def test_every_resample_equals_scoring_the_copied_samples():
    rows, patients, scans = cohort()
    drawn = inference.resampled(scored(rows, patients, scans), resamples=60, seed=3)
    assert drawn.shape == (60, 4)
    for column, counts in enumerate(rows.values()):
        np.testing.assert_allclose(drawn[:, [column, column + 2]], naive(counts, patients, scans, 60, 3), atol=1e-12)


def test_intervals_are_the_percentiles_of_the_naive_loop():
    rows, patients, scans = cohort()
    found = inference.intervals(scored(rows, patients, scans), resamples=80, seed=5, level=0.9)
    low, high = np.quantile(naive(rows["strong"], patients, scans, 80, 5), [0.05, 0.95], axis=0)
    for index, interval in enumerate([found["strong", "score"], found["strong", "case"]]):
        assert numbers(interval) == pytest.approx((low[index], high[index]), abs=1e-12)
        assert (interval.level, interval.resamples, interval.resamples_used) == (0.9, 80, 80)


def test_values_are_those_of_the_whole_set():
    rows, patients, scans = cohort()
    row = scored(rows, patients, scans)
    assert row["weak", "score"].value == pooled(rows["weak"]).score
    assert row["weak", "case"].value == mean_case_dice(rows["weak"], scans).mean


def test_a_resample_that_loses_a_class_is_dropped_for_every_row_and_counted():
    rows, patients, scans = cohort(patients=6)
    for counts in rows.values():
        counts[np.unique(patients, return_inverse=True)[1] > 1, 2] = 0  # class 3 is in two patients of six
    found = inference.intervals(scored(rows, patients, scans), resamples=200, seed=1)
    expected = naive(rows["weak"], patients, scans, 200, 1)
    assert {interval.resamples_used for interval in found.values()} == {len(expected)} and 0 < len(expected) < 200
    assert numbers(found["weak", "score"]) == pytest.approx(np.quantile(expected[:, 0], [0.025, 0.975]), abs=1e-12)


def test_a_class_no_true_mask_has_does_not_enter_the_score():
    rows, patients, _ = cohort()
    counts = rows["weak"]
    counts[:, 1, [0, 2]] = 0  # predicted all the same
    with_it, without = Pooled(counts, patients), Pooled(np.delete(counts, 1, axis=1), patients)
    assert inference.intervals({"": with_it}, resamples=50) == inference.intervals({"": without}, resamples=50)


def test_empty_cases_stay_left_out_of_resamples():
    rows, patients, scans = cohort()
    empty = np.zeros((5, 3, 3), int)
    with_empty = {row: np.concatenate([counts, empty]) for row, counts in rows.items()}
    more_scans = [*scans, *(f"empty {k}" for k in range(5))]
    found = inference.intervals(scored(with_empty, [*patients, *(["P00"] * 5)], more_scans), resamples=50)
    assert found == inference.intervals(scored(rows, patients, scans), resamples=50)


def test_resamples_depend_on_the_seed_and_neither_on_the_other_rows_nor_on_the_chunk(monkeypatch):
    rows, patients, scans = cohort()
    every = scored(rows, patients, scans)
    together = inference.resampled(every, resamples=101)
    alone = inference.resampled({"strong": every["strong", "score"]}, resamples=101)
    np.testing.assert_allclose(alone[:, 0], together[:, 1], rtol=1e-14)
    monkeypatch.setattr(inference, "CHUNK_WEIGHTS", 7 * 20)
    np.testing.assert_allclose(inference.resampled(every, resamples=101), together, rtol=1e-14)
    assert not np.allclose(inference.resampled(every, resamples=101, seed=1), together)


def test_a_difference_is_paired_over_identical_resamples():
    rows, patients, scans = cohort()
    every = scored(rows, patients, scans)
    pairs = [naive(rows[row], patients, scans, 60, 0) for row in ("strong", "weak")]
    low, high = np.quantile(pairs[0] - pairs[1], [0.025, 0.975], axis=0)
    for index, kind in enumerate(["score", "case"]):
        strong, weak = every["strong", kind], every["weak", kind]
        difference, found = inference.paired_difference(strong, weak, resamples=60)
        assert difference == strong.value - weak.value
        assert numbers(found) == pytest.approx((low[index], high[index]), abs=1e-12)
        assert numbers(inference.paired_difference(weak, weak, resamples=60)[1]) == (0, 0)


def test_rows_may_be_scored_at_two_sizes():
    rows, patients, _ = cohort()
    small, large = Pooled(rows["weak"], patients), Pooled(rows["weak"] * 4, patients)  # the same ratios
    assert inference.intervals({"": small}, resamples=50) == inference.intervals({"": large}, resamples=50)
    with pytest.raises(RadlibError, match="at the same size"):
        inference.paired_p(small, large)


@pytest.mark.parametrize(("n_patients", "lowest", "highest"), [(40, 0.89, 0.99), (4, 0.70, 0.88)])
def test_intervals_cover_the_true_score_as_often_as_they_say_and_less_of_four_patients(n_patients, lowest, highest):
    # One class. Of a patient's 1,000 true pixels in each of 3 slices a share is found that is the patient's own,
    # uniform in 0.6 … 1; nothing is invented. Over all patients P / T = I / T = 0.8: Jaccard 0.8, Dice 1.6 / 1.8. The
    # bounds are 3 standard errors of 200 cohorts about 0.94 and 0.79.
    truth, covered = (1.6 / 1.8 + 0.8) / 2, 0
    generator, patients = np.random.default_rng(42), np.repeat(np.arange(n_patients), 3)
    for trial in range(200):
        both = np.round(1000 * generator.uniform(0.6, 1, n_patients)).astype(int)[patients]
        counts = np.stack([both, both, np.full(len(both), 1000)], axis=-1)[:, None]
        interval = inference.intervals({"row": Pooled(counts, patients)}, resamples=300, seed=trial)["row"]
        covered += interval.low <= truth <= interval.high
    assert lowest <= covered / 200 <= highest


def test_drawing_patients_widens_the_interval_where_their_slices_are_alike():
    patients = np.repeat(np.arange(30), 20)
    both = np.random.default_rng(0).integers(500, 1000, 30)[patients]
    counts = np.stack([both, both, np.full(600, 1000)], axis=-1)[:, None]
    by_patient, by_slice = (
        inference.intervals({"row": Pooled(counts, of)}, resamples=300)["row"] for of in (patients, np.arange(600))
    )
    assert by_patient.high - by_patient.low > 2.5 * (by_slice.high - by_slice.low)


def exact_p(a, b, patients):
    """All 2^P arrangements, samples moved one patient after another and scored from scratch."""
    names = np.unique(patients)
    observed = abs(pooled(a).score - pooled(b).score)
    reached = []
    for swaps in product([False, True], repeat=len(names)):
        swap = np.array(swaps)[np.searchsorted(names, patients)][:, None, None]
        one, other = pooled(np.where(swap, b, a)), pooled(np.where(swap, a, b))
        reached.append(abs(one.score - other.score) >= observed - 1e-9)
    return np.mean(reached)


@pytest.mark.parametrize("seed", range(5))
def test_p_of_four_patients_is_the_share_of_all_16_arrangements(seed):
    rows, patients, _ = cohort(seed, patients=4)
    found = paired_p(rows["weak"], rows["strong"], patients, seed=seed)
    assert found == exact_p(rows["weak"], rows["strong"], patients)
    assert found * 16 == round(found * 16) and found >= 2 / 16


def test_four_patients_all_of_one_mind_reach_an_eighth_and_no_less():
    true = np.full((4, 1), 100)
    a, b = (np.stack([true * share // 100, true, true], axis=-1) for share in (95, 50))
    assert paired_p(a, b, np.arange(4)) == paired_p(b, a, np.arange(4)) == 0.125


@pytest.mark.parametrize("seed", range(3))
def test_random_arrangements_approach_the_share_of_all(seed):
    rows, patients, _ = cohort(seed, patients=8)
    weak, other = rows["weak"], rows["weak"].copy()
    other[..., 0] = np.random.default_rng(seed).binomial(other[..., 2], 0.4)
    other[..., 1] = weak[..., 1] = np.maximum(np.maximum(other[..., 0], weak[..., 0]), weak[..., 1])
    expected = exact_p(weak, other, patients)
    assert paired_p(weak, other, patients, permutations=256) == expected  # 2^8 arrangements: all of them
    found = [paired_p(weak, other, patients, permutations=255, seed=draw) for draw in range(40)]
    assert np.mean(found) == pytest.approx(expected, abs=0.02)


def test_equal_rows_cannot_be_told_apart():
    rows, patients, _ = cohort(patients=20)
    assert paired_p(rows["weak"], rows["weak"], patients, permutations=100) == 1
    assert paired_p(rows["weak"], rows["weak"], patients == "P00") == 1


def test_a_plain_difference_has_the_smallest_p():
    rows, patients, _ = cohort(patients=60)
    assert paired_p(rows["weak"], rows["strong"], patients, permutations=500) == 1 / 501


def test_p_is_uniform_when_the_rows_are_equally_good():
    found = []
    for seed in range(60):
        generator, patients = np.random.default_rng(seed), np.repeat(np.arange(30), 2)
        a, b = (np.stack([generator.integers(40, 100, (60, 2)), *np.full((2, 60, 2), 100)], axis=-1) for _ in range(2))
        found.append(paired_p(a, b, patients, permutations=200, seed=seed))
    assert kstest(found, "uniform").pvalue > 0.01


def test_chunks_do_not_change_p(monkeypatch):
    rows, patients, _ = cohort(3)
    few = np.isin(patients, ["P00", "P01", "P02", "P03", "P04"])
    calls = [(rows["weak"], rows["strong"], patients), (rows["weak"][few], rows["strong"][few], patients[few])]
    whole = [paired_p(*call, permutations=300) for call in calls]
    monkeypatch.setattr(inference, "CHUNK_WEIGHTS", 100)
    assert [paired_p(*call, permutations=300) for call in calls] == whole


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patients": np.zeros(8)}, "at least two patients"),
        ({"patients": np.arange(5)}, r"shape \(5,\) for 8 samples"),
        ({"scans": np.zeros(8)}, "Case '0.0' belongs to more than one patient"),
        ({"scans": np.arange(7)}, r"shape \(7,\) for 8 samples"),
        ({"rows": {}}, "at least one row"),
        ({"resamples": 0}, "make no interval"),
        ({"level": 1.0}, "level 1.0 does not exist"),
        ({"rows": {"row": np.zeros((8, 2, 3), int)}}, "no foreground"),
    ],
)
def test_what_cannot_be_resampled_is_refused_in_a_sentence(change, sentence):
    def intervals(rows, patients, scans, **options):
        return inference.intervals(scored(rows, patients, scans), **options)

    good = {"rows": {"row": np.ones((8, 2, 3), int)}, "patients": np.arange(8), "scans": np.arange(8), "resamples": 10}
    intervals(**good)
    with pytest.raises(RadlibError, match=sentence):
        intervals(**{**good, **change})


def test_rows_of_other_patients_are_refused():
    counts = np.ones((8, 2, 3), int)
    with pytest.raises(RadlibError, match=r"The rows are of \[4, 8\] patients"):
        inference.intervals({"a": Pooled(counts, np.arange(8)), "b": Pooled(counts, np.arange(8) // 2)})


def test_a_class_in_so_few_patients_that_no_resample_keeps_it_is_told():
    counts = np.ones((40, 40, 3), int)
    counts[..., 0] = counts[..., 2] = np.eye(40)  # every class in one patient of its own
    with pytest.raises(RadlibError, match="None of 20 resamples of 40 patients keeps every class"):
        inference.intervals({"row": Pooled(counts, np.arange(40))}, resamples=20)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patients": np.zeros(8)}, "at least two patients"),
        ({"patients": np.arange(7)}, r"shape \(7,\) for 8 samples"),
        ({"permutations": 0}, "0 permutations"),
        ({"counts_b": np.ones((8, 3, 3), int)}, "different true masks"),
        ({"counts_b": np.full((8, 2, 3), 2)}, "different true masks"),
    ],
)
def test_what_cannot_be_exchanged_is_refused_in_a_sentence(change, sentence):
    good = {"counts_a": np.ones((8, 2, 3), int), "counts_b": np.ones((8, 2, 3), int), "patients": np.arange(8)}
    paired_p(**good)
    with pytest.raises(RadlibError, match=sentence):
        paired_p(**{**good, **change})
