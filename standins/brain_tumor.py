"""A Brain Tumor cohort of virtual patients, written as the real release is: 1.mat ... N.mat, MATLAB v7.3.

Each patient is the atlas head with a tumour grown in it, an own shape, pose, contrast, coil, noise, and one to three
series (axial, coronal, sagittal) of thick slices through the tumour. What is drawn per patient (contrast, noise, field
of view, planes) never depends on the class, so that only the tumour tells it.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import contourpy
import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from tqdm import tqdm

from standins import anatomy, lesions
from standins.anatomy import Volume

VERSION = 7  # raised whenever the same seed would give other bytes
PATIENTS = 40

# The real release has 82 / 89 / 62 patients and 708 / 1,426 / 930 slices of labels 1 / 2 / 3, 13 slices a patient;
# about a third as many slices here. Order of the labels in its files: 1, then 3 between two blocks of 2.
PATIENTS_PER_LABEL = np.array([82, 89, 62])
SLICES_PER_LABEL = np.array([708, 1426, 930])
SLICES_A_PATIENT = 4.25
PLANES = ("axial", "coronal", "sagittal")
SIZE = 512  # pixels of a picture
ACQUIRED = 256  # pixels really sampled before the scanner's interpolation


@dataclass(frozen=True)
class Slice:
    """One picture: pixels (512, 512) int16, outline (m, 2) x then y in pixels, mask (512, 512) uint8."""

    plane: str
    pixels: NDArray[np.int16]
    outline: NDArray[np.float64]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """One virtual patient: id, label, slices of each series (plane, number), seeds of person and scan."""

    patient: str
    label: int
    series: tuple[tuple[str, int], ...]
    person: int
    scan: int


def _shares(total: int, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """`total` split in proportion to `weights` (largest remainders), each at least 1."""
    exact = total * weights / weights.sum()
    out = np.maximum(np.floor(exact).astype(int), 1)
    for i in np.argsort(out - exact)[: max(0, total - out.sum())]:
        out[i] += 1
    return out


def plan(patients: int, seed: int) -> list[Plan]:
    """Who is in the cohort; one glioma patient, scanned twice, has two near-equal ids (SIM0021, SIM0021B)."""
    rng = np.random.default_rng([seed, 0])
    per_label = _shares(patients, PATIENTS_PER_LABEL)
    labels = np.repeat([1, 2, 3], per_label)
    totals = _shares(round(SLICES_A_PATIENT * patients), SLICES_PER_LABEL)
    slices = np.concatenate(
        [
            _shares(max(int(total), n), np.round(100 * rng.uniform(0.35, 1.65, n)).astype(int))
            for total, n in zip(totals, per_label, strict=True)
        ]
    )
    rescan = int(per_label[0] + per_label[1] // 2)
    out = []
    for i in range(patients):
        planes = rng.permutation(3)[: min(slices[i], rng.choice([1, 2, 3], p=[0.2, 0.3, 0.5]))]
        counts = _shares(int(slices[i]), np.ones(len(planes), dtype=int))
        series = tuple((PLANES[p], int(n)) for p, n in zip(planes, counts, strict=True))
        person = i if i == rescan else i + 1
        out.append(Plan(f"SIM{person:04d}" + "B" * (i == rescan), int(labels[i]), series, person, i + 1))
    return out


def _contrast(rng: np.random.Generator) -> dict[str, float]:
    """Brightness of each tissue with white matter at 1: T1 after contrast medium, as the real set's."""
    return {
        "white": 1.0,
        "grey": rng.uniform(0.8, 0.97),
        "fluid": rng.uniform(0.28, 0.5),
        "fat": rng.uniform(1.7, 2.7),
        "muscle": rng.uniform(0.7, 0.95),
        "enhancing": rng.uniform(1.5, 2.3),
    }


def brightness_of(head: anatomy.Head, rng: np.random.Generator) -> Volume:
    """The whole head as one scan's T1 contrast shows it, white matter 1, (X, Y, Z) float32."""
    out = np.zeros(anatomy.SHAPE, dtype=np.float32)
    for tissue, value in zip(head.tissues, _contrast(rng).values(), strict=True):
        out += tissue * np.float32(value / 255)
    return out


