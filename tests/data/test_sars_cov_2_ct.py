"""SARS-CoV-2 CT: patients in the authors' order, slices in anatomical order, one folder a patient."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import picture, sars_cov_2_ct_

from radlib.data import sars_cov_2_ct, splits
from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError


def slices(dataset, patient):
    return [Path(name).stem for name in dataset.samples.loc[dataset.samples["patient"] == patient, "image"]]


def test_slices_are_sorted_by_number_and_the_authors_as_text(tmp_path):
    root = sars_cov_2_ct_(tmp_path, counts=(12, 5, 8))
    ours, theirs = (open_dataset("sars_cov_2_ct", root, protocol=name) for name in ("ours", "authors"))
    assert slices(ours, "Covid/Patient (2)") == ["1", "2", "10"]
    assert slices(theirs, "Covid/Patient (2)") == ["1", "10", "2"]
    order = list(dict.fromkeys(ours.samples["patient"]))
    assert order[:3] == ["Covid/Patient (1)", "Covid/Patient (2)", "Covid/Patient (3)"]
    assert order == list(dict.fromkeys(theirs.samples["patient"]))
    sets = [dict(zip(d.samples["patient"], d.samples["split"], strict=True)) for d in (ours, theirs)]
    assert sets[0] == sets[1]


def test_the_papers_patients(tmp_path):
    names = []
    for group, count in (("Covid", 80), ("Healthy", 50), ("Others", 80)):
        for k in range(count):
            (tmp_path / group / f"Patient ({k + 1})").mkdir(parents=True)
            (tmp_path / group / f"Patient ({k + 1})" / "1.png").write_bytes(b"\x89PNG")
            names.append(f"{group}/Patient ({k + 1})")
    samples = open_dataset("sars_cov_2_ct", tmp_path).samples
    assert samples["patient"].tolist() == names
    assert [int((samples["split"] == name).sum()) for name in splits.SPLITS] == [90, 50, 70]
    assert [names.index(patient) for patient in samples.loc[samples["split"] == "test", "patient"]] == list(
        range(0, 210, 3)
    )


@pytest.mark.parametrize("above", [".", "New_Data_CoV2"])
@pytest.mark.parametrize("names", [("COVID", "healthy", "Other"), ("Covid-19", "Normal", "OTHERS")])
def test_folders_as_others_have_spelled_them(tmp_path, above, names):
    sars_cov_2_ct_(tmp_path / above, names=names)
    (tmp_path / "__MACOSX/Covid").mkdir(parents=True)
    (tmp_path / above / names[0] / ".ipynb_checkpoints").mkdir()
    picture(tmp_path / above / names[0] / "._1.png")
    dataset = open_dataset("sars_cov_2_ct", tmp_path)
    assert dataset.samples["patient"].nunique() == 21 and dataset.labels.sum() == 24


@pytest.mark.parametrize("target", ["..", "../..", "Patient (2)", "../Others/Patient (1)"])
def test_a_patient_is_never_read_twice_through_a_link(tmp_path, target):
    root = sars_cov_2_ct_(tmp_path)
    os.symlink(target, root / "Covid" / "Patient (99)")
    with pytest.raises(RadlibError, match=r"by a link; give each patient a folder"):
        open_dataset("sars_cov_2_ct", root)


@pytest.mark.parametrize("target", ["gone", "Patient (99)"])
def test_a_link_that_leads_nowhere_is_not_passed_over(tmp_path, target):
    root = sars_cov_2_ct_(tmp_path)
    os.symlink(target, root / "Covid" / "Patient (99)")
    with pytest.raises(RadlibError, match=r"Patient \(99\) is a link that leads nowhere"):
        open_dataset("sars_cov_2_ct", root)


@given(st.lists(st.text(max_size=8)))
def test_any_names_can_be_sorted_by_number(names):
    assert sorted(sorted(names, key=sars_cov_2_ct._by_number)) == sorted(names)


def test_numbers_sort_as_numbers():
    assert sorted(["10.png", "9.png", "2b.png", "2a.png", "²1.png"], key=sars_cov_2_ct._by_number)[-4:] == [
        "2a.png",
        "2b.png",
        "9.png",
        "10.png",
    ]
