"""The explorer's module by itself: its arithmetic against Python's, and what it does with a kernel's model."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radlib.evaluate import otsu, patch_pca
from radlib.report import pca_explorer
from radlib.report.pca_explorer import CosineError, PatchSet

N, H, W, D = 3, 9, 8, 20
FITTINGS = ("centred", "joint", "single")


def made_up(seed: int = 0, n: int = N) -> PatchSet:
    """Bodies of two organs on a background, an offset for each image; features are whole tokens, nothing left out."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(4, D))
    tokens = 0.4 * rng.gamma(2, size=(n, H, W, D)) + 2 * rng.normal(size=(n, 1, 1, D))
    tokens[:, 2:-2, 1:-1] += 6 * directions[0]
    tokens[:, 2:4, 1:-1] += 2 * directions[1]
    tokens[:, 4:6, 1:3] += 3 * directions[2]
    features = tokens.astype(np.float16)
    none = CosineError(0, 0, 0)
    return PatchSet(
        id="bodies", kind="Bodies", title="Bodies", source="made up", note="Nobody's.", mark=20, error=none,
        names=tuple(f"body {k}" for k in range(n)), features=features, own_error=none,
        pictures=rng.integers(0, 255, (n, 4 * H, 4 * W)).astype(np.uint8),
        norms=np.linalg.norm(features.astype(np.float64), axis=-1).astype(np.float32),
    )  # fmt: skip


def whole(one: PatchSet) -> NDArray[np.float64]:
    return one.features.astype(np.float64)


@pytest.fixture
def page(browser: Any) -> Any:
    """A bare page in which the module's functions can be called."""
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_content("<!doctype html><html lang='en'><body></body></html>")
    module = (
        pca_explorer.module()
        + "\nexport { solver, colours, cosines, otsu, percentile, halves, toHash, fromHash, START };"
    )
    page.evaluate(
        """async (source) => {
          window.radlib = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
          const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          window.opened = ({ features, norms, ...rest }) => ({ ...rest, features: radlib.halves(bytes(features)),
            norms: new Float32Array(bytes(norms).buffer) });
        }""",
        module,
    )
    yield page
    assert not problems
    page.close()


def as_script(one: PatchSet) -> dict[str, Any]:
    """The set as the page's script holds it."""
    return json.loads(one.script().partition("] = ")[2].rstrip(";\n"))


def solved(page: Any, one: PatchSet, options: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    return page.evaluate(
        """([set, options, shown]) => {
          const solution = radlib.solver(opened(set))(options);
          const { rgba } = radlib.colours(solution, shown);
          const whole = (values) => Array.from(values, (value) => (Number.isNaN(value) ? null : value));
          return { first: whole(solution.first), kept: whole(solution.kept), scores: solution.scores.map(whole),
            rgba: whole(rgba), groups: solution.groups.map(({ patches, ...rest }) => rest) };
        }""",
        [as_script(one), options, shown],
    )


@pytest.mark.parametrize("fitting", FITTINGS)
@pytest.mark.parametrize(
    "threshold, side, flips, scaling",
    [(None, None, [], "range"), (0.4, None, [2], "deviation"), (0.6, "below", [1, 3], "range")],
)
def test_the_browser_fits_as_python_does(page, fitting, threshold, side, flips, scaling):
    one = made_up()
    shown = {"rgb": [0, 1, 2], "flips": [flip - 1 for flip in flips], "scaling": scaling}
    mine = solved(page, one, {"fitting": fitting, "threshold": threshold, "side": side}, shown)
    parts = [whole(one)[k : k + 1] for k in range(N)] if fitting == "single" else [whole(one)]
    first, kept = (np.reshape(mine[key], (N, H, W)) for key in ("first", "kept"))
    scores = np.moveaxis(np.array(mine["scores"], dtype=float).reshape(6, N, H, W), 0, -1)
    rgba = np.reshape(mine["rgba"], (N, H, W, 4))
    for k, part in enumerate(parts):
        here = slice(k, k + 1) if fitting == "single" else slice(None)
        ruled = patch_pca.picture(part, fitting)
        low, high = ruled.first.min(), ruled.first.max()
        cut = None if threshold is None else low + threshold * (high - low)
        theirs = patch_pca.picture(part, fitting, cut, side, flips, scaling, k=6)
        (fit,), group = theirs.fits, mine["groups"][k]
        np.testing.assert_allclose(first[here], theirs.first, atol=1e-6)
        assert group["threshold"] == pytest.approx(fit.threshold, abs=1e-6) and group["side"] == fit.side
        assert np.array_equal(kept[here] == 1, theirs.foreground)
        np.testing.assert_allclose(group["explainedFirst"], fit.first.explained, rtol=1e-5)
        np.testing.assert_allclose(group["explained"], fit.second.explained, rtol=1e-5)
        assert group["between"] == pytest.approx(fit.between, abs=1e-6)
        sign = np.where(np.isin(np.arange(1, 7), flips), -1, 1)
        np.testing.assert_allclose(scores[here], theirs.scores * sign, atol=1e-5)
        np.testing.assert_allclose(rgba[here][..., :3], 255 * theirs.rgb, atol=0.51)  # rounded to bytes


def test_a_slider_that_came_a_long_way_fits_as_one_that_jumped(page):
    kept = page.evaluate(
        """(set) => {
          const opened_ = opened(set), dragged = radlib.solver(opened_);
          for (let t = 0.1; t < 0.9; t += 0.01) dragged({ threshold: t });
          const [one, other] = [dragged({ threshold: 0.45 }), radlib.solver(opened_)({ threshold: 0.45 })];
          const apart = one.scores.map((column, c) => column.reduce((most, value, i) =>
            Number.isNaN(value) ? most : Math.max(most, Math.abs(value - other.scores[c][i])), 0));
          return [Math.max(...apart), one.kept.every((value, i) => value === other.kept[i])];
        }""",
        as_script(made_up()),
    )
    assert kept[0] < 1e-6 and kept[1]


def test_otsu_in_the_browser_is_pythons(page):
    rng = np.random.default_rng(3)
    for values in (rng.normal(size=200), np.round(rng.gamma(2, size=90), 1), np.array([0.0, 1.0])):
        assert page.evaluate("(values) => radlib.otsu(values)", values.tolist()) == pytest.approx(
            otsu.threshold(values)
        )


def test_percentiles_in_the_browser_are_numpys(page):
    values = np.sort(np.random.default_rng(4).normal(size=37))
    for q in (0, 2, 50, 98, 100):
        found = page.evaluate("([values, q]) => radlib.percentile(values, q)", [values.tolist(), q])
        assert found == pytest.approx(np.percentile(values, q))


def test_half_precision_is_read_as_numpy_wrote_it(page):
    values = np.array([0, -0.0, 1, -2.5, 65504, 6e-8, -3e-5, np.inf, -np.inf], dtype="<f2")
    text = base64.b64encode(values.tobytes()).decode()
    read = "(text) => Array.from(radlib.halves(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))), String)"
    assert [float(one.replace("Infinity", "inf")) for one in page.evaluate(read, text)] == values.astype(float).tolist()


@pytest.mark.parametrize("own", [False, True])
def test_cosines_are_those_of_the_tokens(page, own):
    one = made_up()
    tokens = whole(one) - (whole(one).mean(axis=(1, 2), keepdims=True) if own else 0)
    unit = (tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)).reshape(-1, D)
    found = page.evaluate("([set, own]) => Array.from(radlib.cosines(opened(set), 50, own))", [as_script(one), own])
    np.testing.assert_allclose(found, unit @ unit[50], atol=2e-6)


