"""The noun everything else reads: a table of samples, their labels or masks, and how to read one image."""

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from radlib.data import identity
from radlib.data.origin import Origin
from radlib.data.volumes import Plane
from radlib.errors import RadlibError

Task = Literal["binary", "multi-class", "multi-label", "segmentation"]
Record = Mapping[Hashable, Any]  # one row of `Dataset.samples`
Reader = Callable[[Path, Record], np.ndarray]  # root and row -> pixels

MASKS = ("mask", "left_mask", "right_mask")  # columns of `Dataset.samples` that hold masks


@dataclass(frozen=True)
class Dataset:
    """N images of patients with labels or masks; it never trains and never knows a model.

    Attributes:
        name: id, e.g. ``brain_tumor``.
        title: as the paper prints it.
        task: ``binary`` and ``multi-class`` have one label an image, ``multi-label`` K findings each 0 or 1,
            ``segmentation`` a mask.
        classes: K names; the background of a mask is not one of them.
        samples: N rows, one an image or one a slice of a volume: ``image`` (path below `root`, POSIX), ``patient``,
            ``split``; ``slice`` (0…S-1) where `image` is a volume; ``mask``, or ``left_mask`` and ``right_mask``
            (paths below `root`) where there are masks; ``study`` where several rows are one case whose features are
            averaged (its rows share patient, split and label); ``age`` (years), ``sex`` (F, M), ``view`` (PA, AP …)
            where the release has them.
        labels: `(N,)` int64 in 0…K-1, `(N, K)` int64 of 0/1 when multi-label, `(N, 0)` when segmentation.
        origin: ``paper`` when every count equals the paper's, ``stand-in`` for simulated cohorts, else ``own``.
        note: what a reader should know about this copy, one or two sentences; may be empty.
        root: folder the paths start from.
        read_image: root and row -> pixels `(C, H, W)` float32, C 1 or 3, in the image's own units (HU for CT), prepared
            as the protocol asks for this dataset.
        preparation: words that name what `read_image` does; part of the key of every cached feature.
        read_mask: root and row -> `(H, W)` uint8, 0 background and k the k-th of `classes` counted from 1; None
            without masks.
        mask_preparation: words that name what `read_mask` makes of the files beyond what `preparation` says; part of
            the key of every cached mask.
        planes: image path of every volume -> how its slices are cut; None where no image is a volume.
        window: values in the image's units at which `read_image` clips; None where it does not.
        warnings: sentences on what looks wrong with this copy and only its owner can decide, such as two spellings of
            one patient's id; they may name patients, so they are printed and not kept with Results. Those on the ids
            are added when the dataset is opened by its name.
        patient_source: file and column, or names of files, that the patients' ids come from, for sentences.
        segmentation: the same images with their masks as the truth, where a manifest has labels and masks; None where
            there is one kind of truth.
        opened: path below `root` -> the system's sign (`identity.sign`) of each volume and mask right after its header
            was read; a file that was changed before its content is hashed is refused.
        prepare: makes what reading needs and says so (the slices of compressed volumes), with a progress bar if told
            to; None when there is nothing to make. Reading works without it, more slowly the first time.
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
    read_image: Reader
    preparation: str
    read_mask: Reader | None = None
    mask_preparation: str = ""
    planes: Mapping[str, Plane] | None = None
    window: tuple[float, float] | None = None
    prepare: Callable[[bool], None] | None = None
    warnings: tuple[str, ...] = ()
    patient_source: str = "names of the files"
    segmentation: "Dataset | None" = None
    opened: Mapping[str, identity.Sign] | None = None

    def __post_init__(self) -> None:
        if self.opened is None:
            columns = [column for column in ("image", *MASKS) if column in self.samples]
            names = pd.unique(self.samples[columns].to_numpy().ravel()) if self.planes else ()
            signs = {name: identity.sign(self.root / name) for name in names if (self.root / name).is_file()}
            object.__setattr__(self, "opened", signs)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names below `root`, whole content and slice numbers of the images, row by row.

        It depends neither on where `root` is nor on labels. Worked out when first asked for, since files that are new
        or have changed are read. From then on, reading an image that has changed meanwhile raises RadlibError.
        """
        return self._fingerprint(["image"])

    @functools.cached_property
    def mask_fingerprint(self) -> str:
        """As `fingerprint`, of the content of the masks and the names of the images they belong to."""
        if self.read_mask is None:
            raise self._no_masks()
        return self._fingerprint([column for column in MASKS if column in self.samples])

    @functools.cached_property
    def _content(self) -> dict[str, str]:
        """Path below `root` -> the content's SHA-256, of the files that a fingerprint is of."""
        return {}

    def _fingerprint(self, columns: Sequence[str]) -> str:
        names = pd.unique(self.samples[list(columns)].to_numpy().ravel()).tolist()
        contents = identity.of_all([os.path.join(self.root, name) for name in names])
        opened = self.opened or {}
        for name in names:
            if name in opened and identity.sign(self.root / name) != opened[name]:
                raise self._changed(name)
        self._content.update(zip(names, contents, strict=True))
        parts = [self.samples["image"], *(self.samples[column].map(self._content) for column in columns)]
        slices = self.samples["slice"].astype(str) if "slice" in self.samples else itertools.repeat("")
        whole = hashlib.sha256()
        for row in zip(*parts, slices, strict=False):
            whole.update("\0".join([*row, ""]).encode(errors="surrogateescape"))
        return whole.hexdigest()

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, row: int) -> np.ndarray:
        """Pixels `(C, H, W)` float32 of sample `row`; raises RadlibError that names the file if it is unreadable."""
        pixels = self._decode(self.read_image, row, "image")
        self._refuse_changed(row, ["image"])
        if not np.isfinite(pixels).all():
            path = self.root / self.samples["image"].iloc[row]
            raise RadlibError(f"{path} holds NaN or infinite pixels; export the image again.")
        return pixels

    def mask(self, row: int) -> np.ndarray:
        """Mask `(H, W)` uint8 of sample `row`, 0…K; raises RadlibError if there is none or it is unreadable."""
        if self.read_mask is None:
            raise self._no_masks()
        mask = self._decode(self.read_mask, row, "mask")
        self._refuse_changed(row, [column for column in MASKS if column in self.samples])
        return mask

    def _refuse_changed(self, row: int, columns: Sequence[str]) -> None:
        """Raise RadlibError if a file of `row` is not the one that the fingerprint is of."""
        for column in columns:
            name = self.samples[column].iloc[row]
            if name in self._content and identity.of(self.root / name) != self._content[name]:
                raise self._changed(name)

    def _changed(self, name: str) -> RadlibError:
        return RadlibError(
            f"{self.root / name} has changed since {self.title} was opened; open it again (run the page from its "
            "start), so that every number is of the same files."
        )

    def _no_masks(self) -> RadlibError:
        return RadlibError(f"{self.title} has no masks; name a segmentation dataset.")

    def _decode(self, read: Reader, row: int, what: str) -> np.ndarray:
        record = self.samples.iloc[row].to_dict()
        try:
            return read(self.root, record)
        except RadlibError:
            raise
        except MemoryError as error:
            raise RadlibError(
                f"Memory is too full to read the {what} of {self.root / record['image']}; end other programs and run "
                "again: what is finished is kept."
            ) from error
        except Exception as error:  # decoders raise many kinds; the reader needs the file, not the kind
            where = self.root / record["image"]
            raise RadlibError(
                f"The {what} of {where} cannot be read ({error}); replace the file with a whole copy."
            ) from error
