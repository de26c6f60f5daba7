"""Masks written to files: the true ones must come out as the release has them, byte for byte of what a viewer reads."""

import dataclasses
import itertools
import os
import shutil
import struct

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import WRITERS, picture, table
from PIL import Image
from test_dicom import save
from test_volumes import CODES, reoriented

from radlib import atomic
from radlib.data import predicted_masks
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError

OBLIQUE = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.2, -0.15, 0.1) @ np.diag([0.7, 0.8, 2.5]), [-31.5, 12.25, 88.125]
)


def truth(dataset, rows=None):
    return [(row, dataset.mask(row)) for row in (range(len(dataset)) if rows is None else rows)]


def scan(path, array, affine, kind=nibabel.Nifti1Image, codes=(1, 1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(array, affine)
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


def same(written, label):
    """Whether two NIfTI files say the same, as nibabel reads them: numbers, affine, codes, units, spacing."""
    found, expected = nibabel.load(written), nibabel.load(label)
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert found.get_data_dtype() == np.uint8 and found.shape == expected.shape
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert found.header[field] == expected.header[field], field
    assert found.header.get_zooms() == expected.header.get_zooms()
    np.testing.assert_array_equal(found.get_qform(), expected.get_qform())


@pytest.mark.parametrize("protocol", ["ours", "authors"])
def test_scans_of_all_48_orientations_come_back_as_they_are_stored(tmp_path, protocol):
    for k, codes in enumerate(CODES, start=1):
        rng = np.random.default_rng(k)
        array, affine = reoriented(rng.integers(0, 16, (5, 6, 7)).astype(np.uint8), codes)
        for part, values in (("images", array.astype(np.int16)), ("labels", array)):
            scan(tmp_path / f"{part}Tr/amos_{k:04d}.nii.gz", values, OBLIQUE @ affine, codes=(k % 3, k % 2 + 1))
    dataset = open_dataset("amos", tmp_path, protocol=protocol, progress=False)
    paths = predicted_masks.write(dataset, truth(dataset), tmp_path / "out")
    assert [path.name for path in paths] == [f"amos_{k:04d}.nii.gz" for k in range(1, 49)]
    for path in paths:
        same(path, tmp_path / "labelsTr" / path.name)


@settings(max_examples=25)
@given(
    codes=st.sampled_from(CODES),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    kind=st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]),
    forms=st.sampled_from([(1, 0), (0, 2), (1, 3), (0, 0)]),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
    big_endian=st.booleans(),
)
def test_whatever_the_header_of_a_scan_its_mask_lies_on_it(
    tmp_path_factory, codes, shape, kind, forms, suffix, big_endian
):
    root = tmp_path_factory.mktemp("own")
    truths = np.random.default_rng(0).integers(0, 3, (3, *shape)).astype(np.uint8)
    for k in range(3):
        array, affine = reoriented(truths[k], codes)
        for part in "im":
            path = root / f"{part}/{k}{suffix}"
            scan(path, array.astype(np.int16), OBLIQUE @ affine, kind, forms)
            if big_endian:
                image = nibabel.load(path)
                values = np.asarray(image.dataobj)
                nibabel.save(kind(values, None, image.header.as_byteswapped(">")), path)
    table(root / "manifest.csv", ("image", "patient", "mask"), [(f"i/{k}{suffix}", k, f"m/{k}{suffix}") for k in "012"])
    table(root / "classes.csv", ("value", "name"), [(1, "a"), (2, "b")])
    dataset = open_dataset("manifest", root, progress=False)
    for k, path in enumerate(predicted_masks.write(dataset, truth(dataset), root / "out")):
        same(path, root / f"m/{k}{suffix}")
        stack = np.stack([mask for row, mask in truth(dataset) if dataset.samples["patient"][row] == str(k)])
        stored = predicted_masks.volume(dataset, str(k), stack)
        np.testing.assert_array_equal(stored, np.asarray(nibabel.load(root / f"m/{k}{suffix}").dataobj))
        zooms = nibabel.affines.voxel_sizes(nibabel.load(root / f"m/{k}{suffix}").affine)
        np.testing.assert_allclose(predicted_masks.spacing_mm(dataset, str(k)), zooms)


