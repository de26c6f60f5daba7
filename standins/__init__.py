"""Stand-in cohorts: virtual patients made from real scans, written in a real dataset's own layout.

They prove the pipeline and teach; no number made from them stands for the real dataset. A finished cohort carries
`STANDIN.json`, written last, so a folder without it is either somebody else's or a cohort that was cut short.
"""

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

from filelock import FileLock

from radlib import assets, atomic
from radlib.data import identity
from radlib.data.catalog import TASKS
from radlib.data.origin import MARKER
from radlib.errors import RadlibError, unknown_name

SUM = "sha256"  # of the cohort, in its marker
_trusted: set[tuple[Path, str, str]] = set()  # cohorts that this process found sound


def exists(name: str) -> bool:
    """Whether `name` is a dataset that has a stand-in, which it may do without."""
    return name in TASKS and importlib.util.find_spec(f"{__name__}.{name}") is not None


def generator(name: str) -> ModuleType:
    """The module that writes dataset `name`; raises RadlibError if there is no such dataset or it has no stand-in.

    It has ``VERSION`` (raised whenever the same seed would give other bytes), ``PATIENTS`` (how many a default cohort
    has) and ``write(folder, patients, seed, progress) -> dict`` (fills an empty folder; what the marker says of it).
    """
    if name not in TASKS:
        raise unknown_name("stand-in", name, TASKS)
    if not exists(name):
        raise RadlibError(f"Dataset '{name}' has no stand-in; give the folder that holds it as 'data_root'.")
    # The generators hold whole volumes and are slow to import; one is needed at a time.
    return importlib.import_module(f"standins.{name}")


def marker(folder: Path) -> dict[str, object]:
    """What `STANDIN.json` in `folder` says; empty when there is none or it cannot be read."""
    try:
        read = json.loads((Path(folder) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def sound(folder: Path) -> bool:
    """Whether every file of the finished cohort in `folder` is as it was written; cohorts of radlib 0.1 have no sum."""
    said = marker(folder)
    digest = said.pop(SUM, None)
    if digest is None:
        return bool(said)
    sign = (folder.resolve(), f"{digest} {said}", _sizes(folder))
    if sign not in _trusted:
        if _sum(folder, said) != digest:
            return False
        _trusted.add(sign)
    return True


def _sum(folder: Path, said: dict[str, object]) -> str:
    """Sha256 of what the marker says, and of the name and content of every other file."""
    whole = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for path in _files(folder):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"\0{path.relative_to(folder).as_posix()}\0{content}".encode())
    return whole.hexdigest()


def _sizes(folder: Path) -> str:
    """Changes when a file is written to: names and signs, which take a hundredth of reading it all."""
    signs = [(path.name, identity.sign(path)) for path in _files(folder)]
    return hashlib.sha256(repr(signs).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def _was_ours(out: Path) -> bool:
    """Whether `out` has a marker that can no longer be read, which nobody else writes."""
    there = (out / MARKER).is_file()
    if there:
        print(f"The marker {out / MARKER} was damaged; the stand-in is made again.")
    return there


def write(name: str, out: Path | str, patients: int | None = None, seed: int = 0, progress: bool = True) -> Path:
    """Write the stand-in of dataset `name` into the folder `out`.

    patients: number of virtual patients, at least 12 (a patient-level split needs some of each class); by default as
        many as the book shows.
    seed: any integer from 0; the same seed and package versions give the same bytes.  progress: a text progress bar.
    Returns `out`. A finished cohort of the same version, patients and seed is reused; an older or other stand-in is
    replaced; any other folder that is not empty is left alone and refused. Work goes on in a folder beside `out`
    that is renamed at the end, so `out` never holds half a cohort.
    Raises RadlibError for an unknown name, too few patients, a negative seed, a foreign or unwritable folder.
    """
    out = Path(out)
    make = generator(name)
    patients = make.PATIENTS if patients is None else patients
    if patients < 12 or seed < 0:
        raise RadlibError(
            f"A stand-in of {patients} patients with seed {seed} cannot be made; ask for 12 patients or more and "
            "a seed of 0 or more."
        )
    wanted = {"dataset": name, "version": make.VERSION, "seed": seed, "patients": patients}
    with FileLock(assets.cache_dir() / "standins" / f"{name}.lock"):
        return _written(make, wanted, out, progress)


def _written(make: ModuleType, wanted: dict[str, object], out: Path, progress: bool) -> Path:
    """`out`, filled with the cohort that is `wanted` unless it holds it already."""
    found = marker(out)
    if found and {key: found.get(key) for key in wanted} == wanted:
        if sound(out):
            return out
        print(f"The stand-in in {out} was damaged or changed and is made again.")
    if out.exists() and not found and not _was_ours(out) and (not out.is_dir() or any(out.iterdir())):
        raise RadlibError(
            f"{out} is not empty and is not a stand-in (it has no {MARKER}), so nothing is written there; name "
            "an empty or a new folder."
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.sweep(out.parent)
        part = atomic.unfinished(out)
        part.mkdir()
    except OSError as error:
        raise RadlibError(f"{out.parent} cannot be written to ({error.strerror}); name another folder.") from error
    try:
        about = make.write(part, wanted["patients"], wanted["seed"], progress)
        said = {**about, **wanted}  # `wanted` is looked for next time
        text = json.dumps({**said, SUM: _sum(part, said)}, indent=2, ensure_ascii=False)
        (part / MARKER).write_text(text + "\n", encoding="utf-8")
        part.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        os.replace(part, out)
    except OSError as error:
        raise RadlibError(
            f"{out} could not be written ({error.strerror}); free some space or name another folder."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out
