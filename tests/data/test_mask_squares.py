import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import WRITERS, picture, table, volume
from PIL import Image

from radlib import checked_array
from radlib.data.catalog import open_dataset
from radlib.data.mask_squares import MaskSquares, check_foreground, mask_squares, nearest
from radlib.data.preprocess import unit_square
from radlib.errors import RadlibError

SEGMENTATION = ("montgomery", "shenzhen", "amos", "msd_heart")


def everything(dataset, size=11):
    return mask_squares(dataset, size, progress=False)[np.arange(len(dataset))]


@pytest.mark.parametrize("name", SEGMENTATION)
def test_every_mask_is_there_and_what_pillow_makes_of_it(tmp_path, name):
    dataset = open_dataset(name, WRITERS[name](tmp_path), progress=False)
    # at 16 px no middle falls onto a border of the stored pixels, where Pillow's rounding decides
    found = mask_squares(dataset, 16, progress=False)
    assert len(found) == len(dataset) and all(isinstance(shard, np.memmap) for shard in found.shards)
    rows = np.array([len(dataset) - 1, 0, 3])
    expected = [
        np.asarray(Image.fromarray(dataset.mask(int(row))).resize((16, 16), Image.Resampling.NEAREST)) for row in rows
    ]
    np.testing.assert_array_equal(found[rows], np.stack(expected))
    assert found[rows].dtype == np.uint8 and found[rows].any()


@given(n=st.integers(1, 700), size=st.integers(1, 500))
def test_a_pixel_is_the_stored_one_its_middle_falls_into(n, size):
    ramp = np.arange(n)
    for mask, taken in (
        (ramp[:, None], nearest(ramp[:, None], size)[:, 0]),
        (ramp[None], nearest(ramp[None], size)[0]),
    ):
        middle = (np.arange(size) + 0.5) * n / size  # stored pixel j covers [j, j + 1)
        assert mask.size == n and (taken <= middle + 1e-9).all() and (middle <= taken + 1 + 1e-9).all()


