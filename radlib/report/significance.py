"""Which rows of a table differ: every row against one, on the same patients, with p corrected for the whole table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radlib.errors import RadlibError
from radlib.evaluate import bootstrap, overlap, overlap_intervals
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.bootstrap import Interval
from radlib.evaluate.permutation import holm, paired_p
from radlib.models import backbones
from radlib.models.decoders import BLOCKS
from radlib.models.segmenters import TITLES
from radlib.report import html_table, result
from radlib.report.comparison import PROTOCOL_WORDS, control_title
from radlib.report.result import Result
from radlib.report.result_cell import few_resamples, measured_cell

THRESHOLD = 0.05
FEW_PATIENTS = 10  # below these an interval over patients is clearly too narrow, see `evaluate.overlap_intervals`
TOO_FEW = "too few patients"
SIGNS = {"better": "▲", "worse": "▼", "not told apart": "≈"}


@dataclass(frozen=True)
class Contrast:
    """One row less the reference row: difference, its interval over the same resamples, p, and p after Holm.

    p is None for masks of another size than the reference's, whose pixels cannot change places.
    """

    row: Result
    reference: Result
    difference: float
    interval: Interval
    p: float | None
    p_holm: float | None

    @property
    def word(self) -> str:
        """``better`` or ``worse`` where the corrected p is below 0.05, else ``not told apart``; "" without p.

        Masks of so few patients that no p could be below it are neither: ``too few patients``.
        """
        if self.p_holm is None:
            return ""
        if self.p_holm >= THRESHOLD:
            return TOO_FEW if too_few(self.reference) else "not told apart"
        return "better" if self.difference > 0 else "worse"


def against_first(paths: Sequence[Path]) -> list[Contrast]:
    """Every other Result of `paths` against the first, all of the same test images.

    Of masks, rows in which another size left other classes than in the first are passed over.
    Raises RadlibError for predictions that are not those of their Result, or of other test images than the first's.
    """
    if len(paths) < 2:
        return []
    found = [(result.read(path), result.read_predictions(path)) for path in paths]
    (reference, base), rest = found[0], found[1:]
    for row, arrays in rest:
        if not same_images(base, arrays):
            raise RadlibError(f"{row.name} and {reference.name} were scored on other test images; run them together.")
    if reference.masks is not None:
        return mask_contrasts(found)
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


def mask_contrasts(found: Sequence[tuple[Result, Mapping[str, np.ndarray]]]) -> list[Contrast]:
    """`against_first` of segmenters: Results with their predictions, `counts` (n, K, 3) of the same test images."""
    reference, base = found[0]
    present = base["counts"][..., overlap.TRUE].any(axis=0)
    rows = {str(k): (row, arrays["counts"]) for k, (row, arrays) in enumerate(found)
            if np.array_equal(arrays["counts"][..., overlap.TRUE].any(axis=0), present)}  # fmt: skip
    drawn = overlap_intervals.resampled(
        {name: counts for name, (_, counts) in rows.items()}, base["patients"], base["cases"],
        resamples=reference.interval.resamples, seed=reference.seed,
    )  # fmt: skip
    others = {name: row for name, (row, _) in rows.items() if name != "0"}
    ps = {
        name: overlap_intervals.paired_p(rows[name][1], base["counts"], base["patients"], seed=reference.seed)
        for name in others
        if same_truth(base, {"counts": rows[name][1]})
    }
    corrected = holm(ps) if ps else {}
    return [
        Contrast(row, reference, row.value - reference.value,
                 overlap_intervals.paired_differences(drawn, name, "0").score, ps.get(name), corrected.get(name))
        for name, row in others.items()
    ]  # fmt: skip


def same_images(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two Results' predictions are of the same test images with the same labels, or cases, and patients."""
    names = ("rows", "labels", "patients") if "labels" in one else ("rows", "cases", "patients")
    return all(name in other and np.array_equal(one[name], other[name]) for name in names)


