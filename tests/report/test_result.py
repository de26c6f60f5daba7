import errno
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

from radlib import atomic
from radlib.errors import RadlibError
from radlib.report import result

SCORES = {"rows": np.arange(10), "scores": np.linspace(0, 1, 20).reshape(10, 2)}


def test_a_result_is_read_as_it_was_written(make, tmp_path):
    path = result.write(make(), SCORES, tmp_path)
    found = result.read(path)
    assert found.model_copy(update={"predictions_sha256": "0" * 64, "record_sha256": None}) == make()
    np.testing.assert_array_equal(result.read_predictions(path)["scores"], SCORES["scores"])
    assert result.paths(tmp_path, "table04") == [path]
    assert result.paths(tmp_path, "table05") == []


@given(value=st.floats(0, 1), one=st.floats(0, 1), other=st.floats(0, 1))
def test_numbers_survive_json_exactly(make, tmp_path_factory, value, one, other):
    folder = tmp_path_factory.mktemp("results")
    found = result.read(result.write(make(value, min(one, other), max(one, other)), SCORES, folder))
    assert (found.value, found.interval.low, found.interval.high) == (value, min(one, other), max(one, other))


@pytest.mark.parametrize(
    "field, value, sentence",
    [
        ("value", 1.2, "value: Input should be less than or equal to 1"),
        ("n_images", 0, "n_images: Input should be greater than 0"),
        ("scored", "some", "scored"),
        ("extra", 1, "extra: Extra inputs are not permitted"),
        ("interval", {"low": 0.9, "high": 0.1, "resamples": 1, "resamples_used": 1}, "low 0.9 is above high 0.1"),
        ("predictions_sha256", "xyz", "predictions_sha256"),
    ],
)
def test_a_wrong_field_is_named(make, tmp_path, field, value, sentence):
    path = result.write(make(), SCORES, tmp_path)
    record = json.loads(path.read_text())
    record[field] = value
    path.write_text(json.dumps(record))
    with pytest.raises(RadlibError, match=sentence):
        result.read(path)


def test_a_result_cut_short_is_told(make, tmp_path):
    path = result.write(make(), SCORES, tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RadlibError, match="delete the file and run its notebook again"):
        result.read(path)


def test_no_flipped_bit_of_a_result_changes_what_is_read(make, tmp_path):
    path = result.write(make(), SCORES, tmp_path)
    whole, first = path.read_bytes(), result.read(path)
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 300, replace=False):
        content = bytearray(whole)
        content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            assert result.read(path) == first, (place, "was read as something else")
        except RadlibError as error:
            assert str(path) in str(error) and "run its notebook again" in str(error)


def test_a_changed_number_is_told_and_a_result_without_a_sum_is_taken(make, tmp_path):
    path = result.write(make(0.75), SCORES, tmp_path)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "n_images": record["n_images"] + 1}))
    with pytest.raises(RadlibError, match="one of them was changed or the disk failed; delete the file"):
        result.read(path)
    path.write_text(json.dumps({**record, "record_sha256": None}))
    assert result.read(path).value == 0.75


def test_predictions_of_another_run_are_refused(make, tmp_path):
    path = result.write(make(), SCORES, tmp_path)
    beside = path.with_suffix(".safetensors")
    beside.write_bytes(beside.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RadlibError, match="is not what .* was computed from"):
        result.read_predictions(path)
    beside.unlink()
    with pytest.raises(RadlibError, match="cannot be read"):
        result.read_predictions(path)


def test_a_full_disk_leaves_no_half_result(make, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "replace", full)
    with pytest.raises(RadlibError, match="No space left on device"):
        result.write(make(), SCORES, tmp_path)
    assert not list(tmp_path.rglob("*.*"))


def of(make, **changes):
    """A Result as pages write them now, with a digest of its labels; `changes` are of it, its data or its weights."""
    plain = make()
    data = plain.data.model_copy(update={"truth_sha256": "e" * 64, "origin": "own", "dataset": "manifest"})
    parts = {"data": data, "backbone": plain.backbone}
    for name, part in parts.items():
        mine = {key: changes.pop(key) for key in list(changes) if key in type(part).model_fields}
        parts[name] = part.model_copy(update=mine)
    return plain.model_copy(update={**parts, **changes})


ANOTHER = [  # what makes a Result an answer to another question
    {"fingerprint": "1" * 64}, {"split_sha256": "2" * 64}, {"truth_sha256": "3" * 64}, {"classes": ("a", "c")},
    {"dataset": "brain_tumor"}, {"weights_sha256": "4" * 64}, {"id": "dinov2_vitb14"}, {"id": "timm:a_b"},
    {"id": "timm_a:b"}, {"image_size": 112}, {"runtime": "torch-bfloat16"}, {"protocol": "logistic_regression"},
    {"control": "shuffled labels"}, {"shots": 4}, {"scored": "without relatives"}, {"left_out": ("p1",)}, {"seed": 1},
    {"left_out": ("p 1",)}, {"preprocessing": "as the authors"}, {"hyperparameters": {"epochs": 3}},
]  # fmt: skip


def test_no_result_replaces_one_of_other_data_weights_or_settings(make, tmp_path):
    records = [of(make), *(of(make, **changes) for changes in ANOTHER)]
    paths = [result.write(each, SCORES, tmp_path) for each in records]
    assert len(set(paths)) == len(records) and result.paths(tmp_path, "table04") == sorted(paths)
    assert len({path.name.lower() for path in paths}) == len(records), "on a file system that ignores case"
    for path, each in zip(paths, records, strict=True):
        assert result.read(path).cell == each.cell and path.stem == each.name


