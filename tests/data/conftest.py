import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Slices and features of tests never meet the user's."""
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
