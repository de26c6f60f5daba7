"""Cases: what a classifier is trained and scored on, one image or all slices of one study.

Slices of a study share their label, so their features are averaged and the study counts once (paper section 3.3.1: the
mean over a scan's slices after the backbone; a linear head on a mean of features is the mean of the slices' logits).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radlib.data.dataset import Dataset
from radlib.errors import RadlibError


@dataclass(frozen=True)
class Cases:
    """The M cases of N images.

    Attributes:
        samples: M rows, each case's first image: patient, split, and whatever else the dataset's samples have.
        labels: `(M,)` or `(M, K)`, as the dataset's.
        of_image: `(N,)` the case every image belongs to, 0…M-1, cases in order of first appearance.
    """

    samples: pd.DataFrame
    labels: NDArray[np.int64]
    of_image: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.samples)

    def mean(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of images `(N, d)` -> of cases `(M, d)`: the mean over each case's images; N = M is passed on."""
        if len(self) == len(self.of_image):
            return features
        order = np.argsort(self.of_image, kind="stable")
        counts = np.bincount(self.of_image)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # double precision: a long stack's sum would lose digits that a single image keeps
        sums = np.add.reduceat(features[order], starts, axis=0, dtype=np.float64)
        return (sums / counts[:, None]).astype(np.float32)


def of(dataset: Dataset) -> Cases:
    """The cases of `dataset`: its studies where its samples have a column ``study``, else every image by itself.

    Raises RadlibError when a study's images differ in patient, split or label: no average could be one case then.
    """
    samples = dataset.samples
    if "study" not in samples:
        return Cases(samples, dataset.labels, np.arange(len(samples)))
    of_image, names = pd.factorize(samples["study"])
    first = np.unique(of_image, return_index=True)[1]
    for what, values in (
        ("patient", samples["patient"].to_numpy()),
        ("split", samples["split"].to_numpy()),
        ("label", dataset.labels),
    ):
        torn = np.flatnonzero((values != values[first][of_image]).reshape(len(values), -1).any(axis=1))
        if len(torn):
            study = names[of_image[torn[0]]]
            raise RadlibError(
                f"{dataset.root}: the images of study '{study}' differ in {what}; give them one, or two study names."
            )
    return Cases(samples.iloc[first].reset_index(drop=True), dataset.labels[first], of_image)
