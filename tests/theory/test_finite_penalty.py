"""The convex program at a finite penalty against independent oracles."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from marginlens.groups import group
from marginlens.theory import (
    ClassProgram,
    collapse_penalty,
    minimize_penalized_loss,
    parity_collapse_penalty,
    parity_margin,
    parity_minimum,
    solve_margin,
)

NAMES = ["C2", "C5", "C12", "C71", "S3", "S5", "A5", "A6", "S6", "Q8", "SL(2,3)", "Q8xQ8", "S4xC3"]


def elementwise(name: str, strength: float):
    """The objective as a sum over the group's elements and its unmerged irreps, and its gradient."""
    chosen = group(name)
    n = chosen.order
    gains, defects = [], []
    for irrep in chosen.irrep_classes[1:]:
        row = irrep.members[0]
        degree = int(chosen.degrees[row])
        real = int(chosen.frobenius_schur[row]) == 1
        constant = math.sqrt(degree if real else 2 * degree)
        gains.append(2 / (3 * math.sqrt(3) * n**1.5 * constant))
        defects.append(1 - chosen.characters[row, chosen.class_of].real / degree)
    g, a = np.array(gains), np.array(defects)

    def objective(masses: np.ndarray) -> float:
        return float(np.log(np.exp(-(g * masses) @ a).sum()) + strength * masses.sum())

    def gradient(masses: np.ndarray) -> np.ndarray:
        weights = np.exp(-(g * masses) @ a)
        return strength - g * (a @ weights) / weights.sum()

    return objective, gradient, g


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [1 - 1e-9, 0.99, 0.5, 1e-2, 1e-4, 1e-7])
def test_optimality_and_gap(name, share):
    program = ClassProgram.of(group(name))
    strength = share * collapse_penalty(program)
    minimum = minimize_penalized_loss(program, strength)
    assert minimum.norm > 0
    assert minimum.stationarity < 1e-10
    assert abs(minimum.gap) < 1e-10
    assert minimum.lower_bound <= (minimum.loss + strength * minimum.norm) * (1 + 1e-13)


@pytest.mark.parametrize("name", ["C71", "S5", "A6", "S6", "C60"])
def test_down_to_1e_10(name):
    minimum = minimize_penalized_loss(ClassProgram.of(group(name)), 1e-10)
    assert minimum.stationarity < 1e-10
    assert abs(minimum.gap) < 1e-10


@pytest.mark.parametrize("name", ["C5", "S3", "Q8", "A4", "S5", "A5", "S4xC3"])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_against_l_bfgs_b(name, share):
    program = ClassProgram.of(group(name))
    strength = share * collapse_penalty(program)
    ours = minimize_penalized_loss(program, strength)
    objective, gradient, gains = elementwise(name, strength)
    found = minimize(
        lambda s: objective(s / gains),
        np.full(len(gains), 0.5),
        jac=lambda s: gradient(s / gains) / gains,
        bounds=[(0, None)] * len(gains),
        method="L-BFGS-B",
        options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 5000},
    )
    assert objective(ours.masses) == pytest.approx(float(found.fun), rel=1e-9)
    assert objective(ours.masses) <= float(found.fun) * (1 + 1e-13)
    assert ours.loss + strength * ours.norm == pytest.approx(objective(ours.masses), rel=1e-12)


@pytest.mark.parametrize("name", ["C12", "S4", "A5", "Q8"])
def test_stationary_by_finite_differences(name):
    strength = 0.1 * collapse_penalty(ClassProgram.of(group(name)))
    ours = minimize_penalized_loss(ClassProgram.of(group(name)), strength)
    objective, _, gains = elementwise(name, strength)
    for index, mass in enumerate(ours.masses):
        step = np.zeros_like(gains)
        step[index] = 1e-4 / gains[index]
        if mass > 0:
            slope = (objective(ours.masses + step) - objective(ours.masses - step)) / 2e-4
            assert abs(slope) < 1e-6 * strength / gains[index]
        else:
            assert objective(ours.masses + step) > objective(ours.masses)


