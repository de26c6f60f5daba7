"""The book in jobs: its graph always, a run with Snakemake where it is installed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest

from radlib import cli
from radlib.errors import RadlibError
from radlib.report import failed_page, page, resources, run_all

try:
    SNAKEMAKE = run_all.snakemake()
except RadlibError as error:
    SNAKEMAKE, MISSING = [], str(error)
else:
    MISSING = ""
needs_snakemake = pytest.mark.skipif(not SNAKEMAKE, reason=MISSING)
needs_slurm = pytest.mark.skipif(
    shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None
    or os.geteuid() != 0
    or not os.environ.get("RADLIB_TEST_SLURM"),
    reason="starts a Slurm cluster as root: RADLIB_TEST_SLURM=1 allows it, where slurm-wlm and munge are installed",
)
QUICK = {
    "datasets": ["manifest"],
    "backbones": ["efficientnet_lite0"],
    "image_size": 32,
    "epochs": 2,
    "resamples": 100,
    "controls": False,
}


@pytest.fixture
def clinic(clinic):
    """The folder of small pictures, called like a command: no job may run it."""
    return clinic.rename(clinic.with_name("it's {mine} || touch owned || echo $(touch owned) \""))


@pytest.fixture
def ask(clinic, own_cache, tmp_path, monkeypatch):
    """`radlib run all` on a folder of small pictures; page and the words of the parameters that are not `QUICK`'s."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*words, pages=("table04",), **parameters):
        arguments = ["run", "all", "--data-root", str(clinic), "--pages", *pages]
        for name, value in {**QUICK, **parameters}.items():
            arguments += ["-p", name, json.dumps(value)]
        return cli.main([*arguments, *words])

    return run


@needs_snakemake
def test_the_graph_goes_from_checks_over_features_to_pages(ask, capsys, tmp_path):
    assert ask("-n") == 0
    told = capsys.readouterr().out
    assert re.findall(r"^(\w+) +_build", told, re.MULTILINE) == ["check", "features", "page"]
    assert "3 jobs would run." in told and told.count("Missing output files") == 3
    assert not list(tmp_path.rglob("*.txt")) and not (tmp_path / "_build" / "notebooks").exists()


@needs_snakemake
def test_the_whole_book_ends_in_the_site(own_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "all", "-n"]) == 0
    told = capsys.readouterr().out
    rules = re.findall(r"^(\w+) +_build", told, re.MULTILINE)
    assert rules.count("check") == 8 and rules.count("book") == 1 and rules.count("page") == len(page.notebooks())
    assert rules.index("book") == len(rules) - 1


@needs_snakemake
def test_what_ran_is_up_to_date_until_something_changes_and_says_why(ask, capsys, tmp_path, clinic):
    assert ask() == 0
    (made,) = tmp_path.glob("_build/notebooks/*.ipynb")
    assert "This run: your data" in made.read_text()
    assert not list(tmp_path.rglob("owned"))
    assert json.loads((tmp_path / "_build/scale/check/manifest.json").read_text())["root"] == str(clinic)
    (stamp,) = tmp_path.glob("_build/scale/features/*.txt")
    assert "30 images computed" in stamp.read_text()
    assert len(list(tmp_path.glob("results/own/table04/*.json"))) == 2
    capsys.readouterr()
    assert ask("-n") == 0 and "Everything is up to date." in capsys.readouterr().out
    assert ask("-n", epochs=3) == 0
    told = capsys.readouterr().out
    assert "1 jobs would run." in told and "Run with other parameters" in told
    asked = page.digest({**QUICK, "data_root": str(clinic)})
    assert asked == page.asked_of(made)
    made.write_text(made.read_text().replace(asked, page.digest({**QUICK, "epochs": 4})))
    assert ask("-n") == 0
    assert "1 jobs would run." in (told := capsys.readouterr().out) and "Run with other parameters" in told
    shutil.rmtree(Path(os.environ["RADLIB_CACHE"]) / "features")
    assert ask("-n") == 0
    assert "2 jobs would run." in (told := capsys.readouterr().out) and "No longer in the cache" in told
    (clinic / "3.png").write_bytes((clinic / "4.png").read_bytes())
    assert ask("-n") == 0
    assert "3 jobs would run." in capsys.readouterr().out


