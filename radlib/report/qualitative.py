"""Figure 3: the masks of the linear and the U-Net decoder beside the truth, worst to best test image.

Nobody picks the images. Of the test images with foreground those of least, median and greatest Dice of the U-Net
decoder are shown (`pick`), so a page shows its failures too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from radlib.data.dataset import Dataset
from radlib.evaluate import native_masks, overlap
from radlib.models import backbones, segmenters
from radlib.report import html_table, mask_experiment, mask_recording, segmenting
from radlib.report.gallery import DPI
from radlib.report.mask_experiment import Segmenting, begin, split_of
from radlib.report.mask_recording import NAMED_SCANS
from radlib.report.plots import literal
from radlib.report.result import Segmenter

TABLE = "figure3"
SHOWN: tuple[Segmenter, ...] = ("linear", "unet_decoder")
JUDGE: Segmenter = "unet_decoder"
PLACES = ("worst", "median", "best")
# Okabe and Ito's colours that show on black, then again with other strokes
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
STROKES = ("solid", (0, (3, 1.2)), (0, (1, 1)))


class Qualitative(Segmenting):
    """What the notebook of Figure 3 takes; both decoders are shown, on the first of `backbones`."""

    segmenters: tuple[Literal["linear"], Literal["unet_decoder"]] = ("linear", "unet_decoder")


@dataclass(frozen=True)
class Case:
    """One test image: its `place`, row of `Dataset.samples`, masks `(H, W)` uint8 of its own size, and Dice in [0, 1].

    `dice` is each segmenter's mean over the classes the image has, counted on the square the segmenter saw.
    """

    place: str
    row: int
    of: int
    truth: NDArray[np.uint8]
    predicted: dict[Segmenter, NDArray[np.uint8]]
    dice: dict[Segmenter, float]


@dataclass(frozen=True)
class Shown:
    """The cases of one dataset and the Results of the segmenters that drew their masks."""

    dataset: Dataset
    cases: tuple[Case, ...]
    paths: tuple[Path, ...]


def checked(**given: object) -> Qualitative:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    settings = mask_experiment.checked(Qualitative, given)
    return settings.model_copy(update={"backbones": settings.backbones[:1]})


def show(dataset: Dataset, settings: Qualitative, progress: bool = True) -> Shown:
    """Both decoders fitted to `dataset` (or read, where the same ones were fitted before), and the cases picked."""
    begun = begin(dataset, settings, TABLE)
    split = split_of(begun)
    backbone = backbones.load(settings.backbones[0], settings.image_size, settings.seed)
    fits = {kind: segmenting.fit_whole(begun, kind, backbone, progress) for kind in SHOWN}
    rows = [segmenting.row(begun, kind, split, [fit]) for kind, fit in fits.items()]
    fitted = {kind: fit.segmented for kind, fit in fits.items()}
    dice = {kind: image_dice(one.counts) for kind, one in fitted.items()}
    truthful = np.asarray(fitted[JUDGE].counts[..., overlap.TRUE].any(axis=1))
    cases = []
    for place, k in pick(dice[JUDGE], truthful).items():
        row = split.test[k : k + 1]
        predicted = {kind: next(native_masks.predicted(dataset, one, row))[1] for kind, one in fitted.items()}
        cases.append(
            Case(place, int(row[0]), int(truthful.sum()), dataset.mask(int(row[0])), predicted,
                 {kind: float(values[k]) for kind, values in dice.items()})
        )  # fmt: skip
    return Shown(dataset, tuple(cases), tuple(mask_recording.record(begun, rows, split)))


def image_dice(counts: ArrayLike) -> NDArray[np.float64]:
    """Counts `(N, K, 3)` -> `(N,)` Dice of each image, mean over its classes; NaN for nothing, rightly predicted."""
    return overlap.class_mean(overlap.per_case_dice(counts, np.arange(len(np.asarray(counts)))))


def pick(dice: NDArray[np.float64], truthful: NDArray[np.bool_]) -> dict[str, int]:
    """Positions of the worst, median and best of `dice` `(N,)` among the images that are `truthful` `(N,)`.

    Truthful ones have foreground. They are ordered by Dice, equal ones as in the file; the median of an
    even number is the lower of the two in the middle. None is shown twice: one alone is the median, two are the worst
    and the best.
    """
    known = np.flatnonzero(truthful)
    order = known[np.argsort(dice[known], kind="stable")]
    if len(order) < len(PLACES):
        names = ((), ("median",), ("worst", "best"))[len(order)]
        return {name: int(k) for name, k in zip(names, order, strict=True)}
    return {"worst": int(order[0]), "median": int(order[(len(order) - 1) // 2]), "best": int(order[-1])}


def sheet(shown: Shown) -> Figure:
    """A line a case: the image, then the same with the true outlines and with those that each decoder drew."""
    dataset, cases = shown.dataset, shown.cases
    height = np.mean([case.truth.shape[0] / case.truth.shape[1] for case in cases])
    figure, axes = plt.subplots(
        len(cases), 2 + len(SHOWN), figsize=(9.2, len(cases) * (2.25 * height + 0.45) + 0.5), dpi=DPI,
        layout="constrained", squeeze=False, facecolor="black",
    )  # fmt: skip
    for line, case in zip(axes, cases, strict=True):
        pixels = dataset.read(case.row).mean(axis=0)
        low, high = np.percentile(pixels, (1, 99.5))
        masks = [None, case.truth, *(case.predicted[kind] for kind in SHOWN)]
        titles = [f"{case.place} of {case.of}\n{_called(dataset, case.row)}", "\ntruth"]
        titles += [f"{segmenters.TITLES[kind]}\nDice {case.dice[kind]:.3f}" for kind in SHOWN]
        for panel, mask, title in zip(line, masks, titles, strict=True):
            panel.set_axis_off()
            panel.imshow(pixels, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="antialiased")
            panel.set_title(literal(title), fontsize=9, color="white", pad=3)
            if mask is not None:
                _outline(panel, mask, len(dataset.classes))
    drawn = [mask for case in cases for mask in (case.truth, *case.predicted.values())]
    seen = sorted({int(k) for mask in drawn for k in np.unique(mask)} - {0})
    handles = [Line2D([], [], color=_colour(k), linestyle=_stroke(k), linewidth=1.6) for k in seen]
    names = [literal(dataset.classes[k - 1]) for k in seen]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 5), frameon=False, fontsize=9,
                  labelcolor="white")  # fmt: skip
    plt.close(figure)  # the page shows what is returned; an open figure would be shown a second time
    return figure


def in_words(shown: Shown) -> str:
    """What `sheet` shows, for those who do not see it."""
    lines = [
        f"the {case.place} image, Dice " + " and ".join(
            f"{case.dice[kind]:.2f} by the {segmenters.TITLES[kind]}" for kind in SHOWN)
        for case in shown.cases
    ]  # fmt: skip
    columns = "image, true outlines, and those of the linear and the U-Net decoder"
    return f"{shown.dataset.title}, each line {columns}: {'; '.join(lines)}."


def _outline(panel: Axes, mask: NDArray[np.uint8], classes: int) -> None:
    for k in range(1, classes + 1):
        if (mask == k).any():
            panel.contour(mask == k, levels=[0.5], colors=[_colour(k)], linestyles=[_stroke(k)], linewidths=1.1)


def _colour(k: int) -> str:
    return COLOURS[(k - 1) % len(COLOURS)]


def _stroke(k: int) -> str | tuple[int, tuple[float, float]]:
    return STROKES[(k - 1) // len(COLOURS) % len(STROKES)]


def _called(dataset: Dataset, row: int) -> str:
    """Below a place: the patient's name in a release, and the slice; nothing of a reader's own patients."""
    record = dataset.samples.iloc[row]
    if dataset.origin not in NAMED_SCANS:
        return ""
    slice_ = f", slice {int(record['slice'])}" if "slice" in dataset.samples else ""
    return f"{record['patient']}{slice_}"


def table_html(shown: Sequence[Shown]) -> str:
    """The Dice of every image shown, in numbers."""
    lines = html_table.head(
        ["Dataset", "Image", *(f"Dice, {segmenters.TITLES[kind]}" for kind in SHOWN)],
        "Dice of each image shown, mean over the classes it has. The images were picked by the U-Net decoder's, which "
        "is therefore no fair judge between the two: its worst is its own, and its best too.",
    )
    for each in shown:
        for case in each.cases:
            note = f"{case.place} of {case.of} test images with foreground"
            cells = html_table.name_cell(each.dataset.title, "")
            cells += html_table.text_cell(note)
            cells += "".join(html_table.number_cell(case.dice[kind]) for kind in SHOWN)
            lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])
