"""The book as jobs: what the paper's configuration asks for always, runs with Snakemake where it is installed."""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import papermill
import pytest
import yaml

from radlib import cli
from radlib.data import catalog
from radlib.models import backbones
from radlib.report import failed_page, page

WORKFLOW = Path(__file__).resolve().parents[1] / "workflow"
BESIDE = WORKFLOW.parent / ".venv-scale/bin/snakemake"
SNAKEMAKE = str(BESIDE) if BESIDE.is_file() else shutil.which("snakemake")
needs_snakemake = pytest.mark.skipif(SNAKEMAKE is None, reason="Snakemake is not installed; `make scale` installs it")
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
BIG = {"backbones": ["vits14_random"], "image_size": 224}  # features take some seconds
PAPER = yaml.safe_load((WORKFLOW / "paper.yaml").read_text())
TABLE04 = "_build/notebooks/table04_linear_probing.ipynb"


@pytest.fixture
def clinic(clinic):
    """The folder of small pictures, called like a command: no job may run it."""
    return clinic.rename(clinic.with_name("it's {mine} || touch owned || echo $(touch owned) \""))


@pytest.fixture
def snakemake(clinic, own_cache, tmp_path, monkeypatch):
    """Starts Snakemake with `words` on the folder of small pictures; other parameters than `QUICK`'s may be given."""
    monkeypatch.chdir(tmp_path)

    def command(*words, profile=WORKFLOW / "profiles/local", **parameters):
        values = {**QUICK, **parameters}
        features = {key: values[key] for key in ("datasets", "backbones", "image_size")}
        config = {
            "data_root": str(clinic),
            "table04": values,
            "features": {"own": {"pages": ["table04"], "shards": 1, **features}},
        }
        Path("config.yaml").write_text(json.dumps(config))
        start = [SNAKEMAKE, *words, "--snakefile", WORKFLOW / "Snakefile", "--profile", profile]
        return [*map(str, start), "--configfile", "config.yaml"]

    return command


def run(command):
    """The exit code of `command`, and what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def jobs(said):
    """The rules of the jobs that a dry run lists."""
    return re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE)


@needs_snakemake
def test_the_whole_book_is_a_job_a_page_and_ends_in_the_site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [SNAKEMAKE, "--snakefile", WORKFLOW / "Snakefile", "--profile", WORKFLOW / "profiles/local", "-n"]
    code, said = run(command)
    assert code == 0, said
    assert sorted(jobs(said)) == sorted([*page.notebooks(), "site"]) and jobs(said)[-1] == "site"
    code, said = run([*command, "--configfile", WORKFLOW / "paper.yaml"])
    features = sum(len(g["datasets"]) * len(g["backbones"]) * g["shards"] for g in PAPER["features"].values())
    assert code == 0 and jobs(said).count("features") == features > 300
    code, said = run([*command, "--config", "table4={epochs: 3}"])
    assert code != 0 and "The configuration sets {'table4'}; write data_root, features or a page: explore" in said


@needs_snakemake
def test_parameters_reach_the_page_as_the_configuration_has_them(snakemake):
    given = {
        "data_note": 'it\'s "x": [1], # {no} $HOME\ncomment – 😀',
        "epochs": 1e-05,
        "controls": None,
        "also": {"a": [1]},
    }
    _, said = run(snakemake("table04", "-n", "--printshellcmds", **given))
    (words,) = re.findall(r"radlib run (.*) --show-failure", said)
    parameters = cli._parameters(cli._parser().parse_args(["run", *shlex.split(words)]))
    assert parameters == {**QUICK, **given}


@needs_snakemake
def test_a_page_is_made_again_after_a_failure_and_whenever_something_changes(snakemake, tmp_path, clinic):
    whole = (clinic / "3.png").read_bytes()
    (clinic / "3.png").write_bytes(b"not a picture")
    code, said = run(snakemake("table02", "table04"))
    assert code == 1 and re.search(r"^table04: .*3\.png.* See _build/failed/table04_linear_probing", said, re.MULTILINE)
    failed = tmp_path / "_build/failed/table04_linear_probing.ipynb"
    assert "3.png" in failed_page.sentence_of(failed) and str(clinic.parent) not in failed.read_text()
    assert (tmp_path / "_build/notebooks/table02_backbones.ipynb").is_file()

    (clinic / "3.png").write_bytes(whole)
    code, said = run(snakemake("table02", "table04"))
    assert code == 0 and jobs(said) == ["features", "table04"], said
    made = tmp_path / TABLE04
    assert "This run: your data" in made.read_text() and not failed_page.sentence_of(made)
    assert not list(tmp_path.rglob("owned"))
    (stamp,) = tmp_path.glob("_build/features/*.txt")
    assert "30 images computed" in stamp.read_text()
    results = [json.loads(path.read_text()) for path in tmp_path.glob("results/own/table04/*.json")]
    assert [found["seconds"]["images_encoded"] for found in results] == [0.0, 0.0]  # the page read what the job left

    _, said = run(snakemake("table04", "-n"))
    assert "Nothing to be done" in said
    _, said = run(snakemake("table04", "-n", epochs=3))
    assert jobs(said) == ["table04"] and "Params have changed since last execution" in said
    (clinic / "30.png").write_bytes(whole)
    _, said = run(snakemake("table04", "-n"))
    assert jobs(said) == ["features", "table04"] and said.count("Params have changed") == 1


@needs_snakemake
def test_a_killed_run_goes_on_from_the_last_finished_shard(snakemake, tmp_path, own_cache):
    stamp = "_build/features/own.manifest.vits14_random.1-of-1.txt"
    command = snakemake(stamp, **BIG)
    with subprocess.Popen(command, start_new_session=True, stdout=-3, stderr=-3) as running:
        while running.poll() is None and not any(
            "8/30" in log.read_text(errors="replace") for log in tmp_path.glob("_build/logs/features/*")
        ):
            time.sleep(0.1)
        os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL and not list(own_cache.glob("features/*/*.safetensors"))
    code, said = run(command)
    assert code == 1 and "can be removed with the --unlock argument" in said
    assert run([*command, "--unlock"])[0] == run(command)[0] == 0
    assert "30 images computed" in (tmp_path / stamp).read_text()


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two Slurm nodes on this machine; returns what does `action` to a node."""
    script, folder = WORKFLOW / "slurm_on_one_machine.sh", tmp_path / "slurm"
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
def test_a_node_that_dies_in_the_middle_of_a_shard_costs_that_shard_and_no_byte(
    snakemake, cluster, clinic, tmp_path, own_cache
):
    profile = tmp_path / "profile"
    profile.mkdir()
    words = (WORKFLOW / "profiles/slurm/config.yaml").read_text().replace("latency-wait: 60", "latency-wait: 5")
    words += "slurm-status-command: squeue\nslurm-no-requeue: true\nslurm-init-seconds-before-status-checks: 5\n"
    (profile / "config.yaml").write_text(words)
    killed = ""
    with subprocess.Popen(snakemake("table04", profile=profile, **BIG)) as running:
        while running.poll() is None:
            time.sleep(0.1)
            logs = list(tmp_path.glob("_build/logs/features/*.log"))
            counts = [int(n) for log in logs for n in re.findall(r"(\d+)/30", log.read_text(errors="replace"))]
            if not killed and counts and 0 < counts[-1] < 30:
                asked = ["squeue", "-h", "-t", "R", "-o", "%N"]
                (killed,) = subprocess.run(asked, capture_output=True, text=True).stdout.split()
                cluster("kill", killed.removeprefix("node"))
                assert not list(own_cache.glob("features/*/*.safetensors"))
    assert killed and running.returncode == 0
    assert "30 images computed" in next(tmp_path.glob("_build/features/*.txt")).read_text()
    (there,) = own_cache.glob("features/*/0*.safetensors")
    survived = there.read_bytes()
    there.unlink()
    words = ["features", "manifest", "--data-root", str(clinic), "--backbone", "vits14_random"]
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "2"}):  # as the Snakefile gives the job
        subprocess.run([sys.executable, "-m", "radlib.cli", *words], check=True, capture_output=True)
    assert there.read_bytes() == survived and not list(tmp_path.rglob("owned"))


