"""Matrix groups over finite fields: GL, SL, PGL, PSL, AGL and Heisenberg groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NoReturn

import numpy as np
from jaxtyping import Int

from marginlens.groups.fields import FiniteField, finite_field, prime_power
from marginlens.groups.generated import closure_table

__all__ = ["MatrixKind", "log10_matrix_order", "matrix_problem", "matrix_table"]

MatrixKind = Literal["GL", "SL", "PGL", "PSL", "AGL", "Heis"]
"""Which family; Heis is the group of upper unitriangular 3 × 3 matrices."""

_LEAST_SIZE = {"GL": 1, "SL": 2, "PGL": 2, "PSL": 2, "AGL": 1, "Heis": 3}


def log10_matrix_order(kind: MatrixKind, n: int, q: int) -> float:
    """Return the decimal logarithm of the order of a matrix group.

    Parameters
    ----------
    kind
        Family of the group, such as "SL".
    n, q
        Number of rows n of the matrices, and order q ≥ 2 of the field.
    """
    if kind == "Heis":
        return 3 * math.log10(q)
    if n > 50:
        return n * n * math.log10(q) / 2
    general = sum(math.log10(q) * n + math.log10(1 - float(q) ** (i - n)) for i in range(n))
    if kind == "AGL":
        return general + n * math.log10(q)
    smaller = {"GL": 0.0, "SL": 1.0, "PGL": 1.0, "PSL": 1.0}[kind] * math.log10(q - 1)
    centre = math.log10(math.gcd(n, q - 1)) if kind == "PSL" else 0.0
    return general - smaller - centre


def matrix_problem(kind: MatrixKind, n: int, q: int) -> str | None:
    """Return the error text for invalid numbers of a matrix family, or ``None``.

    Parameters
    ----------
    kind
        Family of the group, such as "SL".
    n, q
        Number of rows n of the matrices, and order q of the field.
    """
    good = "Heis(3)" if kind == "Heis" else f"{kind}({max(_LEAST_SIZE[kind], 2)},3)"
    if n < _LEAST_SIZE[kind]:
        return (
            f"expected matrices of at least {_LEAST_SIZE[kind]} rows, got {n}; for example {good}"
        )
    # Only small fields can pass the limit on the order, so larger numbers are left to it.
    if q < 2 or (q < 10**4 and prime_power(q) is None):
        return (
            f"expected a prime power as order of the field, such as 2, 3, 4 or 5, got {q}; for "
            f"example {good}"
        )
    return None


def matrix_table(kind: MatrixKind, n: int, q: int) -> Int[np.ndarray, "element element"]:
    """Return the Cayley table of a matrix group over the field of q elements.

    Elements are in lexicographic order of their entries, row by row. Those of PGL and PSL are
    matrices
    up to scalars, written with 1 as their first entry that is not 0; those of AGL(n,q) are the
    (n + 1) × (n + 1) matrices [[A, b], [0, 1]] of the maps x → Ax + b.

    Parameters
    ----------
    kind
        Family of the group, such as "SL".
    n, q
        Number of rows n of the matrices and order q of the field, see :func:`matrix_problem`.

    Examples
    --------
    >>> [len(matrix_table(kind, 2, 3)) for kind in ("GL", "SL", "PGL", "PSL", "AGL")]
    [48, 24, 24, 12, 432]
    """
    field = finite_field(q)
    size = {"AGL": n + 1, "Heis": 3}.get(kind, n)
    generators = np.array(list(_generators(kind, n, field)))
    projective = kind in ("PGL", "PSL")

    def multiply(element: np.ndarray) -> np.ndarray:
        products = field.matmul(element.reshape(size, size), generators).reshape(
            len(generators), -1
        )
        if projective:
            first = np.take_along_axis(products, (products != 0).argmax(axis=1)[:, None], axis=1)
            products = field.products[products, field.inverses[first]]
        return products

    def refuse() -> NoReturn:
        raise AssertionError(f"{kind}({n},{q}) has more elements than its order")

    return closure_table(np.eye(size, dtype=np.int64).reshape(-1), multiply, refuse, in_order=True)


def _generators(kind: MatrixKind, n: int, field: FiniteField) -> Iterator[np.ndarray]:
    """Yield elementary matrices and the further generators of a family."""
    if kind == "Heis":
        for i in range(2):
            yield from (_elementary(3, i, i + 1, a) for a in field.basis)
        return
    size = n + 1 if kind == "AGL" else n
    for i in range(n - 1):
        for a in field.basis:
            yield _elementary(size, i, i + 1, a)
            yield _elementary(size, i + 1, i, a)
    if kind not in ("SL", "PSL"):
        yield _elementary(size, 0, 0, field.primitive)
    if kind == "AGL":
        yield from (_elementary(size, 0, n, a) for a in field.basis)


def _elementary(size: int, i: int, j: int, entry: int) -> np.ndarray:
    """Return the identity matrix with one entry replaced."""
    matrix = np.eye(size, dtype=np.int64)
    matrix[i, j] = entry
    return matrix
