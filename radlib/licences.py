"""Licences of everything the book is made with, from what the packages say of themselves.

    python -m radlib.licences > book/licences.md

writes the page anew after a lock has changed (``make env scale`` first); a test compares them.
"""

import re
import sys
from importlib.metadata import Distribution
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK, SCALE_LOCK = CHECKOUT / "requirements.lock", CHECKOUT / "workflow" / "requirements.lock"
SCALE_PACKAGES = ".venv-scale/lib/python*/site-packages"
LONGEST = 60  # characters; some packages put the whole text where the name of a licence belongs
# What a package leaves out of its metadata, and packages of other systems, which are not installed here.
SAID_ELSEWHERE: dict[str, str] = {
    "aiohappyeyeballs": "PSF-2.0",
    "aiohttp": "Apache-2.0 AND MIT",
    "aiosignal": "Apache-2.0",
    "appnope": "BSD-2-Clause",
    "axe-playwright-python": "MIT; the axe-core in it MPL-2.0",
    "colorama": "BSD-3-Clause",
    "cuda-toolkit": "NVIDIA Proprietary Software",
    "frozenlist": "Apache-2.0",
    "multidict": "Apache-2.0",
    "propcache": "Apache-2.0",
    "pyreadline3": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "pywinpty": "MIT",
    "tzdata": "Apache-2.0",
    "yarl": "Apache-2.0",
}
HEAD = "\n".join(
    (
        "# Licences",
        "",
        "Every package of `requirements.lock`, with the licence it states itself. radlib installs them and carries "
        "none of them; its own code is under Apache-2.0, and what it takes from data packages is told on "
        "[Credits](credits). `python -m radlib.licences` writes the page, and a test compares it with the lock.",
        "",
        "",
    )
)
SCALE_HEAD = "\n".join(
    (
        "",
        "## For jobs",
        "",
        "What `make scale` installs beside it, from `workflow/requirements.lock`, where that is not the same.",
        "",
        "",
    )
)
TABLE = "| package | version | licence |\n| --- | --- | --- |\n"


def locked(lock: Path = LOCK) -> dict[str, str]:
    """Name -> version of every package in the lock, those of other systems too; a name with two versions has both."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.M):
        found[name] = f"{found[name]}, {version}" if name in found and version not in found[name] else version
    return found


def of(name: str) -> str:
    """The licence that package `name` states, in few words; a dash where it states none."""
    places = [*sys.path, *map(str, CHECKOUT.glob(SCALE_PACKAGES))]
    found = list(Distribution.discover(name=name, path=places))
    stated = [*map(_stated, found), SAID_ELSEWHERE.get(name, ""), *map(_headline, found)]
    return next(filter(None, stated), "–")


def _stated(package: Distribution) -> str:
    about = package.metadata
    if "License-Expression" in about:
        return about["License-Expression"]
    classes = [text.split(" :: ")[-1] for text in about.get_all("Classifier") or [] if text.startswith("License ::")]
    told = [text for text in dict.fromkeys(classes) if text != "OSI Approved"]
    if told:
        return ", ".join(told)
    lines = str(about["License"]).strip().splitlines() if "License" in about else []
    first = lines[0].strip() if lines else ""
    return first if first.lower() not in ("", "unknown") and len(first) <= LONGEST else ""


def _headline(package: Distribution) -> str:
    """The first line of the licence's text, where it is its name."""
    for file in package.files or []:
        if file.name.upper().startswith("LICEN") and Path(str(file.locate())).is_file():
            first = file.read_text().lstrip().split("\n")[0].strip()
            return first if len(first) <= LONGEST and "license" in first.lower() else ""
    return ""


def page() -> str:
    """The page ``book/licences.md``."""
    book, jobs = locked(), locked(SCALE_LOCK)
    return HEAD + _table(book) + SCALE_HEAD + _table(dict(jobs.items() - book.items()))


def _table(versions: dict[str, str]) -> str:
    rows = [f"| {name} | {version} | {of(name).replace('|', ' ')} |\n" for name, version in sorted(versions.items())]
    return TABLE + "".join(rows)


if __name__ == "__main__":
    print(page(), end="")
