"""A Shenzhen cohort of virtual patients: films and, for six in seven of them, one mask of both lungs.

Half have tuberculosis, drawn as in the Montgomery cohort.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from standins import films
from standins.montgomery import tuberculosis

VERSION = 3
PATIENTS = 30
MASKED = 6 / 7  # the release: 566 of 662


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (films, masks, ill, note)."""
    release = folder / "ChinaSet_AllFiles"
    for name in ("CXR_png", "mask", "ClinicalReadings"):
        (release / name).mkdir(parents=True)
    rng = np.random.default_rng([seed, 41])
    ill = rng.permutation(patients) < patients // 2
    masked = rng.permutation(patients) < round(MASKED * patients)

    def one(k: int) -> None:
        draw = np.random.default_rng([seed, 42, k])
        shown = tuberculosis(draw) if ill[k] else ()
        film = films.Patient((seed, 43, k), False).film(0, shown, "PA", None, masks=bool(masked[k]))
        name = f"CHNCXR_{k + 1:04d}_{int(ill[k])}"
        Image.fromarray(film.pixels).save(release / "CXR_png" / f"{name}.png", compress_level=films.COMPRESSION)
        if masked[k]:
            both = np.where(film.lungs.any(axis=0), 255, 0).astype(np.uint8)
            Image.fromarray(both).save(release / "mask" / f"{name}_mask.png")
        sex, age = draw.choice(["male", "female"]), int(draw.integers(18, 80))
        text = f"{sex} {age}yrs\n{'simulated infiltrates' if ill[k] else 'normal'}\n"
        (release / "ClinicalReadings" / f"{name}.txt").write_text(text, encoding="utf-8")

    films.write_all(patients, one, progress)
    note = f"{films.NOTE} Masks: the lobes' projections less what heart and diaphragm hide."
    return {"films": patients, "masks": int(masked.sum()), "tuberculosis": int(ill.sum()), "note": note}
