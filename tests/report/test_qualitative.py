"""Figure 3: which images are shown, and what is drawn of them."""

import csv

import numpy as np
import pytest
from PIL import Image

from radlib.errors import RadlibError
from radlib.report import experiment, qualitative, result


def counts(*dices):
    """One class of 100 true pixels a sample, as many predicted, so that Dice is as given; None: no true pixel."""
    return np.array([[[0, 0, 0]] if dice is None else [[round(100 * dice), 100, 100]] for dice in dices])


def picked(*dices):
    found = counts(*dices)
    return qualitative.pick(qualitative.image_dice(found), found[..., 2].any(axis=1))


def test_worst_median_and_best_are_those_of_the_score():
    assert picked(0.5, 0.9, 0.1, 0.7, 0.6) == {"worst": 2, "median": 4, "best": 1}


def test_images_without_foreground_are_passed_over():
    assert picked(None, 0.9, None, 0.1, 0.5) == {"worst": 3, "median": 4, "best": 1}
    invented = np.array([[[0, 40, 0]], [[50, 100, 100]], [[60, 100, 100]], [[70, 100, 100]]])  # Dice 0, nothing true
    dice = qualitative.image_dice(invented)
    assert dice[0] == 0
    assert qualitative.pick(dice, invented[..., 2].any(axis=1)) == {"worst": 1, "median": 2, "best": 3}


def test_equal_ones_come_in_file_order_and_none_is_shown_twice():
    assert picked(0.5, 0.5, 0.5, 0.5) == {"worst": 0, "median": 1, "best": 3}
    assert picked(0.5, 0.9, 0.1, 0.9) == {"worst": 2, "median": 0, "best": 3}  # of four the lower middle one


@pytest.mark.parametrize(
    "dices, places", [((0.3,), {"median": 0}), ((0.3, 0.2), {"worst": 1, "best": 0}), ((None, 0.3), {"median": 1})]
)
def test_fewer_than_three_images_are_shown_once_each(dices, places):
    assert picked(*dices) == places


def test_dice_of_an_image_is_the_mean_over_its_classes():
    two = np.array([[[50, 100, 100], [0, 0, 0]], [[50, 100, 100], [0, 10, 0]]])
    np.testing.assert_allclose(qualitative.image_dice(two), [0.5, 0.25])  # an invented class counts 0


@pytest.fixture
def ward(tmp_path):
    """A reader's own folder: 12 pictures, wider than high, with two organs."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "ward"
    folder.mkdir()
    lines = [("image", "mask", "patient", "split")]
    for k in range(12):
        split = "train" if k < 5 else "validation" if k < 7 else "test"
        picture, mask = rng.integers(0, 90, (40, 60)), np.zeros((40, 60))
        for number, left in ((1, 6), (2, 34)):
            picture[4 + k : 22 + k, left : left + 18] += 60 * number
            mask[4 + k : 22 + k, left : left + 18] = number
        for name, pixels in ((f"{k}.png", picture), (f"m{k}.png", mask)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
        lines.append((f"{k}.png", f"m{k}.png", f"secret{k}", split))
    with open(folder / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    (folder / "classes.csv").write_text("value,name\n1,liver\n2,spleen\n")
    return folder


def settings_of(ward, **changes):
    plain = dict(
        datasets=["manifest"], data_root=str(ward), backbones=["vits14_random"], image_size=28, learning_rates=[0.05],
        epochs=1, refit_epochs=3, batch_size=4, resamples=100, results_dir=str(ward.parent / "results"),
    )  # fmt: skip
    return qualitative.checked(**(plain | changes))


def test_a_sheet_shows_image_truth_and_both_decoders_with_their_dice(ward):
    settings = settings_of(ward)
    (dataset,) = experiment.open_datasets(settings)
    shown = qualitative.show(dataset, settings, progress=False)
    assert [case.place for case in shown.cases] == ["worst", "median", "best"]
    dice = [case.dice["unet_decoder"] for case in shown.cases]
    assert dice == sorted(dice)
    for case in shown.cases:
        assert case.row >= 7 and case.of == 5 and case.truth.shape == (40, 60)
        assert {mask.shape for mask in case.predicted.values()} == {(40, 60)}
        np.testing.assert_array_equal(case.truth, dataset.mask(case.row))
    figure = qualitative.sheet(shown)
    titles = [panel.get_title() for panel in figure.axes]
    assert len(titles) == 12 and titles[:2] == ["worst of 5\n", "\ntruth"]
    assert titles[2] == f"linear decoder\nDice {shown.cases[0].dice['linear']:.3f}"
    assert titles[11] == f"U-Net decoder\nDice {shown.cases[2].dice['unet_decoder']:.3f}"
    assert "secret" not in "".join(titles)  # a reader's own patients stay unnamed
    assert figure.axes[0].images and not figure.axes[0].collections and figure.axes[1].collections
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["liver", "spleen"]
    words = qualitative.in_words(shown)
    for case in shown.cases:
        assert f"the {case.place} image, Dice {case.dice['linear']:.2f}" in words
    found = [result.read(path) for path in shown.paths]
    assert [(one.table, one.protocol) for one in found] == [("figure3", "linear"), ("figure3", "unet_decoder")]
    assert qualitative.table_html([shown]).count("<tr>") == 4


def test_fifteen_organs_have_fifteen_strokes():
    strokes = {(qualitative._colour(k), qualitative._stroke(k)) for k in range(1, 16)}
    assert len(strokes) == 15


def test_other_segmenters_are_refused(ward):
    with pytest.raises(RadlibError, match="Parameter 'segmenters"):
        settings_of(ward, segmenters=["linear", "unet_decoder", "unet"])
