"""NIfTI volumes: what the header says, slices the right way up, and predicted slices back into the source's order."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import aff2axcodes, io_orientation
from nibabel.spatialimages import HeaderDataError

from radlib.errors import RadlibError

SUFFIXES = (".nii", ".nii.gz")
MOST_VOXELS = 2**31  # 4 GiB of int16; a whole-body CT has a quarter of that


@dataclass(frozen=True)
class Header:
    """What a NIfTI file says of itself.

    Attributes:
        path: the file.
        shape: voxels along the three stored axes.
        spacing: millimetres between them.
        codes: where the stored axes lead, e.g. ``("L", "A", "S")``.
        orientation: nibabel's (3, 2) table of patient axis and direction for every stored axis.
        affine: (4, 4) voxel to millimetres.
        dtype: of the stored values, before any scaling.
    """

    path: Path
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    codes: tuple[str, ...]
    orientation: np.ndarray
    affine: np.ndarray
    dtype: np.dtype


@dataclass(frozen=True)
class Plane:
    """How slices are cut: along stored `axis`, stored axis `rows` downwards, either direction turned if so said."""

    axis: int
    rows: int
    flip_rows: bool = False
    flip_columns: bool = False


AS_STORED = Plane(axis=2, rows=0)  # the authors' loaders: volume[:, :, k]


def is_volume(name: str) -> bool:
    """Whether a file is called like a NIfTI volume."""
    return name.lower().endswith(SUFFIXES)


def header(path: Path) -> Header:
    """The header of the NIfTI file `path`, no voxel read.

    Raises RadlibError, naming the file: missing, empty, no NIfTI, not three-dimensional, a type that is no number, more
    voxels than memory should be asked for, or fewer bytes than the header promises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nibabel.load(path)
            shape, dtype = tuple(int(n) for n in image.shape), image.get_data_dtype()
            affine = np.asarray(image.affine, dtype=float)
    except FileNotFoundError as error:
        raise RadlibError(f"{path} is missing; take it from the release.") from error
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
    ) as error:
        why = "is empty" if path.is_file() and path.stat().st_size == 0 else "is no whole NIfTI file"
        raise RadlibError(f"{path} {why}; take the file from the release again.") from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise RadlibError(f"{path} has shape {shape}; a volume of three axes is expected: split a series into volumes.")
    if dtype.kind not in "iuf":
        raise RadlibError(f"{path} holds {dtype}; convert it to whole or real numbers.")
    if int(np.prod(shape, dtype=object)) > MOST_VOXELS:
        raise RadlibError(
            f"{path} claims {shape[0]} x {shape[1]} x {shape[2]} voxels; its header is damaged or it is no scan."
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise RadlibError(f"{path} has no usable orientation (affine) in its header; export the volume again.")
    _check_length(path, image, shape, dtype)
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return Header(
        path=path,
        shape=(shape[0], shape[1], shape[2]),
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        codes=aff2axcodes(affine),
        orientation=io_orientation(affine),
        affine=affine,
        dtype=dtype,
    )


def axial(head: Header) -> Plane:
    """Slices across the body, front at the top and the patient's right on the left, whatever axes are stored."""
    patient = head.orientation[:, 0].astype(int).tolist()  # stored axis -> 0 right, 1 front, 2 head
    x, y, z = (patient.index(k) for k in range(3))
    return Plane(axis=z, rows=y, flip_rows=head.orientation[y, 1] > 0, flip_columns=head.orientation[x, 1] > 0)


def voxels(path: Path) -> np.ndarray:
    """All values of the volume `path` `(X, Y, Z)` in stored order, scaled as its header says.

    Whole numbers stay whole (the smallest of uint8, int16, int32 that holds them); the rest becomes float32.
    Raises RadlibError when the file ends before its voxels do.
    """
    head = header(path)
    try:
        image = nibabel.load(path)
        slope, inter = image.dataobj.slope, image.dataobj.inter
        raw = np.asarray(image.dataobj.get_unscaled()).reshape(head.shape)
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise RadlibError(f"{path} is cut short or damaged; take the file from the release again.") from error
    if raw.dtype.kind == "f" or slope != round(slope) or inter != round(inter):
        return np.asarray(raw * np.float32(slope) + np.float32(inter), dtype=np.float32)
    whole = raw if slope == 1 and inter == 0 else raw.astype(np.int64) * int(slope) + int(inter)
    low, high = int(whole.min()), int(whole.max())
    for kind in (np.uint8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return whole.astype(kind, copy=False)
    return whole.astype(np.float32)


def upright(cut: np.ndarray, plane: Plane) -> np.ndarray:
    """A cut through stored order `(A, B)`, its two axes in the file's order, as the `(H, W)` picture of `plane`."""
    picture = cut if _rows_first(plane) else cut.T
    picture = picture[::-1] if plane.flip_rows else picture
    return picture[:, ::-1] if plane.flip_columns else picture


def restore(stack: np.ndarray, plane: Plane) -> np.ndarray:
    """Pictures of `plane` `(S, H, W)`, slice 0 first, back into the volume's stored order `(X, Y, Z)`."""
    stack = stack[:, ::-1] if plane.flip_rows else stack
    stack = stack[:, :, ::-1] if plane.flip_columns else stack
    stack = stack if _rows_first(plane) else stack.transpose(0, 2, 1)
    return np.moveaxis(stack, 0, plane.axis)


def _rows_first(plane: Plane) -> bool:
    return plane.rows == min(axis for axis in range(3) if axis != plane.axis)


def _check_length(path: Path, image: nibabel.Nifti1Image, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise if the file cannot hold the voxels its header promises; a gzip's last four bytes tell its length."""
    expected = int(image.dataobj.offset) + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if path.name.endswith(".gz"):
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            held = int.from_bytes(file.read(4), "little")
        short = held < expected % 2**32 if expected < 2**32 else False
    else:
        short = path.stat().st_size < expected
    if short:
        raise RadlibError(f"{path} is cut short; take the file from the release again.")
