"""CSV files as spreadsheets, editors and pandas write them."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlib.data import tables
from radlib.errors import RadlibError

CELLS = st.sampled_from(["", "a", "two\nlines", "comma, inside", 'a "quote"', "1.0", "ä", "three\n\nlines"])


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8),
    blanks=st.lists(st.sampled_from(["", "\n", "\n\n", ",,\n", "   \n"]), min_size=10, max_size=10),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_the_index_is_the_line_that_an_editor_shows(tmp_path_factory, rows, blanks, ends):
    text, lines = blanks[0] + "image,patient,label\n", []
    for k, (a, b, c) in enumerate(rows):
        text += blanks[k + 1]
        lines.append(text.count("\n") + 1)
        text += ",".join('"' + cell.replace('"', '""') + '"' for cell in (f"{k}.png{a}", b, c)) + "\n"
    path = write(tmp_path_factory.mktemp("csv") / "manifest.csv", text.replace("\n", ends))
    table = tables.read(path, ("image", "patient"))
    assert table.index.tolist() == lines
    assert table["patient"].tolist() == [b.replace("\n", ends) for _, b, _ in rows]


def test_cells_are_those_that_pandas_reads(tmp_path):
    text = 'image,patient,label\n a.png ,001,"x, y"\nb.png,NA,\n\nc.png,1e3,"say ""ah"""\n'
    path = write(tmp_path / "a.csv", text)
    theirs = pd.read_csv(path, dtype=str, keep_default_na=False).apply(lambda column: column.str.strip())
    assert tables.read(path, ("image",)).to_dict("records") == theirs.to_dict("records")


@pytest.mark.parametrize("first", ["sep=,", "SEP=,", '"sep=,"'])
def test_the_first_line_of_an_excel_export_is_skipped_and_counted(tmp_path, first):
    path = write(tmp_path / "a.csv", f"{first}\r\nimage,patient\r\n0.png,p0\r\n", "utf-8-sig")
    table = tables.read(path, ("image", "patient"))
    assert table.to_dict("index") == {3: {"image": "0.png", "patient": "p0"}}


@pytest.mark.parametrize(
    "text, encoding, words",
    [
        ("image;patient\n0.png;p0\n", "utf-8-sig", "separates its columns by semicolons; save it as CSV with commas"),
        ("sep=;\nimage;patient\n0.png;p0\n", "utf-8", "separates its columns by semicolons"),
        ('"image";"patient"\n"0.png";"p0"\n', "utf-8", "separates its columns by semicolons"),
        ("image\tpatient\n0.png\tp0\n", "utf-8", "separates its columns by tabs"),
        ("sep=\t\nimage\tpatient\n0.png\tp0\n", "utf-8", "separates its columns by tabs"),
        ('"image"|"patient"\n0.png|p0\n', "utf-8", "separates its columns by vertical bars"),
        ("image,patient\n0.png,p0\n", "utf-16", "is text in UTF-16; save it as CSV in UTF-8"),
        (
            "image,patient\n\n0.png,p0,more\n",
            "utf-8",
            "line 3 has 3 cells and the header 2; put text that holds a comma",
        ),
        ('image,patient\n0.png,"p0\n', "utf-8", "line 2.*save it again as one"),
        ("image,patient,\n0.png,p0,loose\n", "utf-8", "column 3 has no name in the header; name it or delete"),
    ],
)
def test_what_is_no_csv_with_commas_is_told_as_what_it_is(tmp_path, text, encoding, words):
    with pytest.raises(RadlibError, match=words):
        tables.read(write(tmp_path / "a.csv", text, encoding), ("image", "patient"))


@pytest.mark.parametrize("numbers", [range(3), range(1, 4), (4, 7, 9)])
def test_the_index_that_pandas_writes_is_no_column(tmp_path, numbers):
    frame = pd.DataFrame({"image": ["0.png", "1.png", "2.png"], "effusion": [0, 1, 0]}, index=list(numbers))
    frame.to_csv(tmp_path / "a.csv")
    assert tables.read(tmp_path / "a.csv", ("image",)).columns.tolist() == ["image", "effusion"]


def test_a_nameless_column_that_is_no_index_is_not_dropped(tmp_path):
    frame = pd.DataFrame({"image": ["0.png", "1.png", "2.png"]}, index=[0, 1, 0])
    frame.to_csv(tmp_path / "a.csv")
    with pytest.raises(RadlibError, match="column 1 has no name"):
        tables.read(tmp_path / "a.csv", ("image",))


@pytest.mark.parametrize(
    "name, leaves",
    [("a/b.png", False), ("a/../b.png", False), ("../b.png", True), ("a/../../b.png", True), ("/b.png", True),
     ("a\\..\\..\\b.png", True), ("C:\\scans\\b.png", True), ("C:/scans/b.png", True), ("\\\\server\\b.png", True),
     ("a:b.png", False)],
)  # fmt: skip
def test_paths_that_leave_the_folder(name, leaves):
    assert tables.leaves(name) == leaves