def test_a_rerun_replaces_its_own_result(make, tmp_path):
    rerun = of(make, value=0.75, commit="later", device="another", versions={"torch": "3"}, chosen={"input": "cls4"},
               hyperparameters={"epochs": 100, "chosen": {"input": "cls4"}}, seconds={"fit": 9.0},
               title="ViT-S/14 of other words")  # fmt: skip
    first = result.write(of(make, hyperparameters={"epochs": 100, "chosen": {"input": "cls1"}}), SCORES, tmp_path)
    renamed = result.write(rerun, SCORES, tmp_path)
    assert renamed.stem.rpartition("__")[2] == first.stem.rpartition("__")[2]
    again = result.write(rerun.model_copy(update={"data": of(make).data}), SCORES, tmp_path)
    assert again == first and result.read(first).value == 0.75


@pytest.mark.parametrize("title", ["病院甲", "病院乙", "Ä", "ward", "a" * 255, "病" * 85, "..", "a/b", "x\ny", "-"])
def test_a_folder_of_any_name_gives_a_file_name(make, tmp_path, title):
    record = of(make)
    record = record.model_copy(update={"data": record.data.model_copy(update={"title": title})})
    path = result.write(record, SCORES, tmp_path)
    assert path.parent == tmp_path / "table04" and result.read(path).data.title == title
    assert path.name.startswith(title[:40].lower() + "__") == title.isalnum()


def test_a_name_says_what_it_can_to_a_reader(make):
    assert of(make, id="file:checkpoint=resnet18@0a1b2c3d", image_size=56).name.startswith(
        "brain_tumor__file_checkpoint_resnet18_0a1b2c3d__linear_probe__56px__"
    )


PUBLISHED = sorted(result.PUBLISHED.rglob("*.json"))


def areas(labels, scores):
    """AUROC of every class that test has and lacks, by scikit-learn."""
    if labels.ndim == 1 and scores.shape[1] == 2:
        return [roc_auc_score(labels, scores[:, 1])]
    hot = labels if labels.ndim == 2 else labels[:, None] == np.arange(scores.shape[1])
    return [roc_auc_score(*pair) for pair in zip(hot.T, scores.T, strict=True) if 0 < pair[0].sum() < len(hot)]


def _check_masks(found, counts):
    """Dice and Jaccard of each class over all pixels, by scikit-learn, a pixel of each kind weighed by its number."""
    by_draw = []
    for one in counts if counts.ndim == 4 else counts[None]:
        by_class = []
        for both, predicted, true in one.sum(axis=0, dtype=np.int64):
            weighed = {"sample_weight": [both, true - both, predicted - both]}
            pair = [1, 1, 0], [1, 0, 1]
            by_class.append((f1_score(*pair, **weighed) + jaccard_score(*pair, **weighed)) / 2)
        by_draw.append(np.mean(by_class))
    assert found.value == pytest.approx(np.mean(by_draw), abs=1e-9)
    assert found.interval.low <= found.value <= found.interval.high
    assert set(found.masks.by_scan) <= {"la_003", "la_010", "la_018", "la_023"}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_published_result_is_what_scikit_learn_makes_of_its_predictions(path):
    found, arrays = result.read(path), result.read_predictions(path)
    assert path.stem == found.name and path.parent.name == found.table, "the file that pages name below a number"
    assert not found.commit.endswith("+changes") and found.data.origin in ("paper", "own")
    assert len(arrays["rows"]) == found.n_images and len(np.unique(arrays["patients"])) == found.n_patients
    if found.masks is not None:
        _check_masks(found, arrays["counts"])
        return
    scores = arrays["scores"] if arrays["scores"].ndim == 3 else arrays["scores"][None]
    by_draw = [areas(arrays["labels"], one) for one in scores]
    assert found.value == pytest.approx(np.mean([np.mean(one) for one in by_draw]), abs=1e-9)
    known = [area for area in found.per_class.values() if area is not None]
    assert known == pytest.approx(np.mean(by_draw, axis=0), abs=1e-9)
    if found.control == "shuffled labels":
        assert found.interval.low <= 0.5 <= found.interval.high


def test_the_papers_brain_tumor_is_published_with_its_own_split():
    found = [result.read(path) for path in PUBLISHED if path.stem.startswith("brain_tumor")]
    assert {each.data.origin for each in found} == {"paper"}
    assert {each.n_images for each in found} == {1002, 857}
    assert {each.table for each in found} >= {"table04", "table05", "figure2", "table08"}


@pytest.mark.parametrize(
    "given, words",
    [
        ("nowhere", "nowhere is no folder; 'results_dirs' names"),
        (["empty"], "empty holds no Result, a JSON file"),
        (5, "Parameter 'results_dirs' is 5: folders are wanted"),
        ([5], r"Parameter 'results_dirs' is \[5\]: folders are wanted"),
    ],
)
def test_folders_that_a_page_is_told_to_read_must_hold_results(given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RadlibError, match=words):
        result.folders(given, ["usual"], "results_dirs")


def test_the_usual_folders_of_results_may_be_missing(make, tmp_path):
    assert result.folders([], ["usual"], "results_dirs") == [Path("usual")]
    result.write(make(), {}, tmp_path)
    assert result.folders(f"['{tmp_path}']", ["usual"], "results_dirs") == [tmp_path]
