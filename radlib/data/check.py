"""`radlib data check`: what is right and wrong with a copy of a dataset, before anything is computed from it.

Headers are read and contents compared, pixels only when asked for (`deep`). Findings have a level: ``error`` is what
makes numbers wrong or a run stop, ``warning`` what a reader of the numbers must know, ``note`` what is as it may be.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from radlib.data import audit, catalog, duplicates, origin, pictures, slice_cache, volumes
from radlib.data.dataset import MASKS, Dataset
from radlib.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from radlib.data.problems import FolderError
from radlib.data.splits import SPLITS
from radlib.errors import RadlibError, plain

Level = Literal["error", "warning", "note"]
SHOWN = 5  # names of a finding that the text shows; JSON holds them all
READERS = 4
CLIPPED = 0.05  # share of pixels that a window may cut off without a word
AIR_NOISE = 150  # HU by which noise takes air below the window of CT, which starts at air; cutting it off loses nothing
# Of the pixels of an image; the last are how many are 0 and how many have its lowest value.
MOMENTS = ["n", "sum", "squares", "low", "high", "fractions", "zeros", "lowest"]
EXACT = 1e-4  # how near to 0, 1 and -1 the ends of an image are that was scaled to them


@dataclass(frozen=True)
class Finding:
    """One thing that was seen: its level, a sentence, the files or patients it is about, and the remedy."""

    level: Level
    what: str
    where: tuple[str, ...] = ()
    remedy: str = ""


@dataclass
class Report:
    """What was looked at and found; `counts` has a row a split: images and patients here and in the paper.

    `fingerprint` is the dataset's, empty where it could not be opened.
    """

    dataset: str
    root: str
    origin: str = ""
    note: str = ""
    fingerprint: str = ""
    counts: list[dict[str, object]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    deep: bool = False

    @property
    def exit_code(self) -> int:
        """0 without errors, 1 with one or more."""
        return int(any(finding.level == "error" for finding in self.findings))

    def add(self, level: Level, what: str, where: "tuple[str, ...] | list[str]" = (), remedy: str = "") -> None:
        """Put down one finding."""
        self.findings.append(Finding(level, what, tuple(where), remedy))

    def as_json(self) -> str:
        """The report with stable keys."""
        return json.dumps({**asdict(self), "exit_code": self.exit_code}, indent=1, ensure_ascii=False)

    def as_text(self) -> str:
        """The report for people: counts, then findings, the worst first."""
        lines = [f"{self.dataset} in {self.root}" + (f": {self.origin}" if self.origin else ""), self.note]
        if self.counts:
            lines.append(f"{'':12}{'images':>10}{'paper':>10}{'patients':>10}{'paper':>10}")
            for row in self.counts:
                numbers = [row[key] for key in ("images", "paper_images", "patients", "paper_patients")]
                lines.append(
                    f"{row['split']:12}"
                    + "".join(f"{'–' if number is None else f'{number:,}':>10}" for number in numbers)
                )
        for level in ("error", "warning", "note"):
            for finding in (found for found in self.findings if found.level == level):
                lines.append(f"{level.upper():8}{finding.what}")
                lines += [f"{'':8}  {name}" for name in finding.where[:SHOWN]]
                if len(finding.where) > SHOWN:
                    lines.append(f"{'':8}  and {len(finding.where) - SHOWN:,} more (--json lists them)")
                if finding.remedy:
                    lines.append(f"{'':8}  → {finding.remedy}")
        n = sum(finding.level == "error" for finding in self.findings)
        lines.append("No error was found." if not n else f"{n} error{'s' if n > 1 else ''} found.")
        return "\n".join(plain(line) for line in lines if line)


def check(name: str, root: Path | str, deep: bool = False, split_file: str = "", progress: bool = True) -> Report:
    """Look at the copy of dataset `name` in `root`; `deep` decodes every image and mask too.

    What keeps the folder from being opened is reported as errors, all of it. Raises RadlibError only for an unknown
    name.
    """
    catalog.check_name(name)
    report = Report(name, str(root), deep=deep)
    try:
        dataset = catalog.open_dataset(name, root, split_file=split_file, progress=progress)
    except FolderError as error:
        for sentence in error.problems:
            report.add("error", sentence)
        return report
    except RadlibError as error:
        report.add("error", str(error))
        return report
    report.origin, report.note = dataset.origin, dataset.note
    try:
        report.fingerprint = dataset.fingerprint
    except RadlibError as error:
        report.add("error", str(error))
    _counts(report, dataset)
    _patients(report, dataset)
    _spellings(report, dataset)
    _labels(report, dataset)
    _headers(report, dataset, progress)
    _orientations(report, dataset)
    _duplicates(report, dataset)
    if deep:
        _decode(report, dataset.segmentation or dataset, progress)
    return report


def _n(n: int, one: str, many: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _pixels(array: np.ndarray) -> str:
    """``512 × 400 pixels``, rows first, of the last two axes."""
    return f"{array.shape[-2]} × {array.shape[-1]} pixels"


def _counts(report: Report, dataset: Dataset) -> None:
    known = origin.paper_counts(dataset.name).set_index("split")
    differing = []
    for row in origin.counts(dataset.samples).to_dict("records"):
        line: dict[str, object] = {"split": row["split"], "images": row["images"], "patients": row["patients"]}
        for what in ("images", "patients"):
            number = known[what].get(row["split"])
            line[f"paper_{what}"] = None if number is None or np.isnan(number) else int(number)
        report.counts.append(line)
        if line["paper_images"] not in (None, row["images"]):
            differing.append(str(row["split"]))
    if differing and dataset.origin == "own" and len(known):
        report.add("note", f"The counts of {', '.join(differing)} are not the paper's.")


def _patients(report: Report, dataset: Dataset) -> None:
    """Patients in two splits, and ids that differ by a closing letter."""
    sets = dataset.samples.groupby("patient", sort=False)["split"].nunique()
    torn = [str(patient) for patient in sets.index[sets > 1]]
    if torn:
        report.add(
            "error", f"In two splits: {_n(len(torn), 'patient')}.", torn, "put all images of a patient into one split."
        )
    families = audit.near_equal_ids(dataset.samples)
    crossing = families[families["splits"].str.contains(" ") & (families["spellings"] > 1)]
    if len(crossing):
        n = int(audit.test_rows_with_relatives(dataset.samples).sum())
        report.add(
            "warning",
            f"{_n(len(crossing), 'family', 'families')} of patient ids that differ by a closing letter in two splits; "
            f"{_n(n, 'test image')} with such a relative in train.",
            crossing["patients"].tolist(),
            "if they are one person each, give them one id; else read results without them too.",
        )


def _spellings(report: Report, dataset: Dataset) -> None:
    """What the reader of the folder warns of, such as two spellings of one patient's id; of masks too."""
    masks = dataset.segmentation.warnings if dataset.segmentation else ()
    for sentence in dict.fromkeys((*dataset.warnings, *masks)):
        what, _, remedy = sentence.rpartition("; ")
        report.add("warning", f"{what}.", (), remedy)


