"""The patch explorer: sets of images with their patch features, and the ES module that works on them in the browser.

The module is written in `explorer/`, a file an idea, and handed over as one (`module`): to a notebook by
`live_explorer`, to a page without Python by `page_html`, which gives it a stand-in for the widget's model.

What a set holds instead of whole tokens: their projections on `DIRECTIONS` directions, the right singular vectors of
the tokens as they are (not centred), and each token's whole length. Cosines and fits are worked out from these in the
browser, whose own PCA then follows every slider; components worked out beforehand would fix threshold and fit. The
projection is the best of its rank for inner products; `CosineError` is what it costs.
"""

import base64
import errno
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radlib import atomic
from radlib.errors import RadlibError
from radlib.evaluate import patch_pca
from radlib.report import cohorts, html_table
from radlib.report.patch_columns import Column

SOURCES = Path(__file__).with_name("explorer")
FILES = ("eigenvectors", "components", "files", "panels", "scatter", "state", "controls", "view", "explorer")
DIRECTIONS = 128
ASKED = 400  # patches whose cosines to all others are compared
PICTURE, JPEG_QUALITY = 320, 85  # px and per cent, of the gray images
TILE = 150  # px, of an image in the picture shown without scripts
PLACE = "radlib-explorer"  # id of the element that the module fills


@dataclass(frozen=True)
class CosineError:
    """How far cosines from projections lie from those of whole tokens: mean, 99th percentile and largest."""

    mean: float
    most_of_99_percent: float
    largest: float


@dataclass(frozen=True, eq=False)
class PatchSet:
    """n images for the explorer.

    `features` (n, h, w, d) float16 are the tokens' projections, `norms` (n, h, w) float32 their whole lengths, `mark`
    the number of the patch that is marked at first. `pictures` (n, S, S) uint8; the rest is told in words. `error` is
    that of cosines of tokens as they are, `own_error` of tokens less the mean of their own image.
    """

    id: str
    kind: str
    title: str
    source: str
    note: str
    names: tuple[str, ...]
    pictures: NDArray[np.uint8]
    features: NDArray[np.float16]
    norms: NDArray[np.float32]
    mark: int
    error: CosineError
    own_error: CosineError

    def about(self) -> dict[str, Any]:
        """Everything but the arrays, as the module takes it."""
        n, h, w, d = self.features.shape
        words = {name: getattr(self, name) for name in ("id", "kind", "title", "source", "note")}
        images = [_data_url(picture) for picture in self.pictures]
        return {**words, "n": n, "h": h, "w": w, "d": d, "names": list(self.names), "images": images, "mark": self.mark}

    def script(self) -> str:
        """A classic script that leaves the set in ``window.radlibPca``: the only kind a page opened from disk loads."""
        arrays = {"features": self.features.astype("<f2"), "norms": self.norms.astype("<f4")}
        encoded = {name: base64.b64encode(array.tobytes()).decode() for name, array in arrays.items()}
        return f"(window.radlibPca ??= {{}})[{json.dumps(self.id)}] = {json.dumps({**self.about(), **encoded})};\n"


def patch_set(column: Column, mark: tuple[int, int, int] | None = None) -> PatchSet:
    """What the explorer needs of `column`; `mark` is (image, row, column) from 1, by default `telling_patch`.

    Raises RadlibError for a mark that is no patch of these images.
    """
    n, h, w, width = column.seen.tokens.shape
    if mark is not None:
        check_mark(column.dataset.title, mark, (n, h, w))
    tokens = column.seen.tokens.reshape(-1, width).astype(np.float64)
    directions = np.linalg.eigh(tokens.T @ tokens)[1][:, ::-1][:, : min(DIRECTIONS, width)]
    features = (tokens @ directions).astype(np.float16)
    norms = np.linalg.norm(tokens, axis=1).astype(np.float32)
    side = min(PICTURE, column.seen.squares.shape[-1])
    gray = np.round(255 * column.seen.squares).astype(np.uint8)
    pictures = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.LANCZOS)) for one in gray]
    return PatchSet(
        id=column.dataset.name,
        kind=column.kind,
        title=column.dataset.title,
        source=column.source,
        note=cohorts.what_it_is(column.dataset),
        names=column.names,
        pictures=np.stack(pictures),
        features=features.reshape(n, h, w, -1),
        norms=norms.reshape(n, h, w),
        mark=telling_patch(column.seen.tokens)
        if mark is None
        else int(np.ravel_multi_index(np.subtract(mark, 1), (n, h, w))),
        error=cosine_error(tokens, features, norms),
        own_error=cosine_error(tokens, features, norms, h * w),
    )


