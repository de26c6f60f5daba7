"""Every reader meets files with bytes turned, cut out and put in: it reads them or says one sentence, nothing else.

RADLIB_FUZZ sets how many files each reader meets (by default a few).
"""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import WRITERS, picture, table, volume
from PIL import Image
from safetensors.torch import save_file
from test_bombs import jpeg2000
from test_dicom import GRID, save

from radlib import checked_array
from radlib.data import brain_tumor, decathlon, dicom, manifest, pictures, splits, tables, volumes
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError
from radlib.models import own_weights
from radlib.report import result

EXAMPLES = int(os.environ.get("RADLIB_FUZZ", "25"))
# The suite meets the same files each time; a number asked for meets new ones.
quick = settings(
    max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize="RADLIB_FUZZ" not in os.environ
)


@dataclasses.dataclass(frozen=True)
class Change:
    """What is done to a file's bytes, places as shares of its length."""

    kind: str
    where: float
    length: int
    content: bytes

    def __call__(self, whole: bytes) -> bytes:
        low = min(int(self.where * len(whole)), max(0, len(whole) - 1))
        if self.kind == "flip":
            return whole[:low] + bytes([whole[low] ^ (1 << self.length % 8)]) + whole[low + 1 :] if whole else whole
        if self.kind == "cut":
            return whole[:low]
        if self.kind == "put over":
            return whole[:low] + self.content + whole[low + len(self.content) :]
        if self.kind == "put in":
            return whole[:low] + self.content + whole[low:]
        if self.kind == "take out":
            return whole[:low] + whole[low + self.length :]
        return self.content  # something else altogether


