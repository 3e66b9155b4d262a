"""The predicted waveform on neurons that are known images of it, by brute force, and trained ones."""

import numpy as np
import pytest
import torch

from marginlens.groups import group
from marginlens.measures import fit_waveform
from marginlens.networks import MLP
from marginlens.runs import execute
from marginlens.tasks import task
from marginlens.theory import best_neuron, parse_activation

ORDER = 7


def network(weights: np.ndarray, activation: str) -> MLP:
    """Weights (slot, element, neuron) as a network of one member."""
    return MLP(
        {s: torch.tensor(w)[None] for s, w in zip("uvw", weights, strict=True)},
        parse_activation(activation),
    )


def image(neuron, k: int, s: int, t: int, *, sign: int = 1, exchanged: bool = False) -> np.ndarray:
    """An image of the neuron at the elements 0, ..., p - 1, by its definition."""
    u, v = (neuron.v, neuron.u) if exchanged else (neuron.u, neuron.v)
    odd = parse_activation(neuron.activation).at_minus_one == -1
    p = neuron.order
    return np.array(
        [
            [sign * u[(k * j + s) % p] for j in range(p)],
            [sign * v[(k * j + t) % p] for j in range(p)],
            [(sign if odd else 1) * neuron.w[(k * j + s + t) % p] for j in range(p)],
        ]
    )


def by_brute_force(neuron, weights: np.ndarray) -> float:
    """Largest squared correlation with an image, over all of them, of vectors without their means."""
    sigma = parse_activation(neuron.activation)
    signs = (1, -1) if sigma.degree == 1 or abs(sigma.at_minus_one) == 1 else (1,)
    flat = weights - weights.mean(1, keepdims=True)
    best = 0.0
    for k in range(1, neuron.order):
        for s in range(neuron.order):
            for t in range(neuron.order):
                for sign in signs:
                    for exchanged in (False, True):
                        other = image(neuron, k, s, t, sign=sign, exchanged=exchanged)
                        other = other - other.mean(1, keepdims=True)
                        along = float((flat * other).sum()) / np.linalg.norm(other)
                        best = max(best, max(along, 0.0) ** 2 / float((flat**2).sum()))
    return best


@pytest.mark.parametrize("activation", ["relu", "x^3", "relu^2", "|x|^1.5"])
def test_images_are_explained_wholly_and_the_move_is_found(activation):
    neuron = best_neuron(ORDER, activation, starts=6)
    images = [(1, 0, 0), (2, 3, 5), (5, 6, 1), (6, 2, 2)]
    weights = np.stack(
        [size * image(neuron, *move) for size, move in zip((1, 2, 3, 4), images, strict=True)],
        axis=-1,
    )
    fit = fit_waveform(network(weights, activation), task("C7"), neuron)
    assert fit.live.tolist() == [True] * 4
    assert fit.explained == pytest.approx(1, abs=1e-12)
    assert fit.total() == pytest.approx(1, abs=1e-12)
    assert fit.amplitude == pytest.approx([1, 2, 3, 4])
    # a value that is greatest to 1e-16 leaves the weights 1e-8, by which symmetric images differ
    assert fit.fitted == pytest.approx(weights, abs=1e-7)
    expected = np.stack([neuron.u, neuron.v, neuron.w])
    for i in range(4):
        assert fit.in_frame(i) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.1)", "abs", "x^3", "|x|^1.5"])
def test_signs_and_the_exchange_of_the_inputs_are_free(activation, exchanged):
    neuron = best_neuron(ORDER, activation, starts=6)
    weights = image(neuron, 3, 1, 4, sign=-1, exchanged=exchanged)[..., None]
    fit = fit_waveform(network(weights, activation), task("C7"), neuron)
    assert fit.explained == pytest.approx(1, abs=1e-12)
    assert fit.fitted == pytest.approx(weights, abs=1e-9)


def test_a_sign_that_costs_is_not_free():
    neuron = best_neuron(ORDER, "relu^2", starts=6)
    weights = image(neuron, 1, 0, 0)[..., None] * np.array([-1, -1, 1])[:, None, None]
    fit = fit_waveform(network(weights, "relu^2"), task("C7"), neuron)
    assert fit.explained[0] < 0.999


@pytest.mark.parametrize("activation", ["relu", "x^3", "relu^2"])
def test_the_share_is_the_best_over_all_images(activation):
    neuron = best_neuron(ORDER, activation, starts=6)
    draw = np.random.default_rng(2)
    # near an image, so that the dominant frequency is the image's; the delta has no frequency
    noise = 0.05 if activation == "x^3" else 0.12
    weights = np.stack(
        [image(neuron, k, 2, k) + noise * draw.standard_normal((3, ORDER)) for k in (1, 2, 3, 4)],
        axis=-1,
    )
    fit = fit_waveform(network(weights, activation), task("C7"), neuron)
    for i in range(4):
        best = by_brute_force(neuron, weights[..., i])
        if activation == "x^3":  # every frequency fits a delta as well up to the noise
            assert fit.explained[i] <= best + 1e-12
            assert fit.explained[i] >= best - 0.02
        else:
            assert fit.explained[i] == pytest.approx(best, abs=1e-12)
        assert 0.3 < fit.explained[i] < 0.999


