"""The published numbers, one tidy CSV a table, as printed in arXiv 2312.02366 (the version with eight datasets)."""

from importlib.resources import files

import pandas as pd

from radlib.errors import unknown_name

SOURCE = "Baharoon et al., arXiv 2312.02366"
TABLES = tuple(f"table{number:02d}" for number in range(1, 11))


def table(name: str) -> pd.DataFrame:
    """Table `name` (e.g. ``table04``): one row a printed number, with this package's ids beside the names printed.

    ``table01``: dataset, title, exam, task (CLS to classify, SEG to segment), labels, classes (of masks with the
    background, except AMOS), images, dimensions.
    ``table02``: method, architecture, backbone, dataset, images, parameters (as printed, "1,100M").
    ``table03``: method, architecture, backbone, segmenter, trainable, share, total (as printed).
    ``table04``: method, architecture, backbone, dataset, auroc (0 to 1); ``table05`` also protocol.
    ``table06``: backbone, segmenter (linear, unet_decoder), dataset, score (mean of Dice and Jaccard, 0 to 1),
    printed_delta (in points). ``table07``: method, architecture, backbone (none from scratch), segmenter (unet and
    transunet from scratch, unet_decoder), dataset, score.
    ``table08``: method, backbone, protocol, trainable, share (as printed), dataset, auroc.
    ``table09``: method, architecture, backbone, image_size (px), segmenter, dataset, score. ``table10``: method,
    architecture, backbone, image_size, dataset, auroc.
    """
    if name not in TABLES:
        raise unknown_name("table of the paper", name, TABLES)
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
