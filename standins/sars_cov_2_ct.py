"""A SARS-CoV-2 CT cohort of virtual patients: Covid, Healthy and Others, a folder of PNG slices each.

What is drawn per patient (window, size, noise, sharpness, number of slices) never depends on the group.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from standins import chest, films, findings, opacities

VERSION = 3
PATIENTS = 42
SHARES = {"Covid": 80, "Healthy": 50, "Others": 80}  # patients of the release
GRID, SPACING = (300, 230, 44), (1.25, 1.25, 6.0)  # voxels and mm of a person
NOTE = "Virtual patients: slices of one real chest CT, bent, with simulated disease; nobody's real scan."


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says (slices, patients of a group, note)."""
    counts = {group: max(3, round(patients * share / 210)) for group, share in SHARES.items()}
    counts["Others"] = patients - counts["Covid"] - counts["Healthy"]
    people = [(group, k) for group, n in counts.items() for k in range(n)]
    slices = [0] * patients

    def one(i: int) -> None:
        group, k = people[i]
        rng = np.random.default_rng([seed, 51, i])
        who = chest.person(rng, GRID, SPACING, heart=float(rng.uniform(0.9, 1.1)))
        where, hu = findings.lungs(who), who.hu.copy()
        if group == "Covid":
            opacities.covid(where, hu, rng, float(rng.uniform(0.0, 0.6)))
        elif group == "Others":
            opacities.other(where, hu, rng)
        target = folder / group / f"Patient ({k + 1})"
        target.mkdir(parents=True)
        scan = np.random.default_rng([seed, 52, i])  # apart from the disease, so that it cannot follow it
        pictures = scanned(hu, where, scan)
        for n, picture in enumerate(pictures, start=1):
            colour = Image.fromarray(picture).convert("RGB") if k % 3 == 0 else Image.fromarray(picture)
            colour.save(target / f"{n}.png", compress_level=films.COMPRESSION)
        slices[i] = len(pictures)

    films.write_all(patients, one, progress)
    return {"slices": sum(slices), "patients_by_folder": counts, "note": NOTE}


def scanned(hu: NDArray[np.float32], where: findings.Lungs, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Three to five axial slices through the lungs, as 8-bit pictures of one window, front at the top."""
    low, high = where.box[:, 2].min() / SPACING[2], where.box[:, 2].max() / SPACING[2]
    levels = np.linspace(low + 0.12 * (high - low), low + 0.88 * (high - low), int(rng.integers(3, 6)))
    centre, width = rng.uniform(-650, -450), rng.uniform(1100, 1700)
    sharpness, noise = rng.uniform(0.3, 0.9), rng.uniform(12, 45)
    body = np.flatnonzero((hu[:, :, int(levels[len(levels) // 2])] > -400).any(axis=1))
    left, right = max(0, body[0] - 6), min(hu.shape[0], body[-1] + 7)
    side = int(rng.integers(230, 340))
    out = []
    for level in levels:
        cut = hu[left:right, :, int(round(level))].T[::-1, :]  # front at the top; x grows to the patient's left
        cut = ndimage.gaussian_filter(cut, sharpness)
        grain = ndimage.gaussian_filter(rng.standard_normal(cut.shape, dtype=np.float32), 0.7)
        shown = (cut + noise * grain / grain.std() - (centre - width / 2)) / width
        picture = Image.fromarray(np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8))
        out.append(
            np.asarray(picture.resize((side, round(side * cut.shape[0] / cut.shape[1])), Image.Resampling.BICUBIC))
        )
    return out
