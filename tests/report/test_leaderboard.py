"""Every number at hand: those of the paper as its tables hold them, Results by whose they are, places within a test."""

import re

import pytest

from radlib import paper
from radlib.report import leaderboard, plots, result
from radlib.report.result import Interval


def cells(html):
    """Texts of every body row's cells."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html.split("<tbody>")[1], re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", " ", cell).split() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in rows
    ]


def test_the_papers_numbers_are_those_of_its_tables_4_to_10():
    printed = leaderboard.printed()
    expected = sum(len(paper.table(name)) for name in paper.TABLES[3:])
    assert len(printed) == expected and {each.kind for each in printed} == {"paper"}
    one = [
        each for each in printed if (each.row, each.dataset, each.tables) == ("DINOv2 ViT-g/14", "AMOS", ("Table 7",))
    ]
    assert [(each.value, each.method, each.metric) for each in one] == [
        (0.54, "U-Net decoder", "mean of Dice and Jaccard")
    ]
    tuned = [each for each in printed if each.tables == ("Table 8",) and each.method == "LoRA"]
    assert [each.value for each in tuned] == [0.767, 0.823]


def test_results_are_told_apart_by_whose_they_are(make, tmp_path):
    ours = make().data
    for origin in ("stand-in", "paper", "own"):
        record = make(data=ours.model_copy(update={"origin": origin, "title": f"of {origin}"}))
        result.write(record, {}, tmp_path / origin)
    folders = [tmp_path / origin for origin in ("stand-in", "paper", "own")] + [tmp_path / "nothing"]
    entries = leaderboard.at_hand(folders)
    kinds = {each.dataset: each.kind for each in entries if each.dataset.startswith("of ")}
    assert kinds == {"of stand-in": "stand-in", "of paper": "own", "of own": "own"}
    published = [each for each in entries if each.kind == "published"]
    borne = sum(len(each.tables) for each in published)
    assert len(published) < borne == len(list(result.PUBLISHED.glob("*/*.json")))
    assert plots.ladders(entries).axes[0].get_xlabel() == "macro AUROC on test"


def test_a_number_that_several_tables_bear_is_one_row_that_names_them(make, tmp_path):
    for table, value in (("table04", 0.7), ("table09", 0.7), ("table05", 0.6)):
        result.write(make(value, table=table), {}, tmp_path)
    own = [each for each in leaderboard.at_hand([tmp_path]) if each.kind == "own"]
    assert [(each.value, each.tables) for each in own] == [(0.7, ("Table 4", "Table 9")), (0.6, ("Table 5",))]
    html = leaderboard.table_html(own, "own")
    assert 'data-table="Table 4|Table 9"' in html and ">Table 4, Table 9</td>" in html


def test_places_are_given_within_a_test_and_marked_where_it_cannot_tell(make):
    def entry(value, high, **changes):
        found = make(
            value,
            low=0.1,
            high=high,
            interval=Interval(low=0.1, high=high, resamples=100, resamples_used=100),
            **changes,
        )
        return leaderboard.Entry("own", found.data.title, "row", "", "probe", ("Table 4",), found.metric, value, found)

    other = make().data.model_copy(update={"fingerprint": "e" * 64})
    entries = [
        entry(0.8, 0.85), entry(0.9, 0.95), entry(0.7, 0.95), entry(0.8, 0.85),
        entry(0.99, 1.0, control="shuffled labels"), entry(0.5, 0.6, data=other),
        entry(0.6, 0.9, scored="without relatives"),
    ]  # fmt: skip
    assert leaderboard.places(entries) == ["2", "1", "4 ≈", "2", "", "1", "1"]


def test_a_table_is_of_one_kind_sorted_by_dataset_and_score_with_marks_for_the_filter(make, tmp_path):
    for backbone, value in (("dinov2_vits14", 0.7), ("dinov2_vitb14", 0.8)):
        used = make().backbone.model_copy(update={"id": backbone, "title": backbone})
        result.write(make(value, backbone=used), {}, tmp_path)
    html = leaderboard.table_html(leaderboard.at_hand([tmp_path]), "own")
    rows = cells(html)
    assert [row[0][1] for row in rows] == ["ViT-B/14", "ViT-S/14"]
    assert [row[3] for row in rows] == [["1"], ["2", "≈"]]
    assert html.count('data-kind="your own runs" data-dataset="Brain Tumor" data-method="linear probe"') == 2
    assert "test images of 4 patients" in html, "provenance"
    assert leaderboard.table_html(leaderboard.printed(), "own") == ""


@pytest.mark.parametrize("mark", ["kind", "dataset", "method", "table"])
def test_every_row_bears_what_the_filter_asks_for(mark):
    html = leaderboard.table_html(leaderboard.printed(), "paper")
    assert f"{mark}:" in leaderboard.FILTER
    assert html.count("<tr data-") == html.count(f' data-{mark}="') == len(leaderboard.printed())
