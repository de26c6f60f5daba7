"""A chest radiograph of a virtual person: the volume's line integrals, then what tube, scatter and film make of them.

Attenuation of water 0.02/mm, as at the mean energy of a chest tube (textbook: 0.019-0.021 at 60-70 keV); bone takes
away half as much again for its calcium. The picture is of what was absorbed: dense is bright, as radiologists read it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from standins.chest import HEART, LEFT_LUNG, RIGHT_LUNG, Chest

Picture = NDArray[np.float32]

WATER = 0.02  # 1/mm
DISTANCE = {"PA": 1800.0, "AP": 1050.0, "LL": 1800.0}  # mm from tube to detector; AP films are taken at the bedside
# What hides the lung behind it, and from how many mm on: a manual outline leaves that part out.
HIDING = (((HEART, 1, 5, 6, 52), 38.0), (tuple(range(25, 51)), 16.0))  # heart, spleen, liver, stomach, aorta; spine
LUNG_PATH = 30.0  # mm of lung on a ray that make its pixel lung
MARGINS = (16.0, 26.0, 10.0)  # mm of the field beyond the lungs: sides, above, below


@dataclass(frozen=True)
class Film:
    """A radiograph before it is written.

    absorbed: `(H, W)` line integrals, patient's right on the left, head up.  lung: `(2, H, W)` bool, left and right.
    pixel_mm: of its square pixels, in the plane of the patient's middle.  field: (top, bottom, left, right) pixels that
    frame the lungs with a margin.
    """

    absorbed: Picture
    lung: NDArray[np.bool_]
    pixel_mm: float
    field: tuple[int, int, int, int]


def project(chest: Chest, view: str, pixel_mm: float = 0.9, masks: bool = False) -> Film:
    """Line integrals of `chest` from the tube of a PA, AP or left lateral ("LL") film; lung masks if `masks`.

    Without masks the field is still framed by the lungs of `chest.labels`.
    """
    attenuation = torch.from_numpy(np.ascontiguousarray(chest.hu.T)).add(1000).clamp_(0).mul_(WATER / 1000)
    bone = torch.from_numpy(np.ascontiguousarray(chest.hu.T)).sub(150).clamp_(0, 1200).mul_(0.5 * WATER / 1000)
    attenuation += bone  # (Z, Y, X)
    absorbed = _integrate(attenuation, chest.spacing, view, pixel_mm)
    lungs = [np.isin(chest.labels, side) for side in (LEFT_LUNG, RIGHT_LUNG)]
    # The field has margins of centimetres: every other voxel frames it as well.
    wide = (2 * chest.spacing[0], 2 * chest.spacing[1], 2 * chest.spacing[2])
    outline = _shadow((lungs[0] | lungs[1])[::2, ::2, ::2], wide, view, 2 * pixel_mm) > LUNG_PATH
    top, bottom, left, right = (2 * edge for edge in _framed(outline, 2 * pixel_mm))
    lung = np.zeros((2, *absorbed.shape), dtype=bool)
    if masks:
        hidden = np.zeros(absorbed.shape, dtype=bool)
        for organs, most in HIDING:
            hidden |= _shadow(np.isin(chest.labels, organs), chest.spacing, view, pixel_mm) > most
        for k, side in enumerate(lungs):
            seen = (_shadow(side, chest.spacing, view, pixel_mm) > LUNG_PATH) & ~hidden
            hand = ndimage.gaussian_filter(ndimage.binary_fill_holes(seen).astype(np.float32), 5 / pixel_mm) > 0.5
            lung[k] = _largest(ndimage.binary_opening(hand, iterations=3))
        lung[1] &= ~lung[0]
    return Film(absorbed, lung, pixel_mm, (top, bottom, left, right))


def expose(film: Film, rng: np.random.Generator, field: tuple[int, int, int, int], size: tuple[int, int]) -> Picture:
    """The `field` (top, bottom, left, right) of `film` as a digital film `(H, W) = size`, 0…1: scatter, noise, tone.

    What is drawn here (exposure, scatter, contrast, sharpness) knows nothing of findings.
    """
    transmitted = np.exp(-film.absorbed)
    scatter = _smooth(transmitted, 22 / film.pixel_mm) * rng.uniform(0.15, 0.45)
    top, bottom, left, right = field
    signal = (transmitted + scatter)[top:bottom, left:right]
    signal = _resized(-np.log(np.maximum(signal, 1e-4)), size)
    inner = signal[size[0] // 8 : -size[0] // 8, size[1] // 8 : -size[1] // 8]
    low, high = np.percentile(inner, (rng.uniform(1, 4), rng.uniform(93, 98)))
    exposure = 10 ** rng.uniform(3.0, 4.0)  # photons of a pixel that sees air
    signal = signal + rng.standard_normal(size, dtype=np.float32) * np.exp(signal / 2) / np.sqrt(exposure * 40)
    fine = signal - _smooth(signal, size[0] / 90)
    signal = signal + rng.uniform(0.2, 0.9) * fine  # edge enhancement, as every digital film has
    tone = (signal - low) / (high - low)
    contrast = rng.uniform(2.6, 3.8)
    curve = 1 / (1 + np.exp(-contrast * (tone - rng.uniform(0.45, 0.6))))
    ends = 1 / (1 + np.exp(-contrast * (np.array([-0.35, 1.3]) - 0.5)))
    return np.clip((curve - ends[0]) / (ends[1] - ends[0]), 0, 1).astype(np.float32)


def framed(film: Film, rng: np.random.Generator, square: bool) -> tuple[int, int, int, int]:
    """The field a technician would take: the lungs with a margin, somewhat off centre, never beyond the volume."""
    top, bottom, left, right = film.field
    height, width = film.absorbed.shape
    shift = (rng.normal(0, 5, 2) / film.pixel_mm).astype(int)
    top, bottom, left, right = top + shift[0], bottom + shift[0], left + shift[1], right + shift[1]
    if square:
        side = max(bottom - top, right - left)
        middle = ((top + bottom) // 2, (left + right) // 2)
        top, left = middle[0] - side // 2, middle[1] - side // 2
        bottom, right = top + side, left + side
    over = (max(0, -top, bottom - height), max(0, -left, right - width))
    return top + over[0], bottom - over[0], left + over[1], right - over[1]


def cut_mask(mask: NDArray[np.bool_], field: tuple[int, int, int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The same `field` of a mask, resized to `size` with smooth borders."""
    top, bottom, left, right = field
    soft = ndimage.gaussian_filter(mask[top:bottom, left:right].astype(np.float32), 1.5)
    return np.asarray(_resized(soft, size) > 0.5)


