"""Notebooks executed by papermill, made fit to be a page: one run, one file, nothing private in it."""

import contextlib
import html
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from radlib import atomic
from radlib.errors import NO_MEMORY, RadlibError, unknown_name
from radlib.report import failed_page, kernel
from radlib.report.parameters import in_project

WIDGET = "application/vnd.jupyter.widget-view+json"
OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError", "_ArrayMemoryError")  # of Python, torch and numpy
LESS_MEMORY = (
    "what is finished is kept and the same command goes on from there: end other programs, or ask for less (a smaller "
    "image_size or batch_size, fewer datasets or backbones)"
)
KEPT_METADATA = ("start_time", "end_time", "duration", "version")  # of papermill's, for the provenance of a page


def notebooks() -> dict[str, Path]:
    """Short name (``table04``) -> notebook of this checkout, those of the book's own pages included."""
    checkout = Path(__file__).resolve().parents[2]
    paths = [*sorted(checkout.glob("notebooks/*.ipynb")), *sorted(checkout.glob("book/*.ipynb"))]
    found = {path.stem.split("_")[0]: path for path in paths}
    if not found:
        raise RadlibError(f"There is no notebook in {checkout}; run from a checkout of the repository.")
    return found


def output_of(notebook: Path) -> Path:
    """Where the page of `notebook` is written unless another place is named: ``_build/<its folder>/<its name>``."""
    return in_project("_build") / notebook.parent.name / notebook.name


def run(name: str, parameters: dict[str, Any], output: Path | None = None, show_failure: bool = False) -> Path:
    """Execute notebook `name` with `parameters` and write the page to `output` (see `output_of`); returns it.

    The page appears only when every cell has run; with `show_failure` a run that fails leaves a page that says so. What
    the notebook prints, progress bars included, goes to this process's own streams while it runs.

    Raises:
        RadlibError: unknown notebook or parameter; without `show_failure` also what the notebook itself refused, and
            any other failure, which names the cell and keeps the executed notebook as ``<output>.failed.ipynb``.
    """
    known = notebooks()
    if name not in known:
        raise unknown_name("notebook", name, known)
    accepted = papermill.inspect_notebook(str(known[name]))
    for parameter in parameters:
        if parameter not in accepted:
            raise unknown_name(f"parameter of {name}", parameter, accepted)
    parameters = plain(parameters)
    target = output or output_of(known[name])
    if os.path.isdir(target):
        raise RadlibError(f"The page cannot be written to {target}, which is a folder; name a file in it.")
    part = atomic.unfinished(target, ".ipynb")
    try:
        atomic.check_place(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.sweep(target.parent)
        with kernel.interruptible() as kernel_manager:
            executed = papermill.execute_notebook(
                str(known[name]),
                str(part),
                parameters,
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                kernel_manager_class=kernel_manager,
                extra_arguments=["--IPKernelApp.log_level=50"],  # of its transport; what cells raise arrives anyway
            )
        nbformat.write(clean(executed), part)
        os.replace(part, target)
    except (PapermillExecutionError, DeadKernelError) as error:
        sentence = _told(error, known[name], part, target)
        if not show_failure:
            raise RadlibError(sentence) from None
        reached = nbformat.read(part, as_version=4)
        nbformat.write(clean(failed_page.make(reached, name, sentence)), part)
        os.replace(part, target)
        print(f"radlib: {sentence}", file=sys.stderr)
    except (NoSuchKernel, RuntimeError) as error:
        raise RadlibError(
            f"The kernel that runs {known[name].name} did not start ({' '.join(str(error).split())}); radlib doctor "
            "checks it."
        ) from error
    except OSError as error:
        raise RadlibError(
            f"The page cannot be written to {target} ({error.strerror}); choose another output."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # its folder may never have been one
            part.unlink()
    return target


def plain(parameters: Mapping[str, object]) -> dict[str, Any]:
    """`parameters` as they may be written into a notebook: text, numbers, true, false, null, lists and dicts of them.

    Papermill makes Python of them, each one literal. Raises RadlibError, naming the parameter, for any other kind.
    """
    for name, value in parameters.items():
        try:
            text = json.dumps(value, ensure_ascii=False)
            text.encode()  # halves of a character pair, which no notebook file can hold
            if not _plain(value):
                raise ValueError("a key that is no text")
        except (TypeError, ValueError, RecursionError) as error:
            raise RadlibError(
                f"Parameter '{name}' is no text, number, list or dict of them ({error}); quote it as YAML wants it, "
                "e.g. \"'2020-01-01'\"."
            ) from error
    return dict(parameters)


def _plain(value: object) -> bool:
    """Whether keys are text and no kind is one that JSON only resembles, such as a tuple."""
    if isinstance(value, dict):
        return all(type(key) is str and _plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def _told(error: PapermillExecutionError | DeadKernelError, notebook: Path, part: Path, target: Path) -> str:
    """What stopped `notebook`, in one sentence; a failure of our own keeps the executed `part` beside `target`."""
    if isinstance(error, DeadKernelError):
        return f"The kernel that ran {notebook.name} was killed, most likely because memory was full; {LESS_MEMORY}."
    where = f"cell {error.exec_count} of {notebook.name}"
    if error.ename == "RadlibError":
        return f"{error.evalue} ({where})"
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    shutil.copyfile(part, failed)
    if error.ename in OUT_OF_MEMORY or NO_MEMORY in str(error.evalue):
        return f"C{where[1:]} ran out of memory; {LESS_MEMORY} (see {failed})."
    return f"C{where[1:]} failed with {error.ename}: {error.evalue}; see {failed}."


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """`notebook` without progress bars, widget state, and folders of the machine it ran on."""
    private = {}
    for value in notebook.metadata.get("papermill", {}).get("parameters", {}).values():
        if isinstance(value, str) and os.path.isabs(value):
            for write in (str, html.escape, _as_python, lambda text: html.escape(text, quote=False)):
                private[write(value)] = write(f"…/{Path(value).name}")
    notebook.metadata.pop("widgets", None)
    kept = notebook.metadata.get("papermill", {})
    notebook.metadata["papermill"] = {key: kept[key] for key in KEPT_METADATA if key in kept}
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr" and not _is_only_widget(out)]
            for out in cell.outputs:
                out.get("data", {}).pop(WIDGET, None)  # what a page shows in its place stays
    return nbformat.from_dict(_replaced(notebook, private))


def _as_python(text: str) -> str:
    """As it stands between the quotes of a literal that papermill writes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _replaced(value: Any, words: Mapping[str, str]) -> Any:
    """`value` with `words` replaced in every text in it."""
    if isinstance(value, str):
        for word, other in words.items():
            value = value.replace(word, other)
        return value
    if isinstance(value, dict):
        return {key: _replaced(inner, words) for key, inner in value.items()}
    return [_replaced(inner, words) for inner in value] if isinstance(value, list) else value


def _is_only_widget(output: dict[str, Any]) -> bool:
    """Whether `output` is a widget that brings no HTML to stand in its place: nothing without a kernel."""
    data = output.get("data", {})
    return WIDGET in data and "text/html" not in data
