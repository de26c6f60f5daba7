"""How much a run loses that is killed: SIGKILL at random moments in every kind of long work, then the same run again.

Each kind of work is done once undisturbed, which gives its results and its time T. Then, in a fresh folder and cache,
it is begun and killed after a random part of T, `--kills` times in a row on the same folder, and begun once more and
left alone. Survived means: that last run ended, with the same results, no unfinished file is left, and no lock held it
up. *Lost* is what all runs together took beyond T, a kill; the start of Python is not in it, because the work is forked
from a process that has imported everything.

    python benchmarks/kills.py [--kills 20] [--seed 0] [--only features decoder …] [--json FILE] [--smallest]
"""

import argparse
import contextlib
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

import standins
from radlib import assets, download
from radlib.data import mask_squares, slice_cache, squares
from radlib.data.dataset import Dataset
from radlib.evaluate import checkpoint, features
from radlib.evaluate.segmentation import Schedule, Split, Task, segment
from radlib.models import backbones, decoders, runtime
from radlib.report import experiment, page, probing

CONTENT = random.Random(0).randbytes(3_000_000)
SLOW = 0.004  # seconds that reading one of the made-up images takes
N = 192


def digest(*parts: object) -> str:
    """Of arrays, and of text."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else str(part).encode())
    return whole.hexdigest()


def noise(folder: Path, masks: bool = False) -> Dataset:
    """192 slow images of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(N):
        if not (folder / f"{k}.png").exists():
            (folder / f"{k}.png").write_bytes(bytes([k]))

    def read(root: Path, row: object) -> np.ndarray:
        time.sleep(SLOW)
        return np.random.default_rng(int(Path(row["image"]).stem)).random((1, 40, 40), np.float32)  # type: ignore[index]

    names = [f"{k}.png" for k in range(N)]
    samples = pd.DataFrame({"image": names, "mask": names, "patient": names, "split": "train"})
    return Dataset(
        name="noise", title="Noise", task="segmentation", classes=("a",), samples=samples,
        labels=np.empty((N, 0), np.int64), origin="own", note="", root=folder, read_image=read, preparation="",
        read_mask=lambda root, row: (read(root, row)[0] > 0.5).astype(np.uint8),
    )  # fmt: skip


class _Slow(http.server.BaseHTTPRequestHandler):
    """A wheel in small pieces, from any byte on."""

    wheel = b""

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(self.wheel) - start))
        self.end_headers()
        with contextlib.suppress(OSError):  # the other end was killed
            for low in range(start, len(self.wheel), download.BLOCK):
                self.wfile.write(self.wheel[low : low + download.BLOCK])
                time.sleep(0.02)

    def log_message(self, *arguments: object) -> None:
        pass


