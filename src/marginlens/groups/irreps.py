"""Irreducible representations as matrices, from characters and a Cayley table."""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Float, Int

__all__ = ["isotypic_basis", "unitary_irrep"]

_TOLERANCE = 1e-8


def isotypic_basis(
    kernel: Float[np.ndarray, "element element"], dimension: int
) -> Float[np.ndarray, "element dimension"]:
    """Orthonormal basis of a projection's range: QR of its product with a Gaussian matrix."""
    gaussian = np.random.default_rng(0).normal(size=(len(kernel), dimension))
    basis, _ = np.linalg.qr(kernel @ gaussian)
    return np.linalg.qr(kernel @ basis)[0]  # once more: the second pass removes the round-off


def unitary_irrep(
    table: Int[np.ndarray, "element element"],
    inverses: Int[np.ndarray, " element"],
    identity: int,
    character: Complex[np.ndarray, " element"],
    *,
    real: bool,
) -> Complex[np.ndarray, "element row column"]:
    """Unitary matrices rho(g) with the given irreducible character.

    A generic self-adjoint element of the group algebra, acting from the right on the isotypic
    part of C[G] (dimension d^2), has d eigenvalues of multiplicity d; each eigenspace W is a copy
    of rho and rho(g) = W* L_g W, with L_g the left translation. A few elements are computed so,
    the others as products of those, a doubling at a time. For a real irrep all numbers are real.

    Raises
    ------
    ArithmeticError
        If the result is not a unitary homomorphism with this character to 1e-8, with the residual.
    """
    order, degree = len(table), round(character[identity].real)
    if degree == 1:
        return character[:, None, None]
    generator = np.random.default_rng(1)
    projector = degree / order * character.conj()[table[:, inverses]]
    if real:
        projector = projector.real
    gaussian = generator.normal(size=(order, degree**2)) + (
        0 if real else 1j * generator.normal(size=(order, degree**2))
    )
    basis = np.linalg.qr(projector @ np.linalg.qr(projector @ gaussian)[0])[0]
    random = generator.normal(size=order) + (0 if real else 1j * generator.normal(size=order))
    random = random + random[inverses].conj()
    right = random[table[inverses]]  # R[x, y] = h(x^-1 y) commutes with left translations
    eigenvalues, vectors = np.linalg.eigh(basis.conj().T @ right @ basis)
    levels = eigenvalues.reshape(degree, degree).mean(1)
    gaps = np.diff(levels, prepend=-np.inf, append=np.inf)
    best = int(np.argmax(np.minimum(gaps[:-1], gaps[1:])))
    space = basis @ vectors[:, best * degree : (best + 1) * degree]

    matrices = np.empty((order, degree, degree), dtype=np.complex128)
    matrices[identity] = np.eye(degree)
    known = np.array([identity])
    reached = np.zeros(order, dtype=bool)
    reached[identity] = True
    while not reached.all():
        x = int(generator.choice(np.flatnonzero(~reached)))
        rho = space.conj().T @ space[table[inverses[x]]]
        products = table[known, x]
        new = ~reached[products]
        matrices[products[new]] = matrices[known[new]] @ rho
        reached[products[new]] = True
        known = np.flatnonzero(reached)
    _check(table, matrices, character)
    return matrices


def _check(table: np.ndarray, matrices: np.ndarray, character: np.ndarray) -> None:
    """Raise unless the matrices are unitary, multiply as the table says and have the character."""
    generator = np.random.default_rng(2)
    a, b = generator.integers(len(table), size=(2, 256))
    residual = max(
        np.abs(matrices @ matrices.conj().swapaxes(1, 2) - np.eye(matrices.shape[1])).max(),
        np.abs(matrices[a] @ matrices[b] - matrices[table[a, b]]).max(),
        np.abs(np.trace(matrices, axis1=1, axis2=2) - character).max(),
    )
    if residual > _TOLERANCE:
        raise ArithmeticError(
            f"an irrep of degree {matrices.shape[1]} misses the laws of a unitary representation "
            f"by {residual:.1e} (allowed: {_TOLERANCE:.0e})"
        )
