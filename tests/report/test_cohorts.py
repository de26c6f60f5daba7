import pandas as pd
import pytest
from layouts import WRITERS

from radlib.errors import RadlibError
from radlib.report import cohorts, gallery

PRINTED = pd.DataFrame(
    {"dataset": ["montgomery", "amos"], "title": ["Montgomery County", "AMOS"], "images": [138, 21124]}
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RADLIB_CACHE", str(tmp_path / "cache"))


def test_what_is_there_is_counted_and_what_is_not_keeps_its_sentence(tmp_path):
    WRITERS["montgomery"](tmp_path / "data" / "montgomery")
    (tmp_path / "data" / "readme.txt").write_text("x")
    run = cohorts.checked(datasets=["montgomery", "amos"], data_root=str(tmp_path / "data"))
    found = cohorts.open_all(run)
    assert found[0].dataset is not None and "has no folder imagesTr" in found[1].missing
    html = cohorts.counts_html(PRINTED, found)
    assert 'data-v="138"' in html and 'data-v="12"' in html and "not opened: " in html
    assert "1 of 2 datasets: your data" in cohorts.status_html(found)
    assert html.count("✓") == 1 and str(tmp_path) not in cohorts.notes_html(found)


def test_as_many_images_as_the_papers_are_ticked(tmp_path):
    WRITERS["montgomery"](tmp_path / "montgomery", patients=138)
    run = cohorts.checked(datasets="montgomery", data_root=str(tmp_path))
    assert cohorts.counts_html(PRINTED, cohorts.open_all(run)).count("✓") == 2  # the caption explains it


def test_nothing_that_can_be_opened_is_an_error(tmp_path):
    run = cohorts.checked(datasets=["montgomery"], data_root=str(tmp_path))
    with pytest.raises(RadlibError, match="is empty"):
        cohorts.open_all(run)


@pytest.mark.parametrize(
    "given, sentence", [({"datasets": ["amoss"]}, "did you mean 'amos'"), ({"protocol": 3}, "'protocol' is 3")]
)
def test_wrong_parameters_are_told(given, sentence):
    with pytest.raises(RadlibError, match=sentence):
        cohorts.checked(**given)
    assert len(cohorts.checked().datasets) == 8


def test_a_list_may_come_as_papermill_gives_it():
    assert cohorts.checked(datasets="['amos', 'shenzhen']").datasets == ("amos", "shenzhen")
    assert cohorts.checked(datasets="amos").datasets == ("amos",)
    with pytest.raises(RadlibError, match="this is no list"):
        cohorts.checked(datasets="['amos")


@pytest.mark.parametrize("name", ["nih_chest_xray", "amos", "sars_cov_2_ct", "montgomery"])
def test_every_kind_of_dataset_can_be_drawn(tmp_path, name):
    WRITERS[name](tmp_path / name)
    (cohort,) = cohorts.open_all(cohorts.checked(datasets=[name], data_root=str(tmp_path)))
    sheet = gallery.samples(cohort.dataset)
    shown = [axes for axes in sheet.axes if axes.images]
    wanted = {"nih_chest_xray": 15, "amos": 5, "sars_cov_2_ct": 10, "montgomery": 5}[name]
    assert len(shown) == wanted
    bars = gallery.frequencies(cohort.dataset)
    widths = [bar.get_width() for bar in bars.axes[0].patches]
    assert len(widths) == 3 * len(cohort.dataset.classes) and all(0 <= width <= 100 for width in widths)


def test_a_multi_label_sheet_titles_each_image_with_a_finding_it_bears(tmp_path):
    WRITERS["nih_chest_xray"](tmp_path / "nih_chest_xray", patients=60)
    (cohort,) = cohorts.open_all(cohorts.checked(datasets=["nih_chest_xray"], data_root=str(tmp_path)))
    chosen = gallery._labelled_rows(cohort.dataset)
    for row, title in chosen[1:]:
        k = [name.replace("_", " ") for name in cohort.dataset.classes].index(title)
        assert cohort.dataset.labels[row, k] == 1
    assert cohort.dataset.labels[chosen[0][0]].sum() == 0
    assert len({cohort.dataset.samples["patient"][row] for row, _ in chosen}) == 15
