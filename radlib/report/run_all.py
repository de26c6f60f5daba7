"""The whole book in jobs: Snakemake runs ``workflow/Snakefile`` on a plan, here or on a cluster.

Snakemake decides what is out of date, runs it in order and starts again what a node took with it. Here is only what it
cannot know: the plan, that nobody else works in this folder, and which pages said that they failed.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import torch

from radlib import assets, atomic, log, strict_yaml
from radlib.errors import RadlibError, unknown_name
from radlib.report import failed_page, page, resources

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"
WORK = Path("_build/scale")  # plan, reports of checks, stamps of features, logs
SOURCES = ("radlib", "results/published")  # below the checkout
SHOWN = 3  # files that a reason names
JOB = re.compile(r"^rule (\w+):\n.*?^    output: (.*?)\n.*?^    reason: (.*?)$", re.MULTILINE | re.DOTALL)


def run(planned: dict[str, Any], profile: str, pages_only: bool, dry_run: bool) -> int:
    """Make what `planned` (see `plan.plan`) says and is out of date; only its pages, or the site too.

    profile: a folder of ``workflow/profiles``, or any folder with a ``config.yaml`` for Snakemake. With `dry_run` what
    is out of date is told, with the reason, and nothing is run.

    Returns 0 when all is made, 1 when a page failed (each is named, with its sentence), else Snakemake's status.
    Raises RadlibError without Snakemake, for an unknown profile or a wrong table of resources, where the
    profile's cluster does not answer, and when another run is going on in this folder.
    """
    program, folder = snakemake(), _profile(profile)
    WORK.mkdir(parents=True, exist_ok=True)
    asked = resources.read(WORKFLOW / "resources.csv", page.notebooks())
    planned = {**planned, "sources": str(_sources()), "resources": asked, "python": sys.executable}
    text = json.dumps(planned, indent=1).encode()
    place = WORK / ("plan-dry-run.json" if dry_run else "plan.json")  # a run may be going on
    targets = [one["output"] for one in planned["pages"].values()] if pages_only else ["book"]
    command = [*program, "--snakefile", str(WORKFLOW / "Snakefile"), "--workflow-profile", str(folder), "--nolock"]
    command += [*_limits(), "--config", f"plan={place}"]
    if again := _again(planned):
        command += ["--forcerun", *again]
    if dry_run:
        atomic.replace(place, text)
        return _say_what_is_stale([*command, "--dry-run", "--", *targets], again)
    _check_cluster(folder)
    with _alone() as lock:
        atomic.replace(place, text)
        # The lock goes on in Snakemake: it is free when neither runs any more, however they ended.
        code = _run([*command, "--", *targets], lock)
    failed = _tell(planned)
    return code or int(failed)


def _run(command: list[str], lock: IO[bytes]) -> int:
    """Run `command` to its end, with the lock; what it prints is passed on where a log is kept."""
    if not log.is_kept():
        return subprocess.run(command, check=False, pass_fds=[lock.fileno()]).returncode
    pipes: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "encoding": "utf-8",
        "errors": "replace",
    }
    with subprocess.Popen(command, pass_fds=[lock.fileno()], **pipes) as running:
        for line in running.stdout or ():
            print(line, end="", file=sys.stderr)
    return running.returncode


def _say_what_is_stale(command: list[str], again: dict[str, str]) -> int:
    """Say of every job that would run its rule, what it makes and why; of those made `again` the reason given there."""
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        print(done.stdout)
        return done.returncode
    jobs = [match.groups() for match in JOB.finditer(done.stdout)]
    for rule, told, reason in jobs:
        output = told.removesuffix(" (update)")  # said of what stays until the job has renamed something over it
        named, _, files = again.get(output, reason).partition(": ")
        names = [str(Path(file).name) for file in files.split(", ") if file]
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        print(f"{rule:9} {output}\n{'':9} {named}" + (f": {shown}" if files and shown not in output else ""))
    print(f"{len(jobs)} jobs would run." if jobs else "Everything is up to date.")
    return 0


def snakemake() -> list[str]:
    """The command that starts Snakemake; raises RadlibError where it is not installed."""
    if importlib.util.find_spec("snakemake") is not None:
        return [sys.executable, "-m", "snakemake"]
    beside = WORKFLOW.parent / ".venv-scale" / "bin" / "snakemake"
    if found := shutil.which(beside) or shutil.which("snakemake"):
        return [found]
    raise RadlibError("Snakemake is not installed; `make scale` installs it, or put a copy of it on the PATH.")


def _profile(name: str) -> Path:
    known = {path.parent.name: path.parent for path in WORKFLOW.glob("profiles/*/config.yaml")}
    folder = known.get(name, Path(os.path.expanduser(name)).resolve())
    if not os.path.isfile(folder / "config.yaml"):
        raise unknown_name("profile", name, known)
    return folder


def _check_cluster(folder: Path) -> None:
    """Raise RadlibError when the profile in `folder` submits to Slurm and none answers here."""
    settings = strict_yaml.read_file(folder / "config.yaml")
    if not isinstance(settings, dict) or settings.get("executor") != "slurm":
        return
    missing = [program for program in ("sbatch", "sinfo") if shutil.which(program) is None]
    if missing:
        raise RadlibError(f"Slurm's {missing[0]} is not on the PATH; run this where jobs are submitted on the cluster.")
    asked = subprocess.run(
        ["sinfo", "--noheader"], check=False, capture_output=True, encoding="utf-8", errors="replace"
    )
    if asked.returncode:
        said = " ".join(asked.stderr.split())
        raise RadlibError(f"Slurm does not answer here ({said}); run this where jobs are submitted on the cluster.")


def _limits() -> list[str]:
    """What jobs on this machine share; on a cluster its own scheduler sees to that, and these only bound local jobs."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    words = [f"mem_mb={psutil.virtual_memory().total // 2**20}", *([f"gpu={gpus}"] if gpus else [])]
    return ["--resources", *words]


def _sources() -> Path:
    """A list of what every page is made of, with hashes; written anew, so newer than the pages, when one changes."""
    lines = []
    for folder in SOURCES:
        for path in sorted((WORKFLOW.parent / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and ".part-" not in path.name:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                lines.append(f"{digest}  {path.relative_to(WORKFLOW.parent).as_posix()}\n")
    text, place = "".join(lines).encode(), WORK / "package-and-published-results.sha256"
    if not place.is_file() or place.read_bytes() != text:
        atomic.replace(place, text)
    return place


@contextmanager
def _alone() -> Iterator[IO[bytes]]:
    """A lock that dies with whoever holds it: Snakemake's own would outlive a killed run and ask to be removed."""
    with open(WORK / "lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RadlibError(
                f"Another run is going on in {Path.cwd()}; wait for it, or run in another folder."
            ) from error
        yield file


def _again(planned: dict[str, Any]) -> dict[str, str]:
    """Outputs that are made again whatever their dates, and why: what failed, and what `planned` does not ask for.

    A page may have been run by hand with other parameters, and features may have been cleared from the cache.
    """
    found = {}
    for one in planned["pages"].values():
        made = Path(one["output"])
        if failed_page.sentence_of(made):
            found[one["output"]] = "The last run failed"
        elif made.is_file() and page.asked_of(made) != one["asked"]:
            found[one["output"]] = "Run with other parameters"
    for key, job in planned["frozen"].items():
        for path in WORK.glob(f"features/{key}.*-of-{job['parts']}.txt") if _opens(job["dataset"]) else ():
            stamp = path.read_text(encoding="utf-8")
            if stamp.startswith("radlib: "):
                found[str(path)] = "The last run failed"
            elif not (assets.cache_place() / stamp.rstrip().rpartition(", in ")[2]).is_dir():
                found[str(path)] = "No longer in the cache"
    return found


def _opens(dataset: str) -> bool:
    """Whether the check could open `dataset`; one that is not there is not asked for again and again."""
    try:
        return bool(json.loads((WORK / f"check/{dataset}.json").read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError):
        return False


def _tell(planned: dict[str, Any]) -> bool:
    """Say which pages failed, and whether any did; to whoever goes by dates, `make book` too, they are out of date."""
    told = {name: failed_page.sentence_of(Path(one["output"])) for name, one in planned["pages"].items()}
    failed = {name: sentence for name, sentence in told.items() if sentence}
    for name, sentence in failed.items():
        os.utime(planned["pages"][name]["output"], (0, 0))
        print(f"{name} failed, its page says so: {sentence}", file=sys.stderr)
    return bool(failed)
