"""What is measured, against definitions written out, symmetries, and networks made by hand."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from group_table import named, relabelled
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marginlens.measures import measure
from marginlens.measures.measurement import LIVE
from marginlens.measures.neurons.spectrum import power_spectra
from marginlens.networks import MLP, construct
from marginlens.tasks import task
from marginlens.theory import default_activation, parse_activation, predict

GROUPS = (
    "C2",
    "C5",
    "C12",
    "C2xC2xC4",
    "D6",
    "Q16",
    "SL(2,3)",
    "S4",
    "A5",
    "S3xC4",
    "Q8xQ8",
    "C12~1",
    "SL(2,3)~4",
    "Q8xC3~5",
)
SEEDS = (0, 1, 2)
NEURON = ("neuron_norms", "live", "max_power", "agrees")
NUMBERS = ("accuracy", "cross_entropy", "norm", "margin", "normalized_margin")


def network(weights, activation="x^2"):
    """One network of given weights, each (element, neuron)."""
    return MLP(
        {
            name: torch.tensor(np.asarray(w), dtype=torch.float64)[None]
            for name, w in weights.items()
        },
        parse_activation(activation),
    )


def random_network(problem, *, width=7, seed=0, activation=None, scale=0.5):
    chosen = default_activation(problem) if activation is None else parse_activation(activation)
    return MLP.initial(problem, chosen, width=width, seed=seed, scale=scale, dtype=torch.float64)


def weights_of(one):
    return {name: p[0].numpy().copy() for name, p in one.tensors.items()}


def scaled(one, factor):
    """The network with all weights times a factor, or neuron i's times factor[i]."""
    factor = torch.as_tensor(factor, dtype=torch.float64)
    return MLP({name: p * factor for name, p in one.tensors.items()}, one.activation)


def beside(one, other):
    """The neurons of two networks in one."""
    joined = {name: torch.cat([p, other.tensors[name]], dim=2) for name, p in one.tensors.items()}
    return MLP(joined, one.activation)


def waves(n, frequency, phase, amplitude=1.0):
    """(element, neuron): amplitude cos(2 pi k j / n + theta), j the element."""
    angle = 2 * np.pi * np.outer(np.arange(n), frequency) / n
    return amplitude * np.cos(angle + phase)


def turned(difference):
    """Angles modulo 2 pi, in (-pi, pi]."""
    return np.angle(np.exp(1j * np.asarray(difference)))


def plain_logits(weights, problem, sigma):
    """Row by row and class by class, as the definition says."""
    rows = []
    for row in problem.inputs:
        if problem.kind == "table":
            before = weights["u"][row[0]] + weights["v"][row[1]]
        else:
            before = sum(x * u for x, u in zip(row, weights["u"], strict=True))
        rows.append([float(np.sum(sigma(before) * w)) for w in weights["w"]])
    return rows


def plain_totals(weights, problem, sigma, nu):
    """Accuracy, mean cross-entropy, least margin and sum ||omega||^nu in plain Python."""
    right, losses, margins = 0, [], []
    for logits, answer in zip(plain_logits(weights, problem, sigma), problem.answers, strict=True):
        wrong = max(value for c, value in enumerate(logits) if c != answer)
        right += logits[answer] > wrong
        margins.append(logits[answer] - wrong)
        losses.append(math.log(sum(math.exp(value - logits[answer]) for value in logits)))
    width = weights["w"].shape[1]
    norms = [
        math.sqrt(sum(float((w[:, i] ** 2).sum()) for w in weights.values())) for i in range(width)
    ]
    return {
        "accuracy": right / len(margins),
        "cross_entropy": sum(losses) / len(losses),
        "margin": min(margins),
        "norm": sum(norm**nu for norm in norms),
    }


def assert_same_numbers(found, expected, rtol=1e-10):
    for name in NUMBERS:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=rtol), name


def test_the_comparison_of_measurements_notices_each_number():
    found = measure(random_network(task("C5")), task("C5"))
    assert_same_numbers(found, found)
    for name in NUMBERS:
        other = replace(found, **{name: getattr(found, name) * (1 + 1e-9) + 1e-300})
        with pytest.raises(AssertionError, match=name):
            assert_same_numbers(other, found)