def test_a_must_irrep_may_be_absent_at_a_finite_penalty():
    """S5's irrep of degree 6 carries a third of the norm in the limit, and none at 1e-6."""
    program = ClassProgram.of(group("S5"))
    index = int(program.norm_constants.argmax())
    assert solve_margin(program).least[index] == pytest.approx(0.33278, abs=1e-5)
    shares = []
    for strength in (1e-5, 1e-6, 1e-8, 1e-10, 1e-12):
        minimum = minimize_penalized_loss(program, strength)
        shares.append(float(minimum.masses[index] / minimum.norm))
    assert shares == pytest.approx([0, 0, 0.0316, 0.1069, 0.1521], abs=1e-4)


def test_a_wrong_answer_would_be_noticed():
    """The gap and the optimality conditions belong to the point they are computed at."""
    from marginlens.theory.group.finite_penalty import _Problem, _result

    program = ClassProgram.of(group("S5"))
    problem = _Problem(program.defects, np.log(program.class_sizes), 1e-5 / program.gains)
    good = minimize_penalized_loss(program, 1e-5)
    for index in np.flatnonzero(good.amplitudes):
        moved = good.amplitudes.copy()
        moved[index] *= 1.01
        wrong = _result(problem, moved, program)
        assert wrong.stationarity > 1e-5
        assert wrong.gap > 1e-6


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_strength_is_checked(strength):
    with pytest.raises(ValueError, match="strength: expected a finite positive number"):
        minimize_penalized_loss(ClassProgram.of(group("C5")), strength)
    with pytest.raises(ValueError, match="strength: expected a finite positive number"):
        parity_minimum(3, strength)


def train(inputs, answers, start, power, strength):
    """Penalized cross-entropy of a network, minimized over all weights by L-BFGS."""
    parameters = [torch.tensor(block, dtype=torch.float64, requires_grad=True) for block in start]

    def objective():
        *slots, w = parameters
        total = sum(x @ slot for x, slot in zip(inputs, slots, strict=True))
        loss = torch.nn.functional.cross_entropy(total**power @ w.T, answers)
        square = sum((block**2).sum(0) for block in parameters)
        return loss + strength * (square ** ((power + 1) / 2)).sum()

    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=700,
        max_eval=1400,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = objective()
        value.backward()
        return value

    optimizer.step(closure)
    return float(objective().detach())


@pytest.mark.system
@pytest.mark.parametrize(("name", "strength"), [("C5", 3e-3), ("S3", 3e-3)])
def test_trained_networks_reach_the_minimum_and_never_pass_it(name, strength):
    chosen = group(name)
    n, width = chosen.order, 18
    minimum = minimize_penalized_loss(ClassProgram.of(chosen), strength)
    predicted = minimum.loss + strength * minimum.norm
    a, b = np.divmod(np.arange(n * n), n)
    hot = torch.eye(n, dtype=torch.float64)
    found = []
    for seed in range(1):
        generator = np.random.default_rng(seed)
        start = generator.standard_normal((3, n, width)) * 0.7
        answers = torch.tensor(chosen.table.ravel())
        found.append(train([hot[a], hot[b]], answers, start, 2, strength))
    assert min(found) >= predicted * (1 - 1e-9)
    assert min(found) <= predicted * (1 + 1e-3)


@pytest.mark.system
def test_trained_parity_reaches_the_minimum_and_never_passes_it():
    k, strength = 2, 1e-2
    loss, norm = parity_minimum(k, strength)
    predicted = loss + strength * norm
    x = 1.0 - 2.0 * ((np.arange(8)[:, None] >> np.arange(3)) & 1)
    answers = torch.as_tensor((x[:, 0] * x[:, 1] < 0).astype(int))
    found = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        start = [generator.standard_normal((3, 12)), generator.standard_normal((2, 12))]
        found.append(train([torch.as_tensor(x)], answers, start, k, strength))
    assert min(found) >= predicted * (1 - 1e-9)
    assert min(found) == pytest.approx(predicted, rel=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_parity_minimum_is_stationary(k):
    margin, edge = parity_margin(k), parity_collapse_penalty(k)
    for strength in (0.999 * edge, 0.1 * edge, 1e-6, 1e-10):
        loss, norm = parity_minimum(k, strength)
        assert margin / (1 + math.exp(margin * norm)) == pytest.approx(strength, rel=1e-9)
        assert loss == pytest.approx(math.log1p(math.exp(-margin * norm)), rel=1e-12)
    assert parity_minimum(k, edge) == (math.log(2), 0.0)
