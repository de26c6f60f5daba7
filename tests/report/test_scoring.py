"""Everything that a Result derives from its predictions follows from them again."""

import numpy as np
import pytest

from radlib.evaluate import inference
from radlib.report import result, scoring

TABLES = sorted(folder.name for folder in result.PUBLISHED.iterdir())


def rescored(path):
    """The Result at `path` with every number that follows from its predictions computed again."""
    found = result.read(path)
    scans = list(found.masks.by_scan) if found.masks else []
    asked = found.data.classes, found.control, scans, found.interval.resamples, found.seed
    return found.model_copy(update=scoring.derived(result.read_predictions(path), *asked))


def flat(value, place=""):
    """Every leaf of nested dicts and tuples by its place."""
    if isinstance(value, dict):
        return {where: leaf for key, inner in value.items() for where, leaf in flat(inner, f"{place}.{key}").items()}
    if isinstance(value, (list, tuple)):
        return {where: leaf for key, inner in enumerate(value) for where, leaf in flat(inner, f"{place}.{key}").items()}
    return {place: value}


@pytest.mark.parametrize("table", TABLES)
def test_published_numbers_are_those_of_the_published_predictions(table):
    for path in result.paths(result.PUBLISHED, table):
        stored, anew = (flat(found.model_dump()) for found in (result.read(path), rescored(path)))
        assert stored.keys() == anew.keys()
        for place, value in stored.items():
            # Sums in another order differ in the last of sixteen digits; distances are stored in single precision.
            digits = 1e-6 if "hd95" in place else 1e-12
            close = pytest.approx(value, rel=digits) if isinstance(value, float) else value
            assert anew[place] == close, (path.name, place)


def test_a_statistic_changed_in_one_place_changes_what_is_rescored(monkeypatch):
    path = result.paths(result.PUBLISHED, "table04")[0]
    before = rescored(path)
    monkeypatch.setattr(inference.percentiles, "__defaults__", (0.5,))
    after = rescored(path)
    assert after.value == before.value and after.interval.level == 0.5
    assert before.interval.low < after.interval.low < after.interval.high < before.interval.high


def test_an_interval_of_shuffled_labels_spans_single_draws():
    rng = np.random.default_rng(0)
    arrays = {"labels": np.arange(60) % 2, "patients": np.arange(60), "scores": rng.random((8, 60, 2))}
    of_mean, of_one = (
        scoring.derived(arrays, ["a", "b"], control, (), 200, 0)["interval"] for control in ("", "shuffled labels")
    )
    assert (of_mean.unit, of_one.unit) == ("patient", "patient and draw")
    assert of_one.high - of_one.low > 1.5 * (of_mean.high - of_mean.low)