def test_the_real_ct_and_mr_come_back_as_they_are(real_images, tmp_path):
    source = real_images / "ct-mr-totalseg-example"
    pairs = {"ct": ("example_ct_sm", "example_seg"), "mr": ("example_mr_sm", "example_seg_mr")}
    values = set()
    rows = []
    for name, (image, mask) in [*pairs.items(), ("again", pairs["ct"])]:
        for part, file in (("i", image), ("m", mask)):
            (tmp_path / part).mkdir(exist_ok=True)
            shutil.copy(source / f"{file}.nii.gz", tmp_path / part / f"{name}.nii.gz")
        values |= set(np.unique(np.asarray(nibabel.load(source / f"{mask}.nii.gz").dataobj)).astype(int)) - {0}
        rows.append((f"i/{name}.nii.gz", name, f"m/{name}.nii.gz"))
    table(tmp_path / "manifest.csv", ("image", "patient", "mask"), rows)
    # a class for every number up to the largest, so that class and number are one
    table(tmp_path / "classes.csv", ("value", "name"), [(k, f"organ {k}") for k in range(1, max(values) + 1)])
    dataset = open_dataset("manifest", tmp_path, progress=False)
    paths = predicted_masks.write(dataset, truth(dataset), tmp_path / "out")
    assert [path.name for path in paths] == ["ct.nii.gz", "mr.nii.gz", "again.nii.gz"]
    for path in paths:
        found, label = nibabel.load(path), nibabel.load(tmp_path / "m" / path.name)
        image = nibabel.load(tmp_path / "i" / path.name)
        np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(label.dataobj))
        np.testing.assert_array_equal(found.affine, image.affine)
        np.testing.assert_allclose(found.affine, label.affine, atol=1e-3)
        for field in ("qform_code", "sform_code", "xyzt_units"):
            assert found.header[field] == image.header[field]
    np.testing.assert_allclose(predicted_masks.spacing_mm(dataset, "ct"), (3, 3, 3), rtol=1e-4)


def test_a_fourth_axis_of_one_is_left_out(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    for path in sorted(root.rglob("*Tr/*.gz")):
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine), path)
    dataset = open_dataset("msd_heart", root, progress=False)
    for path in predicted_masks.write(dataset, truth(dataset), tmp_path / "out"):
        label = nibabel.load(root / "Task02_Heart/labelsTr" / path.name)
        np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), np.asarray(label.dataobj)[..., 0])
        np.testing.assert_array_equal(nibabel.load(path).affine, label.affine)


@pytest.mark.parametrize("name", ["montgomery", "shenzhen"])
def test_pictures_come_back_as_they_are_and_can_be_seen(tmp_path, name):
    dataset = open_dataset(name, WRITERS[name](tmp_path), progress=False)
    paths = predicted_masks.write(dataset, iter(truth(dataset)), tmp_path / "out")
    assert [path.stem for path in paths] == [os.path.splitext(os.path.basename(p))[0] for p in dataset.samples["image"]]
    for row, path in enumerate(paths):
        assert path.read_bytes()[24] == 8  # bits, in the header of a PNG
        with Image.open(path) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), dataset.mask(row))
            colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
        seen = {tuple(colour) for colour in colours.tolist()}
        assert len(seen) == 1 + len(dataset.classes) and (0, 0, 0) in seen
        assert all(max(colour) > 200 for colour in seen - {(0, 0, 0)})
    assert (tmp_path / "out/classes.csv").read_text().splitlines() == [
        "value,name",
        *(f"{k},{name}" for k, name in enumerate(dataset.classes, start=1)),
    ]


@pytest.mark.parametrize("name", ["montgomery", "amos"])
def test_what_was_written_can_be_read_as_a_readers_own_masks(tmp_path, name):
    dataset = open_dataset(name, WRITERS[name](tmp_path / "release"), progress=False)
    own = tmp_path / "own"
    paths = predicted_masks.write(dataset, truth(dataset), own / "m")
    once = dataset.samples.drop_duplicates("image")
    (own / "i").mkdir()
    for image in once["image"]:
        shutil.copy(dataset.root / image, own / "i")
    columns = (once["image"], once["patient"], paths)
    rows = [(f"i/{os.path.basename(i)}", p, f"m/{m.name}") for i, p, m in zip(*columns, strict=True)]
    table(own / "manifest.csv", ("image", "patient", "mask"), rows)
    (own / "m/classes.csv").rename(own / "classes.csv")
    again = open_dataset("manifest", own, progress=False)
    assert again.classes == dataset.classes
    for row in range(len(dataset)):
        np.testing.assert_array_equal(again.mask(row), dataset.mask(row))


