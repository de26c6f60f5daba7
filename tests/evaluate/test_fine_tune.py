"""Fine-tuning on pictures a small network can learn: bright squares on the left or on the right."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from radlib.data.squares import ROWS_PER_SHARD, Squares
from radlib.errors import RadlibError
from radlib.evaluate import checkpoint
from radlib.evaluate import fine_tune as module
from radlib.evaluate.cases import Cases
from radlib.evaluate.fine_tune import fine_tune
from radlib.evaluate.schedule import Settings
from radlib.models import backbones

SIZE = 28
N = 36
IDENTITY = {"data": "a", "weights": "w"}


def pictures(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % 2
    pixels = rng.random((N, 1, SIZE, SIZE)).astype(np.float16) * 0.4
    for k, label in enumerate(labels):
        pixels[k, 0, 6:20, 6:20] += np.float16(0.6 * label)
    shards = tuple(pixels[low : low + ROWS_PER_SHARD] for low in range(0, N, ROWS_PER_SHARD))
    split = np.array(["train"] * 20 + ["validation"] * 8 + ["test"] * 8)
    samples = pd.DataFrame({"patient": [f"p{k}" for k in range(N)], "split": split})
    return Squares(shards, SIZE), Cases(samples, labels.astype(np.int64), np.arange(N))


def backbone(name="vits14_random"):
    found = backbones.load(name, SIZE if "vit" in name else 32)
    # one block of the twelve is enough to learn this and a tenth of the time
    found.module.blocks = torch.nn.Sequential(*list(found.module.blocks)[:4])
    return found


def tune(tmp_path, squares=None, whole=None, encoder=None, identity=IDENTITY, **changes):
    given = {"method": "fine_tune", "epochs": 2, "batch_size": 10, "at_once": 10, "backbone_rate": 1e-3}
    if squares is None:
        squares, whole = pictures()
    return fine_tune(
        squares,
        whole,
        encoder or backbone(),
        Settings(**(given | changes)),
        n_classes=2,
        saved=tmp_path / "checkpoint.pt",
        identity=identity,
        device="cpu",
        progress=False,
    )


@pytest.mark.parametrize("method", ["fine_tune", "bitfit", "lora"])
def test_the_easy_task_is_learnt_and_the_backbone_moves(tmp_path, method):
    encoder = backbone()
    before = {name: weight.detach().clone() for name, weight in encoder.module.named_parameters()}
    found = tune(tmp_path, encoder=encoder, method=method, epochs=4)
    assert found.probe.scores.shape == (8, 2)
    assert 1 <= found.probe.head["epoch"] <= 4
    assert np.mean([row["validation_auroc"] for row in found.probe.validation if row["epoch"] == 4]) > 0.8
    after = dict(encoder.module.named_parameters())
    moved = [name for name in before if name in after and not torch.equal(before[name], after[name])]
    assert moved or method == "lora"
    assert len(found.probe.validation) == 4 * 16


def test_the_chosen_head_is_the_best_of_all_epochs(tmp_path):
    probe = tune(tmp_path).probe
    best = max(probe.validation, key=lambda row: row["validation_auroc"])
    assert {name: best[name] for name in probe.head} == probe.head


def test_test_labels_change_nothing(tmp_path):
    squares, whole = pictures()
    one = tune(tmp_path / "one", squares, whole)
    turned = np.where(whole.samples["split"] == "test", 1 - whole.labels, whole.labels)
    other = tune(tmp_path / "other", squares, dataclasses.replace(whole, labels=turned))
    np.testing.assert_array_equal(one.probe.scores, other.probe.scores)


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    once = tune(tmp_path / "once", method="bitfit", at_once=10, epochs=1)
    pieces = tune(tmp_path / "pieces", method="bitfit", at_once=5, epochs=1)
    np.testing.assert_allclose(once.probe.scores, pieces.probe.scores, atol=2e-3)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("method", ["fine_tune", "lora"])
def test_a_killed_run_goes_on_to_the_same_scores(tmp_path, monkeypatch, method):
    whole = tune(tmp_path / "whole", method=method, epochs=3)
    train = module._Run.train

    def killed_in_the_last_epoch(run, epoch, progress):
        if epoch == 2:
            raise Killed
        train(run, epoch, progress)

    monkeypatch.setattr(module._Run, "train", killed_in_the_last_epoch)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    with pytest.raises(Killed):
        tune(tmp_path / "cut", method=method, epochs=3)
    monkeypatch.setattr(module._Run, "train", train)
    resumed = tune(tmp_path / "cut", method=method, epochs=3)
    assert resumed.epochs_run == 1
    np.testing.assert_array_equal(whole.probe.scores, resumed.probe.scores)
    assert whole.probe.validation == resumed.probe.validation


def test_a_finished_run_is_read_and_not_trained_again(tmp_path, monkeypatch):
    first = tune(tmp_path)
    monkeypatch.setattr(module._Run, "train", lambda *_: pytest.fail("trained again"))
    again = tune(tmp_path)
    assert again.epochs_run == 0
    np.testing.assert_array_equal(first.probe.scores, again.probe.scores)
    assert again.probe.head == first.probe.head


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"identity": {**IDENTITY, "weights": "other"}}, "its weights is w, this run's other"),
        ({"epochs": 3}, "its epochs is 1, this run's 3"),
        ({"method": "bitfit"}, "its method is fine_tune, this run's bitfit"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, words):
    tune(tmp_path, epochs=1)
    with pytest.raises(RadlibError, match=f"checkpoint of another run: {words}; delete it or move it away"):
        tune(tmp_path, **({"epochs": 1} | changes))


def test_a_damaged_checkpoint_is_told_and_made_again(tmp_path, capsys):
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    tune(tmp_path)
    assert "checkpoint.pt was damaged; this training starts anew" in capsys.readouterr().out
    tune(tmp_path)
    assert "damaged" not in capsys.readouterr().out


def test_a_checkpoint_never_runs_code(tmp_path):
    import pickle

    class Bad:
        def __reduce__(self):
            return (pytest.fail, ("code of a checkpoint was run",))

    path = tmp_path / "checkpoint.pt"
    torch.save({"agrees": Bad(), "state": {}}, path, pickle_module=pickle)
    assert checkpoint.read(path, {}) is None


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, IDENTITY, {"finished": False})

    def full(content, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RadlibError, match=r"cannot be written to .* \(No space left on device\); make room"):
        checkpoint.write(path, IDENTITY, {"finished": True})
    monkeypatch.undo()
    assert checkpoint.read(path, IDENTITY) == {"finished": False}
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_loss_that_is_not_finite_is_told(tmp_path):
    with pytest.raises(RadlibError, match="no longer finite in epoch|diverged"):
        tune(tmp_path, backbone_rate=1e30)


def test_slices_of_a_study_are_scored_by_their_mean(tmp_path):
    squares, single = pictures()
    of_image = np.arange(N) // 2
    samples = single.samples.iloc[::2].reset_index(drop=True)
    whole = Cases(samples, (np.arange(N // 2) % 2).astype(np.int64), of_image)
    found = tune(tmp_path, squares, whole, method="bitfit", epochs=1)
    assert found.probe.scores.shape == (4, 2)
    assert list(found.probe.test_rows) == [14, 15, 16, 17]


def test_labels_may_be_several(tmp_path):
    squares, single = pictures()
    labels = np.stack([single.labels, 1 - single.labels], 1)
    found = tune(tmp_path, squares, dataclasses.replace(single, labels=labels), method="bitfit", epochs=1)
    assert found.probe.scores.shape == (8, 2)
    assert not np.allclose(found.probe.scores.sum(1), 1)
