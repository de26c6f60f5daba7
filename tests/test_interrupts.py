"""Ctrl-C and SIGTERM: one sentence, status 130, and nothing left running or half written."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SENTENCE = "radlib: interrupted; any finished features and epochs are kept, and the same command goes on from there."
SLOW = ["-p", "datasets", "manifest", "-p", "backbones", "['vits14_random']", "-p", "image_size", "518"]


def _until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
    return found


def _below(process, word=""):
    try:
        found = psutil.Process(process.pid).children(recursive=True)
        return [each for each in found if word in " ".join(each.cmdline())]
    except psutil.Error:
        return []


def _said() -> list[str]:
    """The lines on standard error without progress bars, which draw over themselves."""
    return [line for line in re.split(r"[\r\n]+", Path("run.err").read_text(encoding="utf-8"))
            if line.strip() and "%|" not in line and "?it/s" not in line]  # fmt: skip


@pytest.fixture
def start(own_cache, clinic, monkeypatch):
    """Starts ``radlib …`` in a process group of its own, as a terminal does; what is left of it is ended."""
    monkeypatch.chdir(clinic.parent)
    running = []

    def command(*words):
        # A shell that started this run in the background has Ctrl-C ignored, and radlib would keep to that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with open("run.err", "w") as err, open("run.out", "w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "radlib.cli", *words], stdout=out, stderr=err, start_new_session=True
            )
        signal.signal(signal.SIGINT, before)
        running.append(process)
        return process

    yield command
    for process in running:
        for each in _below(process):
            each.kill()
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wait", [0.0, 4.0], ids=["kernel starts", "cells run"])
def test_a_page_that_is_interrupted_ends_with_its_kernel(start, number, wait):
    process = start("run", "table04", "--data-root", "clinic", *SLOW)
    _until(lambda: _below(process, "ipykernel_launcher"))
    time.sleep(wait)
    kernels = _below(process)
    os.killpg(process.pid, number)
    assert process.wait(20) == 130
    assert _said() == [SENTENCE]
    assert not [each for each in kernels if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert not [path for path in Path().rglob("*") if "_build" in path.parts and path.is_file()]


def test_ctrl_c_pressed_again_and_again_says_it_once(start):
    process = start("run", "table04", "--data-root", "clinic", *SLOW)
    kernels = _until(lambda: _below(process, "ipykernel_launcher"))
    time.sleep(3)
    for _ in range(200):
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    assert process.wait(20) == 130
    assert _said() == [SENTENCE]
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in kernels)


COMMANDS = {
    "features": [
        "features",
        "manifest",
        "--data-root",
        "clinic",
        "--backbone",
        "vits14_random",
        "--image-size",
        "1036",
    ],
    "run": ["run", "table04", "--data-root", "clinic", *SLOW],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_takes_long_ends_in_the_sentence(start, command):
    process = start(*COMMANDS[command])
    _until(lambda: "%|" in Path("run.err").read_text(encoding="utf-8") or _below(process, "ipykernel_launcher"))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    written = Path("run.err").read_text(encoding="utf-8")
    assert written.count(SENTENCE) == 1 and "Traceback" not in written and "xception" not in written
