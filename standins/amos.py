"""An AMOS cohort of virtual patients: CT of the upper abdomen as NIfTI, with those of the 15 organs the CT shows.

The CT has no gall bladder and ends above bladder and prostate: these three labels never occur.
"""

import json
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform
from scipy import ndimage

from radlib.data.amos import CLASSES
from standins import chest, films

VERSION = 1
PATIENTS = 12
ORGANS = (1, 2, 3, 4, 15, 5, 6, 52, 63, 7, 8, 9, 19)  # TotalSegmentator's numbers in AMOS's order, as far as they occur
PIXELS, MM = 224, (1.45, 1.75)  # of a slice's sides, and between its pixels
SLICES, THICKNESS = (26, 40), (4.0, 5.0)  # of a scan, and mm
ORIENTATIONS = ("LAS", "LPS", "RAS", "LAI")  # how the axes of the scans are stored, in turn
NOTE = (
    "Virtual patients: one real CT of chest and upper abdomen, bent; nobody's real scan. Gall bladder, bladder and "
    "prostate or uterus are not in it."
)


def write(folder: Path, patients: int, seed: int, progress: bool) -> dict[str, object]:
    """Write a cohort into the empty `folder`; returns what the marker says of it (scans, slices, organs, note)."""
    release = folder / "amos22"
    lists: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
    jobs = []
    for k in range(patients):
        part = "validation" if k % 3 == 1 else "training"
        ending, name = {"training": "Tr", "validation": "Va"}[part], f"amos_{3 * k + 1:04d}.nii.gz"
        image, label = f"imagesTr/{name}".replace("Tr", ending), f"labelsTr/{name}".replace("Tr", ending)
        lists[part].append({"image": f"./{image}", "label": f"./{label}"})
        jobs.append((release / image, release / label))
        for path in jobs[-1]:
            path.parent.mkdir(parents=True, exist_ok=True)
    slices = [0] * patients
    found: list[set[int]] = [set()] * patients

    def one(k: int) -> None:
        rng = np.random.default_rng([seed, 61, k])
        mm, thick = float(rng.uniform(*MM)), float(rng.uniform(*THICKNESS))
        n = int(rng.integers(*SLICES))
        # a grid as tall as the CT, of which the lower part, from the dome of the diaphragm down, is kept
        tall = int(330 / thick)
        who = chest.person(rng, (PIXELS, PIXELS, tall), (mm, mm, thick))
        bottom = int(0.06 * tall)
        kept = slice(bottom, bottom + n)
        labels = np.zeros((PIXELS, PIXELS, n), dtype=np.uint8)
        for number, organ in enumerate(ORGANS, start=1):
            labels[who.labels[:, :, kept] == organ] = number
        grain = ndimage.gaussian_filter(rng.standard_normal(labels.shape, dtype=np.float32), (0.7, 0.7, 0.3))
        hu = np.round(who.hu[:, :, kept] + rng.uniform(8, 24) * grain / grain.std()).astype(np.int16)
        affine = np.diag([-mm, mm, thick, 1.0])
        affine[:3, 3] = np.array([PIXELS * mm / 2, -PIXELS * mm / 2, 0]) + rng.normal(0, 15, 3)
        for path, array in zip(jobs[k], (hu, labels), strict=True):
            volume = _stored_as(nibabel.Nifti1Image(array, affine), ORIENTATIONS[k % len(ORIENTATIONS)])
            nibabel.save(volume, path)
        slices[k], found[k] = n, set(np.unique(labels).tolist()) - {0}

    films.write_all(patients, one, progress)
    about = {
        "name": "AMOS",
        "modality": {"0": "CT"},
        "labels": {str(k): name for k, name in enumerate(("background", *CLASSES))},
        "numTraining": len(lists["training"]),
        "numValidation": len(lists["validation"]),
        "numTest": 0,
        **lists,
        "test": [],
    }
    (release / "dataset.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    organs = [CLASSES[number - 1] for number in sorted(set().union(*found))]
    return {"scans": patients, "slices": sum(slices), "organs": organs, "note": NOTE}


def _stored_as(image: nibabel.Nifti1Image, codes: str) -> nibabel.Nifti1Image:
    """The same volume with its axes stored in another order or direction."""
    turn = ornt_transform(nibabel.io_orientation(image.affine), axcodes2ornt(tuple(codes)))
    return image.as_reoriented(turn)
