"""Releases fetched from a server that each test runs itself."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from radlib import cli, download
from radlib.data import fetch
from radlib.data.catalog import TASKS
from radlib.errors import RadlibError

PAYLOAD = bytes(range(256)) * 2000  # several blocks


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    content = zipped(**{"MontgomerySet__a.png": PAYLOAD, "readme.txt": b"hello"})
    cuts: list[int] = []
    ranges_known = True
    status = 200
    asked: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self):
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges_known else 0
        body = self.server.content[start:]
        self.send_response(206 if start else self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    here = Server(("127.0.0.1", 0), Handler)
    here.cuts, here.asked = [], []
    threading.Thread(target=here.serve_forever, daemon=True).start()
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    yield here
    here.shutdown()


@pytest.fixture
def listed(server, monkeypatch):
    """Makes the source of Montgomery the test's server, with a checksum or none."""

    def put(checksum="", name="NLM.zip"):
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        archive = fetch.Archive(name=name, megabytes=1, url=url, checksum=checksum)
        source = fetch.Source("montgomery", "free", "http://example.org", archives=(archive,))
        monkeypatch.setattr(fetch, "source", lambda _: source)

    return put


def digest(server):
    return "md5:" + hashlib.md5(server.content).hexdigest()


def left_over(out):
    return sorted(path.name for path in out.rglob("*") if ".part" in path.name or path.suffix in (".zip", ".tar"))


def test_a_release_is_fetched_verified_unpacked_and_remembered(tmp_path, server, listed, capsys):
    listed(digest(server))
    assert fetch.fetch("montgomery", tmp_path)
    assert (tmp_path / "MontgomerySet/a.png").read_bytes() == PAYLOAD
    record = json.loads((tmp_path / fetch.RECORD).read_text())
    assert record == {"NLM.zip": hashlib.sha256(server.content).hexdigest()}
    assert left_over(tmp_path) == []
    before = len(server.asked)
    assert fetch.fetch("montgomery", tmp_path)
    assert len(server.asked) == before and "was fetched before" in capsys.readouterr().out


def test_a_cut_connection_is_continued_where_it_was_cut(tmp_path, server, listed):
    listed(digest(server))
    server.cuts = [2 * download.BLOCK]
    assert fetch.fetch("montgomery", tmp_path)
    assert server.asked == [None, f"bytes={2 * download.BLOCK}-"]


def test_a_server_without_ranges_is_asked_for_the_whole(tmp_path, server, listed):
    listed(digest(server))
    server.ranges_known, server.cuts = False, [download.BLOCK]
    assert fetch.fetch("montgomery", tmp_path)
    assert (tmp_path / "MontgomerySet/a.png").read_bytes() == PAYLOAD


def test_a_download_given_up_goes_on_in_the_next_run(tmp_path, server, listed):
    listed(digest(server))
    server.cuts = [download.BLOCK] + [0] * download.ATTEMPTS
    with pytest.raises(RadlibError, match="stopped at 0.1 of 0.5 MB .* it continues where it stopped"):
        fetch.fetch("montgomery", tmp_path)
    assert left_over(tmp_path) == ["NLM.zip.part"]
    server.asked.clear()
    assert fetch.fetch("montgomery", tmp_path)
    assert server.asked == [f"bytes={download.BLOCK}-"]


def test_a_wrong_checksum_is_told_and_nothing_is_left(tmp_path, server, listed):
    listed("md5:" + "0" * 32)
    with pytest.raises(RadlibError, match="does not have the checksum its publisher states and was deleted"):
        fetch.fetch("montgomery", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_published_checksum_that_is_said(tmp_path, server, listed, capsys):
    listed()
    assert fetch.fetch("montgomery", tmp_path)
    assert "states no checksum" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../out.txt", "/etc/x", "a/../../x", "C:\\x\\..\\..\\y"])
def test_an_archive_that_climbs_out_is_refused(tmp_path, server, listed, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.txt", b"x")
        archive.writestr(zipfile.ZipInfo(name), b"x")
    server.content = buffer.getvalue()
    listed()
    with pytest.raises(RadlibError, match="would be written elsewhere; it is not unpacked"):
        fetch.fetch("montgomery", tmp_path / "out")
    assert not (tmp_path / "out.txt").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_tar_archive_is_unpacked_and_one_with_links_refused(tmp_path, server, listed, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        here = tarfile.TarInfo("./")  # as `tar cf x.tar .` begins
        here.type, here.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(here)
        about = tarfile.TarInfo("Task02_Heart/dataset.json")
        about.size = 2
        archive.addfile(about, io.BytesIO(b"{}"))
    server.content = buffer.getvalue()
    listed(name="Task02_Heart.tar")
    assert fetch.fetch("montgomery", tmp_path / "good")
    assert (tmp_path / "good/Task02_Heart/dataset.json").read_text() == "{}"
    link = tarfile.TarInfo("link")
    link.type, link.linkname = kind, "/etc/passwd"
    with tarfile.open(fileobj=(other := io.BytesIO()), mode="w") as archive:
        archive.addfile(link)
    server.content = other.getvalue()
    with pytest.raises(RadlibError, match="holds 'link', which would be written elsewhere"):
        fetch.fetch("montgomery", tmp_path / "bad")


def test_no_room_and_no_archive_and_no_server_are_one_sentence_each(tmp_path, server, listed, monkeypatch):
    listed()
    server.content = b"<html>moved</html>"
    with pytest.raises(RadlibError, match="is neither a zip nor a tar archive; it was deleted"):
        fetch.fetch("montgomery", tmp_path)
    server.status = 404
    with pytest.raises(
        RadlibError, match=r"could not be downloaded \(status 404\).*take it by hand from http://example"
    ):
        fetch.fetch("montgomery", tmp_path / "b")
    server.status = 200
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(RadlibError, match="are free; make room or name another folder"):
        fetch.fetch("montgomery", tmp_path / "c")


@pytest.mark.parametrize("name", TASKS)
def test_every_dataset_has_a_licence_a_page_and_a_way(name, tmp_path, capsys):
    found = fetch.source(name)
    assert found.licence and found.page.startswith("http") and bool(found.how) != bool(found.archives)
    if found.how:
        assert cli.main(["data", "fetch", name, "--out", str(tmp_path / "x")]) == 1
        said = capsys.readouterr().out
        assert found.licence in said and f"radlib data check {name} --root" in said
        assert not (tmp_path / "x").exists()