@needs_snakemake
def test_a_page_that_fails_says_so_stops_no_other_and_is_tried_again(ask, capsys, tmp_path, clinic):
    whole = (clinic / "3.png").read_bytes()
    (clinic / "3.png").write_bytes(b"no picture")
    assert ask(pages=("table02", "table04")) == 1
    assert "table04 failed, its page says so" in (said := capsys.readouterr().err) and "3.png" in said
    assert failed_page.sentence_of(tmp_path / "_build/notebooks/table02_backbones.ipynb") == ""
    made = tmp_path / "_build/notebooks/table04_linear_probing.ipynb"
    assert str(clinic.parent) not in made.read_text()
    assert "3.png" in failed_page.sentence_of(made) and made.stat().st_mtime == 0
    assert ask("-n", pages=("table02", "table04")) == 0
    assert "The last run failed" in (told := capsys.readouterr().out) and "table02" not in told
    (clinic / "3.png").write_bytes(whole)
    assert ask(pages=("table02", "table04")) == 0
    assert "This page failed" not in made.read_text()


@needs_snakemake
def test_a_run_that_is_killed_goes_on_by_the_same_line(ask, clinic, tmp_path):
    big = {**QUICK, "backbones": ["vits14_random"], "image_size": 224}
    words = [word for name, value in big.items() for word in ("-p", name, json.dumps(value))]
    command = [
        sys.executable,
        "-m",
        "radlib.cli",
        "run",
        "all",
        "--data-root",
        str(clinic),
        "--pages",
        "table04",
        *words,
    ]
    run = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    said = ""
    while run.poll() is None and "8/30" not in said:
        time.sleep(0.1)
        said = "".join(log.read_text() for log in tmp_path.glob("_build/scale/logs/features.*"))
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    checked = (tmp_path / "_build/scale/check/manifest.json").stat().st_mtime_ns
    assert ask(**big) == 0
    assert "30 images computed" in next(tmp_path.glob("_build/scale/features/*.txt")).read_text()
    assert (tmp_path / "_build/scale/check/manifest.json").stat().st_mtime_ns == checked
    assert list(tmp_path.glob("_build/notebooks/table04*.ipynb"))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two Slurm nodes on this machine; returns what does `action` to a node."""
    script, folder = run_all.WORKFLOW / "slurm_on_one_machine.sh", tmp_path / "slurm"
    monkeypatch.setenv("CORES", "2")
    monkeypatch.setenv("MEMORY_MB", "12000")
    started = subprocess.run([script, "start", folder], capture_output=True, text=True)
    if started.returncode:
        subprocess.run([script, "stop", folder], check=False)
        pytest.skip(f"two Slurm nodes do not start on this machine: {started.stderr.strip()}")
    yield lambda action, node: subprocess.run([script, action, folder, node], check=True)
    subprocess.run([script, "stop", folder], check=False)


@needs_snakemake
@needs_slurm
def test_a_node_that_dies_in_the_middle_of_a_shard_costs_that_shard_and_no_byte(ask, cluster, clinic, tmp_path):
    profile = tmp_path / "profile"
    profile.mkdir()
    words = (run_all.WORKFLOW / "profiles/slurm/config.yaml").read_text().replace("latency-wait: 60", "latency-wait: 5")
    words += "slurm-status-command: squeue\nslurm-no-requeue: true\nslurm-init-seconds-before-status-checks: 5\n"
    (profile / "config.yaml").write_text(words)
    big = {"backbones": ["vits14_random"], "image_size": 224}
    done: list[int] = []
    run = threading.Thread(target=lambda: done.append(ask("--profile", str(profile), **big)))
    run.start()
    killed = ""
    while run.is_alive():
        time.sleep(0.1)
        logs = list(tmp_path.glob("_build/scale/logs/features.*.log"))
        counts = [int(n) for log in logs for n in re.findall(r"(\d+)/30", log.read_text(errors="replace"))]
        if not killed and counts and 0 < counts[-1] < 30:
            (job,) = subprocess.run(
                ["squeue", "-h", "-t", "R", "-o", "%N"], capture_output=True, text=True
            ).stdout.split()
            killed = job
            cluster("kill", killed.removeprefix("node"))
            assert not list(Path(os.environ["RADLIB_CACHE"]).glob("features/*/*.safetensors"))
    assert killed and done == [0]
    assert "30 images computed" in next(tmp_path.glob("_build/scale/features/*.txt")).read_text()
    (there,) = Path(os.environ["RADLIB_CACHE"]).glob("features/*/0*.safetensors")
    survived = there.read_bytes()
    there.unlink()
    words = ["features", "manifest", "--data-root", str(clinic), "--backbone", "vits14_random"]
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "2"}):  # as resources.csv gives the job
        subprocess.run([sys.executable, "-m", "radlib.cli", *words], check=True, capture_output=True)
    assert there.read_bytes() == survived


def test_two_runs_in_one_folder_are_refused_and_a_killed_one_leaves_no_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_all.WORK.mkdir(parents=True)
    hold = "import sys; from radlib.report import run_all\n"
    hold += "with run_all._alone(): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(RadlibError, match="Another run is going on"), run_all._alone():
        pass
    holder.kill()
    holder.wait()
    with run_all._alone():
        pass


def test_without_snakemake_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(run_all.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(run_all.shutil, "which", lambda name: None)
    with pytest.raises(RadlibError, match="`make scale` installs it"):
        run_all.snakemake()


def test_a_profile_for_slurm_is_refused_where_no_slurm_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RadlibError, match="Slurm's sbatch is not on the PATH; run this where jobs are submitted"):
        run_all._check_cluster(run_all.WORKFLOW / "profiles" / "slurm")
    for name in ("sbatch", "sinfo"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'fatal: no server' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(RadlibError, match=r"Slurm does not answer here \(fatal: no server\); run this where"):
        run_all._check_cluster(run_all.WORKFLOW / "profiles" / "slurm")
    run_all._check_cluster(run_all.WORKFLOW / "profiles" / "local")
    (tmp_path / "config.yaml").write_text("executor: [\n")
    with pytest.raises(RadlibError, match="config.yaml cannot be read as YAML"):
        run_all._check_cluster(tmp_path)


def test_an_unknown_profile_is_refused_and_a_folder_of_ones_own_is_not(tmp_path):
    with pytest.raises(RadlibError, match="no profile called 'slum'; did you mean 'slurm'"):
        run_all._profile("slum")
    (tmp_path / "config.yaml").write_text("cores: 1\n")
    assert run_all._profile(str(tmp_path)) == tmp_path


def test_the_table_of_resources_that_comes_with_it_is_whole():
    asked = resources.read(run_all.WORKFLOW / "resources.csv", page.notebooks())
    assert set(asked) == set(resources.KINDS)


def test_a_page_may_have_a_line_of_its_own(tmp_path):
    lines = (run_all.WORKFLOW / "resources.csv").read_text() + "table08,8,32000,1,1440\n"
    (tmp_path / "resources.csv").write_text(lines)
    asked = resources.read(tmp_path / "resources.csv", page.notebooks())
    assert asked["table08"] == {"cores": 8, "memory_mb": 32000, "gpus": 1, "minutes": 1440}


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("page,2", "page,two", "line 5: cores of 'page' is 'two'; write a whole number of 1 or more"),
        ("page,2", "page,0", "line 5: cores of 'page' is '0'"),
        ("page,2", "page,", "line 5: cores of 'page' is ''"),
        ("check,1,3000,0", "check,1,3000,-1", "line 2: gpus of 'check' is '-1'; write a whole number of 0 or more"),
        ("check,1,3000,0", "check,1,3e3,0", "line 2: memory_mb of 'check' is '3e3'"),
        ("tokens,", "token,", "line 4: There is no kind of job or page called 'token'; did you mean 'tokens'"),
        ("tokens,", "features,", "line 4: 'features' stands there a second time"),
        ("book,1,3000,0,30\n", "", "has no line for 'book'; add one, with cores, memory_mb, gpus, minutes"),
        ("memory_mb", "memory", "has no column 'memory_mb'"),
        (",", ";", "has no column 'job'"),
    ],
)
def test_a_table_of_resources_that_is_wrong_is_told_in_one_sentence(tmp_path, was, becomes, said):
    text = (run_all.WORKFLOW / "resources.csv").read_text()
    assert was in text
    (tmp_path / "resources.csv").write_text(text.replace(was, becomes))
    with pytest.raises(RadlibError, match=re.escape(said)):
        resources.read(tmp_path / "resources.csv", page.notebooks())
