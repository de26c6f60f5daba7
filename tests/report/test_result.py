import errno
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlib import atomic
from radlib.errors import RadlibError
from radlib.report import result

SCORES = {"rows": np.arange(10), "scores": np.linspace(0, 1, 20).reshape(10, 2)}


def test_a_result_is_read_as_it_was_written(make, tmp_path):
    path = result.write(make(), SCORES, tmp_path)
    found = result.read(path)
    assert found.model_copy(update={"predictions_sha256": "0" * 64}) == make()
    np.testing.assert_array_equal(result.read_predictions(path)["scores"], SCORES["scores"])
    assert [again.name for again in result.read_folder(tmp_path, "table04")] == [found.name]
    assert result.read_folder(tmp_path, "table05") == []


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


def test_published_results_hold_together():
    """Every committed Result equals what scikit-learn makes of the predictions beside it."""
    from sklearn.metrics import roc_auc_score

    folder = result.PUBLISHED / "table04"
    paths = sorted(folder.glob("*.json"))
    assert len(paths) == 12  # 3 backbones x 2 classifiers x with and without relatives
    for path in paths:
        found, arrays = result.read(path), result.read_predictions(path)
        assert found.data.origin == "paper"
        assert len(arrays["rows"]) == found.n_images == (1002 if found.scored == "all" else 857)
        assert len(np.unique(arrays["patients"])) == found.n_patients
        areas = [roc_auc_score(arrays["labels"] == k, arrays["scores"][:, k]) for k in range(3)]
        assert found.value == pytest.approx(np.mean(areas), abs=1e-12)
        assert list(found.per_class.values()) == pytest.approx(areas, abs=1e-12)
        assert found.interval.low < found.value < found.interval.high
