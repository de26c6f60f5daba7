"""Every package of the lock is listed with a licence."""

import re
from pathlib import Path

from radlib import licences

PAGE = (Path(__file__).resolve().parents[1] / "book" / "licences.md").read_text(encoding="utf-8")


def test_every_locked_package_is_listed_with_its_version_and_a_licence():
    rows = {row[0]: row[1:] for row in re.findall(r"^\| ([\w.-]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.M)}
    locked = licences.locked()
    assert len(locked) > 200
    for name, version in locked.items():
        assert rows[name][0] == version, f"{name}: run python -m radlib.licences > book/licences.md"
        assert rows[name][1] != "–", f"{name} states no licence: say it in radlib/licences.py"
    assert set(rows) - {"package", "---"} == set(locked)


def test_what_an_installed_package_states_is_what_the_page_says():
    assert licences.of("numpy").startswith("BSD-3-Clause")
    assert licences.of("no-such-package") == "–"