def parameters_of(name):
    """The parameters of a page under the paper's configuration: its own, then the notebook's defaults."""
    told = papermill.inspect_notebook(str(page.notebooks()[name]))
    unknown = set(PAPER[name]) - set(told)
    assert not unknown, f"{name} has no parameter {unknown}"
    return {key: yaml.safe_load(one["default"].replace("None", "null")) for key, one in told.items()} | PAPER[name]


@pytest.mark.parametrize("name", [key for key in PAPER if key != "features"])
def test_the_papers_pages_find_their_features_computed(name):
    """Whatever a page reads by its parameters is in a group of `features` that the page waits for."""
    given = parameters_of(name)
    ahead = {
        (dataset, backbone, group["image_size"], "patch_blocks" in group)
        for group in PAPER["features"].values()
        if name in group["pages"]
        for dataset, backbone in itertools.product(group["datasets"], group["backbones"])
    }
    wanted = set()
    for prefix in ("", "mask_"):
        for dataset, backbone in itertools.product(
            given.get(f"{prefix}datasets", ()), given.get(f"{prefix}backbones", ())
        ):
            masks = catalog.TASKS[dataset] == "segmentation"
            for size in given.get("image_sizes", [given.get(f"{prefix}image_size")]):
                patch = backbones.spec(backbone).patch or 1
                wanted.add((dataset, backbone, size // patch * patch if name == "table10" else size, masks))
    assert wanted and wanted <= ahead


def test_the_papers_features_are_jobs_that_the_command_understands():
    for group in PAPER["features"].values():
        assert set(group["pages"]) <= set(page.notebooks())
        options = [
            f"--{key.replace('_', '-')}={group[key]}"
            for key in ("image_size", "patch_blocks", "samples")
            if key in group
        ]
        for dataset, backbone in itertools.product(group["datasets"], group["backbones"]):
            given = cli._parser().parse_args(["features", dataset, "--backbone", backbone, *options])
            catalog.check_name(given.dataset)
            backbones.check_image_size(backbones.spec(given.backbone), given.image_size)


def test_the_papers_settings_leave_no_stand_ins_shortcut():
    """What pages shorten for the stand-ins is set for every page that has it."""
    short = {"tuned_epochs", "refit_epochs", "train_images", "mask_epochs", "mask_refit_epochs"}
    assert set(PAPER) >= {"table05", "table06", "table07", "table08", "table09", "figure2", "figure3"}
    for name in set(PAPER) - {"features"}:
        assert not short & set(parameters_of(name)) - set(PAPER[name]), name
