"""CheXpert beyond the small release: the four archives, CheXlocalize's test labels, cells of any kind."""

import contextlib
import csv
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import chexpert_, table

from radlib.data import chexpert
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError

FIRST = "CheXpert-v1.0 batch 1 (validate & csv)"


@pytest.mark.parametrize("above", [".", "chexpertchestxrays-u20210408"])
def test_the_four_archives_of_the_full_release_are_one_dataset(tmp_path, above):
    whole = open_dataset("chexpert", chexpert_(tmp_path / "whole", "CheXpert-v1.0", test=False))
    top = tmp_path / "archives" / above
    shutil.copytree(tmp_path / "whole/CheXpert-v1.0", top / FIRST)
    for k, patient in enumerate(sorted((top / FIRST / "train").iterdir())):
        shutil.move(patient, top / f"CheXpert-v1.0 batch {2 + k % 3} (train {1 + k % 3})" / patient.name)
    (top / FIRST / "train").rmdir()
    parts = open_dataset("chexpert", tmp_path / "archives")
    about = ["patient", "split", "age", "sex", "view"]
    assert parts.samples[about].equals(whole.samples[about])
    assert (parts.labels == whole.labels).all() and "batch 2 (train 1)/patient00000" in parts.samples["image"][0]
    assert (parts.read(0) == whole.read(0)).all()


def test_test_labels_of_chexlocalize_are_the_test_set(tmp_path):
    base = chexpert_(tmp_path) / "CheXpert-v1.0-small"
    with open(base / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (base / "test.csv").unlink()  # CheXlocalize tells neither age nor sex nor view
    kept = [(row["Path"].split("/", 1)[1], *(row[name] for name in chexpert.FINDINGS)) for row in rows]
    table(base / "test_labels.csv", ("Path", *chexpert.FINDINGS), kept)
    samples = open_dataset("chexpert", tmp_path).samples
    assert samples["split"].value_counts().to_dict() == {"train": 12, "validation": 4, "test": 4}
    assert samples.loc[samples["split"] == "test", "age"].isna().all()


def test_test_csv_without_its_images_tests_on_valid_and_says_so(tmp_path):
    root = chexpert_(tmp_path)
    shutil.rmtree(root / "CheXpert-v1.0-small/test")
    dataset = open_dataset("chexpert", root)
    assert dataset.samples["split"].value_counts().to_dict() == {"train": 11, "test": 4, "validation": 1}
    assert "test.csv is here, but none of its images." in dataset.note and "valid.csv is test" in dataset.note


def test_a_patient_in_train_and_valid_is_refused(tmp_path):
    base = chexpert_(tmp_path) / "CheXpert-v1.0-small"
    shutil.copytree(base / "train/patient00003", base / "valid/patient00003")
    with open(base / "valid.csv", "a") as file:
        file.write("CheXpert-v1.0-small/valid/patient00003/study1/view1_frontal.jpg,Male,50,Frontal,AP,1,,,,\n")
    with pytest.raises(RadlibError, match="patient 'patient00003' is in both train and validation"):
        open_dataset("chexpert", tmp_path)


def test_everything_wrong_is_told_at_once(tmp_path):
    base = chexpert_(tmp_path) / "CheXpert-v1.0-small"
    for name, find, put in (("train", "-1.0", "?"), ("valid", "patient00013", "P13"), ("test", "-1.0", "2")):
        path = base / f"{name}.csv"
        path.write_text(path.read_text().replace(find, put))
    with pytest.raises(RadlibError) as told:
        open_dataset("chexpert", tmp_path)
    assert {word for word in ("train.csv", "valid.csv", "test.csv") if any(word in p for p in told.value.problems)} == {
        "train.csv",
        "valid.csv",
        "test.csv",
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cells=st.lists(st.text(max_size=12), min_size=6, max_size=6), line=st.integers(0, 23))
def test_garbage_in_a_table_is_a_dataset_or_a_sentence(tmp_path, cells, line):
    root = tmp_path / "garbage"
    if not root.exists():
        shutil.copy(chexpert_(root) / "CheXpert-v1.0-small/train.csv", tmp_path / "train.csv")
    with open(tmp_path / "train.csv", newline="") as file:
        header, *rows = csv.reader(file)
    rows[line][0:2], rows[line][2:6] = cells[:2], cells[2:]
    try:
        table(root / "CheXpert-v1.0-small/train.csv", header, rows)
    except (UnicodeEncodeError, csv.Error):
        return
    with contextlib.suppress(RadlibError):
        open_dataset("chexpert", root)
