"""The stand-in of Brain Tumor: the release's layout, tumours where they belong, the same bytes from the same seed."""

import hashlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

import standins
from radlib.data.origin import MARKER
from radlib.errors import RadlibError
from standins import anatomy, brain_tumor, lesions

PATIENTS = 12


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    out = tmp_path_factory.mktemp("standin") / "cohort"
    return standins.write("brain_tumor", out, PATIENTS, seed=3, progress=False)


@pytest.fixture(scope="module")
def slices(cohort):
    out = []
    for number in range(1, len(list(cohort.glob("*.mat"))) + 1):
        with h5py.File(cohort / f"{number}.mat") as file:
            box = file["cjdata"]
            out.append(
                {
                    "label": int(box["label"][0, 0]),
                    "patient": "".join(chr(c) for c in box["PID"][:, 0]),
                    "image": box["image"][()].T,
                    "border": box["tumorBorder"][()].reshape(-1, 2),
                    "mask": box["tumorMask"][()].T,
                }
            )
    return out


def layout(path):
    """Name, dtype and number of dimensions of everything in a file, and its first 128 bytes."""
    with h5py.File(path) as file:
        fields = {n: (d.dtype, d.ndim, d.compression) for n, d in file["cjdata"].items()}
        shapes = {n: d.shape for n, d in file["cjdata"].items()}
        return fields, shapes, file.userblock_size, path.read_bytes()[:128]


def test_the_layout_is_that_of_the_real_release(cohort, real_images, tmp_path):
    maker = real_images / "mri-brain-tumor-cheng" / "to_release.py"
    subprocess.run([sys.executable, maker, tmp_path, "--every", "120"], check=True, capture_output=True)
    real = layout(min(tmp_path.glob("*.mat")))
    ours = layout(cohort / "1.mat")
    assert ours[0] == real[0]
    assert ours[1]["image"] == real[1]["image"] == ours[1]["tumorMask"] == real[1]["tumorMask"] == (512, 512)
    assert ours[1]["label"] == real[1]["label"] == (1, 1)
    assert ours[1]["PID"][1] == real[1]["PID"][1] == 1
    assert ours[1]["tumorBorder"][0] == real[1]["tumorBorder"][0] == 1
    assert ours[2:] == real[2:]


def test_files_are_numbered_from_one_and_ordered_by_label(cohort, slices):
    assert sorted(int(p.stem) for p in cohort.glob("*.mat")) == list(range(1, len(slices) + 1))
    labels = [s["label"] for s in slices]
    assert labels == sorted(labels) and set(labels) == {1, 2, 3}


def test_slices_and_patients_follow_the_real_proportions():
    people = brain_tumor.plan(40, seed=0)
    count = {k: sum(n for p in people if p.label == k for _, n in p.series) for k in (1, 2, 3)}
    assert count == {1: 39, 2: 79, 3: 52}  # 708 : 1,426 : 930
    assert [sum(p.label == k for p in people) for k in (1, 2, 3)] == [14, 15, 11]  # 82 : 89 : 62
    a_patient = [sum(n for _, n in p.series) for p in people]
    assert min(a_patient) < 3 < 7 < max(a_patient)


def test_one_person_hides_behind_two_near_equal_ids(cohort, slices):
    people = brain_tumor.plan(40, seed=0)
    twice = [p for p in people if p.person in {q.person for q in people if q.person != q.scan}]
    assert [p.patient for p in twice] == ["SIM0021", "SIM0021B"]
    assert len({p.label for p in twice}) == 1
    named = json.loads((cohort / MARKER).read_text())["near_equal_ids"]
    assert len(named) == 2 and set(named) <= {s["patient"] for s in slices}


def test_the_same_seed_gives_the_same_bytes_in_another_process(cohort, tmp_path):
    code = "import sys; import standins; standins.write('brain_tumor', sys.argv[1], 12, 3, False)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "again"], check=True)

    def digests(folder):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}

    assert digests(cohort) == digests(tmp_path / "again")


def test_another_seed_gives_other_pictures(slices):
    other = brain_tumor.scan(brain_tumor.plan(PATIENTS, seed=4)[0], seed=4)[0]
    assert not any(np.array_equal(other.pixels, s["image"]) for s in slices)


def test_the_mask_is_the_outline_filled(slices):
    for one in slices:
        drawn = Image.new("L", (512, 512))
        ImageDraw.Draw(drawn).polygon([tuple(p) for p in one["border"]], fill=1)
        assert np.array_equal(np.asarray(drawn), one["mask"])
        assert one["mask"].sum() > 80  # about 20 mm²


def test_the_tumour_is_inside_the_head(slices):
    for one in slices:
        image = one["image"].astype(float)
        head = ndimage.binary_fill_holes(ndimage.gaussian_filter(image, 3) > 0.12 * np.percentile(image, 97))
        assert head[one["mask"] > 0].mean() > 0.97


