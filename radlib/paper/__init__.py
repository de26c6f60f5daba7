"""The published numbers, one tidy CSV a table, as printed in arXiv 2312.02366 (the version with eight datasets)."""

from importlib.resources import files

import pandas as pd

from radlib.errors import unknown_name

SOURCE = "Baharoon et al., arXiv 2312.02366"
TABLES = ("table01", "table04")


def table(name: str) -> pd.DataFrame:
    """Table `name` (e.g. ``table04``): one row a printed number, with this package's ids beside the names printed.

    ``table01``: dataset, title, exam, task (CLS to classify, SEG to segment), labels, classes (of masks with the
    background, except AMOS), images, dimensions.
    ``table04``: method, architecture, backbone, dataset, auroc (0 to 1).
    """
    if name not in TABLES:
        raise unknown_name("table of the paper", name, TABLES)
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
