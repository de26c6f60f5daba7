"""Few-shot: a linear probe trained on a handful of patients a class (paper section 4.2, Figure 2 left).

A patient stands for a class when all of their training images bear it; no patient is taken twice. The first draw takes
them in the order of the training rows, as the paper's code does, further draws in an order shuffled by seed and number.
The whole validation split chooses the head, as in the paper's other probes, and nothing is refitted with it: the number
of shots is the number of labelled training patients. So a score here is what few patients teach when someone has
already found good settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlib.errors import RadlibError
from radlib.evaluate.linear_probe import linear_probe
from radlib.evaluate.probe import Probe


def few_shot(
    inputs: Mapping[str, NDArray[Any]],
    labels: ArrayLike,
    split: ArrayLike,
    patients: ArrayLike,
    classes: Sequence[str],
    *,
    shots: int | None,
    draws: int = 5,
    epochs: int = 100,
    seed: int = 0,
) -> Probe:
    """Probe with `shots` training patients a class, `draws` times over; `scores` are (D, N_test, K).

    Args:
        inputs: name -> (N, d), as for `linear_probe`.
        labels: (N,) or (N, K).
        split: (N,) of "train", "validation" or "test".
        patients: (N,) patient of each row.
        classes: K names.
        shots: patients a class; None for all, which is one draw because nothing is left to draw.
        draws: how many sets of patients.
        epochs: passes over the few rows.
        seed: of the draws after the first and of the heads.

    Returns:
        A `Probe` whose head is the first draw's choice, whose table of heads is the first draw's, and whose
        hyperparameters hold every draw's choice and number of training rows.

    Raises:
        RadlibError: more shots than patients that stand for a class (named, with how many there are), and what
            `linear_probe` refuses.
    """
    found: list[Probe] = []
    train_rows: list[int] = []
    for draw in range(draws if shots is not None else 1):
        part = np.asarray(split).astype(str).copy()
        if shots is not None:
            kept = draw_patients(labels, split, patients, classes, shots=shots, draw=draw, seed=seed)
            part[(part == "train") & ~np.isin(np.asarray(patients), kept)] = "unused"
        used = np.flatnonzero(part != "unused")
        some = {name: values[used] for name, values in inputs.items()}
        probe = linear_probe(
            some, np.asarray(labels)[used], part[used], n_classes=len(classes), epochs=epochs, seed=seed, refit=False
        )
        found.append(replace(probe, test_rows=used[probe.test_rows]))
        train_rows.append(int((part == "train").sum()))
    first = found[0]
    return replace(
        first,
        scores=np.stack([each.scores for each in found]),
        seconds=sum(each.seconds for each in found),
        hyperparameters={
            **first.hyperparameters,
            "protocol": "few_shot",
            "shots": "all" if shots is None else shots,
            "train_rows_by_draw": train_rows,
            "chosen_by_draw": [each.head for each in found],
        },
    )


def draw_patients(
    labels: ArrayLike,
    split: ArrayLike,
    patients: ArrayLike,
    classes: Sequence[str],
    *,
    shots: int,
    draw: int,
    seed: int,
) -> NDArray[Any]:
    """The training patients of one draw, `shots` for each class in the classes' order; see the module for the rule.

    Raises RadlibError naming the class that has too few patients.
    """
    in_train = np.asarray(split) == "train"
    truth = np.asarray(labels)[in_train]
    bears = truth == 1 if truth.ndim == 2 else truth[:, None] == np.arange(len(classes))
    names, first_row, of = np.unique(np.asarray(patients)[in_train], return_index=True, return_inverse=True)
    always = np.ones((len(names), bears.shape[1]), bool)
    np.logical_and.at(always, of, bears)
    order = np.argsort(first_row)  # file order
    if draw:
        order = np.random.default_rng([seed, draw]).permutation(order)
    taken = np.zeros(len(names), bool)
    # A rare class chooses first: a patient who bears it and a common one too would else be spent on the common one.
    for k in np.argsort(always.sum(axis=0), kind="stable"):
        fit = [p for p in order if always[p, k] and not taken[p]]
        if len(fit) < shots:
            raise RadlibError(
                f"{shots} training patients are asked for of class '{classes[k]}' and {len(fit)} bear it on all of "
                "their images and are not taken for another class; ask for fewer shots."
            )
        taken[fit[:shots]] = True
    return np.asarray(names[taken])


def possible_shots(
    labels: ArrayLike,
    split: ArrayLike,
    patients: ArrayLike,
    classes: Sequence[str],
    *,
    grid: Sequence[int],
    draws: int,
    seed: int,
) -> tuple[int, ...]:
    """Those of `grid` for which every draw finds enough patients of every class; other arguments as `few_shot`'s."""

    def possible(shots: int) -> bool:
        try:
            for draw in range(draws):
                draw_patients(labels, split, patients, classes, shots=shots, draw=draw, seed=seed)
        except RadlibError:
            return False
        return True

    return tuple(shots for shots in grid if possible(shots))
