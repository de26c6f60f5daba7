"""Output and files where the locale is not UTF-8: no traceback, and the same files are read."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

LOCALES = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
COMMANDS = {
    "help": ["--help"],
    "doctor": ["doctor", "--offline"],
    "check": ["data", "check", "manifest", "--root", "病院"],
    "unknown": ["run", "tablé04"],
}


def _said(words, locale, folder):
    command = [sys.executable, "-m", "radlib.cli", *words]
    done = subprocess.run(command, capture_output=True, cwd=folder, env={**os.environ, **LOCALES[locale]})
    encoding = "latin-1" if locale == "latin-1" else "ascii"
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.fixture
def hospital(tmp_path, own_cache):
    """A folder and files whose names and labels are Chinese and German."""
    folder = tmp_path / "病院"
    folder.mkdir()
    rows = ["image,patient,label"]
    for k in range(24):
        values = np.random.default_rng(k).integers(0, 100 + 100 * (k % 2), (40, 40), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"像{k}.png")
        rows.append(f"像{k}.png,p{k},{'größer' if k % 2 else 'kleiner'}")
    (folder / "manifest.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("locale", LOCALES)
def test_no_command_ends_in_a_traceback(hospital, locale):
    for name, words in COMMANDS.items():
        code, out, err = _said(words, locale, hospital.parent)
        assert "Traceback" not in err and code == (2 if name == "unknown" else 0), (name, err)
        if name == "check":
            assert "No error was found." in out
            assert r"\u75c5\u9662" in out


def test_a_page_of_such_files_is_that_of_a_utf8_locale(hospital):
    quick = ["-p", "datasets", "manifest", "-p", "backbones", "efficientnet_lite0", "-p", "image_size", "32"]
    quick += ["-p", "epochs", "2", "-p", "resamples", "100", "--output", "page.ipynb"]
    code, _, err = _said(["run", "table04", "--data-root", "病院", *quick], "POSIX", hospital.parent)
    assert code == 0 and "Traceback" not in err
    assert "病院" in (hospital.parent / "page.ipynb").read_text(encoding="utf-8")
