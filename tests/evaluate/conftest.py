import pytest


@pytest.fixture(autouse=True)
def _own_cache(own_cache):
    """Features of tests never meet the user's."""
