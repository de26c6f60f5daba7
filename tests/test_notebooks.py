"""Every notebook runs from top to bottom on a small folder of pictures, by the command a reader would give."""

import ast
import csv
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image

from radlib import cli
from radlib.report import leaderboard, page

QUICK = {
    "datasets": "manifest",
    "backbones": "efficientnet_lite0",
    "image_size": "32",
    "epochs": "3",
    "resamples": "100",
    "tuned_image_size": "32",
    "tuned_epochs": "1",
    "neighbours": "3",
    "methods": "bitfit",
    "draws": "2",
    "batch_size": "8",
}


QUICK_MASKS = {
    "datasets": "manifest",
    "backbones": "vits14_random",
    "image_size": "112",  # the least that a ViT/14 and U-Net share
    "image_sizes": "[14, 28]",
    "learning_rates": "[0.1]",
    "epochs": "1",
    "refit_epochs": "1",
    "train_images": "2",
    "resamples": "100",
}


@pytest.fixture
def ward(tmp_path):
    """A reader's own folder: ten pictures of ten patients, each with a bright square that its mask shows."""
    folder = tmp_path / "ward"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for k in range(10):
        mask = np.zeros((48, 48), np.uint8)
        top, left = rng.integers(2, 16, 2)
        mask[top : top + 24, left : left + 24] = 1
        Image.fromarray((rng.integers(0, 60, mask.shape) + 90 * mask).astype(np.uint8)).save(folder / f"{k}.png")
        Image.fromarray(mask).save(folder / f"mask{k}.png")
        split = "test" if k >= 7 else "validation" if k >= 5 else "train"
        rows.append((f"{k}.png", f"p{k}", f"mask{k}.png", split))
    with open(folder / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "patient", "mask", "split"), *rows])
    (folder / "classes.csv").write_text("value,name\n1,square\n")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(own_cache, tmp_path, monkeypatch):
    """Pages, Results, features and checkpoints of these runs stay in folders of their own."""
    monkeypatch.chdir(tmp_path)


def run(name, **parameters):
    arguments = ["run", name]
    for key, value in parameters.items():
        arguments += ["-p", key, value]
    assert cli.main(arguments) == 0
    written = Path("_build") / page.notebooks()[name].parent.name / page.notebooks()[name].name
    notebook = nbformat.read(written, as_version=4)
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error"]
    html = "".join("".join(out.data.get("text/html", "")) for out in outputs if "data" in out)
    return html, [out for out in outputs if "image/svg+xml" in out.get("data", {})]


def mixed(html):
    """Tables of a page on a reader's own folder that have its column and one of published numbers."""
    heads = [re.findall("<th[^>]*>(.*?)</th>", head) for head in re.findall("<thead>(.*?)</thead>", html, re.DOTALL)]
    assert any("This run: your data" in " ".join(head) for head in heads)
    return [
        head
        for head in heads
        if "This run" in " ".join(head) and {"Published here", "On the paper's images"} & set(head)
    ]


@pytest.mark.parametrize(
    "name, results",
    [
        ("table05", 5),  # three frozen protocols, BitFit, shuffled labels
        ("table08", 3),  # linear probe, BitFit, shuffled labels
        ("table10", 2),
        ("figure2", 3),  # one and two patients a class, and all
    ],
)
def test_a_page_of_classification_runs(name, results, clinic):
    known = page.papermill.inspect_notebook(str(page.notebooks()[name]))
    html, plots = run(name, data_root=str(clinic), **{key: value for key, value in QUICK.items() if key in known})
    assert "This run: your data" in html and html.count("radlib-table") >= 1 and plots
    written = list(Path("results/own").rglob("*.json"))
    assert len(written) == results
    assert not mixed(html)


@pytest.mark.parametrize("name, results", [("table06", 2), ("table07", 2), ("table09", 2)])
def test_a_page_of_segmentation_runs(name, results, ward):
    known = page.papermill.inspect_notebook(str(page.notebooks()[name]))
    given = {key: value for key, value in QUICK_MASKS.items() if key in known}
    html, plots = run(name, data_root=str(ward), **given)
    assert "This run: your data" in html and html.count("radlib-table") >= 4 and plots
    assert "radlib-claim" in html and "Dice by image" in html
    assert not mixed(html)
    written = list(Path("results/own").rglob("*.json"))
    assert len(written) == results