class VirtualPatient:
    """A head with its tumour, ready to be cut."""

    def __init__(self, who: Plan, seed: int) -> None:
        self.who = who
        head = anatomy.head()
        body = np.random.default_rng([seed, 1, who.person])
        self.lesion = lesions.grow(who.label, body, head)
        self.bend = np.stack([anatomy.smooth_noise(body, (14, 14, 14), 2) for _ in range(3)]) * body.uniform(1.5, 3.0)
        self.scale = body.uniform(0.93, 1.08) * body.uniform(0.96, 1.04, 3)
        self.scan = np.random.default_rng([seed, 2, who.scan])
        tilt = self.scan.normal(0, (4, 3, 5)) * np.pi / 180
        self.rotation = anatomy.rotation(*tilt)
        self.brightness = brightness_of(head, self.scan)
        lesions.paint(self.lesion, self.brightness, head)
        self.pixel_mm = self.scan.uniform(0.9, 1.06)  # of an acquired pixel: field of view 230-270 mm
        self.thickness_mm = self.scan.uniform(3, 6)
        self.noise = self.scan.uniform(0.015, 0.06)
        self.gain = self.scan.uniform(250, 900)
        self.gamma = self.scan.uniform(0.85, 1.2)
        self.coil = self.scan.normal(0, 0.12, 6)

    def to_atlas(self, points_mm: Volume) -> Volume:
        """Scanner millimetres (3, ...) to atlas voxels: pose, head size, smooth bending."""
        rest = (3,) + (1,) * (points_mm.ndim - 1)
        turned = np.tensordot(self.rotation, points_mm, 1) / self.scale.reshape(rest)
        at = turned - anatomy.ORIGIN.reshape(rest)
        coarse = at / 20.0
        moved = [ndimage.map_coordinates(b, coarse, order=1, mode="nearest") for b in self.bend]
        return np.asarray(at + np.stack(moved), dtype=np.float32)

    def from_atlas(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scanner millimetres of an atlas voxel, by fixed-point iteration."""
        point = target + anatomy.ORIGIN
        for _ in range(8):
            error = self.to_atlas(point[:, None].astype(np.float32))[:, 0] - target
            point = point - 0.9 * (self.rotation.T @ (error * self.scale))
        return np.asarray(point)


def _grid(plane: str, level_mm: float, middle: tuple[float, float], n: int, pixel_mm: float) -> Volume:
    """(3, n, n) scanner millimetres of a picture's pixels, rows downwards, as a radiologist hangs it."""
    span = (np.linspace(0, ACQUIRED - 1, n) - (ACQUIRED - 1) / 2) * pixel_mm
    rows, columns = np.meshgrid(middle[0] - span, span, indexing="ij")  # rows: front or top first
    flat = np.full_like(rows, level_mm)
    if plane == "axial":
        axes = [-(columns - middle[1]), rows, flat]  # the patient's right on the left of the picture
    elif plane == "coronal":
        axes = [-(columns - middle[1]), flat, rows]
    else:
        axes = [flat, -(columns - middle[1]), rows]  # face to the left
    return np.asarray(np.stack(axes), dtype=np.float32)


def cut(patient: VirtualPatient, plane: str, level_mm: float, rng: np.random.Generator) -> Slice | None:
    """One thick slice at `level_mm` along the plane's normal; None when it shows less than about 25 mm² of tumour."""
    middle = {"axial": (-18.0, 0.0), "coronal": (-22.0, 0.0), "sagittal": (-22.0, -8.0)}[plane]
    middle = (middle[0] + patient.coil[4] * 30, middle[1] + patient.coil[5] * 30)
    normal = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    lattice = patient.to_atlas(_grid(plane, level_mm, middle, 33, patient.pixel_mm))
    grow = ACQUIRED / 33
    at = np.stack([ndimage.zoom(a, grow, order=1) for a in lattice])
    along = patient.rotation[:, normal] / patient.scale
    volume = np.zeros((ACQUIRED, ACQUIRED), dtype=np.float32)
    distance = np.zeros_like(volume)
    corner = np.array(patient.lesion.corner, dtype=np.float32)[:, None, None]
    for offset in (-1 / 3, 0, 1 / 3):
        here = at + (offset * patient.thickness_mm * along[:, None, None]).astype(np.float32)
        volume += ndimage.map_coordinates(patient.brightness, here, order=1, mode="nearest") / 3  # the neck goes on
        distance += (
            ndimage.map_coordinates(patient.lesion.distance, here - corner, order=1, mode="constant", cval=40.0) / 3
        )
    outline = _outline(distance)
    if outline is None:
        return None
    ramp = np.linspace(-1, 1, ACQUIRED, dtype=np.float32)
    c = patient.coil
    down, right = ramp[:, None], ramp[None, :]
    shading = np.exp(c[0] * down + c[1] * right + c[2] * (down**2 - 0.3) + c[3] * (right**2 - 0.3))
    if plane != "axial":  # the head coil ends at the neck
        shading = shading * (1 - 0.55 / (1 + np.exp(-(down - 0.75) * 9)))
    signal = np.clip(volume, 0, None) ** patient.gamma * shading
    noise = rng.normal(0, patient.noise, (2, ACQUIRED, ACQUIRED)).astype(np.float32)
    magnitude = np.hypot(signal + noise[0], noise[1])
    pixels = ndimage.zoom(magnitude, SIZE / ACQUIRED, order=3, grid_mode=True, mode="nearest")
    mask = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline], fill=1)
    return Slice(
        plane, np.clip(pixels * patient.gain, 0, 32767).astype(np.int16), outline, np.asarray(mask, dtype=np.uint8)
    )


