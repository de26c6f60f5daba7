"""The paper's claims in words, as data, and what its own numbers say of each."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from radlib import paper

Expects = Literal["higher", "clearly higher", "not lower", "lower", "similar"]
Word = Literal["supported", "partly", "not supported", "no numbers"]
Key = tuple[tuple[str, str | int], ...]  # sorted columns that single out a row of a table
Value = Callable[[str, str, Key], float | None]  # table, dataset, row -> its number, if there is one

MARGIN = 0.01
"""What "on par", "similar" and "clearly" mean: a convention, since the paper gives no intervals.

It is the size of the 95 % half width of one finding's AUROC by Hanley and McNeil's formula (Radiology 1982): of 0.76 on
NIH Chest X-ray's 25,596 test images ±0.008 with 6,000 positives and ±0.06 with 90; of 0.82 on CheXpert's 518 ±0.04 with
150. A mean over findings, or a paired difference on the same images, may be sharper. Dice and Jaccard share the figure
for want of a better one."""


NO_NUMBER = "The paper shows this in a figure and prints no number."


@dataclass(frozen=True)
class Claim:
    """One claim; see the head of ``claims.toml`` for what the fields mean."""

    id: str
    where: str
    says: str
    table: str
    datasets: tuple[str, ...]
    subject: tuple[Key, ...]
    against: tuple[Key, ...]
    expects: Expects
    subject_pick: Literal["each", "best"] = "each"
    within: tuple[Key, ...] = ((),)
    margin: float = MARGIN
    of_datasets: int | None = None

    @property
    def names_datasets(self) -> bool:
        """Whether the claim speaks of some of its table's datasets and of no others."""
        if self.table not in paper.TABLES or "dataset" not in (rows := paper.table(self.table)):
            return False
        return set(self.datasets) < set(rows["dataset"])

    def holds(self, difference: float) -> bool:
        """Whether one difference, subject less the other, is what the claim expects."""
        rounded = round(difference, 6)  # 0.763 - 0.753 is not 0.01 in binary
        return {
            "higher": rounded > 0,
            "clearly higher": rounded > self.margin,
            "not lower": rounded >= -self.margin,
            "lower": rounded < 0,
            "similar": abs(rounded) <= self.margin,
        }[self.expects]


@dataclass(frozen=True)
class Comparison:
    """Two rows of one dataset that a claim compares."""

    dataset: str
    subject: Key
    other: Key
    difference: float
    values: tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """What numbers say of a claim: `word`, the comparisons behind it, and a sentence."""

    word: Word
    comparisons: tuple[Comparison, ...]
    sentence: str


@cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the paper's order of tables."""
    content = tomllib.loads(files(paper).joinpath("claims.toml").read_text(encoding="utf-8"))
    return tuple(_claim(entry) for entry in content["claim"])


def _claim(entry: dict[str, object]) -> Claim:
    fields = dict(entry)
    for name in ("subject", "against", "within"):
        if name in fields:
            fields[name] = tuple(key(row) for row in fields[name])  # type: ignore[attr-defined]
    fields["datasets"] = tuple(fields["datasets"])  # type: ignore[arg-type]
    assert fields["expects"] in get_args(Expects)
    return Claim(**fields)  # type: ignore[arg-type]


def key(row: Mapping[str, str | int]) -> Key:
    """The columns of `row` in a fixed order."""
    return tuple(sorted(row.items()))


def printed(table: str, dataset: str, row: Key) -> float | None:
    """The number that the paper prints in `table` for `row` and `dataset`; None where it prints none.

    A score or AUROC, 0 to 1; of ``table03``, which has no datasets, the trainable parameters in millions.
    """
    if table not in paper.TABLES:
        return None
    rows = paper.table(table)
    if "dataset" in rows:
        rows = rows[rows["dataset"] == dataset]
    for column, wanted in row:
        rows = rows[rows[column] == wanted]
    if len(rows) != 1:
        return None
    if table == "table03":
        text = str(rows["trainable"].iloc[0])
        count = float(text.replace(",", "").rstrip("M"))
        return count if text.endswith("M") else count / 1e6
    return float(rows["score" if "score" in rows else "auroc"].iloc[0])


