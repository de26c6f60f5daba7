"""Words of strangers on pages: parameters stay text in the injected cell, markup in names stays text in the HTML."""

import ast
import inspect
import math
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from papermill.parameterize import parameterize_notebook

from radlib import cli, paper
from radlib.errors import RadlibError
from radlib.report import account, blocks, breakdown, comparison, html_table, mask_breakdown, page, plots, result

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'& $\\frac{a}$ **b** [c](javascript:d)"
NAMES = st.sampled_from(["data_note", "data_root", "backbones", "results_dir"])


def injected(parameters):
    """The cell that papermill writes in front of a notebook's own cells, as it is run."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook.metadata["papermill"] = {"parameters": {}, "environment_variables": {}, "version": None}
    return parameterize_notebook(notebook, parameters).cells[0].source


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(name=NAMES, value=PLAIN)
@example("data_note", '"""\nimport os\nos.system(\'touch owned\')\n"""')
@example("data_note", "\\")
@example("data_note", '\\"; import os #')
@example("data_note", '\\\\"\n!touch owned')
@example("data_note", "%%bash\ntouch owned")
@example("data_note", "\u2028import os\x0cimport os\x85import os\x00")
@example("data_root", "{__import__('os')}")
@example("data_note", {'"; import os; "': ['"', "\n", {"\\": "'"}]})
def test_a_parameter_is_one_literal_and_nothing_else(name, value):
    source = injected(page.plain({name: value}))
    (line,) = ast.parse(source).body  # one assignment: no second statement, however the value is written
    assert isinstance(line, ast.Assign) and line.targets[0].id == name
    for part in ast.walk(line.value):
        if isinstance(part, ast.Call):  # the only one that papermill writes: float('nan'), float('-inf')
            assert part.func.id == "float" and isinstance(part.args[0], ast.Constant)
    assert same(eval(compile(source.replace(f"{name} =", "held ="), "cell", "exec"), held := {}) or held["held"], value)
    assert not any(text.startswith(("%", "!")) for text in source.splitlines())  # IPython's magics and shell


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


@given(text=st.text(max_size=30))
@example("&a [*a]")
@example("2020-01-01")
@example("!!python/object/apply:os.system ['touch owned']")
@example("!!set {a, b}")
@example("!!binary aGVsbG8=")
@example("[" * 2000)
def test_whatever_stands_behind_p_becomes_plain_values_or_a_sentence(text):
    given_ = cli._parser().parse_args(["run", "table04", "-p", "data_note", "x"])
    given_.parameter = [["data_note", text]]
    try:
        parameters = page.plain(cli._parameters(given_))
    except RadlibError as error:
        assert "data_note" in str(error)
        return
    (line,) = ast.parse(injected(parameters)).body
    assert isinstance(line, ast.Assign)


def test_a_name_that_is_no_parameter_never_reaches_a_cell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RadlibError, match="no parameter of table04 called"):
        page.run("table04", {"x = 1\nimport os": 1})
    assert not list(tmp_path.iterdir())


