"""Every benchmark runs at its smallest size, as `python benchmarks/NAME.py --smallest`, and prints numbers."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from radlib import assets

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
ELSEWHERE = {"end_to_end", "kills"}  # run and asked for their numbers by the second test and by test_kills


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An empty cache that they share, so that a stand-in is written once; only what was downloaded is the user's."""
    cache = tmp_path_factory.mktemp("cache")
    (assets.cache_dir() / "assets").mkdir(parents=True, exist_ok=True)
    (cache / "assets").symlink_to(assets.cache_dir() / "assets")
    return os.environ | {"RADLIB_CACHE": str(cache)}


@pytest.mark.parametrize(
    "script", [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in ELSEWHERE], ids=lambda path: path.stem
)
def test_it_runs_and_prints_numbers(script: Path, environment: dict[str, str], tmp_path: Path) -> None:
    browsers = ("chromium", "chromium-browser", "google-chrome")
    if "playwright" in script.read_text() and not any(map(shutil.which, browsers)):
        pytest.skip("no chromium is installed")
    done = subprocess.run(
        [sys.executable, script, "--smallest"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = re.findall(r"(?<![\w.,-])-?(?:\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)(?![\w.])", done.stdout)
    numbers = [float(word.replace(",", "")) for word in words]
    assert numbers and all(map(math.isfinite, numbers)), done.stdout
    assert any(numbers), done.stdout


def test_the_peak_of_a_whole_run_is_its_own_and_not_that_of_the_process_that_started_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A whole run, begun by a process that holds more than the run ever takes."""
    code = f"""
import runpy, sys
held = bytearray(b"x") * 3_000_000_000
sys.argv = ["end_to_end.py", "--smallest", "--json", {str(tmp_path / "found.json")!r}]
runpy.run_path({str(FOLDER / "end_to_end.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text())
    assert 200 < row["peak_mb"] < 2800
    assert all(map(math.isfinite, row.values())) and row["images"] > 0
