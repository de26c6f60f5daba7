"""Contact sheets: what the images of a dataset look like, and how often each label occurs."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from radlib.data import splits
from radlib.data.dataset import Dataset
from radlib.data.splits import SPLITS
from radlib.report.plots import literal, style

COLUMNS = 5
DPI = 144  # twice what a page shows, for fine screens
MASKS_COUNTED = 60  # of a segmentation dataset, evenly over its rows: enough for shares, not the whole disk
SPLIT_COLOURS = dict(zip(SPLITS, ("#0072B2", "#E69F00", "#009E73"), strict=True))  # Okabe and Ito


def samples(dataset: Dataset) -> Figure:
    """Up to three rows of five images: every class in turn, or five patients with their masks outlined."""
    chosen = _masked_rows(dataset) if dataset.task == "segmentation" else _labelled_rows(dataset)
    lines = -(-len(chosen) // COLUMNS)
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(9.2, 2.05 * lines), dpi=DPI, layout="constrained", squeeze=False, facecolor="black"
    )
    palette = sns.color_palette("colorblind" if len(dataset.classes) <= 10 else "tab20", len(dataset.classes))
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, (row, title) in zip(axes.flat, chosen, strict=False):
        pixels = dataset.read(row).mean(axis=0)
        low, high = np.percentile(pixels, (1, 99.5))
        panel.imshow(
            pixels, cmap="gray", vmin=low, vmax=max(high, low + 1), aspect="equal", interpolation="antialiased"
        )
        if dataset.read_mask is not None:
            mask = dataset.mask(row)
            for k, colour in enumerate(palette, start=1):
                if (mask == k).any():
                    panel.contour(mask == k, levels=[0.5], colors=[colour], linewidths=1.0)
        panel.set_title(literal(title), fontsize=8.5, color="white", pad=3)
    plt.close(figure)  # the page shows what is returned; an open figure would be shown a second time
    return figure


def in_words(dataset: Dataset) -> str:
    """What `samples` shows, for those who do not see it."""
    names = ", ".join(name.replace("_", " ") for name in dataset.classes)
    if dataset.task == "segmentation":
        return f"{dataset.title}: an image of each of five patients with outlines of its masks: {names}."
    return f"{dataset.title}: images of each class or finding in turn: {names}."


def frequencies(dataset: Dataset) -> Figure:
    """Share of each split's images that bear each class, or of its pixels that belong to each structure."""
    shares = _pixel_shares(dataset) if dataset.task == "segmentation" else _label_shares(dataset)
    names = dataset.classes
    with style():
        figure, axes = plt.subplots(figsize=(8, 0.3 * len(names) + 1.1), dpi=DPI, layout="constrained")
        for shift, (split, share) in zip((-0.27, 0, 0.27), shares.items(), strict=True):
            places = np.arange(len(names)) + shift
            axes.barh(places, 100 * share, height=0.25, color=SPLIT_COLOURS[split], label=split)
        axes.set_yticks(range(len(names)), [literal(name.replace("_", " ")) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("% of pixels" if dataset.task == "segmentation" else "% of images")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
        sns.despine(figure, left=True)
    plt.close(figure)
    return figure


def _labelled_rows(dataset: Dataset) -> list[tuple[int, str]]:
    """(row, title) of images of each class in turn, different patients first; of findings those that come alone."""
    hot = dataset.labels if dataset.task == "multi-label" else np.eye(len(dataset.classes), dtype=int)[dataset.labels]
    wanted = [
        (name.replace("_", " "), hot[:, k] * (2 + (hot.sum(axis=1) == 1))) for k, name in enumerate(dataset.classes)
    ]
    if dataset.task == "multi-label":
        wanted.insert(0, ("no finding", (hot.sum(axis=1) == 0).astype(int)))
    patients = dataset.samples["patient"].to_numpy()
    most = 2 * COLUMNS if len(wanted) <= 2 * COLUMNS else 3 * COLUMNS
    rounds = -(-2 * COLUMNS // len(wanted))
    chosen: list[tuple[int, str]] = []
    for _ in range(rounds):
        for title, fit in wanted:
            used = {row for row, _ in chosen}
            seen = {patients[row] for row in used}
            order = [row for row in np.argsort(-fit, kind="stable") if fit[row] and row not in used]
            fresh = [row for row in order if patients[row] not in seen] or order
            if fresh:
                middle = [row for row in fresh if fit[row] == fit[fresh[0]] and patients[row] == patients[fresh[0]]]
                chosen.append((int(middle[len(middle) // 2]), title))  # of a stack the middle slice
    return chosen[:most]


def _masked_rows(dataset: Dataset) -> list[tuple[int, str]]:
    """(row, title) of the middle image of five patients, evenly over the cohort."""
    by_patient = [(name, part.index) for name, part in dataset.samples.groupby("patient", sort=False)]
    drawn = splits.systematic(len(by_patient), min(COLUMNS, len(by_patient)))
    return [(int(rows[len(rows) // 2]), str(patient)) for patient, rows in (by_patient[i] for i in drawn)]


def _label_shares(dataset: Dataset) -> dict[str, np.ndarray]:
    hot = dataset.labels if dataset.task == "multi-label" else np.eye(len(dataset.classes))[dataset.labels]
    split = dataset.samples["split"].to_numpy()
    return {name: hot[split == name].mean(axis=0) for name in SPLITS}


def _pixel_shares(dataset: Dataset) -> dict[str, np.ndarray]:
    split = dataset.samples["split"].to_numpy()
    shares = {}
    for name in SPLITS:
        rows = np.flatnonzero(split == name)
        rows = rows[splits.systematic(len(rows), min(len(rows), MASKS_COUNTED // len(SPLITS)))]
        counts = [np.bincount(dataset.mask(int(row)).ravel(), minlength=len(dataset.classes) + 1) for row in rows]
        shares[name] = (np.sum(counts, axis=0) / np.sum(counts))[1:]
    return shares
