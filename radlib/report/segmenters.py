"""Table 3: the segmenters, counted on the built networks, beside what the paper prints of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from radlib.errors import RadlibError
from radlib.models import backbones, decoders, segmenters
from radlib.report import html_table
from radlib.report.plots import ROWS, style

LAST_BLOCK = {  # what becomes of the joined maps of the U-Net decoder's last block
    "plain": "1×1 convolution",
    "authors": "3×3 convolution, batch norm, ReLU",
}


@dataclass(frozen=True)
class Counted:
    """One segmenter as built, without memory for its weights: a row of Table 3, or one of the reader's.

    `backbone` is "" for a network trained from scratch. `printed` holds the paper's words for the trained parameters,
    their share and the total; dashes for a row it does not have.
    """

    segmenter: str
    backbone: str
    trainable: int
    total: int
    printed: tuple[str, str, str]

    @property
    def title(self) -> str:
        """Name for a table's row or a plot's line."""
        decoder = segmenters.TITLES[self.segmenter]
        return f"{backbones.spec(self.backbone).title}, {decoder}" if self.backbone else decoder


def count(printed: pd.DataFrame, also: Sequence[str] = (), classes: int = 1) -> list[Counted]:
    """Every row of `printed`, the paper's Table 3, then both decoders on each backbone of `also`.

    Built for `classes` outputs, the background among them, and images of 448 px; needs no weights. Raises RadlibError
    for an unknown backbone, one without patch tokens, and fewer than one class.
    """
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise RadlibError(f"Parameter 'classes' is {classes!r}; a whole number of outputs from 1 on is wanted.")
    for name in also:
        backbones.check_patch_tokens(backbones.spec(name))
    words = ["segmenter", "backbone", "trainable", "share", "total"]
    rows = [tuple(row) for row in printed[words].fillna("").itertuples(index=False)]
    rows += [(decoder, name, "–", "–", "–") for name in also for decoder in decoders.BLOCKS]
    return [
        Counted(segmenter, backbone, *segmenters.count_parameters(segmenter, backbone or None, classes), tuple(paper))
        for segmenter, backbone, *paper in rows
    ]


def table_html(counted: list[Counted], classes: int = 1) -> str:
    """What the paper prints of each segmenter beside what the built network has for `classes` outputs."""
    outputs = "one output class, as the paper counts" if classes == 1 else f"{classes} outputs (the paper: for one)"
    lines = html_table.head(
        ["Segmenter", "Paper, trained", "Counted, trained", "Paper, share", "Share", "Paper, total", "Counted, total"],
        f"Parameters as the paper prints them and as counted on the networks this book builds, for {outputs}. "
        "TransUNet's position embedding is that of a 448 px image.",
    )
    for each in counted:
        trained, share, total = map(html_table.printed_cell, each.printed)
        percent = 100 * each.trainable / each.total
        lines.append(
            "<tr>"
            + html_table.name_cell(each.title, "frozen backbone" if each.backbone else "trained from scratch")
            + trained
            + html_table.number_cell(each.trainable, decimals=0)
            + share
            + html_table.number_cell(percent, shown=f"{percent:.3g} %")
            + total
            + html_table.number_cell(each.total, decimals=0)
            + "</tr>"
        )
    return "\n".join([*lines, html_table.TAIL])


def endings_html(names: Sequence[str], classes: int = 1) -> str:
    """What the U-Net decoder trains on each backbone of `names` with either ending of its last block."""
    lines = html_table.head(
        ["Last block ends in", *(backbones.spec(name).title for name in names)],
        "Trained parameters of the U-Net decoder by its ending.",
    )
    for ending in decoders.ENDINGS:
        cells = [html_table.name_cell(LAST_BLOCK[ending], f"ending {ending}")]
        for name in names:
            trained, _ = segmenters.count_parameters("unet_decoder", name, classes, ending)
            cells.append(html_table.number_cell(trained, decimals=0))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def trained_and_whole(counted: list[Counted]) -> Figure:
    """Trained parameters (dots) and those of the whole network (rings), one line a segmenter."""
    with style():
        figure, axes = plt.subplots(figsize=(8, 0.36 * len(counted) + 1.2), layout="constrained")
        for y, each in enumerate(counted):
            axes.plot([each.trainable, each.total], [y, y], color="#999999", linewidth=1.3, zorder=1)
            axes.plot(each.total, y, "o", color=ROWS[0], markersize=9, markerfacecolor="white", label="whole network")
            axes.plot(each.trainable, y, "o", color=ROWS[1], markersize=5, label="trained")
        axes.set_xscale("log")
        axes.set_yticks(range(len(counted)), [each.title for each in counted])
        axes.set_ylim(len(counted) - 0.4, -0.6)
        axes.set_xlabel("parameters")
        axes.grid(axis="y", visible=False)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=2, frameon=False)
        sns.despine(figure, left=True)
    plt.close(figure)
    return figure
