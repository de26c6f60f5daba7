import csv
import dataclasses

import numpy as np
import pytest

from radlib.data import catalog
from radlib.data.shortcuts import shortcuts


@pytest.fixture
def dataset(clinic):
    rows = list(csv.reader((clinic / "manifest.csv").read_text().splitlines()))
    extra = [["age", "sex", "view"], *([str(30 + k), "FM"[k % 2], "PA" if k else ""] for k in range(30))]
    extra[4][0] = ""
    with open(clinic / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([*(row + more for row, more in zip(rows, extra, strict=True))])
    return catalog.open_dataset("manifest", clinic, progress=False)


def test_what_varies_becomes_a_column(dataset):
    values, names = shortcuts(dataset, progress=False)
    assert names == ("age", "age unknown", "view unknown", "view PA", "sex F", "sex M")
    columns = dict(zip(names, values.T, strict=True))
    assert columns["age unknown"].tolist() == [0, 0, 0, 1, *[0] * 26]
    assert columns["age"][3] == np.median([30 + k for k in range(30) if k != 3])
    assert columns["sex M"].sum() == 15 and columns["view unknown"].sum() == 1


def test_sizes_are_read_from_headers_and_no_pixel_is(dataset, clinic):
    from PIL import Image

    Image.new("L", (70, 50)).save(clinic / "4.png")
    blind = dataclasses.replace(dataset, read_image=lambda *_: pytest.fail("a pixel was read"))
    values, names = shortcuts(blind, progress=False)
    columns = dict(zip(names, values.T, strict=True))
    assert (columns["image height"][4], columns["image width"][4]) == (50, 70)
    assert set(np.delete(columns["image height"], 4)) == {48}


def test_images_of_a_study_are_counted(dataset):
    studies = dataset.samples.assign(study=["a"] * 4 + [f"s{k}" for k in range(26)])
    values, names = shortcuts(dataclasses.replace(dataset, samples=studies), progress=False)
    assert values[:, names.index("images of the study")].tolist() == [4] * 4 + [1] * 26


def test_where_nothing_varies_there_is_nothing(clinic):
    values, names = shortcuts(catalog.open_dataset("manifest", clinic, progress=False), progress=False)
    assert names == () and values.shape == (30, 0)
