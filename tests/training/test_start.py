"""Training that goes on from a network."""

import numpy as np
import pytest
import torch

from marginlens.networks import MLP, construct, evaluate
from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.training import Recipe, initial_network, train

C5 = Recipe(task="C5", width=12, steps=30, learning_rate=0.01, dtype="float64")


def changed(**changes) -> Recipe:
    return Recipe(**{**C5.model_dump(), **changes})


def copied(network: MLP) -> dict[str, torch.Tensor]:
    return {name: p.clone() for name, p in network.tensors.items()}


@pytest.mark.parametrize("members", [1, 3])
def test_from_the_initial_network_it_is_the_usual_training(members):
    recipe = changed(members=members)
    usual = train(task("C5"), recipe)
    other = train(task("C5"), recipe, start=initial_network(task("C5"), recipe))
    for column, values in usual.history.items():
        np.testing.assert_array_equal(other.history[column], values)


def test_the_network_to_start_from_is_not_changed():
    start = construct(task("C5"))
    before = copied(start)
    training = train(task("C5"), C5, start=start)
    for name, p in start.tensors.items():
        assert torch.equal(p, before[name])
        assert p.grad is None
        assert not torch.equal(training.network.tensors[name], p)


def test_two_halves_are_the_whole_where_the_optimizer_has_no_memory():
    whole = train(task("C5"), changed(optimizer="sgd", schedule="constant", steps=40))
    half = changed(optimizer="sgd", schedule="constant", steps=20)
    first = train(task("C5"), half)
    second = train(task("C5"), half, start=first.network)
    assert second.history["loss"][0] == pytest.approx(first.history["loss"][-1], rel=1e-12)
    assert second.history["loss"][-1] == pytest.approx(whole.history["loss"][-1], rel=1e-12)


def test_the_first_row_and_snapshot_are_the_start_s():
    start = construct(task("C5"))
    training = train(task("C5"), changed(snapshots=5), start=start)
    assert training.history["margin"][0] == pytest.approx(float(evaluate(start, task("C5")).margin))
    for slot, p in start.tensors.items():
        np.testing.assert_array_equal(training.snapshots[slot][0], p[0].float().numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_recipe_decides_the_precision(dtype):
    training = train(task("C5"), changed(dtype=dtype, steps=1), start=construct(task("C5")))
    assert training.network.tensors["u"].dtype == getattr(torch, dtype)


def test_the_minimum_stays_where_it_is():
    """Scaled to the norm of the minimum, the maximum-margin network of C5 is the minimum."""
    c5, strength = task("C5"), 1e-4
    at = predict(c5, penalty=Penalty("homogeneous", strength)).at_penalty
    best = construct(c5)
    start = MLP({n: p * at.norm ** (1 / 3) for n, p in best.tensors.items()}, best.activation)
    recipe = changed(strength=strength, steps=50, learning_rate=1e-3, optimizer="sgd")
    training = train(c5, recipe, start=start)
    assert training.history["loss"] == pytest.approx(at.loss, rel=1e-12)
    assert training.history["norm"] == pytest.approx(at.norm, rel=1e-8)
    for name, p in start.tensors.items():
        assert float((training.network.tensors[name] - p).abs().max()) < 1e-8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 13}, r"start has \(kind, .*\) \('MLP', 1, 12, 'x\^2', False\)"),
        ({"members": 2}, r"but the recipe says .* \('MLP', 2, 12, 'x\^2', False\)"),
        ({"activation": "x^3"}, r"but the recipe says .* \('MLP', 1, 12, 'x\^3', False\)"),
    ],
)
def test_a_network_by_another_recipe_is_refused_in_one_line(change, words):
    with pytest.raises(ValueError, match=words) as caught:
        train(task("C5"), changed(**change), start=construct(task("C5")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", ["C7", "compose(C5,3)", "parity(5,2)"])
def test_a_network_of_another_task_is_refused_in_one_line(other):
    start = MLP.initial(task(other), construct(task("C5")).activation, width=12)
    with pytest.raises(ValueError, match=r"weight vectors have lengths .* but C5 needs") as caught:
        train(task("C5"), C5, start=start)
    assert "\n" not in str(caught.value)
