"""The margin program against independent oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from marginlens.groups import group
from marginlens.theory import ClassProgram, certify, solve_margin

OPTIMIZED = ["C5", "S3", "Q8", "A4", "Dic3"]


def best_neuron(name: str, starts: int) -> tuple[float, float, float]:
    """Most that any found neuron earns against the certificate's adversary; the two bounds.

    Element by element, with no classes or characters: the adversary draws (a, b) uniformly and the
    wrong answer ab z with z from tau, and a neuron (u, v, w) of norm one earns the mean of
    (u(a) + v(b))^2 (w(ab) - w(ab z)).
    """
    chosen = group(name)
    n, table = chosen.order, chosen.table
    certificate = solve_margin(ClassProgram.of(chosen)).certificate
    tau = np.zeros(n)
    for members, probability in zip(certificate.classes, certificate.distribution, strict=True):
        elements = np.concatenate([chosen.conjugacy_classes[i] for i in members])
        tau[elements] = probability / len(elements)
    # lose[c, c z] = tau(z): the centred output vector is w - lose w
    lose = np.zeros((n, n))
    for z in range(n):
        lose[np.arange(n), table[:, z]] += tau[z]
    centre = np.eye(n) - lose

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        u, v, w = flat.reshape(3, n)
        gain = (centre @ w)[table] / n**2
        total = u[:, None] + v[None]
        earned = float((total**2 * gain).sum())
        by_output = np.bincount(table.ravel(), weights=(total**2).ravel(), minlength=n)
        gradient = np.concatenate(
            [2 * (total * gain).sum(1), 2 * (total * gain).sum(0), centre.T @ by_output / n**2]
        )
        square = float(flat @ flat)
        return -earned / square**1.5, -gradient / square**1.5 + 3 * earned * flat / square**2.5

    generator = np.random.default_rng(0)
    options = {"ftol": 1e-15, "gtol": 1e-13, "maxiter": 2000}
    best = max(
        -float(
            minimize(
                loss, generator.standard_normal(3 * n), jac=True, method="L-BFGS-B", options=options
            ).fun
        )
        for _ in range(starts)
    )
    return best, certificate.upper, certificate.lower


@pytest.mark.parametrize("name", OPTIMIZED)
def test_no_neuron_beats_the_upper_bound_and_one_reaches_it(name):
    best, upper, lower = best_neuron(name, starts=30)
    assert best <= upper * (1 + 1e-12)
    assert best >= lower * (1 - 1e-7)


@pytest.mark.parametrize("name", ["C5", "S4", "A5", "A6", "S4xC3"])
def test_tampered_certificates_show_it(name):
    program = ClassProgram.of(group(name))
    certificate = solve_margin(program).certificate
    assert abs(certificate.gap) < 1e-13
    for index in range(len(program.classes)):
        tau = certificate.distribution.copy()
        tau[index] += 0.2
        assert certify(program, tau, certificate.masses).gap > 1e-3
    for index in range(len(program.gains)):
        masses = certificate.masses.copy()
        masses[index] += 0.2
        assert certify(program, certificate.distribution, masses).gap > 1e-3


def test_certificate_refuses_nonsense():
    program = ClassProgram.of(group("C5"))
    half = np.array([0.5, 0.5])
    for bad in (np.array([np.nan, 1.0]), np.array([-1.0, 0.0]), np.array([0.0, 0.0])):
        with pytest.raises(ValueError, match="distribution must be 2 finite numbers"):
            certify(program, bad, half)
        with pytest.raises(ValueError, match="masses must be 2 finite numbers"):
            certify(program, half, bad)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["C7", "C12", "S4", "A5", "Q16", "SL(2,3)", "S4xC3"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_adversaries_and_networks_stay_on_their_side(name, seed):
    program = ClassProgram.of(group(name))
    margin = solve_margin(program).margin
    generator = np.random.default_rng(seed)
    sparsity = generator.choice([0.1, 1.0, 10.0])
    tau = generator.dirichlet(np.full(len(program.classes), sparsity))
    masses = generator.dirichlet(np.full(len(program.gains), sparsity))
    bounds = certify(program, tau, masses)
    assert bounds.lower <= margin * (1 + 1e-13)
    assert bounds.upper >= margin * (1 - 1e-13)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(["C6", "C9", "D4", "Q8", "A4", "S4", "Dic5", "A5"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_relabelling_changes_nothing(name, seed):
    original = group(name)
    new = np.random.default_rng(seed).permutation(original.order)
    old = np.argsort(new)
    renamed = group(new[original.table[np.ix_(old, old)]])
    first, second = (solve_margin(ClassProgram.of(g)) for g in (original, renamed))
    assert second.margin == pytest.approx(first.margin, rel=1e-12)
    for a, b in ((first.least, second.least), (first.greatest, second.greatest)):
        assert np.sort(b) == pytest.approx(np.sort(a), abs=1e-9)


@pytest.mark.parametrize("name", ["A5", "A6", "S6", "S4xC3", "S5", "C12"])
def test_shares_against_two_plain_programs_each(name):
    """Least and greatest shares once more, over the whole face and without complementary slackness."""
    program = ClassProgram.of(group(name))
    solution = solve_margin(program, use_closed_form=False)
    value = solution.margin / program.scale
    count = len(program.gains)
    for index in range(count):
        for sign, ours in ((1.0, solution.least[index]), (-1.0, solution.greatest[index])):
            result = linprog(
                sign * np.eye(count)[index],
                A_ub=-program.payoff,
                b_ub=np.full(len(program.classes), -value * (1 - 1e-11)),
                A_eq=np.ones((1, count)),
                b_eq=[1.0],
                method="highs",
            )
            assert result.status == 0
            assert sign * result.fun == pytest.approx(ours, abs=1e-6)


def test_program_tables():
    program = ClassProgram.of(group("C12"))
    assert program.defects.shape == (6, 6)
    assert sorted(program.class_sizes.tolist()) == [1, 2, 2, 2, 2, 2]
    assert program.plancherel.sum() == 11
    assert np.linalg.cond(program.defects) < 1e4
    with pytest.raises(ValueError, match="at least two elements"):
        ClassProgram.of(group("C1"))
