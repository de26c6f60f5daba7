"""Pages run in this interpreter's kernel, whatever kernelspecs lie on JUPYTER_PATH."""

import json
import sys
import threading

import nbformat
import pytest

from radlib import cli, doctor
from radlib.errors import RadlibError
from radlib.report import kernel, page


@pytest.fixture(params=["another Python", "damaged", "unknown program"])
def foreign(request, tmp_path, monkeypatch):
    """A kernelspec python3 that comes first and does not run radlib."""
    folder = tmp_path / "share" / "kernels" / "python3"
    folder.mkdir(parents=True)
    program = {"another Python": "/bin/false", "unknown program": "/nowhere/python"}.get(request.param)
    spec = {"argv": [program, "-f", "{connection_file}"], "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec) if program else "{", encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    return program or "cannot be read"


def test_a_foreign_kernelspec_is_not_run(foreign, tmp_path):
    assert kernel.own_specs().get_kernel_spec("python3").argv[0] == sys.executable
    (line,) = doctor._kernel()
    assert line.level == "note" and foreign in line.words and "ipykernel install --user --name radlib" in line.words
    if foreign == "/bin/false":
        assert cli.main(["run", "table02", "--output", str(tmp_path / "out.ipynb")]) == 0
        cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
        assert any(cell.outputs for cell in cells if cell.cell_type == "code")


def test_no_kernelspec_is_needed(tmp_path, monkeypatch):
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    monkeypatch.setattr("jupyter_core.paths.SYSTEM_JUPYTER_PATH", [])
    assert kernel.own_specs().get_kernel_spec("python3").argv[0] == sys.executable
    assert doctor._kernel()[0].level == "ok"


def test_the_installed_kernelspec_is_fine():
    assert [line.level for line in doctor._kernel()] == ["ok"]


def test_doctor_says_that_ipykernel_is_missing(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert [(line.level, line.about) for line in doctor._kernel()] == [("fault", "kernel")]


def test_a_kernel_that_does_not_start_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "own_specs", lambda: _ending_at_once(tmp_path))
    with pytest.raises(RadlibError, match=r"The kernel that runs table02.*ipynb did not start .*radlib doctor"):
        page.run("table02", {}, tmp_path / "out.ipynb")
    assert not list(tmp_path.glob("*.ipynb"))


def _ending_at_once(folder):
    from jupyter_client.kernelspec import KernelSpecManager

    place = folder / "python3"
    place.mkdir(exist_ok=True)
    spec = {"argv": ["/bin/false"], "display_name": "x", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return KernelSpecManager(kernel_dirs=[str(folder)])


def test_pages_can_be_run_outside_the_main_thread():
    entered = []

    def enter():
        with kernel.interruptible() as manager:
            entered.append(manager)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert len(entered) == 1
