"""One notion of a file's identity: no edit goes unseen, no two files are taken for one, and nothing is read twice."""

import dataclasses
import gzip
import multiprocessing
import os
import time
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
from layouts import WRITERS, table
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from radlib import assets, cache
from radlib.data import duplicates, identity, predicted_masks, slice_cache, volumes
from radlib.data.catalog import open_dataset
from radlib.data.mask_squares import mask_squares
from radlib.data.preprocess import unit_square
from radlib.data.squares import squares
from radlib.errors import RadlibError

SHAPE = (64, 64, 24)  # of bytes 96 KiB, whose first and last 16 KiB are air
MIDDLE = slice(8, 16)


def brain(seed: int) -> np.ndarray:
    """Air at both ends of the file, noise of 0…200 in the middle."""
    values = np.zeros(SHAPE, np.uint8)
    values[:, :, MIDDLE] = np.random.default_rng(seed).integers(0, 201, (64, 64, 8))
    return values


def nifti(path: Path, raw: np.ndarray, slope=1.0, order="<") -> None:
    """`raw` as it is, with a slope in the header, in this byte order; gzip if the name says so."""
    head = nibabel.Nifti1Header(endianness=order)
    head.set_data_shape(raw.shape)
    head.set_data_dtype(raw.dtype.newbyteorder(order))
    head.set_sform(np.diag([2, 2, 2, 1.0]), 1)
    head["vox_offset"], head["magic"], head["scl_slope"] = 352, b"n+1", slope
    content = head.binaryblock + bytes(4) + raw.astype(raw.dtype.newbyteorder(order)).tobytes("F")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def ends(path: Path, n: int = 16 * 1024) -> tuple[int, bytes, bytes]:
    content = path.read_bytes()
    return len(content), content[:n], content[-n:]


