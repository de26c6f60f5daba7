"""Chromium for tests: killed with all its processes when a test takes too long, and started again for the next test.

A conftest.py imports the fixtures and hooks. No signal ends Playwright's wait for a reply that was lost, but it raises
as soon as its driver and the browser are gone.
"""

import contextlib
import faulthandler
import os
import shutil
import threading
from collections.abc import Generator, Iterator
from typing import Any

import psutil
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from playwright.sync_api import Browser, Error, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LIMIT = float(os.environ.get("RADLIB_BROWSER_LIMIT", 80))  # seconds for the setup, the call and the teardown of a test


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the site or a browser; tests/run.py runs these in a process of their own."""
    for item in items:
        if {"browser", "site", "built"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("browser")
            item.add_marker(pytest.mark.timeout(0))  # a signal does not end Playwright's waiting for a lost reply


def kill_browser() -> None:
    """Kill Playwright's driver, every process of Chromium and whatever else this process has started."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.hookimpl(wrapper=True)
def within_limit(item: pytest.Item) -> Generator[None, object, object]:
    """Kill the browser when a phase of a test takes longer than LIMIT: Playwright then raises, whatever it waits for.

    A process that is stuck outside Python is ended by faulthandler a little later.
    """
    if item.get_closest_marker("browser") is None:
        return (yield)
    late = threading.Event()

    def end() -> None:
        late.set()
        kill_browser()

    timer = threading.Timer(LIMIT, end)
    timer.start()
    faulthandler.dump_traceback_later(LIMIT + 10, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])
    try:
        result = yield
    except (Exception, pytest.fail.Exception) as error:
        if late.is_set():
            raise TimeoutError(f"still running after {LIMIT:g} s, so the browser was killed") from error
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"took longer than {LIMIT:g} s, so the browser was killed")
    return result


@pytest.fixture(scope="session")
def started() -> Iterator[list[Any]]:
    """Playwright and the Chromium it has started: one pair at a time, another when the first has died."""
    pair: list[Any] = []
    yield pair
    stop(pair)


def stop(pair: list[Any]) -> None:
    """Close the browser, then its Playwright, of which either may have died."""
    playwright, chromium = pair or (None, None)
    pair.clear()
    if playwright is not None:
        with contextlib.suppress(Error):
            chromium.close()
        with contextlib.suppress(Error):
            playwright.stop()


def answers(chromium: Browser) -> bool:
    """Whether the browser still does what it is asked."""
    try:
        chromium.new_context().close()
    except Error:
        return False
    return True


@pytest.fixture
def browser(started: list[Any]) -> Browser:
    """Headless Chromium to which every host but this machine is unknown."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no chromium is installed, so the book's pages cannot be opened")
    if started and not answers(started[1]):
        stop(started)
    if not started:
        playwright = sync_playwright().start()
        arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-sandbox"]
        started += [playwright, playwright.chromium.launch(executable_path=executable, args=arguments)]
    return started[1]