@given(
    shape=st.tuples(st.integers(60, 400), st.integers(60, 400)),
    size=st.integers(28, 224),
    place=st.tuples(*[st.floats(0.35, 0.65)] * 2),
    radius=st.floats(0.15, 0.3),
)
def test_image_and_mask_of_one_drawing_stay_on_each_other(shape, size, place, radius):
    y, x = ((np.arange(n) + 0.5) / n - at for n, at in zip(shape, place, strict=True))
    drawing = y[:, None] ** 2 + x**2 < radius**2
    # not `unit_square`, whose scaling would turn the overshoot of the bicubic filter into a gray background
    image = Image.fromarray(drawing.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    mask = nearest(drawing, size)
    for axis in (0, 1):
        centres = [
            (weight.sum(axis=axis) * np.arange(size)).sum() / weight.sum()
            for weight in (np.asarray(image, dtype=float), mask.astype(float))
        ]
        assert abs(centres[0] - centres[1]) < 0.5


def test_the_halves_of_a_picture_meet_where_the_masks_do():
    halves = np.zeros((60, 90), np.float32)
    halves[:, 45:] = 1
    square = unit_square(halves[None], 30)[0]
    np.testing.assert_array_equal(square > 0.5, nearest(halves, 30) > 0.5)


def test_no_mask_is_decoded_twice(tmp_path):
    dataset = open_dataset("shenzhen", WRITERS["shenzhen"](tmp_path))
    first = everything(dataset)
    blind = dataclasses.replace(dataset, read_mask=lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(everything(blind), first)


def own(root, masks=None, suffix=".nii"):
    """Three scans with masks of two classes."""
    rows = []
    for k in range(3):
        volume(root / f"i/{k}{suffix}", np.random.default_rng(k).integers(0, 900, (40, 50, 30)).astype(np.int16))
        mask = np.zeros((40, 50, 30), np.uint8)
        mask[10 + k : 30, 20:40, 10:20], mask[5:9, 5:9, 15] = 1, 2
        volume(root / f"m/{k}{suffix}", mask)
        rows.append((f"i/{k}{suffix}", f"p{k}", f"m/{(masks or range(3))[k]}{suffix}"))
    table(root / "manifest.csv", ("image", "patient", "mask"), rows)
    table(root / "classes.csv", ("value", "name"), [(1, "a"), (2, "b")])
    return root


def test_an_edited_mask_is_seen_though_size_and_both_ends_are_the_same(tmp_path):
    root = own(tmp_path)
    before = everything(open_dataset("manifest", root, progress=False))
    path = root / "m/1.nii"
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 2000] = bytes([2]) * 2000
    path.write_bytes(bytes(raw))
    dataset = open_dataset("manifest", root, progress=False)
    after = everything(dataset)
    assert (after != before).any()
    np.testing.assert_array_equal(after, np.stack([nearest(dataset.mask(row), 11) for row in range(len(dataset))]))


def test_other_numbers_in_the_table_of_classes_are_seen(tmp_path):
    root = own(tmp_path)
    before = everything(open_dataset("manifest", root, progress=False))
    table(root / "classes.csv", ("value", "name"), [(2, "a"), (1, "b")])
    np.testing.assert_array_equal(
        everything(open_dataset("manifest", root, progress=False)), np.array([0, 2, 1], np.uint8)[before]
    )


def test_masks_given_to_other_images_are_seen(tmp_path):
    prints = {
        open_dataset("manifest", own(tmp_path / str(k), masks), progress=False).mask_fingerprint
        for k, masks in enumerate([None, (1, 0, 2), (0, 0, 2), (0, 2, 2), None])
    }
    assert len(prints) == 4


def test_masks_as_stored_and_upright_are_not_taken_for_each_other(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    for protocol in ("ours", "authors"):
        dataset = open_dataset("msd_heart", root, protocol=protocol, progress=False)
        np.testing.assert_array_equal(everything(dataset)[2], nearest(dataset.mask(2), 11))


def test_a_damaged_shard_is_made_again(tmp_path):
    dataset = open_dataset("shenzhen", WRITERS["shenzhen"](tmp_path))
    first = mask_squares(dataset, 11, progress=False)
    expected = first[np.arange(len(dataset))]
    path = Path(first.shards[0].filename)
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(everything(dataset), expected)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    dataset = open_dataset("shenzhen", WRITERS["shenzhen"](tmp_path))
    monkeypatch.setattr(checked_array, "write", full)
    with pytest.raises(
        RadlibError, match=r"Masks of 11 px cannot be written to .*No space left.*what is finished is k"
    ):
        everything(dataset)


def test_a_dataset_without_masks_is_told(clinic):
    with pytest.raises(RadlibError, match="clinic has no masks; name a segmentation dataset"):
        everything(open_dataset("manifest", clinic, progress=False))


def test_a_mask_that_vanished_is_told(tmp_path):
    dataset = open_dataset("shenzhen", WRITERS["shenzhen"](tmp_path))
    path = tmp_path / dataset.samples["mask"][4]
    path.unlink()
    with pytest.raises(RadlibError, match=rf"{path.name} cannot be read \(No such file"):
        everything(dataset)


@pytest.mark.parametrize("name", ["amos", "msd_heart"])
def test_a_number_that_is_no_class_is_told_before_training(tmp_path, name):
    root = WRITERS[name](tmp_path)
    path = sorted(root.rglob("labelsTr/*.gz"))[2]
    volume(path, np.full((6, 5, 4), 77, np.uint8))
    with pytest.raises(RadlibError, match=rf"{path.name}, slice 0, holds the label 77; whole numbers from 0 to"):
        everything(open_dataset(name, root, progress=False))


@pytest.mark.parametrize("name, part", [("montgomery", "leftMask"), ("shenzhen", "mask")])
def test_a_picture_that_is_no_drawing_is_told_before_training(tmp_path, name, part):
    root = WRITERS[name](tmp_path)
    path = sorted(root.rglob(f"{part}/*.png"))[2]
    picture(path, values=np.full((12, 10), 7, np.uint8))
    with pytest.raises(RadlibError, match=rf"{path.name} is a mask whose largest value is 7; draw what is inside"):
        everything(open_dataset(name, root, progress=False))


def test_a_number_outside_the_table_of_classes_is_told_with_what_is_known(tmp_path):
    root = own(tmp_path)
    volume(root / "m/2.nii", np.full((40, 50, 30), 9, np.uint8))
    with pytest.raises(RadlibError, match=r"m/2\.nii holds the value 9; list it in .* \(known are 0, 1, 2\)\.$"):
        everything(open_dataset("manifest", root, progress=False))


def cohort(drawn):
    """One picture a row: `drawn` says its split and its classes."""
    masks = np.zeros((len(drawn), 8, 8), np.uint8)
    for k, (_, classes) in enumerate(drawn):
        for c in classes:
            masks[k, c] = c
    samples = pd.DataFrame({"image": [f"{k}.png" for k in range(len(drawn))], "split": [split for split, _ in drawn]})
    return MaskSquares((masks,), 8), samples


@pytest.mark.parametrize("bare", ["train", "validation", "test"])
def test_a_split_of_background_is_refused(bare):
    splits = ("train", "train", "validation", "test")
    masks, samples = cohort([(split, () if split == bare else (1,)) for split in splits])
    with pytest.raises(
        RadlibError, match=f"No mask of the {bare} split holds any foreground at 8 px \\(lung, heart\\)"
    ):
        check_foreground(masks, samples, ("lung", "heart"))


def test_a_class_missing_from_a_split_and_a_bare_image_are_named(capsys):
    masks, samples = cohort([("train", (1, 2)), ("train", ()), ("validation", (1, 2)), ("test", (1,))])
    check_foreground(masks, samples, ("lung", "heart"))
    assert capsys.readouterr().out.splitlines() == [
        "At 8 px no mask of the test split holds heart.",
        "At 8 px 1 of 4 masks hold no foreground: 1.png.",
    ]


def test_bare_slices_of_a_scan_are_nothing_to_tell(capsys):
    masks, samples = cohort([("train", (1,)), ("train", ()), ("test", (1,)), ("test", ())])
    check_foreground(masks, samples.assign(image=["a", "a", "b", "b"], slice=[0, 1, 0, 1]), ("lung",))
    assert capsys.readouterr().out == ""
