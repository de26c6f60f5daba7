"""The four descriptions of the environment (pyproject, lock, conda file, what is installed) agree."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]


def locked() -> list[Requirement]:
    """Every pinned line of the lock, markers included."""
    lines = re.findall(r"^([A-Za-z0-9].*?)\s*\\?$", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE)
    return [Requirement(line) for line in lines]


def pinned_version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not pinned"
    return specifier.version


def test_conda_environment_lists_what_pyproject_lists() -> None:
    dependencies = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    (pip_section,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    assert [line for line in pip_section if not line.startswith("-")] == PROJECT["dependencies"]
    assert "python=3.11" in dependencies, "the lowest Python that requires-python allows"
    assert PROJECT["requires-python"] == ">=3.11"


@pytest.mark.parametrize("requirement", RUNTIME + DEVELOPMENT, ids=lambda requirement: requirement.name)
def test_lock_satisfies_every_range(requirement: Requirement) -> None:
    pins = [pin for pin in locked() if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    assert pins, f"{requirement.name} is missing from requirements.lock; run `make lock`"
    for pin in pins:
        assert pinned_version(pin) in requirement.specifier


def test_lock_pins_and_hashes_everything_and_names_no_machine() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(locked())
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text and "file:" not in text and not re.search(r"(^|\s)/\w", text)


def test_every_range_has_a_floor_and_the_exact_pins_are_exact() -> None:
    for requirement in RUNTIME + DEVELOPMENT:
        assert any(specifier.operator in (">=", "==") for specifier in requirement.specifier), str(requirement)
    exact = {requirement.name for requirement in RUNTIME if "==" in str(requirement.specifier)}
    assert {"torch", "torchvision", "jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme"} <= exact


def test_installed_packages_are_the_locked_ones() -> None:
    environment = default_environment()
    wanted = {pin.name: pinned_version(pin) for pin in locked() if not pin.marker or pin.marker.evaluate(environment)}
    different = {name: (version(name), pin) for name, pin in wanted.items() if version(name) != pin}
    assert not different, "installed and locked differ; run `make env`"
