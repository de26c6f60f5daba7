"""The fourteen findings of NIH Chest X-ray, drawn into the Hounsfield units of a virtual chest where they belong.

Sizes and sites are those of any textbook of chest radiology (Fleischner Society glossary, Radiology 2008, for nodule
below and mass from 3 cm, consolidation, ground glass, reticulation and emphysema): effusion lies lowest and climbs at
the wall (meniscus), pneumothorax lies highest with a visible pleural line, oedema spreads from the hila, fibrosis sits
at the bases and the periphery, atelectasis is a plate or wedge with loss of volume, a hiatal hernia a mass with an
air-fluid level behind the heart. A cardiomegaly is made when the person is (`chest.person(heart=…)`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from standins.anatomy import smooth_noise, stretch
from standins.chest import HEART, LEFT_LUNG, RIGHT_LUNG, Chest

Volume = NDArray[np.float32]
FLUID, TISSUE, AIR = 10.0, 40.0, -1000.0  # HU
VISIBLE = (0.38, 0.95)  # of a lung's height: what lies lower is hidden by the diaphragm on a frontal film
COARSE = 4  # voxels of the person in one of the distance map: distances are smooth


@dataclass(frozen=True)
class Lungs:
    """Where things are in one chest, on its grid of (X, Y, Z) voxels of `spacing` mm.

    depth: mm inside the nearer lung's surface, 0 outside.  sides: left and right lung, (2, X, Y, Z).
    mm: x, y, z coordinates as broadcastable arrays.  box: (2, 3, 2) mm, lowest and highest of each side along x, y, z.
    """

    chest: Chest
    depth: Volume
    sides: NDArray[np.bool_]
    mm: tuple[Volume, Volume, Volume]
    box: NDArray[np.float64]

    @property
    def both(self) -> NDArray[np.bool_]:
        """Voxels of either lung."""
        return np.asarray(self.sides[0] | self.sides[1])


def lungs(chest: Chest) -> Lungs:
    """Distances and extents of the lungs of `chest`, for the findings to be placed by."""
    sides = np.stack([np.isin(chest.labels, numbers) for numbers in (LEFT_LUNG, RIGHT_LUNG)])
    coarse = (sides[0] | sides[1])[::COARSE, ::2, ::COARSE]
    step = (chest.spacing[0] * COARSE, chest.spacing[1] * 2, chest.spacing[2] * COARSE)
    depth = stretch(ndimage.distance_transform_edt(coarse, sampling=step).astype(np.float32), chest.hu.shape)
    axes = [np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(chest.hu.shape, chest.spacing, strict=True)]
    mm = np.meshgrid(*axes, indexing="ij", sparse=True)
    box = np.empty((2, 3, 2))
    for k, side in enumerate(sides):
        for axis in range(3):
            there = np.flatnonzero(side.any(axis=tuple(a for a in range(3) if a != axis)))
            box[k, axis] = np.array([there[0], there[-1]]) * chest.spacing[axis]
    return Lungs(chest, depth * (sides[0] | sides[1]), sides, (mm[0], mm[1], mm[2]), box)


def stretch_of(names: Sequence[str]) -> float:
    """How much taller the chest is for its findings: hyperinflated in emphysema, shrunken in fibrosis."""
    return (1.13 if "Emphysema" in names else 1.0) * (0.93 if "Fibrosis" in names else 1.0)


def place(name: str, where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    """Draw finding `name` (as NIH spells it) into `hu` (X, Y, Z), in place; "Cardiomegaly" is in the person already."""
    if name != "Cardiomegaly":
        DRAWN[name](where, hu, rng)


def _fill(hu: Volume, box: tuple[slice, ...], share: Volume, value: Volume | float) -> None:
    """Mix `value` HU into the part `box` of `hu` by `share` 0…1."""
    view = hu[box]
    view += share * (value - view)


def _around(
    where: Lungs, centre: NDArray[np.float64], reach: NDArray[np.float64] | float
) -> tuple[tuple[slice, ...], Volume]:
    """The box of voxels within `reach` mm (a number or three) of `centre` mm, and their distance in units of it."""
    reach = np.broadcast_to(reach, 3)
    spacing, shape = np.array(where.chest.spacing), where.chest.hu.shape
    low = np.clip(np.floor((centre - reach) / spacing), 0, shape).astype(int)
    high = np.clip(np.ceil((centre + reach) / spacing) + 1, 0, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    local = np.meshgrid(
        *((np.arange(a, b) * s - c) / r for a, b, s, c, r in zip(low, high, spacing, centre, reach, strict=True)),
        indexing="ij",
        sparse=True,
    )
    return box, np.sqrt(local[0] ** 2 + local[1] ** 2 + local[2] ** 2).astype(np.float32)


def _point(
    where: Lungs,
    rng: np.random.Generator,
    depth: tuple[float, float],
    height: tuple[float, float] = (0, 1),
    side: int | None = None,
) -> NDArray[np.float64]:
    """A random place in a lung, mm: `depth` mm inside its surface, at `height` 0 (base) … 1 (apex) of that lung."""
    side = int(rng.integers(2)) if side is None else side
    low, high = where.box[side, 2]
    thin = (slice(None, None, COARSE),) * 3
    z = where.mm[2][..., ::COARSE]
    level = (z - low) / (high - low)
    inside = where.sides[side][thin] & (where.depth[thin] >= depth[0]) & (where.depth[thin] <= depth[1])
    inside &= (level >= height[0]) & (level <= height[1])
    choices = np.argwhere(inside)
    if not len(choices):  # a thin lung: its deepest place
        choices = np.argwhere(where.depth[thin] == where.depth[thin].max())
    return np.asarray(choices[rng.integers(len(choices))] * COARSE * np.array(where.chest.spacing), dtype=float)


def _edge(distance: Volume, width: float) -> Volume:
    """1 inside (distance below 1), 0 outside, linear over `width`."""
    return np.asarray(np.clip((1 - distance) / width + 0.5, 0, 1), dtype=np.float32)


def _ball(
    where: Lungs, hu: Volume, rng: np.random.Generator, centre: NDArray[np.float64], radius: float, rough: float
) -> None:
    box, distance = _around(where, centre, radius * 1.5)
    bumps = smooth_noise(rng, distance.shape, max(3, radius / 4)) * rough
    _fill(hu, box, _edge(1.5 * distance + bumps, 0.12), TISSUE)


def _nodule(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    for _ in range(1 + int(rng.random() < 0.3)):
        _ball(where, hu, rng, _point(where, rng, (10, 40), VISIBLE), float(rng.uniform(7, 13)), 0.04)  # 14-26 mm across


def _mass(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    radius = float(rng.uniform(17, 30))  # 34-60 mm across
    _ball(where, hu, rng, _point(where, rng, (14, 45), VISIBLE), radius, 0.1)


def _effusion(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    side = int(rng.integers(2))
    low, high = where.box[side, 2]
    level = low + rng.uniform(0.14, 0.42) * (high - low)
    surface = level + 26 * np.exp(-where.depth / 9)  # the meniscus climbs at the wall
    share = np.clip((surface - where.mm[2]) / 3, 0, 1) * where.sides[side]
    hu += share * (FLUID - hu)


def _from_wall(where: Lungs, side: int) -> Volume:
    """Millimetres from the lung's silhouette, to the side and upwards, `(X, 1, Z)`: what a frontal film shows."""
    flat = where.sides[side].any(axis=1)  # (X, Z)
    out = flat if side == 0 else flat[::-1]  # the left lung's wall is at high x
    wall = np.where(out.any(axis=0), len(out) - 1 - np.argmax(out[::-1], axis=0), 0).astype(np.float32)  # (Z,)
    wall = ndimage.gaussian_filter1d(wall, 3)
    x = np.arange(len(out), dtype=np.float32)[:, None]
    lateral = (wall[None] - x) * where.chest.spacing[0]
    top = np.where(out.any(axis=1), out.shape[1] - 1 - np.argmax(out[:, ::-1], axis=1), 0).astype(np.float32)
    upwards = (top[:, None] - np.arange(out.shape[1])[None]) * where.chest.spacing[2]
    near = np.minimum(lateral, np.maximum(upwards, 0))
    return np.asarray((near if side == 0 else near[::-1])[:, None, :], dtype=np.float32)