def same_truth(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two segmenters were counted, in their (…, n, K, 3) `counts`, on the same true masks at the same size."""
    truths = [each["counts"].reshape(-1, *each["counts"].shape[-3:])[0][..., overlap.TRUE] for each in (one, other)]
    return np.array_equal(*truths)


def comparable(paths: Sequence[Path], protocols: Sequence[str]) -> list[Path]:
    """Those of `paths`, all of the same data, that one table compares: one of `protocols`, all test images, no repeated
    draws, no control. Ordered by protocol, then as Table 2, so that the first is a DINOv2 where there is one; of one
    backbone the smallest image first. Segmenters that were trained without some patients are rows of their own.
    """
    order = {name: place for place, name in enumerate(backbones.names())}
    kept: list[tuple[tuple[object, ...], Path]] = []
    for path in paths:
        found = result.read(path)
        if found.protocol in protocols and found.scored == "all" and not found.draws and not found.control:
            place = order.get(found.backbone.id, len(order))
            size = found.backbone.image_size if found.masks else 0
            kept.append(((list(protocols).index(found.protocol), place, size, found.left_out), path))
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
    exchanged = "patients' scores" if reference.masks is None else "patients' masks"
    caption = (
        f"each row less {label(reference)} ({reference.value:.3f}), on the same "
        f"{reference.n_images:,} test {'images' if reference.unit == 'image' else 'studies'} of "
        f"{reference.n_patients} patients. Intervals over resampled patients; p by exchanging {exchanged}, after "
        f"Holm over this table; only p below {THRESHOLD} is called a difference. This test set can tell apart models "
        f"that differ by about {apart:.3f}.{few_resamples(reference)}{_mask_words(contrasts)}"
    )
    metric = "AUROC" if reference.masks is None else "Score"
    lines = html_table.head(["Row", metric, "Difference", "p", "p, Holm", "Finding"], caption, title)
    for each in contrasts:
        sign = SIGNS.get(each.word, "")
        interval = (each.interval.low, each.interval.high)
        lines.append(
            "<tr>"
            + html_table.name_cell(label(each.row), row_note(each.row))
            + measured_cell(each.row)
            + html_table.difference_cell(each.difference, sign, interval)
            + html_table.number_cell(each.p, decimals=4)
            + html_table.number_cell(each.p_holm, decimals=4)
            + html_table.text_cell(each.word)
            + "</tr>"
        )
    return "\n".join([*lines, html_table.TAIL])


def _mask_words(contrasts: Sequence[Contrast]) -> str:
    """What few patients, and masks of several sizes, keep a table of segmenters from saying."""
    reference = contrasts[0].reference
    if reference.masks is None:
        return ""
    words = ""
    tested = sum(each.p is not None for each in contrasts)
    if tested < len(contrasts):
        words += " Masks of another size than that row's cannot change places with its own: no p, only the interval."
    least = 2 / 2**reference.n_patients  # see `overlap_intervals.paired_p`
    if tested and least * tested >= THRESHOLD:
        words += (
            f" Exchanging {reference.n_patients} patients gives no p below {least:.3g}"
            f"{f', after Holm {min(1, least * tested):.3g}' if tested > 1 else ''}: no difference can be called here."
        )
    return words + (f" {few_patients(reference.n_patients)}" if too_few(reference) else "")


def too_few(found: Result) -> bool:
    """Whether masks are of so few patients that their interval, which is then too narrow, earns no verdict."""
    return found.masks is not None and found.n_patients < FEW_PATIENTS


def few_patients(n: int) -> str:
    """What an interval over `n` patients, fewer than ten, is worth; the shares are `evaluate.overlap_intervals`'."""
    return (
        f"An interval over {n} patients is too narrow: in simulations a 95 % interval held the truth in 0.79 of "
        "cohorts of 4 patients and in 0.89 of cohorts of 10."
    )


def row_note(found: Result) -> str:
    """What stands small below a row's name."""
    return PROTOCOL_WORDS[found.protocol] if found.masks is None else how_in_words(found)


def how_in_words(found: Result) -> str:
    """Length and material of a segmenter's training, e.g. ``20 + 40 epochs``."""
    said = found.hyperparameters
    words = f"{said['epochs']} + {said['refit_epochs']} epochs"
    if said.get("loss", "dice") != "dice":  # soft Dice is the paper's
        words += f", {said['loss']}"
    if most := said.get("train_images"):
        words += f", {most} training images at most"
    if views := said.get("views"):
        words += f", {views} turned views"
    return words + (f", without {', '.join(found.left_out)}" if found.left_out else "")


def label(found: Result, sized: bool = True) -> str:
    """A row's name in a sentence; of a segmenter with its decoder and, where `sized`, its image size."""
    if found.masks is not None:
        decoder = f", {TITLES[found.protocol]}" if found.protocol in BLOCKS else ""
        return f"{found.backbone.called}{decoder}{f', {found.backbone.image_size} px' if sized else ''}"
    return control_title(found) if found.control else found.backbone.called


def few_shot_series(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """`results` by row, each row over its numbers of shots, with the row's label."""
    series: dict[tuple[object, ...], list[Result]] = {}
    for found in results:
        row = found.backbone
        key = found.protocol, row.id, row.weights_sha256, row.image_size, found.left_out, found.seed
        series.setdefault(key, []).append(found)
    return [(label(mine[0]), mine) for mine in series.values()]