def _integrate(volume: torch.Tensor, spacing: tuple[float, float, float], view: str, pixel_mm: float) -> Picture:
    """Sum of (Z, Y, X) along the rays, times the step in mm; rows head first, the patient's right on the left."""
    if view == "LL":  # from the patient's right to a detector at the left side: front to the left of the picture
        slabs, step, across = volume.permute(2, 0, 1).flip(2), spacing[0], spacing[1]
        from_detector = (torch.arange(len(slabs)).flip(0) * step) + 40
    else:
        slabs, step, across = volume.permute(1, 0, 2), spacing[1], spacing[0]  # (Y, Z, X)
        near_front = torch.arange(len(slabs)).flip(0) * step + 40
        from_detector = near_front if view == "PA" else torch.arange(len(slabs)) * step + 40
    # Two neighbouring slabs are magnified alike to a third of a millimetre at the film's edge, and sampled as one.
    slabs, from_detector = slabs[: len(slabs) // 2 * 2], from_detector[: len(slabs) // 2 * 2]
    slabs, from_detector = slabs[0::2] + slabs[1::2], (from_detector[0::2] + from_detector[1::2]) / 2
    distance = DISTANCE[view]
    grown = distance / (distance - from_detector)
    middle = float(grown.median())
    n, rows, columns = slabs.shape
    height, width = round(rows * spacing[2] / pixel_mm), round(columns * across / pixel_mm)
    # A slab near the tube is magnified: it is sampled from a smaller window about the central ray.
    window = middle / grown
    down, right = (torch.linspace(-1 + 1 / m, 1 - 1 / m, m) for m in (height, width))
    base = torch.stack(torch.meshgrid(right, down, indexing="xy"), -1)
    total = torch.zeros(height, width)
    for start in range(0, n, 16):
        part = slabs[start : start + 16, None].contiguous()
        grid = base * window[start : start + 16, None, None, None]
        total += functional.grid_sample(part, grid, padding_mode="border", align_corners=False).sum(dim=(0, 1))
    return np.ascontiguousarray(total.flip(0).numpy() * step)  # z upwards -> head at the top


def _shadow(where: NDArray[np.bool_], spacing: tuple[float, float, float], view: str, pixel_mm: float) -> Picture:
    return _integrate(torch.from_numpy(np.ascontiguousarray(where.T)).float(), spacing, view, pixel_mm)


def _framed(outline: NDArray[np.bool_], pixel_mm: float) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(outline.any(axis=axis)) for axis in (1, 0))
    side, above, below = (int(mm / pixel_mm) for mm in MARGINS)
    return int(rows[0]) - above, int(rows[-1]) + below, int(columns[0]) - side, int(columns[-1]) + side


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, n = ndimage.label(mask)
    return mask if n < 2 else np.asarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)


def _smooth(picture: Picture, sigma: float) -> Picture:
    """A Gaussian of `sigma` pixels: what it leaves is so smooth that a quarter of the rows and columns tells it."""
    few = (picture.shape[0] // 4, picture.shape[1] // 4)
    return _resized(ndimage.gaussian_filter(_resized(picture, few, "area"), sigma / 4), picture.shape)


def _resized(picture: Picture, size: tuple[int, ...], mode: str = "bicubic") -> Picture:
    source = torch.from_numpy(np.ascontiguousarray(picture))[None, None]
    return functional.interpolate(source, size=size, mode=mode, align_corners=False if mode == "bicubic" else None)[
        0, 0
    ].numpy()
