"""The command that computes features ahead, and the pages that find them."""

import pytest

from radlib import assets, cli
from radlib.report import probing, result

ONE = ["manifest", "--backbone", "efficientnet_lite0", "--image-size", "32"]


@pytest.fixture(autouse=True)
def _own_cache(own_cache):
    """Features of tests never meet the user's."""


def test_a_page_encodes_nothing_that_was_computed_ahead(clinic, tmp_path, capsys):
    for part, done in (("1/2", "0 shards, 0"), ("2/2", "1 shards, 30"), ("2/2", "1 shards, 0")):
        assert cli.main(["features", *ONE, "--data-root", str(clinic), "--shards", part]) == 0
        assert f"{done} images computed" in capsys.readouterr().out  # thirty images are one shard: a part has none
    run = probing.checked(
        datasets="manifest", data_root=str(clinic), backbones="efficientnet_lite0", image_size=32, epochs=3,
        resamples=100, controls=False, results_dir=str(tmp_path / "results"),
    )  # fmt: skip
    (cohort,) = probing.experiment.open_datasets(run)
    found = [result.read(path) for path in probing.probe_backbones(cohort, run, progress=False)]
    assert [one.seconds["images_encoded"] for one in found] == [0.0, 0.0]


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--shards", "3/2"], "Part 3/2 is out of range; use 1/2 to 2/2"),
        (["--shards", "half"], "write it as K/N"),
        (["--backbone", "vits15"], "no backbone called 'vits15'"),
        (["--patch-blocks", "2"], "no patch tokens to decode"),
        (["--backbone", "vits14_random"], "image_size 32 is not a multiple of the patch size 14"),
        (
            ["--backbone", "vits14_random", "--image-size", "28", "--patch-blocks", "9"],
            "'patch_blocks' is 9: at most 5 is wanted",
        ),
        (["--data-root", "nowhere"], "nowhere does not exist"),
        (["--device", "tpu"], "no device called 'tpu'"),
    ],
)
def test_what_cannot_be_computed_is_one_sentence(more, sentence, capsys):
    assert cli.main(["features", *ONE, "--data-root", "nowhere", *more]) == 2
    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (assets.cache_dir() / "features").exists()
