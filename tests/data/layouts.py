"""Tiny releases of every dataset in its own layout, to be read as they are or spoiled first."""

import csv
import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
from PIL import Image

from radlib.data import chexpert, nih_chest_xray


def picture(path: Path, size=(9, 7), seed=0, values=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(1, 250, size, dtype=np.uint8) if values is None else values
    Image.fromarray(pixels).save(path)


def table(path: Path, header, rows, encoding="utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *rows])


NIH_HEADER = (
    "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position",
    "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]",
)  # fmt: skip


def nih_chest_xray_(root: Path, patients=20, images=2, folder="images_{:03d}/images", lists=True) -> Path:
    """Patient k has `images` films; film 0 bears finding k mod 14, the last patients are in test."""
    rows = []
    for k in range(patients):
        for n in range(images):
            name = f"{k:08d}_{n:03d}.png"
            picture(root / folder.format(1 + k % 12) / name, seed=10 * k + n)
            finding = nih_chest_xray.FINDINGS[k % 14] if n == 0 else nih_chest_xray.NOTHING
            rows.append((name, finding, n, k, 40 + k, "MF"[k % 2], "PA", 2500, 2048, 0.168, 0.168))
    table(root / "Data_Entry_2017_v2020.csv", NIH_HEADER, rows)
    if lists:
        cut = images * (patients - max(2, patients // 4))
        (root / "train_val_list.txt").write_text("\n".join(row[0] for row in rows[:cut]) + "\n")
        (root / "test_list.txt").write_text("\n".join(row[0] for row in rows[cut:]) + "\n")
    return root


def chexpert_(root: Path, release="CheXpert-v1.0-small", test=True, prefix=True) -> Path:
    base = root / release if release else root
    cells = ("1.0", "", "0.0", "-1.0")
    for part, patients in {"train": range(12), "valid": range(12, 16), "test": range(16, 20)}.items():
        if part == "test" and not test:
            continue
        rows = []
        for k in patients:
            for kind in ("frontal", "lateral"):
                name = f"{part}/patient{k:05d}/study1/view1_{kind}.jpg"
                picture(base / name, seed=2 * k + (kind == "lateral"))
                path = f"{release}/{name}" if prefix and release else name
                labels = [cells[(k + j) % 4] for j in range(5)]
                rows.append((path, "Male", 50, kind.capitalize(), "AP" if kind == "frontal" else "", *labels))
        table(base / f"{part}.csv", ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *chexpert.FINDINGS), rows)
    return root


def lungs(size=(12, 10)) -> tuple[np.ndarray, np.ndarray]:
    """Left and right lung masks; the patient's left is on the right of the picture."""
    left, right = np.zeros(size, bool), np.zeros(size, bool)
    left[3:9, 6:9], right[3:9, 1:4] = True, True
    return left, right


def montgomery_(root: Path, patients=12, base="MontgomerySet") -> Path:
    left, right = lungs()
    for k in range(patients):
        name = f"MCUCXR_{k + 1:04d}_{k % 2}"
        picture(root / base / "CXR_png" / f"{name}.png", (12, 10), k)
        picture(root / base / "ManualMask/leftMask" / f"{name}.png", values=left)
        picture(root / base / "ManualMask/rightMask" / f"{name}.png", values=right)
        reading = root / base / "ClinicalReadings" / f"{name}.txt"
        reading.parent.mkdir(exist_ok=True)
        reading.write_text(f"Patient's Sex: F\nPatient's Age: {30 + k:03d}Y\nnormal\n")
    return root


def shenzhen_(root: Path, patients=12, base="ChinaSet_AllFiles", masks="mask") -> Path:
    left, right = lungs()
    for k in range(patients):
        name = f"CHNCXR_{k + 1:04d}_{k % 2}"
        picture(root / base / "CXR_png" / f"{name}.png", (12, 10), k)
        if k != 5:
            picture(root / base / masks / f"{name}_mask.png", values=np.where(left | right, 255, 0).astype(np.uint8))
    return root


def sars_cov_2_ct_(root: Path, counts=(8, 5, 8), names=("Covid", "Healthy", "Others")) -> Path:
    for group, count in zip(names, counts, strict=True):
        for k in range(count):
            for n in (1, 2, 10):
                pixels = np.full((6, 8, 3) if k % 2 else (6, 8), 10 * n + k, np.uint8)
                pixels[0, 0] = 5 * k + len(group)
                picture(root / group / f"Patient ({k + 1})" / f"{n}.png", values=pixels)
    return root


def volume(path: Path, array: np.ndarray, affine=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1.5, 1.5, 5, 1]) if affine is None else affine), path)


def decathlon(root: Path, base: str, scans: dict[str, str], labels: int, shape=(6, 5, 4)) -> Path:
    """`scans`: name -> list of dataset.json it is in."""
    lists: dict[str, list] = {"training": [], "validation": []}
    for k, (name, part) in enumerate(scans.items()):
        ending = {"training": "Tr", "validation": "Va"}[part]
        rng = np.random.default_rng(k)
        image, mask = f"images{ending}/{name}.nii.gz", f"labels{ending}/{name}.nii.gz"
        volume(root / base / image, rng.integers(-1200, 900, shape).astype(np.int16))
        volume(root / base / mask, rng.integers(0, labels + 1, shape).astype(np.uint8))
        lists[part].append({"image": f"./{image}", "label": f"./{mask}"})
    (root / base / "dataset.json").write_text(json.dumps({"name": base, **lists}))
    return root


def amos_(root: Path, scans=range(1, 10), base="amos22") -> Path:
    names = {f"amos_{k:04d}": "validation" if k % 3 == 0 else "training" for k in scans}
    return decathlon(root, base, names, 15)


def msd_heart_(root: Path, scans=10, base="Task02_Heart") -> Path:
    return decathlon(root, base, {f"la_{k:03d}": "training" for k in range(scans)}, 1)


def brain_tumor_(root: Path, patients=12) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for k in range(2 * patients):
        with h5py.File(root / f"{k + 1}.mat", "w") as file:
            box = file.create_group("cjdata")
            box["label"] = np.array([[k // 8 % 3 + 1.0]])
            box["PID"] = np.array([[ord(c)] for c in f"MR{k // 2:04d}"], dtype=np.uint16)
            box["image"] = np.random.default_rng(k).integers(0, 900, (8, 9)).astype(np.int16)
            box["tumorMask"] = np.zeros((8, 9), np.uint8)
    return root


WRITERS = {
    "nih_chest_xray": nih_chest_xray_,
    "chexpert": chexpert_,
    "montgomery": montgomery_,
    "shenzhen": shenzhen_,
    "sars_cov_2_ct": sars_cov_2_ct_,
    "amos": amos_,
    "msd_heart": msd_heart_,
    "brain_tumor": brain_tumor_,
}
