"""Decoders of a few hundred weights on made-up tokens: each token says, with noise, what its patch shows."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from radlib.errors import RadlibError
from radlib.evaluate import checkpoint, overlap, segmentation
from radlib.evaluate.segmentation import Schedule, Split, Task, segment
from radlib.models import decoders, runtime

N, GRID, SIZE, WIDTH, CLASSES = 30, 8, 16, 16, 2
IDENTITY = {"data": "a", "weights": "w"}
QUICK = Schedule(learning_rates=(0.1, 1.0, 5.0), epochs=3, refit_epochs=3, batch_size=4)


@pytest.fixture(autouse=True)
def _float32(monkeypatch):
    """What these tests claim does not hang on the processor."""
    monkeypatch.setattr(runtime, "training_dtype", lambda device="auto": torch.float32)


def cohort(seed=0, noise=0.3):
    """Tokens (N, 5, h, w, D) float32 and masks (N, S, S) uint8 of two squares, one of each class."""
    rng = np.random.default_rng(seed)
    shown = np.zeros((N, GRID, GRID), np.uint8)
    for k in range(N):
        top, left = rng.integers(0, 3, 2)
        shown[k, top : top + 5, left : left + 3] = 1
        shown[k, top : top + 5, left + 3 : left + 6] = 2
    signs = rng.standard_normal((CLASSES + 1, WIDTH))
    tokens = signs[shown][:, None] + noise * rng.standard_normal((N, 5, GRID, GRID, WIDTH))
    return torch.from_numpy(tokens.astype(np.float32)), torch.from_numpy(shown.repeat(2, 1).repeat(2, 2))


def split(train=16, validation=6):
    names = np.array(["train"] * train + ["validation"] * validation + ["test"] * (N - train - validation), object)
    return Split.of(names)


def task(tokens=None, masks=None, kind="linear", watch=lambda rows, training: None, make=None):
    if tokens is None:
        tokens, masks = cohort()

    def read(rows, generator):
        watch(rows, generator is not None)
        return tokens[rows], masks[rows]

    return Task(
        make=make or (lambda: decoders.make(kind, WIDTH, CLASSES + 1)),
        forward=lambda network, inputs: network(inputs, SIZE),
        read=read,
        split=split(),
        classes=CLASSES,
    )


def fit(folder, given=None, schedule=QUICK, identity=IDENTITY, **changes):
    return segment(given or task(**changes), schedule, folder / "checkpoint.pt", identity, "cpu", progress=False)


def weights(found):
    return {name: tensor.numpy() for name, tensor in found.network.state_dict().items()}


def assert_same(one, other):
    assert one.learning_rate == other.learning_rate
    assert one.validation == other.validation
    assert one.losses == other.losses
    np.testing.assert_array_equal(one.counts, other.counts)
    assert weights(one).keys() == weights(other).keys()
    for name, values in weights(one).items():
        np.testing.assert_array_equal(values, weights(other)[name], err_msg=name)


@pytest.mark.parametrize("kind", decoders.BLOCKS)
def test_a_separable_problem_is_learnt(tmp_path, kind):
    schedule = dataclasses.replace(QUICK, epochs=8, refit_epochs=20)
    found = fit(tmp_path, schedule=schedule, kind=kind)
    assert overlap.pooled(found.counts).dice.min() > 0.9
    assert found.losses[-1] < found.losses[0] and len(found.losses) == 20
    assert not found.network.training


def test_counts_are_those_of_the_masks_the_network_draws(tmp_path):
    tokens, masks = cohort()
    found = fit(tmp_path, tokens=tokens, masks=masks)
    rows = split().test
    drawn = np.stack([one.argmax(0).numpy() for one in found.logits(rows, batch_size=3)])
    truth = masks[rows].numpy()
    for k in (1, 2):
        expected = [
            [((d == k) & (t == k)).sum(), (d == k).sum(), (t == k).sum()] for d, t in zip(drawn, truth, strict=True)
        ]
        np.testing.assert_array_equal(found.counts[:, k - 1], expected)


def test_the_rate_that_is_best_on_validation_is_fitted_anew_to_train_and_validation(tmp_path):
    seen = []
    found = fit(tmp_path, watch=lambda rows, training: seen.append((training, set(rows.tolist()))))
    best = max(found.validation, key=lambda row: row["score"])
    assert best["learning_rate"] == found.learning_rate
    parts = split()
    steps = [rows for training, rows in seen if training]
    in_choice = QUICK.epochs * 4  # 16 rows in batches of 4, all rates on one reading
    assert set().union(*steps[:in_choice]) == set(parts.train.tolist())
    assert set().union(*steps[in_choice:]) == set(parts.refit.tolist())
    assert set(parts.refit.tolist()) == set(parts.train.tolist()) | set(parts.validation.tolist())
    alone = fit(tmp_path / "alone", schedule=dataclasses.replace(QUICK, learning_rates=(found.learning_rate,)))
    for name, values in weights(found).items():
        np.testing.assert_array_equal(values, weights(alone)[name])  # nothing of the choice is left in the weights


@pytest.mark.parametrize("kind", decoders.BLOCKS)
def test_rates_trained_together_are_rates_trained_alone(tmp_path, kind):
    together = fit(tmp_path / "together", kind=kind)
    alone = fit(tmp_path / "alone", kind=kind, schedule=dataclasses.replace(QUICK, together=False))
    assert_same(together, alone)


class Killed(BaseException):
    pass


# Reads in turn: 3 epochs of 4 steps to choose, 2 batches of validation, 3 epochs of 6 steps to refit, 2 batches of
# validation to see that this fit holds, 2 of test.
@pytest.mark.parametrize(
    "kind, last",
    [*(("linear", last) for last in (1, 4, 11, 13, 14, 25, 33, 35)), ("unet_decoder", 9), ("unet_decoder", 25)],
)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch, kind, last):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    whole = fit(tmp_path / "whole", kind=kind)
    reads = itertools.count()

    def killed(rows, training):
        if next(reads) == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", kind=kind, watch=killed)
    after = itertools.count()
    resumed = fit(tmp_path / "cut", kind=kind, watch=lambda *_: next(after))
    assert_same(whole, resumed)
    assert next(after) < 36 or last < 4  # whole epochs before the kill were not read again
    assert not list((tmp_path / "cut").glob("*.part-*"))


def test_a_run_killed_again_and_again_still_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    whole = fit(tmp_path / "whole", kind="unet_decoder")
    kills = 0
    while kills < 9:
        reads = itertools.count()

        def killed(rows, training, reads=reads):
            if next(reads) == 10:  # the last epoch, validation and test are read in one go
                raise Killed

        try:
            resumed = fit(tmp_path / "cut", kind="unet_decoder", watch=killed)
            break
        except Killed:
            kills += 1
    assert 2 <= kills < 9
    assert_same(whole, resumed)


def test_a_run_of_rates_one_by_one_goes_on_with_the_next_rate(tmp_path, monkeypatch):
    schedule = dataclasses.replace(QUICK, together=False)
    whole = fit(tmp_path / "whole", schedule=schedule)
    reads = itertools.count()

    def killed_in_the_third_rate(rows, training):
        if next(reads) == 30:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "cut", schedule=schedule, watch=killed_in_the_third_rate)
    fits = []
    real = segmentation._Run._fit
    monkeypatch.setattr(segmentation._Run, "_fit", lambda run, *given: fits.append(given[:2]) or real(run, *given))
    assert_same(whole, fit(tmp_path / "cut", schedule=schedule))
    assert fits == [("choose", (5.0,)), ("refit", (whole.learning_rate,))]


def test_a_finished_run_is_read_and_not_trained_again(tmp_path):
    first = fit(tmp_path)
    again = fit(tmp_path, watch=lambda *_: pytest.fail("a row was read"))
    assert_same(first, again)
    assert (again.seconds, again.peak_memory_mb) == (first.seconds, first.peak_memory_mb)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"identity": {**IDENTITY, "weights": "other"}}, "its weights is w, this run's other"),
        ({"schedule": dataclasses.replace(QUICK, epochs=4)}, "its epochs is 3, this run's 4"),
        ({"schedule": dataclasses.replace(QUICK, loss="dice + cross-entropy")}, "its loss is dice, this run's"),
        ({"schedule": dataclasses.replace(QUICK, seed=1)}, "its seed is 0, this run's 1"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, words):
    fit(tmp_path)
    with pytest.raises(RadlibError, match=f"checkpoint of another run: {words}"):
        fit(tmp_path, **changes)


def test_a_checkpoint_in_another_precision_is_refused(tmp_path, monkeypatch):
    fit(tmp_path)
    monkeypatch.setattr(runtime, "training_dtype", lambda device="auto": torch.bfloat16)
    with pytest.raises(RadlibError, match="its numerics is torch-float32, this run's torch-bfloat16"):
        fit(tmp_path)


def test_test_rows_are_not_read_before_the_rate_is_chosen_and_fitted(tmp_path):
    tested, seen = set(split().test.tolist()), []
    fit(tmp_path, watch=lambda rows, training: seen.append((training, bool(tested & set(rows.tolist())))))
    assert [touches for _, touches in seen] == [False] * 34 + [True] * 2
    assert not any(training for training, touches in seen if touches)


def test_a_reader_without_test_rows_serves_until_the_last_network_is_fitted(tmp_path, monkeypatch):
    def forbidden(rows, training):
        if set(rows.tolist()) & set(split().test.tolist()):
            raise Killed

    fitted = []
    real = segmentation._Run._refitted
    monkeypatch.setattr(segmentation._Run, "_refitted", lambda run: fitted.append(real(run)) or fitted[-1])
    with pytest.raises(Killed):
        fit(tmp_path, watch=forbidden)
    assert len(fitted) == 1


def test_other_test_masks_change_neither_choice_nor_weights(tmp_path):
    tokens, masks = cohort()
    one = fit(tmp_path / "one", tokens=tokens, masks=masks)
    shuffled = masks.clone()
    test = split().test
    shuffled[test] = 2 - masks[test.copy()[::-1].copy()]
    other = fit(tmp_path / "other", tokens=tokens, masks=shuffled)
    assert one.validation == other.validation
    assert one.losses == other.losses
    for name, values in weights(one).items():
        np.testing.assert_array_equal(values, weights(other)[name])
    assert not np.array_equal(one.counts, other.counts)


class Exploding(nn.Module):
    """Scales its own weight up by its learning rate until it is no number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(CLASSES + 1, WIDTH))

    def forward(self, tokens, size):
        logits = torch.einsum("bhwd,kd->bkhw", tokens[:, -1], self.weight)
        return nn.functional.interpolate(logits, size=(size, size)) + 1e30 * (self.weight - 1).pow(3).sum()


