"""What DICOM headers say of pixels: padding, used bits, signs, lookup tables and colors."""

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import ImplicitVRLittleEndian, RLELossless
from test_dicom import GRID, nested, save

from radlib.data import dicom, files
from radlib.data.preprocess import unit_square
from radlib.errors import RadlibError

BODY = np.where(np.hypot(*np.mgrid[-3:3, -4:4]) < 3, GRID + 20, 0)  # within a circle, as a CT's field of view


def signed(path, pixels, bits=16, **about):
    save(
        path, pixels.astype(np.int16).view(np.uint16), PixelRepresentation=1, BitsStored=bits, HighBit=bits - 1, **about
    )


@pytest.mark.parametrize("pad", [-2000, -3024, -32768, 0, 32767])
@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_padding_changes_nothing_of_what_a_backbone_sees(tmp_path, pad, syntax):
    tissue = BODY > 0
    scale = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    signed(tmp_path / "air.dcm", np.where(tissue, BODY, BODY[tissue].min()), **scale)
    signed(tmp_path / "pad.dcm", np.where(tissue, BODY, pad), PixelPaddingValue=pad, syntax=syntax, **scale)
    air, padded = (dicom.read(tmp_path / name) for name in ("air.dcm", "pad.dcm"))
    np.testing.assert_array_equal(padded, air)
    np.testing.assert_array_equal(unit_square(padded, 8), unit_square(air, 8))
    file = pydicom.dcmread(tmp_path / "pad.dcm")
    np.testing.assert_array_equal(padded[0][tissue], apply_modality_lut(file.pixel_array, file)[tissue])


@pytest.mark.parametrize("sign, pad, vr", [(1, 63536, "US"), (1, -2000, "SS"), (0, 63536, "US"), (0, -2000, "SS")])
def test_either_way_of_writing_the_padding_is_understood(tmp_path, sign, pad, vr):
    stored = np.where(BODY > 0, BODY, 63536)
    save(tmp_path / "a.dcm", stored, PixelRepresentation=sign)
    file = pydicom.dcmread(tmp_path / "a.dcm")
    file.add_new("PixelPaddingValue", vr, pad)
    file.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], np.where(BODY > 0, BODY, BODY[BODY > 0].min()))


@pytest.mark.parametrize("ends", [(-2000, -1990), (-1990, -2000)])
def test_a_range_of_padding_is_left_out(tmp_path, ends):
    stored = np.where(BODY > 0, BODY, -2000 + GRID % 11)
    signed(tmp_path / "a.dcm", stored, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1])
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], np.where(BODY > 0, BODY, BODY[BODY > 0].min()))


@pytest.mark.parametrize("pad", [0, 4095])
def test_padding_of_an_inverted_radiograph_is_dark(tmp_path, pad):
    film = np.where(BODY > 0, BODY + 100, pad)
    save(
        tmp_path / "a.dcm", film, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE",
        PixelPaddingValue=pad,
    )  # fmt: skip
    inside = film[BODY > 0]
    expected = np.where(BODY > 0, inside.min() + inside.max() - film, inside.min())
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], expected)


def test_padding_beyond_the_stored_bits_and_in_floats_is_left_out(tmp_path):
    stored = np.where(BODY > 0, BODY, 63536)  # as some scanners write: -2000 in 16 bits around 12
    save(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11, PixelPaddingValue=63536)
    expected = np.where(BODY > 0, BODY, BODY[BODY > 0].min())
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], expected)
    values = np.where(BODY > 0, BODY / 4, -1e6).astype("<f4")
    save(tmp_path / "f.dcm", BODY, BitsAllocated=32, FloatPixelData=values.tobytes(), FloatPixelPaddingValue=-1e6)
    file = pydicom.dcmread(tmp_path / "f.dcm")
    del file.PixelData
    file.save_as(tmp_path / "f.dcm")
    np.testing.assert_array_equal(dicom.read(tmp_path / "f.dcm")[0], expected / 4)


def test_padding_is_left_out_of_every_frame_and_a_frame_of_padding_is_constant(tmp_path):
    frames = np.stack([np.where(BODY > 0, BODY, -2000), np.full(BODY.shape, -2000), BODY + 7])
    signed(tmp_path / "a.dcm", frames, PixelPaddingValue=-2000)
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm", 0)[0], np.where(BODY > 0, BODY, BODY[BODY > 0].min()))
    assert np.ptp(dicom.read(tmp_path / "a.dcm", 1)) == 0
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm", 2)[0], BODY + 7)


def test_the_padding_of_a_mask_is_background(tmp_path):
    save(tmp_path / "m.dcm", (BODY > 0) * 1, PixelPaddingValue=0)
    save(tmp_path / "n.dcm", np.where(BODY > 0, 1, 9), PixelPaddingValue=9)
    for name in ("m.dcm", "n.dcm"):
        np.testing.assert_array_equal(files.read_mask(files.look(tmp_path / name), 0, []), BODY > 0)


