import dataclasses
from pathlib import Path

import numpy as np
import pytest

from radlib import checked_array
from radlib.data import catalog, squares
from radlib.data.preprocess import model_input, normalised
from radlib.errors import RadlibError


@pytest.fixture
def dataset(tmp_path, clinic):
    return catalog.open_dataset("manifest", clinic, progress=False)


def test_squares_are_what_a_backbone_is_fed(dataset):
    found = squares.squares(dataset, 28, progress=False)
    rows = np.array([5, 0, 29])
    expected = np.stack([model_input(dataset.read(row), 28) for row in rows])
    np.testing.assert_allclose(normalised(found[rows]), expected, atol=1 / 1024 / 0.22)


def test_no_image_is_decoded_twice(dataset, monkeypatch):
    squares.squares(dataset, 28, progress=False)
    blind = dataclasses.replace(dataset, read_image=lambda *_: pytest.fail("decoded again"))
    assert squares.squares(blind, 28, progress=False)[np.array([0])].shape == (1, 3, 28, 28)


def test_a_damaged_file_is_made_again(dataset):
    first = squares.squares(dataset, 28, progress=False)
    expected = first[np.arange(30)]
    path = Path(first.shards[0].filename)
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(squares.squares(dataset, 28, progress=False)[np.arange(30)], expected)


def test_gray_and_colour_may_be_mixed(dataset):
    def read_image(root, row):
        gray = dataset.read_image(root, row)[:1]
        return np.repeat(gray, 3, 0) if row["image"] == "3.png" else gray

    plain = squares.squares(dataset, 28, progress=False)[np.arange(30)]
    mixed = dataclasses.replace(dataset, read_image=read_image, preparation="mixed")
    np.testing.assert_array_equal(squares.squares(mixed, 28, progress=False)[np.arange(30)], plain)


def test_a_full_disk_is_told(dataset, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checked_array, "write", full)
    with pytest.raises(RadlibError, match=r"cannot be written to .*No space left on device.*what is finished is kept"):
        squares.squares(dataset, 28, progress=False)
