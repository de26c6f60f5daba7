"""The explorer's page, from its notebook to the built site, in a browser that reaches no host."""

import csv
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

from radlib import cli

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = "notebooks/explore_pca.html"
SIDE = 8  # patches; 112 px
COLOURED, ALIKE = 0, 1  # rows of images
OF_THE_TEST = "Canvas2D: Multiple readback"  # what Chromium says when canvases are read as often as here


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site of two pages: the explorer's notebook run on a folder of pictures and on the open MRI, and a cover."""
    folder = tmp_path_factory.mktemp("explorer")
    ward = folder / "ward"
    ward.mkdir()
    rng = np.random.default_rng(0)
    with open(ward / "manifest.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["image", "patient", "label"])
        for k in range(12):
            picture = rng.integers(0, 60, (64, 64))
            picture[12:52, 8 + k : 40 + k] += 120
            Image.fromarray(picture.astype(np.uint8)).save(ward / f"{k}.png")
            lines.writerow([f"{k}.png", f"p{k}", "even" if k % 2 == 0 else "odd"])
    stage = folder / "stage"
    shutil.copytree(REPOSITORY / "book" / "assets", stage / "book" / "assets")
    (stage / "notebooks").mkdir()
    executed = stage / "notebooks" / "explore_pca.ipynb"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        given = {"datasets": "['manifest', 'mni_t1']", "backbones": "vits14_random", "image_size": "112", "marks": "{}",
                 "sets_dir": str(stage / "book" / "assets")}  # fmt: skip
        arguments = [word for pair in given.items() for word in ("-p", *pair)]
        assert cli.main(["run", "explore", "--data-root", str(ward), "--output", str(executed), *arguments]) == 0
    shutil.copy(REPOSITORY / "book" / "references.bib", stage / "book")
    shutil.copy(REPOSITORY / "_config.yml", stage)
    (stage / "book" / "cover.md").write_text("# Cover\n\n```{bibliography}\n```\n")
    linked = new_notebook(cells=[new_markdown_cell("# Figure 1")])
    nbformat.write(linked, stage / "notebooks" / "figure1_pca.ipynb")
    toc = "format: jb-book\nroot: book/cover\nchapters:\n- file: notebooks/explore_pca\n- file: notebooks/figure1_pca\n"
    (stage / "_toc.yml").write_text(toc)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "-W", "--keep-going", "-q"]
    build = subprocess.run(command, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    yield stage / "_build" / "html"


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    """The site's address on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Opened:
    """The explorer's page with what a test asks of it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def settle(self) -> None:
        """Wait until what was changed is drawn."""
        self.page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")

    def pixels(self, row: int, image: int = 0) -> str:
        """A digest of a canvas's pixels."""
        return self.of(f".radlib-explorer figure:nth-of-type({row + 1}) .rx-image:nth-of-type({image + 1}) canvas")

    def of(self, selector: str) -> str:
        """A digest of the pixels of the canvas at `selector`, read with getImageData."""
        self.settle()
        return self.page.evaluate(
            """(selector) => {
              const canvas = document.querySelector(selector);
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              let sum = 7;
              for (const value of data) sum = (sum * 31 + value) % 4294967291;
              return String(sum);
            }""",
            selector,
        )

    @property
    def points(self) -> str:
        return self.of(".rx-space canvas")

    @property
    def histogram(self) -> str:
        return self.of(".rx-histogram")

    def everything(self) -> list[str]:
        return [self.pixels(row, image) for row in (COLOURED, ALIKE) for image in range(4)] + [self.points]

    def canvas(self, row: int, image: int) -> Any:
        return self.page.locator(".rx-row").nth(row).locator("canvas").nth(image)

    def click(self, row: int, image: int, patch_row: int, patch_column: int) -> None:
        canvas = self.canvas(row, image)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        place = {"x": (patch_column + 0.5) * box["width"] / SIDE, "y": (patch_row + 0.5) * box["height"] / SIDE}
        canvas.click(position=place)

    def slide(self, label: str, value: float) -> None:
        self.page.get_by_label(label, exact=True).fill(str(value))

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_label(label, exact=True).select_option(option)

    @property
    def said(self) -> str:
        self.settle()
        return self.page.locator(".rx-said").text_content()

    def captions(self) -> list[str]:
        self.settle()
        return self.page.locator(".rx-image small span").all_text_contents()


@pytest.fixture
def open_page(built: Path, browser: Any) -> Iterator[Any]:
    """A function that opens the page, from disk by default; fails the test on any error, warning or lost request."""
    contexts, problems = [], []

    def open_it(hash_: str = "", base: str = "", **options: Any) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: said.type in ("error", "warning") and problems.append(said.text))
        if options.get("java_script_enabled", True):  # without, scripts that the theme preloads are dropped
            page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto((base or f"{built.as_uri()}/") + PAGE + hash_)
        page.wait_for_load_state("networkidle")
        if options.get("java_script_enabled", True):
            page.wait_for_selector(".rx-said:not(:empty)")
        return Opened(page)

    yield open_it
    met = [one for one in problems if OF_THE_TEST not in one]  # before closing cuts requests short
    for context in contexts:
        context.close()
    assert not met