# The power spectrum


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 12, 23])
def test_on_cyclic_groups_the_spectrum_is_the_fft_s(n):
    problem = task(f"C{n}")
    weights = weights_of(random_network(problem, seed=n))
    found = power_spectra(problem, weights, np.ones(7, bool))
    fft = {slot: np.abs(np.fft.fft(w, axis=0)) ** 2 for slot, w in weights.items()}
    fft["all"] = sum(fft.values())
    for slot, energy in fft.items():
        powers = [
            energy[k] if 2 * k == n else energy[k] + energy[n - k] for k in range(1, n // 2 + 1)
        ]
        expected = np.array(powers).T / energy[1:].sum(0)[:, None]
        np.testing.assert_allclose(found[slot], expected, rtol=1e-9, err_msg=slot)


@pytest.mark.parametrize("name", GROUPS)
def test_the_spectrum_is_that_of_the_projections_by_characters(name):
    """(P f)(a) = d/n sum_b chi(a b^-1) f(b), summed over an irrep and its conjugate."""
    g = named(name)
    problem = task(g)
    weights = weights_of(random_network(problem, width=3))
    found = power_spectra(problem, weights, np.ones(3, bool))
    quotient = g.class_of[g.table[:, g.inverses]]
    total = 0.0
    for index, irrep in enumerate(g.irrep_classes[1:]):
        chi = sum(g.characters[member] for member in irrep.members)
        projection = irrep.degree / g.order * chi[quotient]
        powers = {
            slot: np.square(np.abs(projection @ w)).sum(0) / np.square(w - w.mean(0)).sum(0)
            for slot, w in weights.items()
        }
        for slot, share in powers.items():
            np.testing.assert_allclose(found[slot][:, index], share, atol=1e-10)
        together = sum(np.square(np.abs(projection @ w)).sum(0) for w in weights.values())
        energy = sum(np.square(w - w.mean(0)).sum(0) for w in weights.values())
        np.testing.assert_allclose(found["all"][:, index], together / energy, atol=1e-10)
        total = total + together / energy
    np.testing.assert_allclose(total, 1.0, rtol=1e-10)


@pytest.mark.parametrize("name", ["C2", "C12", "S4", "Q8xC3~5", "parity(6,3)"])
def test_shares_of_the_spectrum_add_up_to_one(name):
    problem = task(named(name)) if "(" not in name else task(name)
    found = measure(random_network(problem), problem)
    for slot, share in found.spectrum.items():
        assert share.shape == (7, len(problem.features))
        assert share.min() >= 0
        np.testing.assert_allclose(share.sum(1), 1.0, rtol=1e-12, err_msg=slot)


@pytest.mark.parametrize("name", ["C12", "S3", "Q8"])
def test_a_constant_added_to_the_weights_is_not_seen_in_the_spectrum(name):
    problem = task(name)
    weights = weights_of(random_network(problem))
    plain = power_spectra(problem, weights, np.ones(7, bool))
    lifted = {
        slot: w + constant
        for (slot, w), constant in zip(weights.items(), (3.0, -5.0, 2.0), strict=True)
    }
    for slot, share in power_spectra(problem, lifted, np.ones(7, bool)).items():
        np.testing.assert_allclose(share, plain[slot], atol=1e-12)


def test_all_together_is_weighted_by_energy():
    """u three times as large as v and w, on another frequency, holds 9/11 of the energy."""
    n = 7
    weights = {"u": waves(n, [1], 0.3, 3.0), "v": waves(n, [2], 1.0), "w": waves(n, [3], 2.0)}
    found = measure(network(weights), task("C7"))
    np.testing.assert_allclose(found.spectrum["all"], [[9 / 11, 1 / 11, 1 / 11]], rtol=1e-12)
    assert found.dominant.tolist() == [0]
    assert found.max_power == pytest.approx([9 / 11])
    assert found.agrees.tolist() == [False]


@pytest.mark.parametrize("slot", ["u", "v", "w"])
def test_a_neuron_agrees_only_if_all_three_vectors_do(slot):
    n, k = 7, 2
    weights = {name: waves(n, [k], 0.5) for name in "uvw"}
    assert measure(network(weights), task("C7")).agrees.tolist() == [True]
    weights[slot] = 0.1 * waves(n, [3], 0.5)
    found = measure(network(weights), task("C7"))
    assert found.dominant.tolist() == [k - 1]
    assert found.agrees.tolist() == [False]


@pytest.mark.parametrize("slot", ["u", "v", "w"])
def test_a_neuron_without_one_of_its_vectors_does_not_agree_on_any_feature(slot):
    n = 7
    weights = {name: waves(n, [1, 2, 3], 0.5) for name in "uvw"}
    weights[slot] = np.zeros((n, 3))
    assert measure(network(weights), task("C7")).agrees.tolist() == [False, False, False]


# Symmetries


def same_features(old, new, permutation):
    """For each feature of the old task, the new task's one with the same (moved) projection."""
    moved = np.argsort(permutation)
    matches = []
    for feature in old.features:
        projection = (feature.basis @ feature.basis.T)[np.ix_(moved, moved)]
        errors = [np.abs(f.basis @ f.basis.T - projection).max() for f in new.features]
        assert min(errors) < 1e-10
        matches.append(int(np.argmin(errors)))
    assert sorted(matches) == list(range(len(new.features)))
    return np.array(matches)


def with_dead_neuron(one):
    factor = np.ones(one.width)
    factor[1] = 0.01
    return scaled(one, factor)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["C5", "C12", "C2xC2xC4", "S3", "D6", "Q8", "SL(2,3)", "S4"])