def check_mark(name: str, mark: tuple[int, int, int], sizes: tuple[int, int, int]) -> None:
    """RadlibError if `mark`, (image, row, column) from 1, is none of `sizes` images, rows and columns."""
    if not all(1 <= place <= size for place, size in zip(mark, sizes, strict=True)):
        n, h, w = sizes
        raise RadlibError(f"{name} has no patch {mark} in 'marks'; marks are image 1-{n}, row 1-{h}, column 1-{w}.")


def cosine_error(
    tokens: NDArray[np.float64], features: NDArray[np.float16], norms: NDArray[np.float32], per_image: int = 0
) -> CosineError:
    """Cosines of `ASKED` patches, evenly over all, with every patch: from `features` and `norms` against `tokens`.

    With `per_image` patches an image, of tokens less the mean of their own image; as the module works them out.
    """
    asked = np.unique(np.linspace(0, len(tokens) - 1, ASKED).round().astype(int))
    z = features.astype(np.float64)
    found = _cosines(z, norms.astype(np.float64), asked, per_image)
    error = np.abs(np.clip(found, -1, 1) - _cosines(tokens, np.linalg.norm(tokens, axis=1), asked, per_image))
    error[np.arange(len(asked)), asked] = 0  # the page gives a patch's cosine to itself as 1
    return CosineError(float(error.mean()), float(np.percentile(error, 99)), float(error.max()))


def _cosines(
    x: NDArray[np.float64], norms: NDArray[np.float64], asked: NDArray[np.intp], per_image: int
) -> NDArray[np.float64]:
    """Cosines (Q, N) of rows `asked` of `x` (N, D) with all; `norms` (N,) are lengths of what `x` may be a part of."""
    mean = np.zeros_like(x)
    if per_image:
        images = x.reshape(-1, per_image, x.shape[1])
        mean = np.repeat(images.mean(axis=1), per_image, axis=0)
    length = np.sqrt(np.maximum(norms**2 - 2 * (x * mean).sum(axis=1) + (mean**2).sum(axis=1), 0))
    own = x - mean
    return own[asked] @ own.T / (length[asked][:, None] * length)