@pytest.mark.parametrize("syntax", [None, RLELossless])
@pytest.mark.parametrize("bits, high", [(12, 11), (12, 15), (10, 12), (16, 15)])
@pytest.mark.parametrize("sign", [0, 1])
def test_only_the_stored_bits_count(tmp_path, bits, high, sign, syntax):
    rng = np.random.default_rng(0)
    low = -(1 << (bits - 1)) if sign else 0
    values = rng.integers(low, low + (1 << bits), GRID.shape)
    word = (values & ((1 << bits) - 1)) << (high + 1 - bits)
    others = 0xFFFF & ~(((1 << bits) - 1) << (high + 1 - bits))
    word |= rng.integers(0, 65536, GRID.shape) & others  # overlays, or whatever was left there
    save(tmp_path / "a.dcm", word, BitsStored=bits, HighBit=high, PixelRepresentation=sign)
    if syntax:
        file = pydicom.dcmread(tmp_path / "a.dcm")
        file.compress(syntax)
        file.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], values)
    if high == bits - 1:
        np.testing.assert_array_equal(values, pydicom.dcmread(tmp_path / "a.dcm").pixel_array)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"])
def test_implicit_deflated_and_big_endian_files_hold_the_same_pixels(tmp_path, syntax):
    pixels = np.where(BODY > 0, BODY, 63536)
    stack = np.stack([pixels, pixels + 1]).astype(">u2" if syntax.endswith(".2.2") else "<u2")
    save(
        tmp_path / "a.dcm", pixels, syntax=pydicom.uid.UID(syntax), PixelData=stack.tobytes(),
        NumberOfFrames=2, PixelRepresentation=1, PixelPaddingValue=-2000, RescaleSlope=2, RescaleIntercept=-7,
    )  # fmt: skip
    low = BODY[BODY > 0].min()
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], 2 * np.where(BODY > 0, BODY, low) - 7)
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm", 1)[0][BODY > 0], 2 * (BODY[BODY > 0] + 1) - 7)


@pytest.mark.parametrize("slope, intercept", [(2, -1024), (-1, 0), (0.5, None), (None, -1024), (-0.25, 3)])
def test_slope_and_intercept_are_applied_even_alone(tmp_path, slope, intercept):
    given = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    save(tmp_path / "a.dcm", GRID, **{name: value for name, value in given.items() if value is not None})
    expected = GRID * (1 if slope is None else slope) + (intercept or 0)
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], expected)


@pytest.mark.parametrize("sign, first", [(0, 5), (1, -20)])
def test_a_modality_lookup_table_is_applied_as_pydicom_does(tmp_path, sign, first):
    table = np.random.default_rng(0).integers(0, 65536, 30).astype("<u2")
    item = nested(LUTDescriptor=[30, first, 16], ModalityLUTType="US")
    item.add_new("LUTData", "OW", table.tobytes())
    item["LUTDescriptor"].VR = "SS" if sign else "US"
    save(tmp_path / "a.dcm", (GRID - 24 * sign) & 0xFFFF, PixelRepresentation=sign, ModalityLUTSequence=[item])
    file = pydicom.dcmread(tmp_path / "a.dcm")
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], apply_modality_lut(file.pixel_array, file))
    stored = np.clip(GRID - 24 * sign - first, 0, 29)
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0], table[stored])


@pytest.mark.parametrize("space, planar", [("RGB", 0), ("RGB", 1), ("YBR_FULL", 0), ("YBR_FULL", 1)])
def test_colors_are_read_as_pydicom_does_whichever_way_they_lie(tmp_path, space, planar):
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    about = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3, "PlanarConfiguration": planar}
    stored = colors.transpose(2, 0, 1) if planar else colors
    save(tmp_path / "a.dcm", GRID, PhotometricInterpretation=space, PixelData=stored.tobytes(), **about)
    found = dicom.read(tmp_path / "a.dcm").transpose(1, 2, 0)
    np.testing.assert_array_equal(found, pydicom.pixels.pixel_array(tmp_path / "a.dcm"))
    if space == "RGB":
        np.testing.assert_array_equal(found, colors)


def test_a_palette_is_looked_up_as_pydicom_does():
    path, whole = pydicom.examples.get_path("palette_color"), pydicom.examples.palette_color
    np.testing.assert_array_equal(
        dicom.read(path).transpose(1, 2, 0), apply_color_lut(whole.pixel_array, whole).astype(np.float32)
    )