def test_renumbering_the_elements_changes_no_measurement(name, seed):
    old = task(named(name))
    group, new_index = relabelled(old.group, seed + 10)
    new = task(group)
    before = with_dead_neuron(random_network(old, seed=seed))
    weights = {}
    for slot, w in weights_of(before).items():
        weights[slot] = np.empty_like(w)
        weights[slot][new_index] = w
    expected, found = measure(before, old), measure(network(weights), new)
    match = same_features(old, new, new_index)

    assert_same_numbers(found, expected)
    for field in NEURON:
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-9)
    for slot, share in expected.spectrum.items():
        np.testing.assert_allclose(found.spectrum[slot][:, match], share, atol=1e-10)
    np.testing.assert_allclose(found.share[match], expected.share, atol=1e-12)
    np.testing.assert_array_equal(found.count[match], expected.count)
    moved = np.where(expected.live, match[expected.dominant], -1)
    np.testing.assert_array_equal(found.dominant, moved)
    assert (found.phases is None) == (expected.phases is None) == (old.group.generator is None)
    if found.phases is not None:
        np.testing.assert_allclose(found.phase_error, expected.phase_error, atol=1e-9)
        np.testing.assert_allclose(found.cosine_fit, expected.cosine_fit, atol=1e-10)
        live = expected.live
        # another generator may turn a frequency into its negative, and with it all three phases
        ours, theirs = found.phases[live], expected.phases[live]
        same = np.abs(turned(ours - theirs)).max(1) < 1e-9
        negated = np.abs(turned(ours + theirs)).max(1) < 1e-9
        assert (same | negated).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["C12", "C12~1", "S3", "Q8", "SL(2,3)~4"])
def test_translating_inputs_and_outputs_together_changes_no_measurement(name, seed):
    """(a, b, c) -> (g a h^-1, h b k^-1, g c k^-1) takes right answers to right answers."""
    problem = task(named(name))
    table, inverse = problem.group.table, problem.group.inverses
    g, h, k = np.random.default_rng(seed).integers(problem.size, size=3)
    weights = weights_of(random_network(problem, seed=seed))
    moved = {
        slot: w[table[table[left], inverse[right]]]
        for (slot, w), (left, right) in zip(weights.items(), [(g, h), (h, k), (g, k)], strict=True)
    }
    expected, found = measure(network(weights), problem), measure(network(moved), problem)
    assert any(not np.array_equal(moved[slot], w) for slot, w in weights.items())
    assert_same_numbers(found, expected)
    for field in (*NEURON, "dominant", "share", "count"):
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-9)
    for slot, share in expected.spectrum.items():
        np.testing.assert_allclose(found.spectrum[slot], share, atol=1e-10)
    if expected.phase_error is not None:
        np.testing.assert_allclose(found.phase_error, expected.phase_error, atol=1e-9)


@pytest.mark.parametrize("name", ["C7", "S3", "parity(5,3)"])
def test_reordering_the_neurons_reorders_the_measurement(name):
    problem = task(name)
    one = with_dead_neuron(random_network(problem))
    order = np.random.default_rng(4).permutation(one.width)
    moved = MLP({slot: p[:, :, order] for slot, p in one.tensors.items()}, one.activation)
    expected, found = measure(one, problem), measure(moved, problem)
    assert_same_numbers(found, expected)
    np.testing.assert_allclose(found.share, expected.share, rtol=1e-12)
    np.testing.assert_array_equal(found.count, expected.count)
    for field in (
        *NEURON,
        "dominant",
        "phases",
        "phase_error",
        "cosine_fit",
        "subset_power",
        "magnitude_ratio",
        "signs_agree",
    ):
        if getattr(expected, field) is not None:
            np.testing.assert_allclose(getattr(found, field), getattr(expected, field)[order])


