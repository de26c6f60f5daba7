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
from standins.anatomy import rotation

SPACING = (0.703125, 0.703125, 2.5)  # mm, of the CT's voxels
LEFT_LUNG, RIGHT_LUNG, HEART = (10, 11), (12, 13, 14), 51
BONES = (*range(25, 51), *range(69, 79), *range(91, 119))  # vertebrae, limb girdles, skull, ribs, sternum, cartilage
AIR = -1000.0  # HU
CORTEX = 900.0  # HU of dense bone
NATIVE = 55.0  # HU of blood and organs without contrast medium (textbook: 30-60)
BEND_GRID = (6, 5, 6)  # control points of the smooth deformation along x, y, z
LATTICE = 6  # voxels from node to node of the lattice on which the deformation is worked out


@dataclass(frozen=True)
class Atlas:
    """The CT without its table: `hu` int16, air outside the body, and `labels` uint8, both (512, 512, 133)."""

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]


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


@functools.lru_cache(maxsize=1)
def _heart_centre() -> NDArray[np.float64]:
    """Centre of mass of the heart, (3,) millimetres from the CT's corner."""
    inside = atlas().labels == HEART
    found = ndimage.find_objects(inside.view(np.uint8))[0]
    corner = np.array([part.start for part in found])
    return np.asarray((np.array(ndimage.center_of_mass(inside[found])) + corner) * SPACING)


@functools.lru_cache(maxsize=2)
def _sources(contrast: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The CT's values and labels as (1, 1, Z, Y, X) float32, with or without its contrast medium."""
    source = atlas()
    hu = source.hu if contrast else _without_contrast(source)
    values = torch.from_numpy(np.ascontiguousarray(hu.T).astype(np.float32))
    labels = torch.from_numpy(np.ascontiguousarray(source.labels.T).astype(np.float32))
    return values[None, None], labels[None, None]


def _without_contrast(source: Atlas) -> NDArray[np.int16]:
    """Blood and organs at most `NATIVE` HU, bones as they are: a radiograph is taken without contrast medium."""
    bone = np.isin(source.labels, BONES)  # the first right rib's label holds some of the dense vein beside it
    return np.minimum(source.hu, np.where(bone, CORTEX, NATIVE)).astype(np.int16)


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
    contrast: bool = True,
) -> Chest:
    """A new person on a grid of `shape` voxels of `spacing` mm, centred on the CT's centre.

    rng: draws body size, pose and shape; the same state gives the same person.  heart: linear size of the heart against
    the CT's; 1.3 is a clear cardiomegaly.  bend_mm: standard deviation of the smooth deformation.  contrast: leave the
    CT's contrast medium in heart and vessels.
    """
    size = np.array(atlas().hu.shape) * SPACING  # mm
    stature = rng.normal(1, 0.04) * rng.normal(1, 0.035, 3)
    turn = rotation(*(rng.normal(0, (1.0, 1.5, 2.0)) * np.pi / 180))
    bend = torch.from_numpy(rng.normal(0, bend_mm, (3, *BEND_GRID[::-1])).astype(np.float32))  # (3, z, y, x)
    bend = functional.interpolate(bend[None], size=[9, 9, 9], mode="trilinear", align_corners=True)[0]
    volume, labels = _sources(contrast)
    # The way back into the CT is smooth, so it is worked out on a lattice and interpolated between its nodes.
    nodes = [max(2, n // LATTICE + 1) for n in shape]
    axes = [np.linspace(-(n - 1) / 2, (n - 1) / 2, m) * s for n, m, s in zip(shape, nodes, spacing, strict=True)]
    pz, py, px = torch.meshgrid(*(torch.from_numpy(a.astype(np.float32)) for a in axes[::-1]), indexing="ij")
    point = torch.stack([px, py, pz], -1)  # mm from the grid's centre
    there = point @ torch.from_numpy((turn / stature[:, None]).T.astype(np.float32))
    half = torch.from_numpy((size / 2).astype(np.float32))
    moved = functional.grid_sample(bend[None], (there / half)[None], padding_mode="border", align_corners=True)[0]
    there = there + moved.permute(1, 2, 3, 0)
    if heart != 1.0:
        there = _magnified(there, torch.from_numpy((_heart_centre() - size / 2).astype(np.float32)), heart)
    unit = (there / half).permute(3, 0, 1, 2)[None]  # -1 ... 1 over the CT
    unit = functional.interpolate(unit, size=shape[::-1], mode="trilinear", align_corners=True)
    unit = unit.permute(0, 2, 3, 4, 1).contiguous()
    # what lies beyond the CT is what lay at its border: shoulders and abdomen go on
    hu = functional.grid_sample(volume, unit, padding_mode="border", align_corners=False)[0, 0].numpy()
    near = functional.grid_sample(labels, unit, mode="nearest", padding_mode="border", align_corners=False)[0, 0]
    return Chest(hu.T, near.numpy().astype(np.uint8).T, spacing)


def _magnified(there: torch.Tensor, centre: torch.Tensor, factor: float) -> torch.Tensor:
    """Source points around `centre` (mm) drawn inwards, so that what lies there appears `factor` times as large."""
    away = there - centre
    distance = away.norm(dim=-1, keepdim=True)
    reach = 62.0 * factor  # mm: the heart's half length is about 60
    share = torch.clamp(1.6 - distance / reach, 0, 1)  # whole within 0.6 of the reach, nothing beyond 1.6
    share = share * share * (3 - 2 * share)
    return centre + away * (1 + share * (1 / factor - 1))
