"""Files that promise more than memory holds, or point out of themselves: refused in one sentence, memory untouched."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from layouts import picture, table, volume
from PIL import Image
from test_dicom import GRID, save

from radlib import memory
from radlib.data import brain_tumor, dicom, pictures, volumes
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError

ROOM_MB = 150  # what a refusal may take beyond the libraries; each bomb below would take 256 MB or more


def png(path, width, height):
    """A PNG of zeros whose header is honest and whose content is a thousandth of it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(min(width * height, 1 << 20)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def bmp(path, width, height):
    head = struct.pack("<2sIHHI", b"BM", 100, 0, 0, 54)
    path.write_bytes(head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(46))


def nifti(path, shape, kind=np.int16, offset=352, tail=0):
    """A NIfTI that claims `shape` and holds a few zeros, and `tail` MB of zeros after them."""
    head = nibabel.Nifti2Header() if max(shape) > 32767 else nibabel.Nifti1Header()
    head.set_data_dtype(kind)
    head.set_data_shape(shape)
    head["pixdim"][1:4] = 1
    head["vox_offset"] = offset
    head["magic"] = "n+2\0\r\n\x1a\n" if max(shape) > 32767 else "n+1"
    content = head.binaryblock + bytes(4 + 16)
    if path.name.endswith(".gz"):
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(content)
            for _ in range(tail):
                file.write(bytes(1 << 20))
    else:
        path.write_bytes(content)


def deflated(path):
    """A DICOM file of 300 MB of zeros, deflated to 300 kB."""
    save(path, GRID, syntax="1.2.840.10008.1.2.1.99")
    whole = path.read_bytes()
    about = dicom.pydicom.filereader.read_file_meta_info(path)
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = dicom.FIRST_GROUP + about.FileMetaInformationGroupLength
    with path.open("wb") as file:
        file.write(whole[:start])
        for _ in range(300):
            file.write(pack.compress(bytes(1 << 20)))
        file.write(pack.flush())


def mat(path, name, shape, dtype="int16", external=None):
    with h5py.File(path, "w") as file:
        box = file.create_group("cjdata")
        box["label"], box["PID"] = np.array([[1.0]]), np.array([[80], [49]], np.uint16)
        box["image"] = np.ones((4, 5), np.int16)
        del box[name]
        if external:
            box.create_dataset(name, shape, dtype, external=[(str(external), 0, h5py.h5f.UNLIMITED)])
        else:
            box.create_dataset(name, shape, dtype, chunks=tuple(min(n, 64) for n in shape), compression="gzip")


def compressed_frames(path, frames, rows, columns):
    save(path, GRID, NumberOfFrames=frames, Rows=rows, Columns=columns)
    file = dicom.pydicom.dcmread(path)
    file.file_meta.TransferSyntaxUID = dicom.pydicom.uid.RLELossless
    file.PixelData = dicom.pydicom.encaps.encapsulate([bytes(64)])
    file["PixelData"].is_undefined_length = True
    file.save_as(path)


def jpeg2000(path, rows, columns, packed):
    """A DICOM file of `rows` x `columns` whose one frame is a picture of size `packed`."""
    save(path, GRID, Rows=rows, Columns=columns)
    frame = io.BytesIO()
    Image.new("L", packed).save(frame, "JPEG2000")
    file = dicom.pydicom.dcmread(path)
    file.file_meta.TransferSyntaxUID = dicom.pydicom.uid.JPEG2000Lossless
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.PixelData = dicom.pydicom.encaps.encapsulate([frame.getvalue()])
    file["PixelData"].is_undefined_length = True
    file.save_as(path)


def blocks(path):
    """Twenty numbers in one block of 1.6 billion, which is unpacked whole."""
    with h5py.File(path, "w") as file:
        box = file.create_group("cjdata")
        box["label"], box["PID"] = np.array([[1.0]]), np.array([[80], [49]], np.uint16)
        box.create_dataset("image", (4, 5), "int16", chunks=(40_000, 40_000), maxshape=(None, None), compression="gzip")


def pages(path):
    drawn = [Image.fromarray(np.full((5, 4), k, np.uint8)) for k in range(3)]
    drawn[0].save(path, save_all=True, append_images=drawn[1:])


CASES = {
    "tiff-pages": (lambda p: pages(p / "a.tif"), "pictures.read", "a.tif", "holds 3 pictures; save each"),
    "dicom-packed": (
        lambda p: jpeg2000(p / "a.dcm", 8, 6, (20_000, 4_000)), "dicom.read", "a.dcm",
        "promises frames of 6 x 8 pixels and holds one of 20,000 x 4,000; export",
    ),
    "mat-blocks": (
        lambda p: blocks(p / "1.mat"), "brain_tumor._label_and_patient", "1.mat", "in blocks of 40000 x 40000 numbers",
    ),
    "png-wide": (lambda p: png(p / "a.png", 10**7, 300), "pictures.read", "a.png", "claims too many pixels"),
    "png-line": (lambda p: png(p / "a.png", 10**7, 1), "pictures.read", "a.png", "claims 10,000,000 x 1 pixels"),
    "png-square": (lambda p: png(p / "a.png", 20000, 20000), "pictures.read", "a.png", "claims.* pixels"),
    "bmp": (lambda p: bmp(p / "a.bmp", 60000, 60000), "pictures.read", "a.bmp", "claims too many pixels"),
    "nifti-slices": (
        lambda p: nifti(p / "a.nii", (9, 9, 10**6), offset=544), "volumes.voxels", "a.nii", "claims 9 x 9 x 1000000",
    ),
    "nifti-dims": (lambda p: nifti(p / "a.nii.gz", (32767,) * 3), "volumes.voxels", "a.nii.gz", "claims 32767 x"),
    "nifti-short": (lambda p: nifti(p / "a.nii.gz", (2000, 1000, 1000)), "volumes.voxels", "a.nii.gz", "is cut short"),
    "nifti-tail": (
        lambda p: nifti(p / "a.nii.gz", (2, 2, 2), tail=300), "volumes.voxels", "a.nii.gz", "goes on long after",
    ),
    "nifti-offset": (
        lambda p: nifti(p / "a.nii.gz", (2, 2, 2), offset=2**28, tail=300), "volumes.header", "a.nii.gz",
        "voxels begin at byte 268435456",
    ),
    "dicom-frames": (
        lambda p: compressed_frames(p / "a.dcm", 10**6, 9, 9), "dicom.frames", "a.dcm", "claims 1,000,000 frames",
    ),
    "dicom-rows": (
        lambda p: compressed_frames(p / "a.dcm", 1, 65535, 65535), "dicom.frames", "a.dcm", "65,535 x 65,535 pixels",
    ),
    "dicom-few": (
        lambda p: compressed_frames(p / "a.dcm", 30000, 9, 9), "dicom.frames", "a.dcm", "fewer frames than its header",
    ),
    "dicom-deflated": (lambda p: deflated(p / "a.dcm"), "dicom.frames", "a.dcm", "unpacks to more than 256 MB"),
    "mat-image": (
        lambda p: mat(p / "1.mat", "image", (200_000, 200_000)), "brain_tumor._label_and_patient", "1.mat",
        "claims 200000 x 200000 numbers",
    ),
    "mat-label": (
        lambda p: mat(p / "1.mat", "label", (10**9, 1), "float64"), "brain_tumor._label_and_patient", "1.mat",
        "cjdata/label claims 1000000000 x 1 numbers",
    ),
}  # fmt: skip

CHILD = """
import json, sys
from pathlib import Path
from radlib import memory
from radlib.data import brain_tumor, dicom, pictures, volumes
from radlib.errors import RadlibError
def peak():  # of this program; ru_maxrss begins at what the process that started it held, and hides what is below
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
for case, (reader, path) in json.loads(sys.argv[1]).items():
    before = peak()
    try:
        eval(reader)(Path(path))
        said = "read it"
    except RadlibError as error:
        said = str(error)
    grown = (peak() - before) / 1000
    print(json.dumps([case, said, grown]))
"""


@pytest.mark.parametrize("make, reader, name, sentence", CASES.values(), ids=CASES)
def test_a_bomb_is_refused_before_memory_is_taken(tmp_path, make, reader, name, sentence):
    make(tmp_path)
    module, function = reader.split(".")
    read = getattr(
        {"pictures": pictures, "volumes": volumes, "dicom": dicom, "brain_tumor": brain_tumor}[module], function
    )
    with pytest.raises(RadlibError, match=sentence) as told:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(told.value) and "\n" not in str(told.value)


def test_the_peak_of_every_refusal_is_small(tmp_path):
    asked = {}
    for case, (make, reader, name, _) in CASES.items():
        (tmp_path / case).mkdir()
        make(tmp_path / case)
        asked[case] = (reader, str(tmp_path / case / name))
    done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(asked)], capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [case for case, _, _ in answers] == list(CASES)
    for case, said, _ in answers:
        assert CASES[case][2] in said, (case, said)
    assert sum(grown for _, _, grown in answers) < ROOM_MB, answers


