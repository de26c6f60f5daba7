"""Every number at hand on one page: the paper's, those of real images, of simulated ones, the reader's, kept apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Literal, get_args

from radlib import paper
from radlib.models import backbones, segmenters
from radlib.report import html_table, labels, result, significance
from radlib.report.chips import strip
from radlib.report.result import Result
from radlib.report.result_cell import measured_cell

Kind = Literal["paper", "published", "stand-in", "own"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_WORDS: dict[Kind, str] = {
    "paper": "printed in the paper",
    "published": "published here, on real images",
    "stand-in": "this book's run, on stand-ins",
    "own": "your own runs",
}
METHOD_WORDS = {
    "linear_probe": "linear probe",
    "logistic_regression": "logistic regression",
    "knn": "ML-kNN",
    "weighted_knn": "weighted kNN",
    "few_shot": "few-shot probe",
    "bitfit": "BitFit",
    "lora": "LoRA",
    "fine_tune": "fine-tuning",
    "linear": "linear decoder",
    "unet_decoder": "U-Net decoder",
    "unet": "U-Net",
    "transunet": "TransUNet",
}
METRICS = {"auroc": "macro AUROC", "score": "mean of Dice and Jaccard"}
TABLE_WORDS = {"figure2": "Figure 2", "figure2_masks": "Figure 2", "figure3": "Figure 3"}


@dataclass(frozen=True)
class Entry:
    """One number: whose it is (`kind`), of what (`dataset`, `row`, `method`), the `tables` it stands in, its Result.

    `found` is None for what the paper prints.
    """

    kind: Kind
    dataset: str
    row: str
    note: str
    method: str
    tables: tuple[str, ...]
    metric: str
    value: float
    found: Result | None = None

    @property
    def ranked(self) -> bool:
        """Whether the row has a place: controls have none."""
        return self.found is None or not self.found.control

    @property
    def test(self) -> tuple[object, ...]:
        """What two entries must share to stand on one ladder: metric, test images and number of shots."""
        found = self.found
        images = (found.data.key, found.scored, found.shots) if found else ()
        return self.kind, self.dataset, self.metric, images


def printed() -> list[Entry]:
    """Every score that the paper prints, in the order of its Tables 4 to 10."""
    titles = dict(paper.table("table01").set_index("dataset")["title"])
    out = []
    for table in paper.TABLES[3:]:
        rows = paper.table(table)
        column = "auroc" if "auroc" in rows else "score"
        for line in rows.astype(object).fillna("").to_dict("records"):
            method = line.get("segmenter") or line.get("protocol") or "linear_probe"
            name = backbones.spec(line["backbone"]).title if line["backbone"] else segmenters.TITLES[method]
            note = f"{line['image_size']} px" if line.get("image_size") else ""
            entry = Entry("paper", titles[line["dataset"]], name, note, METHOD_WORDS[method], (words(table),),
                          METRICS[column], float(line[column]))  # fmt: skip
            out.append(entry)
    return out


def measured(path: Path, published: bool = False) -> Entry:
    """The Result at `path` as an entry; one that did not come with radlib is a stand-in's or the reader's own."""
    found = result.read(path)
    kind: Kind = "published" if published else "stand-in" if found.data.origin == "stand-in" else "own"
    row, note, method = significance.label(found), ", ".join(_notes(found)), METHOD_WORDS[found.protocol]
    return Entry(kind, found.data.title, row, note, method, (words(found.table),), found.metric, found.value, found)


def described(results: Sequence[Result]) -> list[tuple[str, str]]:
    """The label of each Result, and a note that sets it apart from the others: method, shots, size, settings."""
    names = [significance.label(found) for found in results]
    notes = [[*([] if found.masks else [METHOD_WORDS[found.protocol]]), *_notes(found)] for found in results]
    marks = labels.marks([(name, *note) for name, note in zip(names, notes, strict=True)], results)
    return [
        (name, ", ".join(filter(None, (*note, mark)))) for name, note, mark in zip(names, notes, marks, strict=True)
    ]


def _notes(found: Result) -> list[str]:
    """What may set a Result's row apart from others of the same name."""
    notes = ["control: should know nothing"] if found.control else []
    if found.shots:
        one, more = ("image", "images") if found.masks else ("patient a class", "patients a class")
        notes.append(f"{found.shots} {one if found.shots == 1 else more}")
    if found.masks:
        notes.append(significance.how_in_words(found))
    elif found.backbone.image_size:
        notes.append(f"{found.backbone.image_size} px")
    return notes if found.scored == "all" else [*notes, found.scored]


def words(table: str) -> str:
    """What a table is called, e.g. ``Table 4``."""
    return TABLE_WORDS.get(table) or f"Table {int(table.removeprefix('table'))}"


