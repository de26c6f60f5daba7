"""SIGKILL at random moments, a few in the suite; `benchmarks/kills.py` has more."""

import importlib.util
import os
import sys
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


@pytest.mark.parametrize("work", ["download", "slices", "squares", "features", "decoder", "site"])
def test_killed_work_ends_the_same_when_it_is_begun_again(kills, tmp_path, work):
    row = kills.kill_all(work, kills=3, seed=0, folder=tmp_path)
    assert row.survived == row.kills == 3


@pytest.mark.parametrize("work", ["download", "slices", "squares", "features", "decoder"])
def test_two_processes_that_fill_one_cache_do_no_harm(kills, tmp_path, work):
    assert kills.two_at_once(work, tmp_path)
