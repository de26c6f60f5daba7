import gzip
import itertools
import struct
import threading

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import volume
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from radlib import assets
from radlib.data import files, slice_cache, volumes
from radlib.errors import RadlibError

CODES = [
    "".join(names) for order in itertools.permutations(("LR", "PA", "IS")) for names in itertools.product(*order)
]  # all 48 orders and directions


def reoriented(array, codes):
    """An RAS array stored along `codes`, and its affine."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
    return apply_orientation(array, turn), np.diag([1, 2, 3, 1.0]) @ inv_ornt_aff(turn, array.shape)


@pytest.mark.parametrize("codes", CODES)
def test_axial_slices_are_the_same_picture_however_they_are_stored(tmp_path, codes):
    truth = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)  # x right, y front, z head
    array, affine = reoriented(truth, codes)
    path = tmp_path / "scan.nii.gz"
    volume(path, array, affine)
    head = volumes.header(path)
    assert head.codes == tuple(codes)
    plane = volumes.axial(head)
    cuts = [slice_cache.cut(path, plane, k) for k in range(head.shape[plane.axis])]
    if codes[plane.axis] == "I":  # the first stored slice is the highest
        cuts = cuts[::-1]
    for z, cut in enumerate(cuts):
        # front at the top, the patient's right on the left
        np.testing.assert_array_equal(cut, truth[::-1, ::-1, z].T)


@given(codes=st.sampled_from(CODES), shape=st.tuples(*[st.integers(1, 6)] * 3), stored=st.booleans())
def test_restore_is_the_inverse_of_cutting(codes, shape, stored):
    array, affine = reoriented(np.arange(np.prod(shape)).reshape(shape), codes)
    head = volumes.Header(
        None, array.shape, (1, 1, 1), tuple(codes), nibabel.io_orientation(affine), affine, array.dtype
    )
    plane = volumes.AS_STORED if stored else volumes.axial(head)
    stack = np.stack([volumes.upright(cut, plane) for cut in np.moveaxis(array, plane.axis, 0)])
    np.testing.assert_array_equal(volumes.restore(stack, plane), array)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_scaled_volumes_keep_whole_numbers_whole(tmp_path, ending):
    path = tmp_path / f"scan.{ending}"
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, path)
    stored = nibabel.load(path)
    stack = slice_cache.opened(path, 2)
    np.testing.assert_array_equal(np.moveaxis(stack, 0, 2), np.asarray(stored.dataobj))
    assert stack.dtype == np.int16


def test_a_compressed_volume_is_unpacked_once_and_its_size_is_told(tmp_path, monkeypatch, capsys):
    paths = [tmp_path / f"{k}.nii.gz" for k in range(3)]
    for k, path in enumerate(paths):
        volume(path, np.full((4, 5, 6), k, np.int16))
    assert slice_cache.bytes_needed(paths) == 3 * 4 * 5 * 6 * 2
    slice_cache.build(paths, [2, 2, 0], "Scans")
    assert "3 volumes are unpacked once, 720 B in" in capsys.readouterr().out
    monkeypatch.setattr(volumes, "voxels", lambda path: pytest.fail(f"{path} was unpacked twice"))
    slice_cache._opened.cache_clear()
    slice_cache.build(paths, [2, 2, 0], "Scans")
    assert [slice_cache.opened(path, axis).shape for path, axis in zip(paths, (2, 2, 0), strict=True)] == [
        (6, 4, 5), (6, 4, 5), (4, 5, 6),
    ]  # fmt: skip


def test_a_flipped_bit_in_the_cache_is_found_and_mended(tmp_path, capsys):
    path = tmp_path / "scan.nii.gz"
    volume(path, np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    expected = slice_cache.opened(path, 2).copy()
    (kept,) = (assets.cache_dir() / "slices").glob("*.safetensors")
    raw = bytearray(kept.read_bytes())
    raw[-3] ^= 4
    kept.write_bytes(bytes(raw))
    slice_cache._opened.cache_clear()
    np.testing.assert_array_equal(slice_cache.opened(path, 2), expected)
    assert "were damaged and are made again" in capsys.readouterr().out


def test_many_threads_ask_for_one_volume_and_it_is_unpacked_once(tmp_path, monkeypatch):
    path = tmp_path / "scan.nii.gz"
    volume(path, np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    calls, real = [], volumes.voxels
    monkeypatch.setattr(volumes, "voxels", lambda path: calls.append(path) or real(path))
    threads = [threading.Thread(target=slice_cache.opened, args=(path, 2)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_disk_without_room_is_told_before_any_work(tmp_path, monkeypatch):
    path = tmp_path / "scan.nii.gz"
    volume(path, np.zeros((4, 5, 6), np.int16))
    monkeypatch.setattr(slice_cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(RadlibError, match="slices of Scans take 240 B .* set RADLIB_CACHE"):
        slice_cache.build([path], [2], "Scans")


def test_a_plain_nifti_is_mapped_where_it_lies(tmp_path):
    path = tmp_path / "scan.nii"
    volume(path, np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    stack = slice_cache.opened(path, 2)
    assert isinstance(stack.base if stack.base is not None else stack, np.memmap)
    assert not list((assets.cache_dir()).glob("slices/*.safetensors"))
    with pytest.raises(RadlibError, match="has 6 slices and slice 6 was asked for"):
        slice_cache.cut(path, volumes.AS_STORED, 6)


def test_the_real_ct_and_mr_are_upright(real_images):
    folder = real_images / "ct-mr-totalseg-example"
    head = volumes.header(folder / "example_ct_sm.nii.gz")
    plane = volumes.axial(head)
    stack = slice_cache.opened(folder / "example_ct_sm.nii.gz", plane.axis)
    labels = slice_cache.opened(folder / "example_seg.nii.gz", plane.axis)
    middle = len(stack) // 2
    cut, mask = (np.asarray(volumes.upright(found[middle], plane)) for found in (stack, labels))
    rows, columns = np.nonzero(mask == 5)  # the liver lies on the patient's right: the left of the picture
    assert cut.min() < -900 and len(rows) and columns.mean() < mask.shape[1] / 2
    spine = np.nonzero(np.isin(mask, range(25, 51)))[0]
    assert spine.mean() > mask.shape[0] / 2  # the back is below


STORED = np.random.default_rng(0).integers(0, 100, (5, 6, 7))
TURNED = np.array([[0.9, -0.3, 0, 1], [0.3, 0.9, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]) @ np.diag([-1, 2, 3, 1])


def as_nibabel(path):
    """The volume as nibabel turns it (x right, y front, z head) in radlib's pictures, feet first."""
    canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
    return canonical[::-1, ::-1].transpose(2, 1, 0).astype(np.float32)