def _outline(distance: Volume) -> NDArray[np.float64] | None:
    """The largest closed contour at the tumour's surface, about one point every 12 pixels as in the real outlines."""
    if (distance < 0).sum() < 25:
        return None
    lines = [np.asarray(line) for line in contourpy.contour_generator(z=distance).lines(0.0)]
    line = max(lines, key=lambda p: float(np.ptp(p[:, 0]) * np.ptp(p[:, 1])))
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    points = int(np.clip(2 * length[-1] / 12, 11, 45))
    steps = np.linspace(0, length[-1], points, endpoint=False)
    thin = np.stack([np.interp(steps, length, line[:, i]) for i in (0, 1)], axis=1)
    return np.asarray(np.clip(np.round(thin * 2 + 0.5, 2), 0, SIZE - 1))


def scan(who: Plan, seed: int) -> list[Slice]:
    """All slices of one virtual patient."""
    patient = VirtualPatient(who, seed)
    rng = patient.scan
    centre = patient.from_atlas(patient.lesion.centre)
    out: list[Slice] = []
    for plane, count in who.series:
        middle = centre[{"axial": 2, "coronal": 1, "sagittal": 0}[plane]]
        reach = 0.65 * patient.lesion.radius
        for level in np.linspace(-reach, reach, count) if count > 1 else [0.0]:
            level = float(level + rng.uniform(-1, 1))
            found = None
            for shrink in (1, 0.7, 0.4, 0.2, 0, -0.2, -0.5):
                found = cut(patient, plane, float(middle + level * shrink), np.random.default_rng(rng.integers(2**32)))
                if found is not None:
                    break
            if found is None:
                raise AssertionError(f"{who.patient}: no slice shows the tumour ({patient.lesion.site})")
            out.append(found)
    return out


def write_mat(path: Path, who: Plan, picture: Slice) -> None:
    """One file of the release: cjdata with the picture transposed, as MATLAB stores it, after a 512-byte header."""
    # In memory first: HDF5 ends the whole process where a disk is full.
    with h5py.File(path, "w", driver="core", backing_store=False, userblock_size=512) as file:
        box = file.create_group("cjdata")
        box["label"] = np.array([[float(who.label)]])
        box["PID"] = np.array([[ord(c)] for c in who.patient], dtype=np.uint16)
        box.create_dataset("image", data=picture.pixels.T, compression=3, shuffle=True)
        box["tumorBorder"] = picture.outline.reshape(1, -1)
        box.create_dataset("tumorMask", data=picture.mask.T, compression=3)
        file.flush()
        content = file.id.get_file_image()
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(head.ljust(512, b"\x00") + content)


def _numbers(people: list[Plan]) -> list[list[int]]:
    """File numbers of each patient's slices: by label, then plane, as in the release, so never one block a patient."""
    places = [
        (who.label, PLANES.index(plane), i, k)
        for i, who in enumerate(people)
        for plane, n in who.series
        for k in range(n)
    ]
    number = {place: at for at, place in enumerate(sorted(places), start=1)}
    return [[number[place] for place in places if place[2] == i] for i in range(len(people))]


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (slices, labels, relatives, note)."""
    people = plan(patients, seed)
    numbers = _numbers(people)
    anatomy.head()

    def one(i: int) -> None:
        for picture, number in zip(scan(people[i], seed), numbers[i], strict=True):
            write_mat(folder / f"{number}.mat", people[i], picture)

    # threads, not processes: scipy and numpy let go of the interpreter's lock, and the head is shared
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        list(tqdm(pool.map(one, range(patients)), "virtual patients", patients, unit="patient", disable=not progress))
    finally:
        pool.shutdown(cancel_futures=True)
    slices = {label: sum(n for who in people if who.label == label for _, n in who.series) for label in lesions.LABELS}
    twice = {who.person for who in people if who.person != who.scan}
    return {
        "slices": sum(slices.values()),
        "labels": {lesions.LABELS[label]: n for label, n in slices.items()},
        "near_equal_ids": [who.patient for who in people if who.person in twice],
        "note": "Virtual patients made from the ICBM152 average MRI, with simulated tumours; nobody's real scan.",
    }
