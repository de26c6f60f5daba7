"""What the four X-ray cohorts share: one virtual person, filmed several times with the findings of the day."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from standins import chest, findings, radiograph

GRID, SPACING = (340, 66, 170), (1.05, 3.8, 1.9)  # voxels and mm of a person; depth is summed up and may be coarse
HEIGHT = 700  # pixels of a film that keeps its proportions; the releases' have 3,000 to 4,900
PIXEL_MM = 1.0  # of the projection, before it is resized to the film
COMPRESSION = 3  # of PNG: a quarter of the time of the usual 6, files an eighth larger
NOTE = (
    "Virtual patients: radiographs projected from one real chest CT, bent, with simulated findings; nobody's real film."
)


@dataclass(frozen=True)
class Film:
    """One film: pixels `(H, W)` uint8, and masks of the left and right lung `(2, H, W)` bool if they were asked for."""

    pixels: NDArray[np.uint8]
    lungs: NDArray[np.bool_]


class Patient:
    """A person whose films differ in findings, view, pose in the field and exposure."""

    def __init__(self, seed: Sequence[int], enlarged_heart: bool) -> None:
        rng = np.random.default_rng([*seed, 1])
        heart = rng.uniform(1.22, 1.4) if enlarged_heart else rng.uniform(0.82, 0.96)
        self.chest = chest.person(rng, GRID, SPACING, heart=float(heart), contrast=False)
        self.lungs = findings.lungs(self.chest)
        self.seed = seed

    def film(
        self, number: int, names: Sequence[str], view: str, size: tuple[int, int] | None, masks: bool = False
    ) -> Film:
        """Film `number` of this person in `view` (PA, AP, LL) with findings `names`, `size` (H, W) pixels.

        Without a `size` it is `HEIGHT` pixels high and as wide as the lungs need.

        The place and size of a finding stay the same from film to film of one person, as a finding does.
        """
        hu = self.chest.hu.copy()
        for name in names:
            findings.place(name, self.lungs, hu, np.random.default_rng([*self.seed, 2, _number(name)]))
        stretch = findings.stretch_of(names)
        spacing = (SPACING[0], SPACING[1], SPACING[2] * stretch)
        shown = replace(self.chest, hu=hu, spacing=spacing)
        rng = np.random.default_rng([*self.seed, 3, number])
        raw = radiograph.project(shown, view, PIXEL_MM, masks)
        field = radiograph.framed(raw, rng, square=size is not None and size[0] == size[1])
        if size is None:  # keep the field's proportions
            size = (HEIGHT, round(HEIGHT * (field[3] - field[2]) / (field[1] - field[0])))
        tones = radiograph.expose(raw, rng, field, size)
        pixels = np.round(tones * 255).astype(np.uint8)
        lungs = np.stack([radiograph.cut_mask(side, field, size) for side in raw.lung]) if masks else raw.lung
        return Film(_marked(pixels, view), lungs)


def write_all(patients: int, one: Callable[[int], None], progress: bool) -> None:
    """Call `one` for every patient, two at a time: their volumes are large, and numpy and torch let go of the lock."""
    chest.atlas()
    pool = ThreadPoolExecutor(min(2, os.cpu_count() or 1))
    try:
        done = pool.map(one, range(patients))
        for _ in tqdm(done, "virtual patients", patients, unit="patient", disable=not progress):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _number(name: str) -> int:
    return sorted(findings.DRAWN).index(name) if name in findings.DRAWN else 99


def _marked(pixels: NDArray[np.uint8], view: str) -> NDArray[np.uint8]:
    """The lead letter of the patient's left side, as on every film."""
    picture = Image.fromarray(pixels)
    height, width = pixels.shape
    if view != "LL":
        ImageDraw.Draw(picture).text(
            (width * 0.93, height * 0.03), "L", fill=235, font_size=max(8, height // 26), anchor="ma"
        )
    return np.asarray(picture)