@pytest.mark.parametrize("factor", [1e-4, 0.3, 7.0])
@pytest.mark.parametrize(
    ("name", "activation"), [("C12", "x^2"), ("S3", "relu"), ("Q8", "x^3"), ("parity(5,3)", "x^3")]
)
def test_scaling_all_weights_scales_margin_and_norm_and_nothing_else(name, activation, factor):
    problem = task(name)
    one = with_dead_neuron(random_network(problem, activation=activation))
    expected, found = measure(one, problem), measure(scaled(one, factor), problem)
    nu = {"relu": 2, "x^2": 3, "x^3": 4}[activation]
    assert expected.degree == found.degree == nu
    assert found.margin == pytest.approx(factor**nu * expected.margin, rel=1e-9)
    assert found.norm == pytest.approx(factor**nu * expected.norm, rel=1e-9)
    assert found.normalized_margin == pytest.approx(expected.normalized_margin, rel=1e-9)
    assert found.accuracy == expected.accuracy
    np.testing.assert_allclose(found.neuron_norms, factor * expected.neuron_norms, rtol=1e-12)
    for field in (
        "live",
        "dominant",
        "max_power",
        "agrees",
        "share",
        "count",
        "phases",
        "phase_error",
        "cosine_fit",
        "subset_power",
        "magnitude_ratio",
        "signs_agree",
    ):
        if getattr(expected, field) is not None:
            np.testing.assert_allclose(
                getattr(found, field), getattr(expected, field), rtol=1e-9, atol=1e-12
            )
    for slot, share in expected.spectrum.items():
        np.testing.assert_allclose(found.spectrum[slot], share, atol=1e-12)


# Phases


@pytest.mark.parametrize("n", [5, 12, 23])
def test_phases_of_cosines_are_recovered(n):
    rng = np.random.default_rng(n)
    width = 20
    k = rng.integers(1, (n + 1) // 2, size=width)
    theta = rng.uniform(-np.pi, np.pi, (3, width))
    weights = {
        slot: waves(n, k, theta[i], rng.uniform(0.8, 1.2, width)) for i, slot in enumerate("uvw")
    }
    found = measure(network(weights), task(f"C{n}"))
    np.testing.assert_array_equal(found.dominant, k - 1)
    np.testing.assert_allclose(turned(found.phases - theta.T), 0, atol=1e-12)
    expected = np.abs(turned(theta[0] + theta[1] - theta[2]))
    np.testing.assert_allclose(found.phase_error, expected, atol=1e-11)
    np.testing.assert_allclose(found.cosine_fit, 1.0, rtol=1e-12)


def test_phases_count_from_the_identity_along_the_generator():
    """Renumbered C12, where neither the identity nor the generator is where C12 has it."""
    g = named("C12~1")
    assert g.identity != 0
    position, element = np.empty(12, dtype=int), g.identity
    for step in range(12):
        position[element] = step
        element = int(g.table[element, g.generator])
    k, theta = np.array([1, 2, 5, 4]), np.array([0.3, -2.0, 3.0, 1.0])
    weights = {slot: waves(12, k, theta)[position] for slot in "uvw"}
    problem = task(g)
    found = measure(network(weights), problem)
    assert [problem.features[i].name for i in found.dominant] == ["k=1", "k=2", "k=5", "k=4"]
    np.testing.assert_allclose(found.phases, np.tile(theta[:, None], 3), atol=1e-12)
    np.testing.assert_allclose(found.cosine_fit, 1.0, rtol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 2), (12, 6)])
def test_at_the_highest_frequency_a_phase_is_a_sign(n, k):
    alternating = (-1.0) ** np.arange(n)[:, None]
    signs = {"u": [1, 1, -1, -1], "v": [1, -1, 1, -1], "w": [1, 1, 1, -1]}
    weights = {slot: alternating * np.array(sign, dtype=float) for slot, sign in signs.items()}
    found = measure(network(weights), task(f"C{n}"))
    np.testing.assert_array_equal(found.dominant, [k - 1] * 4)
    phases = np.pi * (1 - np.array([signs[slot] for slot in "uvw"]).T) / 2
    np.testing.assert_allclose(turned(found.phases - phases), 0, atol=1e-12)
    # the product of the three signs is +, -, -, -
    np.testing.assert_allclose(found.phase_error, [0, np.pi, np.pi, np.pi], atol=1e-12)
    np.testing.assert_allclose(found.cosine_fit, 1.0, rtol=1e-12)


