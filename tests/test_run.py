"""`make test` ends as failed and names the test, whatever hangs or dies; that it ends in time, its own limit checks."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LIMIT = 4  # seconds; every test that hangs here is ended after this many
SETTINGS = {"RADLIB_BROWSER_LIMIT": LIMIT, "RADLIB_TEST_STILL": 45, "RADLIB_TEST_GRACE": 2}

BROWSER = """
import os, signal, socket
import psutil, pytest

def test_endless_script(browser):
    browser.new_page().evaluate("while (true) {}")

def test_silent_server(browser):
    with socket.create_server(("127.0.0.1", 0)) as server:
        browser.new_page().goto(f"http://127.0.0.1:{server.getsockname()[1]}/")

def test_lost_reply(browser):
    page = browser.new_page()
    for process in psutil.Process().children():  # Playwright's driver
        process.suspend()
    page.evaluate("1 + 1")

def test_killed_browser(browser):
    page = browser.new_page()
    for process in psutil.Process().children()[0].children():
        process.send_signal(signal.SIGKILL)
    page.evaluate("1 + 1")

@pytest.fixture
def stuck_in_teardown(browser):
    page = browser.new_page()
    yield page
    page.evaluate("new Promise(() => {})")

def test_before_a_teardown_without_end(stuck_in_teardown):
    assert stuck_in_teardown.evaluate("1 + 1") == 2

def test_with_a_new_browser(browser):
    assert browser.new_page().evaluate("1 + 1") == 2
"""
CONFTEST = """
from browser import browser, pytest_collection_modifyitems, started, within_limit

pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = within_limit
"""
HANGS = """
import threading

def test_lock():
    threading.Event().wait()

def test_after_it():
    pass
"""
OTHER = """
import time
import pytest

@pytest.mark.parametrize("k", range(200))
def test_other(k):
    time.sleep(1)
"""


def run(folder: Path, **settings: float) -> tuple[str, str]:
    """What tests/run.py prints for the tests in `folder`, and its last line; it must fail."""
    limits = [f"timeout={LIMIT}", f"faulthandler_timeout={LIMIT + 1}"]
    options = [word for each in limits for word in ("-o", each)]
    command = [sys.executable, TESTS / "run.py", folder, "-c", TESTS.parent / "pyproject.toml", *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RADLIB_TEST_"))}
    environment = clean | {name: str(value) for name, value in (SETTINGS | settings).items()}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 1, done.stdout
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"=+ (\d+ \w+, )*\d+ \w+ in [\d.]+s =+", last), done.stdout
    return done.stdout, last


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(textwrap.dedent(text))


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium is installed")
def test_a_test_that_hangs_and_a_browser_that_hangs_or_dies_fail_by_name_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    write(tmp_path, browser=BROWSER, hangs=HANGS)
    printed, last = run(tmp_path)
    assert re.search(r"^FAILED \S*test_hangs.py::test_lock - Failed: Timeout", printed, re.MULTILINE), printed
    for name in ("endless_script", "silent_server", "lost_reply", "killed_browser"):
        assert re.search(rf"^FAILED \S*test_browser.py::test_{re.escape(name)}", printed, re.MULTILINE), printed
    assert re.search(r"^ERROR \S*test_browser.py::test_before_a_teardown_without_end", printed, re.MULTILINE), printed
    assert " 5 failed, 3 passed, 1 error in " in last, printed


@pytest.mark.parametrize("code", ["sum(range(10**15))", "os.kill(os.getpid(), 9)"])
def test_a_worker_that_hangs_or_dies_is_named_and_the_run_ends(tmp_path: Path, code: str) -> None:
    write(tmp_path, first=f"import os\ndef test_stuck():\n    {code}", other=OTHER)
    printed, _ = run(tmp_path)
    assert re.search(r"^FAILED \S*test_first.py::test_stuck", printed, re.MULTILINE), printed
    assert "worker gw" in printed and "died" in printed.splitlines()[-2]


def test_a_worker_that_is_stopped_is_named_and_the_run_ends(tmp_path: Path) -> None:
    write(tmp_path, first="import os, signal\ndef test_stuck():\n    os.kill(os.getpid(), signal.SIGSTOP)")
    printed, _ = run(tmp_path, RADLIB_TEST_STILL=12)
    assert re.search(r"^FAILED \S*test_first.py::test_stuck", printed, re.MULTILINE), printed
    assert "no test began or ended for" in printed


@pytest.mark.parametrize("code", ["sum(range(10**15))", "os.kill(os.getpid(), 9)"])
def test_the_browser_tests_process_that_hangs_or_dies_is_named_and_the_run_ends(tmp_path: Path, code: str) -> None:
    write(tmp_path, first=f"import os, pytest\n@pytest.mark.browser\ndef test_stuck():\n    {code}")
    printed, last = run(tmp_path)
    assert re.search(r"^FAILED \S*test_first.py::test_stuck - pytest died with status", printed, re.MULTILINE), printed
    assert " 1 failed in " in last
