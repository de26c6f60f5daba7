import pytest

from radlib import paper
from radlib.data import origin
from radlib.data.catalog import TASKS
from radlib.errors import RadlibError
from radlib.models import backbones


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
    with pytest.raises(RadlibError, match="did you mean 'table"):
        paper.table("table00")


@pytest.mark.parametrize(
    "name, rows, number",
    [("table05", 48, "auroc"), ("table06", 8, "score"), ("table07", 16, "score"), ("table08", 8, "auroc"),
     ("table09", 12, "score"), ("table10", 4, "auroc"), ("table04", 32, "auroc")],
)  # fmt: skip
def test_every_cell_of_a_table_is_there_once_and_named_by_known_ids(name, rows, number):
    table = paper.table(name)
    assert len(table) == rows
    assert table[number].between(0.4, 1).all()
    assert set(table["dataset"]) <= set(TASKS)
    assert set(table["backbone"].dropna()) <= set(backbones.names())
    keys = [c for c in ("backbone", "protocol", "segmenter", "image_size", "dataset") if c in table]
    assert not table.duplicated(keys).any()


def cells(name, number="auroc", **row):
    table = paper.table(name)
    for column, value in row.items():
        table = table[table[column] == value]
    return table.set_index(["backbone", "dataset"])[number].to_dict()


def test_tables_agree_where_they_print_the_same_experiment():
    four, probes = cells("table04"), cells("table05", protocol="linear_probe")
    shared = set(four) & set(probes)
    assert len(shared) == 12
    assert all(four[key] == probes[key] for key in shared)
    for protocol in ("linear_probe", "fine_tune"):
        eight, five = cells("table08", protocol=protocol), cells("table05", protocol=protocol)
        assert len(eight) == 2
        assert all(five[key] == number for key, number in eight.items())
    unet = cells("table06", "score", segmenter="unet_decoder")
    assert unet == {key: number for key, number in cells("table07", "score").items() if key[0] == "dinov2_vitl14"}
    assert unet == cells("table09", "score", image_size=448)


def test_table_6_subtracts_rightly():
    table = paper.table("table06").pivot(index="dataset", columns="segmenter", values="score")
    printed = paper.table("table06").dropna().set_index("dataset")["printed_delta"]
    gained = ((table["unet_decoder"] - table["linear"]) * 100).round(1)
    assert gained.to_dict() == pytest.approx(printed.to_dict())


def test_table_2_is_the_registry_of_backbones():
    for row in paper.table("table02").to_dict("records"):
        spec = backbones.spec(row["backbone"])
        assert (spec.architecture, spec.dataset, spec.images, spec.parameters) == (
            row["architecture"], row["dataset"], row["images"], row["parameters"],
        )  # fmt: skip


def test_table_3_has_six_rows():
    assert list(paper.table("table03")["total"]) == ["31M", "324M", "300M", "317M", "1,100M", "1,138M"]


def number(text):
    return float(text.replace(",", "").rstrip("M")) * (1e6 if text.endswith("M") else 1)


def test_printed_shares_are_trainable_over_total():
    three = paper.table("table03")
    for trainable, share, total in three[["trainable", "share", "total"]].itertuples(index=False):
        percent = 100 * number(trainable) / number(total)
        assert percent < 1 if share == "< 1%" else f"{percent:.0f}%" == share
    eight = paper.table("table08").drop_duplicates("protocol").set_index("protocol")
    percent = {name: 100 * number(row["trainable"]) / 1.1e9 for name, row in eight.iterrows()}
    assert f"{percent['lora']:.1f}%" == eight.loc["lora", "share"] and percent["lora"] < 1
    assert f"{percent['bitfit']:.2f}%" == eight.loc["bitfit", "share"]
    # As printed, and wrong: 1,500 of 1,100M is a fraction of 1e-6, a hundred times 1e-6 %.
    assert eight.loc["linear_probe", "share"] == "1e-6%" and percent["linear_probe"] == pytest.approx(1.4e-4, rel=0.05)