def _labels(report: Report, dataset: Dataset) -> None:
    """Classes that a split lacks."""
    if dataset.task == "segmentation":
        return
    hot = dataset.labels if dataset.labels.ndim == 2 else np.eye(len(dataset.classes), dtype=int)[dataset.labels]
    for split in SPLITS:
        inside = hot[(dataset.samples["split"] == split).to_numpy()]
        absent = [name for name, n in zip(dataset.classes, inside.sum(axis=0), strict=True) if n == 0]
        if absent:
            level: Level = "error" if split == "train" else "warning"
            report.add(level, f"No image in {split} bears {len(absent)} of the classes.", absent)


def _headers(report: Report, dataset: Dataset, progress: bool) -> None:
    """Pictures that are none. Volumes, masks and .mat files were looked at when the folder was opened."""
    names = dataset.samples["image"].unique().tolist()
    flat = [name for name in names if Path(name).suffix.lower() in pictures.SUFFIXES]
    sizes = pictures.sizes(dataset.root, flat, progress)
    broken = [name for name, size in zip(flat, sizes, strict=True) if size is None]
    if broken:
        words = f"{len(broken):,} files are no whole pictures." if len(broken) > 1 else "1 file is no whole picture."
        report.add("error", words, broken, "take them from the release again.")


def _duplicates(report: Report, dataset: Dataset) -> None:
    table = dataset.samples
    split = table.groupby("image", sort=False)["split"].first()
    truths = [_truth(each) for each in (dataset, dataset.segmentation) if each is not None]
    groups = duplicates.same(dataset.root, table["image"].tolist())
    across = [group for group in groups if split[list(group)].nunique() > 1]
    within = [group for group in groups if split[list(group)].nunique() == 1]
    disagree = [group for group in groups if any(len({truth(name) for name in group}) > 1 for truth in truths)]
    for level, found, words in (
        ("error", across, "in two splits"),
        ("warning", within, "in one split"),
    ):
        if found:
            report.add(
                "error" if level == "error" else "warning",
                f"There more than once, {words}: {_n(len(found), 'image')}.",
                [" = ".join(group) for group in found],
                "keep one of each, or put them into one split.",
            )
    if disagree:
        report.add(
            "warning",
            f"There more than once with different labels or masks: {_n(len(disagree), 'image')}.",
            [" = ".join(group) for group in disagree],
            "find out which is right; scores on them contradict each other.",
        )