def test_a_rate_that_diverges_has_no_score_and_is_not_chosen(tmp_path):
    schedule = dataclasses.replace(QUICK, learning_rates=(1e-9, 1e38))
    found = fit(tmp_path, schedule=schedule, make=Exploding)
    assert [row["score"] is None for row in found.validation] == [False, True]
    assert found.learning_rate == 1e-9


def test_all_rates_diverging_is_one_sentence(tmp_path):
    with pytest.raises(RadlibError, match=r"Every learning rate of 1e\+37, 1e\+38 diverged; name smaller ones"):
        fit(tmp_path, schedule=dataclasses.replace(QUICK, learning_rates=(1e37, 1e38)), make=Exploding)


def test_a_last_fit_that_diverges_is_refused_and_not_scored(tmp_path):
    tested = set(split().test.tolist())

    def no_test(rows, training):
        assert not tested & set(rows.tolist())

    with pytest.raises(
        RadlibError, match=r"The last fit diverged .*at every learning rate of 1e\+38; name smaller ones"
    ):
        fit(tmp_path, schedule=dataclasses.replace(QUICK, learning_rates=(1e38,)), make=Exploding, watch=no_test)


def collapse_last_fits(monkeypatch, rates):
    """The last fit at each of `rates` ends in a network that draws background alone."""
    real = segmentation._Run._fit

    def collapsed(run, stage, of, *given):
        networks = real(run, stage, of, *given)
        if stage == "refit" and of[0] in rates:
            networks[0].classify.bias.data[0] += 1e3
        return networks

    monkeypatch.setattr(segmentation._Run, "_fit", collapsed)


