"""The datasets a notebook may name, and where their folders are looked for."""

import importlib
import os
from dataclasses import replace
from pathlib import Path

from radlib.data import audit, splits
from radlib.data.dataset import Dataset, Task
from radlib.errors import RadlibError, unknown_name

# Table 1 of the paper, in its order, and the reader's own folder with a manifest (whose task its columns tell).
TASKS: dict[str, Task] = {
    "nih_chest_xray": "multi-label",
    "chexpert": "multi-label",
    "montgomery": "segmentation",
    "shenzhen": "segmentation",
    "sars_cov_2_ct": "binary",
    "amos": "segmentation",
    "msd_heart": "segmentation",
    "brain_tumor": "multi-class",
}
NAMES = (*TASKS, "manifest")


def check_name(name: str) -> None:
    """Raise RadlibError, naming the nearest one, if there is no dataset `name`."""
    if name not in NAMES:
        raise unknown_name("dataset", name, NAMES)


def open_dataset(
    name: str, data_root: Path | str, protocol: str = "ours", split_file: Path | str = "", progress: bool = True
) -> Dataset:
    """Dataset `name` below `data_root`: in the folder of that name if there is one, else in `data_root` itself.

    protocol: ``ours`` or ``authors``, where the authors' code prepares images or splits them differently (see each
    dataset's reader).  split_file: a CSV of patient and split that replaces the dataset's own split. A manifest with
    labels and masks is opened with its labels; its `Dataset.segmentation` has the masks.
    """
    check_name(name)
    if protocol not in ("ours", "authors"):
        raise unknown_name("protocol", protocol, ("ours", "authors"))
    root = Path(os.path.expanduser(data_root))  # Path's own raises for ~nobody
    if not os.path.isdir(root):
        fault = "is a file" if os.path.exists(root) else "does not exist"
        raise RadlibError(f"{root} {fault}; data_root is the folder that holds your data.")
    reader = importlib.import_module(f"radlib.data.{name}")  # nibabel, h5py, pydicom: only what this dataset needs
    try:
        if (root / name).is_dir():
            root = root / name
        if not any(root.iterdir()):
            raise RadlibError(f"The folder {root} is empty; put the files of '{name}' there.")
        dataset: Dataset = reader.open_folder(root, protocol=protocol, progress=progress)
    except OSError as error:
        where = error.filename or root
        raise RadlibError(f"{where} cannot be read ({error.strerror}); mend its permissions or its disk.") from error
    if split_file:
        dataset = _split_by(dataset, Path(os.path.expanduser(split_file)))
    masks = dataset.segmentation
    return replace(_audited(dataset), segmentation=_audited(masks) if masks is not None else None)


def _audited(dataset: Dataset) -> Dataset:
    """`dataset` with warnings of its patients' ids, and a note of them."""
    found = audit.patient_warnings(dataset.samples, dataset.patient_source)
    note = " ".join(part for part in (dataset.note, audit.patient_note(dataset.samples)) if part)
    return replace(dataset, warnings=(*found, *dataset.warnings), note=note)


def _split_by(dataset: Dataset, path: Path) -> Dataset:
    """`dataset` with the split that the CSV at `path` gives."""
    split = splits.load(dataset.samples, path)
    note = " ".join(part for part in (dataset.note, f"Split by {path.name}.") if part)
    kind = "own" if dataset.origin == "paper" else dataset.origin
    masks = _split_by(dataset.segmentation, path) if dataset.segmentation else None
    return replace(dataset, samples=dataset.samples.assign(split=split), origin=kind, note=note, segmentation=masks)
