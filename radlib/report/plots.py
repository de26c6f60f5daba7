"""The plots of the pages, in one style."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from radlib.report.comparison import Row

# Okabe and Ito's colours, told apart with any colour vision.
PAPER, PUBLISHED, THIS_RUN = "#000000", "#0072B2", "#D55E00"


def auroc_intervals(table: list[Row], this_run: str) -> Figure:
    """Paper's numbers (diamonds) and measured ones with intervals, one line a backbone.

    `this_run` names the last kind of marks in the legend, e.g. "this run, stand-in data".
    """
    with sns.axes_style("whitegrid", {"axes.edgecolor": "#999999"}):
        figure, axes = plt.subplots(figsize=(8, 0.36 * len(table) + 1.2), layout="constrained")
        for y, row in enumerate(table):
            if row.paper is not None and row.same_weights:
                axes.plot(row.paper, y, "D", color=PAPER, markersize=5, label="paper")
            marks = ((row.published, -0.13, PUBLISHED, "o", "the paper's images, published here"),
                     (row.this_run, 0.13, THIS_RUN, "s", this_run))  # fmt: skip
            for found, shift, colour, marker, label in marks:
                if found is not None:
                    low, high = found.value - found.interval.low, found.interval.high - found.value
                    axes.errorbar(
                        found.value, y + shift, xerr=[[max(low, 0)], [max(high, 0)]], fmt=marker, color=colour,
                        markersize=5, capsize=2.5, linewidth=1.3, label=label,
                    )  # fmt: skip
        axes.set_yticks(range(len(table)), [row.title for row in table])
        axes.invert_yaxis()
        axes.set_xlabel("macro AUROC on test, 95 % interval over patients")
        axes.grid(axis="y", visible=False)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=len(unique), frameon=False)
        sns.despine(figure, left=True)
    plt.close(figure)  # the page shows what is returned; an open figure would be shown a second time
    return figure
