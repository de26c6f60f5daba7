"""What the slice cache owes to volumes that are large, damaged, scaled or asked for twice at once."""

import gzip
import multiprocessing
import os

import nibabel
import numpy as np
import pytest
from layouts import volume

from radlib import assets, checked_array
from radlib.data import slice_cache, volumes
from radlib.errors import RadlibError

GRID = np.arange(120, dtype=np.int16).reshape(4, 5, 6) - 60


def kept():
    return sorted((assets.cache_dir() / "slices").glob("*.safetensors"))


def _open_there(path):
    return np.asarray(slice_cache.opened(path, 2)).sum()


def test_two_processes_at_once_make_one_whole_file(tmp_path):
    noise = np.random.default_rng(0).integers(-1000, 1000, (64, 64, 40)).astype(np.int16)
    volume(tmp_path / "scan.nii.gz", noise)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.map(_open_there, [tmp_path / "scan.nii.gz"] * 4)
    assert sums == [noise.sum()] * 4
    assert len(kept()) == 1 and not list((assets.cache_dir() / "slices").glob("*.part*"))


def test_a_file_whose_checksum_was_right_is_mapped_again_without_summing_it(tmp_path, monkeypatch):
    volume(tmp_path / "scan.nii.gz", GRID)
    slice_cache.opened(tmp_path / "scan.nii.gz", 2)
    slice_cache._opened.cache_clear()
    first = checked_array.read

    def read(path, shape, trusted=False):
        assert trusted, "the checksum was taken twice"
        return first(path, shape, trusted)

    monkeypatch.setattr(checked_array, "read", read)
    np.testing.assert_array_equal(np.moveaxis(slice_cache.opened(tmp_path / "scan.nii.gz", 2), 0, 2), GRID)


@pytest.mark.parametrize("slope, inter, dtype", [(1, -1024, np.int16), (0.5, 0, np.float32)])
def test_a_scaled_nifti_is_kept_on_disk_and_not_in_memory(tmp_path, slope, inter, dtype):
    image = nibabel.Nifti1Image(GRID, np.eye(4))
    image.header.set_slope_inter(slope, inter)
    nibabel.save(image, tmp_path / "scan.nii")
    raw = bytearray((tmp_path / "scan.nii").read_bytes())
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()  # nibabel resets them for whole numbers
    (tmp_path / "scan.nii").write_bytes(raw)
    stored = np.asarray(nibabel.load(tmp_path / "scan.nii").dataobj)
    stack = slice_cache.opened(tmp_path / "scan.nii", 2)
    assert stack.dtype == dtype and isinstance(stack, np.memmap) and len(kept()) == 1
    np.testing.assert_allclose(np.moveaxis(stack, 0, 2), stored)


def test_whole_numbers_stored_as_real_ones_take_the_room_of_whole_ones(tmp_path):
    volume(tmp_path / "mask.nii.gz", (GRID % 3).astype(np.float64))
    volume(tmp_path / "real.nii.gz", GRID / np.float32(4))
    assert slice_cache.opened(tmp_path / "mask.nii.gz", 2).dtype == np.uint8
    assert slice_cache.opened(tmp_path / "real.nii.gz", 2).dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_found_in_the_slice_that_has_it(tmp_path, bad):
    values = GRID.astype(np.float32)
    values[1, 2, 3] = bad
    volume(tmp_path / "scan.nii.gz", values)
    assert slice_cache.cut(tmp_path / "scan.nii.gz", volumes.AS_STORED, 2).shape == (4, 5)
    with pytest.raises(RadlibError, match=r"scan\.nii\.gz holds NaN or infinite values in slice 3"):
        slice_cache.cut(tmp_path / "scan.nii.gz", volumes.AS_STORED, 3)


def test_a_gzip_of_several_parts_is_whole(tmp_path):
    volume(tmp_path / "scan.nii.gz", GRID)
    raw = gzip.decompress((tmp_path / "scan.nii.gz").read_bytes())
    parts = [gzip.compress(raw[:400]), gzip.compress(raw[400:]), gzip.compress(b"")]
    (tmp_path / "scan.nii.gz").write_bytes(b"".join(parts))
    np.testing.assert_array_equal(np.moveaxis(slice_cache.opened(tmp_path / "scan.nii.gz", 2), 0, 2), GRID)


@pytest.mark.parametrize("share", [0.4, 0.7, 0.99])
def test_a_gzip_cut_anywhere_is_told_from_its_header(tmp_path, share):
    noise = np.random.default_rng(0).integers(-1000, 1000, (32, 32, 20)).astype(np.int16)
    volume(tmp_path / "scan.nii.gz", noise)
    raw = (tmp_path / "scan.nii.gz").read_bytes()
    (tmp_path / "scan.nii.gz").write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(RadlibError, match=r"scan\.nii\.gz is cut short"):
        volumes.header(tmp_path / "scan.nii.gz")


def test_a_damaged_gzip_is_told_when_it_is_unpacked_and_leaves_nothing(tmp_path):
    volume(tmp_path / "scan.nii.gz", np.random.default_rng(0).integers(-1000, 1000, (32, 32, 20)).astype(np.int16))
    raw = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "scan.nii.gz").write_bytes(raw)
    with pytest.raises(RadlibError, match=r"scan\.nii\.gz is cut short or damaged"):
        slice_cache.opened(tmp_path / "scan.nii.gz", 2)
    assert not kept()


def test_a_million_slices_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "scan.nii"
    nibabel.save(nibabel.Nifti2Image(np.zeros((1, 1, 4), np.int16), np.eye(4)), path)
    raw = bytearray(path.read_bytes())
    raw[40:48] = np.array([1_000_000], "<i8").tobytes()  # dim[3] of NIfTI-2
    path.write_bytes(raw)
    os.truncate(path, 544 + 2_000_000)
    with pytest.raises(RadlibError, match="claims 1 x 1 x 1000000 voxels"):
        volumes.header(path)


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_what_is_no_number_is_refused(tmp_path, dtype):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), dtype), np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(RadlibError, match=r"scan\.nii holds .*; convert it to whole or real numbers"):
        volumes.header(tmp_path / "scan.nii")


def test_a_trailing_axis_of_one_is_no_fourth_axis(tmp_path):
    for name in ("scan.nii", "scan.nii.gz"):
        volume(tmp_path / name, GRID[..., None])
        assert volumes.header(tmp_path / name).shape == (4, 5, 6)
        np.testing.assert_array_equal(slice_cache.cut(tmp_path / name, volumes.AS_STORED, 4), GRID[:, :, 4])


def test_a_mask_of_another_place_is_no_mask_of_this_image(tmp_path):
    image, near, far = (tmp_path / f"{name}.nii" for name in ("image", "near", "far"))
    for path, shift in ((image, 0), (near, 0.4), (far, 30)):
        affine = np.diag([1, 1, 5, 1.0])
        affine[0, 3] = shift
        volume(path, GRID, affine)
    heads = [volumes.header(path) for path in (image, near, far)]
    assert volumes.misfit(heads[0], heads[1]) == ""
    assert "far.nii lies 30 mm away from its image" in volumes.misfit(heads[0], heads[2])
