"""The plots of the pages, in one style."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radlib.evaluate.calibration import calibration
from radlib.report import result
from radlib.report.comparison import CONTROL, NOT_PRINTED, PROTOCOL_WORDS, Row
from radlib.report.leaderboard import KIND_WORDS, KINDS, METRICS, Entry
from radlib.report.result import ORIGIN_WORDS, DataUsed, Result
from radlib.report.significance import few_shot_series, label

# Okabe and Ito's colours, told apart with any colour vision.
PAPER, PUBLISHED, THIS_RUN = "#000000", "#0072B2", "#D55E00"
ROWS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {"axes.edgecolor": "#999999"}
# Letters stay letters, which every reader's machine has: as outlines they are nine tenths of a plot's bytes.
plt.rcParams["svg.fonttype"] = "none"
SIZES = {"font.size": 10, "axes.titlesize": 10, "legend.fontsize": 8.5}


@contextmanager
def style() -> Iterator[None]:
    """The look of every plot: draw within it."""
    with sns.axes_style("whitegrid", STYLE), plt.rc_context(SIZES):
        yield


def literal(words: str) -> str:
    """Names of folders and classes as Matplotlib shows them as they are: no mathematics between dollars."""
    return words.replace("$", r"\$")


def auroc_intervals(table: list[Row]) -> Figure:
    """Paper's numbers (diamonds) and measured ones with intervals, one line a backbone."""
    with style():
        figure, axes = plt.subplots(figsize=(8, 0.36 * len(table) + 1.2), layout="constrained")
        _intervals(axes, table)
        axes.set_xlabel("macro AUROC on test, 95 % interval over patients")
        _legend_above(figure, [axes])
    plt.close(figure)  # the page shows what is returned; an open figure would be shown a second time
    return figure


def mask_intervals(tables: Sequence[tuple[str, list[Row]]]) -> Figure:
    """The paper's scores and measured ones with intervals, a panel a dataset (title and rows), a line a row."""
    with style():
        heights = [len(table) + 1 for _, table in tables]
        figure, panels = plt.subplots(len(tables), figsize=(8, 0.46 * sum(heights) + 0.9), layout="constrained",
                                      height_ratios=heights, squeeze=False)  # fmt: skip
        for axes, (title, table) in zip(panels[:, 0], tables, strict=True):
            _intervals(axes, table)
            axes.set_title(literal(title), loc="left")
            axes.tick_params(axis="y", labelsize=8)
        panels[-1, 0].set_xlabel("mean of Dice and Jaccard on test, 95 % interval over patients")
        _legend_above(figure, list(panels[:, 0]))
    plt.close(figure)
    return figure


def _intervals(axes: Axes, table: list[Row]) -> None:
    """Diamonds of the paper and measured marks with their intervals, one line a row of `table`."""
    for y, row in enumerate(table):
        if row.paper is not None and row.same_weights:
            axes.plot(row.paper, y, "D", color=PAPER, markersize=5, label="paper")
        marks = ((row.published, -0.13, PUBLISHED, "o", _published_words),
                 (row.this_run, 0.13, THIS_RUN, "s", _this_run_words))  # fmt: skip
        for found, shift, colour, marker, words_of in marks:
            if found is not None:
                words = words_of(found.data)
                low, high = found.value - found.interval.low, found.interval.high - found.value
                axes.errorbar(
                    found.value, y + shift, xerr=[[max(low, 0)], [max(high, 0)]], fmt=marker, color=colour,
                    markersize=5, capsize=2.5, linewidth=1.3, label=literal(words),
                )  # fmt: skip
    axes.set_yticks(
        range(len(table)), [literal(textwrap.fill(_name(row), 36 if not row.note else 44)) for row in table]
    )
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _published_words(data: DataUsed) -> str:
    return "the paper's images, published here" if data.origin == "paper" else "real images, published here"


def _this_run_words(data: DataUsed) -> str:
    return f"this run: {ORIGIN_WORDS[data.origin]}"


def _legend_above(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend of all panels, each word once."""
    pairs = [pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    unique = {words: handle for handle, words in reversed(pairs)}
    order = list(dict.fromkeys(words for _, words in pairs))
    figure.legend([unique[words] for words in order], order, loc="outside upper left", ncols=len(order) or 1,
                  frameon=False)  # fmt: skip
    sns.despine(figure, left=True)


def _name(row: Row) -> str:
    """A row's name with its method where the paper tells rows apart by it: it prints three kinds of ViT-L."""
    if row.note:  # what it is made of stands in its title
        return row.title
    return row.title if row.method in (NOT_PRINTED, CONTROL) or row.paper is None else f"{row.method} {row.title}"


def reliability(paths: Sequence[Path]) -> Figure:
    """Probability told against frequency met, in bins of equally many images, one line a Result."""
    with style():
        figure, axes = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="probability = frequency")
        for number, path in enumerate(paths):
            arrays = result.read_predictions(path)
            curve = calibration(arrays["labels"], arrays["scores"]).curve
            colour, mark = ROWS[number % len(ROWS)], MARKS[number % len(MARKS)]
            axes.plot(curve[:, 0], curve[:, 1], mark, color=colour, linestyle="-", markersize=4, linewidth=1.2,
                      label=literal(label(result.read(path))))  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability of a bin", ylabel="share that bears the class")
        axes.legend(frameon=False)
        sns.despine(figure)
    plt.close(figure)
    return figure


