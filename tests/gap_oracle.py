"""Character tables by GAP (https://www.gap-system.org), as exact cyclotomic numbers."""

import json
import re
import subprocess

import numpy as np

Cell = list  # [conductor N, coefficients c_j]: the number Σ_j c_j exp(2πi j/N)


def run_gap(script: str) -> str:
    """What GAP prints for a script, without its colours and its breaks of long lines."""
    done = subprocess.run(
        ["gap", "-q", "-A"], input=script, capture_output=True, text=True, timeout=120, check=True
    )
    return re.sub(r"\x1b\[\d+m|\\\n", "", done.stdout)


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
    QUIT;
    """
    return json.loads(run_gap(script))


def number(cell: Cell) -> complex:
    conductor, coefficients = cell
    turns = np.arange(len(coefficients)) / conductor
    return complex(np.sum(np.array(coefficients) * np.exp(2j * np.pi * turns)))


def numbers(rows: list[list[Cell]]) -> np.ndarray:
    return np.array([[number(cell) for cell in row] for row in rows])