@pytest.fixture(params=["disk", "server"])
def opened(request: pytest.FixtureRequest, open_page: Any, served: str) -> Opened:
    return open_page(base=served if request.param == "server" else "")


def test_it_opens_already_showing_something(opened):
    assert len({opened.pixels(COLOURED, image) for image in range(4)}) == 4
    assert len({opened.pixels(ALIKE, image) for image in range(4)}) == 4
    assert "Marked: image" in opened.said and "marked here" in opened.captions()
    assert opened.page.locator("#radlib-explorer :is(noscript, img)").count() == 0, "the picture for no scripts is gone"
    assert opened.page.locator(".rx-message").is_hidden()


def test_a_set_is_loaded_when_it_is_chosen(opened):
    loaded = "() => Object.keys(window.radlibPca)"
    assert opened.page.evaluate(loaded) == ["manifest"]
    before = opened.everything()
    opened.page.get_by_label("MRI").check()
    opened.page.wait_for_function("document.querySelector('.rx-source').textContent.includes('T1 average')")
    assert opened.page.evaluate(loaded) == ["manifest", "mni_t1"]
    assert not set(before) & set(opened.everything())
    opened.page.get_by_label("Your images").check()
    opened.page.wait_for_function("document.querySelector('.rx-source').textContent.includes('your data')")
    assert opened.everything() == before


# control, its value, what changes: (c)oloured patches, (p)oints, (h)istogram, (s)imilarity
CONTROLS = [
    ("Threshold on component 1", 0.7, "cph"),
    ("Opacity", 30, "cs"),
    ("Turn", 80, "p"),
    ("Tilt", -40, "p"),
    ("Fitted to", "joint", "cph"),
    ("Fitted to", "single", "cph"),
    ("Keep", "other", "cph"),
    ("Red", "4", "cp"),
    ("Blue", "0", "cp"),
    ("Red: turned round", True, "cp"),
    ("Colour scale", "deviation", "cp"),
    ("Compare tokens", "whole", "s"),
]


@pytest.mark.parametrize("label, value, changes", CONTROLS, ids=lambda value: str(value))
def test_every_control_changes_its_pictures_and_no_other(open_page, label, value, changes):
    page = open_page()

    def pictures() -> dict[str, str]:
        return {"c": page.pixels(COLOURED), "p": page.points, "h": page.histogram, "s": page.pixels(ALIKE)}

    before = pictures()
    if value == "other":
        ruled = page.page.get_by_label(label, exact=True).locator("option").first.text_content()
        page.choose(label, "below" if "above" in ruled else "above")
    elif value is True:
        page.page.get_by_label(label).check()
    elif isinstance(value, str):
        page.choose(label, value)
    else:
        page.slide(label, value)
    after = pictures()
    changed = "".join(name for name in before if before[name] != after[name])
    # which patch is marked is drawn over both rows and the points, and other fits or cosines mark others
    assert set(changes) <= set(changed) <= set(changes) | ({"c", "p"} if label == "Compare tokens" else set())


def test_reset_brings_the_first_view_back(open_page):
    page = open_page()
    before = page.everything()
    for label, value in (("Threshold on component 1", 0.6), ("Opacity", 10), ("Turn", 100)):
        page.slide(label, value)
    page.choose("Green", "5")
    page.click(COLOURED, 3, 4, 4)
    assert page.everything() != before
    page.page.get_by_role("button", name="Reset").click()
    assert page.everything() == before


