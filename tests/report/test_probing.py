import csv
import re
import shutil

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from radlib import paper
from radlib.errors import RadlibError
from radlib.models import backbones, own_weights
from radlib.report import (
    account,
    blocks,
    comparison,
    experiment,
    few_shot,
    leaderboard,
    plots,
    probing,
    result,
    run_summary,
)


def measure(clinic, **changes):
    given = dict(
        datasets=["manifest"],
        data_root=str(clinic),
        backbones=["efficientnet_lite0"],
        image_size=32,
        epochs=5,
        resamples=200,
        results_dir=str(clinic.parent / "results"),
        controls=False,
    )
    run = probing.checked(**(given | changes))
    (cohort,) = experiment.open_datasets(run)
    return probing.probe_backbones(cohort, run, progress=False)


def test_images_become_results_that_scikit_learn_confirms(clinic):
    paths = measure(clinic)
    assert [path.stem.rpartition("__")[0] for path in paths] == [
        "clinic__efficientnet_lite0__linear_probe__32px",
        "clinic__efficientnet_lite0__logistic_regression__32px",
    ]
    for path in paths:
        found, arrays = result.read(path), result.read_predictions(path)
        assert found.value == pytest.approx(roc_auc_score(arrays["labels"], arrays["scores"][:, 1]))
        assert (found.data.origin, found.n_images, found.n_patients) == ("own", 8, 4)
        assert found.data.patients == {"train": 8, "validation": 3, "test": 4}
        assert found.versions["torch"] and found.device


def test_the_same_seed_gives_the_same_numbers(clinic):
    first = [result.read(path) for path in measure(clinic)]
    again = [result.read(path) for path in measure(clinic)]
    assert [found.value for found in first] == [found.value for found in again]
    assert [found.predictions_sha256 for found in first] == [found.predictions_sha256 for found in again]
    assert again[0].seconds["images_encoded"] == 0


@pytest.fixture
def checkpoints(tmp_path):
    """Two networks of other weights in files of one name."""
    for seed, folder in enumerate(("runA", "runB")):
        torch.manual_seed(seed)
        (tmp_path / folder).mkdir()
        torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), tmp_path / folder / "checkpoint.pth")
    return [f"file:{tmp_path}/{folder}/checkpoint.pth=resnet18" for folder in ("runA", "runB")]


def test_two_checkpoints_of_one_name_are_two_rows_everywhere(clinic, checkpoints):
    paths = measure(clinic, backbones=checkpoints, controls=True)
    found = [result.read(path) for path in paths]
    probes = [path for path, each in zip(paths, found, strict=True) if not each.control]
    assert len(set(paths)) == 5 and len({result.read(path).backbone.weights_sha256 for path in probes}) == 2
    titles = ["runA/checkpoint.pth (resnet18)", "runB/checkpoint.pth (resnet18)"]
    rows = comparison.rows(paper.table("table04"), found[0].data, result.published("table04"), found)
    assert [row.title for row in rows if row.method != comparison.CONTROL] == titles
    assert [tick.get_text() for tick in plots.auroc_intervals(rows).axes[0].get_yticklabels()][:2] == titles
    tables = [
        comparison.table_html(rows, "t"),
        blocks.inside_html(paths),
        account.provenance_html(found, "this run"),
        leaderboard.table_html(leaderboard.at_hand([clinic.parent / "results"]), "own"),
        run_summary.in_words(paths),
    ]
    for shown in tables:
        assert all(title in shown for title in titles)
    assert titles[1] in blocks.differences_html(paths, [["linear_probe"]])
    assert {each.get_label() for each in plots.reliability(probes).axes[0].lines} >= set(titles)


def test_a_later_run_with_another_checkpoint_of_that_name_keeps_the_first(clinic, checkpoints, tmp_path):
    for name in checkpoints:
        measure(clinic, backbones=[name], protocols="linear_probe")
    entries = [each for each in leaderboard.at_hand([tmp_path / "results"]) if each.kind == "own"]
    assert [each.row for each in entries] == ["checkpoint.pth (resnet18)"] * 2
    assert len({each.note for each in entries}) == 2 and all("weights " in each.note for each in entries)