def test_what_memory_has_no_room_for_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_bytes", lambda: 100)
    volume(tmp_path / "a.nii.gz", np.zeros((6, 5, 4), np.int16))
    with pytest.raises(RadlibError, match=r"a\.nii\.gz takes 480 B of memory to unpack and 100 B are free"):
        volumes.voxels(tmp_path / "a.nii.gz")
    picture(tmp_path / "a.png")
    with pytest.raises(RadlibError, match=r"a\.png takes 1,512 B of memory to unpack and 100 B are free"):
        pictures.read(tmp_path / "a.png")


def test_a_frame_packed_in_the_size_that_the_header_promises_is_read(tmp_path):
    jpeg2000(tmp_path / "a.dcm", 8, 6, (6, 8))
    assert dicom.read(tmp_path / "a.dcm").shape == (1, 8, 6)


def test_an_array_that_is_a_window_on_another_file_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(40)))
    mat(tmp_path / "1.mat", "image", (4, 5), external=secret)
    with pytest.raises(RadlibError, match=r"1\.mat: cjdata/image lies in another file"):
        brain_tumor._label_and_patient(tmp_path / "1.mat")
    with h5py.File(tmp_path / "2.mat", "w") as file:
        file["cjdata"] = h5py.ExternalLink("1.mat", "/cjdata")
    with pytest.raises(RadlibError, match=r"2\.mat: cjdata lies in another file"):
        brain_tumor._label_and_patient(tmp_path / "2.mat")