def test_the_mask_follows_what_is_seen(slices):
    """Within a few millimetres, tumour and surroundings differ by more than the picture's noise in most slices."""
    differ = []
    for one in slices:
        mask = one["mask"] > 0
        ring = ndimage.binary_dilation(mask, iterations=10) & ~ndimage.binary_dilation(mask, iterations=3)
        image = one["image"].astype(float)
        noise = image[:40, :40].std() + 1
        differ.append(abs(np.median(image[mask]) - np.median(image[ring])) / noise)
    assert np.mean(np.array(differ) > 2) > 0.7


@pytest.mark.parametrize("seed", range(6))
def test_a_meningioma_touches_the_dura_and_stays_out_of_bone(seed):
    head = anatomy.head()
    one = lesions.grow(1, np.random.default_rng(seed), head)
    depth = head.depth[one.box].astype(float)[one.distance < 0]
    assert depth.min() > -0.5
    midline = np.abs(np.argwhere(one.distance < 0)[:, 0] + one.corner[0] - anatomy.voxel((0, 0, 0))[0]).min()
    assert midline < 2 if one.site == "falx" else depth.min() < 2.5


@pytest.mark.parametrize("seed", range(6))
def test_a_glioma_sits_in_white_matter_away_from_the_dura(seed):
    head = anatomy.head()
    one = lesions.grow(2, np.random.default_rng(seed), head)
    assert head.tissues[0][tuple(np.round(one.centre).astype(int))] > 200  # of 255
    assert head.depth[one.box].astype(float)[one.distance < 0].min() > 2
    assert (np.abs(np.argwhere(one.distance < 0) - lesions.HALF_BOX) < lesions.HALF_BOX - 1).all()  # not cut off


@pytest.mark.parametrize("seed", range(6))
def test_an_adenoma_fills_the_sella(seed):
    one = lesions.grow(3, np.random.default_rng(seed), anatomy.head())
    sella = np.round(anatomy.voxel(anatomy.SELLA)).astype(int) - one.corner
    assert one.distance[tuple(sella)] < 0
    assert np.abs(one.centre - anatomy.voxel(anatomy.SELLA))[:2].max() < 10


def test_a_scanned_point_comes_back_from_the_atlas():
    one = brain_tumor.VirtualPatient(brain_tumor.plan(PATIENTS, seed=0)[0], seed=0)
    target = one.lesion.centre
    back = one.to_atlas(one.from_atlas(target)[:, None].astype(np.float32))[:, 0]
    assert np.abs(back - target).max() < 0.5  # mm


def test_a_finished_cohort_is_reused_and_another_one_replaced(tmp_path, monkeypatch):
    calls = []

    def generator(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
        calls.append(seed)
        (folder / "1.mat").write_bytes(b"x")
        return {}

    monkeypatch.setattr(brain_tumor, "write", generator)
    for seed in (0, 0, 1):
        standins.write("brain_tumor", tmp_path / "c", 12, seed)
    assert calls == [0, 1]
    assert standins.marker(tmp_path / "c")["seed"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_an_interrupted_cohort_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
        (folder / "1.mat").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr(brain_tumor, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        standins.write("brain_tumor", tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(RadlibError, match="is not a stand-in"):
        standins.write("brain_tumor", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(
    ("name", "patients", "seed", "says"),
    [
        ("brain_tumour", 40, 0, "did you mean 'brain_tumor'"),
        ("brain_tumor", 3, 0, "ask for 12 patients or more"),
        ("brain_tumor", 40, -1, "seed of 0 or more"),
    ],
)
def test_bad_requests_are_answered_in_one_sentence(tmp_path, name, patients, seed, says):
    with pytest.raises(RadlibError, match=says):
        standins.write(name, tmp_path / "c", patients, seed)
    assert not (tmp_path / "c").exists()


def test_two_who_want_the_same_cohort_make_it_once(tmp_path, monkeypatch):
    calls = []

    def slow(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
        calls.append(seed)
        time.sleep(0.3)
        (folder / "1.mat").write_bytes(b"x")
        return {}

    monkeypatch.setattr(brain_tumor, "write", slow)
    pair = [threading.Thread(target=standins.write, args=("brain_tumor", tmp_path / "c", 12)) for _ in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    assert calls == [0] and [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_cohort_is_made_once_whatever_it_says_of_itself(tmp_path, monkeypatch):
    calls = []

    def by_folder(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
        calls.append(patients)
        (folder / "1.mat").write_bytes(b"x")
        return {"patients": {"sick": 6, "well": 6}, "seed": "of each patient"}

    monkeypatch.setattr(brain_tumor, "write", by_folder)
    for _ in range(2):
        standins.write("brain_tumor", tmp_path / "c", 12)
    assert calls == [12]
