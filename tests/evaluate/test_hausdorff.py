"""The surface distance by hand, against MONAI, against all pairs of surface pixels, and its properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_hausdorff_distance
from scipy.spatial.distance import cdist

from radlib.errors import RadlibError
from radlib.evaluate.hausdorff import hd95, surface

# MONAI 1.6 warns of an argument that it passes to itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")

flat_masks = arrays(bool, (7, 9))
solid_masks = arrays(bool, (3, 4, 5))
spacings = st.sampled_from([0.5, 1.0, 1.7, 5.0])


def blob(centre, radius, shape):
    """A disc or a ball of pixels."""
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


def naive_surface(mask):
    """Pixel by pixel: it is on the surface if one of its nearest neighbours is not in the mask or not there."""
    padded = np.pad(mask, 1)
    steps = [sign * row for row in np.eye(mask.ndim, dtype=int) for sign in (1, -1)]
    return [p for p in np.argwhere(mask) if not all(padded[tuple(p + 1 + step)] for step in steps)]


def all_pairs(predicted, truth, spacing):
    """The definition: every surface pixel against every other."""
    gaps = cdist(*(np.array(naive_surface(mask)) * spacing for mask in (predicted, truth)))
    return max(np.percentile(gaps.min(axis=1), 95), np.percentile(gaps.min(axis=0), 95))


def monai(predicted, truth, spacing):
    both = (torch.tensor(mask)[None, None] for mask in (predicted, truth))
    return float(compute_hausdorff_distance(*both, include_background=True, percentile=95, spacing=list(spacing)))


def test_two_single_pixels_are_as_far_apart_as_their_centres():
    a, b = np.zeros((5, 6), bool), np.zeros((5, 6), bool)
    a[0, 0] = b[3, 4] = True
    assert hd95(a, b, (1, 1)) == 5
    assert hd95(a, b, (2, 1)) == pytest.approx(math.hypot(6, 4))


def test_a_row_of_pixels_by_hand():
    # 20 pixels against the first of them: distances 0 … 19, whose 95th percentile is 0.95 * 19 = 18.05 pixels.
    line, end = np.ones((1, 20), bool), np.zeros((1, 20), bool)
    end[0, 0] = True
    assert hd95(line, end, (1, 0.5)) == pytest.approx(18.05 * 0.5)


def test_a_stray_pixel_in_a_hundred_is_forgiven_and_ten_are_not():
    square = np.zeros((60, 60), bool)
    square[5:45, 5:45] = True  # 156 surface pixels
    one, ten = square.copy(), square.copy()
    one[59, 59], ten[59, 50:60] = True, True
    assert hd95(one, square, (1, 1)) == 0
    assert hd95(ten, square, (1, 1)) > 10


def test_a_surface_is_what_touches_the_outside_across_an_edge():
    mask = np.ones((4, 5), bool)
    mask[0, 0] = False  # touches pixel (1, 1) by a corner alone
    assert surface(mask).astype(int).tolist() == [[0, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]


@given(flat_masks, flat_masks, spacings, spacings)
def test_2d_is_the_definition_over_all_pairs(predicted, truth, down, across):
    assume(predicted.any() and truth.any())
    spacing = (down, across)
    assert hd95(predicted, truth, spacing) == pytest.approx(all_pairs(predicted, truth, spacing), abs=1e-9)


@given(solid_masks, solid_masks, spacings, spacings)
def test_3d_is_the_definition_over_all_pairs(predicted, truth, slices, pixels):
    assume(predicted.any() and truth.any())
    spacing = (slices, pixels, pixels)
    assert hd95(predicted, truth, spacing) == pytest.approx(all_pairs(predicted, truth, spacing), abs=1e-9)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.3)])
@pytest.mark.parametrize("centre", [(30, 25), (4, 40), (59, 0)])  # inside, and cut by the border
def test_2d_agrees_with_monai(spacing, centre):
    predicted, truth = blob(centre, 11, (60, 50)), blob((28, 27), 9, (60, 50))
    truth[50:52, 3] = True
    assert hd95(predicted, truth, spacing) == pytest.approx(monai(predicted, truth, spacing), abs=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.8, 0.7)])
@pytest.mark.parametrize("centre", [(8, 20, 16), (0, 3, 30)])
def test_3d_agrees_with_monai(spacing, centre):
    predicted, truth = blob(centre, 7, (16, 40, 32)), blob((7, 22, 15), 6, (16, 40, 32))
    assert hd95(predicted, truth, spacing) == pytest.approx(monai(predicted, truth, spacing), abs=1e-4)


@given(flat_masks, flat_masks, spacings)
def test_it_is_symmetric_scales_with_the_pixels_and_does_not_see_the_frame(predicted, truth, step):
    assume(predicted.any() and truth.any())
    found = hd95(predicted, truth, (step, step))
    assert found == hd95(truth, predicted, (step, step))
    assert found == pytest.approx(step * hd95(predicted, truth, (1, 1)))
    assert found == pytest.approx(hd95(predicted.T, truth.T, (step, step)))
    wide = ((3, 8), (0, 5))
    assert found == pytest.approx(hd95(np.pad(predicted, wide), np.pad(truth, wide), (step, step)))
    assert hd95(truth, truth, (step, step)) == 0


def test_empty_masks_have_no_distance_and_a_missed_or_invented_one_is_infinitely_far():
    nothing, something = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert math.isnan(hd95(nothing, nothing, (1, 1)))
    assert hd95(nothing, something, (1, 1)) == hd95(something, nothing, (1, 1)) == math.inf


@pytest.mark.parametrize("spacing", [(0, 1), (1, -0.5), (math.nan, 1), (1, math.inf), (1,), (1, 1, 1)])
def test_a_spacing_that_cannot_be_is_refused_with_its_numbers_even_for_empty_masks(spacing):
    for mask in (np.eye(4, dtype=bool), np.zeros((4, 4), bool)):
        with pytest.raises(RadlibError, match=r"pixel spacing of \(.*\) mm .* give 2 positive finite numbers"):
            hd95(mask, mask, spacing)


@pytest.mark.parametrize(
    ("predicted", "truth", "sentence"),
    [
        (np.ones((4, 4), bool), np.ones((4, 5), bool), "no surface distance"),
        (np.ones(4, bool), np.ones(4, bool), "2-D or 3-D"),
        (np.ones((4, 4), int), np.ones((4, 4), bool), "type int64 and bool"),
    ],
)
def test_what_has_no_outline_is_refused_in_a_sentence(predicted, truth, sentence):
    with pytest.raises(RadlibError, match=sentence):
        hd95(predicted, truth, (1, 1))
