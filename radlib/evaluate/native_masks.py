"""Predictions at the size of the images they were made of, and their distance from the truth in millimetres."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from radlib.data import predicted_masks
from radlib.data.dataset import Dataset
from radlib.evaluate.hausdorff import hd95
from radlib.evaluate.segmentation import Segmented


def predicted(dataset: Dataset, segmented: Segmented, rows: NDArray[np.intp]) -> Iterator[tuple[int, np.ndarray]]:
    """Each of `rows` with its predicted mask `(H, W)` uint8 of the image's own size.

    Logits are enlarged before the class is chosen: an outline then runs between pixels of the square, not along them.
    """
    for row, logits in zip(rows, segmented.logits(rows), strict=True):
        size = predicted_masks.native_shape(dataset, int(row))
        native = interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]
        yield int(row), native.argmax(dim=0).to(torch.uint8).numpy()


def scan_distances(
    dataset: Dataset, predictions: Iterator[tuple[int, np.ndarray]]
) -> tuple[list[str], NDArray[np.float64]]:
    """HD95 in mm of every scan and class: the scans' images, and `(M, K)` as `hd95` gives it; NaN for pictures.

    `predictions` are those of `predicted` for whole scans, the slices of each following one another.
    """
    images = dataset.samples["image"].to_numpy()
    scans, found = [], []
    for image, slices in itertools.groupby(predictions, key=lambda pair: str(images[pair[0]])):
        scans.append(image)
        rows, masks = zip(*slices, strict=True)
        if image not in (dataset.planes or {}):  # a picture among scans has no millimetres
            found.append([np.nan] * len(dataset.classes))
            continue
        order = np.argsort(dataset.samples["slice"].to_numpy()[list(rows)])
        guess, truth = (
            predicted_masks.volume(dataset, image, np.stack([stack[k] for k in order]))
            for stack in (masks, [dataset.mask(row) for row in rows])
        )
        spacing = predicted_masks.spacing_mm(dataset, image)
        assert spacing is not None, "a scan of slices has a header"
        found.append([hd95(guess == k, truth == k, spacing) for k in range(1, len(dataset.classes) + 1)])
    return scans, np.array(found)
