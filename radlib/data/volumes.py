"""NIfTI volumes: what the header says, slices the right way up, and predicted slices back into the source's order."""

import gzip
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.orientations import aff2axcodes, io_orientation
from nibabel.spatialimages import HeaderDataError

from radlib import memory
from radlib.data import file_kind
from radlib.errors import RadlibError

SUFFIXES = (".nii", ".nii.gz")
MOST_VOXELS = 2**31  # 4 GiB of int16; a whole-body CT has a quarter of that
MOST_ALONG = 2**15 - 1  # along one axis: what NIfTI-1 can say
MOST_SCALE = 1e9  # of voxels and added to them: with it 32 bit stay within 64
MOST_BEFORE = 1 << 24  # bytes before the voxels (header and extensions), and after them: whatever is more is a bomb
BLOCK = 1 << 20  # bytes unpacked at once
HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
MILLIMETRES = {1: 1000.0, 3: 0.001}  # NIfTI's codes for metres and micrometres; all others are taken for millimetres
DAMAGED = (
    ImageFileError,
    HeaderDataError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    zlib.error,
)


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
        plain: whether the values lie in the file as they are: not compressed, not scaled, in this machine's byte order.
    """

    path: Path
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    codes: tuple[str, ...]
    orientation: np.ndarray
    affine: np.ndarray
    dtype: np.dtype
    plain: bool = False


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
    voxels than memory should be asked for, a spacing that is no length, a scale beyond any unit, no orientation, or
    fewer bytes than the header promises.
    """
    try:
        with warnings.catch_warnings(), LoggingOutputSuppressor():  # what nibabel remarks is raised here or harmless
            warnings.simplefilter("ignore")
            _check_spacing(path)
            image = _kind(path).from_filename(path)
            shape, dtype = tuple(int(n) for n in image.shape), image.get_data_dtype()
            affine = np.array(image.affine, dtype=float)
            scale = (float(image.dataobj.slope), float(image.dataobj.inter))
    except FileNotFoundError as error:
        raise RadlibError(f"{path} is missing; take it from the release.") from error
    except DAMAGED as error:
        if other := file_kind.misnamed(path):
            raise RadlibError(other) from error
        why = "is empty" if path.is_file() and path.stat().st_size == 0 else "is no whole NIfTI file"
        raise RadlibError(f"{path} {why}; take the file from the release again.") from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:
        raise RadlibError(
            f"{path} is a single 2-D picture of {shape[0]} x {shape[1]} pixels; save it as PNG or TIFF, or with a "
            "third axis of length 1."
        )
    if len(shape) != 3 or min(shape) < 1:
        raise RadlibError(f"{path} has shape {shape}; a volume of three axes is expected: split a series into volumes.")
    if dtype.kind not in "iuf":
        kind = "colors" if dtype.fields else dtype
        raise RadlibError(f"{path} holds {kind}; convert it to whole or real numbers (datatype in its header).")
    if int(np.prod(shape, dtype=object)) > MOST_VOXELS or max(shape) > MOST_ALONG:
        raise RadlibError(
            f"{path} claims {shape[0]} x {shape[1]} x {shape[2]} voxels; its header is damaged or it is no scan."
        )
    if not max(map(abs, scale)) <= MOST_SCALE:  # NaN is refused too
        raise RadlibError(
            f"{path} scales its voxels by {scale[0]:g} and adds {scale[1]:g} (scl_slope, scl_inter in its header); "
            "export the volume again."
        )
    # xyzt_units has the unit of length in its lowest three bits
    affine[:3] *= MILLIMETRES.get(int(image.header["xyzt_units"]) & 7, 1.0)
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
        plain=scale == (1, 0) and dtype.isnative and not path.name.lower().endswith(".gz"),
    )


def stack_shape(head: Header, plane: Plane) -> tuple[int, int, int]:
    """How many slices a volume cut as `plane` has, and rows and columns of each: `(S, H, W)`."""
    (columns,) = {0, 1, 2} - {plane.axis, plane.rows}
    return head.shape[plane.axis], head.shape[plane.rows], head.shape[columns]


def axial(head: Header) -> Plane:
    """Slices across the body, front at the top and the patient's right on the left, whatever axes are stored."""
    patient = head.orientation[:, 0].astype(int).tolist()  # stored axis -> 0 right, 1 front, 2 head
    x, y, z = (patient.index(k) for k in range(3))
    return Plane(axis=z, rows=y, flip_rows=head.orientation[y, 1] > 0, flip_columns=head.orientation[x, 1] > 0)


