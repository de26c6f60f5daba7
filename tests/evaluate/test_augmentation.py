import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from radlib.evaluate import augmentation
from radlib.evaluate.augmentation import FLIP_CHANCE, MOST_DEGREES, Draws

ANGLES = st.one_of(st.floats(-MOST_DEGREES, MOST_DEGREES), st.sampled_from([-90.0, -45.0, 0.0, 45.0, 90.0]))


def one(vertical=False, horizontal=False, degrees=0.0):
    return Draws(np.array([vertical]), np.array([horizontal]), np.array([degrees]))


def picture(side=12, seed=0, channels=3):
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(seed))


def class_mask(side=12, seed=0, classes=5):
    return torch.randint(classes, (1, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@given(st.booleans(), st.booleans(), ANGLES, st.integers(2, 24), st.integers(0, 1000))
def test_a_mask_looked_at_as_an_image_lands_on_the_moved_mask(vertical, horizontal, degrees, side, seed):
    # Of the four pixels that bilinear sampling mixes the nearest weighs at least a quarter.
    mask = class_mask(side, seed, classes=2)
    draws = one(vertical, horizontal, degrees)
    seen = augmentation.images(mask[:, None].float(), draws)[:, 0]
    moved = augmentation.masks(mask, draws)
    assert moved.dtype == torch.uint8
    assert (seen - moved.float()).abs().max() <= 0.75 + 1e-4


@given(st.booleans(), st.booleans(), ANGLES, st.integers(2, 24), st.integers(0, 1000))
def test_a_moved_mask_holds_only_classes_it_held_and_background(vertical, horizontal, degrees, side, seed):
    mask = class_mask(side, seed)
    moved = augmentation.masks(mask, one(vertical, horizontal, degrees))
    assert set(moved.unique().tolist()) <= {0, *mask.unique().tolist()}


@pytest.mark.parametrize(
    "draws, by_numpy",
    [
        (one(), lambda array: array),
        (one(vertical=True), lambda array: array[..., ::-1, :]),
        (one(horizontal=True), lambda array: array[..., ::-1]),
        (one(vertical=True, horizontal=True), lambda array: array[..., ::-1, ::-1]),
        (one(degrees=90.0), lambda array: np.rot90(array, 1, (-2, -1))),
        (one(degrees=-90.0), lambda array: np.rot90(array, -1, (-2, -1))),
        # what is flipped and turned is flipped first
        (one(vertical=True, degrees=90.0), lambda array: np.rot90(array[..., ::-1, :], 1, (-2, -1))),
        (one(horizontal=True, degrees=90.0), lambda array: np.rot90(array[..., ::-1], 1, (-2, -1))),
    ],
)
@pytest.mark.parametrize("side", [7, 12, 448])
def test_flips_and_quarter_turns_are_numpys(draws, by_numpy, side):
    mask, image = class_mask(side), picture(side)
    np.testing.assert_array_equal(augmentation.masks(mask, draws).numpy(), by_numpy(mask.numpy()))
    # sampling places are float32: a pixel's neighbours may weigh 1e-5 of it
    np.testing.assert_allclose(augmentation.images(image, draws).numpy(), by_numpy(image.numpy()), atol=2e-4)


def test_what_turns_in_from_outside_is_dark_and_background():
    turned = one(degrees=45.0)
    image = augmentation.images(torch.ones(1, 1, 16, 16), turned)[0, 0]
    mask = augmentation.masks(torch.ones(1, 16, 16, dtype=torch.uint8), turned)[0]
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert image[corner] == 0 and mask[corner] == 0
    assert image[8, 8] == 1 and mask[8, 8] == 1


def test_each_of_a_batch_moves_by_its_own_draw():
    draws = augmentation.draw(6, np.random.default_rng(3))
    images = torch.cat([picture(seed=k) for k in range(6)])
    masks = torch.cat([class_mask(seed=k) for k in range(6)])
    moved, truth = augmentation.images(images, draws), augmentation.masks(masks, draws)
    for k in range(6):
        torch.testing.assert_close(moved[k : k + 1], augmentation.images(images[k : k + 1], draws[k : k + 1]))
        assert torch.equal(truth[k : k + 1], augmentation.masks(masks[k : k + 1], draws[np.array([k])]))


def test_draws_have_the_papers_chances():
    draws = augmentation.draw(20_000, np.random.default_rng(0))
    assert draws.vertical.mean() == pytest.approx(FLIP_CHANCE, abs=0.015)
    assert draws.horizontal.mean() == pytest.approx(FLIP_CHANCE, abs=0.015)
    assert (draws.vertical & draws.horizontal).mean() == pytest.approx(FLIP_CHANCE**2, abs=0.01)  # independent
    assert np.abs(draws.degrees).max() <= MOST_DEGREES
    histogram, _ = np.histogram(draws.degrees, bins=6, range=(-MOST_DEGREES, MOST_DEGREES))
    np.testing.assert_allclose(histogram / 20_000, 1 / 6, atol=0.015)


def test_the_same_generator_draws_the_same():
    first, again = (augmentation.draw(8, np.random.default_rng(7)).matrices() for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augmentation.draw(8, np.random.default_rng(8)).matrices())