def test_a_last_fit_that_loses_what_it_was_chosen_for_gives_way_to_the_next_best_rate(tmp_path, monkeypatch):
    sound = fit(tmp_path / "sound")
    ranked = [row["learning_rate"] for row in sorted(sound.validation, key=lambda row: -row["score"])]
    assert sound.learning_rate == ranked[0]
    collapse_last_fits(monkeypatch, ranked[:1])
    found = fit(tmp_path / "best")
    assert found.learning_rate == ranked[1]
    refitted = {row["learning_rate"]: row.get("refit_score") for row in found.validation}
    assert refitted[ranked[0]] == 0 < refitted[ranked[1]]
    assert refitted[ranked[2]] is None  # never fitted
    assert_same(found, fit(tmp_path / "best", watch=lambda *_: pytest.fail("read again")))


def test_test_is_not_read_where_every_last_fit_collapses(tmp_path, monkeypatch):
    collapse_last_fits(monkeypatch, QUICK.learning_rates)
    tested = set(split().test.tolist())

    def no_test(rows, training):
        assert not tested & set(rows.tolist())

    with pytest.raises(RadlibError, match="lost a class at every learning rate of 0.1, 1.0, 5.0; name smaller ones"):
        fit(tmp_path, watch=no_test)


def test_of_rates_that_score_alike_the_first_is_taken(tmp_path):
    found = fit(tmp_path, schedule=dataclasses.replace(QUICK, learning_rates=(1e-12, 1e-13)))
    assert found.validation[0]["score"] == found.validation[1]["score"]
    assert found.learning_rate == 1e-12


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_an_empty_part_is_refused(part):
    names = np.array([name for name in ("train", "validation", "test") if name != part], object)
    with pytest.raises(RadlibError, match=f"No image is in the {part} split; give a split_file that fills it"):
        Split.of(names)


