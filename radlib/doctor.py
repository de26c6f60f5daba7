"""``radlib doctor``: what this machine has and lacks to make the book, in lines for a request for help."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import psutil

from radlib import __version__, assets, cache
from radlib.errors import RadlibError

SECONDS = 2.0  # to wait for an address
LEAST_DISK_GB, LEAST_MEMORY_GB = 20.0, 6.0  # what `make book` on stand-ins takes, with room
LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
Level = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Line:
    """One thing looked at: how it is, in words, with the remedy where it is not as it should be."""

    level: Level
    about: str
    words: str


def look(network: bool = True) -> list[Line]:
    """Everything that decides whether a run will work; asks the network for at most a few seconds, or not at all."""
    looks: list[Callable[[], list[Line]]] = [_python, _versions, _kernel, _devices, _memory, _cache, _tools]
    lines = [line for each in looks for line in each()]
    return lines + (_network() if network else [])


def in_words(lines: list[Line]) -> str:
    """The lines as text, the home folder written ``~``, the faults counted at the end."""
    faults = sum(line.level == "fault" for line in lines)
    text = [f"{line.level:6}{line.about:12}{line.words}" for line in lines]
    text.append("Nothing stands in the way of a run." if not faults else f"{faults} to mend.")
    home = str(Path.home())
    return "\n".join(text).replace(f"{home}/", "~/" if len(home) > 1 else "/")


def _python() -> list[Line]:
    words = f"radlib {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    fit = sys.version_info >= (3, 11)
    return [Line("ok" if fit else "fault", "environment", words + ("" if fit else "; Python 3.11 or newer is needed"))]


def pinned(lock: Path = LOCK) -> dict[str, str]:
    """Package -> version that the lock holds for this machine; empty without a checkout."""
    if not lock.is_file():
        return {}
    from packaging.requirements import Requirement

    found = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            wanted = Requirement(line.rstrip("\\ "))
            if wanted.marker is None or wanted.marker.evaluate():
                found[wanted.name] = str(wanted.specifier).removeprefix("==")
    return found


def _versions() -> list[Line]:
    wanted = pinned()
    if not wanted:
        return [Line("note", "versions", "there is no requirements.lock beside radlib to compare with")]
    absent, other = [], []
    for name, version in wanted.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if here != version:
            other.append(f"{name} {here} (lock {version})")
    lines = [Line("ok", "versions", f"{len(wanted) - len(absent) - len(other)} of {len(wanted)} packages as locked")]
    if other:
        lines.append(Line("note", "versions", f"{', '.join(other[:5])}{' …' if len(other) > 5 else ''}"))
    if absent:
        words = f"not installed: {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}; run make env"
        lines.append(Line("note", "versions", words))
    return lines


def _kernel() -> list[Line]:
    """What runs the notebooks: for `radlib run` this Python, for JupyterLab and papermill whatever python3 names."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    if importlib.util.find_spec("ipykernel") is None:
        return [Line("fault", "kernel", "ipykernel, which runs the notebooks, is not installed; run make env")]
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except (NoSuchKernel, OSError, ValueError, IndexError) as error:
        program = f"one that cannot be read ({type(error).__name__})"
    if os.path.abspath(program) == sys.executable or re.fullmatch(r"python(3(\.\d+)?)?", program):
        return [Line("ok", "kernel", "notebooks run in this Python")]
    words = (
        f"radlib run uses this Python, but in JupyterLab and papermill the kernel python3 is {program}; for these run "
        f"{Path(sys.executable).name} -m ipykernel install --user --name radlib, and choose the kernel radlib"
    )
    return [Line("note", "kernel", words)]


def _devices() -> list[Line]:
    import torch

    from radlib.models import runtime
    from radlib.report import provenance

    lines = [Line("ok", "device", f"{provenance.machine('cpu')}, frozen backbones by {runtime.name('cpu')}")]
    for k in range(torch.cuda.device_count()):
        free, whole = torch.cuda.mem_get_info(k)
        name = torch.cuda.get_device_name(k)
        lines.append(Line("ok", "device", f"{name}, {free / 1e9:.1f} of {whole / 1e9:.1f} GB free"))
    if not torch.cuda.is_available():
        lines.append(Line("note", "device", "no GPU; the default run needs none"))
    return lines


def _memory() -> list[Line]:
    from radlib import memory

    whole, free = psutil.virtual_memory().total / 1e9, memory.free_bytes() / 1e9
    words = f"{free:.1f} of {whole:.1f} GB free"
    if free < LEAST_MEMORY_GB:
        return [Line("note", "memory", f"{words}; the stand-in book takes about {LEAST_MEMORY_GB:.0f} GB")]
    return [Line("ok", "memory", words)]


def _cache() -> list[Line]:
    try:
        folder, shelves = assets.cache_dir(), cache.shelves()
    except RadlibError as error:
        return [Line("fault", "cache", str(error))]
    free = shutil.disk_usage(folder).free / 1e9
    words = ", ".join(f"{shelf.kind} {shelf.size / 1e6:,.0f} MB" for shelf in shelves if shelf.size)
    lines = [Line("ok", "cache", f"{folder}: {words or 'empty'}")]
    room = f"{free:.1f} GB free"
    lines.append(
        Line("ok", "disk", room)
        if free > LEAST_DISK_GB
        else Line("note", "disk", f"{room}; features of large backbones take tens of GB: set RADLIB_CACHE to another")
    )
    here = sum((folder / "assets" / m.sha256[:12]).is_dir() for wheel in assets.WHEELS for m in wheel.members)
    total = sum(len(wheel.members) for wheel in assets.WHEELS)
    known = "all" if here == total else f"{here} of {total}"
    lines.append(Line("ok" if here == total else "note", "downloads", f"{known} of the default run's are here"))
    return lines


def _tools() -> list[Line]:
    browser = next((name for name in BROWSERS if shutil.which(name)), None)
    words = f"{browser} is here" if browser else "no chromium; only the tests that open the book's pages need one"
    return [Line("ok" if browser else "note", "browser", words)]


def _network() -> list[Line]:
    return [
        _reach("index", _index(), "needed once, for the default run's downloads"),
        _reach("model hub", os.environ.get("HF_ENDPOINT", "https://huggingface.co"), "the default run needs none"),
    ]


def _index() -> str:
    return os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"


def _split(address: str) -> SplitResult:
    """The parts of `address`; raises ValueError also for a port, which urlsplit leaves to later."""
    parts = urlsplit(address)
    _ = parts.port
    return parts


def _reach(about: str, address: str, otherwise: str) -> Line:
    """Whether `address`, or the proxy on the way to it, takes a connection within `SECONDS`."""
    import requests

    try:
        parts = _split(address)
    except ValueError as error:
        return Line("note", about, f"its address is none ({error}); mend PIP_INDEX_URL or HF_ENDPOINT; {otherwise}")
    proxy = requests.utils.select_proxy(address, requests.utils.get_environ_proxies(address))
    try:
        there = _split(proxy) if proxy else parts
    except ValueError as error:
        return Line("note", about, f"the address of its proxy is none ({error}); mend HTTPS_PROXY; {otherwise}")
    port = there.port or (443 if there.scheme == "https" else 80)
    host = parts.hostname or ""  # alone: an address may hold a password
    try:
        socket.create_connection((there.hostname or "", port), timeout=SECONDS).close()
    except (OSError, ValueError):
        return Line("note", about, f"{host} does not answer within {SECONDS:.0f} s; {otherwise}")
    return Line("ok", about, f"{host} answers" + (" through a proxy" if proxy else ""))