def test_nothing_of_a_header_but_the_place_is_copied(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    for path in root.rglob("imagesTr/*.gz"):
        image = nibabel.load(path)
        for field in ("descrip", "aux_file", "db_name", "intent_name"):
            image.header[field] = b"Jane Doe"
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Jane Doe"))
        image.header["cal_max"] = 900
        nibabel.save(image, path)
    dataset = open_dataset("msd_heart", root, progress=False)
    for path in predicted_masks.write(dataset, truth(dataset), tmp_path / "out"):
        found = nibabel.load(path)
        assert b"Jane" not in found.to_bytes() and not found.header.extensions and found.header["cal_max"] == 0


def test_the_same_masks_make_the_same_bytes(tmp_path):
    dataset = open_dataset("msd_heart", WRITERS["msd_heart"](tmp_path), progress=False)
    both = [predicted_masks.write(dataset, truth(dataset), tmp_path / name) for name in ("a", "b")]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*both, strict=True))
    again = predicted_masks.write(dataset, truth(dataset), tmp_path / "a")  # an earlier call's folder is written anew
    assert again == both[0] and len(list((tmp_path / "a").iterdir())) == 11


def test_a_scan_is_on_disk_before_the_next_ones_second_slice_is_asked_for(tmp_path):
    dataset = open_dataset("msd_heart", WRITERS["msd_heart"](tmp_path), progress=False)
    table_of = dataset.samples

    def slowly():
        for row in range(len(dataset)):
            if table_of["slice"][row] == 1:
                done = row // 4
                assert len(list((tmp_path / "out").glob("*.nii.gz"))) == done
            yield row, dataset.mask(row)

    assert len(predicted_masks.write(dataset, slowly(), tmp_path / "out")) == 10


def test_the_slices_of_a_scan_may_come_in_any_order(tmp_path):
    dataset = open_dataset("amos", WRITERS["amos"](tmp_path), progress=False)
    (path,) = predicted_masks.write(dataset, truth(dataset, (2, 0, 3, 1)), tmp_path / "out")
    same(path, tmp_path / "amos22/labelsTr/amos_0001.nii.gz")


