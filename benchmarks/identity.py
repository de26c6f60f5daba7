"""How long does it take to open NIH Chest X-ray's folder, and how long to see that none of its files has changed?

    python benchmarks/identity.py [--images 112120] [--kilobytes 4] [--folder DIR] [--json FILE] [--smallest]

A folder in the release's layout (table, two lists, twelve folders of PNG files) with `--images` files of `--kilobytes`
each is written below DIR (a temporary one) and opened three times, each time in a new process:

first    every file is hashed, since the index of the cache is empty
again    nothing has changed: the whole content is known from size, times and inode
edited   one file in a hundred was edited in place and its modification time put back

*open* is `open_dataset`, *content* its fingerprint, *cpu* the processor time of both. The files are in the page cache,
so *first* is bound by the processor; a disk adds bytes over its speed.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from radlib.data import identity
from radlib.data.catalog import open_dataset

FOLDERS, PATIENTS = 12, 30_805  # of the release


def main() -> None:
    """Write the folder, open it three times and print the seconds."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--images", type=int, default=112_120)
    ask.add_argument("--kilobytes", type=int, default=4)
    ask.add_argument("--folder", type=Path)
    ask.add_argument("--json", type=Path)
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if given.smallest:
        given.images = 500
    rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root, cache = Path(folder) / "nih", Path(folder) / "cache"
        paths = write(root, given.images, given.kilobytes * 1024)
        time.sleep(identity.RACY_SECONDS + 0.5)  # else the last files are read again
        os.environ["RADLIB_CACHE"] = str(cache)
        print(f"{given.images:,} files of {given.kilobytes} KB")
        print(f"{'':8} {'open, s':>8} {'content, s':>11} {'both, s':>8} {'cpu, s':>8}")
        for name in ("first", "again", "edited"):
            if name == "edited":
                edit(paths[::100])
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                row = process.submit(measure, root).result()
            rows.append({"run": name, **row})
            both = row["open_s"] + row["content_s"]
            print(f"{name:8} {row['open_s']:8.2f} {row['content_s']:11.2f} {both:8.2f} {row['cpu_s']:8.2f}", flush=True)
    first, again, edited = (row["fingerprint"] for row in rows)
    assert first == again != edited
    if given.json:
        given.json.write_text(json.dumps({"cores": os.cpu_count(), **vars(given), "rows": rows}, default=str) + "\n")


def write(root: Path, images: int, size: int) -> list[Path]:
    """The release's layout with files of `size` random bytes, whose pixels nobody reads."""
    rng = np.random.default_rng(0)
    patients = np.sort(rng.integers(1, max(5, images * PATIENTS // 112_120), images))
    names = [f"{patient:08d}_{k:06d}.png" for k, patient in enumerate(patients)]
    paths = [root / f"images_{1 + k * FOLDERS // images:03d}" / "images" / name for k, name in enumerate(names)]
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True)
    for path in paths:
        path.write_bytes(rng.bytes(size))
    table = [f"{name},No Finding,{patient}\n" for name, patient in zip(names, patients, strict=True)]
    (root / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels,Patient ID\n" + "".join(table))
    middle = patients[images * 3 // 4]
    for name, rows in (("train_val_list.txt", patients < middle), ("test_list.txt", patients >= middle)):
        (root / name).write_text("\n".join(np.array(names)[rows]) + "\n")
    return paths


def edit(paths: list[Path]) -> None:
    """One bit of every file in place; size and modification time stay."""
    for path in paths:
        status = path.stat()
        with open(path, "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def measure(root: Path) -> dict[str, float | str]:
    """Seconds to open the folder, seconds to know its content, processor seconds of both, and the fingerprint."""
    start, busy = time.perf_counter(), time.process_time()
    dataset = open_dataset("nih_chest_xray", root, progress=False)
    opened = time.perf_counter()
    fingerprint = dataset.fingerprint
    return {
        "open_s": opened - start,
        "content_s": time.perf_counter() - opened,
        "cpu_s": time.process_time() - busy,
        "fingerprint": fingerprint,
    }


if __name__ == "__main__":
    main()
