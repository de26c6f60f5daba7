"""Virtual chests: the real CT of `radlib.assets`, bent, scaled and posed into new persons on any grid.

Axes of every volume here: x to the patient's left, y to the front, z upwards (LAS, as the CT is stored), so that
``volume[:, y, ::-1].T`` is a coronal picture as a radiologist hangs it. Values are Hounsfield units; labels are
TotalSegmentator's numbers (the wheel's ``structures.csv``). Lungs are the lobes 10-14.
"""

import functools
import gzip
from dataclasses import dataclass

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from radlib import assets

SPACING = (0.703125, 0.703125, 2.5)  # mm, of the CT's voxels
LEFT_LUNG, RIGHT_LUNG, HEART = (10, 11), (12, 13, 14), 51
AIR = -1000.0  # HU
BEND_GRID = (6, 5, 6)  # control points of the smooth deformation along x, y, z
SLAB = 24  # slices warped at once: bounds memory at some 200 MB


@dataclass(frozen=True)
class Atlas:
    """The CT without its table: `hu` int16, air outside the body, and `labels` uint8, both (512, 512, 133)."""

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]

    def centre_mm(self, *labels: int) -> NDArray[np.float64]:
        """Centre of mass of labelled voxels in millimetres from the volume's corner, (3,)."""
        found = ndimage.find_objects(np.isin(self.labels, labels).view(np.uint8))[0]
        inside = np.isin(self.labels[found], labels)
        corner = np.array([part.start for part in found])
        return (np.array(ndimage.center_of_mass(inside)) + corner) * SPACING


@functools.lru_cache(maxsize=1)
def atlas() -> Atlas:
    """Read the CT and take its table, clothes and cables away (some seconds, then kept)."""
    volumes = []
    for name in ("chest_ct", "chest_ct_labels"):
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(assets.fetch(name).read_bytes()))
        volumes.append(np.asarray(image.dataobj, dtype=np.float32))
    hu, labels = volumes[0].astype(np.int16), volumes[1].astype(np.uint8)
    # The body is the largest thing denser than fat that 4 mm of erosion leave in one piece; the table falls off.
    coarse = hu[::4, ::4, :] > -300
    core, _ = ndimage.label(ndimage.binary_erosion(coarse, iterations=2))
    largest = np.bincount(core.ravel())[1:].argmax() + 1
    body = ndimage.binary_dilation(core == largest, iterations=3)
    body = np.stack([ndimage.binary_fill_holes(body[:, :, z]) for z in range(body.shape[2])], axis=2)
    inside = body.repeat(4, axis=0).repeat(4, axis=1)
    return Atlas(np.where(inside | (labels > 0), np.maximum(hu, AIR), AIR).astype(np.int16), labels)


@dataclass(frozen=True)
class Chest:
    """One virtual person: `hu` (X, Y, Z) float32, `labels` (X, Y, Z) uint8, `spacing` (3,) mm a voxel."""

    hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]

    def lung(self, side: str = "both") -> NDArray[np.bool_]:
        """Voxels of the left, right or both lungs, (X, Y, Z)."""
        numbers = {"left": LEFT_LUNG, "right": RIGHT_LUNG, "both": LEFT_LUNG + RIGHT_LUNG}[side]
        return np.isin(self.labels, numbers)


def person(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    heart: float = 1.0,
    bend_mm: float = 7.0,
) -> Chest:
    """A new person on a grid of `shape` voxels of `spacing` mm, centred on the CT's centre.

    rng: draws body size, pose and shape; the same state gives the same person.  heart: linear size of the heart against
    the CT's; 1.3 is a clear cardiomegaly.  bend_mm: standard deviation of the smooth deformation.
    """
    source = atlas()
    size = np.array(source.hu.shape) * SPACING  # mm
    stature = rng.normal(1, 0.04) * rng.normal(1, 0.035, 3)
    turn = _rotation(*(rng.normal(0, (1.0, 1.5, 2.0)) * np.pi / 180))
    bend = torch.from_numpy(rng.normal(0, bend_mm, (3, *BEND_GRID[::-1])).astype(np.float32))  # (3, z, y, x)
    bend = functional.interpolate(bend[None], size=[9, 9, 9], mode="trilinear", align_corners=True)[0]
    heart_centre = source.centre_mm(HEART)
    volume = torch.from_numpy(np.ascontiguousarray(source.hu.T).astype(np.float32))[None, None]
    labels = torch.from_numpy(np.ascontiguousarray(source.labels.T).astype(np.float32))[None, None]
    hu_out, labels_out = np.empty(shape[::-1], np.float32), np.empty(shape[::-1], np.uint8)
    x, y = (
        torch.from_numpy(((np.arange(n) - (n - 1) / 2) * s).astype(np.float32))
        for n, s in zip(shape[:2], spacing[:2], strict=True)
    )
    for start in range(0, shape[2], SLAB):
        levels = np.arange(start, min(start + SLAB, shape[2]))
        z = torch.from_numpy(((levels - (shape[2] - 1) / 2) * spacing[2]).astype(np.float32))
        pz, py, px = torch.meshgrid(z, y, x, indexing="ij")
        point = torch.stack([px, py, pz], -1)  # mm from the grid's centre
        there = point @ torch.from_numpy((turn / stature[:, None]).T.astype(np.float32))
        unit = there / torch.from_numpy((size / 2).astype(np.float32))  # -1 ... 1 over the CT
        moved = functional.grid_sample(bend[None], unit[None], padding_mode="border", align_corners=True)[0]
        there = there + moved.permute(1, 2, 3, 0)
        if heart != 1.0:
            there = _magnified(there, torch.from_numpy((heart_centre - size / 2).astype(np.float32)), heart)
        unit = (there / torch.from_numpy((size / 2).astype(np.float32)))[None]
        # what lies beyond the CT is what lay at its border: shoulders and abdomen go on
        hu_out[levels] = functional.grid_sample(volume, unit, padding_mode="border", align_corners=False)[0, 0].numpy()
        near = functional.grid_sample(labels, unit, mode="nearest", padding_mode="border", align_corners=False)[0, 0]
        labels_out[levels] = near.numpy().astype(np.uint8)
    return Chest(hu_out.T, labels_out.T, spacing)


def _magnified(there: torch.Tensor, centre: torch.Tensor, factor: float) -> torch.Tensor:
    """Source points around `centre` (mm) drawn inwards, so that what lies there appears `factor` times as large."""
    away = there - centre
    distance = away.norm(dim=-1, keepdim=True)
    reach = 62.0 * factor  # mm: the heart's half length is about 60
    share = torch.clamp(1.6 - distance / reach, 0, 1)  # whole within 0.6 of the reach, nothing beyond 1.6
    share = share * share * (3 - 2 * share)
    return centre + away * (1 + share * (1 / factor - 1))


def _rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    cx, cy, cz, sx, sy, sz = np.cos(x), np.cos(y), np.cos(z), np.sin(x), np.sin(y), np.sin(z)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)
