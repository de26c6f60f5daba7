import csv
import unicodedata

import numpy as np
import pandas as pd
import pytest
from layouts import WRITERS
from PIL import Image

from radlib import cli
from radlib.data import audit, splits
from radlib.data.catalog import open_dataset
from radlib.data.check import check
from radlib.errors import RadlibError
from radlib.report import experiment, probing, result

ONE_NAME = [
    ("001", "1"),
    ("1.0", "1"),
    ("P-001", "P001"),
    ("P-001", "p_1"),
    ("P 001", "P001"),
    ("COVID", "Covid"),
    ("Patient (1)", "Patient 01"),
    ("Covid/Patient (1)", "covid/patient_1"),
    ("１２", "12"),
    ("٣", "3"),
    ("a\u200bb", "ab"),
    ("a\u00a0b", "a b"),
    ("\ufeff5", "5"),
    ("A\u00ad1", "A1"),
    ("12–34", "12-34"),
    ("12_34", "12 34"),
    ("left  lung", "Left_lung"),
    ("'001", "1"),
    ('="001"', "1"),
    ("STRASSE", "straße"),
    ("O’Brien", "O'Brien"),
    ("OʼBrien", "o´brien"),
    ("“covid”", "covid"),
    ("Smith^John", "Smith John"),
    ("Smith^John^^^", "Smith, John"),
    ("SMITH^JOHN^A", "Smith John A."),
    ("normal.", "normal"),
    ("normal;", "Normal"),
    ("non-COVID", "nonCOVID"),
    ("Non COVID", "non_covid"),
    ("No finding", "NoFinding"),
    (unicodedata.normalize("NFC", "Muñoz-Ä1"), unicodedata.normalize("NFD", "Muñoz-Ä1")),
]
TWO_NAMES = [
    ("1-2", "12"),
    ("COVID+", "COVID-"),
    ("<1", ">1"),
    ("-1", "1"),
    ("10", "1"),
    ("1.05", "1.5"),
    ("1.10", "1.1"),
    ("a-b", "ab"),
    ("+", "-"),
    ("1.2.3", "12.3"),
    ("p1.01", "p1.1"),
    ("()", "__"),
    ("Muñoz", "Munoz"),
    ("Smith^John", "Smith^Joan"),
    ("Smith J", "Smith JA"),
    ("1,2", "12"),
    ("stage a-b", "stage ab"),
    ("grade a", "gradea"),
    ("1.", "1.1"),
    ("^", ","),
    ("O'Brien", "Obrien"),
]


@pytest.mark.parametrize("one, other", ONE_NAME)
def test_two_spellings_of_one_name(one, other):
    assert audit.spelling(one) == audit.spelling(other)
    assert audit.respelled([one, "else", other, one]) == [(one, other)]


@pytest.mark.parametrize("one, other", TWO_NAMES)
def test_names_that_differ_in_more_than_spelling(one, other):
    assert audit.respelled([one, other]) == []


def test_names_that_print_alike_are_shown_with_escapes():
    composed, decomposed = (unicodedata.normalize(form, "ä") for form in ("NFC", "NFD"))
    assert audit.in_words([(composed, decomposed)]) == r"'\xe4' and 'a\u0308'"
    assert audit.in_words([("1", "1\u200b")]) == r"'1' and '1\u200b'"
    assert audit.in_words([("Ä", "ä")]) == "'Ä' and 'ä'"


def test_ids_that_differ_by_a_last_letter_or_by_spelling_are_one_family():
    samples = pd.DataFrame(
        {
            "patient": ["MR040240", "MR040240B", "MR040240C", "100360", "MR017260F", "B", "mr-40240", "0100360"],
            "split": ["train", "test", "train", "test", "test", "train", "train", "train"],
        }
    )
    families = audit.near_equal_ids(samples)
    assert families["patients"].tolist() == ["MR040240 MR040240B MR040240C mr-40240", "100360 0100360"]
    assert families["splits"].tolist() == ["train test", "test train"]
    assert families["spellings"].tolist() == [3, 1]
    assert audit.test_rows_with_relatives(samples).tolist() == [False, True, False, True, False, False, False, False]


