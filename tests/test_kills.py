"""SIGKILL at random moments, a few in the suite; `benchmarks/kills.py` has more."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def kills():
    """The script, with what it forks from made ready."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    spec = importlib.util.spec_from_file_location("kills", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    known, name, threads = module.assets.WHEELS, module.runtime.name, module.torch.get_num_threads()
    module.prepare()
    yield module
    module.assets.WHEELS, module.runtime.name = known, name
    module.torch.set_num_threads(threads)


# 31 kills; those of stand-ins and of papermill take minutes and are the script's alone.
KILLS = {"download": 5, "slices": 5, "squares": 5, "features": 3, "probe": 3, "decoder": 3, "site": 7}


@pytest.mark.parametrize("work", KILLS)
def test_killed_work_ends_the_same_when_it_is_begun_again(kills, tmp_path, work):
    row = kills.kill_all(work, kills=KILLS[work], seed=0, folder=tmp_path)
    assert row.survived == row.kills == KILLS[work]


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


@pytest.mark.parametrize("work", ["download", "slices", "squares", "features", "decoder"])
def test_two_processes_that_fill_one_cache_do_no_harm(kills, tmp_path, work):
    assert kills.two_at_once(work, tmp_path)