def _truth(dataset: Dataset) -> Callable[[str], object]:
    """Image -> what is said of it: its label, or the content of its masks."""
    rows = dataset.samples.drop_duplicates("image").set_index("image", drop=False).to_dict("index")
    place = {name: k for k, name in reversed(list(enumerate(dataset.samples["image"])))}

    def of(name: str) -> object:
        masks = [str(rows[name][column]) for column in MASKS if column in rows[name]]
        if not masks:
            return tuple(np.atleast_1d(dataset.labels[place[name]]).tolist())
        return tuple(duplicates.content(dataset.root / mask) for mask in masks)

    return of


def _decode(report: Report, dataset: Dataset, progress: bool) -> None:
    """Every image and mask once: what cannot be read, images without any contrast, masks without any foreground."""
    if dataset.prepare is not None:
        dataset.prepare(progress)
    paths = dataset.samples["image"].tolist()
    where = (
        [f"{path}, slice {k}" for path, k in zip(paths, dataset.samples["slice"], strict=True)]
        if ("slice" in dataset.samples)
        else paths
    )

    present = np.zeros((len(dataset), len(dataset.classes)), dtype=bool)  # classes of the masks
    full = np.zeros(len(dataset), dtype=bool)  # masks without any background
    moments, cut = np.zeros((len(dataset), len(MOMENTS))), np.zeros((len(dataset), 2))

    def look(row: int) -> tuple[str, bool]:
        try:
            pixels = dataset.read(row)
            stored = _stored(dataset, row, pixels)
            moments[row], cut[row] = _moments(stored), _cut(dataset, stored)
            if dataset.read_mask is not None:
                mask = dataset.mask(row)
                if mask.shape != pixels.shape[1:]:
                    return f"the mask of {where[row]} has {_pixels(mask)} and the image {_pixels(pixels)}", False
                if mask.max(initial=0) > len(dataset.classes):
                    return f"the mask of {where[row]} holds {mask.max()}; 0 to {len(dataset.classes)} are known", False
                full[row] = mask.all()
                present[row] = np.bincount(mask.ravel(), minlength=1 + len(dataset.classes))[1:] > 0
            return "", bool(np.ptp(pixels) == 0)
        except RadlibError as error:
            return str(error), False

    with ThreadPoolExecutor(READERS) as pool:
        seen = list(
            tqdm(pool.map(look, range(len(dataset))), "decoding", len(dataset), unit="image", disable=not progress)
        )
    wrong = list(dict.fromkeys(sentence for sentence, _ in seen if sentence))
    flat = [where[row] for row, (_, constant) in enumerate(seen) if constant]
    if wrong:
        report.add(
            "error",
            f"Not usable: {_n(len(wrong), 'image or mask', 'images or masks')}.",
            wrong,
            "put whole files of the same size in their place, of a release by taking it again.",
        )
    if flat:
        report.add("warning", f"One value throughout: {_n(len(flat), 'image')}.", flat)
    _normalized(report, dataset, moments)
    _clipped(report, dataset, moments[:, 0], cut)
    if dataset.read_mask is not None and not wrong:
        _foreground(report, dataset, present)
        _all_foreground(report, dataset, full)