class Tags(HTMLParser):
    """Every element and attribute that a browser would make of a page."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.attributes = set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}


def harmless(html):
    tags = Tags(html)
    assert not tags.elements & {"script", "img", "iframe", "a", "b"}
    assert not {name for name in tags.attributes if name.startswith("on")} and "href" not in tags.attributes
    return html


@pytest.fixture
def evil(make, tmp_path):
    """A Result every text of which is markup, with its predictions, and its path."""
    plain = make(groups={"sex": (EVIL, "M")}, chosen={EVIL: EVIL}, chosen_how=EVIL, device=EVIL, versions={EVIL: EVIL})
    data = plain.data.model_copy(update={"title": EVIL, "note": EVIL, "classes": ("a" + EVIL, "b" + EVIL)})
    backbone = plain.backbone.model_copy(update={"id": "<b>" + EVIL, "title": EVIL, "runtime": EVIL})
    found = plain.model_copy(
        update={"data": data, "backbone": backbone, "preprocessing": EVIL, "commit": EVIL,
                "per_class": {"b" + EVIL: 0.7}, "seconds": {"features": 1.0, "images_encoded": 8.0, "fit": 0.5}}
    )  # fmt: skip
    n = 40
    patients = np.arange(n) // 2
    labels = (patients % 2).astype(np.int64)
    scores = np.clip(np.random.default_rng(0).normal(0.4 + 0.2 * labels, 0.2), 0.01, 0.99)
    arrays = {"rows": np.arange(n), "labels": labels, "patients": patients, "scores": np.stack([1 - scores, scores], 1),
              "group_sex": patients % 3 - 1}  # fmt: skip
    path = tmp_path / "table04" / "evil.json"
    written = result.write(found.model_copy(update={"backbone": plain.backbone}), arrays, tmp_path)
    sha = result.read(written).predictions_sha256
    written.with_suffix(".safetensors").rename(path.with_suffix(".safetensors"))
    path.write_text(found.model_copy(update={"predictions_sha256": sha}).model_dump_json())
    return found, path


def test_markup_in_titles_classes_and_notes_is_text_on_the_page(evil):
    found, path = evil
    printed = paper.table("table04")
    rows = comparison.rows(printed, found.data, [found], [found])
    pages = [
        account.status_html([found, found.model_copy(update={"data": found.data.model_copy(update={"title": "b"})})]),
        account.provenance_html([found], EVIL),
        comparison.table_html(rows, EVIL, EVIL),
        comparison.variants_html([found], EVIL),
        blocks.shots_html([path], EVIL),
        breakdown.per_class_html([path], EVIL),
        breakdown.cost_html([found], EVIL),
        breakdown.calibration_html([path], EVIL),
        breakdown.subgroups_html(path, EVIL),
        blocks.inside_html([path]),
        html_table.name_cell(EVIL, EVIL) + html_table.number_cell(1.0, EVIL) + html_table.text_cell(EVIL, EVIL),
        "".join(html_table.head([EVIL], EVIL)),
        html_table.heading(EVIL, EVIL),
    ]
    for html in pages:
        harmless(html)
    assert sum("&lt;script&gt;" in html for html in pages) > 8


def test_markup_in_the_words_of_masks_is_text_on_the_page(evil):
    found, _ = evil
    masks = result.Masks(
        dice={EVIL: 0.5}, jaccard={EVIL: 0.4}, absent=(EVIL,), case="scan", case_dice=0.5,
        case_interval=found.interval, cases=2, case_dice_per_class={EVIL: 0.5}, by_scan={EVIL: {EVIL: 0.5}},
        hd95_mm={EVIL: 3.0}, hd95_missed={EVIL: 1},
    )  # fmt: skip
    drawn = found.model_copy(
        update={"protocol": "unet", "masks": masks, "hyperparameters": {"epochs": 1, "refit_epochs": 2}}
    )
    for show in (mask_breakdown.per_class_html, mask_breakdown.scans_html, mask_breakdown.distances_html,
                 mask_breakdown.chosen_html):  # fmt: skip
        assert "script&gt;" in harmless(show([drawn], EVIL))


def test_a_plot_shows_dollars_as_dollars(evil):
    """Matplotlib would read a name between dollars as mathematics, and fail where it is none."""
    found, _ = evil
    rows = comparison.rows(paper.table("table04"), found.data, [found], [])
    plots.auroc_intervals(rows).savefig(out := __import__("io").StringIO(), format="svg")
    assert "<script>" not in out.getvalue()


def test_every_page_writes_titles_through_one_function():
    """A title is the name of a reader's folder: no page may put one into Markdown, which takes HTML as it is."""
    for path in page.notebooks().values():
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                for line in cell.source.splitlines():
                    assert "Markdown(f" not in line, f"{path.name}: {line}"
    assert "escape" in inspect.getsource(html_table.heading)
