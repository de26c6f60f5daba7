"""The patch explorer in a running notebook: the kernel computes what its controls choose, the browser does the rest."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import anywidget
import ipywidgets
import traitlets
from IPython.display import display
from pydantic import field_validator

from radlib.errors import RadlibError
from radlib.models import backbones
from radlib.report import patch_columns, pca_explorer
from radlib.report.parameters import in_project, mapping
from radlib.report.patch_columns import KINDS, Column, PatchSettings
from radlib.report.pca_explorer import PatchSet

SETS_DIR = "_build/pca_sets"  # where the site is built from
EVENLY = "empty: evenly over the patients"


class Explorer(PatchSettings):
    """What the notebook of the explorer takes beside `PatchSettings`.

    `marks` are the patches marked at first, (image, row, column) from 1, of the datasets they name; `sets_dir` is where
    the files go that the page loads.
    """

    marks: Mapping[str, tuple[int, int, int]] = {}
    sets_dir: str = SETS_DIR

    _marks = field_validator("marks", mode="before")(mapping)


def checked(**given: object) -> Explorer:
    """The notebook's parameters with their types and names checked; raises RadlibError naming the first wrong one."""
    settings = patch_columns.checked(Explorer, given)
    for name in settings.marks:
        patch_columns.check_name(name)
    side = settings.image_size // (backbones.spec(settings.backbones[0]).patch or 1)  # a CNN was refused
    for name, mark in settings.marks.items():
        sizes = len(settings.rows.get(name, ())) or settings.images, side, side
        pca_explorer.check_mark(name, mark, sizes)
    pca_explorer.make_folder(in_project(settings.sets_dir))
    return settings


def write(columns: Sequence[Column], settings: Explorer) -> list[PatchSet]:
    """The sets of `columns`, written where the site takes them from."""
    sets = [pca_explorer.patch_set(column, settings.marks.get(column.dataset.name)) for column in columns]
    pca_explorer.write_sets(sets, in_project(settings.sets_dir))
    return sets


class PatchExplorer(anywidget.AnyWidget):
    """The explorer's module with one set; `state` is what its reader has chosen, as `explorer/state.mjs` names it."""

    _esm = pca_explorer.module()
    _css = pca_explorer.style()
    sets = traitlets.List().tag(sync=True)  # of a page without a kernel
    features = traitlets.Bytes().tag(sync=True)
    norms = traitlets.Bytes().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def show(self, patches: PatchSet) -> None:
        """Show `patches` in place of what was shown."""
        with self.hold_sync():  # one message, so that the browser never sees half a set
            self.features = patches.features.astype("<f2").tobytes()
            self.norms = patches.norms.astype("<f4").tobytes()
            self.about = patches.about()


class Live:
    """Dataset, images, backbone and resolution to choose, a progress bar, and the explorer below.

    `box` is the widget to display, `explorer` the explorer in it. What `settings` says stands in the controls at first.
    """

    def __init__(self, settings: PatchSettings, first: PatchSet | None = None) -> None:
        self.settings = settings
        self.explorer = PatchExplorer()
        vits = [name for name in backbones.names() if backbones.spec(name).family == "vit"]
        vits.sort(key=lambda name: not backbones.weights_at_hand(name))
        self.dataset = ipywidgets.Dropdown(options=list(KINDS), value=settings.datasets[0], description="Dataset")
        self.rows = ipywidgets.Text(placeholder=EVENLY, description="Images")
        self.backbone = ipywidgets.Combobox(options=vits, value=settings.backbones[0], description="Backbone")
        self.image_size = ipywidgets.BoundedIntText(
            settings.image_size, min=14, max=2048, step=14, description="Pixels"
        )
        self.button = ipywidgets.Button(description="Show", button_style="primary")
        self.progress = ipywidgets.IntProgress(0, 0, settings.images, description="Features")
        self.said = ipywidgets.HTML()
        self.button.on_click(lambda _: self.compute())
        choices = ipywidgets.GridBox(
            [self.dataset, self.rows, self.backbone, self.image_size],
            layout={"grid_template_columns": "repeat(auto-fit, minmax(18rem, 1fr))"},
        )
        line = ipywidgets.HBox([self.button, self.progress, self.said])
        self.box = ipywidgets.VBox([choices, line, self.explorer])
        if first is not None:
            self.explorer.show(first)

    def compute(self) -> None:
        """Features of what the controls say, from the cache where they lie there, into the explorer."""
        self.button.disabled, self.progress.value, self.said.value = True, 0, ""
        try:
            self.explorer.show(self._looked_at())
        except RadlibError as error:
            self.said.value = escape(str(error))
        finally:
            self.button.disabled = False

    def _looked_at(self) -> PatchSet:
        given = {
            **self.settings.model_dump(),
            "datasets": (self.dataset.value,),
            "backbones": (self.backbone.value,),
            "image_size": self.image_size.value,
            "rows": {},
        }
        settings = patch_columns.checked(
            PatchSettings, {k: v for k, v in given.items() if k in PatchSettings.model_fields}
        )
        cohort = patch_columns.open_cohort(self.dataset.value, settings.data_root, settings.protocol)
        if cohort.dataset is None:
            raise RadlibError(cohort.missing)
        rows = _numbers(self.rows.value) or patch_columns.rows_of(cohort.dataset, settings.images)
        self.progress.max = len(rows)
        backbone = backbones.load(settings.backbones[0], settings.image_size, settings.seed)
        column = patch_columns.look(cohort.dataset, rows, backbone, settings.device, False, self._told)
        computed = column.seen.computed
        self.said.value = f"{computed} of {len(rows)} images computed, the others were kept from before."
        return pca_explorer.patch_set(column)

    def _told(self, done: int) -> None:
        self.progress.value = done


def show(sets: Sequence[PatchSet], settings: PatchSettings) -> Live:
    """Display the explorer: with its controls where a kernel runs, else (on a page) the same module with `sets`.

    Both are one output, of which a notebook takes the widget and a page without Python the HTML.
    """
    live = Live(settings, sets[0])
    bundle: dict[str, Any] = {**live.box._repr_mimebundle_(), "text/html": pca_explorer.page_html(sets)}
    display(bundle, raw=True)
    return live


def _numbers(text: str) -> list[int]:
    """``"3, 8 12"`` -> [3, 8, 12]; raises RadlibError for anything else."""
    words = text.replace(",", " ").split()
    if not all(re.fullmatch("[0-9]{1,9}", word) for word in words):
        raise RadlibError(f"'{text}' names no images; write their numbers, e.g. 0, 7, 14, 20, or leave it empty.")
    return [int(word) for word in words]