def _orientations(report: Report, dataset: Dataset) -> None:
    """Volumes stored along other axes than most of their cohort."""
    codes = pd.Series({image: "".join(volumes.header(dataset.root / image).codes) for image in dataset.planes or ()})
    if codes.nunique() > 1:
        counts = codes.value_counts(sort=False).sort_values(ascending=False, kind="stable")
        usual = counts.index[0]
        if 2 * counts.iloc[0] > len(codes):
            odd = codes[codes != usual]
            what = f"Stored along other axes than the rest ({usual}): {_n(len(odd), 'volume')}."
        else:
            odd = codes
            listed = ", ".join(f"{code} {n}" for code, n in counts.items())
            what = f"Stored along {len(counts)} different axes ({listed}): {_n(len(odd), 'volume')}."
        report.add(
            "warning",
            what,
            [f"{image} ({code})" for image, code in odd.items()],
            "slices are turned upright by the header; see that left and right are right there.",
        )


def _moments(pixels: np.ndarray) -> tuple[float, ...]:
    """`MOMENTS` of an image or slice; ``fractions`` is 1 where any pixel is not a whole number, else 0."""
    wide = pixels.astype(np.float64)
    low, fractions = wide.min(), float((pixels != np.rint(pixels)).any())
    whole = wide.size, wide.sum(), (wide**2).sum(), low, wide.max(), fractions
    return *whole, (wide == 0).sum(), (wide == low).sum()


def _stored(dataset: Dataset, row: int, pixels: np.ndarray) -> np.ndarray:
    """The slice of `row` as its volume holds it, before any window; of a picture its `pixels`."""
    image = str(dataset.samples["image"].iloc[row])
    plane = (dataset.planes or {}).get(image)
    if plane is None:
        return pixels
    return slice_cache.cut(dataset.root / image, plane, int(dataset.samples["slice"].iloc[row]))


def _cut(dataset: Dataset, stored: np.ndarray) -> tuple[int, int]:
    """How many pixels of a `stored` slice lie below (by more than the noise of air) and above its dataset's window."""
    if dataset.window is None:
        return 0, 0
    return int((stored < dataset.window[0] - AIR_NOISE).sum()), int((stored > dataset.window[1]).sum())


def _normalized(report: Report, dataset: Dataset, moments: np.ndarray) -> None:
    """Images whose values were normalized before: standardized, by ImageNet's statistics, or exactly to a unit range.

    Standardized are images with negative values whose mean is 0 and deviation 1, alone or together with their cohort,
    counting all pixels or those that are not background (0 or the lowest value). Small physical units, as of ADC maps
    in mm²/s, are none of these.

    moments: `(N, 8)`, `MOMENTS` of every row; zeros where it could not be read.
    """
    images = dataset.samples["image"].to_numpy()
    rows = pd.DataFrame(moments, columns=MOMENTS)
    rows["lowest"] = rows["lowest"].where(rows["low"] == rows.groupby(images)["low"].transform("min"), 0)
    how = dict.fromkeys(MOMENTS, "sum") | {"low": "min", "high": "max", "fractions": "max"}
    found = rows.groupby(images, sort=False).agg(how)
    found = found[found["fractions"] > 0]
    found["low_sum"], found["low_squares"] = found["lowest"] * found["low"], found["lowest"] * found["low"] ** 2
    cohort = found.agg(dict.fromkeys(found.columns, "sum") | {"low": "min"}).to_frame().T
    darkest, brightest = (-IMAGENET_MEAN / IMAGENET_STD).ravel(), ((1 - IMAGENET_MEAN) / IMAGENET_STD).max()
    by_imagenet = np.isclose(found["low"].to_numpy()[:, None], darkest, atol=0.01).any(axis=1)
    by_imagenet &= (found["high"] <= brightest + 0.01).to_numpy()
    low, high = found["low"], found["high"]
    to_unit = np.isclose(high, 1, atol=EXACT) & (np.isclose(low, 0, atol=EXACT) | np.isclose(low, -1, atol=EXACT))
    everywhere = bool(_standardized(cohort).any())
    names = found.index[everywhere | _standardized(found) | by_imagenet | to_unit].tolist()
    if names:
        report.add(
            "warning",
            f"Normalized already, by their values: {_n(len(names), 'image')}.",
            names,
            "export them in the units of the scanner: every image is scaled when it is read.",
        )


