"""One click below a table of segmenters: every class, image and scan, distances, what validation chose, and cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radlib.evaluate import overlap
from radlib.report import html_table, result
from radlib.report.breakdown import cost_html, folded
from radlib.report.result import Result
from radlib.report.result_cell import measured_cell
from radlib.report.significance import label, row_note


def all_html(paths: Sequence[Path], title: str) -> str:
    """Everything below about the Results at `paths`, all of one dataset, each part behind its own line."""
    found = [record for record in map(result.read, paths) if record.masks and not record.draws]
    if not found:
        return ""
    return "".join(
        [
            folded(f"{title}: every class", per_class_html(found, title)),
            folded(f"{title}: Dice by {_case(found[0])}", per_case_html(paths, title)),
            folded(f"{title}: every test scan", scans_html(found, title)),
            folded(f"{title}: distance of outlines", distances_html(found, title)),
            folded(f"{title}: what validation chose", chosen_html(found, title)),
            folded(f"{title}: cost", cost_html(found, title)),
        ]
    )


def per_class_html(found: Sequence[Result], title: str) -> str:
    """Pooled Dice and Jaccard and mean Dice per case of every class, a line a row and class."""
    absent = sorted({name for each in found if each.masks for name in each.masks.absent})
    without = f" No true test mask holds {', '.join(absent)}: not scored." if absent else ""
    lines = html_table.head(
        ["Row", "Class", "Pooled Dice", "Pooled Jaccard", f"Mean Dice per {_case(found[0])}"],
        f"{title}. Pooled: from all test pixels together, so that large cases weigh more. The mean is over the cases "
        f"whose true or predicted mask has the class; a missed or invented one counts as 0.{without}",
    )
    for each in found:
        assert each.masks is not None
        for name in each.masks.dice:
            cells = html_table.name_cell(label(each), row_note(each)) + html_table.text_cell(name)
            for values in (each.masks.dice, each.masks.jaccard, each.masks.case_dice_per_class):
                cells += html_table.number_cell(values[name])
            lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def per_case_html(paths: Sequence[Path], title: str) -> str:
    """Mean Dice per case with its interval beside the score of all pixels, and how the cases spread."""
    lines = html_table.head(
        ["Row", "Score, all pixels", "Mean Dice per case", "Lowest", "Median", "Highest", "Cases", "Empty"],
        f"{title}. A case's Dice is the mean over the classes it has; every case weighs the same. Intervals over "
        "patients; lowest, median and highest are cases, not intervals. Empty: nothing to find and nothing found, "
        "left out.",
    )
    for path in paths:
        found = result.read(path)
        if found.masks is None or found.draws:
            continue
        arrays = result.read_predictions(path)
        means = overlap.class_mean(overlap.per_case_dice(arrays["counts"], arrays["cases"]))
        spread = np.nanquantile(means, [0, 0.5, 1])
        masks, interval = found.masks, found.masks.case_interval
        cells = [
            html_table.name_cell(label(found), row_note(found)),
            measured_cell(found),
            html_table.number_cell(masks.case_dice, interval=(interval.low, interval.high)),
            *(html_table.number_cell(float(value)) for value in spread),
            html_table.number_cell(masks.cases, decimals=0),
            html_table.number_cell(masks.cases_empty, decimals=0),
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def scans_html(found: Sequence[Result], title: str) -> str:
    """Dice of every test scan, mean over the classes it has; nothing for datasets of single images."""
    scans = list(dict.fromkeys(name for each in found if each.masks for name in each.masks.by_scan))
    if not scans:
        return ""
    lines = html_table.head(
        ["Row", *scans], f"{title}: Dice of every test scan, all its slices together, mean over the classes it has."
    )
    for each in found:
        assert each.masks is not None
        cells = html_table.name_cell(label(each), row_note(each))
        for name in scans:
            known = [value for value in each.masks.by_scan.get(name, {}).values() if value is not None]
            cells += html_table.number_cell(float(np.mean(known)) if known else None)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def distances_html(found: Sequence[Result], title: str) -> str:
    """95th percentile of the distance of outlines in mm, with how many were missed; nothing without a spacing."""
    known = [each for each in found if each.masks and each.masks.hd95_mm]
    if not known:
        return ""
    names = list(known[0].masks.hd95_mm) if known[0].masks else []
    lines = html_table.head(
        ["Row", *names],
        f"{title}: 95th percentile of the Hausdorff distance in mm, in the scan's own voxels; mean over the test scans "
        "in which truth and prediction have the class. In brackets: scans in which only one of them has it, so that "
        "there is no distance.",
    )
    for each in known:
        assert each.masks is not None
        cells = html_table.name_cell(label(each), row_note(each))
        for name in names:
            missed = each.masks.hd95_missed.get(name, 0)
            note = f"({missed} missed or invented)" if missed else ""
            value = each.masks.hd95_mm[name]
            cells += html_table.number_cell(value, note, decimals=1)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def chosen_html(found: Sequence[Result], title: str) -> str:
    """Validation score of every learning rate, the chosen one marked, a line a row."""
    rates = sorted({float(str(one["learning_rate"])) for each in found for one in each.candidates})
    lines = html_table.head(
        ["Row", *(f"{rate:g}" for rate in rates)],
        f"{title}: score on the validation split by learning rate; ✓ the chosen one, with which train and validation "
        "were fitted anew. A rate alone is not tried on validation.",
    )
    for each in found:
        scores = {float(str(one["learning_rate"])): one.get("score") for one in each.candidates}
        cells = html_table.name_cell(label(each), row_note(each))
        for rate in rates:
            score = scores.get(rate)
            mark = "✓" if each.chosen.get("learning_rate") == rate else ""
            diverged = "diverged" if rate in scores and score is None and len(scores) > 1 else ""
            value = score if isinstance(score, float) else None
            note = " ".join(word for word in (mark, diverged) if word)
            cells += html_table.number_cell(value, note)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _case(found: Result) -> str:
    return found.masks.case if found.masks else "image"
