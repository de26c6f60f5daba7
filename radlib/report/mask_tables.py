"""What the pages of segmentation show: the paper's score of a row, and what was measured, with how it was measured."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from radlib.models import backbones, segmenters
from radlib.report import comparison, result, significance
from radlib.report.account import SAID_OF_ORIGIN, with_interval
from radlib.report.blocks import by_data
from radlib.report.comparison import NOT_PRINTED, Row
from radlib.report.mask_experiment import PAPER_SIZE
from radlib.report.result import DataUsed, Result

METRIC = "mean of Dice and Jaccard over foreground classes, all pixels together,"
OTHER = "another encoder under the same decoder"


def rows(printed: pd.DataFrame, data: DataUsed, published: list[Result], this_run: list[Result]) -> list[Row]:
    """Rows of `data`: the paper's in its order, below each what was measured of it, then the rest.

    `printed` is the paper's Table 6, 7 or 9. A network from scratch, or the paper's encoder and decoder, is the paper's
    row. Another encoder that began as DINOv2 stands beside the paper's first DINOv2 row of the same segmenter and,
    where the table tells sizes apart, size; encoders of other kinds stand at the end, without a number of the paper.
    Results of other data are left out (see `DataUsed.is_comparable` for the published ones).
    """
    dataset, sized = data.dataset, "image_size" in printed
    ours = _groups(data, published, this_run, sized)
    out: list[Row] = []
    taken: set[tuple[object, ...]] = set()
    for line in printed[printed["dataset"] == dataset].to_dict("records"):
        backbone = line["backbone"] if isinstance(line["backbone"], str) else "scratch"
        size = int(line["image_size"]) if sized else 0
        paper_size = size or PAPER_SIZE
        name = segmenters.TITLES[line["segmenter"]]
        title = name if backbone == "scratch" else f"{backbones.spec(backbone).title}, {name}"
        title += f", {size} px" if sized else ""
        same = [key for key in ours if key[:3] == (line["segmenter"], backbone, size) and key not in taken]
        found = [pair for key in same for pair in ours[key]]
        for have in found or [(None, None)]:
            note = _note(*have, paper_size) or f"the paper's: {paper_size} px"
            out.append(Row(NOT_PRINTED, title, backbone, line["score"], True, *have, note))
        taken.update(same)
        if not backbone.startswith("dinov2"):
            continue
        beside = [key for key in ours if key[0] == line["segmenter"] and key[2] == size and _began_as_dinov2(key[1])
                  and key not in taken and not _printed(printed, dataset, key[1])]  # fmt: skip
        for key in beside:
            for have in ours[key]:
                out.append(
                    _row(have, line["score"], f"another encoder than the paper's; {_note(*have, paper_size)}", sized)
                )
        taken.update(beside)
    for key in [key for key in ours if key not in taken]:
        out += [_row(have, None, f"{NOT_PRINTED}; {_note(*have)}", sized) for have in ours[key]]
    return comparison.labelled(out)


def _groups(
    data: DataUsed, published: list[Result], this_run: list[Result], sized: bool
) -> dict[tuple[object, ...], list[comparison.Pair]]:
    """Pairs of published and this run's Results by segmenter, backbone, size and what was left out.

    Where sizes tell no rows apart, size is 0 and the largest published stands beside the largest of this run.
    """

    def key(found: Result) -> tuple[object, ...]:
        return found.protocol, found.backbone.id, found.backbone.image_size if sized else 0, found.left_out

    mine = (sorted((found for found in results if found.masks and not found.draws),
                   key=lambda each: -each.backbone.image_size) for results in (published, this_run))  # fmt: skip
    pairs = comparison.pairs_by(key, data, *mine)
    order = {name: place for place, name in enumerate(result.SEGMENTERS)}
    known = {name: place for place, name in enumerate(backbones.names())}
    keys = sorted(pairs, key=lambda key: (order[key[0]], known.get(key[1], len(known)), *key[1:]))
    return {key: pairs[key] for key in keys}


def _row(have: comparison.Pair, paper: float | None, note: str, sized: bool) -> Row:
    found = next(one for one in have if one)
    return Row(NOT_PRINTED, significance.label(found, sized), found.backbone.id, paper, False, *have, note)


def _began_as_dinov2(backbone: object) -> bool:
    return backbone in backbones.names() and backbones.spec(str(backbone)).pretraining.startswith("DINOv2")


def _printed(printed: pd.DataFrame, dataset: str, backbone: object) -> bool:
    return bool(((printed["dataset"] == dataset) & (printed["backbone"] == backbone)).any())


def _note(published: Result | None, this_run: Result | None, paper_size: int | None = None) -> str:
    """How each measured number of a row came about, and the paper's size in px where one differs from it."""
    parts = [
        f"{words}: {found.backbone.image_size} px, {significance.how_in_words(found)}"
        for words, found in (("published", published), ("this run", this_run))
        if found
    ]
    other = [found for found in (published, this_run) if found and found.backbone.image_size != paper_size]
    if other and paper_size:
        parts.append(f"the paper's: {paper_size} px")
    return "; ".join(parts)


def table_html(table: list[Row], title: str, this_run: str = "This run") -> str:
    """`table` as `comparison.table_html`, with what few patients do to its intervals said below it."""
    measured = [found for row in table for found in (row.published, row.this_run) if found]
    few = sorted({found.n_patients for found in measured if significance.too_few(found)})
    more = f" {significance.few_patients(few[0])}" if few else ""
    absent = dict.fromkeys(name for found in measured if found.masks for name in found.masks.absent)
    if absent:
        more += f" Not in the mean where no test mask has them: {', '.join(absent)}."
    return comparison.table_html(table, title, this_run, METRIC, (OTHER, OTHER), more)


def reading(published: Sequence[Path], this_run: list[Result]) -> str:
    """Markdown: what the Results at hand allow to conclude, and what not."""
    said = []
    for data, mine in by_data(published):
        compared = significance.comparable(mine, result.SEGMENTERS)
        if len(compared) < 2:
            continue
        # The best row beside the best of another method, where there is one: the same at two sizes is not the question.
        *others, first = sorted(compared, key=lambda path: result.read(path).value)
        best = result.read(first)
        rivals = [path for path in others if result.read(path).protocol != best.protocol] or others
        second = result.read(rivals[-1])
        contrasts = significance.against_first([rivals[-1], first])
        real = "the paper's own images" if best.data.origin == "paper" else "real images, not split as the paper's"
        said.append(
            f"- On {data.title}, {real}, {best.n_images:,} test images of {best.n_patients} patients, "
            f"*{significance.label(best)}* reaches {with_interval(best)} and *{significance.label(second)}* "
            f"{with_interval(second)}."
        )
        for each in contrasts:
            low, high = each.interval.low, each.interval.high
            said[-1] += (
                f" Over the same resampled patients they differ by {each.difference:+.3f} [{low:+.3f}, {high:+.3f}]: "
                f"about {(high - low) / 2:.3f} is what this test set tells apart."
            )
        if significance.too_few(best):
            said[-1] += f" {significance.few_patients(best.n_patients)}"
    said += [SAID_OF_ORIGIN[origin] for origin in dict.fromkeys(found.data.origin for found in this_run)]
    return "\n".join(said)
