"""Figure 1: images and their patch PCA, the histogram behind each threshold, and what the components explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from pydantic import Field, field_validator

from radlib.errors import RadlibError
from radlib.evaluate import patch_pca
from radlib.evaluate.patch_pca import Fitting, Picture, Scaling, Side
from radlib.report import html_table, patch_columns
from radlib.report.parameters import list_of_names, mapping
from radlib.report.patch_columns import Column, PatchSettings
from radlib.report.plots import STYLE

SHEET_DPI = 112  # three sheets of gray values stand on one page
WIDTH, MOST_SIDE, APART, TITLE = 9.2, 2.3, 0.16, 0.3  # inches: of a sheet, a picture, between columns, above them
KEPT, REMOVED = "#0072B2", "#BBBBBB"  # patches kept as foreground, and those removed
FITTING_WORDS: Mapping[Fitting, str] = {
    "centred": "each image less its mean",
    "joint": "as the paper",
    "single": "each by itself",
}


class FigureOne(PatchSettings):
    """What the notebook of Figure 1 takes beside `PatchSettings`.

    `scans` are open scans shown in a sheet of their own. `thresholds`, `sides` and `flips` override, for the datasets
    they name, what the rules choose; `fitting` and `scaling` are those of `patch_pca.picture`.
    """

    scans: tuple[str, ...] = ()
    fitting: Fitting = "centred"
    scaling: Scaling = "range"
    percentiles: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] = patch_pca.PERCENTILES
    thresholds: Mapping[str, float] = {}
    sides: Mapping[str, Side] = {}
    flips: Mapping[str, tuple[int, ...]] = {}

    _lists = field_validator("scans", "percentiles", mode="before")(list_of_names)
    _mappings = field_validator("thresholds", "sides", "flips", mode="before")(mapping)


def checked(**given: object) -> FigureOne:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    settings = patch_columns.checked(FigureOne, given)
    for name in (*settings.scans, *settings.thresholds, *settings.sides, *settings.flips):
        patch_columns.check_name(name)
    low, high = settings.percentiles
    for flips in ((), *settings.flips.values()):  # before any feature is computed
        patch_pca.check_options(settings.fitting, flips, settings.scaling, (low, high))
    return settings


@dataclass(frozen=True, eq=False)
class Shown:
    """A column and the picture its patches became."""

    column: Column
    fitting: Fitting
    picture: Picture


def colour(columns: Sequence[Column], settings: FigureOne, fitting: Fitting | None = None) -> list[Shown]:
    """The pictures of `columns` by the rules and overrides of `settings`, or fitted as `fitting` by the rules alone.

    Raises RadlibError as `patch_pca.picture`, naming the dataset.
    """
    shown = []
    for column in columns:
        name, ruled = column.dataset.name, fitting is not None and fitting != settings.fitting
        try:
            picture = patch_pca.picture(
                column.seen.tokens,
                fitting or settings.fitting,
                threshold=None if ruled else settings.thresholds.get(name),
                side=None if ruled else settings.sides.get(name),
                flips=() if ruled else settings.flips.get(name, ()),
                scaling=settings.scaling,
                percentiles=(settings.percentiles[0], settings.percentiles[1]),
            )
        except RadlibError as error:
            raise RadlibError(f"{column.dataset.title}: {error}") from error
        shown.append(Shown(column, fitting or settings.fitting, picture))
    return shown


def sheet(shown: Sequence[Shown], images: bool = True) -> Figure:
    """A column a kind, a line an image; beside each image (unless not `images`) its patches in their colours."""
    lines, each = max(len(one.column.rows) for one in shown), 2 if images else 1
    side = min((WIDTH - (len(shown) - 1) * APART) / (len(shown) * each), MOST_SIDE)  # inches
    width, height = len(shown) * (each * side + APART) - APART, lines * side + TITLE
    figure = plt.figure(figsize=(width, height), dpi=SHEET_DPI, facecolor="black")
    for k, one in enumerate(shown):
        left = k * (each * side + APART)
        for line in range(len(one.column.rows)):
            gray = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "antialiased"}
            pictures = [(one.column.seen.squares[line], gray)] if images else []
            pictures.append((one.picture.rgb[line], {"interpolation": "nearest"}))
            for place, (pixels, how) in enumerate(pictures):
                corner = ((left + place * side) / width, 1 - (TITLE + (line + 1) * side) / height)
                panel = figure.add_axes((*corner, 0.99 * side / width, 0.99 * side / height))
                panel.set_axis_off()
                panel.imshow(pixels, **how)
        title = f"{one.column.kind}: {one.column.dataset.title}"
        size = min(10.0, 72 * each * side / (0.62 * len(title)))  # points; a letter is about half as wide as high
        figure.text((left + 0.06) / width, 1 - 0.55 * TITLE / height, title, fontsize=size, color="white", va="center")
    plt.close(figure)  # the page shows what is returned; an open figure would be shown a second time
    return figure


def in_words(shown: Sequence[Shown], images: bool = True) -> str:
    """What `sheet` shows, for those who do not see it."""
    kinds = [
        f"{one.column.kind}, {one.column.dataset.title}: {len(one.column.rows)} images, "
        f"{one.picture.foreground.mean():.0%} of the patches kept"
        for one in shown
    ]
    how = "Images, each beside its patches" if images else "Images as their patches"
    return (
        f"{how} in the colours of components 1, 2 and 3 ({FITTING_WORDS[shown[0].fitting]}), removed patches black. "
        f"{'; '.join(kinds)}."
    )


def histograms(shown: Sequence[Shown]) -> Figure:
    """Component 1 of all patches, a panel a dataset: patches kept and removed, and the threshold between them."""
    with sns.axes_style("ticks", STYLE):
        figure, panels = plt.subplots(1, len(shown), figsize=(9.2, 2.2), layout="constrained", squeeze=False)
        for panel, one in zip(panels[0], shown, strict=True):
            first, kept = one.picture.first, one.picture.foreground
            edges = np.linspace(first.min(), first.max(), 49)
            panel.hist([first[kept], first[~kept]], edges, stacked=True, histtype="stepfilled",
                       color=[KEPT, REMOVED], label=["kept", "removed"])  # fmt: skip
            for fit in one.picture.fits:
                panel.axvline(fit.threshold, color="#000000", linewidth=1.1, linestyle="--", label="threshold")
            panel.set_title(one.column.dataset.title, fontsize=8.5, loc="left")
            panel.set_yticks([])
            panel.set_xlabel("component 1", fontsize=8.5)
            panel.tick_params(labelsize=8)
        handles, names = panels[0, 0].get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
        panels[0, 0].set_ylabel("patches", fontsize=8.5)
        sns.despine(figure, left=True)
    plt.close(figure)
    return figure


def table_html(shown: Sequence[Shown]) -> str:
    """Threshold, side, what lies between images, and explained variance of every fit of `shown`."""
    lines = html_table.head(
        ["Images", "Kept", "Threshold", "Border above", "Between images", "Of all: 1, 2, 3", "Of kept: 1, 2, 3"],
        "Kept: share of all patches that the threshold leaves. Border above: share of the images' border patches above "
        "it; the side that holds less of the border is kept. Between images: share of the kept patches' variance that "
        "only tells one image from another. Of all, of kept: share of the variance that components 1, 2 and 3 explain, "
        "in the fit of all patches and in that of the kept ones.",
    )
    for one in shown:
        for k, fit in enumerate(one.picture.fits):
            alone = len(one.picture.fits) > 1
            kept = one.picture.foreground[k] if alone else one.picture.foreground
            note = ", ".join([FITTING_WORDS[one.fitting], one.column.names[k] if alone else one.column.source])
            cells = html_table.name_cell(one.column.dataset.title, note)
            cells += html_table.number_cell(float(kept.mean()), decimals=2)
            cells += html_table.number_cell(fit.threshold, fit.side, decimals=2)
            cells += html_table.number_cell(fit.border, decimals=2)
            cells += html_table.number_cell(fit.between, decimals=2)
            for components in (fit.first, fit.second):
                first, *others = components.explained[:3]
                cells += html_table.number_cell(float(first), ", ".join(f"{share:.2f}" for share in others), decimals=2)
            lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])
