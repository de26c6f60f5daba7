"""Downloading a release: licence first, then the archive with resume and checksum, then its files in place.

`sources.toml` says where each dataset is found. Archives go to a file ``NAME.part`` that a stopped run leaves for the
next one, and are unpacked into a hidden folder beside their place, so that nothing half-written is taken for data.
"""

import errno
import json
import lzma
import os
import shutil
import tarfile
import tomllib
import zipfile
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

import pooch
import requests
from pooch.downloaders import doi_to_repository

from radlib import atomic, download
from radlib.data.catalog import TASKS
from radlib.errors import RadlibError, unknown_name
from radlib.memory import amount

RECORD = "FETCHED.json"  # what was received, with its sha256: a later fetch trusts and compares
UNPACKED = 2.2  # disk needed for an archive of 1 byte: itself and its files
# What zipfile and tarfile raise for damaged, encrypted and unknown archives.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    IndexError,
    ValueError,
)


@dataclass(frozen=True)
class Archive:
    """One file to download: `url`, or `doi` of the repository that holds it; `checksum` as pooch writes it, or ""."""

    name: str
    megabytes: int
    url: str = ""
    doi: str = ""
    checksum: str = ""


@dataclass(frozen=True)
class Source:
    """Where a dataset is found; `how` says what to do by hand where nothing can be fetched, `after` what remains.

    A dataset that `sources.toml` does not name has no `page`.
    """

    dataset: str
    licence: str = ""
    page: str = ""
    how: str = ""
    after: str = ""
    archives: tuple[Archive, ...] = ()


def source(name: str) -> Source:
    """Where dataset `name` is found; raises RadlibError for an unknown name."""
    if name not in TASKS:
        raise unknown_name("dataset", name, TASKS)
    with files(__package__).joinpath("sources.toml").open("rb") as file:
        row = tomllib.load(file).get(name)
    if row is None:
        return Source(name)
    archives = tuple(Archive(**archive) for archive in row.pop("files", []))
    return Source(dataset=name, archives=archives, **{key: value.strip() for key, value in row.items()})


def fetch(name: str, out: Path) -> bool:
    """Download dataset `name` into the folder `out` and unpack it.

    Returns False when that is not allowed without an account, or when no address is known.

    Says the licence first. A stopped download goes on where it stopped; a finished one is not fetched again.
    Raises RadlibError: unknown name, no room, no network, an archive whose checksum is not the publisher's or not the
    one received before, an archive with a path that would leave `out`.
    """
    found = source(name)
    if not found.page:
        print(
            f"{name}: sources.toml names no address to fetch it from; put its files into {out} yourself.\n\n"
            f"Then: radlib data check {name} --root {out}"
        )
        return False
    print(f"{name}: {found.licence} ({found.page}).")
    if not found.archives:
        print(f"\n{found.how}\n\nThen: radlib data check {name} --root {out}")
        return False
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        record = _record(out)
        for archive in found.archives:
            if archive.name in record:
                print(f"{archive.name} was fetched before, sha256 {record[archive.name][:12]}….")
                continue
            path = _downloaded(archive, out)
            digest = pooch.file_hash(str(path), alg="sha256")
            _unpack(path, out)
            path.unlink()
            record[archive.name] = digest
            atomic.replace(out / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    except requests.RequestException as error:
        reason = f"status {error.response.status_code}" if error.response is not None else type(error).__name__
        raise RadlibError(
            f"{name} could not be downloaded ({reason}); check the network, or take it by hand from {found.page}."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RadlibError(f"{out} is full; make room and run again: the download goes on.") from error
        raise RadlibError(f"{out} cannot be written ({error.strerror or error}); name another folder.") from error
    finally:
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    print(f"{found.after}\n".lstrip() + f"Now: radlib data check {name} --root {out}")
    return True


def _record(out: Path) -> dict[str, str]:
    path = out / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in record.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise RadlibError(f"{path} is damaged; delete it to fetch the archives again.") from error


def _downloaded(archive: Archive, out: Path) -> Path:
    """The archive in `out`, its checksum compared where there is one."""
    part = out / f"{archive.name}.part"
    url, checksum = _address(archive)
    size = download.size_of(url) or archive.megabytes * 10**6
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(out).free
    if free < size * UNPACKED - have:
        raise RadlibError(
            f"{archive.name} needs {amount(size * UNPACKED)} in {out} with its files, and {amount(free)} are "
            "free; make room or name another folder."
        )

    def continued(address: str, target: str, _: object) -> None:
        """Pooch's way to be given a downloader: fill our own part file, whose bytes outlive a stopped run."""
        download.resumed(address, part, size, archive.name)
        os.replace(part, target)

    if not checksum:
        print(f"{archive.name}: its publisher states no checksum; the sha256 of what arrives is kept in {RECORD}.")
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, known_hash=checksum or None, fname=archive.name, path=out, downloader=continued)
    except ValueError as error:  # pooch's word for a wrong hash; it has deleted the file
        raise RadlibError(
            f"{archive.name} does not have the checksum its publisher states and was deleted; run again, or take it by "
            f"hand from {url}."
        ) from error
    return out / archive.name


def _address(archive: Archive) -> tuple[str, str]:
    """Where the archive is downloaded from, and its checksum."""
    if not archive.doi:
        return archive.url, archive.checksum
    try:
        repository = doi_to_repository(archive.doi, timeout=download.TIMEOUT)
        listing = pooch.create(path=os.devnull, base_url="", registry={})
        repository.populate_registry(listing)
        return repository.download_url(archive.name), listing.registry[archive.name]
    except (ValueError, KeyError) as error:
        raise RadlibError(
            f"{archive.name} is not listed at doi:{archive.doi} ({error}); take it by hand from there."
        ) from error


def _unpack(path: Path, out: Path) -> None:
    """Put the archive's files into `out`; refuses members that would lie elsewhere, links among them."""
    hidden = out / f".{path.stem}.part"
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _refuse([name for name in archive.namelist() if _leaves(name)], path)
                archive.extractall(hidden)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                _refuse([m.name for m in archive if _leaves(m.name) or not (m.isfile() or m.isdir())], path)
                archive.extractall(hidden, filter="data")
        else:
            path.unlink()
            raise RadlibError(
                f"What the server sent as {path.name} is neither a zip nor a tar archive; it was deleted."
            )
        for child in sorted(hidden.iterdir()):
            _merge(child, out / child.name)
    except (*DAMAGED, FileExistsError, NotADirectoryError, IsADirectoryError) as error:  # one member below another file
        path.unlink(missing_ok=True)
        raise RadlibError(f"{path} is damaged ({error}) and was deleted; run again.") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _merge(child: Path, target: Path) -> None:
    """Move `child` to `target`; into it where both are folders, as when four archives hold one folder each."""
    if child.is_dir() and target.is_dir():
        for inner in sorted(child.iterdir()):
            _merge(inner, target / inner.name)
    else:
        os.replace(child, target)


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else False


def _refuse(names: list[str], path: Path) -> None:
    if names:
        path.unlink()
        raise RadlibError(
            f"{path} holds '{names[0]}', which would be written elsewhere; it is not unpacked and was deleted."
        )
