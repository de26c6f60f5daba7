"""Predicted masks as files that lie on their images: NIfTI for scans, PNG for pictures.

A network sees upright slices. A viewer, and a distance in millimetres, wants them in the order the scan is stored in,
with the scan's own header.
"""

import colorsys
import csv
import functools
import gzip
import io
import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import nibabel
import numpy as np
from PIL import Image

from radlib import atomic
from radlib.data import dicom, identity, pictures, volumes
from radlib.data.dataset import MASKS, Dataset
from radlib.errors import RadlibError

CLASSES, MANIFEST = "classes.csv", "manifest.csv"  # as a reader's own folder has them
ENDINGS = (".nii.gz", ".nii", ".dcm", *pictures.SUFFIXES)
# Fields of a header that place a volume in the patient. Nothing else is copied: the rest may tell who he is.
PLACE = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
Predicted = tuple[int, np.ndarray]  # row of `Dataset.samples`, mask (H, W) uint8 of the image's own size


def native_shape(dataset: Dataset, row: int) -> tuple[int, int]:
    """`(H, W)` in pixels of what ``dataset.read(row)`` gives, from the file's header where that tells it.

    Raises RadlibError, naming the file, when it cannot be read.
    """
    image = str(dataset.samples["image"].iloc[row])
    path = dataset.root / image
    if dataset.planes is not None and image in dataset.planes:
        return volumes.stack_shape(_header(path), dataset.planes[image])[1:]
    if path.suffix.lower() in pictures.SUFFIXES and (size := pictures.size(path)) is not None:
        return size
    if path.suffix.lower() == ".dcm":
        return dicom.frames(path)[1:]
    _, height, width = dataset.read(row).shape
    return height, width


def spacing_mm(dataset: Dataset, scan: str) -> tuple[float, float, float] | None:
    """Millimetres between the voxels of `scan` along its three stored axes, as `volume` gives them; None for pictures.

    scan: a patient of `dataset` with one volume, or the image path of a volume where he has several.
    Raises RadlibError for an unknown scan, a patient with several volumes, a header whose spacing is no length.
    """
    found = _volume_of(dataset, scan)
    return None if found is None else _header(found[0]).spacing


def volume(dataset: Dataset, scan: str, slices: np.ndarray) -> np.ndarray:
    """All slices of `scan` (see `spacing_mm`), `(S, H, W)` as read, slice 0 first -> stored order `(X, Y, Z)`.

    Raises RadlibError for a scan that is no volume, ValueError for slices of another shape than the scan's.
    """
    found = _volume_of(dataset, scan)
    if found is None:
        raise RadlibError(f"'{scan}' of {dataset.title} has pictures and no volume; score them one by one.")
    path, plane = found
    expected = volumes.stack_shape(_header(path), plane)
    if slices.shape != expected:
        raise ValueError(f"slices of {path} must be {expected}, got {slices.shape}")
    return volumes.restore(slices, plane)


def write(dataset: Dataset, predicted: Iterable[Predicted], folder: Path | str) -> list[Path]:
    """Write masks beside nothing else into `folder`: one file a scan or picture, and what their numbers mean.

    Slices of a volume become ``<image>.nii.gz``, uint8 in the image's stored order with its affine, codes and units;
    pictures become ``<image>.png`` with a palette that shows the classes; a frame of a DICOM file of many is a picture
    whose name ends in its number. Values are 0 and 1…K; ``classes.csv`` (value, name) has the form a manifest's has.
    Images of one name in two folders are called by their whole path.

    predicted: (row, mask `(H, W)` uint8 of `native_shape`), the slices of a volume following each other. It may be a
        generator: one scan is held in memory at a time, and what is finished is kept.
    folder: new, empty, or of an earlier call with the same classes, whose files of the same names are replaced.
    Returns the masks' paths in the order they were written.

    Raises:
        RadlibError: a folder that belongs to the dataset or to something else or cannot be written to (before the
            first prediction is asked for), a volume of which slices are missing, an image that comes twice.
        ValueError: a mask of another shape or type, or that holds a number above K.
    """
    folder = Path(folder)
    content = _classes(dataset)
    check_folder(dataset, folder)
    _put(folder / CLASSES, content)
    images, names = dataset.samples["image"].tolist(), _names(dataset)
    written: dict[Path, None] = {}

    def keep(row: int, content: bytes) -> None:
        path = folder / names[row]
        if path in written:
            raise RadlibError(f"{dataset.root / images[row]} was predicted twice; give every image once, in order.")
        _put(path, content)
        written[path] = None

    for image, group in itertools.groupby(predicted, key=lambda pair: images[pair[0]]):
        if dataset.planes is not None and image in dataset.planes:
            keep(images.index(image), _scan(dataset, image, group))
        else:
            for row, mask in group:
                _check_mask(dataset, row, mask, native_shape(dataset, row))
                keep(row, _png(mask))
    return list(written)


