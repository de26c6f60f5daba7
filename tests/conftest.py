"""Fixtures shared by the whole suite."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from radlib import assets

# Machines are noisy: no test fails because another process was busy.
settings.register_profile("radlib", deadline=None)
settings.load_profile("radlib")

REPOSITORY = Path(__file__).resolve().parent.parent

# Files whose tests take minutes begin first, so that no worker is alone with one at the end.
LONGEST = (
    *("test_workflow.py", "test_notebooks.py", "test_run.py", "test_benchmarks.py", "test_kills.py", "test_cli.py"),
    *("test_chest_cohorts.py", "test_interrupts.py", "test_real_releases.py", "test_brain_tumor.py", "test_locale.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by file, the longest first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Folder of real patient images kept beside the project (never inside it)."""
    folder = Path(os.environ.get("RADLIB_REAL", REPOSITORY.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"real images are not at {folder}; set RADLIB_REAL to their folder")
    return folder


@pytest.fixture
def clinic(tmp_path):
    """A reader's own folder: 30 small pictures of 15 patients, brighter when sick, listed in a manifest."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "clinic"
    folder.mkdir()
    rows = []
    for k in range(30):
        patient = k // 2
        picture = rng.integers(0, 120, (48, 48))
        if patient % 2:
            picture[10:30, 10:30] += 100
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{k}.png")
        rows.append((f"{k}.png", f"p{patient}", "sick" if patient % 2 else "well"))
    with open(folder / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "patient", "label"), *rows])
    return folder


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """A cache folder of the test's own; only what was downloaded is shared with the user's."""
    folder = tmp_path_factory.mktemp("cache")
    downloads = assets.cache_dir() / "assets"
    downloads.mkdir(parents=True, exist_ok=True)
    (folder / "assets").symlink_to(downloads)
    monkeypatch.setenv("RADLIB_CACHE", str(folder))
    return folder
