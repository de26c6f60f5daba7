"""What each point at which paper and code part is worth, measured on the images at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radlib.data.dataset import Dataset
from radlib.evaluate import features, inference
from radlib.evaluate.auroc import Ranking
from radlib.evaluate.linear_probe import linear_probe
from radlib.models import backbones
from radlib.paper.differences import Difference, differences
from radlib.report import experiment, few_shot_masks, html_table, probing, result, scoring, segmenting, significance
from radlib.report.blocks import whose
from radlib.report.experiment import Settings
from radlib.report.few_shot_masks import FewShotMasks
from radlib.report.html_table import Interval
from radlib.report.leaderboard import METHOD_WORDS
from radlib.report.mask_experiment import Segmenting
from radlib.report.probing import Probing
from radlib.report.result import Result

Arrays = Mapping[str, NDArray]
# The class that the authors' code adds, last, and the point that it is.
ADDED_CLASS = {"nih_chest_xray": "no-finding", "chexpert": "uncertain"}


@dataclass(frozen=True)
class Effect:
    """One point of ``differences.toml`` (`id`) measured: a score our way, the authors' way, and what lies between.

    `of` says on which images and rows, `metric` what the scores are. `interval` is of theirs less ours over resampled
    patients; None where the two were not scored on the same images in the same way.
    """

    id: str
    of: str
    metric: str
    ours: float
    theirs: float
    interval: Interval | None = None

    @property
    def difference(self) -> float:
        """Theirs less ours."""
        return self.theirs - self.ours


def measure(probes: Probing | None, masks: Segmenting | None) -> list[Effect]:
    """`of_classification` and `of_masks` of what can be opened; a dataset that cannot is named in a printed line.

    Raises RadlibError when none can be opened.
    """
    asked = [settings for settings in (probes, masks) if settings is not None]
    cohorts = [
        [experiment.open_cohort_of(name, each.data_root, "ours", masks=each.masks) for name in each.datasets]
        for each in asked
    ]
    if cohorts:
        experiment.opened([cohort for of_one in cohorts for cohort in of_one])
    effects: list[Effect] = []
    for settings, of_one in zip(asked, cohorts, strict=True):
        here = [each.dataset for each in of_one if each.dataset is not None]
        effects += of_classification(here, settings) if isinstance(settings, Probing) else of_masks(here, settings)
    return effects


def of_classification(datasets: Sequence[Dataset], settings: Probing) -> list[Effect]:
    """What the choice of the head, and the authors' way to prepare each of `datasets`, do to a linear probe.

    The first backbone of `settings` is probed. Results go to ``<results_dir>/ours`` and ``…/authors``.
    """
    found = []
    for dataset in datasets:
        ours = _probe(dataset, settings, "ours")
        found.append(chosen_on_test(dataset, settings, ours))
        if dataset.name in (*ADDED_CLASS, "brain_tumor"):
            paths = [ours, _probe(_authors(dataset, settings), settings, "authors")]
            found += _transposed(paths) if dataset.name == "brain_tumor" else _other_classes(paths)
    return found


def chosen_on_test(dataset: Dataset, settings: Probing, ours: Path) -> Effect:
    """The linear probe `ours`, its head chosen on validation, beside the best on test of as many heads.

    Both learned train and validation.
    """
    begun = experiment.begin(dataset, _narrow(settings, "ours"), "table04")
    backbone = backbones.load(settings.backbones[0], settings.image_size, settings.seed)
    frozen = features.extract(dataset, backbone, settings.device).linear_inputs()
    inputs = {name: begun.whole.mean(values) for name, values in frozen.items()}
    labels, split, n = begun.whole.labels, begun.split, begun.n_classes
    test = np.flatnonzero(split == "test")
    # The test rows once more, in the place of validation, and validation among what is learned.
    peeking = linear_probe(
        {name: np.concatenate([values, values[test]]) for name, values in inputs.items()},
        np.concatenate([labels, labels[test]]),
        np.concatenate([np.where(split == "validation", "train", split), np.full(len(test), "validation")]),
        n_classes=n, epochs=settings.epochs, seed=settings.seed, refit=False,
    )  # fmt: skip
    honest, value = result.read_predictions(ours), result.read(ours).value
    theirs = Ranking(honest["labels"], peeking.scores, honest["patients"])
    difference, interval = inference.paired_difference(
        theirs, scoring.together(honest), resamples=settings.resamples, seed=settings.seed
    )
    of = f"{dataset.title}, {result.ORIGIN_WORDS[dataset.origin]}: {backbone.spec.title}, linear probe"
    return Effect("choice-on-test", of, "macro AUROC", value, value + difference, (interval.low, interval.high))


def _narrow(settings: Probing, protocol: str) -> Probing:
    """`settings` with one backbone and one protocol of fitting, and a folder for this way of preparing."""
    return settings.model_copy(
        update={"backbones": settings.backbones[:1], "protocols": ("linear_probe",), "controls": False,
                "protocol": protocol, "results_dir": f"{settings.results_dir}/{protocol}"}
    )  # fmt: skip


def _probe(dataset: Dataset, settings: Probing, protocol: str) -> Path:
    return probing.probe_backbones(dataset, _narrow(settings, protocol))[0]


def _authors(dataset: Dataset, settings: Settings) -> Dataset:
    """`dataset` as the authors' code prepares and splits it."""
    asked = settings.model_copy(update={"datasets": (dataset.name,), "protocol": "authors"})
    (found,) = experiment.open_datasets(asked)
    return found