def _scan(dataset: Dataset, image: str, slices: Iterable[Predicted]) -> bytes:
    """The predicted mask of the volume `image` as a compressed NIfTI file."""
    path = dataset.root / image
    plane = (dataset.planes or {})[image]
    shape = volumes.stack_shape(_header(path), plane)
    stack, missing = np.zeros(shape, np.uint8), set(range(shape[0]))
    for row, mask in slices:
        k = int(dataset.samples["slice"].iloc[row])
        if k not in missing:
            raise RadlibError(f"Slice {k} of {path} was predicted twice; give every slice once.")
        _check_mask(dataset, row, mask, shape[1:])
        stack[k] = mask
        missing.remove(k)
    if missing:
        raise RadlibError(
            f"{len(missing)} of the {shape[0]} slices of {path} were not predicted, first slice {min(missing)}; "
            "predict whole scans, the slices of one following each other."
        )
    source = nibabel.load(path)
    head = type(source.header)()
    head.set_data_shape(_header(path).shape)
    for field in PLACE:
        head[field] = source.header[field]
    head.set_data_dtype(np.uint8)
    head["descrip"] = b"predicted mask (radlib)"
    placed = type(source)(volumes.restore(stack, plane), None, head)
    return gzip.compress(placed.to_bytes(), 6, mtime=0)


def _png(mask: np.ndarray) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(mask))
    picture.putpalette(_palette())
    file = io.BytesIO()
    picture.save(file, "PNG", bits=8)
    return file.getvalue()


@functools.cache
def _palette() -> bytes:
    """256 colours: the background black, neighbouring classes far apart (the golden section of the colour circle)."""
    colours = [colorsys.hsv_to_rgb(0.618034 * k % 1, 0.75, 1) for k in range(255)]
    return bytes([0, 0, 0, *(round(255 * part) for colour in colours for part in colour)])


def _classes(dataset: Dataset) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("value", "name"), *enumerate(dataset.classes, start=1)])
    return text.getvalue().encode()


def _names(dataset: Dataset) -> list[str]:
    """What the mask of every row is called; the rows of a volume share a name, no two files do, whatever the case."""
    planes, images = dataset.planes or {}, dataset.samples["image"].tolist()
    slices = dataset.samples["slice"].tolist() if "slice" in dataset.samples else [0] * len(images)
    often = Counter(images)
    units = [
        (image, f"_{k:04d}" if image not in planes and often[image] > 1 else "")
        for image, k in zip(images, slices, strict=True)
    ]
    short = {(image, frame): (_stem(PurePosixPath(image).name) + frame).casefold() for image, frame in units}
    shared = Counter(short.values())
    called: dict[tuple[str, str], str] = {}
    used: set[str] = set()
    for image, frame in short:
        alone = shared[short[image, frame]] == 1
        base = _stem(PurePosixPath(image).name if alone else "_".join(PurePosixPath(image).parts)) + frame
        ending = ".nii.gz" if image in planes else ".png"
        # the whole path of a/b.png is also what a file a_b.png is called
        tries = itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2)))
        name = next(name for name in tries if name.casefold() not in used)
        used.add(name.casefold())
        called[image, frame] = name + ending
    return [called[unit] for unit in units]