def test_the_page_of_few_images_runs(ward):
    given = dict(mask_datasets="manifest", mask_backbones="vits14_random", mask_image_size="28", mask_images="[1]")
    html, plots = run(
        "figure2", datasets="[]", data_root=str(ward), mask_scratch_image_size="32", mask_refit_epochs="1",
        mask_draws="2", resamples="100", **given,
    )  # fmt: skip
    assert "This run: your data" in html and '<th scope="col">1</th>' in html and "mean of 2 draws" in html
    assert len(list(Path("results/own/figure2_masks").glob("*.json"))) == 4  # two segmenters, one image and all


def test_the_page_of_masks_runs(ward):
    given = {key: value for key, value in QUICK_MASKS.items() if key != "image_sizes"}
    html, _ = run("figure3", data_root=str(ward), **given | {"image_size": "28"})
    assert "This run: your data" in html and html.count("test images with foreground") == 3
    assert len(list(Path("results/own/figure3").glob("*.json"))) == 2


def test_the_page_of_patch_pca_runs(ward):
    given = dict(
        backbones="vits14_random", image_size="112", scans="['mni_t1']", rows="{'manifest': [0, 3, 5]}", images="2"
    )
    html, plots = run("figure1", datasets="manifest", data_root=str(ward), **given)
    assert "your data" in html and "T1 average" in html and html.count("radlib-provenance") == 2 and len(plots) == 1
    assert html.count('<th scope="row">') == 4  # two datasets, fitted in two ways


def test_the_page_of_the_explorer_runs(ward):
    given = dict(backbones="vits14_random", image_size="112", images="3", marks="{'manifest': [1, 4, 4]}")
    html, _ = run("explore", datasets="['manifest', 'chest_ct']", data_root=str(ward), **given)
    assert "radlib-explorer-module" in html and html.count("radlib-provenance") == 2
    assert sorted(path.name for path in Path("_build/pca_sets").iterdir()) == ["pca-chest_ct.js", "pca-manifest.js"]


def test_the_page_of_backbones_runs():
    html, plots = run("table02", also="['timm:resnet18.a1_in1k']")
    assert "11,689,512" in html and "1,136,479,232" in html and plots


def test_the_ledger_runs_without_any_result():
    html, _ = run("claims")
    assert html.count("radlib-claim") > 15 and "no two rows that it compares are at hand" in html


@pytest.mark.parametrize("path", page.notebooks().values(), ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    again = [cell for cell in notebook.cells if cell.cell_type == "markdown" and "## Re-run this page" in cell.source]
    (says,) = again
    assert f"papermill {path.parent.name}/{path.name}" in says.source and "radlib run" in says.source


def bound(source):
    """Names that a cell's statements bind: assignments, loops, imports, definitions; not those of comprehensions."""
    names = set()

    def visit(node):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        if isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            names.add(node.name)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            return  # what it binds inside is its own
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            names.update(each.target.id for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(TransformerManager().transform_cell(source)))
    return names


BINDS = """
x = 1
x += 1
x: int = 1
del x
for x in y: pass
for k, (x, *z) in y: pass
with y as x: pass
if (x := 1): pass
[(x := k) for k in y]
import x.y
from y import z as x
def x(): pass
class x: pass
%matplotlib inline|x = 1
if y:|    x = 1
try: pass|except E as x: pass
match y:|    case [x]: pass
"""


@pytest.mark.parametrize("source", [line.replace("|", "\n") for line in BINDS.strip().splitlines()])
def test_whatever_binds_a_name_is_seen(source):
    assert "x" in bound(source)
    assert bound("z = [x for x in y]; f(x=1); z.x = 1; z['x'] = 1; g = lambda x: x") == {"z", "g"}


@pytest.mark.parametrize("path", page.notebooks().values(), ids=lambda path: path.stem)
def test_no_cell_changes_a_parameter_so_that_any_cell_can_run_twice(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    known = bound(parameters.source)
    assert known
    for cell in cells:
        assert cell is parameters or not bound(cell.source) & known, cell.source


def test_the_leaderboard_runs_without_any_result_of_the_readers():
    html, plots = run("leaderboard")
    printed = len(leaderboard.merged(leaderboard.printed()))
    assert html.count('data-kind="printed in the paper"') == printed and "0 your own runs" in html and plots


def test_the_page_of_differences_runs_on_a_readers_own_folder(clinic):
    given = {key: QUICK[key] for key in ("datasets", "epochs", "resamples")}
    given |= {"backbones": "vits14_random", "image_size": "28", "mask_image_size": "28"}
    html, _ = run("differences", data_root=str(clinic), mask_datasets="['montgomery']", **given)
    assert "This run: your data" in html and html.count("radlib-claim") >= 30
    assert html.count("The head is chosen on the test set") >= 2, "as a point, and measured"
