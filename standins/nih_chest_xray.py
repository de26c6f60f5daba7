"""An NIH Chest X-ray cohort of virtual patients: table, lists and PNGs as in the release.

Every patient has one to three findings or none, and two to four films; the first film bears all of the patient's
findings, each later one any of them with probability 0.85. Bedside (AP) films are commoner among the ill, as they are
in truth, so that the view alone tells a little.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from radlib.data.nih_chest_xray import FINDINGS, NOTHING
from standins import films

VERSION = 4
PATIENTS = 46
SIZE = (1024, 1024)  # pixels, as the release's
HEALTHY = 0.36  # of patients of train and test


def plan(patients: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """Which set (train, validation, test) each patient is meant for, and the findings they may show.

    Findings take turns, so that each of them is met in every set as long as there are patients enough.
    """
    rng = np.random.default_rng([seed, 11])
    n_test, n_validation = max(3, round(0.25 * patients)), max(2, round(0.13 * patients))
    meant = ["train"] * (patients - n_test - n_validation) + ["validation"] * n_validation + ["test"] * n_test
    out: list[tuple[str, tuple[str, ...]]] = []
    turn = {"train": 0, "validation": 3, "test": 5}
    for part in ("train", "validation", "test"):
        n = meant.count(part)
        healthy = round(n * HEALTHY) if part != "validation" else 1
        for k in range(n):
            if k < healthy:
                out.append((part, ()))
                continue
            # two in every ill patient of test and in half of train's; validation has few patients, so three in each
            first, steps = turn[part], {"train": (0, 7), "validation": (0, 5, 10), "test": (0, 7)}[part]
            if part == "train" and rng.random() < 0.5:
                steps = steps[:1]
            turn[part] += 1
            out.append((part, tuple(FINDINGS[(first + step) % len(FINDINGS)] for step in steps)))
    return out


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (films, findings, note)."""
    people = plan(patients, seed)
    order = np.random.default_rng([seed, 12]).permutation(patients)
    number = {int(person): place + 1 for place, person in enumerate(order)}
    rows: dict[int, list[dict[str, object]]] = {}

    def one(k: int) -> None:
        part, may = people[k]
        rng = np.random.default_rng([seed, 13, k])
        age, sex = int(rng.integers(20, 90)), str(rng.choice(["M", "F"]))
        who = films.Patient((seed, 14, k), "Cardiomegaly" in may)
        count = 2 if part == "validation" else int(rng.integers(2, 5))
        rows[k] = []
        for n in range(count):
            names = [name for name in may if n == 0 or name == "Cardiomegaly" or rng.random() < 0.85]
            view = "AP" if rng.random() < (0.5 if names else 0.3) else "PA"
            film = who.film(n, names, view, SIZE)
            index = f"{number[k]:08d}_{n:03d}.png"
            place = folder / f"images_{1 + number[k] % 2:03d}" / "images"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(film.pixels).save(place / index, compress_level=films.COMPRESSION)
            rows[k].append(_row(index, names, n, number[k], age + n // 2, sex, view))

    films.write_all(patients, one, progress)
    table = pd.DataFrame([row for k in order for row in rows[int(k)]])
    table.to_csv(folder / "Data_Entry_2017_v2020.csv", index=False, lineterminator="\n")
    listed = {part: [str(row["Image Index"]) for k in order if people[k][0] == part for row in rows[int(k)]] for part in
              ("train", "validation", "test")}  # fmt: skip
    # patients meant for validation end the list: the reader takes whole patients from there
    (folder / "train_val_list.txt").write_text(
        "\n".join(listed["train"] + listed["validation"]) + "\n", encoding="utf-8"
    )
    (folder / "test_list.txt").write_text("\n".join(listed["test"]) + "\n", encoding="utf-8")
    shown = table["Finding Labels"].str.get_dummies("|").sum()
    return {"films": len(table), "findings": {name: int(shown.get(name, 0)) for name in FINDINGS}, "note": films.NOTE}


def _row(
    index: str, names: list[str], follow_up: int, patient: int, age: int, sex: str, view: str
) -> dict[str, object]:
    """One line of the release's table; its last two headings hold a comma, as the release's do."""
    return {
        "Image Index": index,
        "Finding Labels": "|".join(names) or NOTHING,
        "Follow-up #": follow_up,
        "Patient ID": patient,
        "Patient Age": age,
        "Patient Gender": sex,
        "View Position": view,
        "OriginalImage[Width": SIZE[1],
        "Height]": SIZE[0],
        "OriginalImagePixelSpacing[x": 0.35,
        "y]": 0.35,
    }