@pytest.mark.parametrize("slot", ["u", "v", "w"])
@pytest.mark.parametrize("shift", [1, 3, 11])
def test_translating_one_vector_turns_its_phase(slot, shift):
    """u(a - s) = cos(2 pi k a / n + theta - 2 pi k s / n)."""
    n, k = 12, np.array([1, 2, 5])
    theta = np.array([0.4, -1.0, 2.5])
    weights = {name: waves(n, k, theta) for name in "uvw"}
    before = measure(network(weights), task("C12"))
    weights[slot] = np.roll(weights[slot], shift, axis=0)
    found = measure(network(weights), task("C12"))
    place = "uvw".index(slot)
    turn = np.zeros((3, 3))
    turn[:, place] = -2 * np.pi * k * shift / n
    np.testing.assert_allclose(turned(found.phases - before.phases - turn), 0, atol=1e-11)
    error = np.abs(turned(theta + (-1 if slot == "w" else 1) * turn[:, place]))
    np.testing.assert_allclose(found.phase_error, error, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-3.1, 3.1), st.floats(-3.1, 3.1), st.floats(-np.pi, np.pi), st.sampled_from([5, 12])
)
@example(3.0, 3.0, 1e-3, 5)  # theta_u + theta_v is beyond pi
@example(-3.0, -3.0, -1e-3, 5)
@example(1.5, 1.6, np.pi, 12)
@example(1.5, 1.6, -np.pi + 1e-6, 12)
@example(0.0, 0.0, 0.0, 5)
def test_the_phase_error_is_the_distance_on_the_circle(theta_u, theta_v, error, n):
    weights = {
        "u": waves(n, [2], theta_u),
        "v": waves(n, [2], theta_v),
        "w": waves(n, [2], theta_u + theta_v - error),
    }
    found = measure(network(weights), task(f"C{n}"))
    assert found.phase_error[0] == pytest.approx(abs(error), abs=1e-10)


def test_the_cosine_fit_is_the_least_of_the_three():
    """u has 1/10 of its variance at another frequency, v 1/5, w none."""
    n = 23
    weights = {
        "u": waves(n, [4], 0.2, 3.0) + waves(n, [7], 1.0),
        "v": waves(n, [4], 0.2, 2.0) + waves(n, [9], 1.0),
        "w": waves(n, [4], 0.2),
    }
    found = measure(network(weights), task("C23"))
    np.testing.assert_allclose(found.cosine_fit, [0.8], rtol=1e-12)
    np.testing.assert_allclose(found.max_power, [14 / 16], rtol=1e-12)


@pytest.mark.parametrize("name", ["S3", "Q8", "C2xC2xC4", "parity(5,3)"])
def test_only_cyclic_groups_have_phases(name):
    problem = task(name)
    found = measure(random_network(problem), problem)
    assert (found.phases, found.phase_error, found.cosine_fit) == (None, None, None)
    assert found.to_dict()["largest_phase_error"] is None
    assert found.to_dict()["least_cosine_fit"] is None


# Constructed networks


@pytest.mark.parametrize("method", ["simplex", "signs"])
@pytest.mark.parametrize("name", ["C2", "C5", "C12", "S3", "Q8", "A4", "S4", "SL(2,3)", "A5"])
def test_constructed_networks_measure_as_they_were_built(name, method):
    problem = task(name)
    prediction = predict(problem)
    one = construct(problem, method=method)
    found = measure(one, problem)
    assert found.normalized_margin == pytest.approx(prediction.margin, rel=1e-10)
    assert found.norm == pytest.approx(1.0, rel=1e-12)
    assert found.accuracy == 1.0
    assert found.live.all()
    assert found.agrees.all()
    np.testing.assert_allclose(found.max_power, 1.0, rtol=1e-10)
    np.testing.assert_allclose(found.share, prediction.masses, atol=1e-10)
    np.testing.assert_array_equal(found.count > 0, prediction.masses > 0)
    assert found.count.sum() == one.width
    if found.phase_error is not None:
        np.testing.assert_allclose(found.phase_error, 0, atol=1e-10)
        np.testing.assert_allclose(found.cosine_fit, 1.0, rtol=1e-10)
    names = [feature["name"] for feature in found.to_dict()["features"]]
    assert names == [feature.name for feature in problem.features]


@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 3), (6, 4), (5, 1)])
def test_constructed_parity_networks_measure_as_they_were_built(n, k):
    problem = task(f"parity({n},{k})")
    found = measure(construct(problem), problem)
    assert found.normalized_margin == pytest.approx(predict(problem).margin, rel=1e-10)
    np.testing.assert_allclose(found.share, [1 / k] * k + [0] * (n - k), atol=1e-12)
    np.testing.assert_allclose(found.subset_power, 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.magnitude_ratio, 1.0, rtol=1e-12)
    assert found.signs_agree.all()