def test_too_few_patches_are_no_fit_and_no_error(page):
    shown = {"rgb": [0, 1, 2], "flips": [], "scaling": "range"}
    mine = solved(page, made_up(), {"fitting": "centred", "threshold": 1.0, "side": "above"}, shown)
    assert mine["groups"][0]["count"] == 0 and mine["groups"][0]["explained"] == []
    assert not any(np.reshape(mine["rgba"], (-1, 4))[:, :3].ravel())


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"set": "ct", "threshold": 0.25, "side": "below", "rgb": [2, 0, 5], "flips": [0, 4], "fitting": "single"},
        {"opacity": 0.35, "mark": 77, "turn": -120, "tilt": 45, "scaling": "deviation", "compare": "whole"},
    ],
)
def test_an_address_brings_back_what_it_says(page, state):
    start = page.evaluate("() => radlib.fromHash('#a-heading')")
    assert start == {}
    given = {**page.evaluate("() => radlib.START"), **state}
    address = page.evaluate("(state) => radlib.toHash(state)", given)
    back = {**given, **page.evaluate("(hash) => radlib.fromHash(hash)", address)}
    assert address.startswith("#pca") and back == given


def test_an_address_that_lies_is_passed_over(page):
    wrong = "#pca&threshold=7&keep=left&rgb=129&fit=never&over=x&mark=-3&turn=900&scale=&like=1"
    assert page.evaluate("(hash) => radlib.fromHash(hash)", wrong) == {}


KERNEL = """
async ([source, about, arrays]) => {
  const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const heard = {}, kept = { sets: [], state: {}, about: {}, features: view(""), norms: view("") };
  window.model = { saved: 0, get: (name) => kept[name], set: (name, value) => { kept[name] = value; },
    save_changes() { this.saved += 1; }, on: (event, call) => { heard[event] = call; },
    off: (event) => { delete heard[event]; } };
  window.el = document.body.appendChild(document.createElement("div"));
  window.stop = widget.render({ model: window.model, el: window.el });
  window.waiting = window.el.textContent;
  Object.assign(kept, { about, features: view(arrays.features), norms: view(arrays.norms) });
  heard["change:about"]();
  window.heard = heard;
}
"""


def test_with_a_kernel_it_waits_for_features_and_tells_what_was_chosen(page):
    one = made_up()
    script = as_script(one)
    page.evaluate(KERNEL, [pca_explorer.module(), one.about(), {k: script[k] for k in ("features", "norms")}])
    page.wait_for_selector(".rx-image canvas")
    assert "press Show" in page.evaluate("window.waiting")
    assert page.locator(".rx-image").count() == 2 * N and page.locator("input[name=rx-set]").count() == 0
    page.get_by_label("Opacity").fill("40")
    page.wait_for_function("window.model.saved > 0")
    assert page.evaluate("window.model.get('state').opacity") == 0.4
    assert page.evaluate("location.hash") == "", "a notebook's address is not ours"
    page.evaluate("window.stop()")
    assert page.evaluate("Object.keys(window.heard)") == []


def test_the_module_is_one_and_imports_nothing():
    text = pca_explorer.module()
    assert text.count("export ") == 1 and "export default { render };" in text
    assert "\nimport " not in text and "http" not in text and "</" not in text
    assert set(pca_explorer.FILES) == {path.stem for path in Path(pca_explorer.SOURCES).glob("*.mjs")}
