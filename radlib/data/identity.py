"""Which file is this? Its content decides: two files are one if every byte is equal, whatever they are called.

Every cache and every fingerprint uses the SHA-256 of a file's whole content. An index in the cache,
``<cache>/identity``, saves reading a file again: it holds the hash together with the file's size, modification time,
change time and inode. If one of the four differs, the file is hashed again. A program can put a modification time
back after an edit; it cannot put the change time back.

A file that changed less than `RACY_SECONDS` before it was hashed could change again without a difference in its times,
so its hash is not kept (git calls such entries racy: https://git-scm.com/docs/racy-git).

A record that is lost, damaged or cannot be written costs one more reading of the file, never a wrong hash. Paths are
stored as hashes, because names of files may name patients.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from radlib import assets, atomic
from radlib.errors import RadlibError

FOLDER = "identity"  # below the cache
RACY_SECONDS = 2.0  # the coarsest file times in use: FAT keeps modification times to 2 s
THREADS = 8  # most of them wait for the disk
A_TASK = 256  # files that one thread looks up at a time
SAVE_SECONDS = 30.0  # work that a killed run has to repeat
BAR_SECONDS = 2.0  # what takes less shows no progress bar

Sign = tuple[int, int, int, int]  # size in bytes, modification time and change time in ns, inode
Records = dict[str, tuple[Sign, str]]  # hash of a path -> sign and SHA-256 of the file

_records: dict[Path, Records] = {}  # index file -> what this process knows of it
_unsaved: dict[Path, Records] = {}
_saved = time.monotonic()
_guard = threading.RLock()


def of(path: Path | str) -> str:
    """SHA-256 of the whole content of the file `path`, as 64 hexadecimal digits.

    Raises RadlibError, naming the file, if it cannot be read.
    """
    known = _known(path, assets.cache_place())
    return _hashed(path) if known is None else known


def of_all(paths: Sequence[Path | str], progress: bool = True) -> list[str]:
    """`of` every file of `paths`, in their order: several threads, and a progress bar if reading takes long.

    Raises RadlibError for the first file that cannot be read; what was hashed until then is kept.
    """
    cache = assets.cache_place()
    tasks = [paths[low : low + A_TASK] for low in range(0, len(paths), A_TASK)]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="identity") as pool:
        found = [one for some in pool.map(lambda task: [_known(path, cache) for path in task], tasks) for one in some]
    unknown = [path for path, content in zip(paths, found, strict=True) if content is None]
    read = iter(_all_hashed(unknown, progress) if unknown else ())
    return [next(read) if content is None else content for content in found]


def sign(path: Path | str) -> Sign:
    """What the system says of the file `path` without reading it; another one after every change of the file.

    Raises OSError.
    """
    return _sign(os.stat(path))


def sound(index: Path) -> bool:
    """Whether every line of the file `index` of the index is as it was written; raises OSError."""
    return all(_parsed(line) is not None for line in index.read_bytes().splitlines())


def _sign(status: os.stat_result) -> Sign:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _known(path: Path | str, cache: Path) -> str | None:
    """The content's hash as the index has it; None if the file must be read, also if it cannot be looked at."""
    try:
        now = sign(path)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return None
    index, key = _place(path, cache)
    record = _loaded(index).get(key)
    return record[1] if record is not None and record[0] == now else None


def _all_hashed(paths: Sequence[Path | str], progress: bool) -> list[str]:
    size = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    title = f"hashing {len(paths):,} new or changed files" if len(paths) > 1 else "hashing a new or changed file"
    pool = ThreadPoolExecutor(min(THREADS, len(paths)), thread_name_prefix="identity")
    with tqdm(total=size, desc=title, unit="B", unit_scale=True, delay=BAR_SECONDS, disable=not progress) as bar:
        try:
            return list(pool.map(lambda path: _hashed(path, bar), paths))
        finally:
            pool.shutdown(cancel_futures=True)
            _save()


