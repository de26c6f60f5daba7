"""An MSD Heart cohort in the release's layout, but of heads: no open MRI of a heart can be carried along.

What is outlined are the lateral ventricles of the brain: smooth, of about the left atrium's share of a slice, dark
where the atrium is bright. The header is a stub, as the release's is.
"""

import json
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from standins import anatomy, films
from standins.brain_tumor import brightness_of

VERSION = 1
PATIENTS = 20  # the release's
NAMES = (3, 4, 5, 7, 9, 10, 11, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 29, 30)  # of the release's scans
PIXELS, MM = 120, (1.75, 1.9)  # of a slice's sides, and between its pixels
SLICES, THICKNESS = (34, 50), (2.1, 2.6)
INSIDE_MM = 24.0  # below the dura: fluid nearer to it lies around the brain, not within
BASE_MM, CISTERN_MM = 4.0, (8.0, -28.0)  # MNI: what lies below or behind in the midline is third ventricle or cistern
NOTE = (
    "Virtual heads stand in for hearts: the average brain MRI, bent, with the lateral ventricles outlined where the "
    "release has the left atrium; nobody's real scan."
)


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (scans, slices, structure, note)."""
    release = folder / "Task02_Heart"
    for name in ("imagesTr", "labelsTr"):
        (release / name).mkdir(parents=True)
    names = [f"la_{n:03d}" for n in (*NAMES, *range(31, 31 + patients))[:patients]]
    head, ventricles = anatomy.head(), lateral_ventricles()
    slices = [0] * patients

    def one(k: int) -> None:
        rng = np.random.default_rng([seed, 71, k])
        brightness = brightness_of(head, rng)
        n, mm, thick = int(rng.integers(*SLICES)), float(rng.uniform(*MM)), float(rng.uniform(*THICKNESS))
        at = _places(rng, n, mm, thick)
        image = np.clip(ndimage.map_coordinates(brightness, at, order=1, mode="constant"), 0, None)
        mask = ndimage.map_coordinates(ventricles, at, order=1, mode="constant") > 0.5
        ramp = [np.linspace(-1, 1, m, dtype=np.float32) for m in image.shape]
        bias = rng.normal(0, 0.18, 3)
        shading = np.exp(bias[0] * ramp[0][:, None, None] + bias[1] * ramp[1][:, None] + bias[2] * ramp[2])
        sigma = rng.uniform(0.03, 0.09)
        noise = rng.normal(0, sigma, (2, *image.shape)).astype(np.float32)
        magnitude = np.hypot(image * shading + noise[0], noise[1]) * rng.uniform(250, 700)
        stub = np.diag([1.25, 1.25, 1.37, 1.0])  # as in the release: not where the slices truly lie
        for place, array in (("imagesTr", np.round(magnitude).astype(np.int16)), ("labelsTr", mask.astype(np.uint8))):
            nibabel.save(nibabel.Nifti1Image(array, stub), release / place / f"{names[k]}.nii.gz")
        slices[k] = n

    films.write_all(patients, one, progress)
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    about = {
        "name": "Lateral ventricles of virtual heads",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "lateral ventricles"},
        "numTraining": patients,
        "numTest": 0,
        "training": pairs,
        "test": [],
    }
    (release / "dataset.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return {"scans": patients, "slices": sum(slices), "structure": "lateral ventricles of the brain", "note": NOTE}


def lateral_ventricles() -> NDArray[np.float32]:
    """Share of each atlas voxel that is lateral ventricle, 0…1: the two largest bodies of fluid deep in the brain."""
    head = anatomy.head()
    fluid = head.tissues[anatomy.TISSUES.index("fluid")].astype(np.float32) / 255
    x, y, z = anatomy.world()
    cistern = (np.abs(x) < CISTERN_MM[0]) & (y < CISTERN_MM[1])
    inside = (fluid > 0.5) & (head.depth > INSIDE_MM) & (z > BASE_MM) & ~cistern
    parts, _ = ndimage.label(inside)
    sizes = np.bincount(parts.ravel())
    largest = np.isin(parts, 1 + np.argsort(sizes[1:])[-2:])
    return np.asarray(ndimage.gaussian_filter(largest.astype(np.float32), 0.7))


def _places(rng: np.random.Generator, n: int, mm: float, thick: float) -> NDArray[np.float32]:
    """Atlas voxels `(3, PIXELS, PIXELS, n)` of a sagittal scan of one bent head, rows and columns as the release's."""
    span = (np.arange(PIXELS) - (PIXELS - 1) / 2) * mm
    level = (np.arange(n) - (n - 1) / 2) * thick
    front, up, right = np.meshgrid(span, span, level, indexing="ij")  # stored x runs to the front, y to the head
    point = np.stack([right, front - 18, up - 12]).astype(np.float32)
    turned = np.tensordot(anatomy.rotation(*(rng.normal(0, (4, 3, 5)) * np.pi / 180)), point, 1)
    scale = rng.uniform(0.92, 1.08) * rng.uniform(0.96, 1.04, 3)
    at = turned / scale[:, None, None, None] - anatomy.ORIGIN[:, None, None, None]
    bend = [anatomy.smooth_noise(rng, (14, 14, 14), 2) * rng.uniform(2.5, 4.5) for _ in range(3)]
    moved = [ndimage.map_coordinates(b, at / 20, order=1, mode="nearest") for b in bend]
    return np.asarray(at + np.stack(moved), dtype=np.float32)
