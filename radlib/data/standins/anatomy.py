"""A whole head in atlas space, as six tissue maps, from the real ICBM152 MRI.

The nilearn wheel's T1, grey- and white-matter maps (ICBM152 2009a, 1 mm, MNI millimetres: x to the right, y to the
front, z up) are skull-stripped. Brain and its fluid spaces here are theirs; dura, skull, scalp, orbits, sinuses, jaw
and neck are painted around them from distance maps and ellipsoids. Positions of landmarks are typical adult values of
anatomy textbooks in MNI millimetres (sella about (0, 4, -33), globes about (+-33, 62, -38), 12 mm radius; skull 6-7 mm;
scalp 5-7 mm), good to a few millimetres.
"""

import functools
import gzip
from dataclasses import dataclass

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
        part = (position - low).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        volume = np.take(volume, low, axis) * (1 - part) + np.take(volume, low + 1, axis) * part
    return np.asarray(volume, dtype=np.float32)


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

    def __init__(self, rough: Volume) -> None:
        self.rough = rough
        self.maps = {name: np.zeros(SHAPE, dtype=np.float32) for name in TISSUES}
        self.world = np.meshgrid(
            *(np.arange(n) + o for n, o in zip(SHAPE, ORIGIN, strict=True)), indexing="ij", sparse=True
        )

    def fill(self, where: Volume, box: tuple[slice, ...] = (), **tissue: float | Volume) -> None:
        """Cover `where` (0-1) with a mixture, for example fat=0.8, muscle=0.2; none at all is bone or air."""
        keep = 1 - where
        for name, volume in self.maps.items():
            part = volume[box]
            part *= keep
            if name in tissue:
                part += where * tissue[name]

    def ellipsoid(
        self,
        centre: tuple[float, float, float],
        axes: tuple[float, float, float],
        texture: Volume | None = None,
        level: float = 0.0,
        **tissue: float | Volume,
    ) -> None:
        """Fill an ellipsoid (millimetres); with `texture`, only where that field is above `level`."""
        box = []
        for c, a, o, n in zip(centre, axes, ORIGIN, SHAPE, strict=True):
            box.append(slice(int(max(0, c - a - 2 - o)), int(min(n, c + a + 3 - o))))
        x, y, z = (w[tuple(b if w.shape[i] > 1 else slice(None) for i, b in enumerate(box))] for w in self.world)
        r = np.sqrt(
            ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 + ((z - centre[2]) / axes[2]) ** 2
        )
        r = r + 0.09 * self.rough[tuple(box)] * (min(axes) > 3) * (tissue.get("fluid", 0.0) == 0)  # no organ is a sphere
        where = np.clip((1 - r) * min(axes) + 0.5, 0, 1).astype(np.float32)
        if texture is not None:
            where = where * np.clip((texture[tuple(box)] - level) * 2 + 0.5, 0, 1)
        self.fill(where, tuple(box), **tissue)

    def pair(
        self,
        centre: tuple[float, float, float],
        axes: tuple[float, float, float],
        texture: Volume | None = None,
        level: float = 0.0,
        **tissue: float | Volume,
    ) -> None:
        """The same ellipsoid on both sides."""
        for side in (-1, 1):
            self.ellipsoid((side * centre[0], centre[1], centre[2]), axes, texture, level, **tissue)


