"""Few-shot, fine-tuning, large images and controls, from a folder of pictures to Results."""

import csv

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from radlib.errors import RadlibError
from radlib.report import experiment, few_shot, fine_tuning, probing, recording, result, sam


def given(clinic, **changes):
    plain = dict(
        datasets=["manifest"], data_root=str(clinic), backbones=["efficientnet_lite0"], image_size=32, epochs=5,
        resamples=200, results_dir=str(clinic.parent / "results"),
    )  # fmt: skip
    return plain | changes


def opened(settings):
    (dataset,) = experiment.open_datasets(settings)
    return dataset


def reads(paths):
    return [result.read(path) for path in paths]


@pytest.fixture
def described(clinic):
    """The clinic with ages, sexes and two sizes of pictures; size tells who is sick."""
    rows = list(csv.reader((clinic / "manifest.csv").read_text().splitlines()))
    lines = [[*rows[0], "age", "sex"]]
    for k, row in enumerate(rows[1:]):
        lines.append([*row, str(20 + 2 * k), "FM"[k % 2]])
        if row[2] == "sick":
            Image.open(clinic / row[0]).resize((60, 60)).save(clinic / row[0])
    with open(clinic / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return clinic


def test_controls_stand_last_and_know_what_they_should(described):
    settings = probing.checked(**given(described, protocols="linear_probe", controls=True))
    found = reads(probing.probe_backbones(opened(settings), settings, progress=False))
    assert [each.control for each in found] == ["", "shuffled labels", "shortcut"]
    shuffled, shortcut = found[1:]
    assert len(shuffled.draws) == probing.SHUFFLES and shuffled.value == pytest.approx(np.mean(shuffled.draws))
    assert shuffled.interval.unit == "patient and draw"
    assert shuffled.interval.low <= 0.5 <= shuffled.interval.high
    assert shortcut.value == 1  # the size of a picture alone tells who is sick
    assert shortcut.hyperparameters["columns"] == ["image height", "image width", "age", "sex F", "sex M"]
    assert shortcut.backbone.id == "acquisition"


def test_groups_are_kept_by_position_and_hold_no_age(described):
    settings = probing.checked(**given(described, protocols="linear_probe", controls=False))
    (path,) = probing.probe_backbones(opened(settings), settings, progress=False)
    found, arrays = result.read(path), result.read_predictions(path)
    assert found.groups["sex"] == ("F", "M") and found.groups["age"] == recording.AGE_BANDS
    ages = np.array([20 + 2 * row for row in arrays["rows"]])
    np.testing.assert_array_equal(arrays["group_age"], np.digitize(ages, [40, 60]))
    assert set(arrays) == {"rows", "labels", "patients", "scores", "group_sex", "group_age"}


def test_all_frozen_protocols_are_rows(clinic):
    protocols = ["knn", "weighted_knn", "linear_probe", "logistic_regression"]
    settings = probing.checked(**given(clinic, protocols=protocols, neighbours=3, controls=False))
    found = reads(probing.probe_backbones(opened(settings), settings, "table05", progress=False))
    assert [each.protocol for each in found] == protocols
    assert [each.trainable_parameters for each in found] == [None, None, 2 * 1281, 2 * 1281]
    assert all(each.peak_memory_mb > 50 and each.table == "table05" for each in found)


def test_few_shot_means_over_draws_and_keeps_each(clinic):
    settings = few_shot.checked(**given(clinic, shots=[1, 2], draws=3))
    paths = few_shot.measure(opened(settings), settings, progress=False)
    found = reads(paths)
    assert [each.shots for each in found] == [1, 2, None]
    assert [len(each.draws) for each in found] == [3, 3, 0]
    arrays = result.read_predictions(paths[0])
    areas = [roc_auc_score(arrays["labels"], one[:, 1]) for one in arrays["scores"]]
    assert found[0].draws == pytest.approx(areas) and found[0].value == pytest.approx(np.mean(areas))
    assert found[2].name == f"clinic__efficientnet_lite0__few_shot__32px__all_patients__{found[2].cell}"


def test_more_shots_than_patients_is_one_sentence_and_the_papers_are_cut(clinic, capsys):
    settings = few_shot.checked(**given(clinic, shots=[1, 50]))
    with pytest.raises(
        RadlibError, match="50 patients a class are asked for in 'shots'.*the most of those asked for is 1"
    ):
        few_shot.measure(opened(settings), settings, progress=False)
    settings = few_shot.checked(**given(clinic, draws=1))
    found = reads(few_shot.measure(opened(settings), settings, progress=False))
    assert [each.shots for each in found] == [1, 2, None]
    assert "no 4, 8, 16 patients a class" in capsys.readouterr().out


def test_fine_tuning_stands_beside_the_probe_and_is_not_done_twice(clinic, monkeypatch):
    changes = dict(protocols="linear_probe", methods=["bitfit"], tuned_epochs=2, batch_size=8, controls=False)
    settings = fine_tuning.checked(**given(clinic, **changes))
    dataset = opened(settings)
    found = reads(fine_tuning.measure(dataset, settings, "table08", progress=False))
    assert [each.protocol for each in found] == ["linear_probe", "bitfit"]
    tuned = found[1]
    assert tuned.chosen["epoch"] in (1, 2) and tuned.seconds["fit"] > 0 and tuned.peak_memory_mb > 50
    assert tuned.trainable_parameters > found[0].trainable_parameters
    monkeypatch.setattr("radlib.evaluate.fine_tune._Run.train", lambda *_: pytest.fail("trained again"))
    again = reads(fine_tuning.measure(dataset, settings, "table08", progress=False))
    assert again[1].predictions_sha256 == tuned.predictions_sha256


def test_tuning_may_see_smaller_images_than_the_frozen_rows(clinic):
    changes = dict(protocols="linear_probe", methods="fine_tune", tuned_epochs=1, tuned_image_size=32, image_size=48)
    settings = fine_tuning.checked(**given(clinic, **changes, controls=False))
    found = reads(fine_tuning.measure(opened(settings), settings, "table05", progress=False))
    assert [each.backbone.image_size for each in found] == [48, 32]


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"methods": "lora"}, "LoRA adds to attention layers and 'efficientnet_lite0' has none"),
        ({"methods": "prefix"}, "Parameter 'methods.0' is 'prefix'"),
        ({"backbone_rate": -1}, "Parameter 'backbone_rate' is -1"),
        (
            {"tuned_image_size": 100, "backbones": "vits14_random", "image_size": 28},
            "100 is not a multiple of the patch",
        ),
    ],
)
def test_wrong_parameters_of_tuning_are_told(clinic, changes, sentence):
    with pytest.raises(RadlibError, match=sentence):
        fine_tuning.checked(**given(clinic, **changes))


