"""A whole head in atlas space, as six tissue maps, from the real ICBM152 MRI.

The nilearn wheel's T1, grey- and white-matter maps (ICBM152 2009a, 1 mm, MNI millimetres: x to the right, y to the
front, z up) are skull-stripped. Brain and its fluid spaces here are theirs; dura, skull, scalp, orbits, sinuses, jaw
and neck are painted around them from distance maps and ellipsoids. Positions of landmarks are typical adult values of
anatomy textbooks in MNI millimetres (sella about (0, 4, -33), globes about (+-33, 62, -38), 12 mm radius; skull 6-7 mm;
scalp 5-7 mm), good to a few millimetres; head_organs.csv lists the ellipsoids.
"""

import csv
import functools
import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from radlib import assets

Volume = NDArray[np.float32]

ORIGIN = np.array([-100.0, -145.0, -155.0])  # MNI millimetres of voxel (0, 0, 0)
SHAPE = (200, 270, 260)  # 1 mm voxels: from the top of the scalp to the neck
SELLA = np.array([0.0, 4.0, -33.0])
TISSUES = ("white", "grey", "fluid", "fat", "muscle", "enhancing")


@dataclass(frozen=True)
class Head:
    """The atlas head.

    tissues: (6, X, Y, Z) uint8, share of each of `TISSUES` in a voxel, 255 = all of it (air and bone have none).
    depth: (X, Y, Z) float16, millimetres inside the dura; negative outside it.
    """

    tissues: NDArray[np.uint8]
    depth: NDArray[np.float16]


