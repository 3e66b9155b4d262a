"""Harmonics, the limit for ReLU, and the law of degree."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from marginlens.theory import (
    best_neuron,
    cyclic_margin,
    degree_law,
    fourier_neuron_value,
    harmonics,
    memorizing_neuron_value,
    parse_activation,
    relu_limit,
    relu_plateau,
)


def test_harmonics_of_known_cosines():
    p, k, j = 13, 5, np.arange(13)
    wave = 2 * np.pi * k * j / p
    u = 0.1 + np.cos(wave + 0.7) + 0.5 * np.cos(3 * wave + 2.0) - 0.2 * np.cos(2 * wave)
    found = harmonics(u)
    energy = np.array([0.02, 1, 0.04, 0.25])
    assert found.frequency == k
    assert found.constant == pytest.approx(energy[0] / energy.sum())
    assert found.power[:3] == pytest.approx(energy[1:] / energy.sum())
    assert found.power.sum() + found.constant == pytest.approx(1)
    assert found.phases[0] == pytest.approx(0, abs=1e-12)
    assert found.phases[1] == pytest.approx(math.remainder(math.pi - 1.4, 2 * math.pi))
    assert found.phases[2] == pytest.approx(math.remainder(2.0 - 2.1, 2 * math.pi))


def test_harmonics_are_those_of_every_translation_and_automorphism():
    u = np.random.default_rng(0).standard_normal(11)
    one = harmonics(u)
    for k in range(1, 11):
        for s in (0, 4):
            other = harmonics(u[(k * np.arange(11) + s) % 11])
            assert other.power == pytest.approx(one.power, abs=1e-14)
            # k and -k are one frequency: phases may change their sign
            turned = np.exp(1j * other.phases)
            same = min(np.abs(turned - np.exp(1j * sign * one.phases)).max() for sign in (1, -1))
            assert same < 1e-10
    assert harmonics(u, 3).power[0] == pytest.approx(harmonics(u, 1).power[2])


@pytest.mark.parametrize(
    ("weights", "frequency", "words"),
    [
        (np.ones(6), None, "odd prime number of weights, got 6"),
        (np.zeros(5), None, "expected weights of a live neuron, got zeros only"),
        (np.arange(5.0), 3, "expected 1 to 2 without a common divisor with 5, got 3"),
        (np.arange(9.0), 3, "without a common divisor with 9, got 3"),
    ],
)
def test_bad_harmonics(weights, frequency, words):
    with pytest.raises(ValueError, match=words):
        harmonics(weights, frequency)


@pytest.mark.parametrize("p", [23, 43])
def test_the_optimum_for_relu_is_one_frequency_with_odd_harmonics_of_ruled_phases(p):
    neuron = best_neuron(p, "relu", starts=4)
    u, v, w = (harmonics(x) for x in (neuron.u, neuron.v, neuron.w))
    assert {u.frequency, v.frequency, w.frequency} == {1}
    assert u.power[[0, 2, 4]].sum() > 0.99
    # phase of the m-th harmonic: m times the first, and half a turn more if m = 3 modulo 4
    assert np.cos(u.phases[2]) < -0.99
    assert np.cos(u.phases[4]) > 0.99
    phase = [float(np.angle(np.fft.rfft(x)[1])) for x in (neuron.u, neuron.v, neuron.w)]
    assert math.remainder(phase[0] + phase[1] - phase[2], 2 * math.pi) == pytest.approx(0, abs=1e-9)
    # v is a translation of u
    assert min(np.abs(np.roll(neuron.u, s) - neuron.v).max() for s in range(p)) < 1e-12


def test_p_times_the_margin_of_relu_approaches_the_limit():
    """(p - 1) gamma* = limit + O(1/p^2): two orders extrapolate to it."""
    orders = np.array([43, 71])
    scaled = [(p - 1) * best_neuron(p, "relu", starts=2).value for p in orders.tolist()]
    slope = (scaled[0] - scaled[1]) / (1 / orders[0] ** 2 - 1 / orders[1] ** 2)
    assert scaled[1] - slope / orders[1] ** 2 == pytest.approx(relu_limit(), rel=2e-5)
    assert abs(scaled[1] / relu_limit() - 1) > 2e-4  # it is the extrapolation that agrees
    assert relu_limit() == pytest.approx(0.1059949942, abs=5e-11)


def test_the_limit_is_the_best_clipped_sinusoid():
    """The continuous problem, integrated on a fine grid, against the share of the plateaus."""

    def value(plateau: float, points: int = 4000) -> float:
        # c in (0, 1/2); h'(c) = -4 x (u on half a period, odd about its middle), clipped from c0 on
        c = (np.arange(points) + 0.5) / (2 * points)
        edge = 0.5 - plateau
        turn = np.minimum(c, edge)

        def ratio(rate: float) -> float:
            slope = np.sin(rate * turn)
            h = -np.cumsum(slope) / (2 * points)
            return float(np.sqrt(h.var() / np.mean(slope**2)))

        # beyond a quarter of a turn u would not fall monotonically
        best = minimize_scalar(
            lambda r: -ratio(r), bounds=(0.1, np.pi / 2 / edge), method="bounded"
        )
        return -best.fun * math.sqrt(2) / 2

    best = minimize_scalar(lambda s: -value(s), bounds=(0.05, 0.45), method="bounded")
    assert best.x == pytest.approx(relu_plateau(), abs=2e-3)
    assert -best.fun == pytest.approx(relu_limit(), rel=1e-3)


def test_a_quarter_of_the_pairs_lie_on_the_kink():
    neuron = best_neuron(71, "relu", starts=2)
    assert neuron.kinks / 71**2 == pytest.approx(2 * relu_plateau() ** 2, abs=5e-3)


def test_law_of_degree():
    law = degree_law(13, [1.0, 2.0, 2.5, 3.0, 4.0], starts=4)
    for values in (law.fourier, law.memorizing):
        assert (values <= law.best * (1 + 1e-6)).all()
    assert law.fourier[1] == pytest.approx(cyclic_margin(13), rel=1e-9)
    assert law.memorizing[1] == pytest.approx(cyclic_margin(13) * math.sqrt(2 / 12), rel=1e-9)
    assert (law.concentration[:3] > 0.85).all()
    assert law.concentration[3:] == pytest.approx([2 / 12] * 2, abs=1e-6)
    assert law.memorizing[3:] == pytest.approx(law.best[3:], rel=1e-9)
    assert 2.5 < law.crossing < 3
    assert degree_law(13, [2.0], starts=4).crossing is None
    assert set(law.columns()) == {
        "degree",
        "best",
        "fourier",
        "memorizing",
        "concentration",
        "found",
    }


@pytest.mark.parametrize("degree", [1.0, 1.5, 2.0, 3.0])
def test_the_best_of_one_frequency_by_a_scan_of_phases(degree):
    p, j = 7, np.arange(7)
    sigma = parse_activation(f"|x|^{degree}")
    table = np.add.outer(j, j) % p
    q = sigma.degree
    best = 0.0
    for phase in np.linspace(0, 2 * np.pi / p, 25):
        for other in np.linspace(0, 2 * np.pi / p, 25):
            for tilt in np.linspace(0.6, 1.0, 9):
                u = np.cos(2 * np.pi * j / p + phase)
                v = tilt * np.cos(2 * np.pi * j / p + other)
                x = np.add.outer(u, v) / math.sqrt(u @ u + v @ v)
                h = np.bincount(table.ravel(), (np.abs(x) ** q).ravel())
                best = max(best, float(np.sqrt(((h - h.mean()) ** 2).sum())))
    scanned = best / p**2 * p / (p - 1) * (q**q / (q + 1) ** (q + 1)) ** 0.5
    value = fourier_neuron_value(p, sigma)
    assert scanned <= value * (1 + 1e-5)
    assert scanned >= value * (1 - 3e-3)


def test_the_memorizing_neuron_of_squares_is_the_best_centred_delta():
    for p in (5, 11, 23):
        value = memorizing_neuron_value(p, parse_activation("x^2"))
        assert value == pytest.approx(2 / (3 * math.sqrt(3) * p**2) * (1 - 1 / p) ** -1.5, rel=1e-9)


@pytest.mark.parametrize(
    ("order", "degrees", "words"),
    [
        (3, [2.0], "prime of at least 5"),
        (9, [2.0], "for example 11"),
        (7, [2.0, 1.0], "ascending numbers from 1"),
        (7, [0.5], "ascending numbers from 1"),
        (7, [], "ascending numbers from 1"),
    ],
)
def test_bad_degree_law(order, degrees, words):
    with pytest.raises(ValueError, match=words):
        degree_law(order, degrees)