def test_few_shot_rows_of_two_checkpoints_of_one_name_are_two_lines(clinic, checkpoints):
    given = dict(datasets=["manifest"], data_root=str(clinic), backbones=checkpoints, image_size=32, epochs=2)
    run = few_shot.checked(**given, resamples=100, draws=2, shots=[1], results_dir=str(clinic.parent / "results"))
    paths = few_shot.measure(*experiment.open_datasets(run), run, progress=False)
    html = blocks.shots_html(paths, "t")
    assert [html.count(f'<th scope="row">{run}/checkpoint.pth') for run in ("runA", "runB")] == [1, 1]
    legend = plots.few_shot([result.read(path) for path in paths]).axes[0].get_legend()
    assert [text.get_text().partition("/")[0] for text in legend.get_texts()] == ["runA", "runB"]


def test_one_checkpoint_under_two_names_is_refused_before_any_image_is_encoded(clinic, checkpoints, monkeypatch):
    copy = checkpoints[0].replace("runA/checkpoint", "runA/copy")
    shutil.copy(*(own_weights.parts(name)[0] for name in (checkpoints[0], copy)))
    monkeypatch.setattr(probing.features, "extract", lambda *_, **__: pytest.fail("an image was encoded"))
    with pytest.raises(RadlibError, match=r"copy\.pth is a copy of .*checkpoint\.pth; name only one of them"):
        measure(clinic, backbones=[checkpoints[0], copy])


def test_a_backbone_named_twice_is_one_row(clinic):
    assert len(measure(clinic, backbones=["efficientnet_lite0"] * 2, protocols="linear_probe")) == 1


def test_folders_of_one_name_keep_their_results_apart(clinic, tmp_path):
    """Same pictures, same split, other labels; then other pictures; all in folders called ``export``."""
    text = (clinic / "manifest.csv").read_text()
    for site, change in (("a", {}), ("b", {"well": "sick", "sick": "well"}), ("c", {})):
        shutil.copytree(clinic, tmp_path / site / "export")
        words = re.sub("well|sick", lambda word, change=change: change.get(word[0], word[0]), text)
        (tmp_path / site / "export" / "manifest.csv").write_text(words)
    Image.new("L", (40, 40), 9).save(tmp_path / "c/export/0.png")
    paths = [measure(tmp_path / site / "export", results_dir=str(tmp_path / "results"))[0] for site in "abca"]
    assert len(set(paths)) == 3 and paths[0] == paths[3]
    found = [result.read(path) for path in paths[:3]]
    assert len(result.datasets(found)) == 3
    entries = [each for each in leaderboard.at_hand([tmp_path / "results"]) if each.kind == "own"]
    assert len(entries) == 6 and len({each.dataset for each in entries}) == 3
    assert all(each.dataset.startswith("export, ") for each in entries)
    assert set(leaderboard.places(entries)) <= {"1", "2", "2 ≈"}, "a ladder for each"
    boxes = re.findall("<summary>(.*?)</summary>", account.provenance_html(found, "own"))
    assert len(set(boxes)) == 3
    for data in result.datasets(found):
        rows = comparison.rows(paper.table("table04"), data, [], found)
        assert [row.this_run.data for row in rows] == [data]
    assert len({chip for chip in re.findall(r"export[^<:]*:", account.status_html(found))}) == 3


