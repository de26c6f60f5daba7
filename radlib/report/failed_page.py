"""A page whose run failed: what was reached, the sentence that says why, and nothing that was not reached.

One experiment's bad day is one page's: the book is built, and this page says that it failed. What a traceback knows of
the machine stays out of it.
"""

import html
from pathlib import Path

import nbformat
from nbformat import NotebookNode

FAILED = "radlib_failed"  # key of a notebook's metadata that holds the sentence
AGAIN = "## Re-run this page"


def make(executed: NotebookNode, notebook: str, sentence: str) -> NotebookNode:
    """`executed`, the run of `notebook` as far as it came, as a page that begins with its failure.

    The title stays, then comes the `sentence`, then every cell up to the one that failed, then how to run it again. The
    reader's home folder is written ``~``.
    """
    sentence = sentence.replace(str(Path.home()), "~")
    cells = [cell for cell in executed.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    last = next((k for k, cell in enumerate(cells) if _broke(cell)), None)
    if last is None:  # the kernel died: what ran has a number
        last = max((k for k, cell in enumerate(cells) if cell.get("execution_count")), default=0)
    for cell in cells[: last + 1]:
        for out in cell.get("outputs", []):
            if out.output_type == "error":
                out.evalue = out.evalue.replace(str(Path.home()), "~")
                out.traceback = [f"{out.ename}: {out.evalue}"]  # its lines name folders of the machine
    rest = [cell for cell in cells[last + 1 :] if cell.cell_type == "markdown" and cell.source.startswith(AGAIN)]
    page = nbformat.v4.new_notebook(metadata={**executed.metadata, FAILED: sentence})
    page.cells = [cells[0], nbformat.v4.new_markdown_cell(_words(notebook, sentence)), *cells[1 : last + 1], *rest]
    return page


def sentence_of(path: Path) -> str:
    """Why the run behind the page at `path` failed; empty where it did not, or where there is no page."""
    try:
        return str(nbformat.read(path, as_version=4).metadata.get(FAILED, ""))
    except (OSError, ValueError, nbformat.ValidationError):
        return ""


def _broke(cell: NotebookNode) -> bool:
    return any(out.output_type == "error" for out in cell.get("outputs", []))


def _words(notebook: str, sentence: str) -> str:
    told = html.escape(" ".join(sentence.split()))
    return (
        '<div class="admonition error radlib-failed" role="note"><p class="admonition-title">This page failed</p>'
        f"<p>{told}</p><p>Its run stopped there, so it shows no result; other pages are not touched by it. "
        f"<code>radlib run {html.escape(notebook)}</code> runs it again.</p></div>"
    )