def serve() -> str:
    """Address of a server of this process that gives one made-up wheel, which `assets` is told to want."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("made/up.bin", CONTENT)
    _Slow.wheel = buffer.getvalue()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    member = assets.Member("up", "made/up.bin", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "noise")
    wheel = assets.Wheel(
        "made", "1.0", hashlib.sha256(_Slow.wheel).hexdigest(), len(_Slow.wheel), "none", "here", (member,)
    )
    assets.WHEELS = (*assets.WHEELS, wheel)
    return f"http://127.0.0.1:{server.server_port}/made-1.0-py3-none-any.whl"


def downloaded(folder: Path) -> str:
    """An asset over a slow network."""
    assets._ask_pip = lambda wheel: (ADDRESS, None)
    return digest(assets.fetch("up").read_bytes())


def cohort(folder: Path) -> str:
    """The stand-in of Brain Tumor, 12 patients."""
    out = standins.write("brain_tumor", folder / "cohort", patients=12, progress=False)
    return digest(*(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()))


def extracted(folder: Path) -> str:
    """Frozen features of 192 images."""
    found = features.extract(noise(folder), BACKBONE(), device="cpu", progress=False)
    return digest(*found.shards)


def decoded(folder: Path) -> str:
    """Images and masks of 192 squares."""
    data = noise(folder)
    return digest(
        *squares.squares(data, 56, progress=False).shards, *mask_squares.mask_squares(data, 56, progress=False).shards
    )


def unpacked(folder: Path) -> str:
    """Eight volumes of 8 MB."""
    import nibabel

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{k}.nii.gz" for k in range(8)]
    for k, path in enumerate(paths):
        if not path.exists():
            half = folder / f"half{k}-{os.getpid()}.nii.gz"
            rng = np.random.default_rng(k)
            nibabel.save(nibabel.Nifti1Image(rng.integers(0, 50, (128, 128, 60)).astype(np.int16), np.eye(4)), half)
            half.replace(path)
    slice_cache.build(paths, [2] * len(paths), "noise", progress=False)
    return digest(*(np.asarray(slice_cache.opened(path, 2)) for path in paths))


def probed(folder: Path) -> str:
    """A folder of pictures from the manifest to the Results of a linear probe and logistic regression."""
    clinic = folder / "clinic"
    if not (clinic / "manifest.csv").exists():
        half = folder / f"clinic{os.getpid()}"  # written aside: the images are not what is killed or shared here
        half.mkdir(parents=True, exist_ok=True)
        lines = ["image,patient,label"]
        for k in range(60):
            pixels = np.random.default_rng(k).integers(0, 150 + 60 * (k % 2), (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(half / f"{k}.png")
            lines.append(f"{k}.png,p{k},{'sick' if k % 2 else 'well'}")
        (half / "manifest.csv").write_text("\n".join(lines))
        with contextlib.suppress(OSError):  # the other of two at once was first
            half.rename(clinic)
    run = probing.checked(
        datasets=["manifest"], data_root=str(clinic), backbones=["vits14_random"], image_size=28, device="cpu",
        resamples=200, controls=False, epochs=200, results_dir=str(folder / "results"),
    )  # fmt: skip
    (data,) = experiment.open_datasets(run)
    told = []
    for path in sorted(probing.probe_backbones(data, run, progress=False)):
        record = json.loads(path.read_text())
        told.append(
            {name: record[name] for name in ("value", "interval", "chosen", "predictions_sha256", "candidates")}
        )
    return digest(json.dumps(told))


def drawn(folder: Path) -> str:
    """A decoder: a learning rate of three chosen, fitted again, a checkpoint after every epoch."""
    checkpoint.SECONDS_BETWEEN = 0.0
    rng = np.random.default_rng(0)
    shown = (rng.random((60, 8, 8)) > 0.6).astype(np.int64)
    tokens = torch.from_numpy(
        (rng.standard_normal((2, 16))[shown][:, None] + rng.standard_normal((60, 1, 8, 8, 16))).astype(np.float32)
    )
    masks = torch.from_numpy(shown.astype(np.uint8).repeat(2, 1).repeat(2, 2))
    task = Task(
        make=lambda: decoders.make("linear", 16, 2),
        forward=lambda network, inputs: network(inputs, 16),
        read=lambda rows, generator: (tokens[rows], masks[rows]),
        split=Split.of(np.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10, object)),
        classes=1,
    )
    schedule = Schedule(learning_rates=(0.1, 0.5, 1.0), epochs=20, refit_epochs=20, batch_size=4)
    found = segment(task, schedule, folder / "checkpoint.pt", {"data": "a"}, "cpu", progress=False)
    return digest(found.counts, found.losses, *(tensor.numpy() for tensor in found.network.state_dict().values()))


def executed(folder: Path) -> str:
    """The page of claims, by papermill."""
    folder.mkdir(parents=True, exist_ok=True)
    out = page.run("claims", {"results_dir": str(folder / "nothing")}, folder / "claims.ipynb")
    cells = json.loads(out.read_text())["cells"]
    return digest(json.dumps([cell.get("outputs") for cell in cells]))


MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
FAKE = """#!/bin/sh
case "$1" in
run) sleep 0.2; mkdir -p _build/notebooks; cd _build
  echo page >notebooks/one.half; mv notebooks/one.half notebooks/one.ipynb;;
build) out=$4/_build/html; mkdir -p "$out/notebooks"
  echo index >"$out/index.html"; sleep 0.6; echo page >"$out/notebooks/one.html"
  sleep 0.3; echo last >"$out/search.html";;
