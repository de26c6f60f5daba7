"""Buttons to edit, report and launch: all of them once the repository's address is set, none before."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

REPOSITORY = Path(__file__).resolve().parents[2]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def links(stage: Path, address: str) -> set[str]:
    """Where the buttons above a notebook lead, in a book of one page built with the project's own configuration."""
    shutil.copytree(REPOSITORY / "book" / "assets", stage / "book" / "assets")
    shutil.copy(REPOSITORY / "book" / "references.bib", stage / "book")
    config = (REPOSITORY / "_config.yml").read_text()
    assert 'repository_url: ""' in config
    (stage / "_config.yml").write_text(config.replace('repository_url: ""', f'repository_url: "{address}"'))
    (stage / "_toc.yml").write_text("format: jb-book\nroot: notebooks/table99_page\n")
    (stage / "notebooks").mkdir()
    page = new_notebook(cells=[new_markdown_cell("# A page\n\nOf one line.")], metadata=KERNEL)
    nbformat.write(page, stage / "notebooks" / "table99_page.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "-W", "--keep-going", "-q"]
    build = subprocess.run(command, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    html = (stage / "_build/html/notebooks/table99_page.html").read_text()
    return set(re.findall(r'href="([^"]+)"', html[html.index("<article") - 20000 :]))


@pytest.mark.parametrize("address", ["", "https://github.com/someone/radlib"])
def test_buttons_lead_to_the_page_itself_or_are_not_there(tmp_path: Path, address: str) -> None:
    found = links(tmp_path, address)
    path = "notebooks/table99_page.ipynb"
    expected = {
        f"https://mybinder.org/v2/gh/someone/radlib/main?urlpath=lab/tree/{path}",
        f"https://colab.research.google.com/github/someone/radlib/blob/main/{path}",
        f"{address}/edit/main/{path}",
        address,
    }
    assert f"../_sources/{path}" in found, "the notebook can always be downloaded"
    if address:
        assert expected <= found
        assert any(link.startswith(f"{address}/issues/new") for link in found)
    else:
        assert not [
            link for link in found if "mybinder" in link or "colab" in link or "/edit/" in link or "issues" in link
        ]