# Dead neurons


@pytest.mark.parametrize("name", ["C5", "C12~1", "S3", "parity(5,3)"])
def test_dead_neurons_take_no_part(name):
    problem = task(named(name)) if "parity" not in name else task(name)
    one = construct(problem)
    count = one.width
    tiny = 1e-4  # random directions: they would spoil every measure that counted them
    both = beside(one, scaled(random_network(problem, width=2), tiny))
    both = beside(both, scaled(random_network(problem, width=1), 0.0))
    alone, found = measure(one, problem), measure(both, problem)
    assert found.live.tolist() == [True] * count + [False] * 3
    assert found.dominant[count:].tolist() == [-1] * 3
    assert not found.agrees[count:].any()
    for values in (
        *found.spectrum.values(),
        found.max_power,
        found.phases,
        found.phase_error,
        found.cosine_fit,
    ):
        if values is not None:
            assert np.isnan(values[count:]).all()
            assert not np.isnan(values[:count]).any()
    np.testing.assert_array_equal(found.count, alone.count)
    np.testing.assert_allclose(found.share, alone.share, atol=1e-9)
    ours, theirs = found.to_dict(), alone.to_dict()
    assert (ours["live_neurons"], ours["dead_neurons"]) == (count, 3)
    for key in ("least_max_power", "share_agreeing", "largest_phase_error", "least_cosine_fit"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-12)


@pytest.mark.parametrize(("activation", "nu"), [("relu", 2), ("x^2", 3), ("x^5", 6)])
def test_a_neuron_dies_at_a_thousandth_of_the_largest_mass(activation, nu):
    """The share is that of ||omega||^nu, not of ||omega||."""
    problem = task("C7")
    masses = np.array([1.0, 1.02 * LIVE, 0.98 * LIVE, 0.0])
    weights = {slot: waves(7, [1, 2, 3, 1], 0.5) * masses ** (1 / nu) for slot in "uvw"}
    found = measure(network(weights, activation), problem)
    assert LIVE == 1e-3
    assert found.live.tolist() == [True, True, False, False]
    assert found.count.tolist() == [1, 1, 0]
    np.testing.assert_allclose(found.share, np.array([1, 1.02 * LIVE, 0]) / masses.sum())


@pytest.mark.parametrize("name", ["C2", "C5", "C12~1", "S3", "parity(5,3)"])
def test_the_zero_network_is_measured_in_silence(name):
    problem = task(named(name)) if "parity" not in name else task(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(scaled(random_network(problem), 0.0), problem)
        text = json.dumps(found.to_dict(), allow_nan=False)
    assert (found.margin, found.norm, found.normalized_margin, found.accuracy) == (0, 0, 0, 0)
    assert found.cross_entropy == pytest.approx(math.log(problem.classes), rel=1e-14)
    assert not found.live.any()
    assert (found.dominant == -1).all()
    assert not found.share.any()
    assert not found.count.any()
    summary = json.loads(text)
    assert (summary["live_neurons"], summary["dead_neurons"]) == (0, 7)
    for key in ("least_max_power", "share_agreeing", "least_cosine_fit"):
        assert summary[key] is None


def test_the_zero_network_has_no_phase_error():
    problem = task("C5")
    found = measure(scaled(random_network(problem), 0.0), problem)
    assert found.to_dict()["largest_phase_error"] is None


# Totals


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("C5", "x^2"),
        ("C6", "relu"),
        ("S3", "x^3"),
        ("Q8~2", "x^2"),
        ("parity(4,2)", "x^2"),
        ("parity(4,3)", "x^3"),
        ("parity(3,2)", "relu"),
    ],
)
def test_totals_are_those_of_a_plain_loop_over_all_rows(name, activation, seed):
    problem = task(name) if "~" not in name else task(named(name))
    one = random_network(problem, width=5, seed=seed, activation=activation, scale=0.8)
    power = parse_activation(activation).degree
    sigma = (lambda x: np.maximum(x, 0)) if activation == "relu" else (lambda x: x**power)
    expected = plain_totals(weights_of(one), problem, sigma, power + 1)
    found = measure(one, problem)
    for key, value in expected.items():
        assert getattr(found, key) == pytest.approx(value, rel=1e-11), key
    assert found.normalized_margin == pytest.approx(expected["margin"] / expected["norm"])
    assert (found.task, found.activation) == (problem.name, activation)


