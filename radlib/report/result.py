"""A Result: one measured cell of a paper table, with everything needed to judge it and to compute it again.

One JSON file a cell, beside it one safetensors file with the predictions it was computed from. Both are written
atomically, the JSON last, and both are checked when read.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load, save

from radlib import atomic, memory
from radlib.errors import RadlibError
from radlib.models import backbones
from radlib.report import journal
from radlib.report.parameters import in_project, list_of_names

Score = Annotated[float, Field(ge=0, le=1)]
FEW_SHOT_MASKS = "figure2_masks"  # the table of the right panel of Figure 2
USUAL_IMAGE_SIZE = 224  # px; the paper's for classification, so file names leave it out
LONGEST_TITLE = 40  # characters of a folder's title in a file name
LONGEST_NAME = 180  # bytes of a file name before its digest and suffix; file systems allow 255 in all
# What a protocol records beside its settings, and no part of the question that a Result answers.
OUTCOMES = ("chosen", "chosen_by_draw", "learning_rate_by_draw")
ORIGIN_WORDS = {"paper": "the paper's data", "stand-in": "stand-in data", "own": "your data"}
MOST_BYTES = 1 << 24  # of the JSON; those of all protocols have 26 kB at most
PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of a Result: no unknown field, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataUsed(Record):
    """Which images: `origin` says whether they are the paper's, simulated or the reader's own.

    `truth_sha256` is of the labels or masks (see `recording.truth_sha256`); Results of radlib 0.1 have none.
    """

    dataset: str
    title: str
    origin: Literal["paper", "stand-in", "own"]
    note: str
    fingerprint: Sha256
    split_sha256: Sha256
    truth_sha256: Sha256 | None = None
    classes: tuple[str, ...]
    images: dict[str, int]
    patients: dict[str, int]

    @property
    def key(self) -> tuple[str, ...]:
        """What the data are: equal for the same images, patients, split and labels, wherever they lie on disk."""
        return self.dataset, self.fingerprint, self.split_sha256, self.truth_sha256 or ""

    def is_comparable(self, other: "DataUsed") -> bool:
        """Whether published Results on these data belong beside a run on `other`.

        They do if both are copies of one of the paper's datasets and these are the paper's own images, or if both are
        the same images, patients, split and labels or masks; of Results without `truth_sha256`, whose labels or masks
        cannot be compared, the names of the classes must agree. The name of a dataset or folder alone is never enough.
        """
        if self.origin == "paper" and self.dataset == other.dataset:
            return True
        truths = {self.truth_sha256, other.truth_sha256} - {None}
        same = all(getattr(self, name) == getattr(other, name) for name in ("fingerprint", "split_sha256", "classes"))
        return same and len(truths) < 2


class BackboneUsed(Record):
    """Which weights; `weights_sha256` hashes the state dict as loaded. Without a backbone `image_size` is 0."""

    id: str
    title: str
    weights_sha256: str
    image_size: int
    runtime: str

    @property
    def called(self) -> str:
        """What pages call it: its title in the registry today; that of the record for one outside it."""
        return backbones.spec(self.id).title if self.id in backbones.names() else self.title


class Interval(Record):
    """Percentile interval; `unit` is what was resampled: patients, or patients and with each one draw of several."""

    low: Score
    high: Score
    level: float = 0.95
    resamples: int
    resamples_used: int
    unit: Literal["patient", "patient and draw"] = "patient"

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


Segmenter = Literal["linear", "unet_decoder", "unet", "transunet"]
Classifier = Literal[
    "linear_probe", "logistic_regression", "knn", "weighted_knn", "few_shot", "bitfit", "lora", "fine_tune"
]
Protocol = Classifier | Segmenter
SEGMENTERS: tuple[Segmenter, ...] = get_args(Segmenter)
PROTOCOLS: tuple[Protocol, ...] = (*get_args(Classifier), *SEGMENTERS)
Control = Literal["", "shuffled labels", "shortcut"]
Scored = Literal["all", "without relatives"]


class Masks(Record):
    """What the masks of a segmenter are worth beyond the one score.

    dice, jaccard: of every class over all test pixels together; None for a class no true test mask has (`absent` names
    them). A case is an image, or a scan of several slices: `case_dice` is the mean over `cases` of each one's mean over
    the classes it has; `cases_empty` more have no foreground, true or predicted, and no Dice. `case_dice_per_class`
    averages one class over the cases that have it. `by_scan` holds each scan's Dice by class where cases are scans.
    hd95_mm: 95th percentile Hausdorff distance in mm, mean over the cases in which truth and prediction have the class,
    `hd95_missed` the number in which only one has; both empty where the release tells no spacing.
    """

    dice: dict[str, Score | None]
    jaccard: dict[str, Score | None]
    absent: tuple[str, ...] = ()
    case: Literal["image", "scan"]
    case_dice: Score
    case_interval: Interval
    cases: Annotated[int, Field(gt=0)]
    cases_empty: Annotated[int, Field(ge=0)] = 0
    case_dice_per_class: dict[str, Score | None]
    by_scan: dict[str, dict[str, Score | None]] = {}
    hd95_mm: dict[str, Annotated[float, Field(ge=0)] | None] = {}
    hd95_missed: dict[str, int] = {}


class Result(Record):
    """One cell.

    `scored` says which test images count (``all``, or ``without relatives``: those without a near-equal patient id in
    train); `n_images` counts them, or the studies where the images of a study are one case (`unit`). `seconds` holds
    wall times by stage; `predictions_sha256` is of the safetensors file beside the JSON with `rows` `(n,)` (numbers of
    the images or studies in the dataset's order), `labels` `(n,)` or `(n, K)`, `patients` `(n,)` (consecutive numbers,
    not ids), `scores` `(n, K)`, or `(D, n, K)` where the protocol was repeated over D draws, and one `group_<name>`
    `(n,)` for every entry of `groups`: the position of the sample's group there, -1 where it is not known.

    `control` marks rows that should know nothing: a head fitted to shuffled labels, or one that sees only what the
    acquisition tells. `shots` is the number of patients a class of a few-shot row (of training images where masks are
    drawn), None for all of them. With draws `value` is their mean and `draws` holds each. A segmenter's `value` is the
    mean of Dice and Jaccard, macro over foreground classes, over all test pixels together; its predictions are
    `counts` `(n, K, 3)`, or `(D, n, K, 3)` (pixels in both masks, predicted, true; see `evaluate.overlap`), with
    `patients` and `cases` `(n,)`, and `masks` says the rest. `left_out`
    names patients whose images were not trained on. `trainable_parameters` counts what was fitted, the chosen head
    included; `peak_memory_mb` is the process's largest resident memory (a GPU's largest allocation on one) in MB.
    `record_sha256` is of all other fields (`_sum_of`); files of radlib 0.1 have none.
    """

    schema_version: Literal[1] = 1
    table: Annotated[str, Field(pattern="^[a-z0-9_]+$")]  # a folder is called so
    protocol: Protocol
    control: Control = ""
    shots: Annotated[int, Field(gt=0)] | None = None
    scored: Scored
    metric: Literal["macro AUROC", "mean of Dice and Jaccard"] = "macro AUROC"
    value: Score
    interval: Interval
    per_class: dict[str, float | None]
    draws: tuple[Score, ...] = ()
    masks: Masks | None = None
    left_out: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = {}
    n_images: Annotated[int, Field(gt=0)]
    unit: Literal["image", "study"] = "image"
    n_patients: Annotated[int, Field(gt=0)]
    seed: int
    data: DataUsed
    backbone: BackboneUsed
    chosen: dict[str, float | str]
    chosen_how: str
    candidates: tuple[dict[str, float | str | bool | None], ...]
    hyperparameters: dict[str, JsonValue]
    preprocessing: str
    trainable_parameters: Annotated[int, Field(gt=0)] | None = None
    peak_memory_mb: Annotated[float, Field(gt=0)] | None = None
    seconds: dict[str, float]
    device: str
    versions: dict[str, str]
    commit: str
    predictions_sha256: Sha256
    record_sha256: Sha256 | None = None

    @property
    def cell(self) -> str:
        """Eight hex digits of the question this Result answers: data, weights, protocol and settings.

        A rerun of the same question has the same ones. Its answer (what validation chose, values, times) does not
        count, nor do the table, the number of resamples, the machine and the version.
        """
        settings = {name: value for name, value in self.hyperparameters.items() if name not in OUTCOMES}
        question = {
            "data": (*self.data.key, *self.data.classes),
            "backbone": self.backbone.model_dump(exclude={"title"}),
            "settings": settings,
            **self.model_dump(include={"protocol", "control", "shots", "scored", "left_out", "seed", "preprocessing"}),
        }
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """File name without suffix; unique within a table: words for a reader, then `cell`.

        Results of radlib 0.1, which record no digest of labels or masks, have the words alone.
        """
        dataset = self.data.dataset
        if dataset == "manifest":  # the title is the name of the reader's folder
            title = re.sub(r"[\W_]+", "_", self.data.title.lower())[:LONGEST_TITLE]
            dataset = title.strip("_") or dataset
        parts = [dataset, re.sub(r"[^\w.-]", "_", self.backbone.id), self.protocol]
        if self.backbone.image_size not in (0, USUAL_IMAGE_SIZE):
            parts.append(f"{self.backbone.image_size}px")
        if self.protocol == "few_shot":
            parts.append("all_patients" if self.shots is None else f"{self.shots:02d}_patients")
        if self.control:
            parts.append(self.control.replace(" ", "_"))
        if self.protocol in SEGMENTERS and self.table == FEW_SHOT_MASKS:
            parts.append("all_images" if self.shots is None else f"{self.shots:03d}_images")
        if self.left_out:
            parts.append("without_" + re.sub(r"[^A-Za-z0-9]+", "_", "_".join(self.left_out)))
        if self.scored != "all":
            parts.append(self.scored.replace(" ", "_"))
        words = "__".join(parts)
        if self.data.truth_sha256 is None:
            return words
        return words.encode()[:LONGEST_NAME].decode(errors="ignore") + f"__{self.cell}"


def datasets(results: Iterable[Result]) -> list[DataUsed]:
    """The data that `results` were measured on, each once (see `DataUsed.key`), in order of first appearance."""
    found: dict[tuple[str, ...], DataUsed] = {}
    for each in results:
        found.setdefault(each.data.key, each.data)
    return list(found.values())


def write(result: Result, predictions: dict[str, np.ndarray], folder: Path) -> Path:
    """Put `result` and its `predictions` into ``folder/<table>/``; returns the JSON's path.

    The checksums in the written record are those of the predictions given and of the record itself. An earlier answer
    to the same question (see `Result.cell`) is replaced.
    """
    content = save({name: np.ascontiguousarray(array) for name, array in predictions.items()})
    record = result.model_copy(update={"predictions_sha256": hashlib.sha256(content).hexdigest()})
    target = make_folder(folder, record.table)
    path = target / f"{record.name}.json"
    try:
        atomic.replace(path.with_suffix(".safetensors"), content)
        fields = record.model_dump(mode="json")
        atomic.replace(path, (json.dumps({**fields, "record_sha256": _sum_of(fields)}, indent=1) + "\n").encode())
    except OSError as error:
        raise RadlibError(f"The result cannot be written to {target} ({error.strerror}); make room there.") from error
    journal.note(path)
    return path


def make_folder(folder: Path, table: str) -> Path:
    """The folder ``folder/<table>/``, made if it is not there; RadlibError if it cannot be."""
    try:
        (folder / table).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RadlibError(
            f"Results cannot be written to {folder / table} ({error.strerror}); name another results_dir."
        ) from error
    return folder / table


def read(path: Path) -> Result:
    """The Result in the JSON file `path`; raises RadlibError naming the first field that is wrong, or the checksum."""
    content = _content(path)
    try:
        found = Result.model_validate_json(content, strict=True)
        fields = json.loads(content, object_pairs_hook=_once)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RadlibError(f"{path}: {place}: {first['msg']}; delete the file and run its notebook again.") from error
    except ValueError as error:
        raise RadlibError(f"{path}: {error}; delete the file and run its notebook again.") from error
    if found.record_sha256 not in (None, _sum_of(fields)):
        raise RadlibError(
            f"{path}: record_sha256 is not that of the other fields, so one of them was changed or the disk failed; "
            "delete the file and run its notebook again."
        )
    return found


def _content(path: Path) -> bytes:
    """The bytes of `path`; refuses a pipe, which would never end, and a file larger than any Result."""
    try:
        if not os.path.isfile(path):
            fault = "is not a regular file" if os.path.lexists(path) else "does not exist"
            raise RadlibError(f"{path} {fault}; check the path.")
        if (size := os.path.getsize(path)) > MOST_BYTES:
            raise RadlibError(f"{path} takes {memory.amount(size)}, a Result at most {memory.amount(MOST_BYTES)}.")
        return path.read_bytes()
    except OSError as error:
        raise RadlibError(f"{path} cannot be read ({error.strerror}); check the path and its permissions.") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands there twice")
    return fields


def _sum_of(fields: dict[str, object]) -> str:
    """SHA-256 of a record's `fields` but the sum itself: as JSON, keys sorted, without spaces."""
    others = {name: value for name, value in fields.items() if name != "record_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """The arrays beside the Result at `path`; raises RadlibError if they are not those the Result was computed from."""
    beside = path.with_suffix(".safetensors")
    try:
        content = beside.read_bytes()
        if hashlib.sha256(content).hexdigest() != read(path).predictions_sha256:
            raise RadlibError(f"{beside} is not what {path.name} was computed from; run its notebook again.")
        return dict(load(content))
    except (OSError, SafetensorError) as error:
        raise RadlibError(f"{beside} cannot be read ({error}); run its notebook again.") from error


def published(table: str) -> list[Result]:
    """Results of `table` that come with the repository, measured on real images; none without a checkout."""
    return [read(path) for path in published_paths(table)]


def published_paths(table: str) -> list[Path]:
    """Where the Results of `published` lie: the paper's datasets first, rows by protocol and as in Table 2."""
    protocols, known = PROTOCOLS, backbones.names()

    def place(path: Path) -> tuple[object, ...]:
        found = read(path)
        backbone = known.index(found.backbone.id) if found.backbone.id in known else len(known)
        row = bool(found.control), protocols.index(found.protocol), backbone, found.shots or 10**9, found.scored
        return found.data.origin != "paper", found.data.title, *row

    return sorted(paths(PUBLISHED, table), key=place)


def paths(folder: Path | str, table: str) -> list[Path]:
    """Results of `table` below `folder`, by file name; none if the folder is absent."""
    return sorted((in_project(folder) / table).glob("*.json"))


def folders(given: object, usual: Sequence[str], parameter: str) -> list[Path]:
    """The folders of Results that a page's `parameter` names, one or a list; the `usual` ones where it names none.

    Raises RadlibError for a folder that is not there or holds no Result; the usual ones may be missing.
    """
    named = list_of_names(given or ())
    if not isinstance(named, (list, tuple)) or not all(isinstance(name, str) for name in named):
        raise RadlibError(f"Parameter '{parameter}' is {given!r}: folders are wanted, as ['results/own'].")
    for folder in map(in_project, named):
        if not any(folder.glob("*/*.json")):
            fault = "holds no Result, a JSON file in a table's folder" if folder.is_dir() else "is no folder"
            raise RadlibError(f"{folder} {fault}; '{parameter}' names what the results_dir of a run was.")
    return [in_project(name) for name in named or usual]
