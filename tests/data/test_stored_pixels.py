"""How PNG, TIFF, JPEG and BMP may store pixels: each is read as an independent reader reads it, or refused by name."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from test_manifest import write  # the writer of manifests

from radlib.data import files, pictures, predicted_masks
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError

RNG = np.random.default_rng(0)
H, W = 40, 33


def levels(dtype, *shape):
    """Random numbers over the whole range of `dtype`."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.normal(0, 100, (H, W, *shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, (H, W, *shape), dtype=dtype, endpoint=True)


def png(path, array, bits, kind, *chunks, late=()):
    """A PNG as the specification says, written without any library: `array` (H, W) or (H, W, C) of `bits` bits."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows, columns = array.shape[:2]
    flat = array.reshape(rows, -1)
    if bits == 16:
        packed = flat.astype(">u2").view(np.uint8)
    else:
        each = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(each.reshape(rows, -1).astype(np.uint8), axis=1)
    lines = np.hstack([np.zeros((rows, 1), np.uint8), packed])  # filter 0: as it is
    head = struct.pack(">IIBBBBB", columns, rows, bits, kind, 0, 0, 0)
    body = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(lines.tobytes())), *late, (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in body))


def planes(array):
    return np.atleast_3d(array).transpose(2, 0, 1).astype(np.float32)


# PNG


@pytest.mark.parametrize("kind, channels", [(0, 1), (4, 2), (2, 3), (6, 4)], ids=["L", "LA", "RGB", "RGBA"])
def test_a_16_bit_png_keeps_every_level(tmp_path, kind, channels):
    array = RNG.integers(0, 4096, (H, W, channels))
    png(tmp_path / "x.png", array, 16, kind)
    colors = channels - (channels + 1) % 2
    np.testing.assert_array_equal(pictures.read(tmp_path / "x.png"), planes(array[..., :colors]))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_fewer_bits_are_stretched_to_white(tmp_path, bits):
    array = RNG.integers(0, 1 << bits, (H, W))
    png(tmp_path / "x.png", array, bits, 0)
    tifffile.imwrite(
        tmp_path / "x.tif", array.astype(np.uint8) if bits > 1 else array.astype(bool), bitspersample=bits,
        photometric="minisblack",
    )  # fmt: skip
    for name in ("x.png", "x.tif"):
        np.testing.assert_array_equal(pictures.read(tmp_path / name), planes(array) * (255 / ((1 << bits) - 1)))
        np.testing.assert_array_equal(
            pictures.read(tmp_path / name)[0], np.asarray(Image.open(tmp_path / name).convert("L"))
        )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_gives_colors_and_transparency(tmp_path, bits):
    array, palette = RNG.integers(0, 1 << bits, (H, W)), RNG.integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    alpha = RNG.integers(0, 256, 1 << bits).astype(np.uint8)
    png(tmp_path / "x.png", array, bits, 3, (b"PLTE", palette.tobytes()), (b"tRNS", alpha.tobytes()))
    found = pictures.raster(tmp_path / "x.png")
    np.testing.assert_array_equal(found.colors, planes(palette[array]))
    np.testing.assert_array_equal(found.places, array)
    np.testing.assert_allclose(found.alpha, alpha[array] / 255, rtol=1e-6)


def test_a_transparent_gray_is_transparency(tmp_path):
    array = RNG.integers(0, 16, (H, W))
    png(tmp_path / "x.png", array, 4, 0, (b"tRNS", struct.pack(">H", 5)))
    np.testing.assert_array_equal(pictures.raster(tmp_path / "x.png").alpha, array != 5)


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def test_an_interlaced_png_of_16_bits_is_put_together(tmp_path):
    array = RNG.integers(0, 65536, (H, W, 3))
    png(tmp_path / "x.png", array, 16, 2)
    parts = [array[y::down, x::right].astype(">u2") for y, x, down, right in ADAM7]
    lines = b"".join(b"\0" + line.tobytes() for part in parts for line in part if part.size)
    head = struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 1)
    whole = (tmp_path / "x.png").read_bytes()
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    body = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
    (tmp_path / "y.png").write_bytes(whole[:8] + b"".join(body))
    np.testing.assert_array_equal(pictures.read(tmp_path / "y.png"), planes(array))


def test_a_png_cut_short_or_spoiled_is_refused(tmp_path):
    png(tmp_path / "x.png", RNG.integers(0, 65536, (H, W, 3)), 16, 2)
    whole = (tmp_path / "x.png").read_bytes()
    for data in (whole[:-200], whole[:300] + b"\0" + whole[301:]):
        (tmp_path / "x.png").write_bytes(data)
        with pytest.raises(RadlibError, match="x.png is not a whole picture"):
            pictures.read(tmp_path / "x.png")


# TIFF


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_every_number_of_a_tiff_is_read_whichever_end_is_white(tmp_path, dtype, order):
    array = levels(dtype)
    for sense in ("minisblack", "miniswhite"):
        tifffile.imwrite(tmp_path / f"{sense}.tif", array, photometric=sense, byteorder=order)
        stored = imagecodecs.tiff_decode((tmp_path / f"{sense}.tif").read_bytes())  # by libtiff, not tifffile
        np.testing.assert_array_equal(stored, array)
    np.testing.assert_array_equal(pictures.read(tmp_path / "minisblack.tif"), planes(array))
    black = pictures.read(tmp_path / "miniswhite.tif")[0].astype(float)
    wide = array.astype(float)
    ends = (wide.min() + wide.max()) if array.dtype.kind == "f" else float(sum(map(int, limits(array.dtype))))
    np.testing.assert_allclose(black, ends - wide, rtol=1e-6, atol=1e-3 * (array.dtype.kind == "f"))


def limits(dtype):
    return np.iinfo(dtype).min, np.iinfo(dtype).max


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_white_is_zero_in_few_bits_is_read_as_pillow_does(tmp_path, bits):
    array = RNG.integers(0, 1 << bits, (H, W)).astype(np.uint8 if bits > 1 else bool)
    tifffile.imwrite(tmp_path / "x.tif", array, photometric="miniswhite", bitspersample=bits)
    with Image.open(tmp_path / "x.tif") as picture:
        np.testing.assert_array_equal(pictures.read(tmp_path / "x.tif")[0], np.asarray(picture.convert("L")))


@pytest.mark.parametrize("sense", [0, 1])
@pytest.mark.parametrize("compression", [None, "group3", "group4", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
def test_black_and_white_scans_are_read_as_pillow_does(tmp_path, compression, sense):
    drawn = Image.fromarray(RNG.random((H, W)) > 0.5)
    drawn.save(tmp_path / "m.tif", compression=compression, tiffinfo={262: sense})
    with Image.open(tmp_path / "m.tif") as picture:
        expected = np.asarray(picture.convert("L"))
    assert set(np.unique(expected)) == {0, 255}
    np.testing.assert_array_equal(pictures.read(tmp_path / "m.tif")[0], expected)
    if sense == 1:
        np.testing.assert_array_equal(pictures.read_mask(tmp_path / "m.tif"), expected > 0)


@pytest.mark.parametrize(
    "layout",
    [
        {"tile": (16, 16)},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "rowsperstrip": 7},
        {"compression": "zstd"},
        {"bigtiff": True},
        {"planarconfig": "separate", "tile": (16, 16)},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_layout_of_a_tiff_holds_the_same_pixels(tmp_path, layout, channels):
    if channels == 1 and "planarconfig" in layout:
        pytest.skip("one channel has no planes")
    array = levels("u2", 3)[..., :channels].squeeze()
    stored = array.transpose(2, 0, 1).copy() if "planarconfig" in layout else array
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb" if channels == 3 else "minisblack", **layout)
    np.testing.assert_array_equal(pictures.read(tmp_path / "x.tif"), planes(array))
    decoded = imagecodecs.tiff_decode((tmp_path / "x.tif").read_bytes())
    np.testing.assert_array_equal(decoded, stored)


def test_12_bits_floats_with_a_predictor_and_color_of_16_bits_keep_their_depth(tmp_path):
    cases = {
        "12": (levels("u2") >> 4, {"bitspersample": 12}),
        "float": (levels("f4"), {"compression": "zlib", "predictor": 3}),
        "rgb": (levels("u2", 3), {"photometric": "rgb"}),
        "rgba": (levels("u2", 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        "la": (
            levels("u2", 2),
            {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
        ),
    }
    for name, (array, layout) in cases.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", array, **layout)
        colors = {"rgba": 3, "la": 1}.get(name)
        expected = planes(array if colors is None else array[..., :colors])
        np.testing.assert_array_equal(pictures.read(tmp_path / f"{name}.tif"), expected, err_msg=name)


def test_colors_multiplied_by_alpha_are_divided_again(tmp_path):
    straight, alpha = RNG.integers(0, 256, (H, W, 3)), RNG.integers(100, 256, (H, W, 1))
    stored = np.concatenate([np.rint(straight * alpha / 255), alpha], axis=2).astype(np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_allclose(pictures.read(tmp_path / "x.tif"), planes(straight), atol=255 / 200)


def test_inks_and_jpeg_inside_a_tiff_are_read_as_pillow_does(tmp_path):
    smooth = np.kron(RNG.integers(0, 256, (5, 5, 4)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(smooth, "CMYK").save(tmp_path / "ink.tif")
    Image.fromarray(smooth[..., :3]).convert("YCbCr").save(tmp_path / "ycc.tif", compression="jpeg")
    for name in ("ink.tif", "ycc.tif"):
        with Image.open(tmp_path / name) as picture:
            np.testing.assert_allclose(pictures.read(tmp_path / name), planes(picture.convert("RGB")), atol=0.51)


def test_a_palette_of_16_bit_entries_keeps_them(tmp_path):
    array, palette = levels("u1"), RNG.integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", array, photometric="palette", colormap=palette)
    np.testing.assert_allclose(pictures.read(tmp_path / "x.tif"), palette[:, array] / 257, rtol=1e-6)
    np.testing.assert_array_equal(pictures.raster(tmp_path / "x.tif").places, array)


@pytest.mark.parametrize(
    "array, layout, sentence",
    [
        (levels("u1", 3), {"photometric": "cielab"}, r"color space CIELAB \(PhotometricInterpretation\).*gray or RGB"),
        (levels("f4").astype("c8"), {}, r"BitsPerSample, SampleFormat\), which cannot be read here; save"),
        (np.stack([levels("u2")] * 3), {"imagej": True}, "holds 3 pictures; save each"),
        (np.stack([levels("u2")] * 3), {"photometric": "minisblack"}, "holds 3 pictures; save each"),
        (np.stack([levels("u2")] * 16), {"volumetric": True, "tile": (16, 16, 16)}, "holds 16 pictures; save each"),
        (levels("u1", 5), {"photometric": "rgb", "extrasamples": [2, 0]}, r"has extra channels \(ExtraSamples\); save"),
    ],
    ids=["Lab", "complex", "ImageJ", "pages", "depth", "extra"],
)
def test_what_a_tiff_holds_beyond_a_picture_is_refused_by_its_field(tmp_path, array, layout, sentence):
    tifffile.imwrite(tmp_path / "x.tif", array, **layout)
    with pytest.raises(RadlibError, match=rf"x\.tif .*{sentence}"):
        pictures.read(tmp_path / "x.tif")


def test_a_tile_that_claims_to_be_huge_is_refused_before_it_is_unpacked(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", levels("u1"), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(tmp_path / "x.tif", mode="r+") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages.first.tags[name].overwrite(65520)
    with pytest.raises(RadlibError, match=r"x\.tif has tiles of 65,520 x 65,520 pixels \(TileWidth, TileLength\)"):
        pictures.read(tmp_path / "x.tif")


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "jpeg"])
def test_a_tiff_cut_short_is_refused(tmp_path, compression):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, RNG.integers(0, 256, (300, 200)).astype(np.uint8), compression=compression, rowsperstrip=20)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(RadlibError, match="x.tif is not a whole picture"):
        pictures.read(path)


# JPEG and BMP


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_read_as_libjpeg_does(tmp_path, mode):
    smooth = np.kron(RNG.integers(0, 256, (5, 5, 4)), np.ones((8, 8, 1))).astype(np.uint8)
    drawn = Image.fromarray({"L": smooth[..., 0], "RGB": smooth[..., :3]}.get(mode, smooth), mode)
    drawn.save(tmp_path / "x.jpg", quality=95)
    outside = planes(imagecodecs.jpeg_decode((tmp_path / "x.jpg").read_bytes()))
    if mode == "CMYK":  # Adobe stores what the inks leave of white
        outside = outside[:3] * outside[3] / 255
    np.testing.assert_allclose(pictures.read(tmp_path / "x.jpg"), outside, atol=2)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bmp_is_read_as_drawn(tmp_path, mode):
    drawn = Image.fromarray(levels("u1", 4)).convert("RGB").convert(mode)
    drawn.save(tmp_path / "x.bmp")
    expected = drawn.convert("L" if mode in "1L" else "RGB")
    np.testing.assert_array_equal(pictures.read(tmp_path / "x.bmp"), planes(expected))


# Orientation


def oriented(path, array, orientation):
    """`array` stored with the tag; PNG says it behind its pixels, where most writers do."""
    about = Image.Exif()
    about[0x0112] = orientation
    if path.suffix == ".tif":
        tifffile.imwrite(path, array, extratags=[(274, "H", 1, orientation, True)])
    elif path.suffix == ".png":
        png(path, array, 8, 0, late=[(b"eXIf", about.tobytes().removeprefix(b"Exif\0\0"))])
    else:
        Image.fromarray(array).save(path, exif=about, quality=100)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_a_picture_stands_as_viewers_show_it(tmp_path, ending, orientation):
    array, path = levels("u1"), tmp_path / f"x.{ending}"
    oriented(path, array, orientation)
    stored = np.asarray(Image.open(path)) if ending == "jpg" else array
    tagged = Image.fromarray(stored)
    tagged.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(tagged))
    np.testing.assert_array_equal(pictures.read(path)[0], expected)
    assert pictures.size(path) == expected.shape == files.look(path).size


def metadata(kind, orientation):
    """A chunk of a PNG that says the orientation, in one of the ways that writers use."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes()
    if kind == "eXIf":
        return b"eXIf", body.removeprefix(b"Exif\0\0")
    if kind == "XMP":
        said = f'<rdf:Description tiff:Orientation="{orientation}"/>'
        return b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + said.encode()
    text = f"\nexif\n{len(body):8}\n{body.hex()}\n".encode()
    if kind == "zTXt":
        return b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)
    return b"tEXt", b"Raw profile type exif\0" + text


