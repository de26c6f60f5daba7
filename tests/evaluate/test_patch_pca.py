"""Figure 1's arithmetic against scikit-learn's PCA, a brute-force Otsu, and what must not change a picture."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA

from radlib.errors import RadlibError
from radlib.evaluate import otsu, principal_components
from radlib.evaluate.patch_pca import border_of, less_of_the_border, picture

FITTINGS = ("centred", "joint", "single")


def scans(n=3, h=9, w=7, width=12, seed=0, offset=0.0):
    """Images with a body in the middle of two organs, on a background of its own; `offset` sets images apart."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(4, width))
    tokens = 0.3 * rng.normal(size=(n, h, w, width)) - 4 * directions[0]
    tokens[:, 2:-2, 1:-1] += 8 * directions[0]
    tokens[:, 2:4, 1:-1] += 3 * directions[1]
    tokens[:, 4:6, 1:3] += 2 * directions[2]
    tokens += offset * rng.normal(size=(n, 1, 1, width))
    body = np.zeros((n, h, w), dtype=bool)
    body[:, 2:-2, 1:-1] = True
    return tokens, body


def close(one, other):
    assert np.array_equal(one.foreground, other.foreground)
    np.testing.assert_allclose(one.rgb, other.rgb, atol=1e-7)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-7)


# -- principal components ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 8), (9, 30)])  # more patches than dimensions, and fewer
def test_components_are_scikit_learns_but_for_the_sign(shape):
    x = np.random.default_rng(1).normal(size=shape) * np.linspace(3, 1, shape[1]) + 5
    mine, theirs = principal_components.fit(x, 3), PCA(3, svd_solver="full").fit(x)
    np.testing.assert_allclose(mine.explained, theirs.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(np.abs((mine.axes * theirs.components_).sum(axis=1)), 1, rtol=1e-9)
    np.testing.assert_allclose(np.abs(mine.scores(x)), np.abs(theirs.transform(x)), atol=1e-8)


@given(st.integers(0, 2**32 - 1))
def test_every_component_has_its_longer_tail_above_zero(seed):
    x = np.random.default_rng(seed).gamma(2, size=(60, 6))
    scores = principal_components.fit(x, 3).scores(x)
    assert ((scores**3).mean(axis=0) > 0).all()


def test_with_tails_alike_the_farthest_score_is_positive():
    symmetric = np.array([[-2.0], [-2.0], [2.0], [2.0]])
    assert principal_components.turns(symmetric) == -1.0  # the first of the farthest is at -2
    assert principal_components.turns(-symmetric) == 1.0


@pytest.mark.parametrize(
    "x, sentence",
    [
        (np.eye(3), "3 components need more than 3 patches and there are 3"),
        (np.ones((9, 5)), "All patches have the same token"),
        (np.random.default_rng(0).normal(size=(9, 2)), "tokens are 2 wide"),
        (np.full((9, 5), np.nan), "NaN or infinite"),
    ],
)
def test_what_has_no_components_is_refused(x, sentence):
    with pytest.raises(RadlibError, match=sentence) as told:
        principal_components.fit(x, 3)
    assert "\n" not in str(told.value)


# -- Otsu ----------------------------------------------------------------------------------------------------------


def variance_within(values, cut):
    below, above = values[values <= cut], values[values > cut]
    return sum(len(part) * part.var() for part in (below, above) if len(part))


@given(hnp.arrays(np.float64, st.integers(2, 40), elements=st.integers(-50, 50).map(lambda n: n / 4)))
def test_otsu_leaves_least_variance_within_of_all_thresholds(values):
    assume(len(np.unique(values)) > 1)
    cut = otsu.threshold(values)
    tried = [variance_within(values, here) for here in np.unique(values)[:-1]]
    assert variance_within(values, cut) <= min(tried) + 1e-9
    assert values.min() <= cut < values.max()


def test_otsu_lies_half_way_between_two_groups():
    assert otsu.threshold([0, 0, 1, 9, 10, 10]) == 5.0


def test_otsu_parts_two_neighbouring_floats():
    low = 1.0
    high = np.nextafter(low, 2)
    cut = otsu.threshold([low, high])
    assert low <= cut < high


def test_otsu_of_one_value_is_refused():
    with pytest.raises(RadlibError, match="All patches have the same score"):
        otsu.threshold(np.full(5, 0.1))


# -- the picture ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fitting", FITTINGS)
def test_the_body_is_found_without_being_told(fitting):
    tokens, body = scans()
    found = picture(tokens, fitting)
    assert np.array_equal(found.foreground, body)
    assert (found.rgb[~body] == 0).all() and found.rgb.min() >= 0 and found.rgb.max() <= 1
    assert np.isnan(found.scores[~body]).all() and np.isfinite(found.scores[body]).all()
    assert len(found.fits) == (3 if fitting == "single" else 1)


def test_the_joint_picture_is_two_of_scikit_learns_pcas():
    tokens, body = scans()
    found, (fit,) = picture(tokens, "joint"), picture(tokens, "joint").fits
    flat = tokens.reshape(-1, tokens.shape[-1])
    first = PCA(3, svd_solver="full").fit(flat)
    np.testing.assert_allclose(np.abs(found.first.ravel()), np.abs(first.transform(flat)[:, 0]), atol=1e-8)
    np.testing.assert_allclose(fit.first.explained, first.explained_variance_ratio_, rtol=1e-8)
    second = PCA(3, svd_solver="full").fit(tokens[body])
    scores = second.transform(tokens[body])
    np.testing.assert_allclose(np.abs(found.scores[body]), np.abs(scores), atol=1e-8)
    np.testing.assert_allclose(fit.second.explained, second.explained_variance_ratio_, rtol=1e-8)
    mine = found.scores[body]
    low, high = np.percentile(mine, (2, 98), axis=0)
    np.testing.assert_allclose(found.rgb[body], np.clip((mine - low) / (high - low), 0, 1), atol=1e-12)


def test_the_single_picture_is_that_of_each_image_alone():
    tokens, _ = scans(offset=3)
    together = picture(tokens, "single")
    for k, image in enumerate(tokens):
        alone = picture([image], "joint")
        np.testing.assert_array_equal(together.rgb[k], alone.rgb[0])
        assert together.fits[k].threshold == alone.fits[0].threshold


@pytest.mark.parametrize("fitting", FITTINGS)
@given(seed=st.integers(0, 2**32 - 1))
def test_tokens_turned_round_give_the_same_picture(fitting, seed):
    tokens, _ = scans(seed=seed)
    close(picture(tokens, fitting), picture(-tokens, fitting))


@pytest.mark.parametrize("fitting", FITTINGS)
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(3)))
def test_images_in_another_order_give_the_pictures_in_that_order(fitting, seed, order):
    tokens, _ = scans(seed=seed, offset=0.5)
    found, other = picture(tokens, fitting), picture(tokens[list(order)], fitting)
    assert np.array_equal(found.foreground[list(order)], other.foreground)
    np.testing.assert_allclose(found.rgb[list(order)], other.rgb, atol=1e-7)


