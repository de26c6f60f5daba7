"""Which frozen features a page will read, told from its parameters before it runs.

Nothing breaks where this says too little: the page computes what it does not find. A page that is not named here reads
no features, or those of a dozen images (Figure 1, the explorer), which are no job of their own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from radlib.report import cross_task, few_shot, few_shot_masks, fine_tuning, mask_experiment, probing, qualitative, sam
from radlib.report.experiment import Settings
from radlib.report.frozen import Frozen
from radlib.report.mask_experiment import Segmenting
from radlib.report.parameters import list_of_names

Parameters = Mapping[str, Any]  # name -> value, all those of a notebook


def frozen(page: str, parameters: Parameters) -> list[Frozen]:
    """The features that `page` reads with these parameters, each once.

    Raises RadlibError for parameters that the page would refuse.
    """
    asked = _PAGES[page](parameters) if page in _PAGES else []
    return list(dict.fromkeys(asked))


def _for_classifiers(settings: Settings) -> list[Frozen]:
    return [
        Frozen(dataset, name, settings.image_size, **_how(settings))
        for dataset in settings.datasets
        for name in settings.backbones
    ]


def _for_decoders(settings: Segmenting) -> list[Frozen]:
    if not settings.decoders:
        return []
    return [
        Frozen(dataset, name, settings.image_size, settings.blocks, **_how(settings))
        for dataset in settings.datasets
        for name in settings.backbones
    ]


def _how(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in ("data_root", "protocol", "seed", "device")}


def _table10(given: Parameters) -> list[Frozen]:
    settings = sam.checked(**given)
    return [
        Frozen(dataset, name, sam.fitting_size(name, settings.image_size), samples=settings.samples, **_how(settings))
        for dataset in settings.datasets
        for name in settings.backbones
    ]


def _table09(given: Parameters) -> list[Frozen]:
    settings = cross_task.checked(given)
    return [one for size in settings.image_sizes for one in _for_decoders(settings.at(size))]


def _figure2(given: Parameters) -> list[Frozen]:
    """Parameters of the right panel bear the prefix ``mask_``."""
    both = {name: given[name] for name in few_shot_masks.OF_BOTH_PANELS}
    right = {name.removeprefix("mask_"): value for name, value in given.items() if name.startswith("mask_")}
    left = {name: value for name, value in given.items() if not name.startswith("mask_")}
    found: list[Frozen] = []
    if list_of_names(left["datasets"]):
        found += _for_classifiers(few_shot.checked(**left))
    if list_of_names(right["datasets"]):
        found += _for_decoders(few_shot_masks.checked(**right, **both))
    return found


_PAGES: dict[str, Callable[[Parameters], list[Frozen]]] = {
    "table04": lambda given: _for_classifiers(probing.checked(**given)),
    "table05": lambda given: _for_classifiers(fine_tuning.checked(**given)),
    "table06": lambda given: _for_decoders(mask_experiment.checked(Segmenting, given)),
    "table07": lambda given: _for_decoders(mask_experiment.checked(Segmenting, given)),
    "table08": lambda given: _for_classifiers(fine_tuning.checked(**given)),
    "table09": _table09,
    "table10": _table10,
    "figure2": _figure2,
    "figure3": lambda given: _for_decoders(qualitative.checked(**given)),
}