def _stem(name: str) -> str:
    """`name` without the ending of an image; a DICOM file may be called by a UID, whose dots end nothing."""
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or name


def check_folder(dataset: Dataset, folder: Path, rows: np.ndarray | None = None) -> None:
    """Raise RadlibError if masks cannot be written to `folder`, harm what is there, or mix with masks of others.

    rows: the rows of `Dataset.samples` whose masks are to come; None for all. Nothing is left in or of `folder`.
    """
    here, root = folder.resolve(), dataset.root.resolve()
    columns = [column for column in ("image", *MASKS) if column in dataset.samples]
    parents = {PurePosixPath(name).parent for column in columns for name in dataset.samples[column].unique()}
    sources = {(root / parent).resolve() for parent in parents} - {root}
    above = here == root or here in root.parents or any(here in source.parents for source in sources)
    if above or here in sources or not sources.isdisjoint(here.parents):
        raise RadlibError(f"{folder} holds {dataset.title} or is part of it; name a folder of its own for the masks.")
    try:
        if not folder.exists():
            _try_to_make(here)
            return
        there = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        own = CLASSES in there and (folder / CLASSES).read_bytes() == _classes(dataset)
    except OSError as error:
        raise RadlibError(f"{folder} is no folder to write to ({error.strerror}); name another one.") from error
    if there and (not own or MANIFEST in there):
        raise RadlibError(f"{folder} holds other files than masks of these classes; name a new or an empty folder.")
    names = _names(dataset)
    coming = {CLASSES, *(names if rows is None else [names[row] for row in rows])}
    if foreign := sorted(set(there) - coming):
        raise RadlibError(
            f"{folder} holds masks that are none of this run's, first {foreign[0]}; name a new or an empty folder."
        )


def _try_to_make(folder: Path) -> None:
    """Make `folder` and take it away again with all that was made above it; raises OSError where that fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True)
    for path in missing:
        path.rmdir()


def _put(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(path, content)
    except OSError as error:
        raise RadlibError(
            f"{path} cannot be written ({error.strerror}); make room or name another folder: what is finished is kept."
        ) from error


def _check_mask(dataset: Dataset, row: int, mask: np.ndarray, shape: tuple[int, int]) -> None:
    if mask.shape != shape or mask.dtype != np.uint8:
        raise ValueError(f"the mask of row {row} must be uint8 {shape}, got {mask.dtype} {mask.shape}")
    if mask.max(initial=0) > len(dataset.classes):
        raise ValueError(f"the mask of row {row} holds {mask.max()}; 0 to {len(dataset.classes)} are classes")


def _volume_of(dataset: Dataset, scan: str) -> tuple[Path, volumes.Plane] | None:
    """The volume of `scan`, a patient or an image path, and how it is cut; None where the scan is no volume."""
    planes = dataset.planes or {}
    image = scan
    if scan not in planes:
        table = dataset.samples
        found = table.loc[(table["patient"] == scan) | (table["image"] == scan), "image"].unique()
        if len(found) == 0:
            raise RadlibError(f"{dataset.title} has no patient and no image called '{scan}'; take one of its samples.")
        of = [name for name in found if name in planes]
        if len(of) > 1:
            raise RadlibError(f"'{scan}' of {dataset.title} has {len(of)} volumes; name one by its path, as '{of[0]}'.")
        if not of:
            return None
        image = of[0]
    return dataset.root / image, planes[image]


def _header(path: Path) -> volumes.Header:
    """The header of `path`, read again only when the file has changed: every slice asks."""
    return _read_header(path, identity.of(path) if path.exists() else "")


@functools.lru_cache(maxsize=512)
def _read_header(path: Path, content: str) -> volumes.Header:
    return volumes.header(path)
