"""Licences of everything the book is made with, from what the packages say of themselves.

    python -m radlib.licences > book/licences.md

writes the page anew after the lock has changed; a test compares the two.
"""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
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
        "| package | version | licence |",
        "| --- | --- | --- |",
    )
)


def locked(lock: Path = LOCK) -> dict[str, str]:
    """Name -> version of every package in the lock, those of other systems too; a name with two versions has both."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.M):
        found[name] = f"{found[name]}, {version}" if name in found and version not in found[name] else version
    return found


def of(name: str) -> str:
    """The licence that package `name` states, in few words; a dash where it states none."""
    try:
        return _stated(distribution(name)) or SAID_ELSEWHERE.get(name, "–")
    except PackageNotFoundError:
        return SAID_ELSEWHERE.get(name, "–")


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


def page(lock: Path = LOCK) -> str:
    """The page ``book/licences.md``."""
    rows = [f"| {name} | {version} | {of(name).replace('|', ' ')} |" for name, version in sorted(locked(lock).items())]
    return "\n".join([HEAD, *rows, ""])


if __name__ == "__main__":
    print(page(), end="")
