"""A CheXpert cohort of virtual patients: CheXpert-v1.0-small with its three tables, -1 and blanks.

A finding that is there is written 1, or -1 (uncertain) in one case of eight; one that is not is blank, 0 or, seldom,
-1, at about the release's rates (Irvin et al. 2019, table 1).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from radlib.data.chexpert import FINDINGS
from standins import films

VERSION = 3
PATIENTS = 48
SIZE = (320, 320)
DRAWN_AS = {"Pleural Effusion": "Effusion"}  # elsewhere the two releases spell a finding alike
COLUMNS = (  # of the release, in its order
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
PARTS = {"train": 0.6, "valid": 0.15, "test": 0.25}


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (films, findings, note)."""
    release = folder / "CheXpert-v1.0-small"
    rng = np.random.default_rng([seed, 21])
    n_valid, n_test = max(3, round(PARTS["valid"] * patients)), max(3, round(PARTS["test"] * patients))
    part_of = np.array(["train"] * (patients - n_valid - n_test) + ["valid"] * n_valid + ["test"] * n_test)
    # findings take turns over the patients of each part, a second one joins in half of them, a third have none
    ill: list[tuple[str, ...]] = []
    for k in range(patients):
        place = k - int(np.flatnonzero(part_of == part_of[k])[0])
        first, second = FINDINGS[place % 5], FINDINGS[(place + 1 + place // 5 % 4) % 5]
        ill.append(() if place % 3 == 2 else (first, second) if rng.random() < 0.5 else (first,))
    rows: dict[int, list[dict[str, object]]] = {}

    def one(k: int) -> None:
        draw = np.random.default_rng([seed, 22, k])
        age, sex = int(draw.integers(18, 91)), str(draw.choice(["Male", "Female"]))
        who = films.Patient((seed, 23, k), "Cardiomegaly" in ill[k])
        rows[k] = []
        for study in range(1, 2 + int(draw.random() < 0.35)):
            there = [name for name in ill[k] if study == 1 or name == "Cardiomegaly" or draw.random() < 0.7]
            cells = _cells(there, draw)
            views = [str(draw.choice(["AP", "PA"], p=[0.8, 0.2] if there else [0.6, 0.4]))]
            views += ["LL"] if draw.random() < 0.2 else []
            for number, view in enumerate(views, start=1):
                kind = "lateral" if view == "LL" else "frontal"
                split = "train" if part_of[k] == "train" else part_of[k]
                name = f"{split}/patient{k + 1:05d}/study{study}/view{number}_{kind}.jpg"
                (release / name).parent.mkdir(parents=True, exist_ok=True)
                drawn = [DRAWN_AS.get(finding, finding) for finding in there]
                film = who.film(10 * study + number, drawn, view, SIZE)
                Image.fromarray(film.pixels).save(release / name, quality=90)
                about = {
                    "Sex": sex,
                    "Age": age,
                    "Frontal/Lateral": kind.capitalize(),
                    "AP/PA": "" if view == "LL" else view,
                }
                rows[k].append({"Path": f"CheXpert-v1.0-small/{name}", **about, **cells})

    films.write_all(patients, one, progress)
    for part in PARTS:
        table = pd.DataFrame([row for k in range(patients) if part_of[k] == part for row in rows[k]])
        table.to_csv(release / f"{part}.csv", index=False, lineterminator="\n")
    frontal = [row for k in range(patients) for row in rows[k] if row["Frontal/Lateral"] == "Frontal"]
    counts = {name: sum(row[name] == "1.0" for row in frontal) for name in FINDINGS}
    return {"films": sum(map(len, rows.values())), "frontal": len(frontal), "findings": counts, "note": films.NOTE}


def _cells(there: list[str], draw: np.random.Generator) -> dict[str, str]:
    """The 14 columns of one study: those five that are drawn, "No Finding", and nothing said of the others."""
    cells = dict.fromkeys(COLUMNS, "")
    if not there:
        cells["No Finding"] = "1.0"
    for name in FINDINGS:
        if name in there:
            cells[name] = "-1.0" if draw.random() < 0.12 else "1.0"
        else:
            cells[name] = str(draw.choice(["", "0.0", "-1.0"], p=[0.68, 0.27, 0.05]))
    return cells
