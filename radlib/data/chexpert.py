"""CheXpert (Irvin et al. 2019): ``train.csv``, ``valid.csv``, ``test.csv``; JPEGs in a folder a patient and a study.

The CSVs name images from above the release's folder (``CheXpert-v1.0-small/train/patient00001/study1/…jpg``); that
folder may be `root`, lie in it, or have lost its name. The full release comes as four archives instead: train patients
lie in ``CheXpert-v1.0 batch 2 (train 1)`` and its two sisters, beside ``batch 1 (validate & csv)`` with the rest.
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
# Of train patients where valid.csv has to be the test set; the authors' script takes 10,000 images.
VALIDATION_SHARE = 0.05
TEST_CSVS = ("test.csv", "test_labels.csv")  # the second is Stanford's name, in its release CheXlocalize
TRAIN_BATCHES = "CheXpert-v1.0 batch * (train *)"


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The frontal radiographs below `root`; blank and uncertain (-1) are 0.

    With ``test.csv`` (or ``test_labels.csv``) and its images the three files are the three splits. Without the file or
    all of its images ``valid.csv`` is test, and validation is drawn from the train patients systematically.
    ``protocol="authors"`` adds a sixth class "Uncertain", 1 where any of the five is -1.

    Raises:
        RadlibError: no train.csv or valid.csv, a missing column, a cell other than 1, 0, -1 and blank, a path that
            leaves the folder or names no patient, an image that is listed twice or missing.
    """
    base = _base(root)
    places = _places(root, base)
    test = next((name for name in TEST_CSVS if (base / name).is_file()), "")
    parts, wrong, notes = [], [], []
    for split, name in (("train", "train.csv"), ("validation", "valid.csv"), ("test", test)):
        if not name:
            continue
        table, sentences = _listed(base / name, base)
        wrong += sentences
        if split == "test" and not table["image"].isin(places).any():
            notes.append(f"{name} is here, but none of its images.")
            continue
        parts.append(table.assign(split=split))
    whole = pd.concat(parts, ignore_index=True)
    frontal = whole[whole["image"].str.contains("frontal", case=False)].reset_index(drop=True)
    missing = [name for name in frontal["image"] if name not in places]
    if missing:
        wrong.append(
            f"{base} lacks {len(missing):,} of the {len(frontal):,} frontal images its CSVs list, first "
            f"'{missing[0]}'; unpack them there or delete their rows."
        )
    twice = frontal["image"][frontal["image"].duplicated()]
    if len(twice):
        wrong.append(f"{base}: the image '{twice.iloc[0]}' is listed twice; keep one row.")
    problems.raise_all(root, wrong)
    notes.append(f"{len(whole) - len(frontal):,} lateral views are left out, as in the paper.")
    if "test" not in set(frontal["split"]):
        frontal["split"] = frontal["split"].replace("validation", "test")
        frontal["split"] = splits.with_validation(frontal, VALIDATION_SHARE)
        notes.append("Without test.csv and its images valid.csv is test; validation is drawn from train patients.")
    splits.check(frontal, str(base))
    values = frontal[list(FINDINGS)].to_numpy(dtype=np.int64)
    labels = (values == 1).astype(np.int64)
    authors = protocol == "authors"
    if authors:
        labels = np.hstack([labels, (values == -1).any(axis=1, keepdims=True).astype(np.int64)])
    samples = frontal.drop(columns=list(FINDINGS))
    samples["image"] = samples["image"].map(places)
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
        patient_source="column 'Path' of the CSV files",
        root=root,
        read_image=pictures.read_sample,
        preparation="gray as stored",
    )


def _base(root: Path) -> Path:
    """The folder that holds train.csv: `root`, or a folder CheXpert… in it or in such a one."""
    name = "[Cc]he[Xx]pert*"
    places = [root, *sorted(root.glob(name)), *sorted(root.glob(f"{name}/{name}"))]
    found = [place for place in places if (place / "train.csv").is_file()]
    if not found:
        raise RadlibError(f"{root} has no train.csv, nor has a folder CheXpert-v1.0… in it; unpack the release there.")
    if len(found) > 1:
        raise RadlibError(f"{found[0]} and {found[1]} both hold a train.csv; name the one you mean.")
    return found[0]


def _places(root: Path, base: Path) -> dict[str, str]:
    """Pictures as the CSVs name them (``train/patient00001/…``) -> where they are below `root`."""
    prefix = "" if base == root else f"{base.relative_to(root).as_posix()}/"
    places = {name: prefix + name for name in pictures.below(base)}
    batches = [] if base == root else sorted(base.parent.glob(TRAIN_BATCHES))
    for batch in batches:
        prefix = batch.relative_to(root).as_posix()
        places |= {f"train/{name.removeprefix('train/')}": f"{prefix}/{name}" for name in pictures.below(batch)}
    return places


def _listed(path: Path, base: Path) -> tuple[pd.DataFrame, list[str]]:
    """Rows of one CSV (image, patient, age, sex, view and the five findings), and what is wrong with them."""
    table = tables.read(path, ("Path", *FINDINGS), "take it from the release.")
    wrong = tables.climbing(base, table["Path"], path)
    for name in FINDINGS:
        strange = table.index[~table[name].isin(VALUES)]
        if len(strange):
            wrong.append(
                f"{path}, line {strange[0]}: '{table[name][strange[0]]}' in column '{name}'; 1, 0, -1 and blank "
                f"are known ({len(strange)} cells are not)."
            )
    image = table["Path"].map(_without_release)
    patient = image.str.extract(r"(patient\d+)", expand=False)
    lost = table.index[patient.isna()]
    if len(lost):
        wrong.append(f"{path}, line {lost[0]}: '{table['Path'][lost[0]]}' names no patient (patient00001/…).")
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
