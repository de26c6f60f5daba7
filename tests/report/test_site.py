"""What the site adds: buttons only where they lead somewhere, words and a picture for links, no weight for nothing."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Parser
from docutils.utils import new_document
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.project import Project

from radlib.report import site

LAUNCH = {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com"}


def configured(address):
    config = SimpleNamespace(html_theme_options={"repository_url": address, "launch_buttons": dict(LAUNCH)})
    site.buttons(None, config)
    return config.html_theme_options


def test_without_an_address_no_button_is_shown_that_leads_nowhere():
    options = configured("")
    assert options["launch_buttons"] == {}
    assert not any(options[name] for name in ("use_edit_page_button", "use_repository_button", "use_issues_button"))


def test_with_an_address_all_buttons_appear_and_colab_only_for_github():
    options = configured("https://github.com/someone/radlib")
    assert options["launch_buttons"] == LAUNCH and options["use_edit_page_button"] is True
    assert "colab_url" not in configured("https://gitlab.com/someone/radlib")["launch_buttons"]


def test_markdown_in_hidden_folders_is_no_page(tmp_path):
    for name in ("a.md", ".venv/lib/templates/card.md", ".venv-scale/b.md", ".pytest_cache/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config, _ = get_final_config(
        user_yaml=Path(__file__).parents[2] / "_config.yml", cli_config={"latex_individualpages": False}
    )
    assert Project(tmp_path, {".md": "markdown"}).discover(config["exclude_patterns"]) == {"a"}


def page(text):
    document = new_document("page", get_default_settings(Parser))
    Parser().parse(text, document)
    return document


def test_a_page_is_described_by_its_first_paragraph_cut_at_a_word():
    short = "A title\n=======\n\nMenu.\n\nA paragraph that is long enough to say what the page is about.\n"
    assert site.describe(page(short)) == "A paragraph that is long enough to say what the page is about."
    said = site.describe(page("many words " * 60))
    assert len(said) <= site.DESCRIPTION_LENGTH + 2 and said.endswith("words …")
    assert site.describe(page("")) == ""


@pytest.mark.parametrize(
    "base, picture",
    [("", "../_static/shared.png"), ("https://example.org/b/", "https://example.org/b/_static/shared.png")],
)
def test_a_shared_link_has_a_title_words_and_a_picture(base, picture):
    app = SimpleNamespace(config=SimpleNamespace(html_baseurl=base, html_title="radlib"))
    context = {"title": "Table <em>4</em>", "pathto": lambda path, resource: f"../{path}"}
    site.shared_link(
        app, "notebooks/table04", "page.html", context, page('A paragraph with "marks", long enough to be said.')
    )
    tags = context["metatags"]
    assert '<meta property="og:title" content="Table 4" />' in tags
    assert f'<meta property="og:image" content="{picture}" />' in tags
    assert 'content="A paragraph with &quot;marks&quot;, long enough to be said."' in tags
    site.shared_link(app, "genindex", "genindex.html", untouched := {}, None)
    assert untouched == {}


def test_what_no_page_needs_is_taken_from_the_built_site(tmp_path):
    icon = '.fa-a:before,.fa-b-c:before{content:"\\f125"}'
    for name, text in {
        "scripts/fontawesome.js": "x" * 1000,
        "scripts/a.js.map": "",
        "scripts/a.js": "",
        "styles/theme.css": f".x{{color:red}}{icon}.fa-spin{{animation:s}}",
        "vendor/fontawesome/webfonts/fa-solid-900.woff2": "",
        "vendor/fontawesome/webfonts/fa-solid-900.ttf": "",
        "vendor/fontawesome/webfonts/fa-brands-400.ttf": "",
    }.items():
        path = tmp_path / "_static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    site.lighten(SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html")), None)
    left = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(left) == {"fontawesome.js", "a.js", "theme.css", "fa-solid-900.woff2"}
    assert left["theme.css"].read_text() == ".x{color:red}.fa-spin{animation:s}"
    assert left["fontawesome.js"].stat().st_size < 100


def test_a_bibliography_is_a_list_of_list_items():
    context = {"body": '<div role="list" class="citation-list"><div role="doc-biblioentry">a</div></div>'}
    site.roles(None, "references", "page.html", context, None)
    assert context["body"] == '<div role="list" class="citation-list"><div role="listitem">a</div></div>'


def test_a_notebook_that_was_not_run_says_so_and_one_that_was_does_not(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# A table"), nbformat.v4.new_code_cell("print(6 * 7)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "bare.ipynb")
    cells[1].execution_count = 1
    cells[1].outputs = [nbformat.v4.new_output("stream", text="42")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "executed.ipynb")
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\nbare\nexecuted\n```\n", encoding="utf-8")
    options = {"extensions": ["myst_nb", "radlib.report.site"], "nb_execution_mode": "off", "html_theme": "basic"}
    book, out = str(tmp_path), tmp_path / "out"
    Sphinx(book, None, str(out), str(out / "trees"), "html", confoverrides=options, status=None, warning=None).build()
    said = {name: (out / f"{name}.html").read_text(encoding="utf-8") for name in ("bare", "executed", "index")}
    assert "This notebook was not run, so the page has no results." in said["bare"]
    assert all("not run" not in said[name] for name in ("executed", "index")) and "42" in said["executed"]
