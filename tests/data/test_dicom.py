import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless, generate_uid
from test_manifest import write  # the writer of manifests

from radlib.data import dicom
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


def save(path, pixels, **about):
    """A small DICOM file of `pixels` (H, W) or (frames, H, W) uint16."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = about.pop("syntax", ExplicitVRLittleEndian)
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
    file.Modality = "CT"
    if pixels is not None:
        file.Rows, file.Columns = pixels.shape[-2:]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 0
        if pixels.ndim == 3:
            file.NumberOfFrames = len(pixels)
        file.PixelData = pixels.astype("<u2").tobytes()
    for name, value in about.items():
        setattr(file, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, file, enforce_file_format=True)


GRID = np.arange(48).reshape(6, 8)


def nested(**about):
    item = Dataset()
    for name, value in about.items():
        setattr(item, name, value)
    return item


def test_values_are_rescaled_to_hounsfield_units(tmp_path):
    save(tmp_path / "a", GRID, RescaleSlope=2, RescaleIntercept=-1024)
    assert dicom.frames(tmp_path / "a") == (1, 6, 8)
    np.testing.assert_array_equal(dicom.read(tmp_path / "a"), GRID[None] * 2.0 - 1024)


def test_what_is_stored_dark_for_dense_is_turned_round(tmp_path):
    save(tmp_path / "a.dcm", GRID, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], 47.0 - GRID)


def test_a_manifest_of_dicom_files_is_a_dataset_with_a_row_a_frame(tmp_path):
    rows = [(f"scans/{k}", f"p{k}", "ab"[k % 2]) for k in range(10)]
    for k, (name, _, _) in enumerate(rows):
        save(tmp_path / name, np.stack([GRID + k, GRID + 10 * k]))
    dataset = open_dataset("manifest", write(tmp_path, rows))
    assert len(dataset) == 20 and dataset.samples["slice"].tolist()[:4] == [0, 1, 0, 1]
    np.testing.assert_array_equal(dataset.read(3)[0], GRID + 10)
    assert dataset.labels.tolist()[:4] == [0, 0, 1, 1] and "20 slices in all" in dataset.note


def test_every_frame_may_have_its_own_scale(tmp_path):
    def scale(slope):
        return nested(PixelValueTransformationSequence=[nested(RescaleSlope=slope, RescaleIntercept=-1)])

    stack = np.stack([GRID, GRID + 100])
    save(tmp_path / "own", stack, PerFrameFunctionalGroupsSequence=[scale(1), scale(3)])
    save(tmp_path / "shared", stack, SharedFunctionalGroupsSequence=[scale(2)])
    np.testing.assert_array_equal(dicom.read(tmp_path / "own", 1)[0], 3.0 * (GRID + 100) - 1)
    np.testing.assert_array_equal(dicom.read(tmp_path / "shared", 1)[0], 2.0 * (GRID + 100) - 1)


def test_lossless_compression_changes_nothing(tmp_path):
    save(tmp_path / "a.dcm", np.stack([GRID, 2 * GRID]))
    file = pydicom.dcmread(tmp_path / "a.dcm")
    file.compress(RLELossless)
    file.save_as(tmp_path / "b.dcm")
    assert dicom.frames(tmp_path / "b.dcm") == (2, 6, 8)
    np.testing.assert_array_equal(dicom.read(tmp_path / "b.dcm", 1), dicom.read(tmp_path / "a.dcm", 1))


@pytest.mark.parametrize("name", ["rgb_color", "ybr_color", "jpeg2k", "overlay", "palette_color", "ct", "mr"])
def test_the_examples_of_pydicom_are_read(name):
    path, whole = pydicom.examples.get_path(name), getattr(pydicom.examples, name)
    count, *size = dicom.frames(path)
    pixels = dicom.read(path, count - 1)
    assert list(pixels.shape[1:]) == size == [whole.Rows, whole.Columns]
    colour = name in ("rgb_color", "ybr_color", "jpeg2k", "palette_color")
    assert len(pixels) == (3 if colour else 1) and np.isfinite(pixels).all() and np.ptp(pixels) > 0
    if name == "ct":
        assert pixels.min() < -850 and pixels.max() > 1000  # air and bone in HU
    if name == "rgb_color":
        np.testing.assert_array_equal(pixels.transpose(1, 2, 0), whole.pixel_array)


@pytest.mark.parametrize("name, kind", [("rt_plan", "RTPLAN"), ("waveform", "ECG")])
def test_what_is_no_picture_is_told_by_its_kind(name, kind):
    with pytest.raises(RadlibError, match=rf"is a DICOM file without an image \({kind}\)"):
        dicom.frames(pydicom.examples.get_path(name))


@pytest.mark.parametrize(
    "about, sentence",
    [
        ({"syntax": JPEGLSLossless, "PixelData": "packed"}, "compressed as JPEG-LS .* install one of gdcm, pylibjpeg"),
        ({"syntax": "1.2.840.10008.1.2.4.100", "PixelData": "packed"}, "compressed as MPEG2 .* cannot be read here"),
        ({"PixelData": b"short!"}, "holds fewer pixels than its header promises"),
        ({"Rows": 0}, "without an image"),
    ],
    ids=["plug-in", "film", "short", "rows"],
)
def test_what_a_header_tells_is_told_without_pixels(tmp_path, about, sentence):
    if about.get("PixelData") == "packed":
        about = about | {"PixelData": pydicom.encaps.encapsulate([b"\x00" * 20])}
    save(tmp_path / "a.dcm", GRID, **about)
    with pytest.raises(RadlibError, match=rf"a\.dcm .*{sentence}"):
        dicom.frames(tmp_path / "a.dcm")


def test_a_file_without_pixels_or_cut_short_is_told_without_reading_them(tmp_path):
    save(tmp_path / "a.dcm", GRID)
    file = pydicom.dcmread(tmp_path / "a.dcm")
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:-60])
    save(tmp_path / "large.dcm", np.zeros((64, 64)))
    (tmp_path / "half.dcm").write_bytes((tmp_path / "large.dcm").read_bytes()[:-4096])
    del file.PixelData
    file.save_as(tmp_path / "none.dcm")
    with pytest.raises(RadlibError, match="without an image"):
        dicom.frames(tmp_path / "none.dcm")
    with pytest.raises(RadlibError, match="fewer pixels"):
        dicom.frames(tmp_path / "half.dcm")
    with pytest.raises(RadlibError, match="fewer pixels"):
        dicom.frames(tmp_path / "cut.dcm")


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda p: p.write_bytes(b"no dicom"), "5.dcm is no whole DICOM file; export it again"),
        (lambda p: save(p, None), r"5.dcm is a DICOM file without an image \(CT\)"),
        (lambda p: p.write_bytes(b""), "5.dcm is no whole DICOM file"),
    ],
)
def test_a_file_that_is_no_image_is_told_when_the_folder_is_opened(tmp_path, spoil, sentence):
    rows = [(f"{k}.dcm", f"p{k}", "ab"[k % 2]) for k in range(10)]
    for name, _, _ in rows:
        save(tmp_path / name, GRID)
    spoil(tmp_path / "5.dcm")
    with pytest.raises(RadlibError, match=sentence):
        open_dataset("manifest", write(tmp_path, rows))


@pytest.mark.parametrize(
    "about",
    [{"syntax": JPEGLSLossless}, {"PixelData": b"short!"}, {"BitsAllocated": 7}],
    ids=["packed", "short", "odd"],
)
def test_pixels_that_cannot_be_decoded_are_told_when_read(tmp_path, about):
    if "syntax" in about:
        about = about | {"PixelData": pydicom.encaps.encapsulate([b"\x00" * 20])}
    save(tmp_path / "a.dcm", GRID, **about)
    with pytest.raises(RadlibError, match=r"a\.dcm: its pixels cannot be read|a\.dcm is compressed"):
        dicom.read(tmp_path / "a.dcm")