def _transposed(paths: Sequence[Path]) -> list[Effect]:
    return [_contrast("brain-transposed", paths)]


def _other_classes(paths: Sequence[Path]) -> list[Effect]:
    """A class more in the mean; and, on NIH Chest X-ray, a validation split that cuts through a patient."""
    (ours, mine), (theirs, arrays) = ((result.read(path), result.read_predictions(path)) for path in paths)
    scores, labels, patients = arrays["scores"][:, :-1], arrays["labels"][:, :-1], arrays["patients"]
    fourteen = Ranking(labels, scores, patients)
    of = f"{_of(theirs)}, the same predictions with the class and without"
    found = [Effect(ADDED_CLASS[ours.data.dataset], of, ours.metric, fourteen.value, theirs.value)]
    if ours.data.dataset == "nih_chest_xray":
        _, spread = inference.paired_difference(fourteen, scoring.together(mine), seed=ours.seed)
        of, interval = f"{_of(theirs)}, fourteen classes", (spread.low, spread.high)
        found.append(Effect("validation-cut", of, ours.metric, ours.value, fourteen.value, interval))
    return found


def of_masks(datasets: Sequence[Dataset], settings: Segmenting) -> list[Effect]:
    """What the authors' ways do to decoders: Montgomery's films, and MSD Heart's slices as they lie.

    Results go to folders below ``<results_dir>``, one a way.
    """
    found = []
    for dataset in datasets:
        if dataset.name == "montgomery":
            found += _of_films(dataset, settings)
        elif dataset.name == "msd_heart":
            theirs = _decode(_authors(dataset, settings), settings, "authors", protocol="authors")
            found.append(_contrast("heart-as-stored", [_decode(dataset, settings, "ours"), theirs]))
    return found


def _of_films(dataset: Dataset, settings: Segmenting) -> list[Effect]:
    plain = _decode(dataset, settings, "ours")
    ending = _decode(dataset, settings, "authors", ending="authors")
    turned = _decode(dataset, settings, "views", views=3)
    return [
        _contrast("ending", [plain, ending]),
        _contrast("decoder-views", [plain, turned]),
        _pooled(result.read(plain)),
        _equal_passes(dataset, settings),
    ]


def _decode(dataset: Dataset, settings: Segmenting, folder: str, **changes: object) -> Path:
    ours = {"segmenters": ("unet_decoder",), "backbones": settings.backbones[:1],
            "results_dir": f"{settings.results_dir}/{folder}"}  # fmt: skip
    narrow = settings.model_copy(update=ours | changes)
    return segmenting.measure(dataset, narrow, "table06")[0]


def _pooled(found: Result) -> Effect:
    assert found.masks is not None
    pooled = float(np.mean([dice for dice in found.masks.dice.values() if dice is not None]))
    of = f"{_of(found)}: ours per {found.masks.case}, theirs over all pixels"
    return Effect("pooled", of, "Dice", found.masks.case_dice, pooled)


def _equal_passes(dataset: Dataset, settings: Segmenting) -> Effect:
    """One training image: as many steps as over all, or as many passes."""
    values = []
    for folder, same_steps in (("ours", True), ("authors", False)):
        changes: dict[str, object] = {"datasets": (dataset.name,), "segmenters": ("unet_decoder",), "images": (1,)}
        changes |= {"backbones": settings.backbones[:1], "draws": 1, "same_steps": same_steps}
        changes |= {"results_dir": f"{settings.results_dir}/{folder}"}
        asked = FewShotMasks.model_validate(settings.model_dump() | changes)
        results = [result.read(path) for path in few_shot_masks.measure(dataset, asked)]
        values.append(next(each for each in results if each.shots == 1))
    ours, theirs = values
    return Effect("equal-passes", f"{_of(ours)}, one training image", ours.metric, ours.value, theirs.value)


