import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radlib.errors import RadlibError
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.few_shot import draw_patients, few_shot, possible_shots
from radlib.evaluate.linear_probe import linear_probe

CLASSES = ("a", "b", "c")


def cohort(seed=0, patients=60, images=3):
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), images)
    labels = (np.arange(patients) % 3)[of]
    features = (rng.normal(size=(len(of), 6)) + 2 * np.eye(6)[labels]).astype(np.float32)
    split = np.where(of < 40, "train", np.where(of < 50, "validation", "test"))
    return {"f": features}, labels, split, of


def draw(labels, split, patients, shots=2, draw=0, seed=0):
    return draw_patients(labels, split, patients, CLASSES, shots=shots, draw=draw, seed=seed)


def test_the_first_draw_takes_patients_in_file_order():
    _, labels, split, patients = cohort()
    assert list(draw(labels, split, patients)) == [0, 1, 2, 3, 4, 5]
    backwards = slice(None, None, -1)
    assert list(draw(labels[backwards], split[backwards], patients[backwards])) == [34, 35, 36, 37, 38, 39]


@settings(max_examples=30, deadline=None)
@given(number=st.integers(0, 20), shots=st.integers(1, 13), seed=st.integers(0, 99))
def test_every_draw_has_so_many_patients_of_each_class_all_from_train(number, shots, seed):
    _, labels, split, patients = cohort()
    found = draw(labels, split, patients, shots, number, seed)
    assert len(set(found)) == 3 * shots
    assert all(patient < 40 for patient in found)
    assert np.bincount(found % 3).tolist() == [shots] * 3
    assert list(found) == list(draw(labels, split, patients, shots, number, seed))


def test_draws_differ():
    _, labels, split, patients = cohort()
    assert len({tuple(draw(labels, split, patients, draw=number)) for number in range(5)}) == 5


def test_a_patient_stands_for_a_label_that_all_of_their_images_bear_and_for_one_alone():
    patients = np.array(["p", "p", "q", "q", "r", "s"])
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]])
    found = draw(labels, np.full(6, "train"), patients, shots=1)
    assert sorted(found) == ["p", "q", "r"]  # q is spent on b, which only q always bears, so that p is left for a


def test_more_shots_than_patients_is_told():
    _, labels, split, patients = cohort()
    with pytest.raises(RadlibError, match="14 training patients are asked for of class 'b' and 13 bear it"):
        draw(labels, split, patients, shots=14)
    assert possible_shots(labels, split, patients, CLASSES, grid=(1, 13, 14, 99), draws=3, seed=0) == (1, 13)


def test_a_draw_is_a_probe_on_its_patients_chosen_on_the_whole_validation_split():
    inputs, labels, split, patients = cohort()
    found = few_shot(inputs, labels, split, patients, CLASSES, shots=2, draws=3, epochs=20)
    assert found.scores.shape == (3, 30, 3)
    kept = np.isin(patients, draw(labels, split, patients)) | (split != "train")
    alone = linear_probe({"f": inputs["f"][kept]}, labels[kept], split[kept], n_classes=3, epochs=20, refit=False)
    np.testing.assert_array_equal(found.scores[0], alone.scores)
    assert found.head == alone.head
    np.testing.assert_array_equal(found.test_rows, np.flatnonzero(split == "test"))
    assert found.hyperparameters["train_rows_by_draw"] == [18, 18, 18]


def test_all_patients_are_one_draw_of_the_whole_train_split():
    inputs, labels, split, patients = cohort()
    found = few_shot(inputs, labels, split, patients, CLASSES, shots=None, epochs=20)
    whole = linear_probe(inputs, labels, split, n_classes=3, epochs=20, refit=False)
    np.testing.assert_array_equal(found.scores[0], whole.scores)
    assert len(found.scores) == 1


def test_more_patients_teach_more():
    inputs, labels, split, patients = cohort(seed=5)
    one, many = (
        few_shot(inputs, labels, split, patients, CLASSES, shots=shots, draws=4, epochs=60).scores for shots in (1, 12)
    )
    truth = labels[split == "test"]
    assert np.mean([macro_auroc(truth, each) for each in one]) < np.mean([macro_auroc(truth, each) for each in many])
