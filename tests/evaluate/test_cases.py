import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlib.data.dataset import Dataset
from radlib.errors import RadlibError
from radlib.evaluate import cases


def stack(studies, labels=None, root=None):
    names = [f"s{k}" for k in studies]
    samples = pd.DataFrame(
        {
            "image": [f"{k}.png" for k in range(len(names))],
            "patient": names,
            "split": ["train" if k % 2 else "test" for k in studies],
            "study": names,
        }
    )
    return Dataset(
        name="stacks",
        title="Stacks",
        task="binary",
        classes=("a", "b"),
        samples=samples,
        labels=np.asarray(studies if labels is None else labels) % 2,
        origin="own",
        note="",
        root=root,
        read_image=lambda root, row: np.zeros((1, 2, 2), np.float32),
        preparation="none",
    )


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_a_case_is_the_mean_of_its_images_wherever_they_lie(studies, seed):
    features = np.random.default_rng(seed).standard_normal((len(studies), 3)).astype(np.float32)
    found = cases.of(stack(studies))
    table = pd.DataFrame(features).groupby(np.array(studies), sort=False).mean()
    assert found.samples["study"].tolist() == [f"s{k}" for k in table.index]
    assert found.labels.tolist() == [k % 2 for k in table.index]
    np.testing.assert_allclose(found.mean(features), table.to_numpy(), rtol=1e-5, atol=1e-6)


def test_without_studies_every_image_is_a_case_and_nothing_is_copied():
    dataset = stack([0, 1, 1])
    alone = dataclasses.replace(dataset, samples=dataset.samples.drop(columns="study"))
    found = cases.of(alone)
    features = np.ones((3, 2), np.float32)
    assert len(found) == 3 and found.mean(features) is features


@pytest.mark.parametrize("column", ["patient", "split"])
def test_a_torn_study_is_named(column):
    dataset = stack([0, 1, 1, 2])
    dataset.samples.loc[2, column] = "other"
    with pytest.raises(RadlibError, match=f"images of study 's1' differ in {column}"):
        cases.of(dataset)


def test_a_study_with_two_labels_is_named():
    with pytest.raises(RadlibError, match="images of study 's2' differ in label"):
        cases.of(stack([1, 2, 2], labels=[1, 0, 1]))
