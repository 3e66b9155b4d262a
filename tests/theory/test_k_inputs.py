"""k inputs: the program, its constructions and its certificate against brute force."""

import itertools
import math

import numpy as np
import pytest
from reference import reference_rows

from marginlens.groups import group
from marginlens.networks import construct, evaluate
from marginlens.tasks import task
from marginlens.theory import (
    ClassProgram,
    closed_form_applies,
    closed_form_margin,
    group_weights,
    minimize_penalized_loss,
    predict,
    sign_neurons,
    simplex_neurons,
    solve_margin,
)

CASES = [("C2", 3), ("C3", 3), ("C5", 3), ("C4", 4), ("S3", 3), ("S3", 4), ("Q8", 3), ("A4", 3)]
CASES += [("C7", 1), ("C12", 2), ("Q8", 2), ("C3", 5)]


def brute_force_margin(table: np.ndarray, weights: tuple[np.ndarray, ...]) -> float:
    """Normalized margin by plain loops over rows."""
    n, k = len(table), len(weights) - 1
    least = math.inf
    for row in itertools.product(range(n), repeat=k):
        answer = row[0]
        for factor in row[1:]:
            answer = table[answer, factor]
        hidden = sum(weight[a] for weight, a in zip(weights, row, strict=False)) ** k
        logits = weights[-1] @ hidden
        least = min(least, logits[answer] - np.delete(logits, answer).max())
    norms = np.sqrt(sum((weight**2).sum(0) for weight in weights))
    return least / (norms ** (k + 1)).sum()


@pytest.mark.parametrize("method", ["simplex", "signs"])
@pytest.mark.parametrize(("name", "k"), CASES)
def test_networks_reach_the_program_s_value(name, k, method):
    chosen = group(name)
    solution = solve_margin(ClassProgram.of(chosen, inputs=k))
    weights = group_weights(chosen, solution.certificate.masses, inputs=k, method=method)
    assert brute_force_margin(chosen.table, weights) == pytest.approx(
        solution.margin, rel=1e-12, abs=0
    )
    count = simplex_neurons if method == "simplex" else sign_neurons
    used = solution.certificate.masses > 1e-6
    expected = sum(
        count(irrep.degree, irrep.type, k)
        for irrep, live in zip(chosen.irrep_classes[1:], used, strict=True)
        if live
    )
    assert weights[0].shape[1] == expected


@pytest.mark.system
@pytest.mark.parametrize(("name", "k"), CASES)
def test_no_neuron_beats_the_dual(name, k):
    """Unrestricted ascent on one neuron against the optimal adversary stays at the bound."""
    chosen = group(name)
    certificate = solve_margin(ClassProgram.of(chosen, inputs=k)).certificate
    tau = certificate.element_distribution()
    table, n = chosen.table, chosen.order
    products = np.arange(n)
    for _ in range(k - 1):
        products = table[products]
    products = products.reshape((n,) * k)
    letters = "abcdefg"[:k]
    generator = np.random.default_rng(0)
    best = 0.0
    for _ in range(6):
        vectors = [generator.normal(size=n) for _ in range(k + 1)]
        for _ in range(300):
            # each vector in turn is the best one for the others: a power iteration
            shifted = vectors[k] - sum(tau[z] * vectors[k][table[:, z]] for z in range(n))
            form = shifted[products]
            for slot in range(k):
                others = [vectors[j] for j in range(k) if j != slot]
                names = [letters[j] for j in range(k) if j != slot]
                rest = np.einsum(
                    f"{letters},{','.join(names)}->{letters[slot]}" if names else f"{letters}->a",
                    form,
                    *others,
                )
                vectors[slot] = rest / np.linalg.norm(rest)
            weights = vectors[0]
            for vector in vectors[1:k]:
                weights = np.multiply.outer(weights, vector)
            answer = np.bincount(products.ravel(), weights.ravel(), n)
            inverse = sum(tau[z] * answer[table[:, chosen.inverses[z]]] for z in range(n))
            vectors[k] = (answer - inverse) / np.linalg.norm(answer - inverse)
        shifted = vectors[k] - sum(tau[z] * vectors[k][table[:, z]] for z in range(n))
        value = float((weights * shifted[products]).sum())
        best = max(best, math.factorial(k) * value / n**k * (k + 1) ** (-(k + 1) / 2))
    assert best <= certificate.upper * (1 + 1e-9)
    assert best == pytest.approx(certificate.upper, rel=1e-6)


@pytest.mark.parametrize(("p", "k"), [(3, 2), (5, 3), (7, 3), (11, 4), (5, 5)])
def test_addition_modulo_a_prime_has_a_closed_form(p, k):
    expected = 2 * math.factorial(k) / ((2 * k + 2) ** ((k + 1) / 2) * (p - 1) * p ** ((k - 1) / 2))
    prediction = predict(task(f"compose(C{p},{k})"))
    assert prediction.margin == pytest.approx(expected, rel=1e-13, abs=0)
    assert prediction.sufficient_width == 3 ** (k - 1) * (p - 1)
    assert (prediction.activation, prediction.norm) == (f"x^{k}", f"L2,{k + 1}")


def test_the_closed_form_is_exact_where_it_applies():
    for name, k in itertools.product(["S3", "Q8", "C6", "A4", "S4", "SL(2,3)"], [1, 2, 3, 4]):
        chosen = group(name)
        margin = solve_margin(ClassProgram.of(chosen, inputs=k), use_closed_form=False).margin
        closed = closed_form_margin(chosen, inputs=k)
        if closed_form_applies(chosen, inputs=k):
            assert closed == pytest.approx(margin, rel=1e-11, abs=0)
        else:
            assert closed < margin * (1 - 1e-6)


def test_one_input_is_the_identity_map():
    prediction = predict(task("compose(Q8,1)"))
    network = construct(task("compose(Q8,1)"))
    assert float(evaluate(network, task("compose(Q8,1)")).margin) == pytest.approx(
        prediction.margin, rel=1e-12
    )


@pytest.mark.system
def test_a_trained_network_stays_above_the_program_s_minimum():
    from marginlens.training import recipe_for, train

    problem = task("compose(C5,3)")
    recipe = recipe_for(problem, strength=1e-3, width=100, steps=800, dtype="float64")
    network = train(problem, recipe).network
    minimum = minimize_penalized_loss(ClassProgram.of(problem.group, inputs=3), 1e-3)
    found = float(evaluate(network, problem).cross_entropy) + 1e-3 * float(network.norm())
    exact = minimum.loss + 1e-3 * minimum.norm
    assert exact * (1 - 1e-12) <= found <= exact * 1.001


def test_reference_file():
    rows = reference_rows("k_inputs.csv")
    assert len(rows) == 24
    for row in rows:
        k, name = int(row["k"]), {"SL23": "SL(2,3)"}.get(row["group"], row["group"])
        problem = task(name, inputs=k)
        prediction = predict(problem)
        assert prediction.margin == pytest.approx(float(row["gamma_star_LP"]), rel=1e-12, abs=0)
        network = construct(problem, method="signs")
        assert network.width == int(row["net_neurons"])
        margin = float(evaluate(network, problem).margin) / float(network.norm())
        assert margin == pytest.approx(float(row["net_margin"]), rel=1e-12, abs=0)