@pytest.mark.parametrize("kind", ["eXIf", "XMP", "tEXt", "zTXt"])
@pytest.mark.parametrize("place", ["before", "behind", "far behind", "behind another"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_png_is_upright_wherever_it_says_its_orientation(tmp_path, kind, place, orientation):
    array, chunk = levels("u1"), metadata(kind, orientation)
    comment = (b"tEXt", b"Comment\0" + b"x" * 200_000)
    chunks = [chunk] if place == "before" else [metadata(kind, 8)] if place == "behind another" else []
    late = {"before": [], "far behind": [chunk, comment]}.get(place, [chunk])
    png(tmp_path / "x.png", array, 8, 0, *chunks, late=late)
    with Image.open(tmp_path / "x.png") as picture:
        picture.load()
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(pictures.read(tmp_path / "x.png")[0], expected)
    assert not np.array_equal(expected, array) and pictures.size(tmp_path / "x.png") == expected.shape


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_images_masks_and_predictions_agree_on_what_is_up(tmp_path, ending):
    shown, inside = levels("u1"), np.zeros((H, W), np.uint8)
    inside[3:9, 20:30] = 255
    rows = [(f"{k}.{ending}", f"p{k}", f"m{k}.{ending.replace('jpg', 'png')}") for k in range(8)]
    for k, (image, _, mask) in enumerate(rows):
        for name, array in ((image, shown), (mask, inside)):
            stored = {1: array, 6: np.rot90(array), 3: array[::-1, ::-1]}[(1, 6, 3)[(k + (name == mask)) % 3]]
            oriented(tmp_path / name, np.ascontiguousarray(stored), (1, 6, 3)[(k + (name == mask)) % 3])
    dataset = open_dataset("manifest", write(tmp_path, rows, ("image", "patient", "mask")))
    for row in range(8):
        np.testing.assert_array_equal(dataset.mask(row), inside > 0)
        assert dataset.read(row).shape[1:] == predicted_masks.native_shape(dataset, row) == (H, W)
    (written,) = predicted_masks.write(dataset, [(1, dataset.mask(1))], tmp_path.parent / f"{tmp_path.name}-masks")
    np.testing.assert_array_equal(np.asarray(Image.open(written)), inside > 0)


# Masks drawn in alpha

INSIDE = np.zeros((H, W), bool)
INSIDE[5:15, 8:20] = True


def rgba(color, alpha):
    return np.dstack([np.broadcast_to(part, (H, W)) for part in (color, color, color, alpha)]).astype(np.uint8)


SOFT = np.where(INSIDE, 255, 0)
SOFT[4, 8:20], SOFT[5, 8:20] = 90, 170  # borders: more outside than inside, more inside than outside
IN_ALPHA = {
    "white": rgba(255, INSIDE * 255),
    "black": rgba(0, INSIDE * 255),
    "soft": rgba(255, SOFT),
    "white on black": rgba(INSIDE * 255, INSIDE * 255),
    "soft white on black": rgba((SOFT > 0) * 255, SOFT),
    "gray and alpha": rgba(255, INSIDE * 255)[..., 2:],
    "opaque": rgba(INSIDE * 255, 255),
    "half opaque": rgba(INSIDE * 255, 128),
    "ones": rgba(INSIDE * 1, INSIDE * 255),
}


def read_both_ways(path):
    return pictures.read_mask(path), files.read_mask(files.look(path), 0, []) > 0


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("drawn", IN_ALPHA)
def test_a_mask_drawn_in_alpha_is_what_is_opaque(tmp_path, drawn, ending):
    path, array = tmp_path / f"m.{ending}", IN_ALPHA[drawn]
    if ending == "png":
        Image.fromarray(array).save(path)
    else:
        gray = array.shape[2] == 2
        tifffile.imwrite(
            path, array, photometric="minisblack" if gray else "rgb", planarconfig="contig", extrasamples=["unassalpha"]
        )
    for found in read_both_ways(path):
        np.testing.assert_array_equal(found, INSIDE)


@pytest.mark.parametrize(
    "colors", [[[255, 255, 255]] * 2, [[0, 0, 0]] * 2, [[250, 0, 0]] * 2, [[0, 0, 0], [250, 0, 0]]]
)
def test_a_palette_mask_with_transparent_entries_is_read_by_what_is_opaque(tmp_path, colors):
    palette = np.array(colors, np.uint8).tobytes()
    png(tmp_path / "m.png", INSIDE.astype(int), 8, 3, (b"PLTE", palette), (b"tRNS", b"\0\xff"))
    for found in read_both_ways(tmp_path / "m.png"):
        np.testing.assert_array_equal(found, INSIDE)


def test_16_bit_alpha_and_an_empty_mask_are_read(tmp_path):
    png(tmp_path / "m.png", np.dstack([np.full((H, W), 65535)] * 3 + [INSIDE * 65535]), 16, 6)
    png(tmp_path / "none.png", np.dstack([np.full((H, W), 255)] * 3 + [np.zeros((H, W), int)]), 8, 6)
    for found, empty in zip(read_both_ways(tmp_path / "m.png"), read_both_ways(tmp_path / "none.png"), strict=True):
        np.testing.assert_array_equal(found, INSIDE)
        assert not empty.any()


LABELS = np.where(INSIDE, 1, 0) + 2 * np.roll(INSIDE, 20, axis=0)


@pytest.mark.parametrize(
    "array",
    [
        rgba(np.where(INSIDE, 0, 255), INSIDE * 255),  # black drawn over hidden white
        rgba(INSIDE * 255, np.roll(INSIDE, 5) * 255),  # colors and alpha draw different things
        rgba(INSIDE * 255, 0),  # all hidden
        rgba(LABELS, np.where(LABELS > 0, 128, 0)),  # label numbers that are half there
    ],
    ids=["hidden", "apart", "transparent", "half"],
)
def test_colors_and_alpha_that_disagree_are_refused(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "m.png")
    for read in (pictures.read_mask, lambda path: files.read_mask(files.look(path), 0, [1, 2])):
        with pytest.raises(RadlibError, match=r"m\.png is a mask whose colors and transparency \(alpha\) do not agree"):
            read(tmp_path / "m.png")


def bitmap(path, array, head, down=False):
    """A BMP of 32 bits without bit fields: `array` (H, W, 4), header of `head` bytes, `down`: first row first."""
    body = array[:: 1 if down else -1][..., [2, 1, 0, 3]].astype(np.uint8).tobytes()
    rows = -H if down else H
    info = struct.pack("<IiiHHIIiiII", head, W, rows, 1, 32, 0, len(body), 2835, 2835, 0, 0).ljust(head, b"\0")
    start = 14 + len(info)
    path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + body)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("head", [40, 108, 124])
@pytest.mark.parametrize("drawn", [name for name in IN_ALPHA if IN_ALPHA[name].shape[2] == 4])
def test_a_mask_in_the_fourth_byte_of_a_bmp_is_what_is_opaque(tmp_path, drawn, head, down):
    bitmap(tmp_path / "m.bmp", IN_ALPHA[drawn], head, down)
    for found in read_both_ways(tmp_path / "m.bmp"):
        np.testing.assert_array_equal(found, INSIDE)


def test_a_bmp_that_pillow_writes_keeps_its_colors_and_its_alpha(tmp_path):
    array = levels("u1", 4)
    Image.fromarray(array).save(tmp_path / "x.bmp")
    found = pictures.raster(tmp_path / "x.bmp")
    np.testing.assert_array_equal(found.colors, planes(array[..., :3]))
    np.testing.assert_allclose(found.alpha, array[..., 3] / 255, rtol=1e-6)
    Image.fromarray(rgba(levels("u1"), 0)).save(tmp_path / "y.bmp")  # the fourth byte left empty
    assert pictures.raster(tmp_path / "y.bmp").alpha is None


def refused_both_ways(path, sentence, values=(1, 2)):
    for read in (pictures.read_mask, lambda each: files.read_mask(files.look(each), 0, values)):
        with pytest.raises(RadlibError, match=rf"{path.name} is a mask {sentence}"):
            read(path)


@pytest.mark.parametrize("white, dtype", [(1, bool), (1, "u1"), (255, "u1"), (65535, "u2"), (1, "f4"), (1, "i1")])
@pytest.mark.parametrize("values", [(), (1,)])
def test_a_mask_that_stores_white_as_0_is_refused(tmp_path, white, dtype, values):
    tifffile.imwrite(tmp_path / "m.tif", (INSIDE * white).astype(dtype), photometric="miniswhite")
    refused_both_ways(tmp_path / "m.tif", r"that stores white as 0 \(PhotometricInterpretation\)", values)


def test_a_mask_in_inks_or_with_an_inverting_palette_is_refused(tmp_path):
    Image.fromarray(rgba(0, INSIDE), "CMYK").save(tmp_path / "ink.tif")
    Image.fromarray(rgba(0, INSIDE * 255), "CMYK").save(tmp_path / "ink.jpg")
    ramp = np.repeat(np.arange(255, -1, -1, dtype=np.uint8), 3)  # as ImageJ saves its inverting look-up table
    for k, number in enumerate((1, 255)):
        png(tmp_path / f"{k}.png", INSIDE * number, 8, 3, (b"PLTE", ramp.tobytes()))
    for name in ("ink.tif", "ink.jpg", "0.png", "1.png"):
        refused_both_ways(tmp_path / name, "that stores white as 0")


RED = [np.where(INSIDE, 255, 0), np.zeros((H, W)), np.zeros((H, W))]


@pytest.mark.parametrize("method", [Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE, Image.Quantize.FASTOCTREE])
def test_colors_reduced_to_a_palette_are_read_or_refused_but_never_inverted(tmp_path, method):
    reduced = Image.fromarray(np.dstack(RED).astype(np.uint8)).quantize(2, method=method)
    reduced.save(tmp_path / "m.png")
    if reduced.getpalette()[:3] == [0, 0, 0]:
        for found in read_both_ways(tmp_path / "m.png"):
            np.testing.assert_array_equal(found, INSIDE)
    else:
        refused_both_ways(tmp_path / "m.png", "with a palette whose color 0 is not black")


@pytest.mark.parametrize("background", [(255, 0, 0), (0, 0, 90), (255, 255, 255)])
def test_a_palette_whose_color_0_is_not_black_is_refused_unless_it_is_transparent(tmp_path, background):
    palette = np.array([background, (0, 0, 0), (0, 250, 0)], np.uint8)
    numbers = LABELS.astype(np.uint8)
    png(tmp_path / "m.png", numbers, 8, 3, (b"PLTE", palette.tobytes()))
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, :3] = palette.T.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "m.tif", numbers, photometric="palette", colormap=colormap)
    for name in ("m.png", "m.tif"):
        refused_both_ways(tmp_path / name, "with a palette whose color 0 is not black")
    png(tmp_path / "t.png", numbers, 8, 3, (b"PLTE", palette.tobytes()), (b"tRNS", b"\0"))
    np.testing.assert_array_equal(files.read_mask(files.look(tmp_path / "t.png"), 0, [1, 2]), LABELS)


