"""One segmenter on one dataset, its Result, and its masks of the test images as files that a viewer opens."""

from collections.abc import Mapping
from pathlib import Path

from radlib.data import catalog, predicted_masks
from radlib.errors import RadlibError
from radlib.evaluate import native_masks
from radlib.evaluate.segmentation import Segmented
from radlib.models import backbones, decoders
from radlib.report import mask_experiment, result, segmenting
from radlib.report.mask_experiment import MaskExperiment, Segmenting, split_of
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
    opened = catalog.open_dataset(dataset, root, settings.protocol, settings.split_file)
    if masks is not None:
        predicted_masks.check_folder(opened, masks)
    (path,) = segmenting.measure(opened, settings, TABLE, progress)
    written: list[Path] = []
    if masks is not None:
        begun = MaskExperiment(opened, settings, TABLE, path.parent.parent)
        rows = split_of(begun).test
        written = predicted_masks.write(opened, native_masks.predicted(opened, _fitted(begun, progress), rows), masks)
    return result.read(path), written


def _fitted(begun: MaskExperiment, progress: bool) -> Segmented:
    """The segmenter that `segmenting.measure` has fitted, from its checkpoint."""
    settings, split = begun.settings, split_of(begun)
    (kind,) = settings.segmenters
    if kind in decoders.BLOCKS:
        backbone = backbones.load(settings.backbones[0], settings.image_size, settings.seed)
        tokens = segmenting.tokens_of(begun, backbone, progress)
        return segmenting.fit_decoder(begun, backbone, tokens, kind, split, settings.schedule(), progress)
    return segmenting.fit_scratch(begun, kind, split, settings.schedule(together=False), progress)


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
    if written:
        lines.append(f"masks: {len(written)} files in {written[0].parent}")
    return "\n".join(lines)
