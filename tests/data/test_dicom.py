import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, generate_uid
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