def as_radlib(path):
    stack = files.look(path)
    slices = np.stack([files.read(stack, k)[0] for k in range(stack.slices)])
    return slices[::-1] if stack.volume.codes[stack.plane.axis] == "I" else slices


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_kind_of_number_is_read_as_nibabel_does(tmp_path, kind, order, ending):
    path = tmp_path / f"scan.{ending}"
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(kind).newbyteorder(order))
    nibabel.save(nibabel.Nifti1Image((STORED / (1 + 2 * (kind[0] == "f"))).astype(kind), TURNED, header), path)
    np.testing.assert_allclose(as_radlib(path), as_nibabel(path), rtol=1e-6)


def coded(path, qform, sform):
    """A volume with either orientation, both or none, as their codes say."""
    image = nibabel.Nifti1Image(STORED.astype(np.int16), None)
    image.header.set_zooms((1, 2, 3))
    image.set_qform(np.diag([-1, 2, 3, 1]), qform)
    image.set_sform(TURNED[[1, 0, 2, 3]], sform)
    image.header["qform_code"], image.header["sform_code"] = qform, sform
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), path)


@pytest.mark.parametrize("qform, sform", [(0, 0), (1, 0), (0, 2), (1, 2)])
def test_the_orientation_is_that_of_nibabel_whichever_form_gives_it(tmp_path, qform, sform):
    coded(tmp_path / "scan.nii.gz", qform, sform)
    np.testing.assert_array_equal(as_radlib(tmp_path / "scan.nii.gz"), as_nibabel(tmp_path / "scan.nii.gz"))


def scaled(path, slope, intercept):
    volume(path, STORED.astype(np.int16))
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[112:120] = struct.pack("<ff", slope, intercept)
    path.write_bytes(gzip.compress(bytes(raw)))


@pytest.mark.parametrize("slope, intercept", [(2, -1024), (-1, 0), (-0.5, 3), (0.001, 0), (0, 5), (np.nan, np.nan)])
def test_voxels_are_scaled_as_nibabel_does(tmp_path, slope, intercept):
    scaled(tmp_path / "scan.nii.gz", slope, intercept)
    found = as_radlib(tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(found, as_nibabel(tmp_path / "scan.nii.gz"), rtol=1e-6)
    assert np.ptp(found) > 0


def test_an_offset_that_is_no_number_is_refused(tmp_path):
    scaled(tmp_path / "scan.nii.gz", 1, np.nan)
    with pytest.raises(RadlibError, match=r"scan\.nii\.gz adds nan to its voxels \(scl_inter in its header\); write"):
        volumes.header(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize(
    "array, sentence",
    [
        (STORED.astype(np.complex64), "holds complex64; convert"),
        (np.zeros((5, 6, 7), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "holds colors; convert"),
        (np.stack([STORED.astype(np.int16)] * 2, axis=-1), r"has shape \(5, 6, 7, 2\); a volume of three axes"),
    ],
    ids=["complex", "colors", "series"],
)
def test_volumes_that_are_not_gray_are_refused(tmp_path, array, sentence):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "scan.nii.gz")
    with pytest.raises(RadlibError, match=rf"scan\.nii\.gz {sentence}"):
        files.look(tmp_path / "scan.nii.gz")
