"""The test run of `make test`, which always ends, and ends red when anything died on the way.

    python tests/run.py [arguments of pytest]

Two pytest processes run one after the other: first every test that needs no browser, on two xdist workers, then those
that open the book in a browser, in a process of their own. This process watches them from outside. Once a worker or
pytest itself has died, or no test has begun or ended for longer than any test may take, it names the tests that were
running and ends the run. The last line counts all tests the way pytest does.

Inside, each test is limited by pytest-timeout and faulthandler (pyproject.toml), and each browser test by
tests/book/conftest.py. Two environment variables set the limits here, in seconds: RADLIB_TEST_STILL, without progress,
and RADLIB_TEST_GRACE, to go on after something has died.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

LAST = 20  # seconds that pytest has to report after its workers or its browser have been killed
STILL = float(os.environ.get("RADLIB_TEST_STILL", 95))
GRACE = float(os.environ.get("RADLIB_TEST_GRACE", 15))
PARTS = (
    ("-m", "not browser", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0"),
    ("-m", "browser", "-n", "0"),
)
EVENTS = "RADLIB_TEST_EVENTS"
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Events:
    """Plugin of the pytest process that reports: appends one line per event to the file that `run` reads."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115

    def write(self, event: str, name: str = "") -> None:
        self.file.write(f"{event}\t{name}\n")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.write("error", report.nodeid)

    def pytest_collection_finish(self) -> None:
        self.write("progress")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self) -> None:
        self.write("progress")

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        self.write("progress")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write("start", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when in ("setup", "teardown") and not report.skipped:
            self.write("error" if report.failed else "progress", report.nodeid)
        else:  # xdist reports the test that its worker died in as neither of the three phases
            self.write(report.outcome, report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.write("finish", nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        if error:
            self.write("died", f"worker {node.gateway.id}")  # type: ignore[attr-defined]

    def pytest_unconfigure(self) -> None:
        self.write("over")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Events(os.environ[EVENTS]))


def kill_descendants(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def run(arguments: tuple[str, ...], counts: Counter[str]) -> str:
    """Run one pytest process, add its outcomes to `counts` and return why it did not come to its own end, or ''."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as events:
        command = [sys.executable, "-m", "pytest", "-p", "run", *arguments]
        child = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path, EVENTS: events.name})
        process, running, failed = psutil.Process(child.pid), dict[str, None](), list[str]()
        last, deadline, why, over, told = time.monotonic(), float("inf"), "", False, False
        while True:
            ended = child.poll() is not None
            for line in events:
                last = time.monotonic()
                event, _, name = line.rstrip("\n").partition("\t")
                if event == "start":
                    running[name] = None
                elif event == "finish":
                    running.pop(name, None)
                elif event == "failed":
                    failed.append(name)
                    running.pop(name, None)
                if event in ("passed", "failed", "skipped", "error"):
                    counts[event] += 1
                if event == "died" and not why:
                    why, deadline = f"{name} died", last + GRACE
                over = over or event == "over"
            if ended:
                break
            now = time.monotonic()
            if now - last > STILL and not why:
                why, deadline = f"no test began or ended for {STILL:g} s", now
            if now >= deadline:  # workers or a browser first, because pytest then names their tests itself and ends
                kill_descendants(process)
                if told:
                    child.kill()
                else:
                    print(f"\nEnding the run, because {why}.", flush=True)
                told, deadline = True, now + LAST
            time.sleep(0.2)
        if not over:
            why = why or f"pytest died with status {child.returncode}"
            for name in [*failed, *(f"{each} - {why}" for each in running)]:
                print(f"\nFAILED {name}", end="", flush=True)
            print()
            counts["failed"] += len(running)
        elif not why and child.returncode not in (pytest.ExitCode.OK, 1, pytest.ExitCode.NO_TESTS_COLLECTED):
            why = f"pytest ended with status {child.returncode}"
        return why


def main(arguments: list[str]) -> int:
    began, counts, why = time.monotonic(), Counter[str](), ""
    with contextlib.suppress(OSError, AttributeError):  # Linux: what a killed worker leaves behind becomes our child
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for part in PARTS:
        try:
            why = run((*arguments, *part), counts)
        except KeyboardInterrupt:
            why = "interrupted"
            time.sleep(2)  # pytest has heard Ctrl-C too and prints what it knows
        finally:
            kill_descendants(psutil.Process())
        if why:
            break
    bad = bool(why or counts["failed"] or counts["error"])
    told = ", ".join(f"{counts[each]} {each}" for each in ("failed", "passed", "skipped", "error") if counts[each])
    seconds = time.monotonic() - began
    closing = f" {told or 'no tests ran'} in {seconds:.2f}s ".center(100, "=")
    color = sys.stdout.isatty()
    if why:
        print(f"The run did not come to its end: {why}.")
    print(f"\033[{31 if bad else 32};1m{closing}\033[0m" if color else closing, flush=True)
    return int(bad) or (0 if counts else int(pytest.ExitCode.NO_TESTS_COLLECTED))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