@pytest.mark.parametrize(
    "about, sentence",
    [
        (
            {"PhotometricInterpretation": "YBR_PARTIAL_420"},
            r"color space YBR_PARTIAL_420 \(PhotometricInterpretation\)",
        ),
        ({"PresentationLUTShape": "INVERSE"}, "MONOCHROME2 and PresentationLUTShape INVERSE, which contradict"),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
            "MONOCHROME1 and PresentationLUTShape IDENTITY, which contradict",
        ),
        ({"BitsStored": 12, "HighBit": 9}, "HighBit 9, BitsStored 12, BitsAllocated 16"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope 0 and RescaleIntercept 0; correct"),
    ],
)
def test_what_cannot_be_known_is_refused_by_its_field(tmp_path, about, sentence):
    save(tmp_path / "a.dcm", GRID, **about)
    with pytest.raises(RadlibError, match=rf"a\.dcm has .*{sentence}"):
        dicom.read(tmp_path / "a.dcm")


def test_a_mask_in_monochrome1_is_refused(tmp_path):
    save(tmp_path / "m.dcm", (GRID > 9) * 1, PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(RadlibError, match=r"m\.dcm is a mask whose PhotometricInterpretation is MONOCHROME1"):
        files.read_mask(files.look(tmp_path / "m.dcm"), 0, [])


@pytest.mark.parametrize(
    "name", ["PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation"]
)
def test_a_missing_field_of_the_pixels_is_named(tmp_path, name):
    save(tmp_path / "a.dcm", GRID)
    about = pydicom.dcmread(tmp_path / "a.dcm")
    del about[name]
    pydicom.dcmwrite(tmp_path / "a.dcm", about, enforce_file_format=True)
    with pytest.raises(RadlibError, match=rf"a\.dcm has no {name} in its header; add it or export the file again"):
        files.look(tmp_path / "a.dcm")


def compressed(path, pixels, level, syntax=pydicom.uid.JPEG2000, pad=-2000, **about):
    """A signed CT slice in JPEG 2000; `level` is its quality in dB, 0 without loss."""
    packed = imagecodecs.jpeg2k_encode(pixels.astype(np.int16), level=level, codecformat="j2k", reversible=not level)
    about = {"PixelRepresentation": 1, "PixelPaddingValue": pad, **about}
    save(path, pixels, syntax=syntax, PixelData=pydicom.encaps.encapsulate([packed]), **about)
    return path


def test_padding_that_lossy_compression_has_scattered_is_refused(tmp_path):
    y, x = np.mgrid[-64:64, -64:64]
    circle, body = np.hypot(x, y) > 63, np.hypot(x, y * 1.2) < 50
    scan = np.where(body, np.random.default_rng(0).normal(1064, 12, x.shape), 24).astype(np.int16)
    padded = np.where(circle, -2000, scan).astype(np.int16)
    raw = pydicom.pixels.pixel_array(compressed(tmp_path / "lossy.dcm", padded, 50))
    assert raw[circle].min() < -2000 < raw[circle].max()
    with pytest.raises(RadlibError, match=r"lossy\.dcm has PixelPaddingValue -2000 and lossy compression, which blurs"):
        dicom.read(tmp_path / "lossy.dcm")
    signed(tmp_path / "was.dcm", raw, LossyImageCompression="01", PixelPaddingValue=-2000)  # decompressed since
    with pytest.raises(RadlibError, match=r"was\.dcm has PixelPaddingValue -2000 and lossy compression"):
        dicom.read(tmp_path / "was.dcm")
    exact = dicom.read(compressed(tmp_path / "exact.dcm", padded, 0, LossyImageCompression="00"))
    np.testing.assert_array_equal(exact[0], np.where(circle, scan.min(), scan))
    kept = dicom.read(compressed(tmp_path / "none.dcm", scan, 50))  # no padding in this frame
    np.testing.assert_array_equal(kept[0], pydicom.pixels.pixel_array(tmp_path / "none.dcm"))


@pytest.mark.parametrize("rows, columns", [(7, 9), (6, 10), (5, 5), (8, 8), (3, 4)])
@pytest.mark.parametrize("frames", [1, 5])
def test_frames_of_single_bits_are_read_wherever_in_a_byte_they_begin(tmp_path, rows, columns, frames):
    drawn = np.random.default_rng(0).integers(0, 2, (frames, rows, columns)).astype(np.uint16)
    packed = np.packbits(drawn.ravel().astype(np.uint8), bitorder="little").tobytes()
    save(
        tmp_path / "m.dcm", drawn, PixelData=packed + bytes(len(packed) % 2), BitsAllocated=1, BitsStored=1, HighBit=0
    )  # fmt: skip
    stack = files.look(tmp_path / "m.dcm")
    for k in range(frames):
        np.testing.assert_array_equal(dicom.read(tmp_path / "m.dcm", k)[0], drawn[k])
        np.testing.assert_array_equal(files.read_mask(stack, k, []), drawn[k])
