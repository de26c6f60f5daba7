"""Table 2: the backbones, counted on the built networks, with what each hands on and whether its weights are here."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from radlib.models import backbones
from radlib.report import html_table
from radlib.report.plots import MARKS, ROWS, style


@dataclass(frozen=True)
class Counted:
    """One backbone as built, without memory for its weights.

    `parameters` counts the network as published, its classifier included where it has one. `tokens` is the number of
    patches of a 224 px image (0 for a CNN). `at_hand` says whether the weights lie on this machine.
    """

    spec: backbones.BackboneSpec
    parameters: int
    tokens: int
    at_hand: bool

    @property
    def megabytes(self) -> float:
        """Size of its weights in float32, in MB (10⁶ bytes)."""
        return self.parameters * 4 / 1e6


def count(name: str) -> Counted:
    """Backbone `name` built and counted; needs no weights. Raises RadlibError for an unknown name."""
    spec = backbones.spec(name)
    size = spec.image_size if spec.family == "sam" else 224
    tokens = (size // spec.patch) ** 2 if spec.patch else 0
    return Counted(spec, backbones.count_parameters(name), tokens, backbones.weights_at_hand(name))


def table_html(printed: pd.DataFrame, counted: list[Counted]) -> str:
    """What the paper prints of each backbone beside what the built network has; `printed` is its Table 2."""
    of_paper = printed.set_index("backbone")["parameters"].to_dict()
    lines = html_table.head(
        ["Backbone", "Paper", "Counted", "MB", "Width", "Tokens", "Weights"],
        "Parameters as the paper prints them and as counted on the networks this book builds, a classifier included "
        "where the weights come with one. MB: its weights in float32. Width: numbers in one feature vector. Tokens: "
        "patches of a 224 px image, of a 1,024 px one for SAM. Weights: where they come from. Rows that are not in the "
        "paper come with the package index and need no model hub.",
    )
    for each in counted:
        spec = each.spec
        kind = "in a package, or none" if spec.weights != "hub" else "here" if each.at_hand else "model hub"
        lines.append(
            "<tr>"
            + html_table.name_cell(
                spec.title,
                f"{', '.join(filter(None, (spec.pretraining, spec.dataset, spec.images)))}; {spec.timm_name}",
            )
            + html_table.printed_cell(of_paper.get(spec.id, "–"))
            + html_table.number_cell(each.parameters, decimals=0)
            + html_table.number_cell(each.megabytes, decimals=0)
            + html_table.number_cell(spec.width, decimals=0)
            + html_table.number_cell(each.tokens or None, decimals=0)
            + html_table.text_cell(kind)
            + "</tr>"
        )
    return "\n".join([*lines, html_table.TAIL])


def sizes(counted: list[Counted]) -> Figure:
    """Parameters against the width of the feature, one mark a backbone, coloured by pre-training.

    Marks that would cover each other stand side by side, under one name.
    """
    kinds = list(dict.fromkeys(each.spec.pretraining for each in counted))
    places: dict[tuple[int, int], list[Counted]] = {}
    for each in counted:  # as wide, and within a tenth as large
        places.setdefault((each.spec.width, round(np.log10(each.parameters) * 12)), []).append(each)
    with style():
        figure, axes = plt.subplots(figsize=(7.6, 4.4), layout="constrained")
        for together in places.values():
            at = float(np.mean([each.parameters for each in together])), together[0].spec.width
            for place, each in enumerate(together):
                number = kinds.index(each.spec.pretraining)
                aside = ScaledTranslation((place - (len(together) - 1) / 2) * 9 / 72, 0, figure.dpi_scale_trans)
                (mark,) = axes.plot(*at, MARKS[number % len(MARKS)], color=ROWS[number % len(ROWS)], markersize=7,
                                    label=each.spec.pretraining)  # fmt: skip
                mark.set_transform(axes.transData + aside)
            names = ", ".join(dict.fromkeys(each.spec.architecture for each in together))
            axes.annotate(names, at, xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:,g}M")
        for spaced in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            spaced(StrMethodFormatter("{x:,.0f}"))
        axes.set(xlabel="parameters", ylabel="width of one feature vector")
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axes.legend(unique.values(), unique.keys(), frameon=False)
        sns.despine(figure)
    plt.close(figure)
    return figure