def of_results(published: Sequence[Path], this_run: Sequence[Path]) -> list[Effect]:
    """What Results already at hand tell: relatives across the split, and what one draw of few patients hides."""
    found = []
    probes = [each for each in map(result.read, published) if each.protocol == "linear_probe" and not each.control]
    probes = [each for each in probes if each.backbone.id != "vits14_random"]
    by_row = {(each.backbone.id, each.scored): each for each in probes if each.data.dataset == "brain_tumor"}
    for (name, scored), each in by_row.items():
        if scored == "all" and (without := by_row.get((name, "without relatives"))):
            found.append(
                Effect("relatives", f"{_of(each)}: without them, and with", each.metric, without.value, each.value)
            )
    few = [each for each in map(result.read, this_run) if each.protocol == "few_shot" and each.draws]
    few = [each for each in few if each.scored == "all" and each.backbone.id != "vits14_random"]
    for each in few:
        if each.shots == min(other.shots or 0 for other in few if other.data.key == each.data.key):
            spread = f"draws from {min(each.draws):.3f} to {max(each.draws):.3f}"
            of = f"{_of(each)}, {each.shots} a class; {spread}"
            found.append(Effect("few-shot-draw", of, each.metric, each.value, each.draws[0]))
    return found


def _of(found: Result) -> str:
    return f"{whose(found)}: {found.backbone.called}, {METHOD_WORDS[found.protocol]}"


def _contrast(name: str, paths: Sequence[Path]) -> Effect:
    (contrast,) = significance.against_first(paths)
    ours, theirs, spread = contrast.reference, contrast.row, contrast.interval
    return Effect(name, _of(ours), ours.metric, ours.value, theirs.value, (spread.low, spread.high))


def effects_html(effects: Sequence[Effect]) -> str:
    """Every effect measured, a line each, in the order of the points."""
    titles = {each.id: each.title for each in differences()}
    effects = sorted(effects, key=lambda each: list(titles).index(each.id))
    lines = html_table.head(
        ["Point", "Theirs less here", "Here", "Theirs", "Metric"],
        "Scores on test our way and the authors', and theirs less ours with its 95 % interval over patients where both "
        "were scored on the same images. ▲ and ▼: the interval leaves zero out. ≈: it holds zero, so these images do "
        "not show an effect. Without a sign: no interval can be given.",
    )
    for each in effects:
        low, high = each.interval or (0, 0)
        sign = "" if not each.interval else "≈" if low <= 0 <= high else "▲" if each.difference > 0 else "▼"
        lines.append(
            "<tr>"
            + html_table.name_cell(titles[each.id], each.of)
            + html_table.difference_cell(each.difference, sign, each.interval)
            + html_table.number_cell(each.ours)
            + html_table.number_cell(each.theirs)
            + html_table.text_cell(each.metric)
            + "</tr>"
        )
    return "\n".join([*lines, html_table.TAIL])


def stage_html(where: str, effects: Sequence[Effect]) -> str:
    """The points of one stage: paper, code, here, how to have theirs, and what it is worth or why that is not known."""
    return "\n".join(_point(each, effects) for each in differences() if each.where == where)


def _point(point: Difference, effects: Sequence[Effect]) -> str:
    lines = [
        ("The paper", point.paper),
        ("Its code", point.code),
        ("Here", point.here),
        ("To have theirs", point.theirs),
    ]
    mine = [each for each in effects if each.id == point.id]
    worth = [f"{each.of}: {each.ours:.3f} here, {each.theirs:.3f} theirs, {_signed(each)}" for each in mine]
    if not mine:
        worth = [f"not measured. {point.unmeasured}" if point.unmeasured else "not measured in this run."]
    lines += [("What it is worth", words) for words in worth]
    said = "".join(f'<p class="line"><strong>{name}</strong> {escape(words)}</p>' for name, words in lines if words)
    return f'<section class="radlib-claim" id="{point.id}"><p class="says">{escape(point.title)}</p>{said}</section>'


def _signed(each: Effect) -> str:
    spread = f" [{each.interval[0]:+.3f}, {each.interval[1]:+.3f}]" if each.interval else ""
    return f"{each.difference:+.3f}{spread}"
