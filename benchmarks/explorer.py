"""How many pictures a second does the patch explorer draw while a slider is dragged?

    python benchmarks/explorer.py [--grid 40] [--images 4] [--seconds 3] [--json FILE]

A page without Python is opened from disk in headless Chromium (no GPU). In every animation frame a control is moved one
step and hears the event it would hear from a hand; counted are the frames that the page then draws, and the
processor's milliseconds that its main thread spends on one, scripts and layout included, which another process beside
this one hardly changes. Tokens are made up: `--images` grids of `--grid` x `--grid` patches, in 128 directions whose
variances fall as those of a real encoder's do.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from radlib.report import pca_explorer
from radlib.report.pca_explorer import CosineError, PatchSet

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# name: how a state is reached before, the control's label, and what its value runs through
DRAGS = {
    "threshold, all images": ("#pca", "Threshold on component 1", (0.3, 0.7)),
    "threshold, each image by itself": ("#pca&fit=single", "Threshold on component 1", (0.3, 0.7)),
    "opacity": ("#pca", "Opacity", (0, 100)),
    "turning the points": ("#pca", "Turn", (-180, 180)),
}
DRAG = """
async ([label, low, high, seconds]) => {
  const fields = [...document.querySelectorAll(".rx-field")];
  const range = fields.find((one) => one.querySelector("label").textContent === label).querySelector("input");
  const start = performance.now();
  let frames = 0;
  while (performance.now() - start < 1000 * seconds) {
    range.value = low + (high - low) * (0.5 + 0.5 * Math.sin((performance.now() - start) / 500));
    range.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise(requestAnimationFrame);  // asked for after the page's own, which is answered first
    frames += 1;
  }
  return [frames, (performance.now() - start) / 1000];
}
"""


def main() -> None:
    """Measure every control in turn and print as it goes."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--grid", type=int, default=40)
    ask.add_argument("--images", type=int, default=4)
    ask.add_argument("--seconds", type=float, default=3.0)
    ask.add_argument("--json", type=Path)
    given = ask.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        address = write_page(made_up(given.images, given.grid), Path(folder))
        executable = next(filter(None, map(shutil.which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        measured = {}
        for name, (state, label, span) in DRAGS.items():
            page = browser.new_page(viewport={"width": 1280, "height": 1200})
            page.goto(address + state)
            page.wait_for_selector(".rx-histogram")
            page.wait_for_timeout(500)
            tools = page.context.new_cdp_session(page)
            tools.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = busy(tools)
            frames, seconds = page.evaluate(DRAG, [label, *span, given.seconds])
            spent = 1000 * (busy(tools) - before) / frames
            measured[name] = {"frames a second": frames / seconds, "processor ms a frame": spent}
            print(f"{name}: {frames / seconds:.0f} frames/s, {spent:.1f} processor ms a frame")
            page.close()
        browser.close()
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1))


def busy(tools: Any) -> float:
    """Processor seconds that the page's main thread has spent on tasks."""
    return {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}["TaskDuration"]


def made_up(n: int, side: int, d: int = 128) -> PatchSet:
    """`n` images of `side` x `side` patches: a disk on a background, variances falling as those of real tokens."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    body = x**2 + y**2 < 0.6
    tokens = rng.normal(size=(n, side, side, d)) * 8 * np.arange(1, d + 1) ** -0.8
    tokens[..., 0] += np.where(body, 20, -20)
    tokens[..., 1] += np.where(body, 8 * x, 0)
    gray = np.broadcast_to(
        np.where(body, 160, 20).astype(np.uint8).repeat(10, 0).repeat(10, 1), (n, 10 * side, 10 * side)
    )
    none = CosineError(0, 0, 0)
    return PatchSet(
        id="disks", kind="Disks", title="Disks", source="made up", note="", pictures=gray,
        names=tuple(f"disk {k}" for k in range(n)), features=tokens.astype(np.float16), error=none, own_error=none,
        norms=np.linalg.norm(tokens, axis=-1).astype(np.float32), mark=side * side // 2,
    )  # fmt: skip


def write_page(one: PatchSet, folder: Path) -> str:
    """A bare page with the explorer, and its address."""
    pca_explorer.write_sets([one], folder / "_static")
    html = pca_explorer.page_html([one])
    page = folder / "index.html"
    page.write_text(f'<!doctype html><html lang="en" data-content_root="./"><title>t</title><body>{html}</body></html>')
    return page.as_uri()


if __name__ == "__main__":
    main()
