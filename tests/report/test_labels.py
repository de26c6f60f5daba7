"""What sets rows of one name apart, and the lines that a run prints of them."""

import os
import re
import subprocess
import sys

import pytest

from radlib.report import journal, labels, result, run_summary


def other(found, **changes):
    """`found` with other weights, data or settings."""
    data = {name: changes.pop(name) for name in list(changes) if name in type(found.data).model_fields}
    used = {name: changes.pop(name) for name in list(changes) if name in type(found.backbone).model_fields}
    parts = {"data": found.data.model_copy(update=data), "backbone": found.backbone.model_copy(update=used)}
    return found.model_copy(update=parts | changes)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ([{}, {"image_size": 448}], ["224 px", "448 px"]),
        ([{}, {"weights_sha256": "9" * 64}], ["weights cccccccc", "weights 99999999"]),
        ([{}, {"left_out": ("p1", "p2")}, {"image_size": 448}], ["224 px", "without p1, p2", "448 px"]),
        ([{"seed": 3}, {"seed": 4}, {"seed": 4, "image_size": 448}], ["224 px, seed 3", "224 px, seed 4", "448 px"]),
        ([{}, {"hyperparameters": {"epochs": 3}}], ["epochs 100", "epochs 3"]),
        ([{}, {"runtime": "torch-bfloat16"}], ["torch-float32", "torch-bfloat16"]),
        ([{}], [""]),
    ],
)
def test_rows_of_one_name_are_set_apart_by_the_plainest_difference(make, changes, expected):
    rows = [other(make(), **each) for each in changes]
    assert labels.marks(["row"] * len(rows), rows) == expected
    assert labels.marks(list(range(len(rows))), rows) == [""] * len(rows), "other names need no marks"
    assert labels.marks(["row"] * (len(rows) + 1), [None, *rows]) == ["", *expected]


def test_rows_that_differ_in_nothing_plain_are_set_apart_by_their_digest(make):
    rows = [other(make(), hyperparameters={"rows": list(range(99, 99 + n))}) for n in (50, 60)]
    assert labels.marks(["row"] * 2, rows) == [found.cell for found in rows]


def test_data_of_one_title_are_set_apart_by_what_differs(make):
    given = [{}, {"fingerprint": "1" * 64}, {"fingerprint": "1" * 64, "split_sha256": "2" * 64}, {"title": "other"}]
    used = [other(make(), **each).data for each in given]
    assert labels.titles(used) == [
        "Brain Tumor, images aaaaaaaa", "Brain Tumor, images 11111111, split bbbbbbbb",
        "Brain Tumor, images 11111111, split 22222222", "other",
    ]  # fmt: skip
    assert labels.titles(used[:1] * 2) == ["Brain Tumor"] * 2


def test_the_summary_has_a_line_a_result_and_says_where_they_are(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    masks = other(make(0.5, metric="mean of Dice and Jaccard"), title="x", image_size=448)
    rows = [
        other(make(0.875, 0.75, 0.9375), title="\u75c5\u9662\u7532"),
        other(make(0.25, 0.125, 0.5), image_size=56),
        masks,
    ]
    with journal.written() as paths:
        for each in (*rows, rows[0]):
            result.write(each, {}, tmp_path / "kept here")
        subprocess.run([sys.executable, "-c", "from radlib.report import journal; from pathlib import Path; "
                        "journal.note(Path('kept here/table04/of a kernel.json'))"], check=True)  # fmt: skip
    assert [path.name for path in paths] == [f"{each.name}.json" for each in rows] + ["of a kernel.json"]
    assert journal.VARIABLE not in os.environ
    said = run_summary.in_words(paths[:-1]).splitlines()
    assert [re.split("  +", line) for line in said] == [
        ["dataset", "row", "macro AUROC", "interval", "patients"],
        ["\u75c5\u9662\u7532", "DINOv2 ViT-S/14, linear probe, 224 px", "0.875", "[0.750, 0.938]", "4"],
        ["Brain Tumor", "DINOv2 ViT-S/14, linear probe, 56 px", "0.250", "[0.125, 0.500]", "4"],
        ["dataset", "row", "mean of Dice and Jaccard", "interval", "patients"],
        ["x", "DINOv2 ViT-S/14, linear probe, 448 px", "0.500", "[0.700, 0.900]", "4"],
        ["results: kept here/table04"],
    ]
    assert said[2].index("DINOv2") == said[1].index("DINOv2") + 3, "three letters, each two columns wide on a terminal"
    result.write(rows[0], {}, tmp_path / "kept here")  # nobody asks for it: no list is kept


def test_labels_and_masks_of_one_folder_are_not_two_versions_of_it(make, tmp_path):
    rows = [other(make(metric=metric), dataset="manifest", title="ward", origin="own", truth_sha256=digest * 64)
            for metric, digest in (("macro AUROC", "1"), ("mean of Dice and Jaccard", "2"))]  # fmt: skip
    said = run_summary.in_words([result.write(each, {}, tmp_path) for each in rows]).splitlines()
    assert [line.split("  ")[0] for line in said[1::2]] == ["ward", "ward"]
    assert labels.titles([each.data for each in rows]) == [
        "ward, labels or masks 11111111", "ward, labels or masks 22222222"
    ]  # fmt: skip


def test_a_list_that_is_gone_costs_no_result(make, tmp_path, monkeypatch):
    monkeypatch.setenv(journal.VARIABLE, str(tmp_path / "gone" / "written"))
    assert result.read(result.write(make(), {}, tmp_path)).value == 0.8