def telling_patch(tokens: NDArray[np.floating]) -> int:
    """A patch to mark at first, of `tokens` (n, h, w, D): the kept one of the middle image whose cosines vary most.

    It is unlike about as many kept patches as it is like, so its map shows parts. Tokens are less their image's mean.
    """
    n, h, w, width = tokens.shape
    try:
        kept = patch_pca.picture(tokens).foreground.ravel()
    except RadlibError:  # too few patches, or all alike: any is as good
        return 0
    own = tokens.astype(np.float64) - tokens.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    unit = own.reshape(-1, width) / np.maximum(np.linalg.norm(own, axis=-1).reshape(-1, 1), 1e-12)
    here = np.flatnonzero(kept & (np.arange(len(kept)) // (h * w) == n // 2))
    others = np.flatnonzero(kept)[:: max(1, kept.sum() // ASKED)]
    return int(here[np.var(unit[here] @ unit[others].T, axis=1).argmax()]) if len(here) else 0


def module() -> str:
    """The explorer as one ES module: the files of `explorer/` in a row, without what they import from each other."""
    parts = []
    for name in FILES:
        text = (SOURCES / f"{name}.mjs").read_text(encoding="utf-8")
        text = re.sub(r"^import .*;\n", "", text, flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?!default)", "", text, flags=re.MULTILINE))
    return "\n".join(parts)


def style() -> str:
    """The explorer's style sheet."""
    return (SOURCES / "explorer.css").read_text(encoding="utf-8")


def write_sets(sets: Sequence[PatchSet], folder: Path) -> list[Path]:
    """Write each set's script to `folder` as ``pca-<id>.js``, in place of those that are there; returns the files.

    Raises RadlibError when the folder cannot be written.
    """
    paths = [folder / _script_name(one) for one in sets]
    make_folder(folder)
    try:
        for earlier in set(folder.glob(_script_name(None))) - set(paths):
            earlier.unlink()  # of a run with other sets; the site takes what lies here
        for one, path in zip(sets, paths, strict=True):
            atomic.replace(path, one.script().encode())
    except OSError as error:
        raise _not_written(folder, error) from error
    return paths


def make_folder(folder: Path) -> None:
    """The folder of the sets, made if it is not there; RadlibError if nothing can be put there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _not_written(folder, error) from error


def _not_written(folder: Path, error: OSError) -> RadlibError:
    return RadlibError(f"The sets cannot be written to {folder} ({error.strerror}); name another sets_dir.")


def page_html(sets: Sequence[PatchSet], static: str = "_static") -> str:
    """The explorer on a page without Python, whose sets lie in the site's folder `static` (see `write_sets`).

    Without scripts, or should they fail, a picture of the first set and a sentence stand there.
    """
    listed = [
        {
            "id": one.id,
            "kind": one.kind,
            "title": one.title,
            "source": one.source,
            "src": f"{static}/{_script_name(one)}",
        }
        for one in sets
    ]
    first = sets[0]
    alt = (
        f"{first.kind}, {first.title}: {len(first.names)} images above, below them the same images as patches in the "
        "colours of three principal components."
    )
    return f"""<style>{style()}</style>
<div id="{PLACE}"><figure><img class="dark-light" src="{_still(first)}" alt="{escape(alt)}">
<figcaption>{escape(alt)}</figcaption></figure>
<noscript><p>Exploring needs JavaScript, which is off here; the picture is the first set.</p></noscript></div>
<script type="text/plain" id="{PLACE}-module">{_inside_script(module())}</script>
<script type="application/json" id="{PLACE}-sets">{_inside_script(json.dumps(listed))}</script>
<script type="module">
const text = (id) => document.getElementById(id).textContent;
const heard = {{}}, kept = {{ sets: JSON.parse(text("{PLACE}-sets")) }};
const model = {{
  get: (name) => kept[name],
  set: (name, value) => {{ kept[name] = value; (heard[`change:${{name}}`] ?? []).forEach((call) => call()); }},
  save_changes() {{}}, send() {{}},
  on: (event, call) => (heard[event] ??= []).push(call),
  off: (event, call) => {{ heard[event] = (heard[event] ?? []).filter((one) => one !== call); }},
}};
const address = URL.createObjectURL(new Blob([text("{PLACE}-module")], {{ type: "text/javascript" }}));
(await import(address)).default.render({{ model, el: document.getElementById("{PLACE}") }});
</script>"""


def table_html(sets: Sequence[PatchSet]) -> str:
    """What each set holds and what its projection costs."""
    lines = html_table.head(
        ["Set", "Patches", "MB", "Cosines", "Off by: mean", "99 % below", "Largest"],
        f"What the page loads of each set, and how far its cosines lie from those of whole tokens: {ASKED} patches "
        "with all others.",
    )
    for one in sets:
        n, h, w, _ = one.features.shape
        for error, words in ((one.error, "as they are"), (one.own_error, "less their image's mean")):
            cells = html_table.name_cell(f"{one.kind}: {one.title}", one.source)
            cells += html_table.number_cell(n * h * w, f"{n} × {h} × {w}", decimals=0)
            cells += html_table.number_cell(len(one.script()) / 1e6, decimals=1)
            cells += html_table.text_cell(words)
            cells += "".join(html_table.number_cell(value, decimals=4) for value in asdict(error).values())
            lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, html_table.TAIL])


def _script_name(one: PatchSet | None) -> str:
    return f"pca-{'*' if one is None else one.id}.js"


def _inside_script(text: str) -> str:
    """`text` so that no ``</script>`` in it ends the element it stands in."""
    return text.replace("</", "<\\/")


def _data_url(picture: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _still(one: PatchSet) -> str:
    """The set's images and, below, their patches by the rules, as the address of a small PNG."""
    n = len(one.names)
    try:
        rgb = patch_pca.picture(one.features).rgb
    except RadlibError:
        rgb = np.zeros((*one.features.shape[:3], 3))
    sheet = Image.new("RGB", (n * TILE, 2 * TILE))
    for k in range(n):
        gray = Image.fromarray(one.pictures[k]).resize((TILE, TILE), Image.Resampling.LANCZOS)
        tile = Image.fromarray(np.round(255 * rgb[k]).astype(np.uint8)).resize((TILE, TILE), Image.Resampling.NEAREST)
        sheet.paste(gray.convert("RGB"), (k * TILE, 0))
        sheet.paste(tile, (k * TILE, TILE))
    file = io.BytesIO()
    sheet.quantize(128).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