def voxels(path: Path) -> np.ndarray:
    """All values of the volume `path` `(X, Y, Z)` in stored order, scaled as its header says.

    Whole numbers, however they are stored, become the smallest of uint8, int16 and int32 that holds them all; the rest
    becomes float32.
    Raises RadlibError when the file ends before its voxels do, and before anything is unpacked when memory has no room.
    """
    head = header(path)
    memory.check_room(path, 2 * int(np.prod(head.shape, dtype=object)) * head.dtype.itemsize)  # and a scaled copy
    try:
        with _stored(path) as file:
            stored = _kind(path).from_stream(file).dataobj
            slope, inter = stored.slope, stored.inter
            raw = np.asarray(stored.get_unscaled()).reshape(head.shape)
            rest = 0
            while block := _more(file):  # to the very end, where gzip keeps the checksum of it all
                rest += len(block)
                if rest > MOST_BEFORE:
                    raise RadlibError(f"{path} goes on long after its last voxel; take it from the release again.")
    except DAMAGED as error:
        raise RadlibError(f"{path} is cut short or damaged; take the file from the release again.") from error
    if slope != round(slope) or inter != round(inter) or (raw.dtype.itemsize == 8 and (slope, inter) != (1, 0)):
        return np.asarray(raw * np.float32(slope) + np.float32(inter), dtype=np.float32)
    if raw.dtype.kind == "f":
        values = raw if slope == 1 and inter == 0 else raw * raw.dtype.type(slope) + raw.dtype.type(inter)
        # NaN is not equal to itself, so volumes with NaN stay real and it is found when a slice is read
        if (values != np.rint(values)).any() or np.abs(values).max() > np.iinfo(np.int32).max:
            return values.astype(np.float32, copy=False)
        whole = values
    else:
        whole = raw if slope == 1 and inter == 0 else raw.astype(np.int64) * int(slope) + int(inter)
    low, high = int(whole.min()), int(whole.max())
    for kind in (np.uint8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return whole.astype(kind, copy=False)
    return whole.astype(np.float32)


def _kind(path: Path) -> type[nibabel.Nifti1Image]:
    """NIfTI-1 or NIfTI-2. `nibabel.load` would look further into the file than a small one reaches."""
    with _stored(path) as file:
        start = file.read(HEADER_BYTES)
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        if kind.header_class.may_contain_header(start):
            return kind
    raise ImageFileError("neither NIfTI-1 nor NIfTI-2")


def _more(file: IO[bytes]) -> bytes:
    """The next bytes; none where bytes that are no gzip follow a whole gzip file, whose checksum was right."""
    try:
        return file.read(BLOCK)
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" in str(error):
            return b""
        raise


def _stored(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else open(path, "rb")


def misfit(image: Header, mask: Header) -> str:
    """A sentence when the grid of `mask` is not the grid of `image`; empty when it is.

    The corners may lie up to a voxel apart, which rounding in headers explains and another scan does not.
    """
    if image.shape != mask.shape:
        return f"{mask.path} has {mask.shape} voxels and its image {image.shape}; take the mask drawn on this image."
    if image.codes != mask.codes:
        return (
            f"{mask.path} is stored along {''.join(mask.codes)} and its image along {''.join(image.codes)}; write the "
            "mask in the image's orientation."
        )
    corners = np.array([(*place, 1) for place in np.ndindex(2, 2, 2)]) * (*(n - 1 for n in image.shape), 1)
    apart = float(np.linalg.norm(corners @ (image.affine - mask.affine).T, axis=1).max())
    if apart > max(image.spacing):
        return (
            f"{mask.path} lies {apart:.0f} mm away from its image, as their headers say; take the mask drawn on this "
            "image, or give it the image's affine if it is the one."
        )
    return ""


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


def _check_spacing(path: Path) -> None:
    """Raise if the header's pixdim is no length, where nibabel would put 1 mm for 0, or scl_inter no number."""
    kind = _kind(path).header_class
    with _stored(path) as file:
        head = kind(file.read(kind.sizeof_hdr), check=False)
    before = float(head["vox_offset"])
    if not 0 <= before <= MOST_BEFORE:  # nibabel would read that much into memory first
        raise RadlibError(
            f"{path} claims that its voxels begin at byte {before:.0f} (vox_offset in its header); take the file from "
            "the release again."
        )
    if np.isfinite(head["scl_slope"]) and head["scl_slope"] != 0 and not np.isfinite(head["scl_inter"]):
        raise RadlibError(
            f"{path} adds {float(head['scl_inter']):g} to its voxels (scl_inter in its header); write the true number "
            "there, or export the volume again."
        )
    pixdim = head["pixdim"][1 : 1 + min(3, max(0, int(head["dim"][0])))]  # a picture of two axes may have no third
    if not (np.isfinite(pixdim) & (pixdim > 0)).all():
        raise RadlibError(
            f"{path} has a voxel spacing of {' x '.join(f'{step:g}' for step in pixdim)} mm (pixdim in its header); "
            "write the true spacing there, or export the volume again."
        )


def _check_length(path: Path, image: nibabel.Nifti1Image, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise if the file cannot hold the voxels its header promises; a gzip's last four bytes tell its length."""
    expected = int(image.dataobj.offset) + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if path.name.lower().endswith(".gz"):
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            said = int.from_bytes(file.read(4), "little")
        # Some writers pack a file in several parts, of which only the last one's length is told: unpack to be sure.
        short = said != expected % 2**32 and _unpacked_length(path, expected) < expected
    else:
        short = path.stat().st_size < expected
    if short:
        raise RadlibError(f"{path} is cut short; take the file from the release again.")


def _unpacked_length(path: Path, enough: int) -> int:
    """Bytes that come out of the gzip file `path` until it ends, breaks or there are `enough`."""
    length = 0
    try:
        with gzip.open(path) as file:  # read1 keeps what comes before bytes that are no gzip
            while length < enough and (block := file.read1(BLOCK)):
                length += len(block)
    except (OSError, EOFError, zlib.error):
        pass
    return length
