"""Hidden progress on parity: gradients against brute force and autograd, coefficients in closed form."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import functional_call

from marginlens.measures import (
    fourier_gaps,
    neuron_gradients,
    parity_progress,
    threshold_coefficient,
    time_to_learn,
)
from marginlens.networks import MLP
from marginlens.tasks import task
from marginlens.theory import parse_activation
from marginlens.training import recipe_for, recorded_rows, train
from marginlens.training.data import drawn_rows

pytestmark = pytest.mark.usefixtures("one_thread")
DERIVATIVES = {
    "relu": lambda z: float(z > 0),
    "x^2": lambda z: 2 * z,
    "relu^2": lambda z: 2 * max(z, 0.0),
    "x^3": lambda z: 3 * z**2,
}


def network_of(name: str, activation: str, *, biases: bool, width=4, members=2) -> MLP:
    return MLP.initial(
        task(name),
        parse_activation(activation),
        width=width,
        members=members,
        biases=biases,
        dtype=torch.float64,
    )


@pytest.mark.parametrize("activation", DERIVATIVES)
@pytest.mark.parametrize(("name", "biases"), [("parity(6,2)", False), ("parity(7,3)", True)])
def test_gradients_and_gaps_are_those_of_brute_force(name, biases, activation):
    of, net = task(name), network_of(name, activation, biases=biases)
    k, n = len(of.subset), of.size
    u = net.tensors["u"].numpy()
    b = net.tensors["bias"].numpy() if biases else np.zeros((2, 1, 4))
    expected = np.zeros((2, n, 4))
    for x in itertools.product((1, -1), repeat=n):
        y = math.prod(x[:k])
        for m, i in itertools.product(range(2), range(4)):
            slope = DERIVATIVES[activation](float(np.dot(x, u[m, :, i])) + b[m, 0, i])
            expected[m, :, i] += y * np.array(x) * slope / 2**n
    np.testing.assert_allclose(neuron_gradients(net, of).numpy(), expected, atol=1e-13)
    gaps = [
        [min(abs(g) for g in e[:k, i]) - max(abs(g) for g in e[k:, i]) for i in range(4)]
        for e in expected
    ]
    np.testing.assert_allclose(fourier_gaps(net, of), gaps, atol=1e-13)


def test_they_are_the_gradient_of_the_hinge_while_the_output_is_small():
    of = task("parity(7,3)")
    net = network_of("parity(7,3)", "relu", biases=True)
    small = {**net.tensors, "w": net.tensors["w"] * 1e-3}
    leaves = {name: p.clone().requires_grad_() for name, p in small.items()}
    logits = functional_call(net, leaves, of.inputs)
    y = 2.0 * torch.tensor(of.answers) - 1  # class 1 is an odd number of -1
    torch.relu(1 - y * (logits[..., 1] - logits[..., 0])).mean(1).sum().backward()
    w = small["w"]
    expected = (w[:, 1] - w[:, 0])[:, None] * neuron_gradients(net, of)
    torch.testing.assert_close(leaves["u"].grad, expected, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("n", [3, 6, 9])
@pytest.mark.parametrize("bias", [0.0, 0.5, -1.0, 2.0])
def test_closed_form_coefficients_of_a_threshold_are_those_of_all_inputs(n, bias):
    signs = np.where(np.arange(n) % 3 == 1, -1, 1)
    x = np.array(list(itertools.product((1, -1), repeat=n)))
    f = (x @ signs + bias > 0).astype(float)
    for size in range(n + 1):
        chosen = tuple(range(1, size)) + ((0,) if size else ())
        direct = float((f * x[:, list(chosen)].prod(1)).mean())
        assert threshold_coefficient(signs, bias, chosen) == pytest.approx(direct, abs=1e-15)


def test_of_majority_it_is_the_textbook_formula():
    n = 21  # O'Donnell 2014, Analysis of Boolean functions, Theorem 5.19
    half = (n - 1) // 2
    for size in range(1, n + 1):
        majority = 0.0
        if size % 2:
            j = (size - 1) // 2
            ratio = math.comb(half, j) / math.comb(n - 1, size - 1)
            majority = (-1) ** j * ratio * 2 * math.comb(n - 1, half) / 2**n
        found = threshold_coefficient(np.ones(n, dtype=int), 0.0, tuple(range(size)))
        assert found == pytest.approx(majority / 2, rel=1e-12, abs=1e-17)


@pytest.mark.parametrize(("name", "bias"), [("parity(9,2)", None), ("parity(10,3)", 0.5)])
def test_gradients_at_sign_weights_are_the_closed_form(name, bias):
    of = task(name)
    signs = torch.where(torch.arange(of.size * 3).view(1, of.size, 3) % 4 == 1, -1.0, 1.0).double()
    parameters = {"u": signs, "w": torch.ones(1, 2, 3, dtype=torch.float64)}
    if bias is not None:
        parameters["bias"] = torch.full((1, 1, 3), bias, dtype=torch.float64)
    net = MLP(parameters, parse_activation("relu"))
    found = neuron_gradients(net, of)[0].numpy()
    for i, neuron in itertools.product(range(of.size), range(3)):
        chosen = tuple(set(of.subset) ^ {i})
        signs_of = signs[0, :, neuron].numpy().astype(int)
        expected = threshold_coefficient(signs_of, bias or 0.0, chosen)
        assert found[i, neuron] == pytest.approx(expected, abs=1e-14)
    # without a bias odd subsets alone have coefficients: k must be even for ReLU to see a gap
    assert (fourier_gaps(net, of) > 0).all()


def test_a_sample_comes_close_and_is_needed_where_rows_are_not_listed():
    of, net = task("parity(10,2)"), network_of("parity(10,2)", "relu", biases=False)
    rows = drawn_rows(of, 40_000, np.random.default_rng(1))
    apart = (neuron_gradients(net, of, rows=rows) - neuron_gradients(net, of)).abs().max()
    assert 0 < apart < 5 / 40_000**0.5
    large = network_of("parity(40,2)", "relu", biases=False)
    with pytest.raises(ValueError, match="online"):
        fourier_gaps(large, task("parity(40,2)"))
    assert fourier_gaps(
        large,
        task("parity(40,2)"),
        rows=drawn_rows(task("parity(40,2)"), 100, np.random.default_rng(0)),
    ).shape == (2, 4)


def test_hidden_progress_rises_before_accuracy():
    of = task("parity(20,2)")
    recipe = recipe_for(
        of,
        activation="relu",
        loss_function="hinge",
        online=True,
        batch=32,
        optimizer="sgd",
        learning_rate=0.1,
        schedule="constant",
        strength=0.0,
        width=40,
        steps=80,
        record_every=5,
        init_scale=20**-0.5,
        snapshots=40,
        compile="never",
    )
    training = train(of, recipe)
    found = parity_progress(of, training, rows=recorded_rows(of, recipe))
    assert found.neuron_step < found.accuracy_step
    assert found.accuracy[-1] > 0.95
    u = training.snapshots["u"].astype(float)
    np.testing.assert_allclose(
        found.total_share, [(s[:2] ** 2).sum() / (s**2).sum() for s in u], rtol=1e-12
    )
    np.testing.assert_allclose(
        found.shares[-1], (u[-1, :2] ** 2).sum(0) / (u[-1] ** 2).sum(0), rtol=1e-12
    )
    assert found.gaps.shape == found.shares.shape == (len(found.steps), 40)
    middle = (found.total_share[0] + found.total_share.max()) / 2
    place = found.steps.tolist().index(found.hidden_step)
    assert found.total_share[place] >= middle > found.total_share[place - 1]
    first = training.history["accuracy"][:, 0].tolist()
    assert found.accuracy_step == training.steps[next(i for i, a in enumerate(first) if a > 0.9)]


def test_time_to_learn_is_the_first_record_and_of_held_out_rows_if_there_are_any():
    of = task("C5")
    training = train(of, recipe_for(of, width=8, steps=20, members=3, compile="never"))
    accuracy = np.array([[0.5, 0.2, 1.0], [0.99, 0.5, 0.5], [0.5, 0.9, 1.0]])
    history = {**training.history, "accuracy": accuracy}
    made = replace(training, history=history)
    np.testing.assert_array_equal(time_to_learn(made), [10, np.nan, 0])
    np.testing.assert_array_equal(time_to_learn(made, accuracy=0.9), [10, 20, 0])
    held = replace(training, history={**history, "test_accuracy": accuracy[::-1]})
    np.testing.assert_array_equal(time_to_learn(held), [10, np.nan, 0])


def test_what_has_no_hidden_progress_is_refused():
    of = task("C5")
    training = train(of, recipe_for(of, width=8, steps=2, compile="never"))
    with pytest.raises(ValueError, match="expected a sparse parity, got C5"):
        parity_progress(of, training)
    parity = task("parity(4,2)")
    bare = train(parity, recipe_for(parity, steps=2, snapshots=0, compile="never"))
    with pytest.raises(ValueError, match="snapshots=30"):
        parity_progress(parity, bare)
    with pytest.raises(ValueError, match=r"expected 1 or -1, got \[1, 2\]"):
        threshold_coefficient(np.array([1, 2]), 0.0, (0,))


def test_the_verb_tells_of_a_saved_run(call, tmp_path):
    options = "--activation relu --loss hinge --online --batch 16 --optimizer sgd --strength 0"
    sizes = "--width 8 --steps 20 --record-every 5 --snapshots 4 --init-scale 0.3"
    out = tmp_path / "run"
    code, *_ = call(
        "train", "parity(20,2)", *options.split(), *sizes.split(), "--out", out, "--json"
    )
    assert code == 0
    code, printed, _ = call("analyze", "progress", out, "--json")
    found = json.loads(printed)
    assert code == 0
    assert found["sampled_rows"] == 4096
    assert found["snapshots"]["step"] == [0, 2, 7, 20]
    assert len(found["snapshots"]["largest_gap"]) == 4
    code, printed, _ = call("analyze", "progress", out)
    assert "accuracy and gaps: over 4096 inputs, drawn once" in printed