def test_a_tie_is_not_an_answer():
    """Two classes with the same logit on every row: half the rows' answers are only tied."""
    problem = task("parity(3,1)")
    weights = {"u": np.array([[1.0], [0.0], [0.0]]), "w": np.ones((2, 1))}
    found = measure(network(weights, "x^1"), problem)
    assert (found.accuracy, found.margin) == (0.0, 0.0)
    weights["w"][1] = 0.5  # right where x1 = 1 (logits 1, .5), and where x1 = -1 (-1, -.5)
    found = measure(network(weights, "x^1"), problem)
    assert (found.accuracy, found.margin) == (1.0, 0.5)


def test_accuracy_is_the_share_of_right_rows():
    """A network that answers 0 whatever comes is right on one row in n."""
    weights = {"u": np.ones((5, 1)), "v": np.ones((5, 1)), "w": np.eye(5)[:, :1]}
    found = measure(network(weights), task("C5"))
    assert found.accuracy == pytest.approx(1 / 5)
    assert found.margin == pytest.approx(-4.0)


def test_single_precision_is_measured_in_double():
    problem = task("C5")
    single = construct(problem).to(torch.float32)
    found, expected = measure(single, problem), measure(single.copy().to(torch.float64), problem)
    assert_same_numbers(found, expected, rtol=1e-15)
    assert found.neuron_norms.dtype == np.float64
    assert all(p.dtype == torch.float32 for p in single.tensors.values())


def test_shares_of_a_group_are_of_the_norm():
    """Neurons of radius 1, 1 and 2 at frequencies 1, 2 and 2: masses 1, 1 and 8."""
    radius = np.array([1.0, 1.0, 2.0])
    weights = {slot: waves(7, [1, 2, 2], 0.0) * radius for slot in "uvw"}
    found = measure(network(weights), task("C7"))
    np.testing.assert_allclose(found.share, [0.1, 0.9, 0.0], rtol=1e-12)
    assert found.count.tolist() == [1, 2, 0]


# Parity


def parity_neurons(*, inputs, outputs):
    """A parity(5,3) network: one row of `inputs` and of `outputs` a neuron."""
    return network({"u": np.array(inputs, float).T, "w": np.array(outputs, float).T}, "x^3")


def test_signs_agree_where_the_output_is_the_product_of_the_inputs():
    found = measure(
        parity_neurons(
            inputs=[
                [1, 1, 1, 0, 0],
                [1, -1, 1, 0, 0],
                [-1, -1, 1, 0, 0],
                [-1, -1, -1, 0, 0],
                [1, 1, 1, 0, 0],
                [1, -1, 1, -1, 0],  # what is off the subset has no say
            ],
            outputs=[[1, -1], [-1, 1], [1, -1], [1, -1], [-1, 1], [-1, 1]],
        ),
        task("parity(5,3)"),
    )
    assert found.signs_agree.tolist() == [True, True, True, False, False, True]


def test_only_the_difference_of_the_two_outputs_has_a_sign():
    inputs = [[1, 1, 1, 0, 0]] * 3
    found = measure(
        parity_neurons(inputs=inputs, outputs=[[3, 1], [-1, -3], [1, 3]]), task("parity(5,3)")
    )
    assert found.signs_agree.tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["parity(4,2)", "parity(5,3)", "parity(6,4)"])
def test_a_neuron_whose_signs_agree_helps_the_right_answer(name):
    """The sign convention, from the logits: the mean lead of the right class is positive."""
    problem = task(name)
    rng = np.random.default_rng(0)
    for _ in range(8):
        one = random_network(problem, width=1, seed=int(rng.integers(1000)))
        weights = weights_of(one)
        f = np.array(plain_logits(weights, problem, lambda x: x ** len(problem.subset)))
        lead = (f[:, 0] - f[:, 1]) * np.where(problem.answers == 0, 1, -1)
        assert measure(one, problem).signs_agree.tolist() == [bool(lead.mean() > 0)]


def test_a_neuron_without_a_sign_does_not_agree():
    found = measure(parity_neurons(inputs=[[1, 1, 0, 0, 0]], outputs=[[1, 1]]), task("parity(5,3)"))
    assert found.signs_agree.tolist() == [False]


def test_input_energy_on_and_off_the_subset():
    found = measure(
        parity_neurons(
            inputs=[[1, 1, 1, 0, 0], [1, -1, 1, 1, 0], [3, 3, 3, 1, 2], [0, 0, 0, 1, 1]],
            outputs=[[1, -1]] * 4,
        ),
        task("parity(5,3)"),
    )
    np.testing.assert_allclose(found.subset_power, [1, 3 / 4, 27 / 32, 0], rtol=1e-12)


