"""Few images with masks: which are drawn, how long they are trained on, and the Results that come of it."""

import csv
import math

import numpy as np
import pytest
from PIL import Image

from radlib.errors import RadlibError
from radlib.evaluate.overlap import pooled
from radlib.report import blocks, experiment, few_shot_masks, plots, result

TRAIN = 8


@pytest.fixture
def ward(tmp_path):
    """A reader's own folder: 14 pictures of 14 patients with a bright square that is the organ; three hold none."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "ward"
    folder.mkdir()
    lines = [("image", "mask", "patient", "split")]
    for k in range(14):
        split = "train" if k < TRAIN else "validation" if k < 10 else "test"
        picture, mask = rng.integers(0, 90, (40, 40)), np.zeros((40, 40))
        if k not in (2, 5, 13):
            top = 4 + k
            picture[top : top + 16, 8:26] += 120
            mask[top : top + 16, 8:26] = 1
        for name, pixels in ((f"{k}.png", picture), (f"m{k}.png", mask)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
        lines.append((f"{k}.png", f"m{k}.png", f"p{k}", split))
    with open(folder / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


def settings_of(ward, **changes):
    plain = dict(
        datasets=["manifest"], data_root=str(ward), backbones=["vits14_random"], segmenters=["unet_decoder"],
        image_size=28, learning_rates=[0.05], epochs=1, refit_epochs=2, batch_size=4, resamples=100,
        results_dir=str(ward.parent / "results"), draws=2,
    )  # fmt: skip
    return few_shot_masks.checked(**(plain | changes))


def opened(settings):
    (dataset,) = experiment.open_datasets(settings)
    return dataset


def test_the_first_draw_is_systematic_and_no_two_are_the_same():
    rows = np.array([3, 5, 8, 9, 11, 20])
    first, *others = few_shot_masks.draw_images(rows, 3, 5, seed=0)
    np.testing.assert_array_equal(first, [3, 8, 11])
    for drawn in others:
        assert len(set(drawn)) == 3 and set(drawn) <= set(rows) and list(drawn) == sorted(drawn)
    assert len({tuple(drawn) for drawn in (first, *others)}) == 5
    again = few_shot_masks.draw_images(rows, 3, 5, seed=0)
    assert all(np.array_equal(*pair) for pair in zip((first, *others), again, strict=True))


@pytest.mark.parametrize("images, sets", [(1, 4), (3, 4), (4, 1)])
def test_there_are_no_more_draws_than_sets(images, sets):
    assert len(few_shot_masks.draw_images(np.arange(4), images, 100, seed=0)) == sets == math.comb(4, images)


def test_images_without_foreground_are_not_drawn_and_all_is_all(ward):
    settings = settings_of(ward, draws=3)
    drawn = few_shot_masks.prepare(opened(settings), settings).drawn
    assert list(drawn) == [1, 2, 4, None]  # 8 of train, 6 with foreground
    assert [len(sets) for sets in drawn.values()] == [3, 3, 3, 1]
    some = np.concatenate([rows for number, sets in drawn.items() if number for rows in sets])
    assert not {2, 5} & set(some) and some.max() < TRAIN
    np.testing.assert_array_equal(drawn[None][0], np.arange(TRAIN))


def test_more_images_than_hold_foreground_is_one_sentence(ward):
    settings = settings_of(ward, images=[1, 7])
    with pytest.raises(RadlibError, match="7 training images are asked for in 'images', and 6 of the train split"):
        few_shot_masks.prepare(opened(settings), settings)


def test_few_images_get_as_many_steps_as_all(ward):
    settings = settings_of(ward, batch_size=8, epochs=50, refit_epochs=100)
    for images, passes in ((1, 9), (8, 9), (16, 5), (69, 1)):
        same = few_shot_masks.schedule(settings, True, images, 69, together=True)
        assert (same.epochs, same.refit_epochs) == (50 * passes, 100 * passes)
        assert same.refit_epochs * math.ceil(images / 8) >= 100 * 9
    plain = few_shot_masks.schedule(settings, False, 1, 69, together=True)
    assert (plain.epochs, plain.refit_epochs) == (50, 100)


def test_a_result_for_every_segmenter_and_number_with_every_draw(ward):
    settings = settings_of(ward, segmenters=["unet_decoder", "unet"], images=[1, 2], scratch_image_size=32)
    paths = few_shot_masks.measure(opened(settings), settings, progress=False)
    found = [result.read(path) for path in paths]
    assert [(one.protocol, one.shots, len(one.draws)) for one in found] == [
        ("unet_decoder", 1, 2), ("unet_decoder", 2, 2), ("unet_decoder", None, 0),
        ("unet", 1, 2), ("unet", 2, 2), ("unet", None, 0),
    ]  # fmt: skip
    assert [one.backbone.image_size for one in found] == [28] * 3 + [32] * 3
    assert all(one.table == "figure2_masks" and "few training images alone" in one.chosen_how for one in found)
    assert found[0].hyperparameters["refit_epochs"] == 4  # two steps a pass over all eight, and one over one
    assert [len(rows) for rows in found[1].hyperparameters["train_rows_by_draw"]] == [2, 2]
    counts = result.read_predictions(paths[0])["counts"]
    assert counts.shape == (2, 4, 1, 3)
    assert found[0].draws == pytest.approx([pooled(one).score for one in counts])
    assert found[0].value == pytest.approx(np.mean(found[0].draws))
    html = blocks.shots_html(paths, "Ward")
    assert '<th scope="col">1</th>' in html and '<th scope="col">All</th>' in html and "AUROC" not in html
    axes = plots.few_shot(found).axes[0]
    assert axes.get_xlabel() == "training images" and "Dice" in axes.get_ylabel()
    assert len(axes.get_legend().get_texts()) == 2


def test_nothing_is_trained_twice(ward, monkeypatch):
    settings = settings_of(ward, images=[2])
    before = few_shot_masks.measure(opened(settings), settings, progress=False)
    kept = [result.read(path).predictions_sha256 for path in before]
    monkeypatch.setattr("radlib.evaluate.segmentation._Run._fit", lambda *_: pytest.fail("trained again"))
    again = few_shot_masks.measure(opened(settings), settings, progress=False)
    assert [result.read(path).predictions_sha256 for path in again] == kept


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"segmenters": ["unet"], "scratch_image_size": 40}, "40"),
        ({"segmenters": ["unet"], "scratch_image_size": 16}, "At 16 px a network from scratch .* at least 32 px"),
        ({"image_size": 30}, "30 is not a multiple"),
        ({"images": [0]}, "Parameter 'images.0' is 0"),
        ({"datasets": ["brain_tumor"]}, "has labels and no masks"),
    ],
)
def test_wrong_parameters_are_told(ward, changes, sentence):
    with pytest.raises(RadlibError, match=sentence):
        settings_of(ward, **changes)


def test_a_panel_whose_images_are_missing_is_left_out(ward, capsys):
    here, away = settings_of(ward), settings_of(ward, datasets=["montgomery"])
    of_one, of_other = few_shot_masks.open_panels(here, away)
    assert [dataset.name for dataset in of_one] == ["manifest"] and of_other == []
    assert "montgomery is left out: " in capsys.readouterr().out
    assert few_shot_masks.open_panels(None, here)[0] == []
    with pytest.raises(RadlibError):
        few_shot_masks.open_panels(None, away)
    with pytest.raises(RadlibError, match="No dataset is named"):
        few_shot_masks.open_panels(None, None)
