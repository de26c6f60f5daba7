"""A file over HTTP that goes on where a cut connection, or a killed run, left it."""

import time
from pathlib import Path

import requests
from tqdm import tqdm

from radlib.errors import RadlibError

ATTEMPTS = 5  # downloads in a row that brought nothing new before we give up
PAUSE_SECONDS = 1.0  # before the second attempt; doubled before each later one
BLOCK = 1 << 16  # bytes read at once; what a cut connection may lose
TIMEOUT = 30  # seconds without an answer


def size_of(address: str, certificates: str | None = None) -> int | None:
    """Bytes that `address` says it holds, or None; raises requests' exceptions."""
    answer = requests.head(
        address,
        headers={"Accept-Encoding": "identity"},
        timeout=TIMEOUT,
        verify=certificates or True,
        allow_redirects=True,
    )
    answer.raise_for_status()
    length = answer.headers.get("Content-Length")
    return int(length) if length and length.isdigit() else None


def resumed(address: str, part: Path, size: int, label: str, certificates: str | None = None) -> None:
    """Fill the file `part` to `size` bytes from `address`, continuing from what is already there.

    `label` names what is fetched, in the progress bar and in sentences. A server that knows no ranges is asked for
    the whole again.
    Raises RadlibError when several attempts in a row bring nothing new (what is there stays for the next run);
    requests' exceptions for what no further attempt can mend; OSError for a full disk.
    """
    failures = 0
    with tqdm(total=size, unit="B", unit_scale=True, desc=label) as bar:
        while (have := _size(part)) < size:
            reason = "the connection was cut"
            try:
                _continue(address, part, have, size, certificates, bar)
            except requests.HTTPError as error:
                status = error.response.status_code
                if status == requests.codes.requested_range_not_satisfiable:
                    part.unlink(missing_ok=True)
                elif status < 500 and status != requests.codes.too_many_requests:
                    raise
                reason = f"status {status}"
            except requests.exceptions.SSLError:
                raise
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                reason = type(error).__name__
            failures = 0 if _size(part) > have else failures + 1
            if failures == ATTEMPTS:
                raise RadlibError(
                    f"The download of {label} stopped at {_size(part) / 1e6:.1f} of "
                    f"{size / 1e6:.1f} MB ({reason}); check the network and run again: "
                    "it continues where it stopped."
                )
            if failures:
                time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))


def _continue(address: str, part: Path, have: int, size: int, certificates: str | None, bar: "tqdm[None]") -> None:
    # identity: a compressed transfer would make byte positions mean something else than in the file
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT, verify=certificates or True) as answer:
        answer.raise_for_status()
        resumed_there = answer.status_code == requests.codes.partial_content
        bar.n = have if resumed_there else 0
        with part.open("ab" if resumed_there else "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                bar.update(len(block))
                if file.tell() > size:
                    return  # more than expected: the checksum will refuse it, no need to fetch the rest


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
