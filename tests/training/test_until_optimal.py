"""Trainings that stop within a relative excess of the known minimum."""

import numpy as np
import pytest

from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.training import Recipe, TrainingState, initial_network, recipe_for, train

S3 = Recipe(
    task="S3",
    width=40,
    members=3,
    optimizer="neuronwise-adam",
    strength=1e-3,
    steps=500,
    record_every=5,
    dtype="float64",
    until_optimal=1e-3,
    compile="never",
    schedule="constant",
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"compile": "always"},  # all steps in one kernel
        {"task": "parity(5,3)", "activation": "x^3", "learning_rate": 0.02, "until_optimal": 3e-2},
        {"anneal_to": 5e-4, "steps": 200, "learning_rate": 0.1, "until_optimal": 0.3},
    ],
    ids=["S3", "kernel", "parity", "path"],
)
def test_each_member_stops_where_its_loss_first_is_near_enough(fields):
    recipe = Recipe(**S3.model_dump() | fields)
    of = task(recipe.task)
    training = train(of, recipe)
    at = predict(of, recipe.activation, Penalty("homogeneous", recipe.final_strength)).at_penalty
    excess = training.history["loss"] / at.loss - 1
    begin = 0.75 * recipe.steps if recipe.anneal_to else 0
    for member in range(3):
        near = (excess[:, member] < recipe.until_optimal) & (training.steps >= begin)
        assert training.ends[member] == "optimal"
        assert training.end_steps[member] == training.steps[near.argmax()]
        assert near.any()
    assert recipe.anneal_to or len(set(training.end_steps.tolist())) > 1
    assert training.stopped == "optimal"


def test_it_goes_on_to_the_same_end():
    kept = {}
    whole = train(
        task("S3"),
        S3,
        checkpoint_every=50,
        checkpoint=lambda s: kept.update({s.step: s.to_tensors()}),
    )
    for tensors in kept.values():
        state = TrainingState.from_tensors(tensors, initial_network(task("S3"), S3))
        again = train(task("S3"), S3, state=state)
        assert again.ends == whole.ends
        np.testing.assert_array_equal(again.end_steps, whole.end_steps)
        np.testing.assert_array_equal(again.history["loss"], whole.history["loss"])
    assert len(kept) >= 2


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("C7", {"penalty": "l2"}, "homogeneous penalty"),
        ("C7", {"strength": 0.0}, "homogeneous penalty"),
        ("C7", {"train_fraction": 0.5}, "whole table"),
        ("C7", {"network": "transformer"}, "an MLP's cross-entropy"),
        ("C7", {"loss_function": "squared"}, "cross-entropy"),
        ("C7", {"tied": True}, "an MLP's cross-entropy"),
        ("S3", {"activation": "relu"}, "none is known for S3 with relu"),
    ],
)
def test_it_is_refused_in_one_line_where_the_minimum_is_unknown(name, fields, words):
    with pytest.raises(ValueError, match=f"until_optimal needs .*{words}") as caught:
        train(task(name), recipe_for(task(name), until_optimal=1e-3, **fields))
    assert "\n" not in str(caught.value)