def judge(claim: Claim, value: Value = printed) -> Verdict:
    """What the numbers of `value`, by default the paper's own, say of `claim`.

    ``supported``: every comparison (or those on `of_datasets` columns) is as expected. ``partly``: some are.
    ``no numbers``: one that the claim compares is missing. Where the best of several rows spoke and asking each would
    end otherwise, the sentence says how.
    """
    found = compare(claim, value)
    if found is None:
        figure = claim.table not in paper.TABLES and value is printed
        return Verdict("no numbers", (), NO_NUMBER if figure else "Not every number that this compares is at hand.")
    word, sentence = _word(claim, found), _sentence(claim, found)
    if claim.subject_pick == "best":
        each = replace(claim, subject_pick="each")
        all_rows = compare(each, value) or ()
        if (other := _word(each, all_rows)) != word:
            held = sum(claim.holds(comparison.difference) for comparison in all_rows)
            sentence += (
                f" Asked of every such row, not of the best on each dataset: {other}, {held} of {len(all_rows)}."
            )
    return Verdict(word, found, sentence)


def _word(claim: Claim, found: Sequence[Comparison]) -> Word:
    held = [comparison for comparison in found if claim.holds(comparison.difference)]
    by_dataset = {
        dataset: all(claim.holds(each.difference) for each in found if each.dataset == dataset)
        for dataset in claim.datasets
    }
    enough = claim.of_datasets or len(claim.datasets)
    return "supported" if sum(by_dataset.values()) >= enough else "partly" if held else "not supported"


def compare(claim: Claim, value: Value) -> tuple[Comparison, ...] | None:
    """Every comparison that `claim` makes, or None where `value` lacks one of its numbers."""
    found = []
    for dataset in claim.datasets:
        for part in claim.within:
            ours = [(row, value(claim.table, dataset, _joined(row, part))) for row in claim.subject]
            theirs = [(row, value(claim.table, dataset, _joined(row, part))) for row in claim.against]
            known = [(row, number) for row, number in ours if number is not None]
            others = [(row, number) for row, number in theirs if number is not None]
            if len(known) < len(ours) or len(others) < len(theirs):
                return None
            if claim.subject_pick == "best":
                known = [max(known, key=lambda pair: pair[1])]
            for row, number in known:
                for other, its in others:
                    rows = _joined(row, part), _joined(other, part)
                    found.append(Comparison(dataset, *rows, round(number - its, 6), (number, its)))
    return tuple(found)


def _joined(row: Key, part: Key) -> Key:
    return tuple(sorted({**dict(row), **dict(part)}.items()))


def _sentence(claim: Claim, found: Sequence[Comparison]) -> str:
    """How many comparisons are as claimed, and the one furthest from the claim."""
    held = sum(claim.holds(comparison.difference) for comparison in found)
    if claim.expects == "similar":
        worst = max(found, key=lambda comparison: abs(comparison.difference))
    else:
        sign = -1 if claim.expects == "lower" else 1
        worst = min(found, key=lambda comparison: sign * comparison.difference)
    one, other = worst.values
    on = f", on {_titles()[worst.dataset]}" if worst.dataset else ""
    form, unit = (".0f", "M") if claim.table == "table03" else (".3f", "")
    return (
        f"{held} of {len(found)} comparisons are as claimed; the one furthest from it{on}: "
        f"{name(worst.subject)} {one:{form}}{unit}, {name(worst.other)} {other:{form}}{unit} "
        f"({worst.difference:+{form}}{unit})."
    )


@cache
def _titles() -> dict[str, str]:
    """What the paper calls backbones and datasets."""
    rows = [*paper.table("table02").to_dict("records"), *paper.table("table10").to_dict("records")]
    found = {str(row["backbone"]): f"{row['method']} {row['architecture']}" for row in rows}
    return found | dict(paper.table("table01").set_index("dataset")["title"])


def name(row: Key) -> str:
    """A row in words, e.g. ``DINOv2 ViT-L/14, knn``."""
    units = {"shots": "{} patients a class", "image_size": "{} px"}
    return ", ".join(
        units.get(column, "{}").format(_titles().get(str(value), str(value).replace("_", " "))) for column, value in row
    )
