"""Stand-in cohorts: virtual patients made from real scans, written in a real dataset's own layout.

They prove the pipeline and teach; no number made from them stands for the real dataset. A finished cohort carries
`STANDIN.json`, written last, so a folder without it is either somebody else's or a cohort that was cut short.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from radlib.data.standins import brain_tumor
from radlib.errors import RadlibError, unknown_name

VERSION = 5  # raise whenever the same seed would give other bytes
MARKER = "STANDIN.json"

Generator = Callable[[Path, int, int, bool], dict[str, object]]
GENERATORS: dict[str, Generator] = {"brain_tumor": brain_tumor.write}


def marker(folder: Path) -> dict[str, object]:
    """What `STANDIN.json` in `folder` says; empty when there is none or it cannot be read."""
    try:
        read = json.loads((Path(folder) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def write(name: str, out: Path | str, patients: int = 40, seed: int = 0, progress: bool = True) -> Path:
    """Write the stand-in of dataset `name` into the folder `out`.

    patients: number of virtual patients, at least 12 (a patient-level split needs some of each class).
    seed: any integer from 0; the same seed and package versions give the same bytes.  progress: a text progress bar.
    Returns `out`. A finished cohort of the same version, patients and seed is reused; an older or other stand-in is
    replaced; any other folder that is not empty is left alone and refused. Work goes on in a folder beside `out`
    that is renamed at the end, so `out` never holds half a cohort.
    Raises RadlibError for an unknown name, too few patients, a negative seed, a foreign or unwritable folder.
    """
    out = Path(out)
    if name not in GENERATORS:
        raise unknown_name("stand-in", name, GENERATORS)
    if patients < 12 or seed < 0:
        raise RadlibError(
            f"A stand-in of {patients} patients with seed {seed} cannot be made; ask for 12 patients or more and "
            "a seed of 0 or more."
        )
    wanted = {"dataset": name, "version": VERSION, "seed": seed, "patients": patients}
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
        about = GENERATORS[name](part, patients, seed, progress)
        text = json.dumps({**wanted, **about}, indent=2, ensure_ascii=False)
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
