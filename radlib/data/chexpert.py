"""CheXpert (Irvin et al. 2019): ``train.csv``, ``valid.csv``, ``test.csv``; JPEGs in a folder a patient and a study.

The CSVs name images from above the release's folder (``CheXpert-v1.0-small/train/patient00001/study1/…jpg``); that
folder may be `root`, lie in it, or have lost its name.
"""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from radlib.data import origin, pictures, problems, splits, tables
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError

FINDINGS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")  # the paper's five (Table 1)
UNCERTAIN = "Uncertain"
VALUES = {"": 0, "0": 0, "0.0": 0, "1": 1, "1.0": 1, "-1": -1, "-1.0": -1}
VALIDATION_SHARE = (
    0.05  # of train patients where valid.csv has to be the test set; the authors' script takes 10,000 images
)


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The frontal radiographs below `root`; blank and uncertain (-1) are 0.

    With ``test.csv`` and its images the three files are the three splits. Without it ``valid.csv`` is test, and
    validation is drawn from the train patients systematically. ``protocol="authors"`` adds a sixth class "Uncertain",
    1 where any of the five is -1.

    Raises:
        RadlibError: no train.csv or valid.csv, a missing column, a cell other than 1, 0, -1 and blank, a path that
            leaves the folder or names no patient, an image that is listed twice or missing.
    """
    base = _base(root)
    parts, wrong = [], []
    for name in ("train", "valid", "test"):
        path = base / f"{name}.csv"
        if name == "test" and not path.is_file():
            continue
        table, sentences = _listed(path, base)
        wrong += sentences
        parts.append(table.assign(split={"valid": "validation"}.get(name, name)))
    whole = pd.concat(parts, ignore_index=True)
    frontal = whole[whole["image"].str.contains("frontal", case=False)].reset_index(drop=True)
    present = set(pictures.below(base))
    missing = [name for name in frontal["image"] if name not in present]
    if missing:
        wrong.append(
            f"{base} lacks {len(missing):,} of the {len(frontal):,} frontal images its CSVs list, first "
            f"'{missing[0]}'; unpack them there or delete their rows."
        )
    twice = frontal["image"][frontal["image"].duplicated()]
    if len(twice):
        wrong.append(f"{base}: the image '{twice.iloc[0]}' is listed twice; keep one row.")
    problems.raise_all(root, wrong)
    notes = [f"{len(whole) - len(frontal):,} lateral views are left out, as in the paper."]
    if "test" not in set(frontal["split"]):
        frontal["split"] = frontal["split"].replace("validation", "test")
        frontal["split"] = splits.with_validation(frontal, VALIDATION_SHARE)
        notes.append("Without test.csv its valid.csv is the test set and validation is drawn from train patients.")
    splits.check(frontal, str(base))
    values = frontal[list(FINDINGS)].to_numpy(dtype=np.int64)
    labels = (values == 1).astype(np.int64)
    authors = protocol == "authors"
    if authors:
        labels = np.hstack([labels, (values == -1).any(axis=1, keepdims=True).astype(np.int64)])
    prefix = base.relative_to(root).as_posix()
    samples = frontal.drop(columns=list(FINDINGS))
    samples["image"] = [name if prefix == "." else f"{prefix}/{name}" for name in samples["image"]]
    kind, note = origin.of("chexpert", root, samples)
    return Dataset(
        name="chexpert",
        title="CheXpert",
        task="multi-label",
        classes=(*FINDINGS, UNCERTAIN) if authors else FINDINGS,
        samples=samples,
        labels=labels,
        origin=kind,
        note=" ".join([note, *notes]).strip(),
        root=root,
        read_image=pictures.read_sample,
        preparation="gray as stored",
    )


def _base(root: Path) -> Path:
    """The folder that holds train.csv: `root` or a folder CheXpert… in it."""
    places = [root, *sorted(path for path in root.glob("[Cc]he[Xx]pert*") if path.is_dir())]
    found = [place for place in places if (place / "train.csv").is_file()]
    if not found:
        raise RadlibError(f"{root} has no train.csv, nor has a folder CheXpert-v1.0… in it; unpack the release there.")
    if len(found) > 1:
        raise RadlibError(f"{found[0]} and {found[1]} both hold a train.csv; name the one you mean.")
    return found[0]


def _listed(path: Path, base: Path) -> tuple[pd.DataFrame, list[str]]:
    """Rows of one CSV (image, patient, age, sex, view and the five findings), and what is wrong with them."""
    table = tables.read(path, ("Path", *FINDINGS), "take it from the release.")
    wrong = tables.climbing(base, table["Path"], path)
    for name in FINDINGS:
        strange = table.index[~table[name].isin(VALUES)]
        if len(strange):
            wrong.append(
                f"{path}, line {strange[0] + 2}: '{table[name][strange[0]]}' in column '{name}'; 1, 0, -1 and blank "
                f"are known ({len(strange)} cells are not)."
            )
    image = table["Path"].map(_without_release)
    patient = image.str.extract(r"(patient\d+)", expand=False)
    lost = table.index[patient.isna()]
    if len(lost):
        wrong.append(f"{path}, line {lost[0] + 2}: '{table['Path'][lost[0]]}' names no patient (patient00001/…).")
    found = pd.DataFrame({"image": image, "patient": patient.fillna("")})
    found["age"] = pd.to_numeric(table.get("Age", pd.Series(np.nan, table.index)), errors="coerce")
    found["sex"] = table.get("Sex", pd.Series("", table.index)).str[:1].where(lambda sex: sex.isin(["F", "M"]), "")
    found["view"] = table.get("AP/PA", pd.Series("", table.index))
    for name in FINDINGS:
        found[name] = table[name].map(VALUES).fillna(0).astype(int)
    return found, wrong


def _without_release(name: str) -> str:
    """``CheXpert-v1.0-small/train/…`` -> ``train/…``."""
    parts = PurePosixPath(name).parts
    return "/".join(parts[1:] if parts and parts[0].lower().startswith("chexpert") else parts)
