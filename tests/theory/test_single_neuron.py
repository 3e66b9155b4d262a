"""The best single neuron, against networks, other ascents, the reference folder and itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import reference_rows
from scipy.optimize import approx_fprime, minimize

from marginlens.tasks import task
from marginlens.theory import (
    BestNeuron,
    Penalty,
    best_neuron,
    cyclic_margin,
    harmonics,
    parse_activation,
    predict,
)
from marginlens.theory.neuron.ascent import Profile, ascend, stationarity
from marginlens.theory.neuron.best_neuron import neuron_value
from marginlens.theory.neuron.prediction import symmetric_minimum

SIGMAS = {
    "relu": lambda x: np.maximum(x, 0),
    "abs": np.abs,
    "leaky_relu(0.1)": lambda x: np.where(x > 0, x, 0.1 * x),
    "x^2": lambda x: x**2,
    "x^3": lambda x: x**3,
    "x^4": lambda x: x**4,
    "relu^2": lambda x: np.maximum(x, 0) ** 2,
    "relu^3": lambda x: np.maximum(x, 0) ** 3,
    "|x|^1.5": lambda x: np.abs(x) ** 1.5,
    "|x|^2.5": lambda x: np.abs(x) ** 2.5,
    "|x|^3": lambda x: np.abs(x) ** 3,
}


def earned(name: str, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> float:
    """The objective as it is defined, by loops over (a, b)."""
    p, total = len(u), 0.0
    for a in range(p):
        for b in range(p):
            c = (a + b) % p
            others = (w.sum() - w[c]) / (p - 1)
            total += float(SIGMAS[name](u[a] + v[b])) * (w[c] - others) / p**2
    return total


def of(neuron: BestNeuron) -> float:
    return earned(neuron.activation, neuron.u, neuron.v, neuron.w)


def same_value(ours: float, expected: float, digits: float = 1e-11) -> bool:
    return abs(ours / expected - 1) < digits


@pytest.mark.parametrize("name", SIGMAS)
@pytest.mark.parametrize("p", [3, 5, 7])
def test_the_value_is_what_the_neuron_earns(name, p):
    neuron = best_neuron(p, name, starts=6)
    assert sum(float(x @ x) for x in (neuron.u, neuron.v, neuron.w)) == pytest.approx(1, abs=1e-14)
    assert same_value(of(neuron), neuron.value)
    assert neuron.value == max(neuron.values)
    assert 1 <= neuron.found <= neuron.starts == len(neuron.values) == 6
    assert neuron.stationarity < 2e-5
    assert (neuron.kinks > 0) <= (parse_activation(name).degree == 1)


def test_the_comparison_notices_a_damaged_neuron():
    neuron = best_neuron(7, "relu", starts=4)
    damaged = neuron.w.copy()
    damaged[0] += 1e-6
    assert not same_value(earned("relu", neuron.u, neuron.v, damaged), neuron.value)
    assert not same_value(neuron.value * (1 + 1e-10), neuron.value)


@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.1)", "relu^2", "|x|^1.5", "x^3"])
@pytest.mark.parametrize("p", [3, 5])
def test_the_network_of_all_its_images_has_that_margin(name, p):
    """Built neuron by neuron, and its margin taken over every row and answer: no symmetry is used."""
    neuron = best_neuron(p, name, starts=6)
    elements = np.arange(p)
    logits, norm = np.zeros((p, p, p)), 0.0
    for k in range(1, p):
        for s in range(p):
            for t in range(p):
                u, v = neuron.u[(k * elements + s) % p], neuron.v[(k * elements + t) % p]
                w = neuron.w[(k * elements + s + t) % p]
                hidden = SIGMAS[name](u[:, None] + v[None])
                logits += hidden[..., None] * w
                size = math.sqrt(u @ u + v @ v + w @ w)
                norm += size ** parse_activation(name).homogeneity
    gaps = [
        logits[a, b, (a + b) % p] - logits[a, b, c]
        for a in range(p)
        for b in range(p)
        for c in range(p)
        if c != (a + b) % p
    ]
    assert min(gaps) / norm == pytest.approx(neuron.value, rel=1e-12)
    assert max(gaps) == pytest.approx(min(gaps), rel=1e-11)


@pytest.mark.parametrize("p", [3, 5, 7, 11])
def test_squares_have_the_proved_maximum(p):
    neuron = best_neuron(p, "x^2", starts=8)
    assert neuron.value == pytest.approx(cyclic_margin(p), rel=1e-12)
    assert harmonics(neuron.u).power[0] == pytest.approx(1, abs=1e-9)


@pytest.mark.system
@pytest.mark.parametrize("name", ["relu", "|x|^1.5", "x^3"])
def test_another_ascent_finds_nothing_better(name):
    """Plain methods on all of (u, v, w), without derivatives, from starts of their own."""
    p, best = 3, best_neuron(3, name, starts=6).value
    degree = parse_activation(name).homogeneity

    def lost(theta):
        u, v, w = np.split(theta, 3)
        table = SIGMAS[name](u[:, None] + v[None])
        c = np.add.outer(np.arange(p), np.arange(p)) % p
        gain = (table * (w[c] - (w.sum() - w[c]) / (p - 1))).mean()
        return -gain / np.linalg.norm(theta) ** degree

    draw = np.random.default_rng(5)
    reached = [
        -minimize(lost, draw.standard_normal(3 * p), method=method, options={"maxiter": 1500}).fun
        for method, count in (("BFGS", 5), ("Nelder-Mead", 2))
        for _ in range(count)
    ]
    assert max(reached) <= best * (1 + 1e-9)
    assert max(reached) >= best * (1 - 1e-4)


@pytest.mark.parametrize(
    ("name", "p"), [("relu", 7), ("relu", 23), ("relu^2", 13), ("|x|^1.5", 11)]
)
def test_no_small_step_earns_more(name, p):
    """Also on kinks, where a gradient says little: random steps of every size."""
    neuron = best_neuron(p, name, starts=6)
    profile = Profile(p, parse_activation(name))
    y = np.concatenate([neuron.u, neuron.v])
    y /= np.linalg.norm(y)
    top = profile.gain(y)
    draw = np.random.default_rng(0)
    for size in 10.0 ** np.arange(-8, 0):
        for _ in range(60):
            step = draw.standard_normal(2 * p) * (draw.random(2 * p) < draw.random())
            assert profile.gain(y + size * step) <= top + 1e-14


@settings(max_examples=15, deadline=None)
@given(p=st.sampled_from([3, 5]), name=st.sampled_from(sorted(SIGMAS)), seed=st.integers(0, 10**6))
def test_no_random_neuron_earns_more(p, name, seed):
    best = best_neuron(p, name, starts=6)
    u, v, w = np.random.default_rng(seed).standard_normal((3, p))
    norm = math.sqrt(u @ u + v @ v + w @ w)
    value = earned(name, u, v, w) / norm ** parse_activation(name).homogeneity
    assert value <= best.value * (1 + 1e-12)


@pytest.mark.parametrize("name", ["relu", "|x|^1.25", "relu^1.5", "x^3", "relu^2.5", "x^4"])
@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_slope_is_the_derivative_of_the_gain(name, smoothing):
    profile = Profile(7, parse_activation(name))
    y = np.random.default_rng(3).standard_normal(14)
    value, slope = profile.slope(y, smoothing)
    numeric = approx_fprime(y, lambda z: profile.slope(z, smoothing)[0], 1e-7)
    assert slope == pytest.approx(numeric, abs=2e-6)
    assert value == pytest.approx(profile.slope(3.0 * y, smoothing)[0], abs=1e-13)
    if smoothing == 0:
        assert value == pytest.approx(-profile.gain(y), abs=1e-12)


def test_sums_are_brute_force():
    profile = Profile(5, parse_activation("relu^2"))
    y = np.random.default_rng(1).standard_normal(10)
    expected = np.zeros(5)
    for a in range(5):
        for b in range(5):
            expected[(a + b) % 5] += max(y[a] + y[5 + b], 0.0) ** 2
    assert profile.sums(y) == pytest.approx(expected, rel=1e-14)


def test_stationarity_tells_a_maximum_from_its_neighbour():
    profile = Profile(11, parse_activation("relu"))
    y = ascend(profile, np.random.default_rng(0).standard_normal(22))
    zeros = np.abs(profile.before(y)) < 1e-9
    assert zeros.sum() == 35
    assert stationarity(profile, y, zeros) < 1e-7
    moved = y + 1e-2 * np.random.default_rng(1).standard_normal(22)
    none = np.zeros_like(zeros)
    assert stationarity(profile, moved, none) > 1e-2
    assert stationarity(profile, y, none) > 1e-2  # without the slopes that its kinks may take


def test_the_linear_part_earns_nothing():
    absolute = best_neuron(11, "abs", starts=4).value
    assert best_neuron(11, "relu", starts=4).value == pytest.approx(absolute / 2, rel=1e-14)
    leaky = best_neuron(11, "leaky_relu(0.3)", starts=4).value
    assert leaky == pytest.approx(absolute * 0.35, rel=1e-14)


def test_the_same_seed_gives_the_same_neuron_and_more_starts_begin_with_the_same():
    one, more = (
        best_neuron(7, "relu^2", starts=3, seed=4),
        best_neuron(7, "relu^2", starts=5, seed=4),
    )
    assert more.values[:3] == one.values
    assert best_neuron(7, "relu^2", starts=3, seed=4) is one
    assert best_neuron(7, "relu^2", starts=5, seed=5).values != more.values
    with pytest.raises(ValueError, match="read-only"):
        one.u[0] = 1.0


@pytest.mark.parametrize(
    ("order", "activation", "starts", "words"),
    [
        (6, "relu", None, "prime.*got 6; for example 7"),
        (1, "relu", None, "got 1; for example 2"),
        (114, "abs", None, "for example 127"),
        (7, "x", None, "expected an activation with a bend"),
        (7, "tanh", None, "unknown activation 'tanh'"),
        (7, "relu", 0, "starts: expected at least 1, got 0"),
    ],
)
def test_bad_input(order, activation, starts, words):
    with pytest.raises(ValueError, match=words) as caught:
        best_neuron(order, activation, starts=starts)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------ the prediction


@pytest.mark.parametrize("name", ["relu", "x^3"])
def test_the_prediction_is_the_neuron_and_is_not_proved(name):
    prediction = predict(task("C7"), name, Penalty("homogeneous", 1e-4))
    neuron = best_neuron(7, name)
    assert prediction.waveform is neuron
    assert prediction.margin == neuron.value
    assert not prediction.proved
    assert (prediction.certificate, prediction.closed_form) == (None, None)
    assert prediction.theorem == neuron.describe()
    assert "not proved" in prediction.theorem
    assert {feature.status for feature in prediction.features} == {"unknown"}
    with pytest.raises(ValueError, match="no theorem gives the shares"):
        _ = prediction.masses
    assert predict(task("C7"), name, Penalty("l2", 1e-4)).norm == prediction.norm


@pytest.mark.parametrize("strength", [1e-5, 1e-4, 1e-3, 1e-2])
def test_the_symmetric_minimum_is_that_of_the_convex_program_for_squares(strength):
    proved = predict(task("C7"), penalty=Penalty("homogeneous", strength))
    found = symmetric_minimum(7, proved.margin, strength)
    for field in ("loss", "cross_entropy", "norm", "margin"):
        expected = getattr(proved.at_penalty, field)
        assert getattr(found, field) == pytest.approx(expected, rel=1e-9)
    cubes = predict(task("C7"), "relu", Penalty("homogeneous", strength))
    collapsed = strength >= cubes.collapse_penalty
    assert (cubes.at_penalty.norm == 0) == collapsed
    near = [symmetric_loss(7, cubes.margin, strength, n) for n in np.linspace(0, 5000, 4001)]
    assert cubes.at_penalty.loss <= min(near) + 1e-12
    assert cubes.at_penalty.loss >= min(near) - 1e-2


def symmetric_loss(p: int, margin: float, strength: float, norm: float) -> float:
    return math.log1p((p - 1) * math.exp(-margin * norm)) + strength * norm


def test_weight_decay_is_the_homogeneous_penalty_of_relu_and_of_no_other():
    relu, cube = (predict(task("C5"), name, Penalty("l2", 1e-3)) for name in ("relu", "x^3"))
    assert (
        relu.at_penalty.loss
        == predict(task("C5"), "relu", Penalty("homogeneous", 1e-3)).at_penalty.loss
    )
    assert cube.at_penalty is None
    assert "L2,4" in cube.note


# ---------------------------------------------------------------------- reference files


NAMES = {
    "sq": "x^2",
    "relu2": "relu^2",
    "q1.5": "|x|^1.5",
    "q2.5": "|x|^2.5",
    "cube": "x^3",
    "abs3": "|x|^3",
    "relu3": "relu^3",
    "quart": "x^4",
}
SMALL, LARGE = (3, 5, 7, 11, 13), (17, 19, 23, 31, 43, 59, 71, 97, 113)


def check_relu(orders):
    compared = 0
    for row in reference_rows("relu_cyclic.csv"):
        p = int(row["p"])
        if p not in orders:
            continue
        relu = best_neuron(p, "relu", starts=6)
        assert relu.value == pytest.approx(float(row["gamma_relu"]), rel=1e-12)
        assert p * relu.value == pytest.approx(float(row["p_times_gamma_relu"]), abs=1e-10)
        if p > 3:  # there neurons with and without kinks are equally good
            assert relu.kinks == int(row["n_zero_preacts"])
        assert relu.stationarity < 1e-7
        for name, column in (("abs", "gamma_abs"), ("leaky_relu(0.1)", "gamma_leaky0.1")):
            value = best_neuron(p, name, starts=3).value
            assert value == pytest.approx(float(row[column]), rel=1e-12)
        for slot in "uw":
            power = harmonics(getattr(relu, slot))
            for multiple in range(1, 10):
                expected = row.get(f"{slot}_k" if multiple == 1 else f"{slot}_{multiple}k")
                if expected and expected != "nan" and multiple <= (p - 1) // 2:
                    assert power.power[multiple - 1] == pytest.approx(float(expected), abs=1e-6)
        compared += 1
    assert compared == len(orders)


def check_others(orders, starts=None):
    compared = 0
    for row in reference_rows("other_activations_cyclic.csv"):
        p, name = int(row["p"]), NAMES[row["activation"]]
        if p not in orders:
            continue
        neuron = best_neuron(p, name, starts=starts)
        assert neuron.value == pytest.approx(float(row["gamma_star_single_neuron"]), rel=2e-12)
        power = harmonics(neuron.u)
        assert power.constant == pytest.approx(float(row["u_DC"]), abs=2e-4)
        assert power.power[0] == pytest.approx(float(row["u_k"]), abs=2e-4)
        compared += 1
    assert compared == len(NAMES) * len(orders)


def test_relu_on_small_groups_is_the_reference():
    check_relu(SMALL)


def test_other_activations_on_small_groups_are_the_reference():
    check_others((3, 5, 7), starts=6)


@pytest.mark.slow
def test_relu_on_large_groups_is_the_reference():
    check_relu(LARGE)


@pytest.mark.slow
def test_other_activations_on_large_groups_are_the_reference():
    check_others((11, 13, 23, 31, 59))


def test_values_of_the_theory_notes():
    for p, value in {3: 0.0680413817, 5: 0.0295803989, 7: 0.0187332332, 11: 0.0108542004}.items():
        assert best_neuron(p, "relu", starts=4).value == pytest.approx(value, abs=6e-11)


def test_neuron_value_splits_the_norm_in_the_best_way():
    for degree in (1.0, 1.5, 3.0):
        shares = np.linspace(1e-4, 1 - 1e-4, 20001)
        best = (shares ** (degree / 2) * np.sqrt(1 - shares)).max()
        value = neuron_value(7, parse_activation(f"|x|^{degree}"), 0.0)
        assert value == pytest.approx(best / 42, rel=1e-7)
