import subprocess
import sys

import pytest

from radlib import memory

HOLD_AND_LET_GO = """
import time
import numpy as np
from radlib import memory

with memory.peak() as before:
    pass
with memory.peak() as during:
    held = np.ones(50_000_000, np.float32)
    assert held.sum() == 5e7
    time.sleep(0.3)  # many looks, however busy the machine is
    del held
print(during.mb - before.mb)
"""


def test_what_was_held_and_let_go_again_is_counted():
    # In a process of its own: one that has let go of as much before may be given the same memory again.
    told = subprocess.run([sys.executable, "-c", HOLD_AND_LET_GO], capture_output=True, text=True, check=True)
    assert float(told.stdout) == pytest.approx(200, rel=0.2)


def test_the_peak_is_known_after_an_error():
    with pytest.raises(ValueError), memory.peak() as found:
        raise ValueError
    assert found.mb > 10


@pytest.mark.parametrize(
    ("kind", "limit", "current", "pages"),
    [
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_the_tightest_group_around_a_job_counts(tmp_path, monkeypatch, kind, limit, current, pages):
    (tmp_path / "mine").write_text(f"9:cpu:/else\n4:{kind}:/slurm/job_7/step_0\n")
    for group, most in (("", "max"), ("slurm", "9000"), ("slurm/job_7", "1000"), ("slurm/job_7/step_0", "max")):
        place = tmp_path / kind / group
        place.mkdir(parents=True, exist_ok=True)
        (place / limit).write_text(f"{most}\n")
        (place / current).write_text("600\n")
        (place / "memory.stat").write_text(f"anon 1\n{pages} 150\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "MINE", tmp_path / "mine")
    assert memory.free_bytes() == 1000 - 600 + 150
    (tmp_path / "mine").unlink()
    assert memory.free_bytes() > 10**7


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (5_120, "5,120 B"),
        (99_999, "99,999 B"),
        (1e5, "0.1 MB"),
        (4.6e8, "460.0 MB"),
        (1.25e13, "12,500.0 GB"),
    ],
)
def test_an_amount_is_never_told_as_nothing(size, words):
    assert memory.amount(size) == words
