import dataclasses
import errno
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radlib import atomic
from radlib.data import identity
from radlib.data.catalog import open_dataset
from radlib.data.dataset import Dataset
from radlib.data.preprocess import model_input
from radlib.errors import RadlibError
from radlib.evaluate import features
from radlib.evaluate.frozen_shards import Part
from radlib.models import backbones

SIZE = 32


class Tiny(torch.nn.Module):
    """Four features an image, so that the cache is tested and not a network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 4, 8, stride=8)

    def forward_features(self, images):
        return self.layer(images)

    def forward_head(self, maps, pre_logits):
        return maps.mean(dim=(2, 3))


@pytest.fixture
def backbone():
    spec = dataclasses.replace(backbones.spec("efficientnet_lite0"), id="tiny", width=4)
    return backbones.Backbone(spec, Tiny().eval().requires_grad_(False), SIZE, "0" * 64)


def read(root, row):
    return np.load(root / row["image"])


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(features, "ROWS_PER_SHARD", 16)
    rng = np.random.default_rng(0)
    for k in range(40):
        np.save(tmp_path / f"{k}.npy", rng.random((1, 40, 40), dtype=np.float32))
    samples = pd.DataFrame({"image": [f"{k}.npy" for k in range(40)], "patient": "p", "split": "train"})
    return Dataset(
        name="noise",
        title="Noise",
        task="binary",
        classes=("a", "b"),
        samples=samples,
        labels=np.zeros(40, dtype=np.int64),
        origin="own",
        note="",
        root=tmp_path,
        read_image=read,
        preparation="as stored",
    )


def test_features_are_the_backbones_answers_in_row_order(cohort, backbone):
    found = features.extract(cohort, backbone, device="cpu", batch_size=5, progress=False)
    images = torch.from_numpy(np.stack([model_input(cohort.read(k), SIZE) for k in range(40)]))
    np.testing.assert_allclose(found.linear_inputs()["pooled"], backbone.pooled(images).numpy(), rtol=1e-4, atol=1e-5)
    assert found.computed == 40
    assert [shard.shape for shard in found.shards] == [(16, 1, 4), (16, 1, 4), (8, 1, 4)]
    assert all(isinstance(shard, np.memmap) for shard in found.shards)


def test_a_second_run_reads_no_image(cohort, backbone):
    first = features.extract(cohort, backbone, progress=False)

    def forbidden(root, row):
        raise AssertionError(f"{row} was decoded twice")

    again = dataclasses.replace(cohort, read_image=forbidden)
    second = features.extract(again, backbone, progress=False)
    assert second.computed == 0
    np.testing.assert_array_equal(first.rows(), second.rows())


def test_a_killed_run_is_continued_to_the_same_bytes(cohort, backbone):
    whole = features.extract(cohort, backbone, progress=False)
    expected = [path.read_bytes() for path in sorted(whole.folder.glob("*.safetensors"))]
    for path in whole.folder.glob("*.safetensors"):
        path.unlink()
    reads = itertools.count()

    def killed_at_thirty(root, row):
        if next(reads) == 30:
            raise KeyboardInterrupt
        return read(root, row)

    with pytest.raises(KeyboardInterrupt):
        features.extract(dataclasses.replace(cohort, read_image=killed_at_thirty), backbone, progress=False)
    assert len(list(whole.folder.glob("*.safetensors"))) == 1
    resumed = features.extract(cohort, backbone, progress=False)
    assert resumed.computed == 24
    assert [path.read_bytes() for path in sorted(whole.folder.glob("*.safetensors"))] == expected


def test_parts_in_any_order_give_the_bytes_of_a_run_in_one_go(cohort, backbone):
    whole = features.extract(cohort, backbone, progress=False)
    expected = {path.name: path.read_bytes() for path in whole.folder.glob("*.safetensors")}
    for path in whole.folder.glob("*.safetensors"):
        path.unlink()
    for number, images in ((3, 8), (1, 16), (2, 16)):
        found = features.extract(cohort, backbone, progress=False, part=Part(number, 3))
        assert found.computed == images and len(found.shards) == 1
    assert {path.name: path.read_bytes() for path in whole.folder.glob("*.safetensors")} == expected


def test_a_part_leaves_the_shards_of_others_alone(cohort, backbone):
    whole = features.extract(cohort, backbone, progress=False)
    first, second, _ = sorted(whole.folder.glob("*.safetensors"))
    second.write_bytes(b"another job is at this one")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.folder.glob("*.safetensors")}
    first.unlink()
    features.extract(cohort, backbone, progress=False, part=Part(1, 3))
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.folder.glob("*.safetensors")}
    assert after.pop(first)[0] == before.pop(first)[0]
    assert after == before


def test_parts_of_one_dataset_are_computed_at_the_same_time(cohort, backbone):
    """Part 1 is decoding its first image until part 2 is finished."""
    begun, go_on = threading.Event(), threading.Event()

    def held(root, row):
        begun.set()
        assert go_on.wait(10), "part 2 waits for part 1"
        return read(root, row)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            features.extract, dataclasses.replace(cohort, read_image=held), backbone, progress=False, part=Part(1, 2)
        )
        assert begun.wait(10)
        assert features.extract(cohort, backbone, progress=False, part=Part(2, 2)).computed == 24
        go_on.set()
        assert first.result().computed == 16


@pytest.mark.parametrize("shards, parts", [(0, 1), (1, 4), (7, 3), (12, 5)])
def test_parts_are_all_shards_once_in_order_and_about_equal(shards, parts):
    bounds = [(k, k + 1) for k in range(shards)]
    taken = [Part(k + 1, parts).take(bounds) for k in range(parts)]
    assert [one for part in taken for one in part] == bounds
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


@pytest.mark.parametrize("number, of", [(0, 2), (3, 2), (1, 0)])
def test_a_part_out_of_range_is_refused(number, of):
    with pytest.raises(RadlibError, match=f"Part {number}/{of} is out of range"):
        Part(number, of)


@pytest.mark.parametrize("damage", ["cut short", "bit flipped", "emptied", "no header"])
def test_a_damaged_shard_is_computed_again_and_said(cohort, backbone, damage, capsys):
    whole = features.extract(cohort, backbone, progress=False)
    path = whole.folder / "00000016.safetensors"
    good = path.read_bytes()
    bad = {
        "cut short": good[:-7],
        "bit flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "emptied": b"",
        "no header": b"\xff" * len(good),
    }[damage]
    path.write_bytes(bad)
    mended = features.extract(cohort, backbone, progress=False)
    assert mended.computed == 16
    assert path.read_bytes() == good
    assert "1 damaged feature file(s) are computed again" in capsys.readouterr().out


def test_two_who_want_the_same_features_compute_them_once(cohort, backbone):
    decode = cohort.read_image

    def slow(root, row):
        time.sleep(0.01)
        return decode(root, row)

    slowly = dataclasses.replace(cohort, read_image=slow)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: features.extract(slowly, backbone, progress=False), range(2)))
    assert sorted(each.computed for each in found) == [0, 40]
    np.testing.assert_array_equal(found[0].rows(), found[1].rows())


def test_what_changes_the_numbers_changes_the_place(cohort, backbone):
    here = features.extract(cohort, backbone, progress=False).folder
    fewer = dataclasses.replace(cohort, samples=cohort.samples.iloc[:39].reset_index(drop=True))
    others = [
        (dataclasses.replace(cohort, preparation="inverted"), backbone),
        (fewer, backbone),
        (cohort, dataclasses.replace(backbone, weights_sha256="1" * 64)),
        (cohort, dataclasses.replace(backbone, image_size=40)),
    ]
    folders = [features.extract(*pair, progress=False).folder for pair in others]
    assert len({here, *folders}) == 5


def test_an_unreadable_image_is_named_and_finished_shards_stay(cohort, backbone):
    def hiccup(root, row):
        if row["image"] == "20.npy":
            raise OSError("the share does not answer")
        return read(root, row)

    broken = dataclasses.replace(cohort, read_image=hiccup)
    with pytest.raises(RadlibError, match=r"20\.npy cannot be read"):
        features.extract(broken, backbone, progress=False)
    assert features.extract(cohort, backbone, progress=False).computed == 24


def test_a_file_that_is_replaced_makes_another_dataset(cohort, backbone):
    whole = features.extract(cohort, backbone, progress=False).linear_inputs()["pooled"]
    np.save(cohort.root / "20.npy", np.zeros((1, 40, 40)))
    with pytest.raises(RadlibError, match=r"20\.npy has changed since Noise was opened; open it again"):
        cohort.read(20)
    again = features.extract(dataclasses.replace(cohort), backbone, progress=False)
    assert again.computed == 40 and (again.linear_inputs()["pooled"] != whole).any(axis=1).tolist().index(True) == 20


def test_a_marker_painted_over_in_place_no_longer_gives_the_label_away(tmp_path, monkeypatch):
    """De-identification of uncompressed files keeps their size, both ends and, with many tools, the time."""
    monkeypatch.setattr(identity, "RACY_SECONDS", 0.02)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    for k, label in enumerate(labels):
        pixels = rng.integers(0, 200, (256, 256), dtype=np.uint8)
        pixels[112:144, 112:144] = 255 * label
        Image.fromarray(pixels).save(tmp_path / f"{k}.bmp")
    rows = [("image", "patient", "label"), *((f"{k}.bmp", f"p{k}", label) for k, label in enumerate(labels))]
    (tmp_path / "manifest.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    time.sleep(0.05)
    vit = backbones.load("vits14_random", image_size=56)

    def auroc():
        found = features.extract(open_dataset("manifest", tmp_path, progress=False), vit, progress=False)
        columns = found.linear_inputs()["cls1+mean"]
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(columns[:20], labels[:20])
        return found.computed, roc_auc_score(labels[20:], model.decision_function(columns[20:]))

    assert auroc() == (40, 1.0)
    for path in tmp_path.glob("*.bmp"):
        status = path.stat()
        before = path.read_bytes()
        whole = bytearray(before)
        middle = np.frombuffer(whole, np.uint8, 256 * 256, len(whole) - 256 * 256).reshape(256, 256)
        middle[112:144, 112:144] = rng.integers(0, 200, (32, 32))
        with open(path, "r+b") as file:
            file.write(whole)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert whole[:16384] == before[:16384] and whole[-16384:] == before[-16384:]
    computed, area = auroc()
    assert computed == 40 and area < 0.9


def test_nan_pixels_are_refused(cohort, backbone):
    np.save(cohort.root / "3.npy", np.full((1, 40, 40), np.nan))
    with pytest.raises(RadlibError, match=r"3\.npy holds NaN"):
        features.extract(cohort, backbone, progress=False)


def test_a_full_disk_is_one_sentence_and_leaves_no_part(cohort, backbone, monkeypatch):
    def full(path, content):
        if path.suffix == ".safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    real = atomic.replace
    monkeypatch.setattr(atomic, "replace", full)
    with pytest.raises(RadlibError, match="No space left on device.*what is finished is kept"):
        features.extract(cohort, backbone, progress=False)
    assert not list((cohort.root / "cache").rglob("*.part*"))


def test_a_cache_that_cannot_be_written_is_named(cohort, backbone, monkeypatch):
    blocked = cohort.root / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("RADLIB_CACHE", str(blocked))
    with pytest.raises(RadlibError, match=r"RADLIB_CACHE"):
        features.extract(cohort, backbone, progress=False)


def test_a_vit_has_four_linear_inputs():
    shards = (np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3),)
    found = features.Features(features.VIT_PARTS, shards, None, 0, 0.0, "torch-float32")
    inputs = found.linear_inputs()
    assert {name: array.shape for name, array in inputs.items()} == {
        "cls1": (2, 3),
        "cls1+mean": (2, 6),
        "cls4": (2, 12),
        "cls4+mean": (2, 15),
    }
    np.testing.assert_array_equal(inputs["cls1+mean"][0], [9, 10, 11, 12, 13, 14])
    np.testing.assert_array_equal(inputs["cls4+mean"], shards[0].reshape(2, -1))


def test_features_too_large_for_memory_are_read_from_one_checked_file(cohort, backbone, monkeypatch):
    small = features.extract(cohort, backbone, progress=False)
    expected = small.linear_inputs()["pooled"]
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 0)
    mapped = small.linear_inputs()["pooled"]
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, expected)
    path = Path(mapped.filename)
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(small.linear_inputs()["pooled"], expected)
    assert not list(small.folder.glob("*.part-*"))


def test_a_disk_too_full_for_that_file_is_one_sentence(cohort, backbone, monkeypatch):
    small = features.extract(cohort, backbone, progress=False)
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(features.checked_array.atomic.os, "replace", full)
    with pytest.raises(RadlibError, match="No space left on device.*what is finished is kept"):
        small.rows()
    assert not list(small.folder.glob("*.part-*"))


def test_features_that_are_not_finite_are_refused_and_not_kept(cohort, backbone):
    with torch.no_grad():
        broken = dataclasses.replace(backbone, weights_sha256="f" * 64)
        first = next(broken.module.parameters())
        kept = first.clone()
        first[:] = float("nan")
    try:
        with pytest.raises(RadlibError, match="'tiny' gives NaN or infinite features for .* first "):
            features.extract(cohort, broken, progress=False)
    finally:
        with torch.no_grad():
            first.copy_(kept)
    assert features.extract(cohort, broken, progress=False).computed == len(cohort)