def few_shot(results: Sequence[Result]) -> Figure:
    """A score against patients a class, or images with masks, one line a row: mean of draws, its interval as bars, each
    draw as a dash.

    The rightmost place is that of all training patients or images.
    """
    of_masks = results[0].masks is not None
    places = {shots: x for x, shots in enumerate([*sorted({found.shots for found in results if found.shots}), None])}
    rows = few_shot_series(results)
    with style():
        figure, axes = plt.subplots(figsize=(7.4, 4.4), layout="constrained")
        for number, (name, series) in enumerate(rows):
            mine = sorted(series, key=lambda found: places[found.shots])
            colour, mark = ROWS[number % len(ROWS)], MARKS[number % len(MARKS)]
            x = np.array([places[found.shots] for found in mine]) + 0.06 * (number - (len(rows) - 1) / 2)
            y = np.array([found.value for found in mine])
            bars = np.array([[max(f.value - f.interval.low, 0), max(f.interval.high - f.value, 0)] for f in mine]).T
            axes.errorbar(x, y, yerr=bars, fmt=mark, color=colour, linestyle="-", markersize=5, capsize=2.5,
                          linewidth=1.3, label=literal(name))  # fmt: skip
            for place, found in zip(x, mine, strict=True):
                axes.plot([place] * len(found.draws), found.draws, "_", color=colour, markersize=6, alpha=0.55)
        if not of_masks:  # what chance reaches
            axes.axhline(0.5, color="#999999", linewidth=1)
        axes.set_xticks(list(places.values()), ["all" if shots is None else str(shots) for shots in places])
        xlabel = "training images" if of_masks else "training patients a class"
        axes.set(xlabel=xlabel, ylabel=f"{results[0].metric} on test")
        axes.legend(frameon=False)
        axes.grid(axis="x", visible=False)
        sns.despine(figure)
    plt.close(figure)
    return figure


def cost_and_gain(results: Sequence[Result]) -> Figure:
    """AUROC with its interval against the number of trained parameters, one mark a method."""
    with style():
        figure, axes = plt.subplots(figsize=(7.4, 3.8), layout="constrained")
        shown = [found for found in results if found.trainable_parameters and not found.control]
        several = len({found.backbone.id for found in shown}) > 1
        for number, found in enumerate(shown):
            low, high = found.value - found.interval.low, found.interval.high - found.value
            axes.errorbar(found.trainable_parameters, found.value, yerr=[[max(low, 0)], [max(high, 0)]],
                          fmt=MARKS[number % len(MARKS)], color=ROWS[number % len(ROWS)], markersize=6, capsize=3,
                          label=f"{literal(label(found))}: " * several + PROTOCOL_WORDS[found.protocol])  # fmt: skip
        axes.set_xscale("log")
        axes.set(xlabel="parameters trained, the head included", ylabel="macro AUROC on test")
        axes.legend(frameon=False)
        sns.despine(figure)
    plt.close(figure)
    return figure


def ladders(entries: Sequence[Entry]) -> Figure:
    """Every score at hand, a line a dataset and a panel a metric, the kinds of `entries` one below the other."""
    looks = {"paper": ("D", PAPER), "published": ("o", PUBLISHED), "stand-in": ("s", THIS_RUN), "own": ("^", ROWS[2])}
    metrics = {metric: [each for each in entries if each.metric == metric] for metric in METRICS.values()}
    lines = {metric: list(dict.fromkeys(each.dataset for each in mine)) for metric, mine in metrics.items()}
    with style():
        figure, panels = plt.subplots(
            len(metrics), figsize=(8, 0.5 * sum(map(len, lines.values())) + 1.6), layout="constrained", squeeze=False,
            height_ratios=[max(len(names), 1) for names in lines.values()],
        )  # fmt: skip
        for axes, (metric, mine) in zip(panels[:, 0], metrics.items(), strict=True):
            for each in mine:
                mark, colour = looks[each.kind]
                y = lines[metric].index(each.dataset) + 0.2 * (KINDS.index(each.kind) - 1.5)
                axes.plot(each.value, y, mark, color=colour, markersize=4, alpha=0.55, label=KIND_WORDS[each.kind])
            axes.set_yticks(range(len(lines[metric])), [literal(name) for name in lines[metric]])
            axes.set_ylim(len(lines[metric]) - 0.5, -0.5)
            axes.set_xlabel(f"{metric} on test")
            axes.grid(axis="y", visible=False)
        _legend_above(figure, list(panels[:, 0]))
    plt.close(figure)
    return figure
