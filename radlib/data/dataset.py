"""The noun everything else reads: a table of samples, their labels, and how to read one image."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from radlib.errors import RadlibError

Task = Literal["binary", "multi-class", "multi-label"]
Origin = Literal["paper", "stand-in", "own"]

SAMPLED_BYTES = 16 * 1024  # read from each end of a file for the fingerprint


@dataclass(frozen=True)
class Dataset:
    """N images of patients with labels; it never trains and never knows a model.

    Attributes:
        name: id, e.g. ``brain_tumor``.
        title: as the paper prints it.
        task: ``binary`` and ``multi-class`` have one label an image, ``multi-label`` K findings each 0 or 1.
        classes: K names.
        samples: N rows: ``image`` (path below `root`, POSIX), ``patient``, ``split``, and whatever else is known.
        labels: `(N,)` int64 in 0…K-1, or `(N, K)` int64 of 0/1 when multi-label.
        origin: ``paper`` when every count equals the paper's, ``stand-in`` for simulated cohorts, else ``own``.
        note: what a reader should know about this copy, one or two sentences; may be empty.
        root: folder the images lie in.
        read_image: path -> pixels `(C, H, W)` float32, C 1 or 3, in the image's own units, prepared as the protocol
            asks for this dataset.
        preparation: words that name what `read_image` does; part of the key of every cached feature.
    """

    name: str
    title: str
    task: Task
    classes: tuple[str, ...]
    samples: pd.DataFrame
    labels: np.ndarray
    origin: Origin
    note: str
    root: Path
    read_image: Callable[[Path], np.ndarray]
    preparation: str
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self.root, self.samples["image"]))

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, row: int) -> np.ndarray:
        """Pixels `(C, H, W)` float32 of sample `row`; raises RadlibError that names the file if it is unreadable."""
        name = self.samples["image"].iloc[row]
        try:
            pixels = self.read_image(self.root / name)
        except RadlibError:
            raise
        except Exception as error:  # decoders raise many kinds; the reader needs the file, not the kind
            raise RadlibError(
                f"{self.root / name} cannot be read ({error}); replace the file with a whole copy."
            ) from error
        if not np.isfinite(pixels).all():
            raise RadlibError(f"{self.root / name} holds NaN or infinite pixels; export the image again.")
        return pixels


def fingerprint(root: Path, images: pd.Series) -> str:
    """Sha256 of what is on disk, not where: each image's path below `root`, size, and first and last 16 KiB.

    Whole files are not read because a hundred thousand radiographs would cost longer than a run; an edit that keeps a
    file's size and both ends is not seen.
    """
    whole = hashlib.sha256()
    for name in images:
        with open(root / name, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            ends = file.read(SAMPLED_BYTES)
            if size > 2 * SAMPLED_BYTES:
                file.seek(size - SAMPLED_BYTES)
            ends += file.read(SAMPLED_BYTES)
        whole.update(f"{name}\0{size}\0".encode() + ends)
    return whole.hexdigest()