@pytest.mark.parametrize(
    "rows, sentence",
    [
        (
            [0, 1, 3],
            r"1 of the 4 slices of .*amos_0001\.nii\.gz were not predicted, first slice 2; predict whole scans",
        ),
        ([0, 4, 1, 2, 3], r"3 of the 4 slices of .*amos_0001"),
        ([0, 1, 2, 2, 3], r"Slice 2 of .*amos_0001\.nii\.gz was predicted twice; give every slice once"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3], r"amos_0001\.nii\.gz was predicted twice; give every image once"),
    ],
)
def test_scans_that_are_not_whole_are_told_and_leave_nothing_of_theirs(tmp_path, rows, sentence):
    dataset = open_dataset("amos", WRITERS["amos"](tmp_path), progress=False)
    with pytest.raises(RadlibError, match=sentence):
        predicted_masks.write(dataset, truth(dataset, rows), tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert path.name == "classes.csv" or nibabel.load(path).shape == (6, 5, 4)


@pytest.mark.parametrize(
    "mask, words",
    [
        (np.zeros((4, 5), np.uint8), r"must be uint8 \(12, 10\), got uint8 \(4, 5\)"),
        (np.zeros((12, 10), np.int64), "got int64"),
        (np.full((12, 10), 3, np.uint8), "holds 3; 0 to 2 are classes"),
    ],
)
def test_masks_that_cannot_be_meant_are_refused(tmp_path, mask, words):
    dataset = open_dataset("montgomery", WRITERS["montgomery"](tmp_path), progress=False)
    with pytest.raises(ValueError, match=words):
        predicted_masks.write(dataset, [(0, mask)], tmp_path / "out")


def never():
    pytest.fail("a prediction was asked for")
    yield


FOREIGN = "holds other files than masks of these classes; name a new or an empty folder"
ITSELF = "holds Montgomery County or is part of it; name a folder of its own"


def test_masks_of_another_run_are_not_mixed_with(tmp_path):
    dataset = open_dataset("montgomery", WRITERS["montgomery"](tmp_path / "data"), progress=False)
    predicted_masks.check_folder(dataset, tmp_path / "new" / "masks", np.array([0]))
    assert not (tmp_path / "new").exists()
    blank = np.zeros(predicted_masks.native_shape(dataset, 0), np.uint8)
    (path,) = predicted_masks.write(dataset, [(0, blank)], tmp_path / "masks")
    predicted_masks.check_folder(dataset, tmp_path / "masks", np.array([0, 1]))
    with pytest.raises(RadlibError, match=f"none of this run's, first {path.name}"):
        predicted_masks.check_folder(dataset, tmp_path / "masks", np.array([1]))


@pytest.mark.parametrize(
    "place, sentence",
    [
        ("data", ITSELF),
        ("data/MontgomerySet", ITSELF),
        ("data/MontgomerySet/CXR_png", ITSELF),
        ("data/MontgomerySet/CXR_png/predicted", ITSELF),
        ("data/MontgomerySet/ManualMask", ITSELF),
        ("data/MontgomerySet/ManualMask/leftMask", ITSELF),
        (".", ITSELF),
        ("link", ITSELF),
        ("other", FOREIGN),
        ("other/labelsTr", FOREIGN),
        ("cohort", FOREIGN),
        ("classes", FOREIGN),
        ("file", "is no folder to write to .*name another"),
        ("file/below", "is no folder to write to .*; name another one"),
    ],
)
def test_a_folder_that_is_not_for_masks_is_refused_before_anything_is_predicted(tmp_path, place, sentence):
    dataset = open_dataset("montgomery", WRITERS["montgomery"](tmp_path / "data"), progress=False)
    (tmp_path / "link").symlink_to(tmp_path / "data/MontgomerySet/CXR_png")
    WRITERS["msd_heart"](tmp_path / "heart", base="other").joinpath("other").rename(tmp_path / "other")
    (tmp_path / "file").write_text("x")
    ours = [(1, "left lung"), (2, "right lung")]
    table(tmp_path / "cohort/manifest.csv", ("image", "patient"), [])
    table(tmp_path / "cohort/classes.csv", ("value", "name"), ours)
    table(tmp_path / "classes/classes.csv", ("value", "name"), [(1, "heart")])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RadlibError, match=sentence):
        predicted_masks.write(dataset, never(), tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_beside_the_images_may_be_written_to(tmp_path):
    dataset = open_dataset("montgomery", WRITERS["montgomery"](tmp_path), progress=False)
    (tmp_path / "predicted").mkdir()
    (tmp_path / "predicted/.DS_Store").write_text("")
    assert len(predicted_masks.write(dataset, truth(dataset), tmp_path / "predicted")) == 12


def test_a_full_disk_is_told_and_leaves_whole_files(tmp_path, monkeypatch):
    dataset = open_dataset("amos", WRITERS["amos"](tmp_path), progress=False)
    masks = truth(dataset)  # which fills the slice cache first
    calls, real = itertools.count(), atomic.os.replace

    def full(source, target):
        if next(calls) > 2:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(RadlibError, match=r"amos_0003\.nii\.gz cannot be written \(No space left .*finished is kept"):
        predicted_masks.write(dataset, masks, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "amos_0001.nii.gz", "amos_0002.nii.gz", "classes.csv",
    ]  # fmt: skip


def own(root, images, shape=(6, 8)):
    """Pictures, and DICOM files (.dcm, .4), with a mask each; patient k has image k."""
    rows = []
    for k, name in enumerate(images):
        mask = f"m/{k}.png"
        if name.endswith((".dcm", ".4")):
            save(root / f"i/{name}", np.zeros(shape, np.uint16))
        else:
            picture(root / f"i/{name}", shape, seed=k)
        picture(root / mask, values=np.eye(*shape, k=k % 3, dtype=np.uint8))
        rows.append((f"i/{name}", f"p{k}", mask))
    table(root / "manifest.csv", ("image", "patient", "mask"), rows)
    return open_dataset("manifest", root, progress=False)


@pytest.mark.parametrize(
    "images, names",
    [
        (["a/x.png", "b/x.png", "c.png"], ["i_a_x.png", "i_b_x.png", "c.png"]),
        (["a/x.png", "b/X.PNG", "c.png"], ["i_a_x.png", "i_b_X.png", "c.png"]),
        (["x.png", "x.jpg", "c.png"], ["i_x.png", "i_x-2.png", "c.png"]),
        (["a/x.png", "b/x.png", "i_a_x.png"], ["i_a_x.png", "i_b_x.png", "i_a_x-2.png"]),
        # a DICOM file called by a UID: what follows its last dot is no ending
        (["1.2.3.4", "v1.0.png", "v1.1.png"], ["1.2.3.4.png", "v1.0.png", "v1.1.png"]),
        (["a.b.png", "a.c.png", "d.dcm"], ["a.b.png", "a.c.png", "d.png"]),
    ],
)
def test_no_mask_is_written_over_another(tmp_path, images, names):
    dataset = own(tmp_path, images)
    paths = predicted_masks.write(dataset, truth(dataset), tmp_path / "out")
    assert [path.name for path in paths] == names
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), dataset.mask(row))