@pytest.mark.parametrize("fitting", FITTINGS)
def test_neither_rotated_nor_shifted_token_space_changes_a_picture(fitting):
    tokens, _ = scans()
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))[0]
    close(picture(tokens, fitting), picture(tokens @ rotation + 3, fitting))


@given(seed=st.integers(0, 2**32 - 1))
def test_centred_an_offset_of_a_whole_image_changes_nothing(seed):
    tokens, _ = scans(seed=seed)
    offsets = 20 * np.random.default_rng(seed).normal(size=(3, 1, 1, 12))
    close(picture(tokens, "centred"), picture(tokens + offsets, "centred"))


def test_fitted_jointly_an_offset_tells_the_images_apart_instead():
    apart, _ = scans(offset=20)
    found = picture(apart, "joint")
    assert any(image.all() or not image.any() for image in found.foreground), "whole images are parted, not bodies"
    everything = picture(apart, "joint", threshold=float(found.first.min()), side="above")
    assert everything.fits[0].between > 0.9
    assert picture(scans()[0], "joint").fits[0].between < 0.05


def test_one_image_lies_between_no_others():
    assert picture(scans()[0], "single").fits[0].between == pytest.approx(0, abs=1e-12)


# -- what can be overridden ----------------------------------------------------------------------------------------


