"""Three kinds of intracranial tumour, grown in 3-D in the atlas head before any slice is cut.

Sizes and habits are textbook ranges of adult neuroradiology (WHO classification of CNS tumours, 5th edition, and any
reading-room atlas): meningioma 2-6 cm, broad dural base, even enhancement, dural tail in about half, oedema in about
half; glioma 2.5-7 cm within white matter, ring-enhancing with necrosis (high grade) or dark and hardly enhancing (low
grade); pituitary adenoma 0.8-4 cm, in the sella, waisted at the diaphragm when it grows upwards, cystic in a fifth.
Brightness is in units of normal white matter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from standins.anatomy import SELLA, SHAPE, Head, Volume, smooth_noise, voxel

LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary"}

# Where meningiomas sit, in MNI millimetres and as shares (convexity and parasagittal about half, skull base the rest).
MENINGIOMA_SITES: tuple[tuple[str, float, tuple[float, float, float]], ...] = (
    ("convexity", 0.32, (55, 0, 40)),
    ("falx", 0.22, (4, 10, 55)),
    ("sphenoid wing", 0.16, (32, 14, -22)),
    ("tuberculum sellae", 0.10, (3, 14, -22)),
    ("olfactory groove", 0.08, (4, 38, -26)),
    ("petroclival", 0.12, (20, -22, -34)),
)
# Where gliomas sit: centres of lobar white matter and of the deep and midline kinds.
GLIOMA_SITES: tuple[tuple[str, float, tuple[float, float, float]], ...] = (
    ("frontal", 0.28, (24, 36, 18)),
    ("temporal", 0.24, (42, -10, -18)),
    ("parietal", 0.16, (28, -42, 38)),
    ("occipital", 0.06, (26, -76, 8)),
    ("deep", 0.14, (12, -12, 4)),
    ("gyrus rectus", 0.07, (10, 28, -16)),
    ("brainstem", 0.05, (4, -28, -32)),
)
HALF_BOX = 56  # millimetres from a lesion's centre to the side of the box it is grown in


@dataclass(frozen=True)
class Lesion:
    """A tumour in a box of atlas voxels.

    distance: (112, 112, 112) float32, about the millimetres outside the tumour's surface (negative within).
    corner: voxel of the box's first element.  centre: voxel coordinates of the tumour.  radius: millimetres.
    paint: (112, 112, 112, 2) share covered and brightness, drawn over the head; oedema: share of white matter darkened.
    """

    label: int
    site: str
    centre: NDArray[np.float64]
    radius: float
    corner: tuple[int, int, int]
    distance: Volume
    cover: Volume
    brightness: Volume
    oedema: Volume
    push_mm: float

    @property
    def box(self) -> tuple[slice, ...]:
        """The box as an index into a volume of the head."""
        return tuple(slice(c, c + 2 * HALF_BOX) for c in self.corner)


def _step(x: Volume, width: float = 1.0) -> Volume:
    """0 below, 1 above, linear over `width`."""
    return np.asarray(np.clip(x / width + 0.5, 0, 1), dtype=np.float32)


def _site(
    rng: np.random.Generator, sites: tuple[tuple[str, float, tuple[float, float, float]], ...], spread: float
) -> tuple[str, NDArray[np.float64]]:
    share = np.array([s[1] for s in sites])
    name, _, (x, y, z) = sites[rng.choice(len(sites), p=share / share.sum())]
    point = np.array([x, y, z]) + rng.normal(0, spread, 3) * (0.4 if x < 10 else 1.0, 1, 1)
    return name, point * (rng.choice([-1, 1]), 1, 1)


class _Box:
    """The cube of atlas around a centre: coordinates relative to it, depth inside the dura, white matter."""

    def __init__(self, head: Head, centre: NDArray[np.float64]) -> None:
        corner = np.clip(np.round(centre).astype(int) - HALF_BOX, 0, np.array(SHAPE) - 2 * HALF_BOX)
        self.corner = (int(corner[0]), int(corner[1]), int(corner[2]))
        index = tuple(slice(c, c + 2 * HALF_BOX) for c in self.corner)
        self.depth = head.depth[index].astype(np.float32)
        self.white = head.tissues[0][index].astype(np.float32) / 255
        self.fluid = head.tissues[2][index].astype(np.float32) / 255
        grid = [np.arange(2 * HALF_BOX) + c - v for c, v in zip(self.corner, centre, strict=True)]
        self.x, self.y, self.z = np.meshgrid(*(g.astype(np.float32) for g in grid), indexing="ij", sparse=True)
        self.shape = (2 * HALF_BOX,) * 3

    def ball(self, offset: NDArray[np.float64], axes: NDArray[np.float64]) -> Volume:
        r = np.sqrt(
            ((self.x - offset[0]) / axes[0]) ** 2
            + ((self.y - offset[1]) / axes[1]) ** 2
            + ((self.z - offset[2]) / axes[2]) ** 2
        )
        return np.asarray((r - 1) * axes.mean(), dtype=np.float32)


def _meningioma(rng: np.random.Generator, head: Head) -> Lesion:
    name, point = _site(rng, MENINGIOMA_SITES, 8.0)
    radius = float(rng.uniform(19, 35) if name in ("convexity", "falx") else rng.uniform(15, 27))
    side = np.sign(point[0]) or 1.0
    at = voxel(point)
    if name == "falx":
        at = voxel(np.array([side * 0.75 * radius, point[1], min(point[2], 60 - 0.15 * abs(point[1]))]))
    else:
        if name == "convexity":  # a random direction over the vault
            angle, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.9)
            ray = np.array([np.cos(angle), np.sin(angle), up])
            steps = voxel(np.array([0, -15, 8])) + np.arange(0, 110)[:, None] * ray / np.linalg.norm(ray)
            inside = ndimage.map_coordinates(head.depth.astype(np.float32), steps.T, order=1) > 0
            at = steps[int(np.flatnonzero(inside).max())]
        depth = head.depth.astype(np.float32)
        for _ in range(40):  # walk along the depth's gradient to the dura, then inwards by a share of the radius
            near = tuple(slice(int(c) - 3, int(c) + 4) for c in at)
            normal = np.array([g.mean() for g in np.gradient(depth[near])])
            normal /= np.linalg.norm(normal) + 1e-6
            here = float(ndimage.map_coordinates(depth, at[:, None], order=1)[0])
            if abs(here) < 0.5:
                break
            at = at - 0.7 * here * normal
        at = at + normal * radius * rng.uniform(0.45, 0.75)
    box = _Box(head, at)
    lobes = smooth_noise(rng, box.shape, 9)
    distance = box.ball(np.zeros(3), radius * rng.uniform(0.85, 1.15, 3)) + 0.07 * radius * lobes
    distance = np.maximum(distance, 0.8 - box.depth)
    if name == "falx":
        midline = voxel(np.zeros(3))[0] - at[0]
        distance = np.maximum(distance, -side * (box.x - midline) + 0.5)
    bright = rng.uniform(1.45, 2.2) + 0.06 * smooth_noise(rng, box.shape, 3)
    if rng.random() < 0.15:  # dark, calcified or cystic part
        bright = bright - 0.8 * _step(smooth_noise(rng, box.shape, 6) - 0.9)
    cover = _step(-distance)
    if rng.random() < 0.5 and name != "falx":  # dural tail
        tail = _step(3.2 - box.depth) * _step(box.depth - 0.3) * _step(7 - distance, 6.0)
        cover = np.maximum(cover, 0.8 * tail)
    extent = rng.uniform(6, 20) if rng.random() < 0.5 else 0.0
    return Lesion(
        1,
        name,
        at,
        radius,
        box.corner,
        distance,
        cover,
        np.asarray(bright, dtype=np.float32),
        _oedema(rng, box, distance, extent),
        rng.uniform(0.35, 0.7) * radius,
    )


def _oedema(rng: np.random.Generator, box: _Box, distance: Volume, extent: float) -> Volume:
    """Fingers of white matter around a tumour; `extent` in millimetres, 0 for none."""
    if extent == 0:
        return np.zeros(box.shape, dtype=np.float32)
    reach = extent * (1 + 0.5 * smooth_noise(rng, box.shape, 8)) - distance
    return np.asarray(_step(reach, 4.0) * np.clip(box.white * 1.3, 0, 1), dtype=np.float32)


def _glioma(rng: np.random.Generator, head: Head) -> Lesion:
    name, point = _site(rng, GLIOMA_SITES, 7.0)
    near = np.argwhere(head.tissues[0][::2, ::2, ::2] > 215) * 2.0
    gap = np.linalg.norm(near - voxel(point), axis=1)
    at = near[int(np.argmin(gap))]
    radius = float(rng.uniform(14, 22) if name in ("brainstem", "gyrus rectus", "deep") else rng.uniform(20, 37))
    box = _Box(head, at)
    rough = smooth_noise(rng, box.shape, 8) + 0.5 * smooth_noise(rng, box.shape, 4)
    white_near = ndimage.gaussian_filter(box.white, 2)
    distance = box.ball(np.zeros(3), radius * rng.uniform(0.75, 1.3, 3)) + 0.16 * radius * rough
    distance = distance + 0.2 * radius * (0.75 - white_near)
    distance = np.maximum(distance, 2.5 - box.depth)
    distance = np.maximum(distance, box.ball(np.zeros(3), np.full(3, HALF_BOX - 4.0)))  # ends within its box
    texture = smooth_noise(rng, box.shape, 3)
    kind = rng.choice(["ring", "low grade", "patchy", "solid"], p=[0.46, 0.28, 0.18, 0.08])
    cover = _step(-distance, 2.0)
    if kind == "ring":
        rim = rng.uniform(2.5, 7) * (1 + 0.4 * smooth_noise(rng, box.shape, 5))
        core = _step(-distance - rim, 2.0)
        bright = rng.uniform(1.2, 2.0) * (1 - core) + core * rng.uniform(0.35, 0.7) + 0.1 * texture
    elif kind == "low grade":
        bright = rng.uniform(0.5, 0.78) + 0.05 * texture
        cover = _step(-distance, 5.0)
    elif kind == "patchy":
        spots = _step(smooth_noise(rng, box.shape, 6) - 0.6)
        bright = rng.uniform(0.55, 0.8) + spots * rng.uniform(0.5, 1.1) + 0.08 * texture
    else:  # evenly enhancing, as a lymphoma or an anaplastic tumour would look
        bright = rng.uniform(1.2, 1.8) + 0.1 * texture
    extent = rng.uniform(6, 24) if kind != "low grade" else rng.uniform(0, 6)
    return Lesion(
        2,
        f"{name}, {kind}",
        at,
        radius,
        box.corner,
        distance,
        cover,
        np.asarray(bright, dtype=np.float32),
        _oedema(rng, box, distance, extent),
        0.3 * radius,
    )


def _pituitary(rng: np.random.Generator, head: Head) -> Lesion:
    radius = float(rng.choice([rng.uniform(5, 8), rng.uniform(8, 13), rng.uniform(13, 17)], p=[0.2, 0.5, 0.3]))
    at = voxel(SELLA + rng.normal(0, (2.0, 1.0, 1.0)) + (0, 0, 0.45 * (radius - 5)))
    box = _Box(head, at)
    wide = radius * rng.uniform(0.85, 1.2, 3)
    distance = box.ball(np.zeros(3), wide * (1, 0.9, 0.9))
    height = 0.0
    if radius > 7:  # snowman: an upper lobe beyond the waist at the diaphragm of the sella
        upper = radius * rng.uniform(0.7, 1.15)
        height = 0.75 * (radius + upper) * 0.8
        lobe = box.ball(np.array([rng.normal(0, 2), rng.normal(-1, 2), height]), upper * rng.uniform(0.85, 1.15, 3))
        distance = np.minimum(distance, lobe)
    distance = distance + 0.06 * radius * smooth_noise(rng, box.shape, 6)
    bright = rng.uniform(1.2, 2.0) + 0.08 * smooth_noise(rng, box.shape, 3)
    if rng.random() < 0.25:  # cyst or old bleeding inside
        cyst = _step(-distance - 0.25 * radius, 2.0) * _step(smooth_noise(rng, box.shape, 7) + 0.6)
        bright = bright * (1 - cyst) + cyst * rng.uniform(0.4, 0.75)
    centre = at + (0, 0, 0.5 * height)
    return Lesion(
        3,
        "sella",
        centre,
        radius,
        box.corner,
        distance,
        _step(-distance),
        np.asarray(bright, dtype=np.float32),
        np.zeros(box.shape, dtype=np.float32),
        0.3 * radius,
    )


def grow(label: int, rng: np.random.Generator, head: Head) -> Lesion:
    """A random tumour of class `label` (1 meningioma, 2 glioma, 3 pituitary) where that class belongs."""
    return {1: _meningioma, 2: _glioma, 3: _pituitary}[label](rng, head)


def paint(lesion: Lesion, intensity: Volume, head: Head) -> None:
    """Draw the tumour, its oedema and its mass effect into `intensity` (the head's volume), in place.

    Mass effect: what lay at the tumour's surface is moved outwards by `push_mm`, less and less further away
    (e-folding 12 mm), and nothing moves at the dura, so the skull keeps its shape.
    """
    view = intensity[lesion.box]
    oedema = lesion.oedema * 0.3
    view *= 1 - oedema
    grid = np.meshgrid(*(np.arange(2 * HALF_BOX, dtype=np.float32) for _ in range(3)), indexing="ij", sparse=True)
    local = lesion.centre - np.array(lesion.corner)
    away = [g - np.float32(c) for g, c in zip(grid, local, strict=True)]
    length = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) + 1
    depth = head.depth[lesion.box].astype(np.float32)
    edges = [np.minimum(g, 2 * HALF_BOX - 1 - g) for g in grid]
    edge = np.minimum(np.minimum(edges[0], edges[1]), edges[2])
    push = lesion.push_mm * np.exp(-np.clip(lesion.distance, 0, None) / 12)
    push = push * np.clip(depth / 8, 0, 1) * np.clip(edge / 8, 0, 1)
    push = np.minimum(push, 0.8 * length)
    source = [g - push * a / length for g, a in zip(grid, away, strict=True)]
    view[...] = ndimage.map_coordinates(view, source, order=1, mode="nearest")
    view *= 1 - lesion.cover
    view += lesion.cover * lesion.brightness
