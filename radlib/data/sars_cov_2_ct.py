"""SARS-CoV-2 CT (Soares et al. 2020): ``Covid``, ``Healthy`` and ``Others``, one folder of PNG slices a patient."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from radlib.data import origin, pictures, problems, splits
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError

CLASSES = ("not COVID-19", "COVID-19")
GROUPS = ("Covid", "Healthy", "Others")  # the order in which the authors number the patients
SPELLINGS = {"covid": "Covid", "covid-19": "Covid", "covid19": "Covid", "healthy": "Healthy", "normal": "Healthy"}
SPELLINGS |= {"others": "Others", "other": "Others"}
PAPER_PATIENTS, PAPER_TEST, PAPER_VALIDATION = 210, 70, 50  # authors' repository


def open_folder(root: Path, protocol: str = "ours", progress: bool = True) -> Dataset:
    """The slices below `root`, one study a patient, split by patient as the paper's were.

    Patients are ordered Covid, Healthy, Others and within a group by the number in their folder's name; a third of
    them is drawn systematically to test, and of the rest 50 of 140 to validation. ``protocol="authors"`` sorts a
    patient's slices as text; the patients' order, and so the split, stays.

    Raises:
        RadlibError: a group that is missing, slices that lie in a group without a patient's folder, a patient without
            slices or whose folder is another's by a link, too few patients.
    """
    folders = _groups(root)
    key = _as_text if protocol == "authors" else _by_number
    above = (root.resolve(), *root.resolve().parents)
    rows, wrong, entered = [], [], {path.resolve(): path for path in (*above, *folders.values())}
    for group in GROUPS:
        held = [path for path in folders[group].iterdir() if not path.name.startswith(".")]
        loose = [path for path in held if path.suffix.lower() in pictures.SUFFIXES and not path.is_dir()]
        wrong += [
            f"{path} is a link that leads nowhere; take the patient from the release again."
            for path in held
            if path.is_symlink() and not path.exists()
        ]
        if loose:
            wrong.append(
                f"{folders[group]} holds slices outside of patients' folders, first '{loose[0].name}'; the release has "
                "one folder a patient, and without them no honest split can be made."
            )
        for patient in sorted((path for path in held if path.is_dir()), key=lambda p: _by_number(p.name)):
            real = patient.resolve()
            if real in entered:
                wrong.append(f"{patient} is {entered[real]} by a link; give each patient a folder of slices.")
                continue
            entered[real] = patient
            names = sorted(pictures.below(patient), key=key)
            if not names:
                wrong.append(f"{patient} holds no slice; delete the folder or take it from the release again.")
            for name in names:
                image = (patient / name).relative_to(root).as_posix()
                rows.append({"image": image, "patient": f"{group}/{patient.name}", "covid": group == "Covid"})
    problems.raise_all(root, wrong)
    if not rows:
        raise RadlibError(f"{root} holds no slice in its folders {', '.join(GROUPS)}; unpack the release there.")
    samples = pd.DataFrame(rows)
    samples["study"] = samples["patient"]
    samples["split"] = splits.as_paper(samples, PAPER_PATIENTS, PAPER_TEST, PAPER_VALIDATION, str(root))
    splits.check(samples, str(root))
    labels = samples.pop("covid").to_numpy(dtype=np.int64)
    kind, note = origin.of("sars_cov_2_ct", root, samples)
    return Dataset(
        name="sars_cov_2_ct",
        title="SARS-CoV-2",
        task="binary",
        classes=CLASSES,
        samples=samples,
        labels=labels,
        origin=kind,
        note=note,
        patient_source="names of the patients' folders",
        root=root,
        read_image=pictures.read_sample,
        preparation="gray as stored",
    )


def _groups(root: Path) -> dict[str, Path]:
    """Group -> its folder, in `root` or in the only folder of `root`."""
    inside = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))
    places = [root, *sorted(inside)]  # Kaggle's archive has New_Data_CoV2/
    for place in places:
        found: dict[str, Path] = {}
        for path in sorted(place.iterdir()):
            group = SPELLINGS.get(path.name.strip().lower())
            if group and path.is_dir():
                if group in found:
                    raise RadlibError(f"{found[group]} and {path} are the same group; put their patients into one.")
                found[group] = path
        if "Covid" in found:
            absent = [group for group in GROUPS if group not in found]
            if absent:
                raise RadlibError(f"{place} has no folder {absent[0]}; take it from the release.")
            return found
    raise RadlibError(f"{root} has no folders {', '.join(GROUPS)}; unpack the release there.")


def _by_number(name: str) -> list[tuple[int, str]]:
    """A key by which slice 10 comes after slice 2."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.findall(r"\d+|\D+", name)]


def _as_text(name: str) -> list[tuple[int, str]]:
    return [(-1, name)]