@pytest.mark.parametrize("numbers", [-INSIDE.astype("i1"), np.where(INSIDE, np.nan, 0).astype("f4")], ids=["-1", "NaN"])
def test_a_mask_of_numbers_that_are_none_of_a_mask_is_not_read_as_empty(tmp_path, numbers):
    tifffile.imwrite(tmp_path / "m.tif", numbers)
    with pytest.raises(
        RadlibError, match=r"m\.tif is a mask whose smallest value is (-1|nan); draw what is inside as 1"
    ):
        pictures.read_mask(tmp_path / "m.tif")


@pytest.mark.parametrize("bits", [1, 2, 4, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("values", [(), (1,), (255,)])
def test_1_or_white_is_one_structure_at_every_depth(tmp_path, bits, ending, values):
    most = (1 << bits) - 1
    for number in {1, most} if 255 not in values else {most}:
        array, path = INSIDE * number, tmp_path / f"{number}.{ending}"
        if ending == "png":
            png(path, array, bits, 0)
        else:
            dtype = bool if bits == 1 else np.uint16 if bits == 16 else np.uint8
            tifffile.imwrite(path, array.astype(dtype), bitspersample=bits, photometric="minisblack")
        np.testing.assert_array_equal(files.read_mask(files.look(path), 0, values), INSIDE)
        np.testing.assert_array_equal(pictures.read_mask(path), INSIDE)


@pytest.mark.parametrize("bits", [2, 4])
def test_label_numbers_of_few_bits_are_those_stored_and_never_taken_for_blur(tmp_path, bits):
    most = (1 << bits) - 1
    numbers = np.where(LABELS == 2, most, LABELS)
    numbers[0, 0] = most - 1
    png(tmp_path / "m.png", numbers, bits, 0)
    codes = np.select([numbers == value for value in (1, most - 1, most)], (1, 2, 3), 0)
    np.testing.assert_array_equal(files.read_mask(files.look(tmp_path / "m.png"), 0, [1, most - 1, most]), codes)
    with pytest.raises(RadlibError, match=rf"holds the value {most - 1}; say in classes.csv what each number means"):
        files.read_mask(files.look(tmp_path / "m.png"), 0, [])


def test_blurred_white_of_16_bits_is_split_in_half_and_large_labels_are_not(tmp_path):
    soft = np.where(SOFT == 255, 65535, SOFT * 257)
    png(tmp_path / "m.png", soft, 16, 0)
    np.testing.assert_array_equal(files.read_mask(files.look(tmp_path / "m.png"), 0, []), SOFT > 127)
    png(tmp_path / "l.png", np.where(LABELS == 2, 40000, LABELS * 300), 16, 0)
    with pytest.raises(RadlibError, match="holds the value 300; say in classes.csv"):
        files.read_mask(files.look(tmp_path / "l.png"), 0, [])


def test_soft_white_multiplied_by_alpha_agrees_with_it(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", rgba(SOFT, SOFT), photometric="rgb", extrasamples=["assocalpha"])
    for found in read_both_ways(tmp_path / "m.tif"):
        np.testing.assert_array_equal(found, SOFT > 127)


def test_label_numbers_on_a_transparent_background_are_read(tmp_path):
    Image.fromarray(rgba(LABELS, np.where(LABELS > 0, 255, 0))).save(tmp_path / "m.png")
    np.testing.assert_array_equal(files.read_mask(files.look(tmp_path / "m.png"), 0, [1, 2]), LABELS)


def test_an_image_loses_its_alpha_unless_alpha_is_all_there_is(tmp_path):
    gray = levels("u1")
    Image.fromarray(rgba(gray, INSIDE * 255)).save(tmp_path / "x.png")
    np.testing.assert_array_equal(pictures.read_gray(tmp_path / "x.png")[0], gray)
    Image.fromarray(rgba(0, gray)).save(tmp_path / "y.png")
    with pytest.raises(RadlibError, match=r"y\.png has one color throughout and its picture in transparency"):
        pictures.read(tmp_path / "y.png")


def test_a_jpeg_of_12_bits_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "x.jpg").write_bytes(imagecodecs.jpeg_encode(levels("u2") >> 4, bitspersample=12))
    assert pictures.size(tmp_path / "x.jpg") is None
    with pytest.raises(RadlibError, match=r"x\.jpg is a JPEG picture of 12 bits a sample, .* save it as PNG or TIFF"):
        pictures.read(tmp_path / "x.jpg")


def test_a_tiff_that_does_not_say_what_its_numbers_mean_is_refused_by_the_field(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", levels("u1"), photometric="minisblack")
    whole = (tmp_path / "x.tif").read_bytes()
    tag = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert whole.count(tag) == 1
    (tmp_path / "y.tif").write_bytes(whole.replace(tag, struct.pack("<HHIHH", 261, 3, 1, 1, 0)))  # another tag
    with pytest.raises(RadlibError, match=r"y\.tif does not say whether 0 is black or white \(PhotometricInterp"):
        pictures.read(tmp_path / "y.tif")
    tifffile.imwrite(tmp_path / "c.tif", levels("u1", 3), photometric="rgb")
    with tifffile.TiffFile(tmp_path / "c.tif", mode="r+b") as file:
        file.pages.first.tags[258].overwrite((5, 6, 5))
    with pytest.raises(RadlibError, match=r"c\.tif has 5, 6, 5 bits a sample \(BitsPerSample\); save it with as many"):
        pictures.read(tmp_path / "c.tif")
