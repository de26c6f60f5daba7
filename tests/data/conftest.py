import pytest

from radlib import assets


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Slices of tests never meet the user's; what was downloaded is shared."""
    folder = tmp_path_factory.mktemp("cache")
    downloads = assets.cache_dir() / "assets"
    downloads.mkdir(exist_ok=True)
    (folder / "assets").symlink_to(downloads)
    monkeypatch.setenv("RADLIB_CACHE", str(folder))