def test_frames_of_a_dicom_file_are_pictures_with_a_number(tmp_path):
    for k in range(3):
        for part, pixels in (("i", np.full((3, 6, 8), k)), ("m", np.stack([np.eye(6, 8, n) for n in range(3)]))):
            save(tmp_path / f"{part}/{k}.dcm", pixels.astype(np.uint16))
    table(tmp_path / "manifest.csv", ("image", "patient", "mask"), [(f"i/{k}.dcm", k, f"m/{k}.dcm") for k in range(3)])
    dataset = open_dataset("manifest", tmp_path, progress=False)
    assert predicted_masks.native_shape(dataset, 4) == (6, 8)
    paths = predicted_masks.write(dataset, truth(dataset), tmp_path / "out")
    assert [path.name for path in paths][2:4] == ["0_0002.png", "1_0000.png"] and len(paths) == 9
    np.testing.assert_array_equal(np.asarray(Image.open(paths[2])), np.eye(6, 8, 2))
    assert predicted_masks.spacing_mm(dataset, "0") is None
    with pytest.raises(RadlibError, match="'0' of .* has pictures and no volume"):
        predicted_masks.volume(dataset, "0", np.zeros((3, 6, 8)))


@pytest.mark.parametrize("name", ["montgomery", "shenzhen", "amos", "msd_heart"])
def test_the_size_of_what_is_read_is_known_without_decoding(tmp_path, name):
    dataset = open_dataset(name, WRITERS[name](tmp_path), progress=False)
    blind = dataclasses.replace(dataset, read_image=lambda *_: pytest.fail("decoded"))
    for row in range(len(dataset)):
        assert predicted_masks.native_shape(blind, row) == dataset.read(row).shape[1:]


def test_the_size_of_a_file_without_a_header_of_ours_is_read(tmp_path):
    dataset = open_dataset("brain_tumor", WRITERS["brain_tumor"](tmp_path), progress=False)
    assert predicted_masks.native_shape(dataset, 0) == dataset.read(0).shape[1:]


def test_spacing_is_of_the_stored_axes_and_none_for_pictures(tmp_path):
    heart = open_dataset("msd_heart", WRITERS["msd_heart"](tmp_path / "h"), progress=False)
    assert predicted_masks.spacing_mm(heart, "la_003") == (1.5, 1.5, 5)
    assert predicted_masks.spacing_mm(heart, heart.samples["image"][0]) == (1.5, 1.5, 5)
    films = open_dataset("montgomery", WRITERS["montgomery"](tmp_path / "m"), progress=False)
    assert predicted_masks.spacing_mm(films, films.samples["patient"][0]) is None
    with pytest.raises(RadlibError, match="MSD Heart has no patient and no image called 'la_999'"):
        predicted_masks.spacing_mm(heart, "la_999")
    stack = np.zeros((4, 5, 7), np.uint8)
    with pytest.raises(ValueError, match=r"slices of .*la_003.* must be \(4, 5, 6\), got \(4, 5, 7\)"):
        predicted_masks.volume(heart, "la_003", stack)


