"""Full disks, read-only caches, clocks that jump, memory that ends: one sentence, and nothing finished is lost."""

import os
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from papermill.exceptions import PapermillExecutionError

from radlib import atomic, checked_array
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError
from radlib.report import page

PRELUDE = """
import os, sys, resource, numpy as np, pandas as pd
from pathlib import Path
from radlib.errors import RadlibError
root = Path(sys.argv[1])
os.environ["RADLIB_CACHE"] = str(Path(sys.argv[2]))
from radlib.data.dataset import Dataset
from radlib.data import squares
def image(folder, row):
    return np.random.default_rng(int(Path(row["image"]).stem)).random((1, 40, 40), np.float32)
for k in range(130):
    (root / f"{k}.png").write_bytes(bytes([k]))
names = [f"{k}.png" for k in range(130)]
samples = pd.DataFrame({"image": names, "patient": names, "split": "train"})
data = Dataset(name="noise", title="Noise", task="binary", classes=("a", "b"), samples=samples,
    labels=np.zeros(130, np.int64), origin="own", note="", root=root, read_image=image, preparation="")
"""


def child(code, *arguments, limit=None):
    """What a process of its own prints; `limit` sets its limits before it begins."""
    script = PRELUDE + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, preexec_fn=limit
    )


SQUARES = """
try:
    found = squares.squares(data, 56, progress=False)
    print(len(found.shards), float(np.concatenate(found.shards).astype(np.float64).sum()))
except RadlibError as error:
    print(error)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_a_stand_in_in_one_sentence_and_leaves_nothing(small_disk):
    """HDF5, of which Brain Tumor's slices are, would end the process where a disk is full."""
    command = [sys.executable, "-m", "radlib.cli", "data", "standin", "brain_tumor", "--out", small_disk / "cohort"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "(No space left on device); free some space" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(small_disk.iterdir())


def test_a_full_disk_keeps_what_is_finished_and_the_next_run_goes_on(tmp_path, small_disk):
    """130 squares of 56 px take 815 kB in three shards; with 300 kB taken two do not fit."""
    (small_disk / "ballast").write_bytes(bytes(500_000))
    (tmp_path / "images").mkdir()
    first = child(SQUARES, tmp_path / "images", small_disk)
    assert "No space left on device); make room or set RADLIB_CACHE" in first.stdout, first
    kept = sorted(small_disk.rglob("*.safetensors"))
    assert len(kept) == 1 and not list(small_disk.rglob("*.part-*"))
    stamp = kept[0].stat().st_mtime_ns
    (small_disk / "ballast").unlink()
    second = child(SQUARES, tmp_path / "images", small_disk)
    elsewhere = child(SQUARES, tmp_path / "images", tmp_path / "other")
    assert second.stdout == elsewhere.stdout and second.stdout.startswith("3 ")
    assert kept[0].stat().st_mtime_ns == stamp


def test_a_file_that_may_not_grow_is_one_sentence(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    (tmp_path / "images").mkdir()
    done = child(SQUARES, tmp_path / "images", tmp_path / "cache", limit=limit)
    assert "cannot be written" in done.stdout and "File too large" in done.stdout, done
    assert not list((tmp_path / "cache").rglob("*.part-*"))


def test_a_checkpoint_that_may_not_grow_leaves_the_one_before(tmp_path):
    code = """
    import torch
    from radlib.evaluate import checkpoint
    path = root / "c.pt"
    checkpoint.write(path, {}, {"weights": torch.zeros(10)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        checkpoint.write(path, {}, {"weights": torch.zeros(100_000)})
    except RadlibError as error:
        print(error)
    print(len(checkpoint.read(path, {})["weights"]), sorted(p.name for p in root.glob("c.pt*")))
    """
    done = child(code, tmp_path, tmp_path / "cache")
    said = done.stdout.splitlines()
    assert "The checkpoint cannot be written" in said[0] and said[1] == "10 ['c.pt']", done


def test_a_read_only_cache_is_one_sentence(tmp_path, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    (tmp_path / "images").mkdir()
    done = child(SQUARES, tmp_path / "images", small_disk)
    assert "cannot be written" in done.stdout and "set RADLIB_CACHE" in done.stdout, done
    assert "Traceback" not in done.stderr


AGES = (-400 * 86_400, -3600, 0, 3600, 400 * 86_400)


@pytest.mark.parametrize("age", AGES)
def test_leftovers_are_told_by_their_writer_and_not_by_the_clock(tmp_path, age):
    mine = atomic.unfinished(tmp_path / "mine.pt")  # this process lives
    dead = tmp_path / mine.name.replace(f"-{os.getpid()}-", "-999999999-").replace("mine", "dead")
    far = tmp_path / mine.name.replace(atomic._home(), "00000000").replace("mine", "far")
    other = tmp_path / "archive.part-1"  # a reader's own file
    cohort = tmp_path / dead.name.replace("dead.pt", "cohort")  # a stand-in cut short is a folder
    cohort.mkdir()
    for path in (mine, dead, far, other):
        path.write_bytes(b"half")
        os.utime(path, (time.time() + age,) * 2)
    gone = {path.name.split(".")[0] for path in atomic.sweep(tmp_path)}
    assert gone == {"dead", "cohort"} | ({"far"} if abs(age) > 86_400 else set())


@pytest.mark.parametrize("age", AGES)
def test_a_lock_file_of_any_age_holds_nobody_up(tmp_path, age, monkeypatch):
    from layouts import volume

    from radlib.data import slice_cache

    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "cache"))
    volume(tmp_path / "a.nii.gz", np.zeros((6, 5, 4), np.int16))
    place = slice_cache._place(tmp_path / "a.nii.gz", 2)
    lock = place.with_suffix(".lock")
    lock.write_bytes(b"")
    os.utime(lock, (time.time() + age,) * 2)
    started = time.perf_counter()
    assert slice_cache.opened(tmp_path / "a.nii.gz", 2).shape == (4, 6, 5)
    assert time.perf_counter() - started < 5


def test_two_threads_that_write_one_file_do_no_harm(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "a.safetensors"
    arrays = [np.full((50, 50), k, np.float32) for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda array: checked_array.write(path, array), arrays))
    found = checked_array.read(path, (50, 50))
    assert found is not None and len(np.unique(found)) == 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_worker_without_memory_is_one_sentence(tmp_path):
    """Decoding asks for 4 GB where the process may have 1 GB more than it holds."""
    code = """
    import psutil
    from dataclasses import replace
    def hungry(folder, row):
        return image(folder, row) if row["image"] != "70.png" else np.ones((1, 31_000, 31_000), np.float32)
    held = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (held + 10**9, held + 10**9))
    data = replace(data, read_image=hungry)
    try:
        squares.squares(data, 56, progress=False)
    except RadlibError as error:
        print(error)
    """
    (tmp_path / "images").mkdir()
    done = child(code, tmp_path / "images", tmp_path / "cache")
    assert "Memory is too full to read the image of" in done.stdout and "70.png" in done.stdout, done
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1  # the shard before it


@pytest.mark.parametrize(
    "failure, sentence",
    [
        (page.DeadKernelError("Kernel died"), "kernel that ran .* was killed, most likely because memory was full"),
        (PapermillExecutionError(0, 3, "x", "MemoryError", "", []), "Cell 3 of .* ran out of memory; what is finished"),
    ],
)
def test_a_kernel_without_memory_is_one_sentence(tmp_path, monkeypatch, failure, sentence):
    def killed(_, part, *__, **___):
        Path(part).write_text("half")
        raise failure

    monkeypatch.setattr(page.papermill, "execute_notebook", killed)
    with pytest.raises(RadlibError, match=sentence):
        page.run("table04", {}, tmp_path / "out.ipynb")
    assert [path.name for path in tmp_path.iterdir() if ".part-" in path.name] == []
    assert not (tmp_path / "out.ipynb").exists()


def test_memory_that_ends_while_decoding_names_the_image(tmp_path):
    import pandas as pd

    def read(root, row):
        raise MemoryError

    data = Dataset(
        name="x", title="X", task="binary", classes=("a", "b"), samples=pd.DataFrame({"image": ["1.png"]}),
        labels=np.zeros(1, np.int64), origin="own", note="", root=tmp_path, read_image=read, preparation="",
    )  # fmt: skip
    with pytest.raises(RadlibError, match=r"Memory is too full to read the image of .*1\.png"):
        data.read(0)
