"""Vector pairs whose matrix coefficients of a real irrep form a basis or a simplex."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

__all__ = ["orthogonal_pairs", "simplex_pairs"]

Vectors = Float[np.ndarray, "pair coordinate"]


def orthogonal_pairs(
    rho: Float[np.ndarray, "element row column"], kind: str
) -> tuple[Vectors, Vectors]:
    """Pairs (x, z) of unit vectors whose functions <x, rho(.) z> form an orthogonal basis.

    D = N^2 / delta of them, N being the degree and delta the dimension of the commutant.

    Parameters
    ----------
    rho
        A real orthogonal irrep.
    kind
        ``"real"``, ``"complex"`` or ``"quaternionic"``.
    """
    size = rho.shape[1]
    left = _module_basis(_commutant_units(rho, kind), size)
    return np.repeat(left, size, axis=0), np.tile(np.eye(size), (len(left), 1))


def simplex_pairs(
    rho: Float[np.ndarray, "element row column"], kind: str
) -> tuple[Vectors, Vectors]:
    """Return pairs (x, z) of unit vectors whose functions <x, rho(.) z> form a simplex.

    With D the dimension of the space of functions, x_l and z_l turn with l = 0, ..., D at
    frequencies
    (in units of 2 pi / (D + 1)) chosen so that the inner product of functions l and m is
    sum_t cos(t (l - m)) / D over all t = 1, ..., D: that is -1/D for l != m.

    Parameters
    ----------
    kind
        Type of the irrep: ``"real"``, ``"complex"`` or ``"quaternionic"``.
    rho
        Matrices of a real irrep, shape (element, row, column).

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Explicit networks".
    """
    return _SIMPLEXES[kind](_commutant_units(rho, kind), rho.shape[1])


def _commutant_units(rho: np.ndarray, kind: str) -> list[np.ndarray]:
    """Return anticommuting orthogonal matrices of square -1 that commute with a real irrep.

    The real type has zero of them, the complex type one (multiplication by i), and the quaternionic
    type two. They are averages over the group of antisymmetric matrices, so they are exact to
    rounding.
    """
    count = {"real": 0, "complex": 1, "quaternionic": 2}[kind]
    size = rho.shape[1]
    generator = np.random.default_rng(0)
    units: list[np.ndarray] = []
    while len(units) < count:
        sample = generator.standard_normal((size, size))
        average = np.einsum("gij,jk,glk->il", rho, sample - sample.T, rho, optimize=True)
        average = (average - average.T) / (2 * len(rho))
        for unit in units:
            average -= (average * unit).sum() / size * unit
        norm = math.sqrt(float((average**2).sum()) / size)
        if norm > 1e-3:  # else an unlucky sample; take another
            units.append(average / norm)
    return units


def _module_basis(units: list[np.ndarray], size: int) -> np.ndarray:
    """Orthonormal vectors whose multiples by the commutant make up all of R^size, in rows."""
    algebra = _algebra(units, size)
    basis: list[np.ndarray] = []
    rest = np.eye(size)  # projection onto what is not yet spanned
    while len(basis) * len(algebra) < size:
        vector = rest[:, np.argmax(np.diag(rest))]
        vector = vector / np.linalg.norm(vector)
        basis.append(vector)
        orbit = np.array([unit @ vector for unit in algebra])
        rest = rest - orbit.T @ orbit
    return np.array(basis)


def _algebra(units: list[np.ndarray], size: int) -> list[np.ndarray]:
    """Orthonormal basis of the commutant: 1, or 1 and i, or 1, i, j and ij."""
    algebra = [np.eye(size), *units]
    if len(units) == 2:
        algebra.append(units[0] @ units[1])
    return algebra


def _real_simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Return frequencies S of x and T of z with S + T = {1, ..., d^2} mod d^2+1.

    Both sets are closed under negation.
    """
    count = size**2 + 1
    if size % 2 == 0:
        odd = np.arange(1, size, 2)
        return _turn(odd, count), _turn(size * odd, count)
    half = np.arange(1, (size + 1) // 2)
    alternating = (-1.0) ** np.arange(count)[:, None] / math.sqrt(size)
    return (
        np.hstack([np.abs(alternating), _turn(half, count, size)]),
        np.hstack([alternating, _turn(count // 2 + size * half, count, size)]),
    )


def _turn(frequencies: np.ndarray, count: int, size: int | None = None) -> np.ndarray:
    """Return rows (cos, sin) of each frequency, each pair of squared length 2 / size."""
    angles = 2 * np.pi / count * np.outer(np.arange(count), frequencies)
    size = 2 * len(frequencies) if size is None else size
    return np.hstack([np.cos(angles), np.sin(angles)]) * math.sqrt(2.0 / size)


def _complex_simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Frequencies -S of x and T of z with T + S = {1, ..., d^2}, half of those mod 2 d^2 + 1."""
    degree = size // 2
    basis = _module_basis(units, size)
    steps = np.arange(degree)
    count = 2 * degree**2 + 1
    return (
        _phased(units[0], basis, -steps, count),
        _phased(units[0], basis, 1 + degree * steps, count),
    )


def _quaternionic_simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Frequencies S of x, T of z with T + S and T - S together half of those mod d^2 + 1.

    A coordinate of z is (1 + j) e^{i t l} / sqrt 2, so e^{-i s l} times it has the two parts
    e^{i (t - s) l} and e^{-i (t + s) l} j.
    """
    i, j = units
    basis = _module_basis(units, size)
    degree = size // 2
    odd = np.arange(1, degree, 2)
    count = degree**2 + 1
    z = _phased(i, basis, degree * odd, count)
    return _phased(i, basis, odd, count), (z + z @ j.T) / math.sqrt(2.0)


def _phased(i: np.ndarray, basis: np.ndarray, frequencies: np.ndarray, count: int) -> np.ndarray:
    """Row l: the unit vector sum_k e^{i frequency_k l} basis_k / sqrt(number of k)."""
    angles = 2 * np.pi / count * np.outer(np.arange(count), frequencies)
    return (np.cos(angles) @ basis + np.sin(angles) @ (basis @ i.T)) / math.sqrt(len(basis))


_SIMPLEXES: dict[str, Callable[[list[np.ndarray], int], tuple[np.ndarray, np.ndarray]]] = {
    "real": _real_simplex,
    "complex": _complex_simplex,
    "quaternionic": _quaternionic_simplex,
}
