"""One segmenter on one dataset, its Result, and its masks of the test images as files that a viewer opens."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from radlib.data import predicted_masks
from radlib.errors import RadlibError
from radlib.evaluate import native_masks
from radlib.report import experiment, mask_experiment, mask_recording, result, segmenting
from radlib.report.mask_experiment import Segmenting, begin, split_of
from radlib.report.result import Result

TABLE = "segment"  # where the Result goes, below `results_dir`


def segment(
    dataset: str, root: Path, segmenter: str, given: Mapping[str, object], masks: Path | None, progress: bool = True
) -> tuple[Result, list[Path]]:
    """Fit `segmenter` to `dataset` below `root` and score it on test; returns its Result and the masks written.

    given: parameters of `mask_experiment.Segmenting` by name. masks: folder for the masks of the test images, see
    `predicted_masks.write`; None for none. What was fitted before is not fitted again.

    Raises RadlibError for what the notebooks refuse, and before any training for a folder that cannot take the masks.
    """
    if twice := {"datasets", "data_root", "segmenters"} & set(given):
        raise RadlibError(f"'{sorted(twice)[0]}' is told by the command itself; leave that parameter out.")
    settings = mask_experiment.checked(
        Segmenting, {**given, "datasets": (dataset,), "data_root": str(root), "segmenters": (segmenter,)}
    )
    if settings.decoders and len(settings.backbones) != 1:
        raise RadlibError(f"{len(settings.backbones)} backbones would write to one folder; name one in 'backbones'.")
    (opened,) = experiment.open_datasets(settings)
    if masks is not None:
        predicted_masks.check_folder(opened, masks, np.flatnonzero(opened.samples["split"] == "test"))
    begun = begin(opened, settings, TABLE)
    split, backbone = split_of(begun), next(segmenting.loaded(settings), None)
    (kind,) = settings.segmenters
    fit = segmenting.fit_whole(begun, kind, backbone, progress)
    (path,) = mask_recording.record(begun, [segmenting.row(begun, kind, split, [fit])], split)
    written: list[Path] = []
    if masks is not None:
        predicted = native_masks.predicted(opened, fit.segmented, split.test)
        written = predicted_masks.write(opened, predicted, masks)
    return result.read(path), written


def in_words(found: Result, written: list[Path]) -> str:
    """What the command prints at its end."""
    masks = found.masks
    assert masks is not None
    of = f"{found.n_images} images of {found.n_patients} patients"
    classes = ", ".join(f"{name} {value:.3f}" for name, value in masks.dice.items() if value is not None)
    lines = [
        f"score: {found.value:.3f} [{found.interval.low:.3f}, {found.interval.high:.3f}], the mean of Dice and Jaccard",
        f"test: {of}",
        f"Dice by class: {classes}",
        f"Dice per {masks.case}: {masks.case_dice:.3f} "
        f"[{masks.case_interval.low:.3f}, {masks.case_interval.high:.3f}] over {masks.cases}",
    ]
    if masks.absent:
        lines.append(f"without a pixel in test, so not scored: {', '.join(masks.absent)}")
    lines += [f"{scan}: " + ", ".join(f"{name} {value:.3f}" for name, value in dice.items() if value is not None)
              for scan, dice in masks.by_scan.items()]  # fmt: skip
    if not any(masks.dice.values()):
        lines.append("nothing of any class was drawn rightly: more passes, or another loss, may bring it out of there")
    if written:
        lines.append(f"masks: {len(written)} files in {written[0].parent}")
    return "\n".join(lines)
