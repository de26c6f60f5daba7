"""Images of several kinds and their patch tokens: what Figure 1 and the explorer show, one column a dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator

from radlib.data import catalog, open_scans, preprocess, splits
from radlib.data.dataset import Dataset
from radlib.errors import unknown_name
from radlib.evaluate import image_tokens
from radlib.evaluate.image_tokens import Seen
from radlib.models import backbones, runtime
from radlib.models.backbones import Backbone
from radlib.report import account, experiment, provenance
from radlib.report.chips import strip
from radlib.report.experiment import Cohort
from radlib.report.mask_experiment import default_backbones
from radlib.report.parameters import Pixels, Seed, list_of_names, mapping, validated
from radlib.report.result import ORIGIN_WORDS, Record

KINDS = {
    "nih_chest_xray": "X-ray",
    "chexpert": "X-ray",
    "montgomery": "X-ray",
    "shenzhen": "X-ray",
    "sars_cov_2_ct": "CT",
    "amos": "CT",
    "msd_heart": "MRI",
    "brain_tumor": "MRI",
    "chest_ct": "CT",
    "mni_t1": "MRI",
    "manifest": "Your images",
}
OPEN_SCAN_WORDS = "a real open scan"
NAMED = ("stand-in", "paper")  # whose patients may be named; a reader's own stay unnamed


class PatchSettings(Record):
    """Parameters that both notebooks of patch PCA take; each says in its own cell what they mean."""

    datasets: Annotated[tuple[str, ...], Field(min_length=1)]
    data_root: str = ""
    rows: Mapping[str, tuple[Annotated[int, Field(ge=0)], ...]] = {}
    images: Annotated[int, Field(ge=1, le=12)] = 4
    backbones: tuple[str, ...] = ()
    image_size: Pixels = 560  # px
    seed: Seed = 0
    device: str = "auto"
    protocol: Literal["ours", "authors"] = "ours"

    _names = field_validator("datasets", "backbones", mode="before")(list_of_names)
    _rows = field_validator("rows", mode="before")(mapping)


Given = TypeVar("Given", bound=PatchSettings)


def checked(model: type[Given], given: Mapping[str, object]) -> Given:
    """The notebook's parameters with types and names checked; raises RadlibError naming the first wrong one."""
    settings = validated(model, given)
    for name in (*settings.datasets, *settings.rows):
        check_name(name)
    names = settings.backbones[:1] or default_backbones()
    image_tokens.check_backbone(backbones.spec(names[0]), settings.image_size)
    runtime.name(settings.device)
    return settings.model_copy(update={"backbones": tuple(names)})


def check_name(name: str) -> None:
    """Raise RadlibError, naming the nearest, if `name` is neither a dataset nor an open scan."""
    if name not in KINDS:
        raise unknown_name("dataset or open scan", name, KINDS)


@dataclass(frozen=True, eq=False)
class Column:
    """Some `rows` of a dataset as a backbone saw them; `names` says which images they are, as far as may be said."""

    dataset: Dataset
    rows: tuple[int, ...]
    names: tuple[str, ...]
    seen: Seen

    @property
    def kind(self) -> str:
        """X-ray, CT or MRI."""
        return KINDS[self.dataset.name]

    @property
    def source(self) -> str:
        """Whose images these are, in words."""
        return OPEN_SCAN_WORDS if self.dataset.name in open_scans.SCANS else ORIGIN_WORDS[self.dataset.origin]


def look_at(names: Sequence[str], settings: PatchSettings, backbone: Backbone, progress: bool = True) -> list[Column]:
    """A column for each of the datasets and open scans `names`; one that cannot be opened is named in a printed line.

    Raises RadlibError when none can be opened, and as `image_tokens.see`.
    """
    cohorts = [open_cohort(name, settings.data_root, settings.protocol) for name in names]
    columns = []
    for dataset in experiment.opened(cohorts) if names else ():
        rows = settings.rows.get(dataset.name) or rows_of(dataset, settings.images)
        columns.append(look(dataset, rows, backbone, settings.device, progress))
    return columns


def open_cohort(name: str, data_root: str, protocol: str = "ours") -> Cohort:
    """Dataset `name` as `experiment.open_cohort_of` opens it, or the open scan of that name."""
    if name in open_scans.SCANS:
        return Cohort(name, open_scans.open_scan(name))
    catalog.check_name(name)
    return experiment.open_cohort_of(name, data_root, protocol)


def look(
    dataset: Dataset,
    rows: Sequence[int],
    backbone: Backbone,
    device: str = "auto",
    progress: bool = True,
    told: Callable[[int], None] = lambda done: None,
) -> Column:
    """`rows` of `dataset` as `backbone` sees them; arguments and errors are those of `image_tokens.see`."""
    seen = image_tokens.see(dataset, backbone, rows, device, progress, told)
    return Column(dataset, tuple(rows), tuple(name_of(dataset, row) for row in rows), seen)


def rows_of(dataset: Dataset, n: int) -> list[int]:
    """The middle image of `n` patients taken evenly over `dataset`, so that nobody chooses; of an open scan `n` levels.

    Where there are fewer patients, `n` images evenly over all of them.
    """
    if dataset.name in open_scans.SCANS:
        return open_scans.levels(dataset.name, n)
    by_patient = [part.index.to_numpy() for _, part in dataset.samples.groupby("patient", sort=False)]
    if len(by_patient) < n:
        return [int(row) for row in splits.systematic(len(dataset), min(n, len(dataset)))]
    return [int(by_patient[k][len(by_patient[k]) // 2]) for k in splits.systematic(len(by_patient), n)]


def name_of(dataset: Dataset, row: int) -> str:
    """Patient and slice of `row`, or the number of an image whose patient is not to be named."""
    record = dataset.samples.iloc[row]
    slice_ = f"slice {int(record['slice'])}" if "slice" in dataset.samples else ""
    if dataset.name in open_scans.SCANS:
        return slice_
    who = str(record["patient"]) if dataset.origin in NAMED else f"image {row}"
    return ", ".join(part for part in (who, slice_) if part)


def strip_html(columns: Sequence[Column], backbone: Backbone) -> str:
    """One strip: whose images, which encoder, how many patches."""
    chips = [
        ("" if column.source == OPEN_SCAN_WORDS else f"chip-{column.dataset.origin}",
         f"{column.dataset.title}, {column.source}")
        for column in columns
    ]  # fmt: skip
    h, w = columns[0].seen.tokens.shape[1:3]
    chips += [("", backbone.spec.architecture), ("", backbone.spec.pretraining)]
    chips += [("", f"{backbone.image_size} px, {h} × {w} patches")]
    return strip(chips)


def provenance_html(column: Column, backbone: Backbone, device: str = "auto") -> str:
    """A folded box: what the tokens of `column` were made of, to the hash."""
    facts = {
        "Data": f"{column.dataset.title} ({column.source}). {column.dataset.note}",
        "Images": "; ".join(column.names),
        "Their fingerprints": ", ".join(print_[:16] for print_ in column.seen.fingerprints),
        "Preprocessing": f"{column.dataset.preparation} | {preprocess.PREPROCESSING}, {backbone.image_size} px",
        "Tokens": "last block, after the final norm, float16",
        "Runtime": f"{column.seen.runtime} on {provenance.machine(device)}",
        "Versions": ", ".join(f"{name} {number}" for name, number in provenance.versions().items()),
        "Commit": provenance.commit(),
        f"Weights of {backbone.spec.id}": backbone.weights_sha256,
    }
    return account.facts_html(facts.items(), f"{column.kind}, {column.dataset.title}")
