"""Tokens of a vision transformer of five small blocks, so that the cache is tested and not the network."""

import dataclasses
import errno
import itertools
import shutil

import numpy as np
import pytest
import torch

from radlib import atomic
from radlib.data.preprocess import model_input, normalised, unit_square
from radlib.errors import RadlibError
from radlib.evaluate import augmentation, frozen_shards, patch_tokens
from radlib.models import runtime

SIZE, WIDTH, N = 56, 16, 20  # 4 x 4 patches; two shards


@pytest.fixture(autouse=True)
def _torch_encodes(monkeypatch):
    monkeypatch.setattr(runtime, "name", lambda device="auto": "torch-float32")


@pytest.fixture(scope="module")
def backbone(tiny_vit):
    return tiny_vit(SIZE, WIDTH, depth=6)


def read(root, row):
    return np.load(root / row["image"])


@pytest.fixture
def cohort(noise):
    return noise(N, read)


def unread(cohort):
    def forbidden(root, row):
        raise AssertionError(f"{row} was decoded again")

    return dataclasses.replace(cohort, read_image=forbidden)


def tokens_of(backbone, images, blocks):
    return backbone.tokens(torch.from_numpy(np.stack(images)), blocks)[1].numpy()


def extract(cohort, backbone, blocks):
    return patch_tokens.extract(cohort, backbone, blocks, "cpu", progress=False)