def test_a_program_called_like_a_picture_is_not_run(tmp_path):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    picture(tmp_path / "ok.png")
    evil = tmp_path / "evil.png"
    evil.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(owned) (w) file closefile\n")
    assert pictures.size(evil) is None and pictures.size(tmp_path / "ok.png") == (9, 7)
    with pytest.raises(RadlibError, match=r"evil\.png is not a whole picture"):
        pictures.read(evil)


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a/../../x.png", "..\\x.png", "a\\..\\..\\x.png"])
@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_manifest_cannot_name_what_lies_outside_of_its_folder(tmp_path, name, column):
    folder = tmp_path / "inside"
    picture(tmp_path / "x.png")
    rows = []
    for k in range(6):
        picture(folder / f"{k}.png", seed=k)
        picture(folder / f"m{k}.png", values=np.ones((9, 7), np.uint8))
        rows.append({"image": f"{k}.png", "patient": f"p{k}", "mask": f"m{k}.png"})
    rows[3][column] = name
    table(folder / "manifest.csv", tuple(rows[0]), [tuple(row.values()) for row in rows])
    with pytest.raises(RadlibError, match=r"line 5: .*leaves the folder"):
        open_dataset("manifest", folder)


SOURCES = [
    path
    for folder in ("radlib", "benchmarks", "notebooks", "book")
    for path in sorted((Path(__file__).resolve().parents[2] / folder).rglob("*"))
    if path.suffix in (".py", ".ipynb")
]


def test_no_pickle_is_ever_loaded():
    """Pickle runs what it reads: torch only with weights_only, numpy never with allow_pickle, no pickling library."""
    assert len(SOURCES) > 100
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for word in ("allow_pickle", "joblib", "import dill", "cloudpickle", "import shelve", "import marshal",
                     "pickle.load", "pickle.Unpickler", "read_pickle", "torch.jit.load", "yaml.load(",
                     "yaml.unsafe"):  # fmt: skip
            assert word not in text, f"{path} has {word}"
        for call in text.split("torch.load(")[1:]:
            advised = call.startswith("'{path}'")  # in the command that a sentence names, for a file that one trusts
            assert advised or "weights_only=True" in call.split("\n")[0], f"{path} loads without weights_only"
        if "import pickle" in text:
            # these name the error that torch raises for a file with code in it
            assert path.name in ("checkpoint.py", "own_weights.py")
