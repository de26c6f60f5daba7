import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlib.data import splits
from radlib.errors import RadlibError


@given(st.integers(1, 2000), st.data())
def test_systematic_equals_numpys_rounded_range(n, data):
    m = data.draw(st.integers(1, n))
    positions = splits.systematic(n, m)
    assert len(positions) == m
    assert (np.diff(positions) > 0).all()
    assert positions[0] == 0 and positions[-1] < n
    np.testing.assert_array_equal(positions, np.round(np.arange(0, n, n / m))[:m])


@given(st.lists(st.sampled_from("abcdefghijkl"), min_size=12, max_size=80))
def test_no_patient_sits_in_two_sets(patients):
    if len(set(patients)) < 4:
        return
    split = splits.by_patient(pd.Series(patients), n_test=1, n_validation=1, source="")
    samples = pd.DataFrame({"patient": patients, "split": split})
    splits.check(samples, "a table")
    assert samples.groupby("split")["patient"].nunique()[["test", "validation"]].tolist() == [1, 1]


def test_a_patient_in_two_splits_is_named():
    samples = pd.DataFrame({"patient": ["a", "b", "c", "a"], "split": ["train", "validation", "test", "test"]})
    with pytest.raises(RadlibError, match=r"patient 'a' is in both test and train"):
        splits.check(samples, "manifest.csv")


@pytest.mark.parametrize("n_test, n_validation", [(2, 1), (5, 5)])
def test_too_few_patients_are_told(n_test, n_validation):
    with pytest.raises(RadlibError, match="a.csv: its patients, 3 in all, cannot give"):
        splits.by_patient(pd.Series(list("abc")), n_test, n_validation, "a.csv")


def test_digest_sees_a_moved_patient_and_not_the_labels():
    samples = pd.DataFrame({"image": ["1", "2"], "patient": ["a", "b"], "split": ["train", "test"]})
    assert splits.digest(samples) == splits.digest(samples.assign(label=1))
    assert splits.digest(samples) != splits.digest(samples.assign(split=["test", "train"]))