esac
"""


def built(folder: Path) -> str:
    """The site, by the Makefile, with programs that write as the real ones do but take a second."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(MAKEFILE, folder / "Makefile")
    for name in ("notebooks", "book", "radlib", "bin", "workflow"):
        (folder / name).mkdir(exist_ok=True)
    shutil.copy(MAKEFILE.with_name("workflow") / "site.sh", folder / "workflow")
    for name in ("_config.yml", "_toc.yml", "CHANGELOG.md", "CITATION.cff", "requirements.lock", "pyproject.toml",
                 "book/a.md", "notebooks/one.ipynb"):  # fmt: skip
        if not (folder / name).exists():
            (folder / name).write_text("same")
    for name in ("radlib", "jupyter-book"):
        if not (folder / "bin" / name).exists():
            (folder / "bin" / f"half-{name}").write_text(FAKE)
            (folder / "bin" / f"half-{name}").chmod(0o755)
            (folder / "bin" / f"half-{name}").replace(folder / "bin" / name)
    ready = subprocess.run("cat requirements.lock pyproject.toml | cksum | tr ' ' '-'", shell=True, cwd=folder,
                           capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    venv = folder / "venv"
    venv.mkdir(exist_ok=True)
    (venv / f".ready-{ready}").touch()
    os.utime(venv / f".ready-{ready}", (0, 0))
    subprocess.run(["make", "-s", "book", "VENV=venv", "BIN=bin"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    site = folder / "_build" / "html"
    return digest(
        *(f"{path.relative_to(site)} {path.read_text()}" for path in sorted(site.rglob("*")) if path.is_file())
    )


WORK: dict[str, Callable[[Path], str]] = {
    "download": downloaded,
    "stand-in": cohort,
    "slices": unpacked,
    "squares": decoded,
    "features": extracted,
    "probe": probed,
    "decoder": drawn,
    "page": executed,
    "site": built,
}
ADDRESS = ""
_made: list[backbones.Backbone] = []


def BACKBONE() -> backbones.Backbone:
    """A ViT-S/14 of random weights at 28 px, made once."""
    if not _made:
        _made.append(backbones.load("vits14_random", image_size=28))
    return _made[0]


@dataclass(frozen=True)
class Row:
    """One kind of work: kills and those survived, seconds undisturbed, seconds lost a kill."""

    work: str
    kills: int
    survived: int
    seconds: float
    lost: float


def begin(name: str, folder: Path) -> int:
    """Fork the work, with a cache of its own and downloads shared; returns the process, which leads its own group."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    cache = folder / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    if name != "download" and not (cache / "assets").exists():
        with contextlib.suppress(FileExistsError):
            (cache / "assets").symlink_to(assets.cache_dir() / "assets")
    os.environ["RADLIB_CACHE"] = str(cache)
    code = 1
    try:
        said = WORK[name](folder / "work")
        (folder / f"said-{os.getpid()}").write_text(said)
        code = 0
    except BaseException as error:
        (folder / f"failed-{os.getpid()}").write_text(repr(error))
    finally:
        os._exit(code)


def end(child: int, folder: Path) -> str:
    """What the work said when it ended; raises RuntimeError if it failed."""
    _, status = os.waitpid(child, 0)
    if status:
        failed = folder / f"failed-{child}"
        raise RuntimeError(failed.read_text() if failed.exists() else f"status {status}")
    return (folder / f"said-{child}").read_text()


def leftovers(folder: Path) -> list[str]:
    """Unfinished files."""
    return [path.name for path in folder.rglob("*") if ".part" in path.name]


def kill_all(name: str, kills: int, seed: int, folder: Path, in_a_row: int = 4) -> Row:
    """`kills` kills of the work `name`, up to `in_a_row` of them before each run that is left alone."""
    chance = random.Random(f"{seed} {name}")
    started = time.perf_counter()
    expected = end(begin(name, folder / "whole"), folder / "whole")
    whole = time.perf_counter() - started
    survived, spent, runs, left = 0, 0.0, 0, kills
    while left:
        place, wave = folder / f"killed{runs}", min(left, chance.randint(1, in_a_row))
        started = time.perf_counter()
        for _ in range(wave):
            child = begin(name, place)
            time.sleep(chance.random() * whole)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        try:
            same = end(begin(name, place), place) == expected and not leftovers(place)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            same = False
        spent += time.perf_counter() - started
        survived += wave * same
        left -= wave
        runs += 1
        shutil.rmtree(place, ignore_errors=True)
    return Row(name, kills, survived, whole, (spent - runs * whole) / kills)


def two_at_once(name: str, folder: Path) -> bool:
    """Whether two processes that fill one cache at once end with the same results as the one of `kill_all`."""
    (expected,) = {said.read_text() for said in (folder / "whole").glob("said-*")}
    both = [begin(name, folder / "shared") for _ in range(2)]
    said = [end(child, folder / "shared") for child in both]
    return said == [expected] * 2 and not leftovers(folder / "shared")


def prepare() -> None:
    """What is done before anything is forked; no thread may hold a lock then that the child would wait for."""
    global ADDRESS
    tqdm.monitor_interval = 0
    torch.set_num_threads(1)
    runtime.name = lambda device="auto": "torch-float32"  # OpenVINO would compile anew in every process, for longer
    ADDRESS = ADDRESS or serve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smallest", action="store_true", help="one kill of one kind of work, to see that it runs")
    given = parser.parse_args()
    if given.smallest:
        given.kills, given.only = 1, ["download"]
    prepare()
    rows = []
    print("| work | kills | survived | undisturbed, s | lost a kill, s | two at once |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            row = kill_all(name, given.kills, given.seed, Path(folder))
            shared = two_at_once(name, Path(folder)) if name not in ("site", "page") else None
        rows.append({**asdict(row), "two_at_once": shared})
        words = {True: "same", False: "DIFFER", None: "–"}[shared]
        print(f"| {name} | {row.kills} | {row.survived} | {row.seconds:.1f} | {row.lost:.2f} | {words} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
