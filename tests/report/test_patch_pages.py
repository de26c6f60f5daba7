"""Figure 1 and the explorer around their arithmetic: what they are asked for, what they choose, show and refuse."""

import dataclasses
import json
import re
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from radlib.data import catalog, open_scans
from radlib.errors import RadlibError
from radlib.evaluate import patch_pca
from radlib.evaluate.image_tokens import Seen
from radlib.report import figure_pca, live_explorer, page, patch_columns, pca_explorer
from radlib.report.patch_columns import Column, PatchSettings

H, W, D = 8, 8, 24


def seen(n=4, seed=0, offset=0.0):
    """Bodies of two organs on a background, as if a backbone had said so."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(3, D))
    tokens = 0.4 * rng.gamma(2, size=(n, H, W, D)) + offset * rng.normal(size=(n, 1, 1, D))
    tokens[:, 2:-2, 1:-1] += 6 * directions[0]
    tokens[:, 2:4, 1:-1] += 3 * directions[1]
    squares = rng.random((n, 14 * H, 14 * W)).astype(np.float32)
    return Seen(tokens.astype(np.float16), squares, tuple("f" * 64 for _ in range(n)), n, "torch-float32")


@pytest.fixture
def column(clinic):
    dataset = catalog.open_dataset("manifest", clinic, progress=False)
    return Column(dataset, (0, 8, 16, 24), tuple(patch_columns.name_of(dataset, row) for row in (0, 8, 16, 24)), seen())


# -- what is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"datasets": ["amoz"]}, "no dataset or open scan called 'amoz'; did you mean 'amos'"),
        ({"datasets": []}, "Parameter 'datasets' is"),
        ({"datasets": "amos", "rows": "{'chest': [1]}"}, "called 'chest'; did you mean 'chest_ct'"),
        ({"datasets": "amos", "rows": {"amos": [-1]}}, "Parameter 'rows.amos.0' is -1"),
        ({"datasets": "amos", "rows": "{'amos': [1"}, "this is no mapping"),
        ({"datasets": "amos", "image_size": 100}, "not a multiple of the patch size 14"),
        ({"datasets": "amos", "backbones": "efficientnet_lite0"}, "has no patch tokens; name a vision transformer"),
        ({"datasets": "amos", "device": "gpu"}, "no device called 'gpu'"),
        ({"datasets": "amos", "sides": {"amos": "left"}}, "Parameter 'sides.amos' is 'left'"),
        ({"datasets": "amos", "thresholds": "{'amoss': 1}"}, "called 'amoss'"),
        ({"datasets": "amos", "percentiles": [98]}, "Parameter 'percentiles'"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(given, sentence):
    with pytest.raises(RadlibError, match=re.escape(sentence)) as told:
        figure_pca.checked(**given)
    assert "\n" not in str(told.value)


def test_parameters_may_come_as_papermills_text():
    run = figure_pca.checked(
        datasets="['amos', 'manifest']", thresholds="{'amos': 3}", flips="{'amos': [2]}", rows="{}"
    )
    assert run.datasets == ("amos", "manifest") and run.thresholds == {"amos": 3.0} and run.flips == {"amos": (2,)}
    assert len(run.backbones) == 1


# -- which images --------------------------------------------------------------------------------------------------


class Cohort(SimpleNamespace):
    """As much of a dataset as is asked which rows to take: one image a letter, the letter its patient."""

    def __init__(self, patients):
        samples = pd.DataFrame({"image": [f"{k}.png" for k in range(len(patients))], "patient": list(patients)})
        super().__init__(name="montgomery", samples=samples, origin="paper")

    def __len__(self):
        return len(self.samples)


def test_the_middle_image_of_patients_evenly_apart_is_taken():
    patients = "aaabbbbbccdddeeefff"  # six patients; of four the first, third, fourth (half to even) and fifth
    dataset = Cohort(patients)
    rows = patch_columns.rows_of(dataset, 3)
    assert [patients[row] for row in rows] == ["a", "c", "e"]
    assert rows[0] == 1 and rows[2] == 14


def test_with_few_patients_images_are_taken_evenly():
    dataset = Cohort("aaaaabbbbb")
    rows = patch_columns.rows_of(dataset, 4)
    assert len(rows) == 4 and rows == sorted(set(rows))
    assert patch_columns.rows_of(Cohort("ab"), 4) == [0, 1]


def test_of_an_open_scan_levels_are_taken():
    scan = open_scans.open_scan("mni_t1")
    assert patch_columns.rows_of(scan, 4) == open_scans.levels("mni_t1")
    assert len(set(patch_columns.rows_of(scan, 6))) == 6


def test_a_readers_own_patients_stay_unnamed(column):
    assert column.names == ("image 0", "image 8", "image 16", "image 24")
    assert column.kind == "Your images" and column.source == "your data"
    stand_in = dataclasses.replace(column.dataset, origin="stand-in")
    assert patch_columns.name_of(stand_in, 2) == "p1"
    assert patch_columns.name_of(open_scans.open_scan("mni_t1"), 3) == "slice 3"


def test_what_cannot_be_opened_is_named_and_the_others_are_shown(monkeypatch, clinic, capsys):
    monkeypatch.setattr(patch_columns.image_tokens, "see", lambda *_, **__: seen())
    settings = PatchSettings(datasets=("manifest", "amos"), data_root=str(clinic))
    (only,) = patch_columns.look_at(settings.datasets, settings, backbone=None, progress=False)
    assert only.dataset.name == "manifest" and "amos is left out: " in capsys.readouterr().out
    with pytest.raises(RadlibError, match="amos"):
        patch_columns.look_at(("amos",), settings, backbone=None)


# -- the figure ----------------------------------------------------------------------------------------------------


def test_overrides_reach_the_dataset_they_name_and_no_other(column):
    other = dataclasses.replace(column, dataset=dataclasses.replace(column.dataset, name="amos"))
    run = figure_pca.checked(
        datasets="manifest", thresholds={"manifest": 1.0}, sides={"manifest": "below"}, flips={"amos": [1]}
    )
    mine, theirs = figure_pca.colour([column, other], run)
    assert mine.picture.fits[0].threshold == 1.0 and mine.picture.fits[0].side == "below"
    ruled = patch_pca.picture(column.seen.tokens)
    assert theirs.picture.fits[0].threshold == ruled.fits[0].threshold
    np.testing.assert_allclose(theirs.picture.scores[..., 0], -ruled.scores[..., 0])
    as_paper = figure_pca.colour([column], run, "joint")[0]
    np.testing.assert_array_equal(as_paper.picture.rgb, patch_pca.picture(column.seen.tokens, "joint").rgb)


def test_what_has_no_picture_names_the_dataset(column):
    run = figure_pca.checked(datasets="manifest", thresholds={"manifest": 1e9})
    with pytest.raises(RadlibError, match="^Your images: Threshold 1e\\+09 lies outside"):
        figure_pca.colour(
            [dataclasses.replace(column, dataset=dataclasses.replace(column.dataset, title="Your images"))], run
        )


def test_a_sheet_shows_each_image_beside_its_patches(column):
    (shown,) = figure_pca.colour([column], figure_pca.checked(datasets="manifest"))
    panels = figure_pca.sheet([shown, shown]).axes
    assert len(panels) == 2 * 4 * 2 and len(figure_pca.sheet([shown], images=False).axes) == 4
    image, patches = (panel.images[0].get_array() for panel in panels[2:4])
    np.testing.assert_array_equal(image, column.seen.squares[1])
    np.testing.assert_array_equal(patches, shown.picture.rgb[1])


def test_the_histogram_shows_every_patch_and_the_threshold(column):
    run = figure_pca.checked(datasets="manifest", fitting="single")
    (panel,) = figure_pca.histograms(figure_pca.colour([column], run)).axes
    assert sum(line.get_linestyle() == "--" for line in panel.lines) == 4, "a threshold for each image"


def test_the_table_has_a_row_for_each_fit(column):
    for fitting, rows in (("centred", 1), ("single", 4)):
        run = figure_pca.checked(datasets="manifest", fitting=fitting)
        html = figure_pca.table_html(figure_pca.colour([column], run))
        assert html.count('<th scope="row">') == rows
    between = figure_pca.table_html(
        figure_pca.colour([dataclasses.replace(column, seen=seen(offset=9))], figure_pca.checked(datasets="manifest"))
    )
    shares = [float(value) for value in re.findall(r'data-v="([\d.e-]+)">\d\.\d\d</td>', between)]
    assert max(shares) > 0.9, "what lies between images is told"


# -- the explorer's sets -------------------------------------------------------------------------------------------


def test_a_set_holds_what_the_module_needs(column):
    one = pca_explorer.patch_set(column, (2, 3, 4))
    assert one.mark == 64 + 2 * 8 + 3 and one.features.shape == (4, H, W, D)
    np.testing.assert_allclose(one.norms, np.linalg.norm(column.seen.tokens.astype(float), axis=-1), rtol=1e-6)
    about = one.about()
    assert json.dumps(about) and about["n"] == 4 and all(url.startswith("data:image/jpeg") for url in about["images"])
    with pytest.raises(RadlibError, match=r"no patch \(5, 1, 1\) in 'marks'; marks are image 1-4, row 1-8, column 1-8"):
        pca_explorer.patch_set(column, (5, 1, 1))


def test_the_cosine_error_told_is_the_one_met(column, monkeypatch):
    monkeypatch.setattr(pca_explorer, "DIRECTIONS", 6)
    one = pca_explorer.patch_set(column)
    z, length = one.features.astype(float), one.norms.astype(float)
    for told, own in ((one.error, False), (one.own_error, True)):
        mean, of_z = (x.mean(axis=(1, 2), keepdims=True) * own for x in (column.seen.tokens.astype(float), z))
        tokens = (column.seen.tokens - mean).reshape(-1, D)
        short = np.sqrt(length**2 - 2 * (z * of_z).sum(axis=-1) + (of_z**2).sum(axis=-1)).ravel()
        unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
        flat = (z - of_z).reshape(-1, 6)
        error = np.abs(np.clip(flat @ flat.T / np.outer(short, short), -1, 1) - unit @ unit.T)
        np.fill_diagonal(error, 0)
        assert (told.largest, told.mean) == (pytest.approx(error.max()), pytest.approx(error.mean()))
        assert told.largest > 0.01
    monkeypatch.undo()
    assert pca_explorer.patch_set(column).error.largest < 0.002, "half precision alone"


def test_the_patch_marked_at_first_is_kept_and_of_the_middle_image(column):
    mark = pca_explorer.telling_patch(column.seen.tokens)
    assert mark // (H * W) == 2 and patch_pca.picture(column.seen.tokens).foreground.ravel()[mark]
    assert pca_explorer.telling_patch(np.ones((2, 2, 2, 5), np.float16)) == 0


def test_sets_are_written_in_place_of_earlier_ones(column, tmp_path):
    (tmp_path / "pca-earlier.js").write_text("old")
    (tmp_path / "book.css").write_text("stays")
    one = pca_explorer.patch_set(column)
    assert pca_explorer.write_sets([one], tmp_path) == [tmp_path / "pca-manifest.js"]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["book.css", "pca-manifest.js"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RadlibError, match="The sets cannot be written to .*file"):
        pca_explorer.write_sets([one], tmp_path / "file")


def test_nothing_in_a_page_ends_its_script_early(column):
    strange = dataclasses.replace(pca_explorer.patch_set(column), kind="</script><b>", title='"quoted"')
    html = pca_explorer.page_html([strange])
    assert html.count("</script>") == 3 and "</script><b>" not in html
    assert pca_explorer.table_html([strange]).count("<tr>") == 3


# -- live ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(monkeypatch, clinic):
    told = []

    def see(dataset, backbone, rows, device, progress, hear):
        for done in range(1, len(rows) + 1):
            hear(done)
        told.append((dataset.name, list(rows)))
        return seen(len(rows))

    monkeypatch.setattr(patch_columns.image_tokens, "see", see)
    monkeypatch.setattr(live_explorer.backbones, "load", lambda *_: None)
    box = live_explorer.Live(live_explorer.checked(datasets="manifest", data_root=str(clinic), images=3))
    box.told, box.cohort = told, patch_columns.open_cohort("manifest", str(clinic)).dataset
    return box


def test_the_controls_say_what_is_computed(live):
    live.compute()
    assert live.told == [("manifest", patch_columns.rows_of(live.cohort, 3))]
    assert live.progress.value == live.progress.max == 3 and "3 of 3 images computed" in live.said.value
    about = live.explorer.about
    assert (
        about["n"] == 3
        and len(live.explorer.features) == 3 * H * W * D * 2
        and len(live.explorer.norms) == 3 * H * W * 4
    )
    live.rows.value = "2, 5"
    live.compute()
    assert live.told[-1] == ("manifest", [2, 5]) and live.explorer.about["n"] == 2
    assert not live.button.disabled


def test_what_cannot_be_computed_is_told_beside_the_button(live):
    live.rows.value = "first"
    live.compute()
    assert "names no images; write their numbers" in live.said.value and not live.told
    live.rows.value = ""
    live.backbone.value = "efficientnet_lite0"
    live.compute()
    assert "has no patch tokens" in live.said.value
    live.backbone.value, live.dataset.value = "vits14_random", "amos"
    live.compute()
    assert live.said.value and not live.told and not live.button.disabled


def test_a_page_keeps_the_html_and_a_notebook_gets_the_widget(column, monkeypatch):
    shown = []
    monkeypatch.setattr(live_explorer, "display", lambda bundle, raw: shown.append((bundle, raw)))
    live_explorer.show([pca_explorer.patch_set(column)], live_explorer.checked(datasets="manifest"))
    ((bundle, raw),) = shown
    assert raw and page.WIDGET in bundle and "radlib-explorer" in bundle["text/html"]
    bar = new_output("display_data", {page.WIDGET: {}, "text/plain": "0%"})
    outputs = [new_output("display_data", {key: bundle[key] for key in (page.WIDGET, "text/html")}), bar]
    cleaned = page.clean(new_notebook(cells=[new_code_cell("show", outputs=outputs)]))
    (kept,) = cleaned.cells[0].outputs
    assert list(kept.data) == ["text/html"]
    nbformat.validate(cleaned)
