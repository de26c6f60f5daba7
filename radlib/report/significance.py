"""Which rows of a table differ: every row against one, on the same patients, with p corrected for the whole table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from radlib.errors import RadlibError
from radlib.evaluate import bootstrap
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.bootstrap import Interval
from radlib.evaluate.permutation import holm, paired_p
from radlib.models import backbones
from radlib.report import html_table, result
from radlib.report.comparison import PROTOCOL_WORDS, control_title, few_resamples
from radlib.report.result import Result

THRESHOLD = 0.05


@dataclass(frozen=True)
class Contrast:
    """One row less the reference row: AUROC difference, its interval over the same resamples, p, and p after Holm."""

    row: Result
    reference: Result
    difference: float
    interval: Interval
    p: float
    p_holm: float

    @property
    def word(self) -> str:
        """``better`` or ``worse`` where the corrected p is below 0.05, else ``not told apart``."""
        if self.p_holm >= THRESHOLD:
            return "not told apart"
        return "better" if self.difference > 0 else "worse"


def against_first(paths: Sequence[Path]) -> list[Contrast]:
    """Every other Result of `paths` against the first, all of the same test images.

    Raises RadlibError for predictions that are not those of their Result, or of other test images than the first's.
    """
    if len(paths) < 2:
        return []
    found = [(result.read(path), result.read_predictions(path)) for path in paths]
    (reference, base), rest = found[0], found[1:]
    for row, arrays in rest:
        if not same_images(base, arrays):
            raise RadlibError(f"{row.name} and {reference.name} were scored on other test images; run them together.")
    labels, patients = base["labels"], base["patients"]
    columns = {str(k): arrays["scores"] for k, (_, arrays) in enumerate(found)}
    draws = bootstrap.resampled_aurocs(
        labels, columns, patients, resamples=reference.interval.resamples, seed=reference.seed
    )
    differences, intervals, ps = {}, {}, {}
    for k in range(1, len(found)):
        differences[str(k)] = macro_auroc(labels, columns[str(k)]) - macro_auroc(labels, columns["0"])
        intervals[str(k)] = bootstrap.percentiles(draws[:, k] - draws[:, 0], reference.interval.resamples)
        ps[str(k)] = paired_p(labels, columns[str(k)], columns["0"], patients, seed=reference.seed)
    corrected = holm(ps)
    return [
        Contrast(row, reference, differences[str(k)], intervals[str(k)], ps[str(k)], corrected[str(k)])
        for k, (row, _) in enumerate(rest, 1)
    ]


def same_images(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two Results' predictions are of the same test images with the same labels and patients."""
    return all(np.array_equal(one[name], other[name]) for name in ("rows", "labels", "patients"))


def comparable(paths: Sequence[Path], dataset: str, protocols: Sequence[str]) -> list[Path]:
    """Those of `paths` that one table compares: of `dataset` (its id, or its title for folders of the reader's), one of
    `protocols`, all test images, no repeated draws, no control. Ordered by protocol, then as Table 2, so that the first
    is a DINOv2 where there is one.
    """
    order = {name: place for place, name in enumerate(backbones.names())}
    kept: list[tuple[tuple[int, int], Path]] = []
    for path in paths:
        found = result.read(path)
        here = dataset in (found.data.dataset, found.data.title)
        if here and found.protocol in protocols and found.scored == "all" and not found.draws and not found.control:
            place = order.get(found.backbone.id, len(order))
            kept.append(((list(protocols).index(found.protocol), place), path))
    return [path for _, path in sorted(kept, key=lambda pair: pair[0])]


def resolution(contrasts: Sequence[Contrast]) -> float | None:
    """About how far two rows must differ to be told apart here: the median half width of the paired intervals.

    A backbone of random weights is left out where there are others: it resembles none of them, so its interval is wide.
    """
    trained = [each for each in contrasts if each.row.backbone.id != "vits14_random"] or contrasts
    if not trained:
        return None
    return float(np.median([(each.interval.high - each.interval.low) / 2 for each in trained]))


def table_html(contrasts: Sequence[Contrast], title: str) -> str:
    """The contrasts as a table; `title` opens its caption and says whose images these are."""
    if not contrasts:
        return ""
    reference = contrasts[0].reference
    apart = resolution(contrasts)
    caption = (
        f"{title}: each row less {label(reference)} ({reference.value:.3f}), on the same "
        f"{reference.n_images:,} test {'images' if reference.unit == 'image' else 'studies'} of "
        f"{reference.n_patients} patients. Intervals over resampled patients; p by exchanging patients' scores, after "
        f"Holm over this table; only p below {THRESHOLD} is called a difference. This test set can tell apart models "
        f"that differ by about {apart:.3f}.{few_resamples(reference)}"
    )
    lines = html_table.head(["Row", "AUROC", "Difference", "p", "p, Holm", "Finding"], caption)
    for each in contrasts:
        kind = {"better": "diff-up", "worse": "diff-down"}.get(each.word, "diff-same")
        symbol = {"better": "▲", "worse": "▼"}.get(each.word, "≈")
        interval = f'<span class="interval">[{each.interval.low:+.3f}, {each.interval.high:+.3f}]</span>'
        lines.append(
            "<tr>"
            + html_table.name_cell(label(each.row), PROTOCOL_WORDS[each.row.protocol])
            + html_table.number_cell(each.row.value)
            + f'<td class="num {kind}" data-v="{each.difference}">{symbol} {each.difference:+.3f} {interval}</td>'
            + html_table.number_cell(each.p, decimals=4)
            + html_table.number_cell(each.p_holm, decimals=4)
            + f'<td class="text">{escape(each.word)}</td></tr>'
        )
    return "\n".join([*lines, html_table.TAIL])


def label(found: Result) -> str:
    """A row's name in a sentence."""
    return control_title(found) if found.control else found.backbone.title
