"""Character tables by GAP (https://www.gap-system.org), as exact cyclotomic numbers."""

import json

import numpy as np
import pytest

from marginlens.groups import FiniteGroup
from marginlens.groups.gap import find_gap, run_gap


def needs_gap(test):
    """Mark a test that starts GAP."""
    skip = pytest.mark.skipif(find_gap() is None, reason="GAP is not installed")
    return pytest.mark.system(skip(test))


Cell = list  # [conductor N, coefficients c_j]: the number Σ_j c_j exp(2πi j/N)


def gap_characters(
    table: np.ndarray, generators: tuple[int, ...], representatives: np.ndarray
) -> list[list[Cell]]:
    """Irreducible characters of a Cayley table's group at some elements, by row in GAP's order.

    The group is handed over as right multiplications x → x·a, which compose like a in GAP.
    """

    def permutations(elements) -> str:
        return ",".join(f"PermList({[int(x) + 1 for x in table[:, a]]})" for a in elements)

    script = f"""
    G := Group([{permutations(generators)}], ());;
    R := [{permutations(representatives)}];;
    cell := function(x) local n; n := Conductor(x); return [n, CoeffsCyc(x, n)]; end;;
    Print(List(Irr(G), chi -> List(R, g -> cell(g^chi))), "\\n");
    """
    return json.loads(run_gap(script, timeout=120))


def number(cell: Cell) -> complex:
    conductor, coefficients = cell
    turns = np.arange(len(coefficients)) / conductor
    return complex(np.sum(np.array(coefficients) * np.exp(2j * np.pi * turns)))


def numbers(rows: list[list[Cell]]) -> np.ndarray:
    return np.array([[number(cell) for cell in row] for row in rows])


def assert_same_rows(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> None:
    """Equal up to the order of rows; weights make the rows orthonormal."""
    overlap = np.abs((theirs * weights) @ ours.conj().T)
    match = overlap.argmax(axis=1)
    assert sorted(match) == list(range(len(ours)))
    np.testing.assert_allclose(theirs, ours[match], rtol=0, atol=1e-12)


def compare(g: FiniteGroup, representatives: np.ndarray, theirs: np.ndarray) -> None:
    classes = g.class_of[representatives]
    assert sorted(classes) == list(range(len(g.class_sizes)))
    assert_same_rows(g.characters[:, classes], theirs, g.class_sizes[classes] / g.order)