def merged(entries: Sequence[Entry]) -> list[Entry]:
    """`entries` without second copies: a number that several tables have is one entry that names them all.

    Entries that would still look alike get notes that set them apart: other weights, another seed, other data.
    """
    copies: dict[tuple[object, ...], list[Entry]] = {}
    for each in entries:
        cell = each.found.cell if each.found else ""
        copies.setdefault((each.test, each.row, each.note, each.method, each.value, cell), []).append(each)
    return _set_apart(
        [
            replace(same[0], tables=tuple(dict.fromkeys(name for each in same for name in each.tables)))
            for same in copies.values()
        ]
    )


def _set_apart(entries: Sequence[Entry]) -> list[Entry]:
    """`entries` with what sets data of one title apart in `dataset`, and rows of one name in `note`."""
    out = []
    for kind in KINDS:
        mine = [each for each in entries if each.kind == kind]
        titles = iter(labels.titles([each.found.data for each in mine if each.found]))
        mine = [replace(each, dataset=next(titles)) if each.found else each for each in mine]
        names = [(each.dataset, each.row, each.note, each.method, each.metric) for each in mine]
        marks = labels.marks(names, [each.found for each in mine])
        notes = [", ".join(filter(None, (each.note, mark))) for each, mark in zip(mine, marks, strict=True)]
        out += [replace(each, note=note) for each, note in zip(mine, notes, strict=True)]
    return out


def at_hand(folders: Sequence[Path | str]) -> list[Entry]:
    """What the paper prints, what came with radlib, and the Results in `folders`: stand-ins, and the reader's own."""
    tables = [*paper.TABLES[3:], *TABLE_WORDS]
    published = [measured(path, True) for table in tables for path in result.published_paths(table)]
    found = [measured(path) for table in tables for folder in folders for path in result.paths(folder, table)]
    return merged([*printed(), *published, *found])


def places(entries: Sequence[Entry]) -> list[str]:
    """Each entry's place among those with the same test images, 1 the highest; "" for controls.

    ``≈`` follows where the highest value lies within the entry's interval: the test set does not tell the two apart.
    """
    out = []
    for entry in entries:
        rivals = [other.value for other in entries if other.test == entry.test and other.ranked]
        if not entry.ranked:
            out.append("")
            continue
        place = 1 + sum(value > entry.value for value in rivals)
        close = entry.found is not None and place > 1 and entry.found.interval.high >= max(rivals)
        out.append(f"{place}{' ≈' if close else ''}")
    return out


def table_html(entries: Sequence[Entry], kind: Kind) -> str:
    """The entries of `kind` as a table of ladders, dataset by dataset, each row marked for the page's filter."""
    mine = [entry for entry in entries if entry.kind == kind]
    if not mine:
        return ""
    order = [*paper.table("table01")["title"], *(entry.dataset for entry in mine)]
    mine.sort(key=lambda entry: (order.index(entry.dataset), entry.metric, -entry.value))
    caption = (
        f"{KIND_WORDS[kind].capitalize()}. Place: among rows with the same dataset, metric, test images and number of "
        "shots, 1 the highest."
    )
    if kind != "paper":
        caption += (
            " Below a score its 95 % interval and how many test patients it rests on. ≈ the highest value lies within "
            "that interval. Rows called control have no place."
        )
    lines = html_table.head(["Row", "Dataset", "Score", "Place", "Method", "Where"], caption, tall=True)
    for entry, place in zip(mine, places(mine), strict=True):
        marks = {
            "kind": KIND_WORDS[kind],
            "dataset": entry.dataset,
            "method": entry.method,
            "table": "|".join(entry.tables),
        }
        marked = "".join(f' data-{name}="{escape(value)}"' for name, value in marks.items())
        cells = [
            html_table.name_cell(entry.row, entry.note),
            html_table.text_cell(entry.dataset),
            _score_cell(entry),
            html_table.number_cell(int(place.split()[0]) if place else None, decimals=0, shown=place or "{}"),
            html_table.text_cell(entry.method, note=entry.metric),
            html_table.text_cell(*entry.tables),
        ]
        lines.append(f"<tr{marked}>{''.join(cells)}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _score_cell(entry: Entry) -> str:
    if entry.found is None:
        return html_table.number_cell(entry.value)
    return measured_cell(entry.found, f"{entry.found.n_patients:,} patients")


FILTER = (
    '<div class="radlib-filter" data-by="kind:Whose numbers, dataset:Dataset, method:Method, table:Where" '
    'aria-label="Filter the tables"></div>'
)
"""Where the page's script puts its choices, one a mark of the rows."""


def strip_html(entries: Sequence[Entry]) -> str:
    """How many numbers of each kind are at hand, as one strip."""
    counts = {kind: sum(entry.kind == kind for entry in entries) for kind in KINDS}
    return strip((f"chip-{kind}", f"{n:,} {KIND_WORDS[kind]}") for kind, n in counts.items())
