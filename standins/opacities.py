"""Lung disease as CT shows it, drawn into the Hounsfield units of a virtual chest.

COVID-19: ground glass (-650 to -400 HU) and some consolidation, in both lungs, many patches, peripheral and lower,
crazy paving in some (Simpson et al., Radiology: Cardiothoracic Imaging 2020). Others: a consolidation, a mass,
emphysema, oedema, pneumonia or a faint infiltrate, which are one-sided, central or diffuse.
"""

import numpy as np

from standins.anatomy import smooth_noise
from standins.findings import Lungs, Volume, place

OTHERS = ("Consolidation", "Mass", "Emphysema", "Edema", "Pneumonia", "Infiltration")


def covid(where: Lungs, hu: Volume, rng: np.random.Generator, severity: float) -> Volume:
    """Draw a case of `severity` 0…1 into `hu` in place; returns the share of each voxel that is opaque, `(X, Y, Z)`."""
    low, high = where.box[:, 2].min(), where.box[:, 2].max()
    front, back = where.box[:, 1].max(), where.box[:, 1].min()
    rim = np.clip((34 - where.depth) / 22, 0, 1)
    lower = np.clip(1.25 - (where.mm[2] - low) / (high - low), 0.25, 1)
    behind = np.clip(1.2 - 0.8 * (where.mm[1] - back) / (front - back), 0.35, 1)
    patches = smooth_noise(rng, hu.shape, 11) + 0.5 * smooth_noise(rng, hu.shape, 5)
    fit = patches + 2.8 * (rim * lower * behind) - 0.6
    threshold = 2.3 - 1.8 * severity
    share = np.clip((fit - threshold) / 1.1, 0, 1) * (where.depth > 0)
    glass = rng.uniform(-620, -450) + 50 * smooth_noise(rng, hu.shape, 3)
    if rng.random() < 0.4:  # crazy paving: thickened septa within the glass
        glass = glass + 260 * np.clip(1 - 3.5 * np.abs(smooth_noise(rng, hu.shape, 2)), 0, 1)
    dense = np.clip((fit - threshold - 1.2) / 0.8, 0, 1) * rng.uniform(0, 1)
    value = np.maximum(glass * (1 - dense) + 0 * dense, hu)  # vessels stay visible in ground glass
    hu += share * (value - hu)
    return np.asarray(share, dtype=np.float32)


def other(where: Lungs, hu: Volume, rng: np.random.Generator) -> str:
    """Draw one of `OTHERS` into `hu` in place; returns which."""
    name = OTHERS[int(rng.integers(len(OTHERS)))]
    place(name, where, hu, rng)
    return name
