import pytest

from radlib import paper
from radlib.data import origin
from radlib.data.catalog import TASKS
from radlib.errors import RadlibError


def test_table_1_counts_what_the_checks_compare_with():
    printed = paper.table("table01").set_index("dataset")
    assert tuple(printed.index) == tuple(TASKS)
    for name, row in printed.iterrows():
        counts = origin.paper_counts(name).set_index("split")["images"]
        assert counts["all"] == row["images"]
        parts = counts.reindex(["train", "validation", "test"])
        if parts.notna().all():
            assert parts.sum() == row["images"]
        assert (row["task"] == "SEG") == (TASKS[name] == "segmentation")


def test_an_unknown_table_is_told():
    with pytest.raises(RadlibError, match="did you mean 'table0"):
        paper.table("table00")