def test_otsus_rule_comes_back_by_a_button_that_is_there_only_when_it_does_something(open_page):
    page = open_page()
    rule = page.page.get_by_role("button", name="Back to Otsu's rule")
    assert rule.is_hidden()
    before = page.histogram
    page.slide("Threshold on component 1", 0.77)
    assert page.histogram != before
    rule.click()
    assert page.histogram == before and rule.is_hidden()
    assert "by Otsu's rule" in page.page.locator(".rx-wide output").text_content()


def test_a_click_marks_a_patch_and_maps_what_is_like_it(opened):
    before = opened.pixels(ALIKE, 1)
    opened.click(COLOURED, 0, 4, 3)
    assert opened.said.startswith("Marked: image 1, row 5, column 4")
    assert opened.pixels(ALIKE, 1) != before
    captions = opened.captions()
    assert captions[0] == "marked here"
    assert all(re.fullmatch(r"best match -?\d\.\d\d", caption) for caption in captions[1:])
    opened.click(ALIKE, 2, 0, 7)
    assert opened.said.startswith("Marked: image 3, row 1, column 8")


def test_a_tap_marks_a_patch_on_a_phone(open_page):
    phone = open_page(viewport={"width": 375, "height": 800}, has_touch=True, is_mobile=True)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 375
    canvas = phone.canvas(COLOURED, 1)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    phone.page.touchscreen.tap(box["x"] + box["width"] * 6.5 / SIDE, box["y"] + box["height"] * 2.5 / SIDE)
    phone.page.wait_for_function("document.querySelector('.rx-said').textContent.includes('image 2, row 3, column 7')")


def test_the_pointer_finds_the_same_patch_among_images_and_points(open_page):
    page = open_page()
    row, points = page.pixels(COLOURED), page.points
    page.canvas(COLOURED, 0).hover(position={"x": 60, "y": 60})
    under = page.page.locator(".rx-under")
    page.page.wait_for_function("document.querySelector('.rx-under').textContent.includes('cosine')")
    assert page.pixels(COLOURED) != row and "image 1" in under.text_content()
    page.page.locator(".rx-source").hover()
    page.page.wait_for_function("document.querySelector('.rx-under').textContent === ''")
    assert page.pixels(COLOURED) == row and page.points == points


def test_keys_move_the_mark_and_find_the_patch_most_alike(opened):
    opened.click(COLOURED, 0, 4, 3)
    opened.canvas(COLOURED, 0).focus()
    for key, place in (
        ("ArrowRight", "row 5, column 5"),
        ("ArrowUp", "row 4, column 5"),
        ("ArrowLeft", "row 4, column 4"),
    ):
        opened.page.keyboard.press(key)
        assert opened.said.startswith(f"Marked: image 1, {place}")
    opened.canvas(COLOURED, 1).focus()
    opened.page.keyboard.press("ArrowDown")  # the mark comes over on the way
    assert opened.said.startswith("Marked: image 2, row 5, column 4")
    best = opened.captions()[2]
    opened.canvas(COLOURED, 2).focus()
    opened.page.keyboard.press("Enter")
    assert opened.said.startswith("Marked: image 3, ") and opened.captions()[2] == "marked here" != best


def test_the_points_turn_by_drag_and_by_keys_and_turn_back(opened):
    canvas, before = opened.page.locator(".rx-space canvas"), opened.points
    canvas.focus()
    opened.page.keyboard.press("ArrowRight")
    turned = opened.points
    assert turned != before
    opened.page.keyboard.press("Home")
    assert opened.points == before
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    opened.page.mouse.move(box["x"] + 100, box["y"] + 100)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 160, box["y"] + 120, steps=4)
    opened.page.mouse.up()
    assert opened.points not in (before, turned)
    assert "Marked" in opened.said