def test_large_images_fit_each_backbone_and_are_sampled(clinic):
    settings = sam.checked(
        **given(clinic, backbones=["vits14_random", "efficientnet_lite0"], image_size=40, samples=20, controls=False)
    )
    found = reads(sam.measure(opened(settings), settings, progress=False))
    sizes = {each.backbone.id: each.backbone.image_size for each in found}
    assert sizes == {"vits14_random": 28, "efficientnet_lite0": 40}
    assert sum(found[0].data.images.values()) == 20
    assert "20 of its 30 images, sampled systematically" in found[0].data.note
    assert sam.sizes_in_words(settings) == "vits14_random 28 px, efficientnet_lite0 40 px"


def test_sam_takes_its_own_size_only_and_dinov2_the_nearest_below(clinic):
    assert (sam.fitting_size("sam_vitl16", 1024), sam.fitting_size("dinov2_vitl14", 1024)) == (1024, 1022)
    with pytest.raises(RadlibError, match="'sam_vitl16' takes images of 1024 px only, not 512"):
        sam.checked(**given(clinic, backbones="sam_vitl16", image_size=512))


def test_a_dataset_that_cannot_be_opened_is_named_and_the_others_run(clinic, capsys):
    settings = probing.checked(**given(clinic, datasets=["chexpert", "manifest"]))
    assert [dataset.name for dataset in experiment.open_datasets(settings)] == ["manifest"]
    assert "chexpert is left out: " in capsys.readouterr().out
    with pytest.raises(RadlibError, match="train.csv"):
        experiment.open_datasets(probing.checked(**given(clinic, datasets=["chexpert"])))


def test_a_class_that_train_lacks_is_named(clinic):
    rows = list(csv.reader((clinic / "manifest.csv").read_text().splitlines()))
    lines = [["image", "patient", "split", "rare", "common"]]
    for k, row in enumerate(rows[1:]):
        split = ("train", "train", "validation", "test")[k // 2 % 4]
        lines.append([row[0], row[1], split, str(int(split != "train" and k % 4 < 2)), str(k // 2 % 2)])
    with open(clinic / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    settings = probing.checked(**given(clinic))
    with pytest.raises(RadlibError, match="no image of the train split bears rare, so no head can learn it"):
        probing.probe_backbones(opened(settings), settings, progress=False)
