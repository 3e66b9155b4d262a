"""Character tables from Cayley tables: found numerically, then made exact."""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Int

__all__ = ["character_table"]

_ATTEMPTS = 8
_ROUNDING = 0.05  # eigenvalue multiplicities are integers; a residual above this is a failure


def character_table(
    table: Int[np.ndarray, "element element"],
    inverses: Int[np.ndarray, " element"],
    class_of: Int[np.ndarray, " element"],
    representatives: Int[np.ndarray, " class"],
    element_orders: Int[np.ndarray, " element"],
) -> Complex[np.ndarray, "irrep class"]:
    """Irreducible characters on conjugacy classes, the trivial one first.

    Convolution by a class function f with f(g^-1) = conj f(g) is a Hermitian operator on class
    functions, whose eigenvectors, for a generic f, are the irreducible characters. Each value is
    then rounded to what it has to be: chi(g) = sum_j m_j exp(2 pi i j / o) with o the order of g
    and m_j non-negative integers, read off the powers of g.

    Raises
    ------
    ArithmeticError
        If no random f separates the characters to the accuracy that rounding needs.

    Notes
    -----
    The class-algebra idea is Burnside's (Dixon 1967 does it modulo a prime).
    """
    order, classes = len(table), len(representatives)
    sizes = np.bincount(class_of)
    powers = _power_classes(table, class_of, representatives, element_orders)
    residual = np.inf
    for attempt in range(_ATTEMPTS):
        generator = np.random.default_rng(attempt)
        random = generator.normal(size=classes) + 1j * generator.normal(size=classes)
        random = random + random[class_of[inverses[representatives]]].conj()
        # (f * h)(x) = sum_y f(x y^-1) h(y), on the orthonormal basis 1_C / sqrt|C|
        rows = random[class_of[table[representatives][:, inverses]]]
        operator = np.stack(
            [np.bincount(class_of, r.real) + 1j * np.bincount(class_of, r.imag) for r in rows]
        )
        operator = np.sqrt(sizes)[:, None] * operator / np.sqrt(sizes)[None]
        vectors = np.linalg.eigh(operator)[1]
        values = (vectors / np.sqrt(sizes)[:, None]).T * np.sqrt(order)
        if np.abs(values[:, :1]).min() < 0.5:
            continue
        values = values * (np.abs(values[:, :1]) / values[:, :1])
        values, residual = _round(values, powers)
        gram = (values * sizes) @ values.conj().T / order
        if residual < _ROUNDING and np.abs(gram - np.eye(classes)).max() < 1e-9:
            return values[_canonical_order(values)]
    raise ArithmeticError(f"the characters were not separated (rounding residual {residual:.2g})")


def _power_classes(
    table: np.ndarray, class_of: np.ndarray, representatives: np.ndarray, orders: np.ndarray
) -> list[np.ndarray]:
    """For each class, the classes of g^0, g^1, ..., g^(o-1)."""
    result = []
    for g in representatives:
        sequence, power = [], g
        for _ in range(orders[g]):
            sequence.append(class_of[power])
            power = table[power, g]
        result.append(np.array(sequence[-1:] + sequence[:-1]))
    return result


def _round(values: np.ndarray, powers: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Round to sums of roots of unity with integer multiplicities; also the largest residual."""
    exact, worst = np.empty_like(values), 0.0
    for index, sequence in enumerate(powers):
        multiplicities = np.fft.fft(values[:, sequence], axis=1) / len(sequence)
        rounded = np.maximum(multiplicities.real.round(), 0.0)
        worst = max(worst, float(np.abs(multiplicities - rounded).max()))
        exact[:, index] = rounded @ np.exp(2j * np.pi * np.arange(len(sequence)) / len(sequence))
    exact.real[np.abs(exact.real) < 1e-13] = 0.0
    exact.imag[np.abs(exact.imag) < 1e-13] = 0.0
    return exact, worst


def _canonical_order(values: np.ndarray) -> np.ndarray:
    """By degree, then trivial first, then by values from large to small."""
    keys = np.round(np.concatenate([-values.real, -values.imag], axis=1), 6)
    return np.lexsort(np.concatenate([keys.T[::-1], np.round(values[:, :1].real.T, 6)]))