def voxel(point_mm: NDArray[np.float64] | tuple[float, float, float]) -> NDArray[np.float64]:
    """Voxel coordinates of a point given in MNI millimetres."""
    return np.asarray(point_mm, dtype=float) - ORIGIN


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Volume:
    """Gaussian noise smoothed to `scale` voxels, mean 0 and standard deviation 1."""
    step = max(1, int(scale))
    coarse = rng.standard_normal([n // step + 3 for n in shape], dtype=np.float32)
    coarse = ndimage.gaussian_filter(coarse, scale / step, mode="nearest")
    field = stretch(coarse, shape)
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def stretch(volume: Volume, shape: tuple[int, ...]) -> Volume:
    """Linear interpolation to another shape, corners on corners; one axis at a time is far cheaper than all at once."""
    for axis, n in enumerate(shape):
        position = np.linspace(0, volume.shape[axis] - 1, n, dtype=np.float32)
        low = np.minimum(position.astype(int), volume.shape[axis] - 2)
        part = (position - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        volume = np.take(volume, low, axis) * (1 - part) + np.take(volume, low + 1, axis) * part
    return np.asarray(volume, dtype=np.float32)


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """(3, 3) rotation about x, then y, then z, in radians."""
    cx, cy, cz, sx, sy, sz = np.cos(x), np.cos(y), np.cos(z), np.sin(x), np.sin(y), np.sin(z)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _read_atlas(name: str) -> Volume:
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(assets.fetch(name).read_bytes()))
    corner = np.round(image.affine[:3, 3] - ORIGIN).astype(int)
    out = np.zeros(SHAPE, dtype=np.float32)
    data = np.asarray(image.dataobj, dtype=np.float32) / 255
    box = tuple(slice(c, c + n) for c, n in zip(corner, data.shape, strict=True))
    out[box] = data[tuple(slice(0, n) for n in out[box].shape)]  # what is cut off at the top is empty
    return out


def _signed_distance(inside: NDArray[np.bool_]) -> Volume:
    """Millimetres to the surface, positive inside, from a mask on the 2 mm grid."""
    return np.asarray(
        2 * (ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)), dtype=np.float32
    )


def _closed(mask: NDArray[np.bool_], radius_mm: float) -> NDArray[np.bool_]:
    grown = 2 * ndimage.distance_transform_edt(~mask) <= radius_mm
    return np.asarray(2 * ndimage.distance_transform_edt(grown) > radius_mm)


def _to_1mm(volume: Volume) -> Volume:
    return stretch(ndimage.gaussian_filter(volume, 0.8), SHAPE)


class _Canvas:
    """Tissue maps being painted; a later stroke covers an earlier one."""

    def __init__(self, textures: dict[str, Volume], rough: Volume) -> None:
        self.textures, self.rough = textures, rough
        self.maps = {name: np.zeros(SHAPE, dtype=np.float32) for name in TISSUES}
        self.world = world()

    def fill(
        self, where: NDArray[np.floating], box: tuple[slice, ...] | None = None, **tissue: float | NDArray[np.floating]
    ) -> None:
        """Cover `where` (0-1) with a mixture, for example fat=0.8, muscle=0.2; none at all is bone or air."""
        if box is None:  # most strokes cover a small part of the head
            box = ndimage.find_objects((where > 0).view(np.uint8))[0]
            where = where[box]
            tissue = {name: share[box] if isinstance(share, np.ndarray) else share for name, share in tissue.items()}
        where = where.astype(np.float32)
        for name, volume in self.maps.items():
            part = volume[box]
            part *= 1 - where
            if name in tissue:
                part += where * tissue[name]

    def organ(self, row: dict[str, str], side: int) -> None:
        """Paint one row of head_organs.csv: an ellipsoid, or the part of it where its texture is above a level."""
        centre = np.array([side * float(row["x"]), float(row["y"]), float(row["z"])])
        half = np.array([float(row["half_x"]), float(row["half_y"]), float(row["half_z"])])
        low = np.clip(np.floor(centre - half - 2 - ORIGIN), 0, SHAPE).astype(int)
        high = np.clip(np.ceil(centre + half + 3 - ORIGIN), 0, SHAPE).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        x, y, z = self.world[0][box[0]], self.world[1][:, box[1]], self.world[2][:, :, box[2]]
        r = np.sqrt(
            ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 + ((z - centre[2]) / half[2]) ** 2
        )
        if half.min() > 3 and not row["organ"].startswith("globe"):  # nothing but the eye is so round
            r = r + 0.09 * self.rough[box]
        where = np.clip((1 - r) * half.min() + 0.5, 0, 1)
        if row["texture"]:
            where = where * np.clip((self.textures[row["texture"]][box] - float(row["level"])) * 2 + 0.5, 0, 1)
        self.fill(where, box, **{name: float(row[name]) for name in TISSUES if row[name]})

    def organs(self, layer: str) -> None:
        """Paint the organs of a layer: "below" the skull and dura, or "above" (after) brain and dura."""
        for row in _organs():
            if row["layer"] == layer:
                for side in (1, -1) if row["sides"] == "both" else (1,):
                    self.organ(row, side)


def _organs() -> list[dict[str, str]]:
    with (Path(__file__).parent / "head_organs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def world() -> tuple[Volume, ...]:
    """MNI millimetres x, y, z of every voxel, as three arrays that broadcast to `SHAPE`."""
    return _grid_mm(1)


def _grid_mm(step: int) -> tuple[Volume, ...]:
    axes = (np.arange(0, n, step, dtype=np.float32) + np.float32(o) for n, o in zip(SHAPE, ORIGIN, strict=True))
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def _skin(vault: Volume) -> Volume:
    """Millimetres inside the skin on the 2 mm grid: the vault with its scalp, joined to face, ears and neck."""
    x, y, z = _grid_mm(2)

    def solid(cx: float, cy: float, cz: float, ax: float, ay: float, az: float, power: float = 2.0) -> Volume:
        px, py, pz = np.abs((np.abs(x) - cx) / ax), np.abs((y - cy) / ay), np.abs((z - cz) / az)
        return np.asarray((1 - (px**power + py**power + pz**power) ** (1 / power)) * min(ax, ay, az))

    outer = vault + 12.5
    neck = (1 - np.sqrt((x / 60) ** 2 + ((y + 26 - 0.12 * (z + 90)) / 62) ** 2)) * 60 + np.clip(-70 - z, None, 0)
    for shape in (
        solid(0, -12, -28, 77, 93, 52),  # temples and base of the skull
        solid(0, 42, -72, 64, 52, 64, 2.6),  # face
        solid(0, 8, -84, 68, 44, 52, 2.6),  # chewing muscles, parotid glands
        solid(0, 96, -66, 12, 17, 20),  # nose
        solid(0, 62, -114, 46, 34, 28),  # chin
        neck,
    ):  # smooth union: two shapes within 8 mm of each other blend
        h = np.clip(0.5 + (outer - shape) / 16, 0, 1)
        outer = shape * (1 - h) + outer * h + 8 * h * (1 - h)
    return np.asarray(np.maximum(outer, solid(80, -22, -45, 6, 13, 24)), dtype=np.float32)  # ears


@functools.lru_cache(maxsize=1)
def head() -> Head:
    """Build the atlas head (some seconds, then kept); raises what `radlib.assets.fetch` raises."""
    rng = np.random.default_rng(152)  # the atlas head is the same for every cohort
    t1, grey, white = (_read_atlas(name) for name in ("mni_t1", "mni_grey", "mni_white"))
    brain_2mm = t1[::2, ::2, ::2] > 0
    vault_2mm = ndimage.gaussian_filter(_signed_distance(_closed(brain_2mm, 24)), 4)
    depth = _to_1mm(_signed_distance(_closed(brain_2mm, 8)))
    vault, skin = _to_1mm(vault_2mm), _to_1mm(_skin(vault_2mm))
    coarse, fine = smooth_noise(rng, SHAPE, 5), smooth_noise(rng, SHAPE, 2)
    x, y, z = _grid_mm(1)
    grain = np.take(fine, np.arange(SHAPE[2]) // 3 + 60, axis=2)  # muscle fibres and fat planes run up and down
    textures = {"fibres": grain + 0.6 * coarse, "patches": coarse + fine, "slats": np.sin(x) + 0.9 * fine}
    paint = _Canvas(textures, coarse)

    septa = np.clip(1.1 - 2.6 * np.abs(textures["fibres"]), 0, 1) * np.clip(0.55 + 0.2 * grain, 0, 1)
    paint.fill(np.clip(skin + 0.5, 0, 1), muscle=np.clip(1 - 0.6 * septa + 0.08 * coarse, 0, 1), fat=0.6 * septa)
    under_skin = np.clip(skin - 1, 0, 1) * np.clip(6 + 0.7 * coarse - skin, 0, 1)
    paint.fill(under_skin, fat=np.clip(0.85 + 0.1 * fine + 0.06 * coarse, 0, 1))
    paint.organs("below")
    canal = np.sqrt((x / 1.2) ** 2 + (y + 44 + 0.04 * (z + 80)) ** 2) + np.clip(z + 64, 0, None) * 3
    paint.fill(np.clip(10 - canal, 0, 1), fluid=1.0)
    paint.fill(np.clip(5.5 - canal, 0, 1), white=0.5, grey=0.5)  # spinal cord

    # skull: two dark tables around patchy marrow, along the dura but not where the dura leaves the vault
    thick = 6.5 + 0.7 * coarse
    shell = np.clip(-depth, 0, 1) * np.clip(thick + depth, 0, 1) * np.clip((z + 45) / 8, 0, 1) * (vault > -9)
    marrow = np.clip(1 - np.abs(-depth - 0.5 * thick) / (0.28 * thick), 0, 1) * np.clip(0.4 + 0.25 * coarse, 0, 1)
    paint.fill(shell, fat=0.7 * marrow)

    # inside the dura: fluid, the atlas brain, then what takes up contrast medium
    paint.fill(np.clip(depth + 0.5, 0, 1), fluid=1.0)
    paint.fill(np.clip(depth + 1.2, 0, 1) * np.clip(0.8 - depth, 0, 1), enhancing=0.42, fluid=0.3)  # dura
    brain = np.clip(white + grey, 0, 1)
    share = np.maximum(white + grey, 1e-6)
    paint.fill(brain, white=white / share, grey=grey / share)
    falx = np.clip(1.1 - np.abs(x), 0, 1) * (depth > 0) * (z > 8 - 0.28 * y) * np.clip(1 - white * 3, 0, 1)
    paint.fill(0.8 * falx, enhancing=0.6, fluid=0.3)
    sagittal_sinus = np.clip(4.2 - np.hypot(x, (depth - 2) * 1.1), 0, 1)
    paint.fill(sagittal_sinus * np.clip((z + 5 - 0.25 * y) / 5, 0, 1) * np.clip((55 - y) / 10, 0, 1), enhancing=0.95)
    paint.organs("above")
    tissues = np.stack([np.clip(np.round(255 * paint.maps[name]), 0, 255).astype(np.uint8) for name in TISSUES])
    return Head(tissues=tissues, depth=depth.astype(np.float16))
