"""A Montgomery County cohort of virtual patients: films, a mask of each lung and clinical readings, a quarter as large.

Four in ten have tuberculosis: infiltrates of the upper lobes, some with a nodule or an effusion.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from standins import films

VERSION = 3
PATIENTS = 27
CASES = (("Infiltration",), ("Infiltration", "Nodule"), ("Pneumonia",), ("Infiltration", "Effusion"))


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (films, ill, note)."""
    release = folder / "MontgomerySet"
    for name in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask", "ClinicalReadings"):
        (release / name).mkdir(parents=True)
    ill = np.random.default_rng([seed, 31]).permutation(patients) < round(0.42 * patients)

    def one(k: int) -> None:
        draw = np.random.default_rng([seed, 32, k])
        shown = tuberculosis(draw) if ill[k] else ()
        film = films.Patient((seed, 33, k), False).film(0, shown, "PA", None, masks=True)
        name = f"MCUCXR_{k + 1:04d}_{int(ill[k])}"
        Image.fromarray(film.pixels).save(release / "CXR_png" / f"{name}.png", compress_level=films.COMPRESSION)
        for side, mask in zip(("left", "right"), film.lungs, strict=True):
            Image.fromarray(mask).save(release / "ManualMask" / f"{side}Mask" / f"{name}.png")
        sex, age = draw.choice(["M", "F"]), int(draw.integers(18, 80))
        text = f"Patient's Sex: {sex}\nPatient's Age: {age:03d}Y\n{'simulated infiltrates' if ill[k] else 'normal'}\n"
        (release / "ClinicalReadings" / f"{name}.txt").write_text(text, encoding="utf-8")

    films.write_all(patients, one, progress)
    note = f"{films.NOTE} Masks: the lobes' projections less what heart and diaphragm hide."
    return {"films": patients, "tuberculosis": int(ill.sum()), "note": note}


def tuberculosis(draw: np.random.Generator) -> tuple[str, ...]:
    """The findings of one simulated case."""
    return CASES[int(draw.integers(len(CASES)))]
