"""Stand-in cohorts: virtual patients made from real scans, written in a real dataset's own layout.

They prove the pipeline and teach; no number made from them stands for the real dataset. A finished cohort carries
`STANDIN.json`, written last, so a folder without it is either somebody else's or a cohort that was cut short.
"""

import importlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

from radlib.alone import alone
from radlib.data.catalog import TASKS
from radlib.data.origin import MARKER
from radlib.errors import RadlibError, unknown_name


def generator(name: str) -> ModuleType:
    """The module that writes dataset `name`.

    It has ``VERSION`` (raised whenever the same seed would give other bytes), ``PATIENTS`` (how many a default cohort
    has) and ``write(folder, patients, seed, progress) -> dict`` (fills an empty folder; what the marker says of it).
    """
    if name not in TASKS:
        raise unknown_name("stand-in", name, TASKS)
    # The generators hold whole volumes and are slow to import; one is needed at a time.
    return importlib.import_module(f"radlib.data.standins.{name}")


def marker(folder: Path) -> dict[str, object]:
    """What `STANDIN.json` in `folder` says; empty when there is none or it cannot be read."""
    try:
        read = json.loads((Path(folder) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


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
    with alone(str(out.resolve())):
        return _written(make, wanted, out, progress)


def _written(make: ModuleType, wanted: dict[str, object], out: Path, progress: bool) -> Path:
    """`out`, filled with the cohort that is `wanted` unless it holds it already."""
    found = marker(out)
    if found and {key: found.get(key) for key in wanted} == wanted:
        return out
    if out.exists() and not found and (not out.is_dir() or any(out.iterdir())):
        raise RadlibError(
            f"{out} is not empty and is not a stand-in (it has no {MARKER}), so nothing is written there; name "
            "an empty or a new folder."
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{out.name}.", suffix=".part", dir=out.parent))
    except OSError as error:
        raise RadlibError(f"{out.parent} cannot be written to ({error.strerror}); name another folder.") from error
    try:
        about = make.write(part, wanted["patients"], wanted["seed"], progress)
        text = json.dumps({**about, **wanted}, indent=2, ensure_ascii=False)  # `wanted` is looked for next time
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
