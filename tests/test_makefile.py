"""`make book` runs notebooks side by side, keeps what succeeded, and says which cell of which notebook failed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
RADLIB = """#!/bin/sh
# A radlib that makes a page at once, and cannot make Table 4's.
echo "$2 $OMP_NUM_THREADS" >> ran
if [ "$2" = table04 ] && [ -f broken ]; then
    printf '50%%|#####\\rradlib: Cell 5 of table04_b.ipynb failed with ValueError: no; see it.\\n' >&2
    exit 2
fi
for folder in notebooks book; do for page in $folder/$2*.ipynb; do
    [ -f "$page" ] && mkdir -p _build/$folder && touch "_build/$page"
done; done
exit 0
"""
SITE = '#!/bin/sh\nmkdir -p "$4/_build/html" && touch "$4/_build/html/index.html"\n'  # build STAGE --path-output FOLDER


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (
        "Makefile",
        "requirements.lock",
        "pyproject.toml",
        "_config.yml",
        "_toc.yml",
        "CHANGELOG.md",
        "CITATION.cff",
        "workflow/site.sh",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    for name in (
        "notebooks/table01_a.ipynb",
        "notebooks/table04_b.ipynb",
        "notebooks/table05_c.ipynb",
        "book/claims.ipynb",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, text in (("radlib", RADLIB), ("jupyter-book", SITE)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    key = subprocess.run(
        "cat requirements.lock pyproject.toml | cksum | tr ' ' '-'",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (tmp_path / ".venv" / f".ready-{key}").touch()
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=checkout, env=clean, capture_output=True, text=True)


def test_every_notebook_is_run_once_and_those_that_read_results_last(checkout: Path) -> None:
    made = make(checkout, "book", "JOBS=2")
    assert made.returncode == 0, made.stderr
    ran = [line.split()[0] for line in (checkout / "ran").read_text().splitlines()]
    assert sorted(ran) == ["claims", "table01", "table04", "table05"] and ran[-1] == "claims"
    assert (checkout / "_build/html/index.html").is_file()
    (checkout / "ran").unlink()
    assert make(checkout, "book", "JOBS=2").returncode == 0
    assert not (checkout / "ran").exists(), "nothing has changed"


def test_a_failing_notebook_is_named_with_its_cell_and_the_others_are_kept(checkout: Path) -> None:
    (checkout / "broken").touch()
    made = make(checkout, "book", "JOBS=1")
    assert made.returncode != 0
    assert "Cell 5 of table04_b.ipynb failed with ValueError: no" in made.stderr and "50%" not in made.stderr
    assert "notebooks/table04_b.ipynb failed; all that it printed is in _build/logs/table04.log" in made.stderr
    kept = {path.name for path in (checkout / "_build/notebooks").glob("*.ipynb")}
    assert kept == {"table01_a.ipynb", "table05_c.ipynb"}
    assert not (checkout / "_build/html").exists(), "a site without one of its pages is not passed off as the book"
    (checkout / "broken").unlink()
    (checkout / "ran").unlink()
    assert make(checkout, "book", "JOBS=1").returncode == 0
    ran = [line.split()[0] for line in (checkout / "ran").read_text().splitlines()]
    assert ran == ["table04", "claims"], "what succeeded is not run again"


def test_notebooks_that_run_at_once_share_the_cores(checkout: Path) -> None:
    assert make(checkout, "pages", "JOBS=2", "CORES=8").returncode == 0
    assert {line.split()[1] for line in (checkout / "ran").read_text().splitlines()} == {"4"}


@pytest.mark.parametrize("free_gb, cores, jobs", [(3, 8, 1), (9, 8, 2), (9, 1, 1), (100, 64, 4)])
def test_as_many_run_at_once_as_memory_and_cores_allow(checkout: Path, free_gb: int, cores: int, jobs: int) -> None:
    with (checkout / "Makefile").open("a") as file:
        file.write("jobs:\n\t@echo $(JOBS)\n")
    assert make(checkout, "jobs", f"CORES={cores}", f"FREE_KB={int(free_gb * 1e6)}").stdout.strip() == str(jobs)