def test_slices_of_a_study_are_one_case(clinic):
    rows = list(csv.reader((clinic / "manifest.csv").read_text().splitlines()))
    with open(clinic / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([[*rows[0], "study"], *([*row, row[1]] for row in rows[1:])])
    found, arrays = (read(measure(clinic)[0]) for read in (result.read, result.read_predictions))
    assert (found.unit, found.n_images, found.n_patients) == ("study", 4, 4)
    assert found.data.images == {"train": 16, "validation": 6, "test": 8}
    assert found.value == pytest.approx(roc_auc_score(arrays["labels"], arrays["scores"][:, 1]))


def put_in_test(clinic, *rows):
    """Split by hand: twenty pictures to train, eight to validation, `rows` of (image, patient, label) to test."""
    rest = [(f"{k}.png", f"p{k}", "sick" if k % 2 else "well", "train" if k < 20 else "validation") for k in range(28)]
    with open(clinic / "manifest.csv", "w", newline="") as file:
        lines = [("image", "patient", "label", "split"), *rest, *((*row, "test") for row in rows)]
        csv.writer(file).writerows(lines)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"epochs": "ten"}, "Parameter 'epochs' is 'ten': a whole number is wanted"),
        ({"epochs": 0}, "Parameter 'epochs' is 0"),
        ({"image_size": 100_000}, "Parameter 'image_size' is 100000"),
        ({"datasets": []}, "Parameter 'datasets' is"),
        ({"protocols": []}, "Parameter 'protocols' is"),
        ({"results_dir": "/proc/none"}, "Results cannot be written to /proc/none/table04"),
        ({"seed": -1}, "Parameter 'seed' is -1"),
        ({"resamples": 3}, "Parameter 'resamples' is 3"),
        ({"backbones": ["dinov2_vits"]}, "no backbone called 'dinov2_vits'; did you mean 'dinov2_vits14'"),
        ({"datasets": "brain_tumour"}, "no dataset called 'brain_tumour'; did you mean 'brain_tumor'"),
        ({"protocols": ["lora"]}, "Parameter 'protocols.0' is 'lora'"),
        ({"device": "gpu"}, "no device called 'gpu'"),
        ({"image_size": 225, "backbones": "vits14_random"}, "225 is not a multiple of the patch size 14.*224 and 238"),
        ({"protocol": "theirs"}, "Parameter 'protocol' is 'theirs'"),
        ({"datasets": "amos"}, "Dataset 'amos' has masks and no labels"),
        ({"split_file": "s.csv", "datasets": ["manifest", "chexpert"]}, "'split_file' is of one dataset"),
        ({"split_file": "/none/s.csv"}, "There is no /none/s.csv"),
        ({"data_root": "/nowhere"}, "/nowhere does not exist"),
    ],
)
def test_a_wrong_parameter_is_told_before_anything_is_computed(clinic, changes, sentence):
    with pytest.raises(RadlibError, match=sentence):
        measure(clinic, **changes)
    assert not (clinic.parent / "results").exists()


def test_a_single_class_in_test_is_told_before_any_image_is_encoded(clinic, monkeypatch):
    put_in_test(clinic, ("28.png", "p28", "sick"), ("29.png", "p29", "sick"))
    monkeypatch.setattr(probing.features, "extract", lambda *_, **__: pytest.fail("an image was encoded"))
    with pytest.raises(RadlibError, match="All 2 images of the test split carry the same label"):
        measure(clinic)


def test_one_patient_in_test_is_told_before_any_image_is_encoded(clinic, monkeypatch):
    put_in_test(clinic, ("28.png", "p28", "sick"), ("29.png", "p28", "well"))
    monkeypatch.setattr(probing.features, "extract", lambda *_, **__: pytest.fail("an image was encoded"))
    with pytest.raises(RadlibError, match="one patient is in test"):
        measure(clinic)


def test_rows_without_relatives_are_left_out_when_too_few_patients_remain(clinic, capsys):
    put_in_test(clinic, ("28.png", "p28", "sick"), ("29.png", "p3B", "well"))
    assert [result.read(path).scored for path in measure(clinic, protocols="linear_probe")] == ["all"]
    assert "rows without relatives are left out" in capsys.readouterr().out


def test_weights_that_cannot_be_had_are_told_before_any_image_is_encoded(clinic, monkeypatch):
    def offline(timm_name):
        raise RadlibError(f"The weights of '{timm_name}' are not in the local hub cache.")

    monkeypatch.setattr(backbones.hub, "weights_file", offline)
    monkeypatch.setattr(probing.features, "extract", lambda *_, **__: pytest.fail("an image was encoded"))
    with pytest.raises(RadlibError, match=r"vit_small_patch14_dinov2\.lvd142m' are not"):
        measure(clinic, backbones=["efficientnet_lite0", "dinov2_vits14"], image_size=224)


def test_relatives_in_train_are_scored_apart(clinic):
    text = (clinic / "manifest.csv").read_text().replace(",p0,", ",p14B,")  # p0 is in test, p14 in train
    (clinic / "manifest.csv").write_text(text)
    found = [result.read(path) for path in measure(clinic, protocols="linear_probe")]
    assert [(each.scored, each.n_images) for each in found] == [("all", 8), ("without relatives", 6)]
    rows = [result.read_predictions(path)["rows"] for path in measure(clinic, protocols="linear_probe")]
    assert set(rows[1]) == set(rows[0]) - {0, 1}
    assert np.isfinite(found[1].value)
