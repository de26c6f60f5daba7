"""The paper's claims in words, as data, and what its own numbers say of each."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from radlib import paper

Expects = Literal["higher", "clearly higher", "not lower", "lower", "similar"]
Word = Literal["supported", "partly", "not supported", "no numbers"]
Key = tuple[tuple[str, str | int], ...]  # sorted columns that single out a row of a table
Value = Callable[[str, str, Key], float | None]  # table, dataset, row -> its number, if there is one

MARGIN = 0.01
"""What "on par", "similar" and "clearly" mean. The test sets' own intervals are ±0.01 at best (NIH Chest X-ray, one
label) and several times that on the small ones, so a smaller difference is not one the paper could have seen."""


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
    """The number that the paper prints in `table` for `row` and `dataset`; None where it prints none."""
    if table not in paper.TABLES:
        return None
    rows = paper.table(table)
    rows = rows[rows["dataset"] == dataset]
    for column, wanted in row:
        rows = rows[rows[column] == wanted]
    column = "score" if "score" in rows else "auroc"
    return float(rows[column].iloc[0]) if len(rows) == 1 else None


def judge(claim: Claim, value: Value = printed) -> Verdict:
    """What the numbers of `value`, by default the paper's own, say of `claim`.

    ``supported``: every comparison (or those on `of_datasets` columns) is as expected. ``partly``: some are.
    ``no numbers``: a row is missing.
    """
    found = compare(claim, value)
    if found is None:
        return Verdict("no numbers", (), "The paper shows this in a figure and prints no number.")
    held = [comparison for comparison in found if claim.holds(comparison.difference)]
    by_dataset = {
        dataset: all(claim.holds(each.difference) for each in found if each.dataset == dataset)
        for dataset in claim.datasets
    }
    enough = claim.of_datasets or len(claim.datasets)
    word: Word = "supported" if sum(by_dataset.values()) >= enough else "partly" if held else "not supported"
    return Verdict(word, found, _sentence(claim, found))


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
    return (
        f"{held} of {len(found)} comparisons are as claimed; the one furthest from it, on {_titles()[worst.dataset]}: "
        f"{name(worst.subject)} {one:.3f}, {name(worst.other)} {other:.3f} ({worst.difference:+.3f})."
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
