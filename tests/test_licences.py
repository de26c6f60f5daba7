"""Every package of the lock is listed with a licence."""

import re
from pathlib import Path

from radlib import licences

PAGE = (Path(__file__).resolve().parents[1] / "book" / "licences.md").read_text(encoding="utf-8")


def test_every_locked_package_is_listed_with_its_version_and_a_licence():
    rows = re.findall(r"^\| ([\w.-]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.M)
    told = {(name, version): licence for name, version, licence in rows if name not in ("package", "---")}
    locked = set(licences.locked().items()) | set(licences.locked(licences.SCALE_LOCK).items())
    assert len(locked) > 250 and "snakemake" in dict(locked)
    assert set(told) == locked, "run python -m radlib.licences > book/licences.md"
    assert not [name for (name, _), licence in told.items() if licence == "–"], "say it in radlib/licences.py"


def test_what_an_installed_package_states_is_what_the_page_says():
    assert licences.of("numpy").startswith("BSD-3-Clause")
    assert licences.of("no-such-package") == "–"
