"""What several pages show of their Results, dataset by dataset."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd
import torch

from radlib.models import adapters, backbones
from radlib.report import breakdown, html_table, mask_breakdown, result, significance
from radlib.report.result import ORIGIN_WORDS, DataUsed, Result
from radlib.report.result_cell import measured_cell


def by_data(paths: Sequence[Path]) -> list[tuple[DataUsed, list[Path]]]:
    """`paths` of Results grouped by the data they were measured on, in order of first appearance."""
    results = {path: result.read(path) for path in paths}
    return [
        (data, [path for path in paths if results[path].data.key == data.key])
        for data in result.datasets(results.values())
    ]


def whose(found: Result, title: str = "") -> str:
    """Whose images a Result is of, for a caption, e.g. ``Brain Tumor, stand-in data``; `title` instead of its own."""
    words = "real images, not the paper's" if _is_published_own(found) else ORIGIN_WORDS[found.data.origin]
    return f"{title or found.data.title}, {words}"


def _is_published_own(found: Result) -> bool:
    path = result.PUBLISHED / found.table / f"{found.name}.json"
    return found.data.origin == "own" and path.is_file() and result.read(path) == found


def differences_html(paths: Sequence[Path], groups: Sequence[Sequence[str]]) -> str:
    """For each dataset of `paths` and each of `groups` of protocols: every row against the group's first."""
    parts = []
    for data, mine in by_data(paths):
        for protocols in groups:
            compared = significance.comparable(mine, protocols)
            contrasts = significance.against_first(compared)
            if contrasts:
                parts.append(significance.table_html(contrasts, whose(contrasts[0].reference)))
            left = len(compared) - 1 - len(contrasts)
            if left > 0:
                parts.append(
                    f"<p>{left} of {escape(data.title)}'s rows cannot be compared: at their image size other classes "
                    "are left in the masks.</p>"
                )
    return "".join(parts)


def inside_html(paths: Sequence[Path]) -> str:
    """For each dataset of `paths`, folded: classes, subsets, cost, calibration and subgroups, or those of masks."""
    parts = []
    for _, mine in by_data(paths):
        first = result.read(mine[0])
        inside = mask_breakdown.all_html if first.masks else breakdown.all_html
        parts.append(inside(mine, whose(first)))
    return "".join(parts)


def shots_html(paths: Sequence[Path], title: str) -> str:
    """Few-shot Results of one dataset: mean over draws with its interval, and the draws' range apart from it."""
    found = [record for record in map(result.read, paths) if record.scored == "all"]
    shots = [*sorted({record.shots for record in found if record.shots}), None]
    repeats = max(len(record.draws) or 1 for record in found)
    of_masks = found[0].masks is not None
    by = "training images" if of_masks else "training patients a class"
    mean, luck = "with ", ""
    if repeats > 1:
        whose_luck = "training images'" if of_masks else "training patients'"
        mean = f"mean of {repeats} draws with "
        luck = f"; below it the least and the greatest draw, which tell of the {whose_luck} luck alone"
    lines = html_table.head(
        ["Row", *("All" if n is None else str(n) for n in shots)],
        f"{found[0].metric} by number of {by}, {mean}its 95 % interval over test patients{luck}.",
        title,
    )
    for name, series in significance.few_shot_series(found):
        mine = {record.shots: record for record in series}
        note = significance.row_note(mine.get(None) or next(iter(mine.values()))) if of_masks else "linear probe"
        cells = [html_table.name_cell(name, note), *(_shots_cell(mine.get(n)) for n in shots)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _shots_cell(found: Result | None) -> str:
    return measured_cell(found, f"{min(found.draws):.3f}–{max(found.draws):.3f}" if found and found.draws else "")


def trained_html(name: str, printed: pd.DataFrame) -> str:
    """What each method trains of backbone `name`, counted without its weights, beside what Table 8 prints of it."""
    spec = backbones.spec(name)
    lines = html_table.head(
        ["Method", "Paper", "Counted", "Share"],
        f"Trained parameters of {spec.title}; the frozen row's are those of one output read from one class token. A "
        "larger head, of more outputs or inputs, adds the same to every row.",
    )
    whole = backbones.count_parameters(name)
    words = printed.drop_duplicates("protocol").set_index("protocol")
    counts = {"linear_probe": spec.width + 1} | {method: _trained(spec, method) for method in adapters.METHODS}
    for protocol, count in sorted(counts.items(), key=lambda pair: pair[1]):
        cells = html_table.name_cell(words["method"][protocol], protocol)
        cells += html_table.printed_cell(words["trainable"][protocol], words["share"][protocol])
        cells += html_table.number_cell(count, decimals=0)
        cells += html_table.number_cell(count / whole, shown=f"{count / whole:.2g}")
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _trained(spec: backbones.BackboneSpec, method: adapters.Method) -> int:
    import timm

    with torch.device("meta"):
        module = timm.create_model(spec.timm_name, num_classes=0).requires_grad_(False)
        return adapters.trainable_parameters(adapters.adapt(backbones.Backbone(spec, module, 0, "none"), method))