def edit(path: Path, found: bytes, instead: bytes) -> None:
    """Replace bytes in place: same size, same inode, modification time put back."""
    content, status = path.read_bytes(), os.stat(path)
    assert content.count(found) == 1 and len(found) == len(instead)
    with open(path, "r+b") as file:
        file.seek(content.index(found))
        file.write(instead)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (os.stat(path).st_size, os.stat(path).st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def settle(monkeypatch) -> None:
    """What was written until now is old enough for its hash to be kept."""
    monkeypatch.setattr(identity, "RACY_SECONDS", 0.02)
    time.sleep(0.05)


def new_process() -> None:
    """Forget what only this process knows."""
    identity._save()
    identity._records.clear()


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are hashed from now on."""
    names: list[str] = []
    digest = identity.hashlib.file_digest

    def counted(file, name):
        names.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(identity.hashlib, "file_digest", counted)
    return names


# Files with the same ends


MAKES = {
    "plain": (".nii", {}),
    "scaled": (".nii", {"slope": 1 / 255}),
    "whole slope": (".nii", {"slope": 2.0}),
    "big-endian": (".nii", {"order": ">"}),
    "big-endian, scaled": (".nii", {"order": ">", "slope": 0.5}),
    "gzip": (".nii.gz", {}),
}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("make", MAKES)
def test_volumes_of_one_size_with_the_same_ends_are_told_apart(tmp_path, make, axis):
    ending, options = MAKES[make]
    paths = [tmp_path / f"{k}{ending}" for k in range(4)]
    for k, path in enumerate(paths):
        nifti(path, brain(k).astype(np.int16), **options)
    assert make == "gzip" or len({ends(path) for path in paths}) == 1
    slice_cache.build(paths, [axis] * 4, "Brains", progress=False)
    for path in paths:
        expected = np.moveaxis(np.asarray(nibabel.load(path).dataobj), axis, 0)
        np.testing.assert_allclose(slice_cache.opened(path, axis), expected, rtol=1e-6)


def uncompressed(root: Path) -> None:
    """Every volume of a release below `root` as a scaled, big-endian ``.nii`` of a brain of its own."""
    for k, path in enumerate(sorted(root.rglob("*.nii.gz"))):
        mask = "labels" in path.parent.name
        raw = (brain(k) > 100).astype(np.int16) if mask else brain(k).astype(np.int16)
        nifti(path.with_suffix(""), raw, 1.0 if mask else 0.5, ">")
        path.unlink()
    for path in root.rglob("dataset.json"):
        path.write_text(path.read_text().replace(".nii.gz", ".nii"))


def as_manifest(root: Path) -> Path:
    rows = [(f"i/{k}.nii", f"m/{k}.nii", f"p{k}") for k in range(6)]
    for k, (image, mask, _) in enumerate(rows):
        nifti(root / image, brain(k).astype(np.int16), 0.5, ">")
        nifti(root / mask, (brain(k) > 100).astype(np.int16), 1.0, ">")
    table(root / "manifest.csv", ("image", "mask", "patient"), rows)
    return root


@pytest.mark.parametrize("name", ["amos", "msd_heart", "manifest"])
def test_every_reader_of_volumes_reads_each_file_itself(tmp_path, name):
    if name == "manifest":
        as_manifest(tmp_path)
    else:
        WRITERS[name](tmp_path)
        uncompressed(tmp_path)
    dataset = open_dataset(name, tmp_path, progress=False)
    kept = mask_squares(dataset, 64, progress=False)
    for image in dataset.samples["image"].unique():
        row = int(np.flatnonzero((dataset.samples["image"] == image) & (dataset.samples["slice"] == 12))[0])
        stored = np.asarray(nibabel.load(dataset.root / image).dataobj)[:, :, 12]
        if name == "msd_heart":  # clipped as the paper's code does, which sets what is at or below the 5th to 0
            low, high = np.percentile(stored, [5, 95])
            stored = np.where(stored <= low, 0, np.minimum(stored, high))
        np.testing.assert_allclose(np.sort(dataset.read(row).ravel()), np.sort(stored.ravel()), rtol=1e-6)
        drawn = np.asarray(nibabel.load(dataset.root / dataset.samples["mask"].iloc[row]).dataobj)[:, :, 12]
        for mask in (dataset.mask(row), kept[np.array([row])][0]):
            assert mask.any() and mask.sum() == drawn.sum()


# Edits in place


def dicom(path: Path, pixels: np.ndarray) -> None:
    file = pydicom.Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit = 7
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


def picture(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, **({"compress_level": 0} if path.suffix == ".png" else {}))


def film(seed: int) -> np.ndarray:
    """256 x 256 pixels with a row of 64 in the middle that no other film has."""
    pixels = np.random.default_rng(seed).integers(0, 200, (256, 256), dtype=np.uint8)
    pixels[128, 96:160] = 255
    return pixels


def write(path: Path, pixels: np.ndarray) -> None:
    if path.suffix == ".nii":
        nifti(path, np.repeat(pixels[:, :, None], 3, axis=2))
    elif path.suffix == ".dcm":
        dicom(path, pixels)
    else:
        picture(path, pixels)


@pytest.mark.parametrize("kept_open", [True, False])
@pytest.mark.parametrize("ending", [".dcm", ".bmp", ".tif"])
def test_a_marker_painted_over_in_place_is_another_image(tmp_path, monkeypatch, ending, kept_open):
    names = [f"{k}{ending}" for k in range(12)]
    for k, name in enumerate(names):
        write(tmp_path / name, film(k))
    table(tmp_path / "manifest.csv", ("image", "patient", "label"), [(n, f"p{k}", k % 2) for k, n in enumerate(names)])
    settle(monkeypatch)
    before = open_dataset("manifest", tmp_path, progress=False)
    old_print, old_squares = before.fingerprint, squares(before, 14, progress=False)[np.arange(12)]
    old = before.read(3)[0]
    same_ends = ends(tmp_path / names[3])
    edit(tmp_path / names[3], bytes([255]) * 64, bytes(64))
    assert ends(tmp_path / names[3]) == same_ends
    if not kept_open:
        new_process()
    after = open_dataset("manifest", tmp_path, progress=False)
    assert after.fingerprint != old_print
    pixels = after.read(3)[0]
    assert (old[128, 96:160] == 255).all() and (pixels[128, 96:160] == 0).all()
    changed = (squares(after, 14, progress=False)[np.arange(12)] != old_squares).any(axis=(1, 2, 3))
    assert np.flatnonzero(changed).tolist() == [3]
    with pytest.raises(RadlibError, match=rf"3\{ending} has changed since .* was opened"):
        before.read(3)


@pytest.mark.parametrize("make", [make for make in MAKES if make != "gzip"])
def test_a_voxel_changed_in_place_is_another_volume(tmp_path, monkeypatch, make):
    path = tmp_path / "scan.nii"
    nifti(path, brain(0).astype(np.int16), **MAKES[make][1])
    settle(monkeypatch)
    slice_cache.cut(path, volumes.AS_STORED, 12)
    content = path.read_bytes()
    middle = content[100_000:100_064]
    edit(path, middle, bytes(byte ^ 1 for byte in middle))
    for k in range(24):
        stored = np.asarray(nibabel.load(path).dataobj)[:, :, k]
        np.testing.assert_allclose(slice_cache.cut(path, volumes.AS_STORED, k), stored, rtol=1e-6)


def test_a_mask_and_a_header_changed_in_place_are_seen(tmp_path, monkeypatch):
    root = as_manifest(tmp_path)
    settle(monkeypatch)
    before = open_dataset("manifest", root, progress=False)
    old, kept = before.mask_fingerprint, mask_squares(before, 16, progress=False)[np.arange(len(before))]
    assert predicted_masks.spacing_mm(before, "p1") == (2, 2, 2)
    path = root / "m/1.nii"
    middle = path.read_bytes()[352 + 2 * 64 * 64 * 10 : 352 + 2 * 64 * 64 * 14]
    edit(path, middle, (1 - np.frombuffer(middle, ">i2")).astype(">i2").tobytes())
    after = open_dataset("manifest", root, progress=False)
    assert after.mask_fingerprint != old
    rows = np.flatnonzero((mask_squares(after, 16, progress=False)[np.arange(len(after))] != kept).any(axis=(1, 2)))
    assert set(after.samples["mask"].iloc[rows]) == {"m/1.nii"}
    with pytest.raises(RadlibError, match=r"m/1\.nii has changed since"):
        before.mask(int(rows[0]))
    image = root / "i/1.nii"
    affine = image.read_bytes()[280:328]
    edit(image, affine, np.frombuffer(affine, ">f4").__mul__(2).astype(">f4").tobytes())
    assert predicted_masks.spacing_mm(after, "p1") == (4, 4, 4)


def test_an_edit_within_one_tick_of_a_coarse_clock_is_seen(tmp_path, monkeypatch):
    """On FAT and old file servers times have steps of up to 2 s, so a second edit may change nothing but the bytes."""
    tick = 2 * 10**9
    monkeypatch.setattr(
        identity, "_sign", lambda s: (s.st_size, s.st_mtime_ns // tick * tick, s.st_ctime_ns // tick * tick, s.st_ino)
    )
    path = tmp_path / "a.bmp"
    time.sleep(2 - time.time() % 2 + 0.01)  # a tick begins
    seen = []
    for k in range(5):
        path.write_bytes(bytes([k]) * 40_000)
        seen.append((identity.sign(path), identity.of(path)))
    assert len({sign for sign, _ in seen}) == 1, "the edits took longer than a tick"
    assert len({content for _, content in seen}) == 5


# The index


def files(folder: Path, n: int = 6) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{k}.bin" for k in range(n)]
    for k, path in enumerate(paths):
        path.write_bytes(bytes([k]) * 1000)
    return paths


def expected(paths: list[Path]) -> list[str]:
    return [identity.hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def index_files() -> list[Path]:
    return sorted((assets.cache_dir() / identity.FOLDER).glob("*.index"))


def test_a_file_is_read_once_and_again_when_its_size_times_or_inode_differ(tmp_path, monkeypatch, reads):
    paths = files(tmp_path / "a")
    settle(monkeypatch)
    assert identity.of_all(paths, progress=False) == expected(paths) and len(reads) == 6
    reads.clear()
    for again in (lambda: None, new_process):
        again()
        assert identity.of_all(paths, progress=False) == [identity.of(path) for path in paths] == expected(paths)
        assert reads == []
    copy = tmp_path / "copy"
    copy.write_bytes(bytes([9]) * 1000)  # another inode, as an editor that writes anew and renames leaves it
    os.utime(copy, ns=(0, os.stat(paths[1]).st_mtime_ns))
    os.replace(copy, paths[1])
    edit(paths[2], bytes([2]) * 1000, bytes([8]) * 1000)
    paths[3].write_bytes(b"longer" * 1000)
    os.utime(paths[4], (0, 0))
    new_process()
    assert identity.of_all(paths, progress=False) == expected(paths)
    assert sorted(reads) == ["1.bin", "2.bin", "3.bin", "4.bin"]


def test_a_file_that_has_just_changed_is_read_again(tmp_path, reads):
    (path,) = files(tmp_path / "a", 1)
    assert [identity.of(path) for _ in range(3)] == expected([path]) * 3
    assert len(reads) == 3
    new_process()
    assert index_files() == []


def test_a_modification_time_in_the_future_is_no_reason_to_read_again(tmp_path, monkeypatch, reads):
    (path,) = files(tmp_path / "a", 1)
    os.utime(path, (time.time() + 1e7, time.time() + 1e7))
    settle(monkeypatch)
    assert identity.of(path) == identity.of(path) and len(reads) == 1


def test_names_of_files_are_not_in_the_index(tmp_path, monkeypatch):
    paths = files(tmp_path / "Jane Doe")
    settle(monkeypatch)
    identity.of_all(paths, progress=False)
    text = b"".join(path.read_bytes() for path in index_files())
    assert len(text.splitlines()) == 6 and b"Doe" not in text and b"bin" not in text


def test_a_link_and_the_file_it_leads_to_are_one(tmp_path, monkeypatch, reads):
    paths = files(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c.bin").symlink_to(paths[0])
    settle(monkeypatch)
    identity.of_all(paths, progress=False)
    reads.clear()
    assert identity.of_all([tmp_path / "b" / path.name for path in paths], progress=False) == expected(paths)
    assert reads == []
    assert identity.of(tmp_path / "c.bin") == expected(paths)[0]
    for link, other in (("b", files(tmp_path / "other")[0].parent), ("c.bin", paths[1])):
        (tmp_path / link).unlink()
        (tmp_path / link).symlink_to(other)
    (tmp_path / "other/1.bin").write_bytes(b"another one")
    assert identity.of(tmp_path / "b/1.bin") == expected([tmp_path / "other/1.bin"])[0]
    assert identity.of(tmp_path / "c.bin") == expected(paths)[1]


def _hash_there(job):
    paths, low = job
    identity.RACY_SECONDS = 0.02
    found = [identity.of_all(paths[low : low + 40], progress=False) for _ in range(3)][-1]
    identity._save()
    return found


def test_processes_that_write_the_index_at_once_agree(tmp_path, monkeypatch, reads):
    paths = files(tmp_path / "a", 100)
    settle(monkeypatch)
    lows = [0, 20, 40, 60] * 2
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_hash_there, [(paths, low) for low in lows], chunksize=1)
    right = expected(paths)
    assert found == [right[low : low + 40] for low in lows]
    assert index_files() and all(identity.sound(path) for path in index_files())
    assert not list((assets.cache_dir() / identity.FOLDER).glob("*.part*"))
    assert identity.of_all(paths, progress=False) == right and len(reads) < 100


@pytest.mark.parametrize("damage", [b"", b"\0" * 500, b"\xff\xfe" * 99, b"1 2 3\n", b"a b c d e f 12345678\n"])
def test_a_damaged_index_costs_a_reading_and_nothing_else(tmp_path, monkeypatch, damage):
    paths = files(tmp_path / "a")
    settle(monkeypatch)
    right = identity.of_all(paths, progress=False)
    (index,) = index_files()
    whole = index.read_bytes()
    rng = np.random.default_rng(0)
    spoiled = [damage, whole[: len(whole) // 2], whole + damage]
    for place in rng.integers(len(whole), size=40):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        spoiled.append(bytes(flipped))
    for content in spoiled:
        index.write_bytes(content)
        identity._records.clear()
        assert identity.of_all(paths, progress=False) == right


def test_a_line_of_one_file_is_never_taken_for_another(tmp_path, monkeypatch):
    """Even if the index as a whole is that of other files, a sign that differs has the file read."""
    paths = files(tmp_path / "a")
    settle(monkeypatch)
    right = identity.of_all(paths, progress=False)
    (index,) = index_files()
    records = list(identity._read(index).items())
    keys = [key for key, _ in records]
    index.write_bytes(
        b"".join(identity._line(key, *record) for key, (_, record) in zip(keys[1:], records, strict=False))
    )
    identity._records.clear()
    assert identity.of_all(paths, progress=False) == right


@pytest.mark.parametrize("fault", ["a file", "a folder in its place", "a full disk"])
def test_an_index_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch, fault):
    paths = files(tmp_path / "a")
    settle(monkeypatch)
    if fault == "a file":
        (assets.cache_dir() / identity.FOLDER).write_bytes(b"")
    elif fault == "a full disk":
        monkeypatch.setattr(identity.atomic, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    else:
        identity.of_all(paths, progress=False)
        (index,) = index_files()
        index.unlink()
        index.mkdir()
        paths += files(tmp_path / "a", 8)[6:]
    identity._records.clear()
    assert identity.of_all(paths, progress=False) == expected(paths)
    assert identity.of_all(paths, progress=False) == expected(paths)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    paths = files(tmp_path / "a")
    paths[2].unlink()
    for ask in (lambda: identity.of_all(paths, progress=False), lambda: identity.of(paths[2])):
        with pytest.raises(RadlibError, match=r"2\.bin cannot be read \(No such file or directory\)"):
            ask()
    with pytest.raises(RadlibError, match="cannot be read"):
        identity.of("a\0b")


def test_the_cache_lists_verifies_and_clears_the_index(tmp_path, monkeypatch):
    (assets.cache_dir() / assets.CACHE_TAG).write_text("")
    paths = files(tmp_path / "a")
    settle(monkeypatch)
    identity.of_all(paths, progress=False)
    (index,) = index_files()
    (shelf,) = [shelf for shelf in cache.shelves() if shelf.kind == "identity"]
    assert shelf.files == 1 and "not radlib's" not in shelf.what
    assert [(v.sound, v.damaged) for v in cache.verify("identity")] == [(1, ())]
    content = bytearray(index.read_bytes())
    content[40] ^= 1
    index.write_bytes(content)
    assert [(v.sound, v.damaged) for v in cache.verify("identity")] == [(0, (index,))]
    cache.clear("identity")
    assert index_files() == []


# What the identity decides


def test_a_cohort_that_moved_is_the_same_and_a_renamed_image_is_not(tmp_path):
    root = as_manifest(tmp_path / "here")
    here = open_dataset("manifest", root, progress=False)
    prints = here.fingerprint, here.mask_fingerprint
    kept = slice_cache.opened(root / "i/1.nii", 2).filename
    moved = root.rename(tmp_path / "there")
    there = open_dataset("manifest", moved, progress=False)
    assert (there.fingerprint, there.mask_fingerprint) == prints
    assert slice_cache.opened(moved / "i/1.nii", 2).filename == kept
    (moved / "i/1.nii").rename(moved / "i/one.nii")
    text = (moved / "manifest.csv").read_text()
    (moved / "manifest.csv").write_text(text.replace("i/1.nii", "i/one.nii"))
    assert open_dataset("manifest", moved, progress=False).fingerprint != prints[0]


def test_volumes_with_equal_content_share_their_slices(tmp_path):
    for name in ("a/x.nii.gz", "b/y.nii.gz"):
        nifti(tmp_path / name, brain(0))
    maps = [slice_cache.opened(path, 2) for path in sorted(tmp_path.rglob("*.nii.gz"))]
    assert maps[0].filename == maps[1].filename
    assert len(list((assets.cache_dir() / "slices").glob("*.safetensors"))) == 1


def test_which_slices_are_of_which_volume_counts(tmp_path):
    dataset = open_dataset("manifest", as_manifest(tmp_path), progress=False)
    rows = pd.DataFrame({"image": ["i/0.nii", "i/0.nii", "i/1.nii"], "slice": [0, 1, 2]})
    other = pd.DataFrame({"image": ["i/0.nii", "i/1.nii", "i/1.nii"], "slice": [0, 1, 2]})
    prints = {dataclasses.replace(dataset, samples=samples).fingerprint for samples in (rows, other, rows[::-1])}
    assert len(prints) == 3


def test_images_with_the_same_ends_are_no_duplicates_and_copies_are(tmp_path):
    for k in (0, 1):
        picture(tmp_path / f"{k}.bmp", np.pad(film(k)[100:150], ((103, 103), (0, 0))))
    assert ends(tmp_path / "0.bmp") == ends(tmp_path / "1.bmp")
    (tmp_path / "copy.bmp").write_bytes((tmp_path / "0.bmp").read_bytes())
    assert duplicates.same(tmp_path, ["0.bmp", "1.bmp", "copy.bmp", "absent.bmp"]) == [("0.bmp", "copy.bmp")]


def test_a_volume_that_changes_while_it_is_unpacked_leaves_no_slices(tmp_path, monkeypatch):
    path = tmp_path / "scan.nii.gz"
    nifti(path, brain(0))
    voxels = volumes.voxels

    def then_replaced(given):
        found = voxels(given)
        nifti(path, brain(1))
        return found

    monkeypatch.setattr(volumes, "voxels", then_replaced)
    with pytest.raises(RadlibError, match=r"scan\.nii\.gz has changed while it was read"):
        slice_cache.opened(path, 2)
    monkeypatch.setattr(volumes, "voxels", voxels)
    np.testing.assert_array_equal(np.moveaxis(slice_cache.opened(path, 2), 0, 2), brain(1))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_an_orientation_corrected_after_opening_is_not_kept_under_the_new_files_name(tmp_path, monkeypatch, ending):
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "cache"))
    rows = [(f"{k}{ending}", f"p{k}", "ab"[k % 2]) for k in range(8)]
    for name, *_ in rows:
        nifti(tmp_path / "d" / name, brain(int(name[0])))
    table(tmp_path / "d/manifest.csv", ("image", "patient", "label"), rows)
    opened = open_dataset("manifest", tmp_path / "d", progress=False)
    turned = nibabel.Nifti1Image(brain(2), np.diag([-2, -2, 2, 1.0]))
    nibabel.save(turned, tmp_path / "d" / f"2{ending}")
    for one in (opened, dataclasses.replace(opened, title="again")):
        with pytest.raises(RadlibError, match=rf"2\{ending} has changed since .* was opened; open it again"):
            squares(one, 16, progress=False)
    images = [f"{k}{ending}" for k in range(8)]
    table(tmp_path / "d/manifest.csv", ("image", "patient", "mask"), [(n, f"p{n[0]}", f"m{n}") for n in images])
    for name in images:
        nifti(tmp_path / "d" / f"m{name}", np.ones(SHAPE, np.uint8))
    with pytest.raises(RadlibError, match=rf"m2\{ending} is stored along"):  # as the image was before
        open_dataset("manifest", tmp_path / "d", progress=False)
    nibabel.save(nibabel.Nifti1Image(np.ones(SHAPE, np.uint8), turned.affine), tmp_path / "d" / f"m2{ending}")
    masked = open_dataset("manifest", tmp_path / "d", progress=False)
    nifti(tmp_path / "d" / f"m2{ending}", np.ones(SHAPE, np.uint8))
    with pytest.raises(RadlibError, match=rf"m2\{ending} has changed since"):
        mask_squares(masked, 16, progress=False)
    table(tmp_path / "d/manifest.csv", ("image", "patient", "label"), rows)
    fresh = open_dataset("manifest", tmp_path / "d", progress=False)
    row = int(np.flatnonzero((fresh.samples["image"] == rows[2][0]) & (fresh.samples["slice"] == 10))[0])
    kept = squares(fresh, 16, progress=False)[np.array([row])]
    np.testing.assert_allclose(kept[0], np.repeat(unit_square(fresh.read(row), 16), 3, 0), atol=1e-2)
