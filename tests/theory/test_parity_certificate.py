"""Parity by brute force, without its theorem."""

import math

import numpy as np
import pytest
from reference import reference_rows

from marginlens.theory import certify_parity, parity_margin, parity_weights
from marginlens.theory.parity import certificate as parity_certificate


@pytest.mark.parametrize(
    ("bits", "k"),
    [(1, 1), (2, 1), (2, 2), (4, 2), (6, 3), (5, 4), (10, 4), (6, 5), (6, 6), (12, 2)],
)
def test_the_bounds_meet_at_the_closed_form(bits, k):
    found = certify_parity(bits, k)
    assert found.holds()
    assert found.lower == pytest.approx(parity_margin(k), rel=1e-12, abs=0)
    assert found.neurons == 2 ** (k - 1)
    assert found.monomials == math.comb(bits + k - 1, k)


def test_a_network_without_one_of_its_neurons_does_not_reach_it(monkeypatch):
    def narrow(bits, subset):
        u, w = parity_weights(bits, subset)
        return u[:, 1:], w[:, 1:]

    monkeypatch.setattr(parity_certificate, "parity_weights", narrow)
    found = certify_parity(4, 3)
    assert not found.holds()
    assert found.gap > 0.1


def test_no_random_neuron_earns_more():
    generator = np.random.default_rng(0)
    bits, k = 5, 3
    rows = np.arange(2**bits)
    x = 1.0 - 2.0 * (rows[:, None] >> np.arange(bits) & 1)
    y = x[:, :k].prod(1)
    upper = certify_parity(bits, k).upper
    for _ in range(200):
        neuron = generator.normal(size=bits + 2)
        neuron[k:bits] *= 0.1
        neuron /= np.linalg.norm(neuron)
        u, w = neuron[:bits], neuron[bits:]
        assert ((x @ u) ** k * y).mean() * (w[0] - w[1]) <= upper


@pytest.mark.parametrize(
    ("bits", "k", "words"),
    [
        (4, 0, "k: expected 1 to 4"),
        (4, 5, "k: expected 1 to 4"),
        (20, 4, "expected at most 16 bits and 200000 monomials to list, got"),
        (16, 16, "expected at most 16 bits and 200000 monomials to list, got"),
    ],
)
def test_what_is_too_much_is_refused_with_the_number(bits, k, words):
    with pytest.raises(ValueError, match=words):
        certify_parity(bits, k)


@pytest.mark.parametrize("subset", [(), (0, 0), (5,), (-1,)])
def test_subsets_are_checked(subset):
    with pytest.raises(ValueError, match="subset must name different coordinates 0 to 4"):
        parity_weights(5, subset)


def test_reference_file():
    for row in reference_rows("parity.csv"):
        found = certify_parity(int(row["n"]), int(row["k"]))
        assert found.lower == pytest.approx(float(row["explicit_margin"]), rel=1e-12, abs=0)
        assert found.upper == pytest.approx(float(row["gamma_star"]), rel=1e-12, abs=0)
