"""One bit of every kind of cached artefact is flipped: it is found when read, said, and the same results come again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import volume

import standins
from radlib import assets, checked_array
from radlib.data import mask_squares, slice_cache, squares
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError
from radlib.evaluate import checkpoint, features, patch_tokens
from radlib.models import backbones, known_weights

pytestmark = pytest.mark.usefixtures("own_cache")


def flip(path: Path, place=-1, bit=0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def cached(kind, pattern="*.safetensors"):
    (path,) = (assets.cache_dir() / kind).rglob(pattern)
    return path


@pytest.fixture
def ward(tmp_path):
    """Eight noisy pictures with masks."""
    import pandas as pd

    def image(root, row):
        seed = int(Path(row["image"]).stem)
        return np.random.default_rng(seed).random((1, 30, 30), np.float32)

    for k in range(8):
        (tmp_path / f"{k}.png").write_bytes(bytes([k]))
    samples = pd.DataFrame({"image": [f"{k}.png" for k in range(8)], "patient": list("abcdefgh"), "split": "train"})
    samples["mask"] = samples["image"]
    return Dataset(
        name="noise", title="Noise", task="segmentation", classes=("a",), samples=samples,
        labels=np.empty((8, 0), np.int64), origin="own", note="", root=tmp_path, read_image=image, preparation="",
        read_mask=lambda root, row: (image(root, row)[0] > 0.5).astype(np.uint8),
    )  # fmt: skip


@pytest.fixture(scope="module")
def vit():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return backbones.load("vits14_random", image_size=28)


def test_features(ward, vit, capsys):
    before = np.array(features.extract(ward, vit, progress=False).rows())
    flip(cached("features"))
    again = features.extract(ward, vit, progress=False)
    assert again.computed == 8 and "1 damaged feature file(s) are computed again" in capsys.readouterr().out
    np.testing.assert_array_equal(again.rows(), before)


def test_features_joined_in_one_file(ward, vit, capsys, monkeypatch):
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 0)
    found = features.extract(ward, vit, progress=False)
    before = np.array(found.rows())
    flip(found.folder / "whole-8.safetensors")
    np.testing.assert_array_equal(found.rows(), before)
    assert "whole-8.safetensors in the cache was damaged and is put together again" in capsys.readouterr().out


def test_patch_tokens(ward, vit, capsys):
    before = np.array(patch_tokens.extract(ward, vit, 1, progress=False).shards[0])
    flip(cached("patch_tokens"))
    again = patch_tokens.extract(ward, vit, 1, progress=False)
    assert again.computed == 8 and "damaged" in capsys.readouterr().out
    np.testing.assert_array_equal(again.shards[0], before)


@pytest.mark.parametrize("kind, make", [("squares", squares.squares), ("mask_squares", mask_squares.mask_squares)])
def test_squares(ward, capsys, kind, make):
    before = np.array(make(ward, 14, progress=False).shards[0])
    flip(cached(kind))
    np.testing.assert_array_equal(make(ward, 14, progress=False).shards[0], before)
    assert "00000000.safetensors in the cache was damaged and is made again" in capsys.readouterr().out


def test_slices(tmp_path, capsys):
    path = tmp_path / "a.nii.gz"
    volume(path, np.arange(120, dtype=np.int16).reshape(6, 5, 4))
    before = np.array(slice_cache.opened(path, 2))
    slice_cache._opened.cache_clear()
    flip(cached("slices"))
    np.testing.assert_array_equal(slice_cache.opened(path, 2), before)
    assert "The cached slices of a.nii.gz were damaged and are made again" in capsys.readouterr().out


def test_the_note_of_weights(capsys):
    known_weights.check("vgg19", "a" * 64)
    flip(cached("weights", "*.sha256"), place=3)
    known_weights.check("vgg19", "a" * 64)
    assert "note of which weights 'vgg19' had was damaged and is made again" in capsys.readouterr().out
    with pytest.raises(RadlibError, match="are not those used before"):
        known_weights.check("vgg19", "b" * 64)


@pytest.mark.parametrize("folder", ["segmenters", "fine_tuning"])
def test_every_bit_of_a_checkpoint_counts(tmp_path, folder):
    path = tmp_path / folder / "a.pt"
    state = {"weights": torch.arange(64.0), "epochs": 3}
    checkpoint.write(path, {"data": "x"}, state)
    whole = path.read_bytes()
    torch.testing.assert_close(checkpoint.read(path, {"data": "x"})["weights"], state["weights"])
    for place in np.random.default_rng(0).integers(len(whole), size=60):
        path.write_bytes(whole)
        flip(path, place, int(place) % 8)
        found = checkpoint.read(path, {"data": "x"})
        # None is damage found; a flip in the mark itself leaves the state, which was not touched
        assert found is None or torch.equal(found["weights"], state["weights"])
        assert found is None or place >= len(whole) - checkpoint.TRAILER
    path.write_bytes(whole[: -checkpoint.TRAILER])  # as radlib 0.1 left it
    assert checkpoint.read(path, {"data": "x"})["epochs"] == 3


def test_a_stand_in_and_its_marker(tmp_path, capsys, monkeypatch):
    import types

    def write(folder, patients, seed, progress):
        (folder / "a.png").write_bytes(b"pixels")
        return {"note": "simulated"}

    monkeypatch.setattr(standins, "generator", lambda name: types.SimpleNamespace(VERSION=1, PATIENTS=12, write=write))
    out = tmp_path / "cohort"
    standins.write("montgomery", out)
    assert standins.write("montgomery", out) == out and capsys.readouterr().out == ""
    flip(out / "a.png")
    standins.write("montgomery", out)
    assert (out / "a.png").read_bytes() == b"pixels"
    assert "was damaged or changed and is made again" in capsys.readouterr().out
    marker = out / "STANDIN.json"
    whole, said = marker.read_bytes(), standins.marker(out)
    said.pop(standins.SUM)
    for place in range(len(whole)):
        marker.write_bytes(whole)
        flip(marker, place, place % 7)
        standins.write("montgomery", out, progress=False)
        # the mark of the sum itself and white space may stay flipped: what is said is what was said
        assert standins.sound(out) and set(said.items()) <= set(standins.marker(out).items())
    assert capsys.readouterr().out.count("made again") > 20


def test_an_asset(monkeypatch, tmp_path):
    content = bytes(1000)
    member = assets.Member("x", "a/x.bin", assets.hashlib.sha256(content).hexdigest(), 1000, "")
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    assert assets._present(path, member)
    flip(path, 500)
    assert not assets._present(path, member)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_an_array_changes_what_is_read(tmp_path, place, bit):
    path = tmp_path / "a.safetensors"
    array = np.arange(60, dtype=np.float32).reshape(3, 20)
    checked_array.write(path, array)
    flip(path, place % path.stat().st_size, bit)
    found = checked_array.read(path, (3, 20))
    assert found is None or np.array_equal(found, array)
    assert checked_array.sound(path) == (found is not None) or found is not None
