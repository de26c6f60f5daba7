"""Files that are not what their names say, and formats that are not read."""

import gzip

import imagecodecs
import nibabel
import numpy as np
import pytest
from PIL import Image
from test_dicom import GRID, save

from radlib.data import file_kind, files, pictures, volumes
from radlib.errors import RadlibError

VOXELS = np.random.default_rng(0).integers(-900, 900, (7, 6, 5)).astype(np.int16)


def written(kind, path):
    """A file of the ending `kind`, at `path`."""
    made = path.with_name(f"made{kind}")
    if kind.startswith(".nii"):
        nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), made)
    elif kind == ".dcm":
        save(made, GRID.astype(np.uint16))
    else:
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(made)
    made.rename(path)
    return path


@pytest.mark.parametrize("kind", file_kind.NAMES)
def test_each_kind_is_known_by_its_content(tmp_path, kind):
    assert file_kind.ending(written(kind, tmp_path / "x")) == kind
    assert file_kind.misnamed(written(kind, tmp_path / f"y{kind.upper()}")) == ""


@pytest.mark.parametrize(
    "kind, name, words",
    [
        (".nii", "x.nii.gz", "is an uncompressed NIfTI file by its content; rename it to end in .nii."),
        (".nii.gz", "x.nii", "is a NIfTI file compressed by gzip by its content; rename it to end in .nii.gz."),
        (".dcm", "x.png", "is a DICOM file by its content; rename it to end in .dcm."),
        (".png", "x", "is a PNG picture by its content; rename it to end in .png."),
        (".jpg", "x.dcm", "is a JPEG picture by its content; rename it to end in .jpg."),
        (".nii", "x.dcm", "is an uncompressed NIfTI file by its content; rename it to end in .nii."),
    ],
)
def test_a_file_of_another_name_is_told_with_the_name_it_should_have(tmp_path, kind, name, words):
    path = written(kind, tmp_path / name)
    with pytest.raises(RadlibError) as told:
        files.look(path)
    assert str(told.value) == f"{path} {words}"
    end = words.rsplit("end in ", 1)[1].rstrip(".") if ".nii" not in words else words.split("end in ")[1][:-1]
    renamed = path.rename(tmp_path / f"renamed{end}")
    assert files.look(renamed) is not None  # the remedy is one


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.webp", "a.npy", "a.mgz", "a.gif", "a.nii.zip"])
def test_formats_that_are_not_read_are_not_called_broken_dicom(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"some other format" * 40)
    with pytest.raises(RadlibError, match=rf"files that end in {path.suffix} are not read; convert a volume to NIfTI"):
        files.look(path)


@pytest.mark.parametrize("name", ["a", "a.dcm", "1.2.840.10008.77", "IM.IMA"])
def test_what_is_called_like_dicom_and_is_none_is_still_said_so(tmp_path, name):
    (tmp_path / name).write_bytes(b"some other format" * 40)
    with pytest.raises(RadlibError, match="is no whole DICOM file; export it again"):
        files.look(tmp_path / name)


def test_a_picture_of_two_axes_is_called_so(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VOXELS[:, :, 0], np.eye(4)), tmp_path / "flat.nii.gz")
    with pytest.raises(RadlibError, match="is a single 2-D picture of 7 x 6 pixels; save it as PNG or TIFF"):
        volumes.header(tmp_path / "flat.nii.gz")
    nibabel.save(nibabel.Nifti1Image(VOXELS[:, :, :1], np.eye(4)), tmp_path / "one.nii.gz")
    assert volumes.header(tmp_path / "one.nii.gz").shape == (7, 6, 1)


@pytest.mark.parametrize("shape", [(7, 6, 5), (90, 80, 70)])
@pytest.mark.parametrize("rest", [b"x", b"trailing bytes", bytes(512), b"\x1f", b"PK\x03\x04" * 9000])
def test_bytes_after_a_whole_gzip_file_do_no_harm(tmp_path, rest, shape):
    values = np.random.default_rng(1).integers(-900, 900, shape).astype(np.int16)
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    path.write_bytes(path.read_bytes() + rest)
    assert files.look(path).slices == shape[2]
    np.testing.assert_array_equal(volumes.voxels(path), values)


def test_a_wrong_checksum_before_such_bytes_is_still_damage(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), path)
    packed = bytearray(gzip.compress(gzip.decompress(path.read_bytes())))
    packed[-8] ^= 255  # of the checksum
    path.write_bytes(bytes(packed) + b"trailing bytes")
    with pytest.raises(RadlibError, match="damaged"):
        volumes.voxels(path)


GRAY = np.random.default_rng(0).integers(0, 255, (9, 8), dtype=np.uint8)


@pytest.mark.parametrize(
    "kind, words",
    [
        ("gif", "is a GIF picture by its content, which is not read; save it as PNG or TIFF."),
        ("webp", "is a WebP picture by its content, which is not read; save it as PNG or TIFF."),
        ("jp2", "is a JPEG 2000 picture by its content, which is not read; save it as PNG or TIFF."),
        ("j2k", "is a JPEG 2000 picture by its content, which is not read; save it as PNG or TIFF."),
        ("npy", "is a NumPy array by its content, which is not read; save it as NIfTI, PNG or TIFF."),
        ("12 bits", "is a JPEG picture of 12 bits a sample, which is not read; save it as PNG or TIFF."),
        ("lossless", "is a lossless JPEG picture of 16 bits a sample, which is not read; save it as PNG or TIFF."),
    ],
)
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.dcm", "x"])
def test_content_that_is_not_read_is_named_whatever_its_name(tmp_path, kind, words, name):
    path = tmp_path / name
    if kind == "npy":
        with open(path, "wb") as file:
            np.save(file, GRAY)
    elif kind == "12 bits":
        path.write_bytes(imagecodecs.jpeg_encode(GRAY.astype(np.uint16) * 16, bitspersample=12))
    elif kind == "lossless":
        path.write_bytes(imagecodecs.ljpeg_encode(GRAY.astype(np.uint16) * 256, bitspersample=16))
    else:
        Image.fromarray(GRAY).save(path, format="JPEG2000" if kind[0] == "j" else kind, no_jp2=kind == "j2k")
    for read in (files.look, pictures.read):
        with pytest.raises(RadlibError) as told:
            read(path)
        assert str(told.value) == f"{path} {words}"


@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_half_of_a_pair_is_to_be_saved_as_one_file(tmp_path, ending):
    nibabel.save(nibabel.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "x.img")
    with pytest.raises(RadlibError, match=rf"x{ending} is one file of a pair .*; save it as one \.nii\."):
        files.look(tmp_path / f"x{ending}")


def test_a_jpeg_whose_markers_are_damaged_is_said_to_be_broken(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "x.jpg")
    whole = (tmp_path / "x.jpg").read_bytes()
    for cut in range(2, len(whole), 7):
        (tmp_path / "x.jpg").write_bytes(whole[:cut])
        assert file_kind.misnamed(tmp_path / "x.jpg") == ""
