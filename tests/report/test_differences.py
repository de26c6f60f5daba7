"""Where paper and code differ: each point measured or with its reason, and the measurements against plain loops."""

import re

import numpy as np
import pytest

from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.linear_probe import linear_probe
from radlib.models import backbones
from radlib.paper.differences import differences
from radlib.report import differences as measured
from radlib.report import experiment, probing, result
from radlib.report.differences import Effect

MEASURED_BY_THE_PAGE = {
    "brain-transposed", "heart-as-stored", "no-finding", "validation-cut", "uncertain", "relatives", "choice-on-test",
    "few-shot-draw", "ending", "decoder-views", "equal-passes", "pooled",
}  # fmt: skip


def test_every_point_is_measured_or_says_why_it_is_not():
    points = {point.id: point for point in differences()}
    assert len(points) == len(differences()) >= 30
    assert {name for name, point in points.items() if not point.unmeasured} == MEASURED_BY_THE_PAGE
    assert all(point.title and point.code and point.here for point in points.values())
    assert list(dict.fromkeys(point.where for point in differences())) == [
        "Images and splits", "Classification", "Segmentation", "Throughout",
    ]  # fmt: skip


def test_a_head_chosen_on_test_is_the_best_on_test_of_all_heads(clinic, own_cache, tmp_path):
    given = dict(datasets="manifest", data_root=str(clinic), backbones="efficientnet_lite0", image_size=32)
    settings = probing.checked(**given, epochs=5, resamples=100, results_dir=str(tmp_path / "results"))
    (dataset,) = experiment.open_datasets(settings)
    effect = measured.chosen_on_test(dataset, settings, probing.probe_backbones(dataset, settings)[0])
    backbone = backbones.load("efficientnet_lite0", 32)
    inputs = measured.features.extract(dataset, backbone, progress=False).linear_inputs()
    labels, split = dataset.labels, dataset.samples["split"].to_numpy()
    test = split == "test"
    alone = []
    for name, values in inputs.items():
        for rate in (1e-3, 5e-3, 1e-2, 5e-2):
            one = linear_probe({name: values}, labels, split, n_classes=2, learning_rates=[rate], epochs=5)
            alone.append(macro_auroc(labels[test], one.scores))
    assert effect.theirs == pytest.approx(max(alone))
    assert effect.ours in [pytest.approx(one) for one in alone] and effect.difference >= 0
    assert effect.interval[0] <= effect.difference <= effect.interval[1]


def test_results_at_hand_tell_what_relatives_and_one_draw_do(make, tmp_path):
    predictions = {"rows": np.arange(10)}
    paths = [
        result.write(make(0.9), predictions, tmp_path),
        result.write(make(0.85, scored="without relatives"), predictions, tmp_path),
        result.write(
            make(0.8, protocol="few_shot", shots=1, draws=(0.6, 0.9, 0.9), table="figure2"), predictions, tmp_path
        ),
        result.write(make(0.8, protocol="few_shot", shots=2, draws=(0.8, 0.8), table="figure2"), predictions, tmp_path),
    ]
    relatives, draw = measured.of_results(paths[:2], paths[2:])
    assert (relatives.id, relatives.ours, relatives.theirs) == ("relatives", 0.85, 0.9)
    assert (draw.id, draw.ours, draw.theirs) == ("few-shot-draw", 0.8, 0.6)
    assert "draws from 0.600 to 0.900" in draw.of


@pytest.mark.parametrize(
    "theirs, interval, sign",
    [(0.9, (0.05, 0.15), "▲"), (0.7, (-0.2, -0.05), "▼"), (0.81, (-0.1, 0.1), "≈"), (0.7, None, "-0.100")],
)
def test_an_effect_bears_a_sign_only_where_its_interval_leaves_zero_out(theirs, interval, sign):
    html = measured.effects_html([Effect("ending", "films", "Dice", 0.8, theirs, interval)])
    cell = re.search(r'<td class="num (?:diff|other)[^>]*>([^<]*)', html).group(1).strip()
    assert cell.startswith(sign)
    assert "The last block of the U-Net decoder" in html


def test_a_stage_lists_its_points_with_what_they_are_worth_or_why_not():
    html = measured.stage_html("Segmentation", [Effect("ending", "films", "Dice", 0.8, 0.7, (-0.2, -0.05))])
    assert "films: 0.800 here, 0.700 theirs, -0.100 [-0.200, -0.050]" in html
    assert "not measured. TransUNet takes hours on a CPU." in html
    assert "not measured in this run." in html, "a point that this page could measure, and did not"
    assert 'id="ending"' in html and 'id="relatives"' not in html