@functools.lru_cache(maxsize=1)
def head() -> Head:
    """Build the atlas head (a few seconds, then kept); raises what `radlib.assets.fetch` raises."""
    rng = np.random.default_rng(152)  # the atlas head is the same for every cohort
    t1, grey, white = (_read_atlas(name) for name in ("mni_t1", "mni_grey", "mni_white"))
    brain2 = t1[::2, ::2, ::2] > 0
    inside2 = _closed(brain2, 8)
    depth2 = _signed_distance(inside2)
    x, y, z = np.meshgrid(
        *(np.arange(0, n, 2) + o for n, o in zip(SHAPE, ORIGIN, strict=True)), indexing="ij", sparse=True
    )

    def solid(cx: float, cy: float, cz: float, ax: float, ay: float, az: float, power: float = 2.0) -> Volume:
        r = (np.abs((np.abs(x) - cx) / ax) ** power + np.abs((y - cy) / ay) ** power
             + np.abs((z - cz) / az) ** power) ** (1 / power)
        return np.asarray((1 - r) * min(ax, ay, az), dtype=np.float32)

    vault2 = ndimage.gaussian_filter(_signed_distance(_closed(brain2, 24)), 4)
    outer2 = vault2 + 12.5
    neck = (1 - np.sqrt((x / 60) ** 2 + ((y + 26 - 0.12 * (z + 90)) / 62) ** 2)) * 60 + np.clip(-70 - z, None, 0)
    face = (
        solid(0, -12, -28, 77, 93, 52),  # temples and base of the skull
        solid(0, 42, -72, 64, 52, 64, 2.6),
        solid(0, 8, -84, 68, 44, 52, 2.6),  # chewing muscles, parotid glands
        solid(0, 96, -66, 12, 17, 20),  # nose
        solid(0, 62, -114, 46, 34, 28),  # chin
        np.asarray(neck, dtype=np.float32),
    )
    for shape in face:  # smooth union: two shapes within 8 mm of each other blend
        h = np.clip(0.5 + (outer2 - shape) / 16, 0, 1)
        outer2 = shape * (1 - h) + outer2 * h + 8 * h * (1 - h)
    outer2 = np.maximum(outer2, solid(80, -22, -45, 6, 13, 24))  # ears
    depth, outer, vault = _to_1mm(depth2), _to_1mm(outer2.astype(np.float32)), _to_1mm(vault2)
    coarse, fine = smooth_noise(rng, SHAPE, 5), smooth_noise(rng, SHAPE, 2)

    paint = _Canvas(coarse)
    wx, wy, wz = paint.world
    body = np.clip(outer + 0.5, 0, 1)
    grain = np.take(fine, np.arange(SHAPE[2]) // 3 + 60, axis=2)  # muscle fibres and fat planes run up and down
    septa = np.clip(1.1 - 2.6 * np.abs(coarse + 0.6 * grain), 0, 1) * np.clip(0.55 + 0.2 * grain, 0, 1)
    paint.fill(body, muscle=np.clip(1 - 0.6 * septa + 0.08 * coarse, 0, 1.0), fat=0.6 * septa)
    skin_fat = np.clip(outer - 1, 0, 1) * np.clip(6.0 + 0.7 * coarse - outer, 0, 1)
    paint.fill(skin_fat, fat=np.clip(0.85 + 0.1 * fine + 0.06 * coarse, 0, 1))
    for side in (-1, 1):  # muscles with little fat between them
        for at, axes in (((52, 8, -88), (9, 20, 26)), ((60, 12, -28), (9, 24, 26)), ((34, 8, -80), (10, 14, 16)),
                         ((24, -62, -100), (18, 14, 50)), ((46, -30, -110), (10, 14, 40))):
            paint.ellipsoid((side * at[0], at[1], at[2]), axes, grain + 0.6 * coarse, -0.7, muscle=0.92, fat=0.05)
        paint.ellipsoid((side * 45, 10, -92), (4.5, 14, 28))  # jaw: dark bone around marrow
        paint.ellipsoid((side * 45, 10, -92), (2.6, 12, 26), fat=0.6)
        for t in np.linspace(0, 1, 6):
            paint.ellipsoid((side * (45 - 33 * t), 14 + 66 * t**0.8, -118), (6, 7, 9))
            paint.ellipsoid((side * (45 - 33 * t), 14 + 66 * t**0.8, -119), (4, 5, 6.5), fat=0.55)
    # jaw, tongue and airways
    paint.ellipsoid((0, 48, -108), (24, 34, 18), muscle=0.8, fat=0.15)
    paint.ellipsoid((0, 48, -108), (24, 34, 18), coarse + fine, 0.9, fat=0.6, muscle=0.4)
    paint.ellipsoid((0, 50, -88), (21, 30, 3), fat=0.5)
    paint.ellipsoid((0, 46, -91), (18, 28, 1.6))
    paint.ellipsoid((0, 8, -112), (10, 5, 30))
    paint.ellipsoid((0, 10, -70), (10, 9, 18))
    paint.pair((28, 48, -66), (16, 18, 17), enhancing=0.9)
    paint.pair((28, 48, -66), (14.5, 16.5, 15.5))
    paint.ellipsoid((0, 58, -64), (14, 36, 18), enhancing=0.8)
    paint.ellipsoid((0, 58, -64), (14, 36, 18), np.asarray(np.sin(wx * 1.1) + 0.8 * fine, dtype=np.float32), 0.4)
    # orbits
    paint.pair((31, 50, -40), (20.5, 26, 19.5))
    paint.pair((31, 51, -40), (18, 27, 17), fat=np.float32(0.75))
    for at in ((31, 46, -27), (31, 46, -52), (17, 46, -40), (44, 46, -40)):
        paint.pair(at, (3, 18, 3), muscle=0.5, enhancing=0.5)
    paint.pair((25, 38, -38), (2.5, 22, 2.5), white=0.9)
    paint.pair((33, 63, -40), (12.5, 12.5, 12.5), muscle=0.7, enhancing=0.3)
    paint.pair((33, 63, -40), (11, 11, 11), fluid=0.9)
    # skull base: petrous bone with air cells, sphenoid, clivus, ethmoid
    paint.pair((45, -24, -50), (24, 18, 14), muscle=0.15, fat=0.1)
    paint.pair((50, -30, -52), (18, 16, 14), coarse + fine, 0.4, fat=0.35)
    paint.ellipsoid((0, 30, -40), (26, 26, 11), fat=0.25, muscle=0.15)
    for t in np.linspace(0, 1, 9):
        paint.ellipsoid((0, -9 - 17 * t, -38 - 30 * t), (11 - 3 * t, 5, 5), fat=0.5, muscle=0.2)
    paint.ellipsoid((0, 23, -43), (15, 13, 10), enhancing=0.8)
    paint.ellipsoid((0, 23, -43), (14, 12, 9))
    paint.ellipsoid((0, 54, -40), (13, 22, 14), enhancing=0.65)
    paint.ellipsoid((0, 54, -40), (13, 22, 14), np.asarray(np.sin(wx * 0.9) + fine, dtype=np.float32), -0.1)
    # cervical spine
    for k, level in enumerate(np.arange(-82, -150, -17)):
        cy = -24 - 0.02 * k * 17
        paint.ellipsoid((0, cy, float(level)), (10, 8, 7.5), fat=0.35, muscle=0.35)
        paint.ellipsoid((0, cy - 38, float(level) - 4), (4, 10, 3.5), fat=0.45)
    tube = np.sqrt((wx / 1.2) ** 2 + (wy + 44 + 0.04 * (wz + 80)) ** 2) + np.clip(wz + 64, 0, None) * 3
    paint.fill(np.clip(10 - tube, 0, 1).astype(np.float32), fluid=1.0)
    paint.fill(np.clip(5.5 - tube, 0, 1).astype(np.float32), white=0.5, grey=0.5)

    # skull: two dark tables around patchy marrow, wherever the dura is within 8 mm
    thick = 6.5 + 0.7 * coarse
    out_of_dura = -depth
    shell = np.clip(out_of_dura, 0, 1) * np.clip(thick - out_of_dura, 0, 1) * np.clip((wz + 45) / 8, 0, 1)
    frontal_gap = np.clip(-vault, 0, None) < 9
    marrow = np.clip(1 - np.abs(out_of_dura - 0.5 * thick) / (0.28 * thick), 0, 1) * np.clip(0.4 + 0.25 * coarse, 0, 1)
    paint.fill(np.asarray(shell * frontal_gap, dtype=np.float32), fat=marrow * 0.7)
    paint.ellipsoid((0, 75, -22), (15, 4, 8))  # frontal sinus

    # inside the dura: fluid, then the atlas brain, then what enhances after contrast medium
    cavity = np.clip(depth + 0.5, 0, 1)
    paint.fill(cavity, fluid=1.0)
    paint.fill(np.asarray(np.clip(depth + 1.2, 0, 1) * np.clip(0.8 - depth, 0, 1)), enhancing=0.42, fluid=0.3)
    falx = np.clip(1.1 - np.abs(wx), 0, 1) * (depth > 0) * (wz > 8 - 0.28 * wy) * np.clip(1 - white * 3, 0, 1)
    brain = np.clip(white + grey, 0, 1)
    paint.maps["white"] = paint.maps["white"] * (1 - brain) + white
    paint.maps["grey"] = paint.maps["grey"] * (1 - brain) + np.minimum(grey, 1 - white)
    for name in ("fluid", "fat", "muscle", "enhancing"):
        paint.maps[name] *= 1 - brain
    paint.fill(np.asarray(falx * 0.8, dtype=np.float32), enhancing=0.6, fluid=0.3)
    sinus = np.clip(4.2 - np.hypot(wx, (depth - 2) * 1.1), 0, 1) * np.clip((wz + 5 - 0.25 * wy) / 5, 0, 1)
    sinus = sinus * np.clip((55 - wy) / 10, 0, 1)
    paint.fill(np.asarray(sinus, dtype=np.float32), enhancing=0.95)
    paint.ellipsoid((0, 4, -37), (13, 11, 5), fat=0.2, muscle=0.1)  # floor of the sella
    paint.pair((12, 3, -33), (6, 11, 6.5), enhancing=0.7)  # cavernous sinus
    paint.pair((12, 6, -33), (2.6, 6, 2.6))  # carotid, flow void
    paint.ellipsoid((0, 4, -33), (7, 5.5, 4), enhancing=0.75)  # pituitary gland
    paint.ellipsoid((0, 1, -26), (1.3, 1.3, 7), enhancing=0.7)  # its stalk
    paint.ellipsoid((0, -17, -30), (1.7, 1.7, 14), enhancing=0.3)  # basilar artery
    paint.pair((21, -38, 8), (2.5, 7, 5), enhancing=0.8)  # choroid plexus
    tissues = np.stack([np.clip(np.round(255 * paint.maps[name]), 0, 255).astype(np.uint8) for name in TISSUES])
    return Head(tissues=tissues, depth=depth.astype(np.float16))