def files_below(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def test_tokens_are_the_backbones_but_for_half_precision(cohort, backbone):
    found = extract(cohort, backbone, 5)
    expected = tokens_of(backbone, [model_input(cohort.read(k), SIZE) for k in range(N)], 5)
    assert (found.computed, found.blocks, len(found)) == (N, 5, N)
    assert [shard.dtype for shard in found.shards] == [np.float16, np.float16]
    everything = found.take(np.arange(N), 5)
    assert everything.shape == (N, 5, 4, 4, WIDTH)
    np.testing.assert_allclose(everything, expected, rtol=2**-11, atol=1e-5)
    some = np.array([17, 0, 17, 3])
    np.testing.assert_array_equal(found.take(some, 1), everything[some, -1:])  # the last block stands last


def test_the_encoder_of_this_machine_gives_the_same_tokens(cohort, backbone, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("RADLIB_CACHE", str(cohort.root / "other"))
    found = extract(cohort, backbone, 5).take(np.arange(N), 5)
    expected = tokens_of(backbone, [model_input(cohort.read(k), SIZE) for k in range(N)], 5)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_five_cached_blocks_serve_a_decoder_of_one(cohort, backbone, monkeypatch):
    five = extract(cohort, backbone, 5)
    monkeypatch.setattr(runtime, "encoder", lambda *_, **__: pytest.fail("encoded again"))
    one = extract(unread(cohort), backbone, 1)
    assert one.computed == 0
    np.testing.assert_array_equal(one.take([0, 19], 1), five.take([0, 19], 1))


def test_five_blocks_that_are_not_whole_are_not_waited_for(cohort, backbone, own_cache):
    extract(cohort, backbone, 5)
    list(own_cache.rglob("00000016.safetensors"))[0].unlink()
    assert extract(cohort, backbone, 1).blocks == 1


def test_one_cached_block_does_not_pass_for_five(cohort, backbone):
    extract(cohort, backbone, 1)
    assert extract(cohort, backbone, 5).computed == N


def test_a_killed_run_is_continued_to_the_same_bytes(cohort, backbone, own_cache):
    extract(cohort, backbone, 5)
    expected = files_below(own_cache / "patch_tokens")
    for path in expected:
        path.unlink()
    reads = itertools.count()

    def killed_at_eighteen(root, row):
        if next(reads) == 18:
            raise KeyboardInterrupt
        return read(root, row)

    with pytest.raises(KeyboardInterrupt):
        extract(dataclasses.replace(cohort, read_image=killed_at_eighteen), backbone, 5)
    assert len(files_below(own_cache / "patch_tokens")) == 1
    assert extract(cohort, backbone, 5).computed == N - patch_tokens.ROWS_PER_SHARD
    assert files_below(own_cache / "patch_tokens") == expected


def test_a_damaged_shard_is_computed_again_even_for_a_decoder_of_one(cohort, backbone, own_cache, capsys):
    expected = extract(cohort, backbone, 5).take(np.arange(N), 1)
    path = next(own_cache.rglob("00000016.safetensors"))
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    mended = extract(cohort, backbone, 1)
    assert mended.computed == 4
    assert path.read_bytes() == good
    np.testing.assert_array_equal(mended.take(np.arange(N), 1), expected)
    assert "1 damaged feature file(s) are computed again, first 00000016" in capsys.readouterr().out


def test_a_full_disk_is_one_sentence_and_leaves_no_part(cohort, backbone, own_cache, monkeypatch):
    def full(source, target):
        if str(target).endswith(".safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    real = atomic.os.replace
    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(RadlibError, match="No space left on device.*make room or set RADLIB_CACHE") as told:
        extract(cohort, backbone, 5)
    assert "\n" not in str(told.value)
    assert not list((own_cache / "patch_tokens").rglob("*.part*"))
    assert not files_below(own_cache / "patch_tokens")


def test_too_little_room_is_refused_before_any_work(cohort, backbone, monkeypatch):
    monkeypatch.setattr(frozen_shards, "ROOM_LEFT", 100)
    free = N * 5 * 16 * WIDTH * 2 + 99  # one byte less than the tokens and what is left free
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(frozen_shards.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(runtime, "encoder", lambda *_, **__: pytest.fail("an encoder was made"))
    with pytest.raises(RadlibError, match="take 51,200 B and .* has 51,299 B left; make room, set RADLIB_CACHE"):
        extract(unread(cohort), backbone, 5)


def test_room_for_what_is_missing_is_enough(cohort, backbone, own_cache, monkeypatch):
    extract(cohort, backbone, 5)
    next(own_cache.rglob("00000016.safetensors")).unlink()
    monkeypatch.setattr(frozen_shards, "ROOM_LEFT", 100)
    usage = shutil.disk_usage("/")._replace(free=4 * 5 * 16 * WIDTH * 2 + 100)
    monkeypatch.setattr(frozen_shards.shutil, "disk_usage", lambda _: usage)
    assert extract(cohort, backbone, 5).computed == 4


def test_a_network_without_patch_tokens_is_refused(cohort, backbone):
    convolutional = dataclasses.replace(backbone, spec=dataclasses.replace(backbone.spec, family="cnn"))
    with pytest.raises(RadlibError, match="'tiny' has no patch tokens to decode; name a vision transformer"):
        extract(cohort, convolutional, 1)


ROWS = np.array([1, 4, 5, 11, 18])


def views_of(cohort, backbone, count=3, seed=0, blocks=5, rows=ROWS):
    return patch_tokens.extract_views(cohort, backbone, blocks, rows, count, seed, "cpu", progress=False)


def moved_square(cohort, row, draws):
    square = torch.from_numpy(unit_square(cohort.read(row), SIZE))
    return augmentation.images(square[None], draws)[0].numpy()


def test_a_view_is_the_moved_image_encoded(cohort, backbone):
    found = views_of(cohort, backbone)
    assert len(found.tokens) == 15
    for k, view in itertools.product(range(len(ROWS)), range(3)):
        place = k * 3 + view
        image = normalised(moved_square(cohort, ROWS[k], found.draws[place : place + 1]))
        expected = tokens_of(backbone, [image], 5)
        np.testing.assert_allclose(found.tokens.take([place], 5), expected, rtol=2**-10, atol=1e-5)


def test_flipped_tokens_are_not_the_tokens_of_the_flipped_image(cohort, backbone):
    image = model_input(cohort.read(0), SIZE)
    upright, flipped = tokens_of(backbone, [image, image[:, ::-1].copy()], 1)[:, 0]
    spread = upright.std()
    assert np.abs(upright[::-1] - flipped).mean() > 0.1 * spread


def test_views_come_from_the_cache_and_depend_on_rows_count_and_seed(cohort, backbone):
    first = views_of(cohort, backbone)
    again = views_of(unread(cohort), backbone)
    assert (first.tokens.computed, again.tokens.computed) == (15, 0)
    np.testing.assert_array_equal(first.draws.degrees, again.draws.degrees)
    assert views_of(unread(cohort), backbone, blocks=1).tokens.computed == 0  # five blocks hold the last
    others = [{"count": 2}, {"seed": 1}, {"rows": ROWS[:4]}, {"rows": ROWS + 1}]
    assert all(views_of(cohort, backbone, **other).tokens.computed > 0 for other in others)


@pytest.mark.parametrize("blocks", [1, 5])
def test_mixing_moves_tokens_and_masks_by_the_same_draw(cohort, backbone, blocks):
    views = views_of(cohort, backbone)
    masks = torch.randint(3, (N, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    plain = extract(cohort, backbone, 5)
    rows = np.array([18, 4, 4, 1, 11, 5, 18, 1] * 10)
    tokens, truth = plain.take(rows, blocks), masks[rows]
    seen, moved = views.mixed(rows, tokens.copy(), truth.clone(), np.random.default_rng(0))
    drawn = []
    for k, row in enumerate(rows):
        candidates = {None: tokens[k]}
        first = list(ROWS).index(row) * 3
        candidates |= {place: views.tokens.take([place], blocks)[0] for place in range(first, first + 3)}
        (which,) = [place for place, one in candidates.items() if np.array_equal(one, seen[k])]
        drawn.append(0 if which is None else which - first + 1)
        expected = truth[k : k + 1]
        if which is not None:
            expected = augmentation.masks(expected, views.draws[which : which + 1])
        assert torch.equal(moved[k : k + 1], expected)
    assert set(drawn) == {0, 1, 2, 3}


def test_mixing_leaves_what_it_was_given_alone(cohort, backbone):
    views = views_of(cohort, backbone)
    tokens, masks = extract(cohort, backbone, 5).take(ROWS, 5), torch.ones(5, SIZE, SIZE, dtype=torch.uint8)
    tokens.flags.writeable = False
    before = masks.clone()
    views.mixed(ROWS, tokens, masks, np.random.default_rng(1))
    assert torch.equal(masks, before)


def test_each_view_is_as_likely_as_the_image_itself(cohort, backbone):
    views = views_of(cohort, backbone)
    rows = np.full(4000, 4)
    tokens = np.zeros((4000, 1, 4, 4, WIDTH), np.float16)
    masks = torch.zeros(4000, 1, 1, dtype=torch.uint8)
    seen, _ = views.mixed(rows, tokens, masks, np.random.default_rng(0))
    assert (seen == 0).all(axis=(1, 2, 3, 4)).mean() == pytest.approx(1 / 4, abs=0.03)