def _pneumothorax(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    side = int(rng.integers(2))
    low, high = where.box[side, 2]
    from_z = high - rng.uniform(0.35, 0.8) * (high - low)
    gap = rng.uniform(14, 36) * np.clip((where.mm[2] - from_z) / (high - from_z), 0, 1) ** 0.6  # mm of air at the wall
    lung, depth = where.sides[side], _from_wall(where, side)
    air = np.clip((gap - depth) / 1.5, 0, 1) * lung
    line = np.clip(1.8 - np.abs(depth - gap), 0, 1) * lung * (gap > 4)
    hu += air * (AIR - hu)
    hu += line * np.maximum(-450 - hu, 0)
    hu += 60 * (lung & (air < 0.5) & (line == 0))  # the lung has less air


def _opacity(
    where: Lungs,
    hu: Volume,
    rng: np.random.Generator,
    centre: NDArray[np.float64],
    radius: float,
    value: float,
    holes: float,
) -> None:
    """A soft-edged opacity of `value` HU within the lung; `holes` is the share of it that keeps its air."""
    box, distance = _around(where, centre, 1.8 * radius * rng.uniform(0.85, 1.25, 3))
    ragged = 1.8 * distance + 0.22 * smooth_noise(rng, distance.shape, 7)
    share = _edge(ragged, 0.5) * where.both[box]
    if holes:
        share = share * np.clip(1.2 - holes * (1 + smooth_noise(rng, distance.shape, 3)), 0, 1)
    _fill(hu, box, np.asarray(share, dtype=np.float32), value)


def _consolidation(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    _opacity(where, hu, rng, _point(where, rng, (18, 60), (0.3, 0.85)), float(rng.uniform(34, 55)), 10.0, 0.1)


def _pneumonia(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    side = int(rng.integers(2))
    for _ in range(int(rng.integers(2, 4))):
        centre = _point(where, rng, (12, 45), (0.2, 0.6), side)
        _opacity(where, hu, rng, centre, float(rng.uniform(22, 36)), float(rng.uniform(-250, -60)), 0.3)


def _infiltration(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(2, 5))):
        centre = _point(where, rng, (10, 60), (0.3, 0.9))
        _opacity(where, hu, rng, centre, float(rng.uniform(26, 46)), float(rng.uniform(-560, -400)), 0.4)


def _edema(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    hila = [
        np.array(
            [where.box[k, 0].mean(), where.box[k, 1].mean(), 0.55 * where.box[k, 2, 1] + 0.45 * where.box[k, 2, 0]]
        )
        for k in (0, 1)
    ]
    centre_x = (where.box[0, 0].mean() + where.box[1, 0].mean()) / 2
    patch = smooth_noise(rng, hu.shape, 9)
    share = np.zeros(hu.shape, dtype=np.float32)
    for hilum in hila:
        hilum[0] = hilum[0] + 0.42 * (centre_x - hilum[0])
        away = [(m - c) / r for m, c, r in zip(where.mm, hilum, (52, 70, 66), strict=True)]
        share = np.maximum(share, np.exp(-(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)))
    strength = rng.uniform(330, 560)
    hu += where.both * np.clip(share * (1 + 0.35 * patch), 0, 1) * strength
    low, high = where.box[:, 2].min(), where.box[:, 2].max()
    lines = (np.mod(where.mm[2] + 2 * patch, 11) < 1.8) & (where.mm[2] < low + 0.45 * (high - low))  # Kerley B
    for side in (0, 1):
        hu += 130 * (lines & where.sides[side] & (_from_wall(where, side) < 16))


def _emphysema(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    lung = where.both
    holes = np.clip(smooth_noise(rng, hu.shape, 6) - 0.1, 0, 1) * (0.5 + 0.5 * rng.random())
    share = lung * np.clip(0.62 + holes, 0, 0.97)
    hu += share * (-975 - np.minimum(hu, -300)) * (hu < -300)
    hu += lung * (hu >= -300) * -0.35 * (hu + 900)  # fewer and thinner vessels


def _fibrosis(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    low, high = where.box[:, 2].min(), where.box[:, 2].max()
    basal = np.clip(1.25 - (where.mm[2] - low) / (rng.uniform(0.5, 0.8) * (high - low)), 0, 1)
    rim = np.clip((30 - where.depth) / 14, 0, 1) * (where.depth > 0)
    net = np.clip(1 - 2.6 * np.abs(smooth_noise(rng, hu.shape, 3)), 0, 1)
    hu += (basal * rim * (where.both)) * (net * rng.uniform(560, 820) + 60)


def _pleural_thickening(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    side = int(rng.integers(2))
    low, high = where.box[side, 2]
    middle, half = low + rng.uniform(0.35, 0.7) * (high - low), rng.uniform(40, 75)
    thick = rng.uniform(6, 13) * np.clip(1 - ((where.mm[2] - middle) / half) ** 2, 0, 1)
    share = np.clip((thick - _from_wall(where, side)) / 1.5, 0, 1) * where.sides[side] * (thick > 0)
    hu += share * (TISSUE - hu)


def _hernia(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    heart = ndimage.find_objects((where.chest.labels == HEART).view(np.uint8))[0]
    spacing = where.chest.spacing
    centre = np.array([(part.start + part.stop) / 2 * s for part, s in zip(heart, spacing, strict=True)])
    centre[1] = heart[1].start * spacing[1] - 8  # behind the heart
    centre[2] = heart[2].start * spacing[2] + rng.uniform(12, 34)
    centre[0] += rng.uniform(-14, 22)
    radius = rng.uniform(26, 40)
    box, distance = _around(where, centre, radius * np.array([1.25, 0.9, 1.0]))
    wall = _edge(distance, 0.1)
    _fill(hu, box, wall, TISSUE)
    level = where.mm[2][..., box[2]] > centre[2] + rng.uniform(-0.2, 0.3) * radius
    _fill(hu, box, _edge(distance / 0.86, 0.1) * level, -940.0)


def _atelectasis(where: Lungs, hu: Volume, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):  # plates, some tilted, in the lower half
        centre = _point(where, rng, (14, 50), (0.22, 0.6))
        box, distance = _around(where, centre, rng.uniform(30, 52, 3))
        local = [
            where.mm[axis][tuple(box[a] if a == axis else slice(None) for a in range(3))] - centre[axis]
            for axis in range(3)
        ]
        tilt = rng.normal(0, 0.3, 2)
        sheet = np.abs(local[2] + tilt[0] * local[0] + tilt[1] * local[1])
        share = np.clip(rng.uniform(2.5, 4.5) - sheet, 0, 1) * _edge(distance, 0.3) * where.both[box]
        _fill(hu, box, np.asarray(share, dtype=np.float32), 30.0)


DRAWN: dict[str, Callable[[Lungs, Volume, np.random.Generator], None]] = {
    "Atelectasis": _atelectasis,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Pleural_Thickening": _pleural_thickening,
    "Hernia": _hernia,
}
