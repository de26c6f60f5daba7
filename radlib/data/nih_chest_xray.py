"""NIH Chest X-ray (Wang et al. 2017): a table of findings, two lists of file names, PNGs in one or twelve folders."""

from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import origin, pictures, problems, splits, tables
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError

FINDINGS = (  # the release's fourteen, in the order of Wang et al. 2017 and its later extension
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NOTHING = "No Finding"
PAPER_TRAIN_VAL, PAPER_VALIDATION = 86_524, 10_002  # release's train_val_list.txt; authors' repository, images
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.1  # of patients where the release's lists are missing; about what they give


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The radiographs below `root` that the release's table lists.

    Test is the release's ``test_list.txt``. Validation is made of whole patients from the end of
    ``train_val_list.txt``, until they hold the paper's share of it (10,002 of 86,524 images). ``protocol="authors"``
    takes exactly the last images of that list, which cuts through a patient, and adds "No Finding" as a fifteenth
    class. Without the lists, patients are drawn systematically.

    Raises:
        RadlibError: no table or two of them, a missing column, an unknown finding, an empty cell, an image listed or
            found twice, one that is in no list, no image at all.
    """
    path = _table(root)
    table = tables.read(path, ("Image Index", "Finding Labels", "Patient ID"))
    table["Finding Labels"] = table["Finding Labels"].str.replace(r"\s*\|\s*", "|", regex=True)
    files = _files(root, set(table["Image Index"]))
    wrong = _problems(path, table)
    wrong += [
        f"{root / places[0]} and {root / places[1]} are the same image; keep one."
        for places in files.values()
        if len(places) > 1
    ]
    problems.raise_all(root, wrong)
    here = table["Image Index"].isin(files)
    if not here.any():
        raise RadlibError(
            f"{root} holds none of the {len(table):,} images that {path.name} lists; unpack the archives "
            "images_001 to images_012 there."
        )
    found = table[here].reset_index(drop=True)
    labels = found["Finding Labels"].str.get_dummies("|").reindex(columns=[*FINDINGS, NOTHING], fill_value=0)
    samples = pd.DataFrame(
        {
            "image": [files[name][0] for name in found["Image Index"]],
            "patient": found["Patient ID"],
            "age": tables.ages(found["Patient Age"]) if "Patient Age" in found else np.nan,
            "sex": found.get("Patient Gender", ""),
            "view": found.get("View Position", ""),
        }
    )
    authors = protocol == "authors"
    samples["split"], notes = _split(root, found["Image Index"], samples, authors)
    kind, note = origin.of("nih_chest_xray", root, samples)
    if len(found) < len(table) and kind == "own":
        notes.insert(0, f"{len(found):,} of the {len(table):,} images that {path.name} lists are here.")
    classes = (*FINDINGS, NOTHING) if authors else FINDINGS
    return Dataset(
        name="nih_chest_xray",
        title="NIH Chest X-ray",
        task="multi-label",
        classes=classes,
        samples=samples,
        labels=labels[list(classes)].to_numpy(dtype=np.int64),
        origin=kind,
        note=" ".join([note, *notes]).strip(),
        patient_source=f"{path.name}, column 'Patient ID'",
        root=root,
        read_image=pictures.read_sample,
        preparation="gray as stored",
    )


def _table(root: Path) -> Path:
    found = sorted(path for path in root.glob("Data_Entry_2017*.csv") if path.is_file())
    if not found:
        raise RadlibError(
            f"{root} has no Data_Entry_2017_v2020.csv (nor Data_Entry_2017.csv); put the release's there."
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise RadlibError(f"{root} has {names}, which may differ; keep the one you mean.")
    return found[0]


def _files(root: Path, listed: set[str]) -> dict[str, list[str]]:
    """Image Index -> paths below `root` of the files called so."""
    files: dict[str, list[str]] = {}
    for name in pictures.below(root):
        base = name.rsplit("/", 1)[-1]
        if base in listed:
            files.setdefault(base, []).append(name)
    return files


def _problems(path: Path, table: pd.DataFrame) -> list[str]:
    wrong = tables.climbing(path.parent, table["Image Index"], path)
    for column in ("Image Index", "Finding Labels", "Patient ID"):
        empty = table.index[table[column] == ""]
        if len(empty):
            wrong.append(
                f"{path}: column '{column}' is empty in line {empty[0]} ({len(empty)} in all); take the release's."
            )
    twice = table["Image Index"][table["Image Index"].duplicated()]
    if len(twice):
        wrong.append(f"{path}: the image '{twice.iloc[0]}' is listed twice; keep one row.")
    known = {*FINDINGS, NOTHING, ""}
    lines = {cell: line for line, cell in reversed(list(table["Finding Labels"].items()))}  # its first one
    for cell, line in lines.items():
        strange = [name for name in cell.split("|") if name not in known]
        if strange:
            wrong.append(
                f"{path}, line {line}: the finding '{strange[0]}' is unknown; the release has {len(FINDINGS)}."
            )
    return wrong


def _list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RadlibError(f"{path} cannot be read as text ({error}); take the release's.") from error
    return [line.strip() for line in lines if line.strip()]


def _split(root: Path, images: pd.Series, samples: pd.DataFrame, authors: bool) -> tuple[np.ndarray, list[str]]:
    """The split of each sample `(N,)`, and sentences on it for the note."""
    lists = [root / name for name in ("train_val_list.txt", "test_list.txt")]
    absent = [path.name for path in lists if not path.is_file()]
    if len(absent) == 1:
        raise RadlibError(f"{root} has one of the release's two lists and no {absent[0]}; put it there.")
    if absent:
        n = samples["patient"].nunique()
        drawn = splits.by_patient(
            samples["patient"], max(1, round(n * TEST_SHARE)), max(1, round(n * VALIDATION_SHARE)), str(root)
        )
        splits.check(samples.assign(split=drawn), str(root))
        return drawn, ["Without train_val_list.txt and test_list.txt the split is by patient, systematic."]
    order = {name: place for place, name in enumerate(_list(lists[0]))}
    in_test = images.isin(_list(lists[1])).to_numpy()
    place = images.map(order).to_numpy(dtype=float)
    neither = ~in_test & np.isnan(place)
    both = in_test & ~np.isnan(place)
    if neither.any() or both.any():
        which = "in neither" if neither.any() else "in both"
        raise RadlibError(
            f"{root}: '{images[neither | both].iloc[0]}' is {which} of train_val_list.txt and test_list.txt; take the "
            "release's lists."
        )
    split = np.where(in_test, "test", "train").astype(object)
    rows = np.flatnonzero(~in_test)
    rows = rows[np.argsort(place[rows])]
    target = max(1, round(len(rows) * PAPER_VALIDATION / PAPER_TRAIN_VAL))
    if authors:
        split[rows[-target:]] = "validation"
        each = pd.DataFrame({"patient": np.arange(len(split)), "split": split})  # patients may be torn, sets not empty
        splits.check(each, str(root))
        torn = set(samples["patient"][rows[-target:]]) & set(samples["patient"][rows[:-target]])
        return split, [
            f"As in the authors' code {len(torn)} patient(s) sit in both train and validation."
        ] if torn else []
    held = samples["patient"].iloc[rows]
    counts = held.value_counts()
    last_first = list(dict.fromkeys(held.iloc[::-1]))
    # images taken before a patient's turn comes
    before = np.cumsum([0, *(counts[patient] for patient in last_first)])[:-1]
    chosen = [patient for patient, taken in zip(last_first, before, strict=True) if taken < target]
    split[samples["patient"].isin(chosen).to_numpy() & ~in_test] = "validation"
    splits.check(samples.assign(split=split), str(root))
    return split, []