def _standardized(found: pd.DataFrame) -> pd.Series:
    """Which rows have negative values, mean 0 and deviation 1: all pixels, all but 0, or all but the lowest value."""
    standard = pd.Series(False, index=found.index)
    nothing = 0 * found["n"]
    backgrounds = [(nothing, nothing, nothing), (found["zeros"], nothing, nothing)]
    for n, total, squares in [*backgrounds, (found["lowest"], found["low_sum"], found["low_squares"])]:
        inside = (found["n"] - n).replace(0, np.nan)
        mean = (found["sum"] - total) / inside
        deviation = ((found["squares"] - squares) / inside - mean**2).clip(lower=0) ** 0.5
        standard |= mean.abs().lt(0.1) & deviation.sub(1).abs().lt(0.1)
    return standard & found["low"].lt(0)


def _clipped(report: Report, dataset: Dataset, n: np.ndarray, cut: np.ndarray) -> None:
    """Scans of which the dataset's window cuts off more than `CLIPPED`; pixels and cut ones of every row."""
    if dataset.window is None:
        return
    low, high = dataset.window
    table = pd.DataFrame({"n": n, "below": cut[:, 0], "above": cut[:, 1]})
    found = table.groupby(dataset.samples["image"].to_numpy(), sort=False).sum()
    found = found[(found["below"] + found["above"]) > CLIPPED * found["n"]]
    if len(found):
        rows = zip(found.index, found.to_dict("records"), strict=True)
        report.add(
            "warning",
            f"More than {CLIPPED:.0%} of the pixels outside the window of {low:g} to {high:g}, which clips them: "
            f"{_n(len(found), 'scan')}.",
            [
                f"{image}: {row['below'] / row['n']:.0%} below, {row['above'] / row['n']:.0%} above"
                for image, row in rows
            ],
            "see that the values are in the window's units (HU) and that only air and metal are cut off.",
        )


def _all_foreground(report: Report, dataset: Dataset, full: np.ndarray) -> None:
    """Scans (of pictures: images) whose mask has no background; `full` is `(N,)` bool."""
    whole = pd.Series(full).groupby(dataset.samples["image"].to_numpy(), sort=False).all()
    if whole.any():
        report.add(
            "warning",
            f"Mask that is all foreground: {_n(int(whole.sum()), 'scan' if dataset.planes else 'image')}.",
            whole.index[whole].tolist(),
            "look at the mask; a drawing that fills its image is rare, one saved wrongly is not.",
        )


def _foreground(report: Report, dataset: Dataset, present: np.ndarray) -> None:
    """Splits and scans (of pictures: images) whose masks lack classes; `present` is `(N, K)` bool."""
    for split in SPLITS:
        inside = present[(dataset.samples["split"] == split).to_numpy()]
        if len(inside) and not inside.any():
            report.add(
                "error", f"No mask in {split} holds any foreground.", (), "look at the masks or split the cohort anew."
            )
        elif len(inside) and (absent := [c for c, n in zip(dataset.classes, inside.sum(axis=0), strict=True) if not n]):
            report.add("warning", f"No mask in {split} holds {len(absent)} of the classes.", absent)
    bare = pd.Series(~present.any(axis=1)).groupby(dataset.samples["image"].to_numpy(), sort=False).all()
    if bare.any():
        kind = "scan" if dataset.planes else "image"
        report.add(
            "warning",
            f"Mask without any foreground: {_n(int(bare.sum()), kind)}.",
            bare.index[bare].tolist(),
            "see that nothing is to be outlined there; otherwise outline it or leave it out.",
        )