def _hashed(path: Path | str, bar: "tqdm[None] | None" = None) -> str:
    """SHA-256 of the file `path`, which is read; kept in the index unless the file may still be changing."""
    began = time.time()
    try:
        with open(path, "rb") as file:
            before = _sign(os.fstat(file.fileno()))
            content = hashlib.file_digest(file, "sha256").hexdigest()
            after = _sign(os.fstat(file.fileno()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RadlibError(f"{path} cannot be read ({reason}); replace the file with a whole copy.") from error
    _, modified, changed, _ = (stamp / 1e9 for stamp in after)
    # A clock that was wrong may have left a modification time in the future, but the next change sets a change time.
    settled = began - changed > RACY_SECONDS and abs(began - modified) > RACY_SECONDS
    if before == after and settled:
        index, key = _place(path, assets.cache_place())
        with _guard:
            _loaded(index)[key] = _unsaved.setdefault(index, {})[key] = (after, content)
        if time.monotonic() - _saved > SAVE_SECONDS:
            _save()
    if bar is not None:
        bar.update(after[0])
    return content


def _place(path: Path | str, cache: Path) -> tuple[Path, str]:
    """The file of the index that `path` belongs to, and what it is called there.

    All files of a folder share one of 256 files, so neither 100,000 images in one folder nor 100,000 folders of one
    image each are slow.
    """
    folder, name = os.path.split(os.path.abspath(path))
    resolved, index = _folder(folder, cache)
    return index, hashlib.sha256(resolved + os.fsencode(name)).hexdigest()[:32]


@functools.lru_cache(maxsize=1 << 16)
def _folder(folder: str, cache: Path) -> tuple[bytes, Path]:
    """`folder` with all links followed, and its file of the index.

    If a link leads elsewhere later, the files there have another sign, so a record of the old ones is not used.
    """
    resolved = os.fsencode(os.path.join(os.path.realpath(folder), ""))
    return resolved, cache / FOLDER / f"{hashlib.sha256(resolved).hexdigest()[:2]}.index"


def _loaded(index: Path) -> Records:
    found = _records.get(index)
    if found is None:
        with _guard:
            found = _records.setdefault(index, _read(index)) if index not in _records else _records[index]
    return found


def _read(index: Path) -> Records:
    """What the file `index` holds; lines that are damaged are left out."""
    try:
        lines = index.read_bytes().splitlines()
    except OSError:
        return {}
    return dict(record for line in lines if (record := _parsed(line)) is not None)


def _parsed(line: bytes) -> tuple[str, tuple[Sign, str]] | None:
    """Path's hash, sign and content's hash in a line; None if it is not as it was written."""
    said, _, check = line.rpartition(b" ")
    if check != b"%08x" % zlib.crc32(said):
        return None
    try:
        key, size, modified, changed, inode, content = said.decode("ascii").split(" ")
        return key, ((int(size), int(modified), int(changed), int(inode)), content)
    except ValueError:
        return None


def _line(key: str, sign: Sign, content: str) -> bytes:
    said = " ".join([key, *map(str, sign), content]).encode("ascii")
    return said + b" %08x\n" % zlib.crc32(said)


def _save() -> None:
    """Write what is new into the index, beside what other processes wrote meanwhile.

    Of two processes that write at once the later wins: the records of the other cost a reading. A cache that cannot be
    written is no reason to stop.
    """
    global _saved
    with _guard:
        for index, new in _unsaved.items():
            with contextlib.suppress(OSError, RadlibError):
                if index.parent.parent == assets.cache_place():  # another one may be in use by now
                    (assets.cache_dir() / FOLDER).mkdir(exist_ok=True)
                atomic.replace(index, b"".join(_line(key, *record) for key, record in (_read(index) | new).items()))
                atomic.sweep(index.parent)
        _unsaved.clear()
        _saved = time.monotonic()


atexit.register(_save)
