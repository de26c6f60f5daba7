import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from radlib import cli

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOK = REPOSITORY / "notebooks" / "table04_linear_probing.ipynb"
QUICK = ["-p", "datasets", "manifest", "-p", "backbones", "efficientnet_lite0", "-p", "image_size", "32"]
QUICK += ["-p", "epochs", "3", "-p", "resamples", "100"]


@pytest.fixture
def clinic(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "secret clinic"
    folder.mkdir()
    lines = ["image,patient,label"]
    for k in range(24):
        values = np.random.default_rng(k).integers(0, 100 + 100 * (k % 2), (40, 40), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{k}.png")
        lines.append(f"{k}.png,p{k},{'sick' if k % 2 else 'well'}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


def assert_rows_are_printed(said, page):
    """The last lines of a run: every Result of it, in the order of the page, and where they and the page are."""
    records = {path: json.loads(path.read_text()) for path in Path("results/own/table04").glob("*.json")}
    assert said[-1] == f"page: {page}" and said[-2] == "results: results/own/table04"
    head, *rows = [re.split("  +", line) for line in said[-3 - len(records) : -2]]
    assert head == ["dataset", "row", "macro AUROC", "interval", "patients"]
    measured = {(f"{each['value']:.3f}", f"[{each['interval']['low']:.3f}, {each['interval']['high']:.3f}]",
                 str(each["n_patients"])) for each in records.values()}  # fmt: skip
    assert {tuple(row[2:]) for row in rows} == measured and {row[0] for row in rows} == {"secret clinic"}
    assert "linear probe" in rows[0][1] and "logistic regression" in rows[1][1] and "Shuffled labels" in rows[2][1]


def test_a_page_without_results_says_where_it_is_and_no_more(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "table03"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "page: _build/notebooks/table03_segmenters.ipynb"
    assert not Path("results").exists()


def test_a_run_prints_its_own_results_and_none_that_lay_there(clinic, capsys):
    for dataset in ("first", "second"):
        clinic.rename(clinic := clinic.with_name(dataset))
        assert cli.main(["run", "table04", "--data-root", str(clinic), *QUICK, "-p", "controls", "false"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in said[-5:-2]] == ["dataset", dataset, dataset]
    assert len(list(Path("results/own/table04").glob("*.json"))) == 4


def test_run_writes_a_page_with_nothing_private_in_it_and_no_parameter_becomes_code(clinic, capsys):
    # Papermill writes parameters into a cell; quotes and newlines in them must stay text.
    evil = "x\"\"\"\n__import__('pathlib').Path('owned').touch()\n"
    assert cli.main(["run", "table04", "--data-root", str(clinic), *QUICK, "-p", "data_note", json.dumps(evil)]) == 0
    assert not list(clinic.parent.rglob("owned")) and not (REPOSITORY / "notebooks" / "owned").exists()
    page = Path("_build/notebooks/table04_linear_probing.ipynb")
    assert_rows_are_printed(capsys.readouterr().out.splitlines(), page)
    text = page.read_text()
    assert str(clinic.parent) not in text and "…/secret clinic" in text
    notebook = nbformat.reads(text, as_version=4)
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in outputs if out.get("name") == "stderr" or out.output_type == "error"]
    html = "".join("".join(out.data.get("text/html", "")) for out in outputs if "data" in out)
    assert "This run: your data" in html and html.count("radlib-table") >= 2
    assert [out for out in outputs if "image/svg+xml" in out.get("data", {})]
    assert len(list(Path("results/own/table04").glob("*.json"))) == 3  # two protocols, shuffled labels
    assert sorted(path.name for path in page.parent.iterdir()) == [page.name]


def test_papermill_alone_runs_the_notebook(clinic):
    command = [sys.executable, "-m", "papermill", NOTEBOOK, "out.ipynb", "-p", "data_root", clinic, *QUICK]
    subprocess.run(command, check=True, capture_output=True, cwd=clinic.parent)
    assert len(list((clinic.parent / "results/own/table04").glob("*.json"))) == 3


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["run", "table4"], "no notebook called 'table4'; did you mean 'table04'"),
        (["run", "table04", "-p", "epoch", "3"], "no parameter of table04 called 'epoch'; did you mean 'epochs'"),
        (["run", "table04", "-p", "backbones", "['a"], "Parameter 'backbones' is no YAML value"),
        (["run", "table04", "-p", "backbones", "vits15"], "no backbone called 'vits15'"),
        (["run", "table04", "--data-root", "nowhere"], "nowhere does not exist"),
        (["data", "standin", "brain_tumour", "--out", "out"], "did you mean 'brain_tumor'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("radlib: ") and sentence in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_papermill_alone_shows_the_sentence_and_no_traceback_of_ours(tmp_path):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "papermill", NOTEBOOK, "out.ipynb", "-p", "data_root", tmp_path / "empty"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "is empty; put the files of 'brain_tumor' there" in done.stderr
    assert "radlib/report/probing.py" not in done.stderr
