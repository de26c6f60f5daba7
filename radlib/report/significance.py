"""Which rows of a table differ: every row against one, on the same patients, with p corrected for the whole table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radlib.errors import RadlibError
from radlib.evaluate import inference, overlap
from radlib.evaluate.inference import Interval, holm, paired_p
from radlib.models import backbones
from radlib.models.decoders import BLOCKS
from radlib.models.segmenters import TITLES
from radlib.report import html_table, result, scoring
from radlib.report.comparison import PROTOCOL_WORDS, control_title
from radlib.report.result import Result
from radlib.report.result_cell import few_resamples, measured_cell

THRESHOLD = 0.05
FEW_PATIENTS = 10  # below these an interval over patients is clearly too narrow, see `evaluate.inference`
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
    return contrasts([(result.read(path), result.read_predictions(path)) for path in paths])


def contrasts(found: Sequence[tuple[Result, Mapping[str, np.ndarray]]]) -> list[Contrast]:
    """`against_first` of Results with their predictions."""
    if len(found) < 2:
        return []
    (reference, base), *rest = found
    for row, arrays in rest:
        if not same_images(base, arrays):
            raise RadlibError(f"{row.name} and {reference.name} were scored on other test images; run them together.")
    rest = [(row, arrays) for row, arrays in rest if _same_classes(base, arrays)]
    first = scoring.together(base)
    others = {str(k): scoring.together(arrays) for k, (_, arrays) in enumerate(rest)}
    resamples, seed = reference.interval.resamples, reference.seed
    drawn = inference.resampled({"reference": first, **others}, resamples=resamples, seed=seed)
    ps = {name: paired_p(others[name], first, seed=seed)
          for name, (_, arrays) in zip(others, rest, strict=True) if same_truth(base, arrays)}  # fmt: skip
    corrected = holm(ps)
    return [
        Contrast(row, reference, others[name].value - first.value,
                 inference.percentiles(drawn[:, k] - drawn[:, 0], resamples), ps.get(name), corrected.get(name))
        for k, (name, (row, _)) in enumerate(zip(others, rest, strict=True), 1)
    ]  # fmt: skip


def same_images(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two Results' predictions are of the same test images with the same labels, or cases, and patients."""
    names = ("rows", "labels", "patients") if "labels" in one else ("rows", "cases", "patients")
    return all(name in other and np.array_equal(one[name], other[name]) for name in names)


def same_truth(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two Results of the same test images have the same truth: masks of another size have not."""
    return "counts" not in one or np.array_equal(_true_pixels(one), _true_pixels(other))


def _same_classes(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether true masks of two sizes hold the same classes."""
    return "counts" not in one or np.array_equal(_true_pixels(one).any(axis=0), _true_pixels(other).any(axis=0))


def _true_pixels(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, K) true pixels of each test image and class."""
    counts = arrays["counts"]
    return counts.reshape(-1, *counts.shape[-3:])[0][..., overlap.TRUE]


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
    least = 2 / 2**reference.n_patients  # see `inference.paired_p`
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
    """What an interval over `n` patients, fewer than ten, is worth; the shares are `evaluate.inference`'."""
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
