import csv
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


def write(folder, rows, columns=("image", "patient", "label"), encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        target = folder / row[0]
        if ".." not in row[0] and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(target)
    with open(folder / "manifest.csv", "w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


PATIENTS = [(f"{k}.png", f"p{k}", "sick" if k % 2 else "well") for k in range(10)]


def test_a_folder_with_a_manifest_is_a_dataset(tmp_path):
    dataset = open_dataset("manifest", write(tmp_path / "clinic", PATIENTS))
    assert (dataset.task, dataset.classes, dataset.origin) == ("binary", ("sick", "well"), "own")
    assert dataset.title == "clinic"
    assert dataset.labels.tolist() == [1, 0] * 5
    assert dataset.samples["split"].value_counts().to_dict() == {"train": 5, "test": 3, "validation": 2}
    np.testing.assert_array_equal(dataset.read(0), np.arange(64.0).reshape(1, 8, 8))


def test_several_findings_make_a_multi_label_dataset(tmp_path):
    rows = [(f"{k}.png", f"p{k}", k % 2, k % 3 % 2) for k in range(10)]
    dataset = open_dataset("manifest", write(tmp_path, rows, ("image", "patient", "oedema", "mass")))
    assert (dataset.task, dataset.classes, dataset.labels.shape) == ("multi-label", ("oedema", "mass"), (10, 2))


def test_a_byte_order_mark_and_spaces_are_understood(tmp_path):
    rows = [(f"{k}.png", f" p{k} ", "a " if k % 2 else "b") for k in range(10)]
    dataset = open_dataset("manifest", write(tmp_path, rows, ("image ", "patient", "label"), "utf-8-sig"))
    assert dataset.classes == ("a", "b") and dataset.samples["patient"].iloc[0] == "p0"


def test_a_given_split_is_kept_and_other_columns_stay(tmp_path):
    rows = [(f"{k}.png", f"p{k}", "ab"[k % 2], ["train", "validation", "test"][k % 3], 40 + k) for k in range(12)]
    dataset = open_dataset("manifest", write(tmp_path, rows, ("image", "patient", "label", "split", "age")))
    assert dataset.samples["split"].tolist() == [row[3] for row in rows]
    assert dataset.samples["age"].tolist()[0] == 40


@pytest.mark.parametrize(
    "mode, dtype, shape",
    [("L", np.uint8, (1, 4, 6)), ("I;16", np.uint16, (1, 4, 6)), ("RGB", np.uint8, (3, 4, 6))],
)
def test_pictures_keep_their_stored_values(tmp_path, mode, dtype, shape):
    values = (np.arange(np.prod(shape)) * 7 % 251).reshape(shape).astype(dtype)
    rows = [(f"{k}.png", f"p{k}", "ab"[k % 2]) for k in range(10)]
    write(tmp_path, rows)
    Image.fromarray(values[0] if shape[0] == 1 else values.transpose(1, 2, 0)).save(tmp_path / "0.png")
    np.testing.assert_array_equal(open_dataset("manifest", tmp_path).read(0), values)


def test_transparency_and_palettes_are_read_as_colour(tmp_path):
    write(tmp_path, PATIENTS)
    rgba = np.random.default_rng(0).integers(0, 255, (5, 5, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "0.png")
    Image.fromarray(rgba[..., :3]).convert("P").save(tmp_path / "1.png")
    dataset = open_dataset("manifest", tmp_path)
    np.testing.assert_array_equal(dataset.read(0), rgba[..., :3].transpose(2, 0, 1))
    assert dataset.read(1).shape == (3, 5, 5)


def spoil(path, find, put):
    path.write_text(path.read_text().replace(find, put))


@pytest.mark.parametrize(
    "spoiling, sentence",
    [
        (lambda f: (f / "manifest.csv").unlink(), "has no manifest.csv"),
        (lambda f: spoil(f / "manifest.csv", "patient", "person"), "no column 'patient'.*has: image, person, label"),
        (lambda f: spoil(f / "manifest.csv", ",", ";"), "separates its columns by semicolons; save it"),
        (lambda f: spoil(f / "manifest.csv", "label", "grade"), "column 'grade' holds 'well' in line 2"),
        (lambda f: spoil(f / "manifest.csv", "p3", ""), "column 'patient' is empty in line 5"),
        (lambda f: spoil(f / "manifest.csv", "sick", "well"), "every label is 'well'"),
        (lambda f: spoil(f / "manifest.csv", "4.png", "../4.png"), "line 6: '../4.png' leaves the folder"),
        (lambda f: spoil(f / "manifest.csv", "4.png", "/etc/passwd"), "line 6: '/etc/passwd' leaves the folder"),
        (lambda f: spoil(f / "manifest.csv", "4.png", "3.png"), "'3.png' is listed twice"),
        (lambda f: spoil(f / "manifest.csv", "label", "patient"), "has two columns 'patient'"),
        (lambda f: spoil(f / "manifest.csv", "p3,", "p3,,"), "line 5 has 4 cells and the header 3; put"),
        (
            lambda f: (f / "manifest.csv").write_text("image,patient,label\n0.png,p0,a\n1.png,p1,b"),
            "2 in all, cannot give",
        ),
        (lambda f: (f / "5.png").unlink(), "1 of 10 files that do not exist, first '5.png'"),
        (lambda f: (f / "5.png").write_bytes(b""), "1 of 10 files that are not pictures, first '5.png'"),
        (lambda f: (f / "manifest.csv").write_text("image,patient,label\n"), "lists nothing below its header"),
        (
            lambda f: (f / "manifest.csv").write_bytes(b"image,patient,label\n\xff\xfe"),
            "cannot be read as a CSV file in UTF-8",
        ),
        (lambda f: (f / "manifest.csv").write_bytes(b""), "cannot be read as a CSV file"),
    ],
)
def test_a_bad_manifest_is_told_in_one_sentence(tmp_path, spoiling, sentence):
    folder = write(tmp_path / "clinic", PATIENTS)
    spoiling(folder)
    with pytest.raises(RadlibError, match=sentence):
        open_dataset("manifest", folder)


@pytest.mark.parametrize("again", ["./4.png", "x/../4.png", ".//4.png", ".\\4.png", "4.png"])
def test_an_image_listed_under_two_paths_is_listed_twice(tmp_path, again):
    folder = write(tmp_path, PATIENTS)
    (folder / "x").mkdir()
    with open(folder / "manifest.csv", "a") as file:
        file.write(f"{again},q4,well\n")
    with pytest.raises(RadlibError, match=r"the image '4\.png' is listed twice.*; keep one row"):
        open_dataset("manifest", folder)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_links_to_one_file_are_named(tmp_path, link):
    folder = write(tmp_path, PATIENTS)
    assert not open_dataset("manifest", folder).warnings
    link(folder / "4.png", folder / "other.png")
    with open(folder / "manifest.csv", "a") as file:
        file.write("other.png,q4,well\n")
    (sentence,) = open_dataset("manifest", folder).warnings
    assert "several names lead to one file by links (1 files), first '4.png' and 'other.png'" in sentence


@pytest.mark.parametrize("listed, stored", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_file_whose_name_is_in_another_unicode_form_is_found(tmp_path, listed, stored):
    folder = write(tmp_path, [*PATIENTS, (f"{unicodedata.normalize(listed, 'Bänder')}/ö.png", "p10", "well")])
    os.rename(folder / unicodedata.normalize(listed, "Bänder"), folder / unicodedata.normalize(stored, "Bänder"))
    dataset = open_dataset("manifest", folder)
    name = dataset.samples["image"].iloc[-1]
    assert (folder / name).is_file() and name.startswith(unicodedata.normalize(stored, "Bänder"))
    np.testing.assert_array_equal(dataset.read(10), np.arange(64.0).reshape(1, 8, 8))


def test_paths_as_windows_writes_them_are_understood(tmp_path):
    folder = write(tmp_path, [(f"img/{k}.png", f"p{k}", "ab"[k % 2]) for k in range(10)])
    spoil(folder / "manifest.csv", "/", "\\")
    assert open_dataset("manifest", folder).samples["image"].tolist() == [f"img/{k}.png" for k in range(10)]
    spoil(folder / "manifest.csv", "img\\3", "C:\\img\\3")
    with pytest.raises(RadlibError, match=r"line 5: 'C:.*3\.png' leaves the folder"):
        open_dataset("manifest", folder)


def test_a_name_in_other_case_is_told_beside_the_one_that_is_there(tmp_path):
    folder = write(tmp_path, PATIENTS)
    if (folder / "0.PNG").exists():
        pytest.skip("this disk does not tell upper from lower case")
    spoil(folder / "manifest.csv", "7.png", "7.PNG")
    with pytest.raises(
        RadlibError, match=r"first '7\.PNG' \(the folder holds '7\.png', in other upper and lower case\)"
    ):
        open_dataset("manifest", folder)


def test_lines_are_counted_as_an_editor_does(tmp_path):
    folder = write(tmp_path, PATIENTS)
    text = (folder / "manifest.csv").read_text().replace("p3", "").replace("1.png", "\n\n1.png")
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(RadlibError, match="column 'patient' is empty in line 7"):
        open_dataset("manifest", folder)


def test_a_patient_in_two_splits_is_refused(tmp_path):
    rows = [(f"{k}.png", f"p{k // 2}", "ab"[k % 2], ["train", "test", "validation"][k % 3]) for k in range(12)]
    with pytest.raises(RadlibError, match="patient 'p0' is in both test and train.*one split"):
        open_dataset("manifest", write(tmp_path, rows, ("image", "patient", "label", "split")))


def test_a_picture_cut_short_is_named_when_read(tmp_path):
    folder = write(tmp_path, PATIENTS)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "0.png")
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:900])
    with pytest.raises(RadlibError, match=r"0\.png is not a whole picture"):
        open_dataset("manifest", folder).read(0)


def test_real_ct_slices_of_131_patients_are_read(tmp_path, real_images):
    source = real_images / "ct-covid-ct"
    table = [row.split(",") for row in (source / "index.csv").read_text().splitlines()]
    for name in ("CT_COVID", "CT_NonCOVID"):
        (tmp_path / "covid").mkdir(exist_ok=True)
        for picture in (source / name).iterdir():
            target = tmp_path / "covid" / name / picture.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(picture.read_bytes())
    head, *rows = table
    rows = [(r[head.index("file")], r[head.index("patient")], r[head.index("covid")], r[3]) for r in rows]
    with open(tmp_path / "covid" / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "patient", "label", "split"), *rows])
    dataset = open_dataset("manifest", tmp_path / "covid")
    assert (len(dataset), dataset.samples["patient"].nunique(), dataset.classes) == (232, 131, ("0", "1"))
    assert dataset.samples["split"].value_counts()["test"] == 39
    assert "20 % of the train patients" in dataset.note
    shapes = {dataset.read(row).shape[0] for row in range(0, 232, 12)}
    assert shapes <= {1, 3}
