"""NIH Chest X-ray's tables and lists as they are found, older, shortened and spoiled."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import nih_chest_xray_

from radlib.data.catalog import open_dataset
from radlib.errors import RadlibError

TABLE = "Data_Entry_2017_v2020.csv"


def test_the_older_table_is_read(tmp_path):
    root = nih_chest_xray_(tmp_path)
    new = open_dataset("nih_chest_xray", root)
    path = root / TABLE
    lines = path.read_text().splitlines()
    older = [lines[0] + ","]  # ages as 058Y, and a comma at the end of every line
    for line in lines[1:]:
        cells = line.split(",")
        older.append(",".join([*cells[:4], f"{int(cells[4]):03d}Y", *cells[5:]]) + ",")
    (root / "Data_Entry_2017.csv").write_text("\r\n".join(older))
    path.unlink()
    old = open_dataset("nih_chest_xray", root)
    assert old.samples.equals(new.samples) and (old.labels == new.labels).all()


def test_spaces_around_findings_do_no_harm(tmp_path):
    root = nih_chest_xray_(tmp_path)
    path = root / TABLE
    path.write_text(path.read_text().replace(",Mass,", ", Mass | Nodule ,"))
    dataset = open_dataset("nih_chest_xray", root)
    assert dataset.labels[8].nonzero()[0].tolist() == [4, 5]


@pytest.mark.parametrize("gone", ["train_val_list.txt", "test_list.txt"])
def test_one_list_alone_is_not_taken_for_none(tmp_path, gone):
    root = nih_chest_xray_(tmp_path)
    (root / gone).unlink()
    with pytest.raises(RadlibError, match=f"one of the release's two lists and no {gone}; put it there"):
        open_dataset("nih_chest_xray", root)


@pytest.mark.parametrize("protocol", ["ours", "authors"])
def test_a_sample_without_test_images_is_told(tmp_path, protocol):
    root = nih_chest_xray_(tmp_path)
    for name in (root / "test_list.txt").read_text().split():
        next(root.rglob(name)).unlink()
    with pytest.raises(RadlibError, match="no sample is in the test split"):
        open_dataset("nih_chest_xray", root, protocol=protocol)


def test_a_link_that_leads_to_itself_is_told_when_it_is_needed(tmp_path):
    root = nih_chest_xray_(tmp_path)
    path = next(root.rglob("00000000_000.png"))
    path.unlink()
    path.symlink_to(path.name)
    dataset = open_dataset("nih_chest_xray", root)
    for need in (lambda: dataset.read(0), lambda: dataset.fingerprint):
        with pytest.raises(RadlibError, match="00000000_000.png"):
            need()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from([TABLE, "train_val_list.txt", "test_list.txt"]),
    place=st.integers(0, 2000),
    junk=st.one_of(st.binary(min_size=1, max_size=6), st.sampled_from([b'"', b"\x00", b"\n", b"|", b",", b"\r"])),
)
def test_spoiled_bytes_of_tables_and_lists_are_a_dataset_or_a_sentence(tmp_path, name, place, junk):
    root = tmp_path / "spoiled"
    if not root.exists():
        nih_chest_xray_(root, patients=8, images=1)
    whole = (root / name).read_bytes()
    place %= len(whole)
    (root / name).write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    try:
        with contextlib.suppress(RadlibError):
            open_dataset("nih_chest_xray", root)
    finally:
        (root / name).write_bytes(whole)
