"""The pages that say how to add a model or a dataset: short, and their code runs as it is written."""

import re
import shlex
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radlib import cli, paper
from radlib.data import catalog
from radlib.errors import RadlibError
from radlib.report import cohorts

BOOK = Path(__file__).resolve().parents[2] / "book"
LONGEST = 40  # lines, code included


def blocks(name: str) -> list[tuple[str, str]]:
    """(language, code) of every block of the page `name`, in order."""
    return re.findall(r"^```(python|bash)\n(.*?)^```$", (BOOK / name).read_text(), re.MULTILINE | re.DOTALL)


def run(code: str) -> None:
    for line in code.replace("\\\n", "").splitlines():
        command, *words = shlex.split(line)
        assert command == "radlib" and cli.main(words) == 0, line


@pytest.mark.parametrize("name", ["add_model.md", "add_dataset.md"])
def test_a_recipe_is_short(name):
    assert len((BOOK / name).read_text().splitlines()) <= LONGEST


def test_the_recipe_for_a_model_works_as_written(clinic, own_cache, tmp_path, monkeypatch, capsys):
    clinic.rename(tmp_path / "my_hospital")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in blocks("add_model.md"):
        if language == "python":
            exec(code, names)
        else:
            run(f"{code.strip()} -p resamples 100 -p image_size 64")
    assert "'input': 'pooled'" in capsys.readouterr().out
    assert list(Path("results/own/table04").glob("my_hospital__file_mine_resnet18_*__linear_probe__64px__*.json"))
    assert names["probe"].scores.shape[1] == 2


@pytest.fixture
def ward(own_cache, tmp_path, monkeypatch):
    """The dataset of the recipe, added in the way that the page says: a reader and a line in the catalogue."""
    rng = np.random.default_rng(0)
    for k in range(24):
        folder = tmp_path / "my_ward" / ("sick" if k // 2 % 2 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 200, (40, 40), dtype=np.uint8)).save(folder / f"p{k // 2}_{k % 2}.png")
    (reader, *others) = [code for language, code in blocks("add_dataset.md") if language == "python"]
    assert not others
    (tmp_path / "ward.py").write_text(reader)
    import radlib.data

    monkeypatch.setattr(radlib.data, "__path__", [*radlib.data.__path__, str(tmp_path)])
    monkeypatch.setitem(catalog.TASKS, "ward", "binary")  # what the page writes into the catalogue
    monkeypatch.setattr(catalog, "NAMES", (*catalog.TASKS, "manifest"))
    monkeypatch.chdir(tmp_path)
    yield Path("my_ward")
    sys.modules.pop("radlib.data.ward", None)


def test_the_recipe_for_a_dataset_works_as_written(ward, capsys):
    (commands,) = [code for language, code in blocks("add_dataset.md") if language == "bash"]
    check, page = commands.strip().splitlines()
    run(check)
    assert "No error was found" in capsys.readouterr().out
    assert page.startswith("radlib run table04") and "-p datasets \"['ward']\"" in page


def test_a_dataset_of_the_recipe_has_no_address_and_no_stand_in_and_no_command_fails_for_it(ward, tmp_path, capsys):
    assert cli.main(["data", "fetch", "ward", "--out", "elsewhere"]) == 1
    said = capsys.readouterr().out
    assert "no address to fetch it from" in said and "radlib data check ward --root elsewhere" in said
    assert not Path("elsewhere").exists()
    assert cli.main(["data", "standin", "ward", "--out", "elsewhere"]) == 2
    assert "Dataset 'ward' has no stand-in; give the folder that holds it" in capsys.readouterr().err
    run("radlib data split ward --root my_ward --out split.csv")
    assert len(Path("split.csv").read_text().splitlines()) == 1 + 12


def test_table_1_shows_a_dataset_without_a_stand_in_as_not_opened(ward):
    without, there = (cohorts.open_cohort_of("ward", root, "ours") for root in ("", str(ward)))
    html = cohorts.counts_html(paper.table("table01"), [without, there])
    assert "not opened: Dataset 'ward' has no stand-in" in unescape(html)
    assert 'data-v="24"' in html and "one of two classes; your data" in html
    assert "ward" in cohorts.checked().datasets
    with pytest.raises(RadlibError, match="Dataset 'ward' has no stand-in"):
        cohorts.open_all(cohorts.checked(datasets=["ward"]))