def test_a_click_on_a_point_marks_its_patch(open_page):
    page = open_page()
    said = page.said
    canvas = page.page.locator(".rx-space canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for step in range(2, 9):  # somewhere on this line lies a point that is not marked yet
        page.page.mouse.click(box["x"] + box["width"] * step / 10, box["y"] + box["height"] * 0.5)
        page.settle()
    assert page.said != said and page.said.startswith("Marked: image")


def test_the_address_brings_the_view_back(opened):
    opened.page.get_by_label("MRI").check()
    opened.page.wait_for_function("document.querySelector('.rx-source').textContent.includes('T1 average')")
    opened.slide("Threshold on component 1", 0.3)
    opened.choose("Blue", "4")
    opened.slide("Turn", 120)
    opened.click(COLOURED, 1, 3, 3)
    opened.page.mouse.move(0, 0)
    opened.page.wait_for_function("location.hash.includes('mark=')")
    shown, address = opened.everything(), opened.page.url
    assert "set=mni_t1" in address and "threshold=0.3" in address and "rgb=125" in address
    again = opened.page.context.new_page()
    again.goto(address)
    again.wait_for_selector(".rx-said:not(:empty)")
    assert Opened(again).everything() == shown
    again.close()


def test_another_theme_redraws_the_points(open_page):
    page = open_page()
    before, ink = page.points, page.page.evaluate("getComputedStyle(document.querySelector('.radlib-explorer')).color")
    page.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert page.points != before
    assert page.page.evaluate("getComputedStyle(document.querySelector('.radlib-explorer')).color") != ink


def test_every_control_has_a_name_and_every_value_is_told(open_page):
    page = open_page().page
    for kind, least in (
        ("slider", 4),
        ("combobox", 7),
        ("checkbox", 3),
        ("radio", 2),
        ("button", 4),
        ("application", 5),
    ):
        controls = page.locator(".radlib-explorer").get_by_role(kind)
        named = page.locator(".radlib-explorer").get_by_role(kind, name=re.compile(r"\w{3}"))
        assert controls.count() >= least and named.count() == controls.count(), kind
    values = page.locator(".rx-field output").all_text_contents()
    assert len(values) == 4 and all(values)
    assert page.locator(".rx-image [role=img]").count() == 4


def test_without_scripts_a_picture_and_a_sentence_stand_there(open_page):
    page = open_page(java_script_enabled=False).page
    picture = page.locator("#radlib-explorer img")
    assert picture.is_visible() and "principal components" in picture.get_attribute("alt")
    assert "Exploring needs JavaScript" in page.locator("#radlib-explorer").inner_text()


def test_a_set_that_is_not_there_is_told(built, browser, tmp_path):
    lost = tmp_path / "html"
    shutil.copytree(built, lost)
    (lost / "_static" / "pca-mni_t1.js").unlink()
    page = browser.new_page()
    page.goto(f"{lost.as_uri()}/{PAGE}")
    page.wait_for_selector(".rx-said:not(:empty)")
    page.get_by_label("MRI").check()
    page.wait_for_selector(".rx-message:not([hidden])")
    assert 'The images of "MRI" could not be loaded' in page.locator(".rx-message").text_content()
    page.close()


def test_what_is_downloaded_is_what_is_shown(open_page, tmp_path):
    page = open_page().page

    def download(name: str) -> Path:
        with page.expect_download() as coming:
            page.get_by_role("button", name=name).click()
        path = tmp_path / coming.value.suggested_filename
        coming.value.save_as(path)
        return path

    lines = list(csv.DictReader(download("patches (CSV)").open()))
    assert len(lines) == 4 * SIDE * SIDE
    assert {line["image"] for line in lines} == {"1", "2", "3", "4"} and {line["kept"] for line in lines} == {"0", "1"}
    marked = [line for line in lines if line["cosine_to_marked"] == "1"]
    assert len(marked) == 1 and float(marked[0]["token_length"]) > 0
    features = np.load(download("features (NPY"))
    assert features.shape == (4, SIDE, SIDE, 128) and features.dtype == np.float16
    length = np.linalg.norm(features[0, 0, 0].astype(float))
    assert length == pytest.approx(float(lines[0]["token_length"]), rel=0.05)
    assert Image.open(download("picture (PNG)")).size == (4 * 8 * SIDE + 30, 8 * SIDE)


def test_the_page_is_light_and_says_nothing_of_this_machine(built):
    page = built / PAGE
    assert page.stat().st_size < 300_000
    assert all(script.stat().st_size < 3e6 for script in built.glob("_static/pca-*.js"))
    assert len(list(built.glob("_static/pca-*.js"))) == 2
    executed = nbformat.read(built / "_sources" / "notebooks" / "explore_pca.ipynb", as_version=4)
    outputs = [out for cell in executed.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not any("widget" in kind for out in outputs for kind in out.get("data", {}))
    assert "widgets" not in executed.metadata
    assert str(built.parents[2]) not in page.read_text()