def test_threshold_and_side_can_be_given():
    tokens, body = scans()
    low = picture(tokens).fits[0].threshold
    assert np.array_equal(picture(tokens, side="below").foreground, ~body)
    moved = picture(tokens, threshold=low + 1)
    assert moved.fits[0].threshold == low + 1
    assert np.array_equal(moved.foreground, moved.first > low + 1)


def test_the_side_with_less_of_the_border_is_the_body():
    above = np.zeros((2, 5, 5), dtype=bool)
    above[:, 1:-1, 1:-1] = True
    assert (less_of_the_border(above), less_of_the_border(~above)) == ("above", "below")
    half = np.zeros((1, 4, 5), dtype=bool)  # border shared equally: the smaller side
    half[0, :2] = True
    half[0, 2, 2] = True
    assert (less_of_the_border(half), less_of_the_border(~half)) == ("below", "above")


def test_the_border_is_the_outermost_ring():
    assert border_of(4, 5).sum() == 14 and not border_of(4, 5)[1:-1, 1:-1].any()
    assert border_of(2, 3).all() and border_of(1, 1).all()


def test_a_flip_turns_one_colour_round():
    tokens, body = scans()
    found, flipped = picture(tokens), picture(tokens, flips=[2])
    np.testing.assert_allclose(flipped.scores[..., 1], -found.scores[..., 1])
    np.testing.assert_allclose(flipped.rgb[body][:, 1], 1 - found.rgb[body][:, 1], atol=1e-9)
    np.testing.assert_array_equal(flipped.rgb[..., [0, 2]], found.rgb[..., [0, 2]])


def test_two_deviations_about_the_mean_become_0_and_1():
    tokens, body = scans()
    found = picture(tokens, scaling="deviation")
    scores = found.scores[body]
    expected = np.clip(0.5 + (scores - scores.mean(axis=0)) / (4 * scores.std(axis=0)), 0, 1)
    np.testing.assert_allclose(found.rgb[body], expected, atol=1e-12)


def test_more_components_leave_the_first_three_and_their_colours():
    tokens, _ = scans()
    three, six = picture(tokens), picture(tokens, k=6)
    np.testing.assert_allclose(three.rgb, six.rgb, rtol=0, atol=1e-12)  # the last bit moves with the machine
    assert six.scores.shape[-1] == 6


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"threshold": 1e6}, "Threshold 1e\\+06 lies outside component 1, which runs from"),
        ({"side": "left"}, "Side 'left' is neither"),
        ({"flips": [4]}, "no component 4 to flip; components are 1 to 3"),
        ({"scaling": "max"}, "Scaling 'max' is neither"),
        ({"percentiles": (98, 2)}, "do not rise between 0 and 100"),
        ({"fitting": "both"}, "Fitting 'both' is none of"),
        ({"k": 2}, "2 components cannot become three colours"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(options, sentence):
    with pytest.raises(RadlibError, match=sentence) as told:
        picture(scans()[0], **options)
    assert "\n" not in str(told.value)


def test_images_of_two_sizes_are_refused():
    tokens, _ = scans()
    with pytest.raises(RadlibError, match="Images 1 and 3 differ: 9 x 7 patches of width 12 and 8 x 7 patches"):
        picture([tokens[0], tokens[1], tokens[2][:8]])
    with pytest.raises(RadlibError, match="Tokens of image 1 have shape"):
        picture([tokens[0].reshape(63, 12)])
    with pytest.raises(RadlibError, match="no image to colour"):
        picture([])


def test_fewer_patches_than_components_are_refused():
    with pytest.raises(RadlibError, match="3 components need more than 3 patches and there are 2"):
        picture(scans()[0][:1, :1, :2])


def test_an_empty_foreground_is_refused():
    tokens, _ = scans()
    highest = np.sort(picture(tokens).first.ravel())
    with pytest.raises(RadlibError, match="Only 2 patches lie above threshold.*take the other side"):
        picture(tokens, threshold=float(highest[-3]), side="above")


def test_identical_patches_are_refused():
    with pytest.raises(RadlibError, match="All patches have the same token"):
        picture(np.ones((2, 4, 4, 5)))


def test_half_precision_is_widened_before_anything_is_summed():
    tokens, _ = scans()
    np.testing.assert_array_equal(
        picture(tokens.astype(np.float16)).rgb, picture(tokens.astype(np.float16).astype(np.float64)).rgb
    )
