"""One click below a table: every class, what a row cost, whether its probabilities can be believed, and for whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from radlib.errors import RadlibError
from radlib.evaluate import inference
from radlib.evaluate.auroc import Ranking, one_vs_rest
from radlib.evaluate.calibration import BINS, calibration
from radlib.evaluate.delong import delong
from radlib.evaluate.inference import Interval
from radlib.report import html_table, result
from radlib.report.comparison import PROTOCOL_WORDS, variants_html
from radlib.report.result import Result
from radlib.report.result_cell import measured_cell
from radlib.report.significance import label, row_note

SMALLEST = 50  # images with, and without, a class below which no subgroup is scored: ±0.1 at best
SUBGROUP_RESAMPLES = 1000


def folded(summary: str, content: str) -> str:
    """`content` (HTML) behind a line that opens it; nothing where there is nothing."""
    if not content:
        return ""
    return f'<details class="radlib-more"><summary>{escape(summary)}</summary>{content}</details>'


def per_class_html(paths: Sequence[Path], title: str) -> str:
    """AUROC of every class with DeLong's interval by patient, one line a row; `title` opens the caption."""
    found = [result.read(path) for path in paths]
    if not found:
        return ""
    names = list(found[0].per_class)
    missing = [name for name, area in found[0].per_class.items() if area is None]
    left_out = f" Not in the mean, because test has none or only such images: {', '.join(missing)}." if missing else ""
    caption = (
        f"{title}: AUROC of every class against the rest, with DeLong's 95 % interval in closed form (images of one "
        f"patient summed first), which is independent of the resampled interval of the mean.{left_out}"
    )
    lines = html_table.head(["Row", *names], caption)
    for path, each in zip(paths, found, strict=True):
        cells = [html_table.name_cell(label(each), PROTOCOL_WORDS[each.protocol])]
        intervals = _by_class(each, result.read_predictions(path)) if not each.draws else {}
        for name in names:
            cells.append(html_table.number_cell(each.per_class[name], interval=intervals.get(name)))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _by_class(found: Result, arrays: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """DeLong's interval of every class that has one."""
    truth, scores = one_vs_rest(arrays["labels"], arrays["scores"])
    intervals = {}
    for column, name in enumerate(found.per_class):
        try:
            areas = delong(truth[:, column].astype(int), scores[:, column], arrays["patients"])
        except RadlibError:  # a class that fewer than two patients have, or have not, has no variance
            continue
        intervals[name] = areas.interval(0)
    return intervals


def cost_html(results: Sequence[Result], title: str) -> str:
    """What each row cost: images encoded, seconds, parameters trained, memory; `title` opens the caption."""
    if not results:
        return ""
    caption = (
        f"{title}. Images encoded in that run (none where features lay in the cache) and the seconds it took; seconds "
        "to fit heads or to train, choice and refit included; numbers that were fitted, the chosen head's included; "
        f"largest memory while fitting. On {' and '.join(dict.fromkeys(each.device for each in results))}."
    )
    columns = ["Row", "Images encoded", "Encoding, s", "Fitting, s", "Trained parameters", "Memory, MB"]
    lines = html_table.head(columns, caption)
    for each in results:
        lines.append(
            "<tr>"
            + html_table.name_cell(label(each), row_note(each))
            + html_table.number_cell(each.seconds["images_encoded"], decimals=0)
            + html_table.number_cell(each.seconds["features"], decimals=1)
            + html_table.number_cell(each.seconds["fit"], decimals=1)
            + html_table.number_cell(each.trainable_parameters, decimals=0)
            + html_table.number_cell(each.peak_memory_mb, decimals=0)
            + "</tr>"
        )
    return "\n".join([*lines, html_table.TAIL])


def calibration_html(paths: Sequence[Path], title: str) -> str:
    """Calibration error and Brier score beside the AUROC, one line a row; `title` opens the caption."""
    if not paths:
        return ""
    caption = (
        f"{title}. ECE: mean distance of probability and frequency over {BINS} bins of equally many images, averaged "
        "over classes. Brier: mean squared error of the probabilities. Lower is better for both; neither follows from "
        "the AUROC, which sees only the order."
    )
    lines = html_table.head(["Row", "AUROC", "ECE", "Brier"], caption)
    for path in paths:
        found, arrays = result.read(path), result.read_predictions(path)
        measured = calibration(arrays["labels"], arrays["scores"])
        lines.append(
            "<tr>"
            + html_table.name_cell(label(found), PROTOCOL_WORDS[found.protocol])
            + measured_cell(found)
            + html_table.number_cell(measured.ece)
            + html_table.number_cell(measured.brier)
            + "</tr>"
        )
    return "\n".join([*lines, html_table.TAIL])


@dataclass(frozen=True)
class Subgroup:
    """AUROC among the `n` test samples of one group, over the `classes` that are frequent enough; None if none is."""

    attribute: str
    group: str
    n: int
    patients: int
    classes: int
    value: float | None
    interval: Interval | None


def subgroups(path: Path) -> list[Subgroup]:
    """The Result at `path` by sex, age band and view, as far as its predictions know them."""
    found, arrays = result.read(path), result.read_predictions(path)
    truth, scores = one_vs_rest(arrays["labels"], arrays["scores"])
    out = []
    for attribute, names in found.groups.items():
        for number, name in enumerate(names):
            here = arrays[f"group_{attribute}"] == number
            positives = truth[here].sum(axis=0)
            frequent = (positives >= SMALLEST) & (here.sum() - positives >= SMALLEST)
            patients = arrays["patients"][here]
            value = interval = None
            if frequent.any():
                ranked = Ranking(truth[here][:, frequent].astype(int), scores[here][:, frequent], patients)
                value = ranked.value
                drawn = inference.intervals({"": ranked}, resamples=SUBGROUP_RESAMPLES, seed=found.seed)
                interval = drawn[""]
            numbers = int(here.sum()), len(np.unique(patients)), int(frequent.sum())
            out.append(Subgroup(attribute, name, *numbers, value, interval))
    return out


def subgroups_html(path: Path, title: str) -> str:
    """`subgroups` as a table; a group too small to be scored is named with its n and has no number."""
    groups = subgroups(path)
    if not groups:
        return ""
    found = result.read(path)
    caption = (
        f"{title}: {label(found)}, {PROTOCOL_WORDS[found.protocol]}. A group's AUROC is the mean over the classes that "
        f"at least {SMALLEST} of its images have and {SMALLEST} have not; without any it is not given. Groups may "
        "average different classes, so compare within a line's count."
    )
    lines = html_table.head(["Group", "Images", "Patients", f"Classes of {len(found.per_class)}", "AUROC"], caption)
    for each in groups:
        interval = (each.interval.low, each.interval.high) if each.interval else None
        cells = [
            html_table.name_cell(f"{each.attribute}: {each.group}", "" if each.value else "too small to be scored")
        ]
        cells += [html_table.number_cell(n, decimals=0) for n in (each.n, each.patients, each.classes)]
        cells.append(html_table.number_cell(each.value, interval=interval))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def all_html(paths: Sequence[Path], title: str) -> str:
    """Everything above about the Results at `paths`, all of one dataset, each part behind its own line."""
    if not paths:
        return ""
    results = {path: result.read(path) for path in paths}
    whole = [path for path, found in results.items() if found.scored == "all"]
    rows = [path for path in whole if not results[path].control]
    parts = [
        folded(f"{title}: every class", per_class_html(whole, title)),
        folded(f"{title}: every test subset, and what validation chose", variants_html(list(results.values()), title)),
        folded(f"{title}: cost", cost_html([results[path] for path in rows], title)),
        folded(f"{title}: calibration", calibration_html([path for path in rows if not results[path].draws], title)),
    ]
    if rows:
        parts.append(folded(f"{title}: subgroups", subgroups_html(rows[0], title)))
    return "".join(parts)
