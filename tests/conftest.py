"""Fixtures shared by the whole suite."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Folder of real patient images kept beside the project (never inside it)."""
    folder = Path(os.environ.get("RADLIB_REAL", REPOSITORY.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"real images are not at {folder}; set RADLIB_REAL to their folder")
    return folder
