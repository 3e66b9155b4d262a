"""Every algorithm is carried out on every pair, and says in logits what it does."""

import math

import numpy as np
import pytest
from group_table import named

from marginlens.groups import group
from marginlens.theory import ALGORITHMS, algorithm

CYCLIC = ["counting", "subtracting", "memorizing", "clock", "representations"]


@pytest.mark.parametrize(
    ("name", "group_name"),
    [(name, where) for name in CYCLIC for where in ("C7", "C12", "C12~1")]
    + [("pizza", "C7"), ("pizza", "C23"), ("pizza", "C15")]
    + [
        (name, where)
        for name in ("memorizing", "representations")
        for where in ("S4", "Q8", "Q8~2", "SL(2,3)", "S3xC4")
    ],
)
def test_every_pair(name, group_name):
    chosen = group(group_name) if group_name == "C15" else named(group_name)
    known = algorithm(name, chosen)
    n = chosen.order
    assert known.logits.shape == (n, n, n)
    np.testing.assert_array_equal(known.logits.argmax(axis=2), chosen.table)
    for a in range(n):
        for b in range(n):
            assert known.run(a, b) == chosen.table[a, b]
    assert known.name == name
    assert known.statement
    assert known.source


@pytest.mark.parametrize("frequencies", [[1], [3], [2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]])
def test_the_clock_and_the_pizza_are_their_formulas(frequencies):
    c23 = group("C23")
    a, b, c = np.ogrid[:23, :23, :23]
    clock = sum(np.cos(2 * np.pi * k * (a + b - c) / 23) for k in frequencies) / len(frequencies)
    pizza = sum(
        np.abs(np.cos(np.pi * k * (a - b) / 23)) * np.cos(2 * np.pi * k * (a + b - c) / 23)
        for k in frequencies
    ) / len(frequencies)
    found = algorithm("clock", c23, frequencies=frequencies)
    np.testing.assert_allclose(found.logits, clock, atol=1e-12)
    assert [found.run(3, b) for b in range(23)] == [(3 + b) % 23 for b in range(23)]
    found = algorithm("pizza", c23, frequencies=frequencies)
    np.testing.assert_allclose(found.logits, pizza, atol=1e-12)
    assert [found.run(7, b) for b in range(23)] == [(7 + b) % 23 for b in range(23)]


def test_representations_are_characters():
    s4 = named("S4")
    found = algorithm("representations", s4, irreps=["3a"])
    irrep = next(irrep for irrep in s4.irrep_classes if irrep.name == "3a")
    rho = irrep.unitary
    traces = np.einsum("aij,bjk,cik->abc", rho, rho, rho.conj()).real
    np.testing.assert_allclose(found.logits, traces / 3 * found.logits.max(), atol=1e-12)
    assert [found.run(5, b) for b in range(24)] == s4.table[5].tolist()


def test_all_algorithms_are_listed():
    assert set(ALGORITHMS) == {*CYCLIC, "pizza"}


@pytest.mark.parametrize(
    ("name", "where", "options", "words"),
    [
        ("sundial", "C7", {}, "unknown algorithm 'sundial'; known: counting"),
        ("clock", "S4", {}, "S4 is not cyclic"),
        ("counting", "Q8", {}, "Q8 is not cyclic"),
        ("pizza", "C12", {}, "needs an odd order"),
        ("clock", "C12", {"frequencies": [2, 4]}, "with the common factor 2 of 12"),
        ("clock", "C7", {"frequencies": [0]}, "frequencies: expected 1 to 6"),
        ("clock", "C7", {"frequencies": [7]}, "frequencies: expected 1 to 6"),
        ("clock", "C7", {"frequencies": []}, "frequencies: expected 1 to 6"),
        ("representations", "S4", {"irreps": ["1b"]}, "cannot tell all elements apart"),
        ("representations", "S4", {"irreps": ["2a", "1b"]}, "cannot tell all elements apart"),
        ("representations", "S4", {"irreps": ["9z"]}, "irreps must be among 1b, 2a, 3a, 3b"),
    ],
)
def test_what_cannot_work_says_why(name, where, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        algorithm(name, named(where), **options)
    assert "\n" not in str(caught.value)


def test_one_common_factor_is_no_harm():
    assert math.gcd(12, 2, 3) == 1
    found = algorithm("clock", group("C12"), frequencies=[2, 3])
    assert found.run(5, 11) == 4
