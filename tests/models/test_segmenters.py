"""Table 3 on the built networks, its page included."""

import pytest
import torch

from radlib import paper
from radlib.errors import RadlibError
from radlib.models import segmenters
from radlib.report import segmenters as page

TABLE = paper.table("table03")

# trained and total as counted; the paper's words for them cut off, they do not round: 38.7 million is "38M"
ROWS = {
    ("unet", None): (31_037_633, 31_037_633),
    ("transunet", None): (324_625_681, 324_625_681),
    ("linear", "dinov2_vitl14"): (1_025, 304_368_641),
    ("unet_decoder", "dinov2_vitl14"): (17_217_414, 321_585_030),
    ("linear", "dinov2_vitg14"): (1_537, 1_136_480_769),
    ("unet_decoder", "dinov2_vitg14"): (38_728_518, 1_175_207_750),
}


def test_the_rows_are_table_3s():
    keys = zip(TABLE["segmenter"], TABLE["backbone"].fillna(""), strict=True)
    assert [(segmenter, backbone or None) for segmenter, backbone in keys] == list(ROWS)
    assert set(TABLE["segmenter"]) == set(segmenters.TITLES)


@pytest.mark.parametrize("row, expected", ROWS.items(), ids=str)
def test_counted(row, expected):
    assert segmenters.count_parameters(*row, classes=1) == expected


@pytest.mark.parametrize("row, counted", list(zip(TABLE.to_dict("records"), ROWS.values(), strict=True)))
def test_trained_parameters_are_the_printed_ones(row, counted):
    trained, printed = counted[0], row["trainable"]
    if printed.endswith("M"):
        assert f"{trained // 10**6}M" == printed
    else:
        assert f"{trained // 100 * 100:,}" == printed


def test_printed_totals_are_sums_of_printed_numbers():
    millions = TABLE.set_index(["backbone", "segmenter"])[["trainable", "total"]]
    for backbone, frozen in (("dinov2_vitl14", 300), ("dinov2_vitg14", 1100)):
        assert millions.loc[(backbone, "linear"), "total"] == f"{frozen:,}M"
        trained = int(millions.loc[(backbone, "unet_decoder"), "trainable"].rstrip("M"))
        assert millions.loc[(backbone, "unet_decoder"), "total"] == f"{frozen + trained:,}M"


def test_each_class_costs_the_linear_decoder_the_same():
    one, sixteen = (segmenters.count_parameters("linear", "dinov2_vitl14", classes)[0] for classes in (1, 16))
    assert sixteen == 16 * one


def test_the_two_endings_differ_by_seventeen_parameters():
    plain, authors = (
        segmenters.count_parameters("unet_decoder", "dinov2_vitl14", 1, ending)[0] for ending in ("plain", "authors")
    )
    assert authors - plain == 17


@pytest.mark.parametrize("name", segmenters.SCRATCH)
def test_a_network_from_scratch_is_made_for_a_size(name):
    with torch.device("meta"):
        network = segmenters.make_scratch(name, 3, 64)
        assert network(torch.empty(1, 3, 64, 64)).shape == (1, 3, 64, 64)
        with pytest.raises(RadlibError, match="image_size 100 is not a multiple of 16.*96 and 112"):
            segmenters.make_scratch(name, 3, 100)


def test_unknown_names_are_told():
    with pytest.raises(RadlibError, match="no network trained from scratch called 'nnunet'; did you mean 'unet'"):
        segmenters.make_scratch("nnunet", 2, 64)
    with pytest.raises(RadlibError, match="no segmenter called 'linaer'; did you mean 'linear'"):
        segmenters.count_parameters("linaer", "dinov2_vitl14", 2)
    with pytest.raises(RadlibError, match="stands on a backbone; name one, e.g. dinov2_vitl14"):
        segmenters.count_parameters("linear", None, 2)


def test_the_page_sets_counts_beside_the_papers():
    counted = page.count(TABLE, also=["vits14_random"])
    assert [(each.segmenter, each.backbone or None) for each in counted[:6]] == list(ROWS)
    html = page.table_html(counted)
    for words in ("17,217,414", ">317M<", "321,585,030", "100 %", "one output class", "random", "&lt; 1%"):
        assert words in html
    assert "38,728,535" in page.endings_html(["dinov2_vitl14", "dinov2_vitg14"])
    axes = page.trained_and_whole(counted).axes[0]
    assert axes.get_xscale() == "log" and len(axes.get_yticklabels()) == 8


def test_the_page_refuses_what_it_cannot_count():
    with pytest.raises(RadlibError, match="'vgg19' has no patch tokens"):
        page.count(TABLE, also=["vgg19"])
    with pytest.raises(RadlibError, match="Parameter 'classes' is 0"):
        page.count(TABLE, classes=0)
    with pytest.raises(RadlibError, match="Parameter 'classes' is 'two'; a whole number"):
        page.count(TABLE, classes="two")