def manifest(folder, rows, columns):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(len(rows)):
        values = np.random.default_rng(k).integers(0, 200, (40, 40), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{k}.png")
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", *columns), *((f"{k}.png", *row) for k, row in enumerate(rows))])
    return folder


SPLIT = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4


@pytest.mark.parametrize("form", ["P{:03d}", "p{}", "P-{:03d}", "P_{}", "P\u200b{}", "\uff30{}", " P {}"])
def test_one_patient_in_two_splits_under_two_spellings_is_named_at_the_door(tmp_path, form):
    ids = [f"P-{k + 1}" for k in range(8)] + [form.format(k + 1) for k in range(4)]
    root = manifest(tmp_path, list(zip(ids, SPLIT, "ab" * 6, strict=True)), ("patient", "split", "label"))
    (sentence,) = open_dataset("manifest", root).warnings
    assert sentence.startswith("manifest.csv, column 'patient': 'P-1' and '")
    assert sentence.endswith("(4 of 4 such groups of ids are in two splits); if so, give each patient one id.")
    found = [finding for finding in check("manifest", root, progress=False).findings if finding.level == "warning"]
    assert [(each.what[:-1], each.remedy) for each in found] == [tuple(sentence.rsplit("; ", 1))]


def test_the_command_that_writes_a_split_says_so(tmp_path, capsys):
    root = manifest(tmp_path, [(["1", "001", "3", "4"][k % 4], "ab"[k % 2]) for k in range(12)], ("patient", "label"))
    assert cli.main(["data", "split", "manifest", "--root", str(root), "--out", str(tmp_path / "split.csv")]) == 0
    assert "Warning: manifest.csv, column 'patient': '1' and '001' may be the same patient" in capsys.readouterr().err


def test_the_page_says_so_and_scores_without_them_too(tmp_path, capsys):
    # two patients of test have no relative in train, so that the rest can be scored
    ids = ["1", "2", "3", "4", "5", "6", "7", "8", "001", "002", "11", "12"]
    root = manifest(tmp_path / "clinic", list(zip(ids, SPLIT, "ab" * 6, strict=True)), ("patient", "split", "label"))
    settings = probing.checked(
        datasets="manifest", data_root=str(root), backbones="efficientnet_lite0", image_size=32, resamples=100,
        protocols="knn", neighbours=3, controls=False, results_dir=str(tmp_path / "results"), device="cpu",
    )  # fmt: skip
    (dataset,) = experiment.open_datasets(settings)
    assert (
        "Warning, clinic: " in (said := capsys.readouterr().out)
        and "'1' and '001'; '2' and '002' may be the same" in said
    )
    paths = probing.probe_backbones(dataset, settings, progress=False)
    found = {each.scored: each for each in map(result.read, paths)}
    assert found["all"].n_images == 4 and found["without relatives"].n_images == 2
    words = "2 of its patients may have several ids, which differ in spelling; 2 are in two splits."
    assert all(words in each.data.note and "001" not in each.data.note for each in found.values())


def test_ids_are_looked_at_in_every_release(tmp_path):
    root = WRITERS["nih_chest_xray"](tmp_path / "nih")
    (listed,) = root.rglob("Data_Entry*.csv")
    table = pd.read_csv(listed, dtype=str)
    assert not open_dataset("nih_chest_xray", root).warnings
    first = table["Patient ID"].iloc[0]
    table.loc[table.index[table["Patient ID"] == first][-1], "Patient ID"] = f"{first}.0"
    lists = [root / "train_val_list.txt", root / "test_list.txt"]
    [path.unlink() for path in lists]
    table.to_csv(listed, index=False)
    (sentence,) = open_dataset("nih_chest_xray", root).warnings
    assert f"{listed.name}, column 'Patient ID': '{first}' and '{first}.0' may be the same patient" in sentence

    root = WRITERS["sars_cov_2_ct"](tmp_path / "sars")
    one, other = sorted(path for path in root.rglob("Covid/*") if path.is_dir())[:2]
    assert not open_dataset("sars_cov_2_ct", root).warnings
    other.rename(other.with_name(one.name.lower().replace(" ", "_")))
    (sentence,) = open_dataset("sars_cov_2_ct", root).warnings
    assert sentence.startswith("names of the patients' folders: 'Covid/") and one.name in sentence


@pytest.mark.parametrize(
    "column, cells, words",
    [
        ("label", ["COVID", "Covid", "covid", "normal"], "'COVID' and 'Covid' and 'covid' may be the same class"),
        ("label", ["1", "0", "1.0", "0.0"], "column 'label': '0' and '0.0'; '1' and '1.0' may be the same class"),
        ("label", ["sick", "nan", "well", "N/A"], "column 'label': 'N/A' and 'nan' look like missing values"),
        ("patient", ["nan", "7", "8", "9"], "column 'patient': 'nan' looks like a missing value; fill in"),
        ("study", ["CT 1", "ct_1", "2", "3"], "column 'study': 'CT 1' and 'ct_1' may be the same study"),
        ("view", ["PA", "pa", "AP", ""], "column 'view': 'PA' and 'pa' may be the same view"),
        ("sex", ["F", "female", "m", "M"], "column 'sex': 'female' and 'm' would be counted apart from F and M"),
    ],
)  # fmt: skip
def test_names_in_every_column_are_looked_at(tmp_path, column, cells, words):
    rows = [[f"p{k % 8}", "ab"[k % 2]] for k in range(16)]
    columns = ["patient", "label"]
    values = [cells[k % 4] if column in ("view", "sex") else cells[k % 8 % 4] for k in range(16)]
    if column in columns:
        for row, value in zip(rows, values, strict=True):
            row[columns.index(column)] = value if column == "label" or value == "nan" else row[0]
    else:
        columns.append(column)
        rows = [[f"p{k % 8 % 4}", "ab"[k % 8 % 4 % 2], value] for k, value in enumerate(values)]
    root = manifest(tmp_path, rows, columns)
    assert any(words in sentence for sentence in open_dataset("manifest", root).warnings)


def test_findings_and_structures_of_two_spellings(tmp_path):
    rows = [(f"p{k}", k % 2, k // 2 % 2) for k in range(12)]
    root = manifest(tmp_path / "a", rows, ("patient", "Effusion", "effusion"))
    (sentence,) = open_dataset("manifest", root).warnings
    assert "names of the columns: 'Effusion' and 'effusion' may be the same class; if so, spell it one way." in sentence
    root = manifest(tmp_path / "b", [(f"p{k}", f"{k}.png") for k in range(12)], ("patient", "mask"))
    (root / "classes.csv").write_text("value,name\n1,Left lung\n2,left_lung\n")
    (sentence,) = open_dataset("manifest", root).warnings
    assert "classes.csv, column 'name': 'Left lung' and 'left_lung' may be the same class" in sentence


@pytest.mark.parametrize("word", ["Train", "TRAIN", "tr\u200bain"])
def test_another_spelling_of_a_split_is_refused(tmp_path, word):
    split = [word if name == "train" else name for name in SPLIT]
    root = manifest(
        tmp_path, list(zip(map(str, range(12)), split, "ab" * 6, strict=True)), ("patient", "split", "label")
    )
    with pytest.raises(RadlibError, match="the split '.*' is unknown; column 'split' takes train, validation, test"):
        open_dataset("manifest", root)


def test_a_split_file_that_a_spreadsheet_took_the_zeros_from_is_told(tmp_path):
    rows = [(f"{k:03d}", "ab"[k % 2]) for k in range(12)]
    root = manifest(tmp_path / "clinic", rows, ("patient", "label"))
    splits.save(open_dataset("manifest", root).samples, tmp_path / "split.csv")
    pd.read_csv(tmp_path / "split.csv").to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(
        RadlibError, match="and the data spell patients differently: '000' and '0'; write every patient"
    ):
        open_dataset("manifest", root, split_file=tmp_path / "split.csv")


def test_ids_as_releases_write_them_raise_no_suspicion():
    patients = [f"patient{k:05d}" for k in range(3000)] + [f"MCUCXR_{k:04d}" for k in range(300)]
    patients += (
        [str(k) for k in range(1, 3000)] + [f"1.2.840.{k}" for k in range(999)] + [f"a{k:03x}f" for k in range(999)]
    )
    assert audit.respelled(patients) == []