def test_the_share_is_that_of_the_residual():
    neuron = best_neuron(ORDER, "relu", starts=6)
    weights = np.random.default_rng(0).standard_normal((3, ORDER, 5))
    fit = fit_waveform(network(weights, "relu"), task("C7"), neuron)
    flat = weights - weights.mean(1, keepdims=True)
    residual = fit.fitted - fit.fitted.mean(1, keepdims=True) - flat
    share = 1 - np.square(residual).sum((0, 1)) / np.square(flat).sum((0, 1))
    assert fit.explained == pytest.approx(share, abs=1e-12)
    whole = 1 - np.square(residual).sum() / np.square(flat).sum()
    assert fit.total() == pytest.approx(whole, abs=1e-12)
    damaged = fit.fitted.copy()
    damaged[0, 0, 0] += 0.1
    residual = damaged - damaged.mean(1, keepdims=True) - flat
    other = 1 - np.square(residual).sum((0, 1)) / np.square(flat).sum((0, 1))
    assert other != pytest.approx(share, abs=1e-12)


def test_the_cosines_are_the_least_squares_fit_of_one_frequency():
    neuron = best_neuron(ORDER, "relu", starts=6)
    weights = np.random.default_rng(1).standard_normal((3, ORDER, 4))
    fit = fit_waveform(network(weights, "relu"), task("C7"), neuron)
    j = np.arange(ORDER)
    for i in range(4):
        shares = []
        for k in range(1, 4):
            design = np.column_stack([np.cos(2 * np.pi * k * j / 7), np.sin(2 * np.pi * k * j / 7)])
            flat = (weights[..., i] - weights[..., i].mean(1, keepdims=True)).T
            residual = flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]
            shares.append(1 - (residual**2).sum() / (flat**2).sum())
        assert fit.cosine[i] == pytest.approx(max(shares), abs=1e-12)


def test_blocks_dead_neurons_and_relabelled_groups(monkeypatch):
    from marginlens.measures.neurons import waveform

    neuron = best_neuron(ORDER, "relu", starts=6)
    weights = np.random.default_rng(3).standard_normal((3, ORDER, 9))
    weights[..., 4] *= 1e-3
    one = network(weights, "relu")
    whole = fit_waveform(one, task("C7"), neuron)
    assert whole.live.tolist() == [i != 4 for i in range(9)]
    assert np.isnan(whole.explained[4])
    monkeypatch.setattr(waveform, "_BLOCK", 2 * ORDER**2)
    assert fit_waveform(one, task("C7"), neuron).explained == pytest.approx(
        whole.explained, abs=1e-15, nan_ok=True
    )
    names = np.random.default_rng(0).permutation(ORDER)
    place = np.argsort(names)
    table = names[(place[:, None] + place) % ORDER]
    other = task(group(table, name="relabelled"))
    moved = fit_waveform(network(weights[:, place], "relu"), other, neuron)
    assert moved.explained == pytest.approx(whole.explained, abs=1e-12, nan_ok=True)


@pytest.mark.system
def test_trained_neurons_follow_the_predicted_waveform_and_not_a_cosine():
    run = execute("C13", activation="relu", width=200, steps=1500, learning_rate=0.02)
    fit = fit_waveform(run.network, run.task, run.prediction.waveform)
    assert fit.live.sum() > 50
    assert fit.total() > 0.97
    assert fit.total() > fit.total("cosine") + 0.02
    at = run.prediction.at_penalty
    loss = run.measurement.cross_entropy + run.recipe.strength * run.measurement.norm
    # what was found before training bounds what training reaches
    assert at.loss <= loss <= 1.03 * at.loss
    assert run.measurement.normalized_margin < run.prediction.margin


@pytest.mark.system
@pytest.mark.parametrize(("activation", "memorizes"), [("x^3", True), ("|x|^1.5", False)])
def test_training_obeys_the_law_of_degree(activation, memorizes):
    recipe = {"width": 120, "steps": 1200, "optimizer": "adam", "learning_rate": 0.03}
    run = execute("C7", activation=activation, **recipe)
    fit = fit_waveform(run.network, run.task, run.prediction.waveform)
    assert fit.total() > 0.99
    assert (fit.total("cosine") < 0.4) == memorizes
    assert run.prediction.margin * 0.95 < run.measurement.normalized_margin < run.prediction.margin


@pytest.mark.parametrize("spec", ["C5", "C6", "D7", "parity(7,2)", "compose(C7,3)"])
def test_another_task_is_refused(spec):
    neuron = best_neuron(ORDER, "relu", starts=6)
    of = task(spec)
    one = MLP.initial(of, parse_activation("relu"), width=3)
    with pytest.raises(ValueError, match="expected C7 with two factors"):
        fit_waveform(one, of, neuron)


def test_only_known_totals():
    neuron = best_neuron(ORDER, "relu", starts=6)
    fit = fit_waveform(network(image(neuron, 1, 0, 0)[..., None], "relu"), task("C7"), neuron)
    with pytest.raises(ValueError, match='"explained" or "cosine"'):
        fit.total("sine")