CHANGES = st.lists(
    st.builds(
        Change,
        kind=st.sampled_from(["flip", "cut", "put over", "put in", "take out", "flip", "put over", "other"]),
        where=st.floats(0, 1) | st.floats(0, 0.1),  # headers are at the beginning
        length=st.integers(1, 40),
        content=st.binary(max_size=16)
        | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"NaN", b"-1", b'"', b"\n", b",", b"[{", b"../"]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def spoiled(whole: bytes, changes: list[Change]) -> bytes:
    for change in changes:
        whole = change(whole)
    return whole


def met(read, path: Path, content: bytes) -> None:
    """Let `read` have the file; only a RadlibError of one line may come out of it."""
    path.write_bytes(content)
    try:
        read(path)
    except RadlibError as error:
        said = str(error)
        assert said and "\n" not in said.strip() and "Traceback" not in said
        assert said.rstrip().endswith((".", "!", "?", '"')) or ";" in said


def _png(folder):
    picture(folder / "a.png", (12, 10))
    return folder / "a.png"


def _other(name, mode="L", **options):
    def write(folder):
        pixels = np.random.default_rng(0).integers(0, 255, (24, 20), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / name, **options)
        return folder / name

    return write


def _nifti(name, kind=np.int16):
    def write(folder):
        volume(folder / name, np.random.default_rng(0).integers(-100, 100, (6, 5, 4)).astype(kind))
        return folder / name

    return write


def _dicom(**about):
    def write(folder):
        save(folder / "a.dcm", GRID, **about)
        return folder / "a.dcm"

    return write


def _mat(folder):
    return sorted(WRITERS["brain_tumor"](folder / "b", patients=2).glob("*.mat"))[0]


def _read_volume(path):
    volumes.header(path)
    volumes.voxels(path)


def _read_dicom(path):
    count, _, _ = dicom.frames(path)
    dicom.read(path, count - 1)


def _read_picture(path):
    pictures.size(path)
    pictures.read_gray(path)
    pictures.read_mask(path)


def _read_mat(path):
    brain_tumor._label_and_patient(path)
    try:
        brain_tumor.read_upright(path.parent, {"image": path.name})
    except Exception as error:  # as `Dataset.read` tells it
        raise RadlibError(f"The image of {path} cannot be read; replace it.") from error


def _read_result(path):
    result.read(path)


def _published(folder):
    (folder / "r.json").write_bytes(sorted(result.PUBLISHED.rglob("*.json"))[0].read_bytes())
    return folder / "r.json"


def _predictions(folder):
    source = sorted(result.PUBLISHED.rglob("*.json"))[0]
    (folder / "r.json").write_bytes(source.read_bytes())
    (folder / "r.safetensors").write_bytes(source.with_suffix(".safetensors").read_bytes())
    return folder / "r.safetensors"


def _array(folder):
    checked_array.write(folder / "a.safetensors", np.arange(20, dtype=np.float32).reshape(4, 5))
    return folder / "a.safetensors"


def _read_array(path):
    found = checked_array.read(path, (4, 5))
    assert found is None or np.array_equal(found, np.arange(20, dtype=np.float32).reshape(4, 5))


def _csv(folder):
    rows = [(f"{k}.png", f"p{k}", "ab"[k % 2], "train") for k in range(6)]
    table(folder / "t.csv", ("image", "patient", "label", "split"), rows)
    return folder / "t.csv"


def _json(folder):
    pairs = [{"image": f"./imagesTr/{k}.nii.gz", "label": f"./labelsTr/{k}.nii.gz"} for k in range(3)]
    (folder / "dataset.json").write_text(json.dumps({"training": pairs, "validation": []}))
    return folder / "dataset.json"


def _jpeg2000(folder):
    jpeg2000(folder / "j.dcm", 8, 6, (6, 8))
    return folder / "j.dcm"


def _weights(folder, name="w.pt"):
    state = torch.nn.Linear(3, 2).state_dict()
    save_file(state, folder / name) if name.endswith(".safetensors") else torch.save(state, folder / name)
    return folder / name


def _read_weights(path):
    own_weights.load(path, torch.nn.Linear(3, 2))


READERS = {
    "weights": (_weights, _read_weights),
    "weights, safetensors": (lambda folder: _weights(folder, "w.safetensors"), _read_weights),
    "DICOM of JPEG 2000": (_jpeg2000, _read_dicom),
    "PNG": (_png, _read_picture),
    "PNG of a palette": (_other("p.png", "P"), _read_picture),
    "JPEG": (_other("a.jpg", quality=70), _read_picture),
    "TIFF": (_other("a.tif", compression="tiff_lzw"), _read_picture),
    "BMP": (_other("a.bmp", "RGB"), _read_picture),
    "NIfTI": (_nifti("a.nii"), _read_volume),
    "NIfTI.gz": (_nifti("a.nii.gz"), _read_volume),
    "NIfTI of floats": (_nifti("f.nii", np.float32), _read_volume),
    "DICOM": (_dicom(RescaleSlope=2, RescaleIntercept=-1024), _read_dicom),
    "DICOM of frames": (
        lambda folder: (save(folder / "m.dcm", np.stack([GRID] * 3)), folder / "m.dcm")[1],
        _read_dicom,
    ),
    "MATLAB": (_mat, _read_mat),
    "CSV": (_csv, lambda path: tables.read(path, ("image", "patient"))),
    "dataset.json": (_json, lambda path: decathlon.scans(path.parent)),
    "Result": (_published, _read_result),
    "predictions": (_predictions, lambda path: result.read_predictions(path.with_suffix(".json"))),
    "array": (_array, _read_array),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_spoiled_file_is_read_or_told(tmp_path, kind):
    write, read = READERS[kind]
    path = write(tmp_path)
    whole = path.read_bytes()
    read(path)

    @quick
    @given(changes=CHANGES)
    def meets(changes):
        met(read, path, spoiled(whole, changes))

    meets()


@pytest.mark.parametrize("name", ["manifest.csv", "classes.csv", "split.csv"])
def test_a_spoiled_table_of_a_reader_is_read_or_told(tmp_path, name):
    rows = []
    for k in range(6):
        picture(tmp_path / f"{k}.png", seed=k)
        picture(tmp_path / f"m{k}.png", values=np.ones((9, 7), np.uint8))
        rows.append((f"{k}.png", f"p{k}", f"m{k}.png", str(30 + k)))
    table(tmp_path / manifest.MANIFEST, ("image", "patient", "mask", "age"), rows)
    table(tmp_path / manifest.CLASSES, ("value", "name"), [("1", "lung"), ("2", "heart")])
    parts = ["train", "train", "train", "validation", "test", "test"]
    table(tmp_path / "split.csv", ("patient", "split"), [(f"p{k}", parts[k]) for k in range(6)])
    whole = (tmp_path / name).read_bytes()

    def read(path):
        data = open_dataset("manifest", tmp_path, split_file=tmp_path / "split.csv" if name == "split.csv" else "")
        for row in range(len(data)):
            data.mask(row)
        splits.check(data.samples, str(path))

    @quick
    @given(changes=CHANGES)
    def meets(changes):
        met(read, tmp_path / name, spoiled(whole, changes))

    meets()


CSVS = {"nih_chest_xray": "Data_Entry_2017_v2020.csv", "chexpert": "train.csv"}


@pytest.mark.parametrize("layout", CSVS)
def test_a_spoiled_table_of_a_release_is_read_or_told(tmp_path, layout):
    root = WRITERS[layout](tmp_path / "data")
    (path,) = root.rglob(CSVS[layout])
    whole = path.read_bytes()

    @settings(quick, max_examples=max(5, EXAMPLES // 3))
    @given(changes=CHANGES)
    def meets(changes):
        met(lambda _: open_dataset(layout, root, progress=False), path, spoiled(whole, changes))

    meets()
