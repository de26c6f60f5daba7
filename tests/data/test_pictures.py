"""Pictures as strangers store them: every mode, every kind of damage."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import picture
from PIL import Image

from radlib.data import pictures
from radlib.errors import RadlibError

GRAY = np.arange(5, 5 + 6 * 7, dtype=np.uint8).reshape(6, 7)
OPAQUE = np.full_like(GRAY, 90)
STORED = {
    "8 bit": (Image.fromarray(GRAY), GRAY),
    "16 bit": (Image.fromarray(GRAY.astype(np.uint16) * 300), GRAY * np.float32(300)),
    "gray and alpha": (Image.fromarray(np.dstack([GRAY, OPAQUE])), GRAY),
    "RGB of equal channels": (Image.fromarray(np.dstack([GRAY] * 3)), GRAY),
    "RGBA of equal channels": (Image.fromarray(np.dstack([GRAY, GRAY, GRAY, OPAQUE])), GRAY),
    "palette of grays": (Image.fromarray(GRAY).convert("P"), GRAY),
    "1 bit": (Image.fromarray(GRAY % 2 == 0), np.where(GRAY % 2 == 0, 255, 0)),
}


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("stored", STORED)
def test_a_gray_picture_is_gray_however_it_is_stored(tmp_path, stored):
    image, expected = STORED[stored]
    path = tmp_path / "x.png"
    image.save(path)
    pixels = pictures.read_gray(path)
    assert pixels.dtype == np.float32 and pixels.shape == (1, 6, 7)
    np.testing.assert_array_equal(pixels[0], expected)
    assert pictures.size(path) == (6, 7)


def test_true_colour_becomes_luminance(tmp_path):
    Image.new("RGB", (3, 2), (255, 0, 0)).save(tmp_path / "x.png")
    np.testing.assert_allclose(pictures.read_gray(tmp_path / "x.png"), 0.299 * 255, rtol=1e-6)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG", png_header(7, 6), png_header(2**31 - 1, 2**31 - 1), png_header(60_000, 60_000), b"<html></html>"],
    ids=["empty", "signature", "header alone", "absurd size", "bomb", "web page"],
)
def test_a_damaged_picture_is_told_in_a_sentence(tmp_path, data):
    path = tmp_path / "röntgen.png"
    path.write_bytes(data)
    assert pictures.size(path) in (None, (6, 7))
    with pytest.raises(RadlibError, match=r"röntgen.png is not a whole picture .*export it again"):
        pictures.read(path)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]),
    place=st.integers(0, 200),
    junk=st.binary(min_size=1, max_size=8),
    cut=st.integers(0, 400),
)
def test_a_spoiled_byte_never_gives_more_than_a_sentence(tmp_path_factory, kind, place, junk, cut):
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    data[place % len(data) : place % len(data) + len(junk)] = junk
    path = tmp_path_factory.mktemp("spoiled") / f"x.{kind.lower()}"
    path.write_bytes(data[: len(data) - cut] if cut < len(data) else data)
    size = pictures.size(path)
    try:
        pixels = pictures.read(path)
    except RadlibError as error:
        assert str(path) in str(error)
    else:
        assert pixels.ndim == 3 and pixels.shape[1:] == size


def test_what_is_found_below_a_folder(tmp_path):
    picture(tmp_path / "b.PNG")
    picture(tmp_path / "a/ä.jpg")
    picture(tmp_path / "._b.png")
    (tmp_path / "c.png").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    os.symlink(tmp_path, tmp_path / "a/again")
    assert list(pictures.below(tmp_path)) == ["b.PNG", "a/ä.jpg"]


def test_a_folder_that_cannot_be_listed_and_a_name_in_another_encoding_are_told(tmp_path):
    with pytest.raises(RadlibError, match=r"gone cannot be listed \(No such file or directory\)"):
        list(pictures.below(tmp_path / "gone"))
    (tmp_path / os.fsdecode("Röntgen.png".encode("latin-1"))).write_bytes(b"")
    with pytest.raises(RadlibError, match=r"'R\\udcf6ntgen.png', whose name is not UTF-8; rename it"):
        list(pictures.below(tmp_path))


@pytest.mark.parametrize(
    "values, dtype, inside",
    [
        ([0, 1], np.uint8, [False, True]),
        ([0, 127, 128, 255], np.uint8, [False, False, True, True]),
        ([0, 32767, 32768, 65535], np.uint16, [False, False, True, True]),
        ([0, 0], np.uint8, [False, False]),
    ],
)
def test_a_mask_is_what_is_above_half_of_white(tmp_path, values, dtype, inside):
    Image.fromarray(np.array([values], dtype)).save(tmp_path / "m.png")
    assert pictures.read_mask(tmp_path / "m.png").tolist() == [inside]


@pytest.mark.parametrize("values, dtype", [([0, 2], np.uint8), ([0, 1000], np.uint16)])
def test_a_mask_of_other_numbers_is_not_read_as_empty(tmp_path, values, dtype):
    Image.fromarray(np.array([values], dtype)).save(tmp_path / "m.png")
    with pytest.raises(RadlibError, match=f"m.png is a mask whose largest value is {values[1]}; draw"):
        pictures.read_mask(tmp_path / "m.png")