@given(st.lists(st.sampled_from(["train", "validation", "test", "left out"]), min_size=4))
def test_a_split_takes_every_row_once_and_leaves_out_what_is_left_out(names):
    if not {"train", "validation", "test"} <= set(names):
        return
    parts = Split.of(np.array(names, object))
    both = np.concatenate([parts.refit, parts.test])
    assert sorted(both) == [k for k, name in enumerate(names) if name != "left out"]
    assert list(parts.refit) == sorted([*parts.train, *parts.validation])


def test_the_rate_falls_as_torchs_cosine_by_step(tmp_path, monkeypatch):
    used = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            used.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Watched)
    fit(tmp_path, schedule=dataclasses.replace(QUICK, learning_rates=(0.7,), refit_epochs=5))
    steps = 5 * 6  # 22 rows in batches of 4
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer := torch.optim.Adam([torch.zeros(1)], 0.7), steps)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(used, expected, rtol=1e-6)
    assert used[0] == 0.7 and used[-1] > 0


def test_one_fit_is_plain_sgd_with_momentum(tmp_path):
    """The last fit, repeated line by line as in a textbook."""
    tokens, masks = cohort()
    schedule = dataclasses.replace(QUICK, learning_rates=(1.0,), refit_epochs=2)
    found = fit(tmp_path, tokens=tokens, masks=masks, schedule=schedule)
    torch.manual_seed(0)
    network = decoders.make("linear", WIDTH, CLASSES + 1)
    speed = [torch.zeros_like(weight) for weight in network.parameters()]
    rows = split().refit
    for epoch in range(2):
        order = rows[np.random.default_rng([0, epoch, True]).permutation(len(rows))]
        for step in range(6):
            batch = order[step * 4 : (step + 1) * 4]
            p = network(tokens[batch], SIZE).softmax(1)
            t = nn.functional.one_hot(masks[batch].long(), CLASSES + 1).movedim(-1, 1)
            both, sizes = (p * t).sum((2, 3)), p.sum((2, 3)) + t.sum((2, 3))
            value = (1 - (2 * both + 1e-5) / (sizes + 1e-5)).mean()
            gradients = torch.autograd.grad(value, list(network.parameters()))
            rate = 0.5 * (1 + np.cos(np.pi * (epoch * 6 + step) / 12))
            for weight, moving, gradient in zip(network.parameters(), speed, gradients, strict=True):
                moving.mul_(0.9).add_(gradient)
                weight.data -= rate * moving
    for name, weight in network.state_dict().items():
        np.testing.assert_allclose(weights(found)[name], weight.numpy(), rtol=1e-3, atol=1e-5)


def test_augmentation_has_random_numbers_of_its_own_in_every_epoch(tmp_path):
    tokens, masks = cohort()
    drawn = []

    def read(rows, generator):
        if generator is not None:
            drawn.append(generator.random())
        return tokens[rows], masks[rows]

    given = dataclasses.replace(task(), read=read)
    fit(tmp_path / "one", given=given)
    first = list(drawn)
    drawn.clear()
    fit(tmp_path / "other", given=given)
    assert drawn == first
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("kind", decoders.BLOCKS)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_tokens_do_not_move_the_dice(tmp_path, kind, half):
    tokens, masks = cohort(noise=2.0)  # hard enough that masks are not perfect
    rate = 1.0 if kind == "linear" else 0.1
    schedule = dataclasses.replace(QUICK, learning_rates=(rate,), refit_epochs=15)
    exact = fit(tmp_path / "exact", schedule=schedule, tokens=tokens, masks=masks, kind=kind)
    rounded = fit(tmp_path / "rounded", schedule=schedule, tokens=tokens.to(half), masks=masks, kind=kind)
    one, other = (overlap.pooled(found.counts).dice.mean() for found in (exact, rounded))
    assert 0.4 < one < 0.999
    assert abs(one - other) < (0.002 if half == torch.float16 else 0.02)


def test_a_batch_of_one_left_over_is_trained_on(tmp_path):
    found = fit(tmp_path, schedule=dataclasses.replace(QUICK, batch_size=5, learning_rates=(0.1,)), kind="unet_decoder")
    assert np.isfinite(found.losses).all()


def test_fitting_leaves_torchs_random_numbers_as_they_were(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(tmp_path)
    assert torch.equal(torch.rand(3), expected)
