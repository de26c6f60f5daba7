"""Table 1: the datasets at hand, opened and counted beside what the paper prints."""

from collections.abc import Sequence
from html import escape
from typing import Literal

import pandas as pd
from pydantic import field_validator

from radlib.data import catalog, origin
from radlib.data.dataset import Dataset
from radlib.data.splits import SPLITS
from radlib.report import html_table
from radlib.report.chips import strip
from radlib.report.experiment import Cohort, open_cohort_of, refuse_if_all_missing
from radlib.report.parameters import list_of_names, validated
from radlib.report.result import ORIGIN_WORDS, Record

TASK_WORDS = {
    "binary": "one of two classes",
    "multi-class": "one of {k} classes",
    "multi-label": "{k} findings",
    "segmentation": "masks, {k} structure{s}",
}


class Parameters(Record):
    """What the notebook of Table 1 takes."""

    datasets: tuple[str, ...] = ()
    data_root: str = ""
    protocol: Literal["ours", "authors"] = "ours"

    _lists = field_validator("datasets", mode="before")(list_of_names)


def checked(**given: object) -> Parameters:
    """The notebook's parameters, all eight datasets if none is named; raises RadlibError naming the first wrong one."""
    parameters = validated(Parameters, given)
    for name in parameters.datasets:
        catalog.check_name(name)
    return parameters.model_copy(update={"datasets": parameters.datasets or tuple(catalog.TASKS)})


def open_all(parameters: Parameters) -> list[Cohort]:
    """Every dataset asked for, below ``data_root``, or its stand-in where no ``data_root`` is given.

    A copy that cannot be opened keeps its sentence, so that the others are still shown.
    Raises RadlibError when none can be opened: with the only one's sentence, or with all of them.
    """
    found = [open_cohort_of(name, parameters.data_root, parameters.protocol) for name in parameters.datasets]
    refuse_if_all_missing(found)
    return found


def status_html(cohorts: Sequence[Cohort]) -> str:
    """One strip: whose images were counted."""
    opened = [cohort.dataset for cohort in cohorts if cohort.dataset is not None]
    chips = []
    for kind in dict.fromkeys(dataset.origin for dataset in opened):
        n = sum(dataset.origin == kind for dataset in opened)
        words = f"{n} of {len(cohorts)} datasets: {ORIGIN_WORDS[kind]}"
        chips.append((f"chip-{kind}", words))
    total = sum(map(len, opened))
    chips.append(("", f"{total:,} images and slices counted"))
    return strip(chips)


def counts_html(printed: pd.DataFrame, cohorts: Sequence[Cohort]) -> str:
    """The paper's Table 1 beside what the copies at hand hold, with images and patients of every split.

    `printed` is ``paper.table("table01")``.
    """
    by_name = printed.set_index("dataset").to_dict("index")
    columns = ["Dataset", "Paper", "Here", "Patients", "Train", "Val.", "Test"]
    lines = html_table.head(
        columns,
        "Images the paper used and images of the copy this page was made from (a slice of CT or MRI counts one), with "
        "its patients; for each split its images and, small, its patients, or scans where the release names no "
        "patients. ✓: as many as the paper's.",
    )
    for cohort in cohorts:
        known = by_name.get(cohort.name)
        images = None if known is None else int(known["images"])
        folder = cohort.dataset.title if cohort.dataset else cohort.name
        title = folder if known is None else str(known["title"])
        if cohort.dataset is None:
            cells = [html_table.name_cell(title, "not opened: " + cohort.missing)]
            cells += [html_table.number_cell(images, decimals=0)] + [html_table.number_cell(None)] * 5
            lines.append('<tr class="not-run">' + "".join(cells) + "</tr>")
            continue
        table = origin.counts(cohort.dataset.samples).set_index("split").to_dict("index")
        cells = [html_table.name_cell(title, words(cohort.dataset)), html_table.number_cell(images, decimals=0)]
        same = "✓" if images == table["all"]["images"] else ""
        cells.append(html_table.number_cell(int(table["all"]["images"]), same, decimals=0))
        cells.append(html_table.number_cell(int(table["all"]["patients"]), decimals=0))
        for split in SPLITS:
            row = table[split]
            cells.append(html_table.number_cell(int(row["images"]), f"{int(row['patients']):,}", decimals=0))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join([*lines, html_table.TAIL])


def words(dataset: Dataset) -> str:
    """What a dataset's samples carry and whose they are, e.g. "14 findings; stand-in data"."""
    k = len(dataset.classes)
    return f"{TASK_WORDS[dataset.task].format(k=k, s='' if k == 1 else 's')}; {ORIGIN_WORDS[dataset.origin]}"


def what_it_is(dataset: Dataset) -> str:
    """First sentence of the dataset's note: of a stand-in, what stands in for what."""
    return dataset.note.partition(". ")[0].rstrip(".") + "." if dataset.note else ""


def notes_html(cohorts: Sequence[Cohort]) -> str:
    """One folded line a dataset: where its copy differs from the paper's, and its fingerprint."""
    items = []
    for cohort in cohorts:
        if cohort.dataset is not None:
            text = f"{cohort.dataset.note} Read as: {cohort.dataset.preparation}."
            items.append(f"<dt>{escape(cohort.dataset.title)}</dt><dd>{escape(text.strip())}</dd>")
    return (
        '<details class="radlib-provenance"><summary>Provenance: what each copy is</summary><dl>'
        + "".join(items)
        + "</dl></details>"
    )