def test_magnitudes_are_compared_on_the_subset_only():
    found = measure(
        parity_neurons(
            inputs=[[1, -1, 1, 0, 0], [1, 2, -4, 0, 0], [2, 2, 2, 9, 0], [0, 1, 1, 0, 0]],
            outputs=[[1, -1]] * 4,
        ),
        task("parity(5,3)"),
    )
    np.testing.assert_allclose(found.magnitude_ratio, [1, 1 / 4, 1, 0], rtol=1e-12)


def test_the_norm_of_a_parity_network_is_split_over_coordinates():
    """Two neurons of mass (4 + 2)^2 and (1 + 2)^2, on x1 and x2 and on x2 and x4."""
    one = parity_neurons(
        inputs=[[math.sqrt(2), -math.sqrt(2), 0, 0, 0], [0, 0.6, 0, 0.8, 0]],
        outputs=[[1, -1], [1, -1]],
    )
    found = measure(one, task("parity(5,3)"))
    np.testing.assert_allclose(found.neuron_norms**4, [36, 9], rtol=1e-12)
    expected = np.array([36 / 2, 36 / 2 + 9 * 0.36, 0, 9 * 0.64, 0]) / 45
    np.testing.assert_allclose(found.share, expected, atol=1e-12)
    np.testing.assert_allclose(found.spectrum["u"][1], [0, 0.36, 0, 0.64, 0], atol=1e-12)
    np.testing.assert_array_equal(found.spectrum["all"], found.spectrum["u"])
    assert "w" not in found.spectrum


# Ensembles and refusals


@pytest.mark.parametrize("name", ["C5", "S3", "parity(5,3)"])
def test_a_member_is_measured_as_it_is_alone(name):
    problem = task(name)
    activation = default_activation(problem)
    both = MLP.initial(problem, activation, width=6, members=3, seed=5, dtype=torch.float64)
    for member in range(3):
        alone = MLP.initial(problem, activation, width=6, seed=5 + member, dtype=torch.float64)
        found, expected = measure(both, problem, member=member), measure(alone, problem)
        assert found.to_dict() == expected.to_dict()
        np.testing.assert_array_equal(found.neuron_norms, expected.neuron_norms)
        np.testing.assert_array_equal(found.spectrum["all"], expected.spectrum["all"])
    assert measure(both, problem).to_dict() == measure(both, problem, member=0).to_dict()
    assert measure(both, problem).norm != measure(both, problem, member=1).norm


@pytest.mark.parametrize(
    ("measured_on", "of", "words"),
    [
        ("C5", "C7", r"lengths {'u': 5, 'v': 5, 'w': 5}, but C7 needs {'u': 7, 'v': 7, 'w': 7}"),
        ("C5", "parity(5,3)", r"but parity\(5,3\) needs {'u': 5, 'w': 2}"),
        ("parity(5,3)", "parity(6,3)", r"lengths {'u': 5, 'w': 2}, .* needs {'u': 6, 'w': 2}"),
        ("parity(5,3)", "C5", r"but C5 needs {'u': 5, 'v': 5, 'w': 5}"),
    ],
)
def test_a_network_of_another_task_is_refused_in_one_line(measured_on, of, words):
    with pytest.raises(ValueError, match=words) as caught:
        measure(construct(task(measured_on)), task(of))
    assert "\n" not in str(caught.value)


def test_the_summary_holds_totals_and_extremes():
    n = 7
    theta = {"u": [0.1, 0.2], "v": [0.3, 0.4], "w": [0.4, 0.9]}  # errors 0 and 0.3
    weights = {slot: waves(n, [1, 3], phase) for slot, phase in theta.items()}
    weights["u"][:, 0] += 0.5 * waves(n, [2], 0.0)[:, 0]  # 1/5 of u, 1/13 of the neuron
    found = measure(network(weights), task("C7"))
    summary = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert summary["task"] == "C7"
    assert summary["activation"] == "x^2"
    for name in NUMBERS:
        assert summary[name] == getattr(found, name)
    assert summary["least_max_power"] == pytest.approx(12 / 13)
    assert summary["least_cosine_fit"] == pytest.approx(4 / 5)
    assert summary["share_agreeing"] == 1.0
    assert summary["largest_phase_error"] == pytest.approx(0.3)
    assert [f["name"] for f in summary["features"]] == ["k=1", "k=2", "k=3"]
    assert [f["neurons"] for f in summary["features"]] == [1, 0, 1]
    assert sum(f["share"] for f in summary["features"]) == pytest.approx(1.0)