def test_a_patient_with_two_scans_must_be_named_by_scan(tmp_path):
    for k in range(4):
        for part in "im":
            scan(tmp_path / f"{part}/{k}.nii.gz", np.ones((3, 4, 5), np.uint8), np.diag([1, 1, 1 + k, 1.0]))
    rows = [(f"i/{k}.nii.gz", f"p{max(k, 1)}", f"m/{k}.nii.gz") for k in range(4)]
    table(tmp_path / "manifest.csv", ("image", "patient", "mask"), rows)
    dataset = open_dataset("manifest", tmp_path, progress=False)
    with pytest.raises(RadlibError, match=r"'p1' of .* has 2 volumes; name one by its path, as 'i/0\.nii\.gz'"):
        predicted_masks.spacing_mm(dataset, "p1")
    assert predicted_masks.spacing_mm(dataset, "i/1.nii.gz") == (1, 1, 2)


@pytest.mark.parametrize("value", [0.0, -1.5, np.nan, np.inf])
@pytest.mark.parametrize("forms", [(1, 0), (0, 1), (0, 0)])
def test_a_spacing_that_is_no_length_is_told_when_the_folder_is_opened(tmp_path, value, forms):
    root = WRITERS["msd_heart"](tmp_path)
    path = root / "Task02_Heart/imagesTr/la_004.nii"
    gz = path.with_name("la_004.nii.gz")
    scan(path, np.asarray(nibabel.load(gz).dataobj), np.diag([1.5, 1.5, 5, 1]), codes=forms)
    raw = bytearray(path.read_bytes())
    raw[76 + 4 * 3 : 76 + 4 * 4] = struct.pack("<f", value)  # pixdim[3]
    path.write_bytes(bytes(raw))
    gz.unlink()
    about = root / "Task02_Heart/dataset.json"
    about.write_text(about.read_text().replace("imagesTr/la_004.nii.gz", "imagesTr/la_004.nii"))
    with pytest.raises(RadlibError, match=rf"la_004\.nii has a voxel spacing of 1\.5 x 1\.5 x {value:g} mm \(pixdim"):
        open_dataset("msd_heart", root, progress=False)


def test_a_spacing_of_zero_in_the_affine_is_told(tmp_path):
    root = WRITERS["msd_heart"](tmp_path)
    path = root / "Task02_Heart/imagesTr/la_004.nii.gz"
    image = nibabel.load(path)
    image.header["srow_z"] = 0
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)
    with pytest.raises(RadlibError, match=r"la_004\.nii\.gz has no usable orientation \(affine\).*export the volume"):
        open_dataset("msd_heart", root, progress=False)


@pytest.mark.parametrize("unit, factor", [("meter", 0.001), ("micron", 1000), ("mm", 1), ("unknown", 1)])
def test_spacing_is_in_millimetres_whatever_the_unit_and_the_unit_is_kept(tmp_path, unit, factor):
    for k, part in itertools.product(range(3), "im"):
        path = tmp_path / f"{part}/{k}.nii.gz"
        scan(path, np.ones((3, 4, 5), np.uint8), np.diag([0.5 * factor, 0.5 * factor, 2 * factor, 1]))
        image = nibabel.load(path)
        image.header.set_xyzt_units(unit, "sec")
        nibabel.save(image, path)
    table(
        tmp_path / "manifest.csv", ("image", "patient", "mask"), [(f"i/{k}.nii.gz", k, f"m/{k}.nii.gz") for k in "012"]
    )
    dataset = open_dataset("manifest", tmp_path, progress=False)
    np.testing.assert_allclose(predicted_masks.spacing_mm(dataset, "1"), (0.5, 0.5, 2), rtol=1e-6)
    for path in predicted_masks.write(dataset, truth(dataset), tmp_path / "out"):
        same(path, tmp_path / "m" / path.name)
