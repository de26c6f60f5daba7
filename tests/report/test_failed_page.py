"""A page whose run failed says so, and only what was reached stands on it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from radlib import cli
from radlib.report import failed_page, page


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A page of four cells, the second of which does what a test asks."""
    monkeypatch.chdir(tmp_path)

    def make(code):
        cells = [
            new_markdown_cell("# A title"),
            new_code_cell('data_root = ""', metadata={"tags": ["parameters"]}),
            new_code_cell('print("reached")'),
            new_code_cell(code),
            new_markdown_cell("The table above says much."),
            new_code_cell('print("never reached")'),
            new_markdown_cell("## Re-run this page\n\n`radlib run bad`"),
        ]
        path = tmp_path / "notebooks" / "bad_page.ipynb"
        path.parent.mkdir()
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
        monkeypatch.setattr(page, "notebooks", lambda: {"bad": path})
        return tmp_path / "_build" / "notebooks" / "bad_page.ipynb"

    return make


def test_a_refusal_is_shown_on_the_page_with_its_sentence(notebook, capsys):
    where = notebook("from radlib.errors import RadlibError\nraise RadlibError('<b>No</b> images; bring some.')")
    assert cli.main(["run", "bad", "--show-failure"]) == 0
    assert "radlib: <b>No</b> images; bring some." in capsys.readouterr().err
    assert failed_page.sentence_of(where) == "<b>No</b> images; bring some. (cell 3 of bad_page.ipynb)"
    cells = nbformat.read(where, as_version=4).cells
    assert cells[0].source == "# A title"
    assert "This page failed" in cells[1].source and "&lt;b&gt;No&lt;/b&gt; images; bring some." in cells[1].source
    text = where.read_text()
    assert "reached" in text and "never reached" not in text and "says much" not in text
    assert cells[-1].source.startswith("## Re-run this page")
    assert not list(where.parent.glob("*.failed.ipynb")) and not list(where.parent.glob("*part*"))


def test_a_failure_of_our_own_keeps_its_traceback_beside_the_page(notebook, tmp_path):
    where = notebook(f"open({str(tmp_path / 'nothing')!r})")
    assert cli.main(["run", "bad", "--show-failure", "--data-root", str(tmp_path)]) == 0
    assert "failed with FileNotFoundError" in failed_page.sentence_of(where)
    assert str(tmp_path) not in where.read_text()
    assert "Traceback" in where.with_name("bad_page.failed.ipynb").read_text()


def test_a_kernel_that_died_is_told_as_one(notebook):
    where = notebook("import os\nos._exit(9)")
    assert cli.main(["run", "bad", "--show-failure"]) == 0
    assert "The kernel that ran bad_page.ipynb was killed" in failed_page.sentence_of(where)
    assert "never reached" not in where.read_text()


def test_without_being_asked_a_failed_run_leaves_no_page(notebook):
    where = notebook("raise ValueError('x')")
    assert cli.main(["run", "bad"]) == 2
    assert not where.exists() and where.with_name("bad_page.failed.ipynb").exists()


def test_a_page_that_did_not_fail_has_no_sentence(notebook, tmp_path):
    where = notebook("pass")
    assert cli.main(["run", "bad", "--show-failure"]) == 0
    assert failed_page.sentence_of(where) == "" and failed_page.sentence_of(tmp_path / "absent") == ""
