"""SIGKILL at random moments, a few in the suite; `benchmarks/kills.py` has more."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Five kills; stand-ins and papermill take minutes, squares and features differ little from slices.
WORK, KILLS = ("download", "slices", "probe", "decoder", "site"), 1
SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What the script says of each kind of work; in a process of its own, since it forks, and tests leave threads."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    told = tmp_path_factory.mktemp("kills") / "rows.json"
    command = [sys.executable, SCRIPT, "--kills", str(KILLS), "--json", told, "--only", *WORK]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {row["work"]: row for row in json.loads(told.read_text())}


@pytest.mark.parametrize("work", WORK)
def test_killed_work_ends_the_same_when_it_is_begun_again(rows, work):
    assert rows[work]["survived"] == rows[work]["kills"] == KILLS


@pytest.mark.parametrize("work", [work for work in WORK if work != "site"])
def test_two_processes_that_fill_one_cache_do_no_harm(rows, work):
    assert rows[work]["two_at_once"] is True


def test_a_site_that_is_killed_while_it_is_built_leaves_the_one_of_before(tmp_path):
    checkout = SCRIPT.parents[1]
    for name in ("workflow/site.sh", "_config.yml", "_toc.yml", "CHANGELOG.md", "CITATION.cff", "book/welcome.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(checkout / name, tmp_path / name)
    builder = tmp_path / "jupyter-book"
    builder.write_text(
        '#!/bin/sh\nmkdir -p "$4/_build/html" && echo "$SAYS" >"$4/_build/html/index.html" && sleep "$SECONDS_LONG"\n'
    )
    builder.chmod(0o755)

    def build(says, seconds):
        names = {**os.environ, "SAYS": says, "SECONDS_LONG": seconds}
        return subprocess.Popen(
            [tmp_path / "workflow/site.sh", builder], cwd=tmp_path, env=names, start_new_session=True
        )

    assert build("old", "0").wait() == 0
    running = build("new", "60")
    while not (tmp_path / "_build/made/_build/html/index.html").exists():
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert (tmp_path / "_build/html/index.html").read_text() == "old\n"
    assert build("new", "0").wait() == 0
    assert (tmp_path / "_build/html/index.html").read_text() == "new\n"
