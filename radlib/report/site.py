"""What the site adds to Jupyter Book: what this copy is, what was found, what a shared link shows, and its buttons."""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from radlib import __version__
from radlib.paper.claims import claims
from radlib.report import leaderboard, provenance
from radlib.report.chips import strip, summary_html

KINDS = {"stand-in": "simulated patients", "paper": "the paper's data", "own": "your data"}
PICTURE = "_static/shared.png"
DESCRIPTION_LENGTH = 200  # characters, what most who show a link print
ICON_RULES = re.compile(r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}')  # one for each of two thousand icons
NEEDS_REPOSITORY = ("use_repository_button", "use_edit_page_button", "use_issues_button")
NOT_RUN = (
    "```{warning}\nThis notebook was not run, so the page has no results. `make book` runs every notebook and builds "
    "the site.\n```"
)


class ThisCopy(SphinxDirective):
    """``{radlib-copy}``: one strip of what this copy of the book is: version, commit, whose images its pages ran on."""

    def run(self) -> list[nodes.Node]:
        """The strip."""
        pages = [*Path(self.env.srcdir).glob("notebooks/*.ipynb"), *Path(self.env.srcdir).glob("book/*.ipynb")]
        texts = [page.read_text(encoding="utf-8") for page in pages]
        chips = [
            ("", f"radlib {__version__}"),
            ("", f"commit {provenance.commit()[:8]}"),
            ("", f"{len(pages)} notebooks"),
        ]
        for kind, words in KINDS.items():
            n = sum(f'chip chip-{kind}\\">This run' in text for text in texts)
            chips += [(f"chip-{kind}", f"{n} ran on {words}")] if n else []
        published = sum(each.kind == "published" for each in leaderboard.at_hand([]))
        chips.append(("chip-published", f"{published} numbers published on real images"))
        return [nodes.raw("", strip(chips), format="html")]


class Found(SphinxDirective):
    """``{radlib-found}``: how many of the paper's claims in words its own numbers bear out."""

    def run(self) -> list[nodes.Node]:
        """The strip."""
        return [nodes.raw("", summary_html(claims()), format="html")]


def buttons(app: Sphinx, config: Config) -> None:
    """Edit, repository, issue and launch buttons where ``repository_url`` is known; none that would lead nowhere."""
    options = config.html_theme_options
    address = options.get("repository_url", "")
    options.update(dict.fromkeys(NEEDS_REPOSITORY, bool(address)))
    launch = options.get("launch_buttons", {}) if address else {}
    if "github.com" not in address:  # Colab opens notebooks of GitHub alone
        launch = {name: value for name, value in launch.items() if name != "colab_url"}
    options["launch_buttons"] = launch


def not_run(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say on the page of a notebook that was not run that its results are missing; `make book` runs them all."""
    if not str(app.env.doc2path(docname)).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if not counts or any(counts):
        return
    note = {"cell_type": "markdown", "id": "not-run", "metadata": {}, "source": NOT_RUN}
    notebook["cells"].insert(1, note)
    source[0] = json.dumps(notebook)


def shared_link(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """What a link to the page shows where it is shared: title, first paragraph and a picture (Open Graph)."""
    if doctree is None:
        return
    title = re.sub(r"<[^>]+>", "", context.get("title", "")) or app.config.html_title
    picture = context["pathto"](PICTURE, resource=True)
    if base := app.config.html_baseurl:
        picture = f"{base.rstrip('/')}/{PICTURE}"
    about = "A chest CT slice beside the same slice coloured by patch features."
    said = {"og:type": "website", "og:site_name": "radlib", "og:title": title, "og:description": describe(doctree),
            "og:image": picture, "og:image:alt": about}  # fmt: skip
    if base and "pageurl" in context:
        said["og:url"] = context["pageurl"]
    tags = [f'<meta name="description" content="{escape(said["og:description"])}" />']
    tags += [f'<meta property="{name}" content="{escape(content)}" />' for name, content in said.items()]
    tags.append('<meta name="twitter:card" content="summary_large_image" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """The bibliography as a list of list items: the role that docutils gives its entries is no part of a list."""
    if "citation-list" in context.get("body", ""):
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def describe(doctree: nodes.document) -> str:
    """The first paragraph of a page, cut at a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        words = " ".join(paragraph.astext().split())
        if len(words) > 40:
            cut = words[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0]
            return words if len(words) <= DESCRIPTION_LENGTH else f"{cut} …"
    return ""


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Take from the built site what no page needs: maps for those who develop the theme, and its script of all icons.

    The few icons that pages show are in ``icons.css``; notes and warnings take theirs from the one font that stays.
    """
    static = Path(app.outdir) / "_static"
    if exception is None and app.builder.format == "html":
        fonts = static / "vendor" / "fontawesome" / "webfonts"
        for file in [
            *static.rglob("*.map"),
            *fonts.glob("*.ttf"),
            *fonts.glob("fa-brands*"),
            *fonts.glob("fa-regular*"),
        ]:
            file.unlink(missing_ok=True)  # some are named twice
        for sheet in static.glob("styles/*.css"):
            sheet.write_text(ICON_RULES.sub("", sheet.read_text(encoding="utf-8")), encoding="utf-8")
        script = static / "scripts" / "fontawesome.js"
        if script.is_file():
            script.write_text("// The icons are in icons.css.\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("radlib-copy", ThisCopy)
    app.add_directive("radlib-found", Found)
    app.connect("config-inited", buttons)
    app.connect("source-read", not_run)
    app.connect("html-page-context", shared_link)
    app.connect("html-page-context", roles)
    app.connect("build-finished", lighten)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}
