"""Isotypic bases and unitary irreps, by random elements of the group algebra.

Functions on the group carry the left translation (L_g f)(x) = f(g⁻¹x). Everything is seeded: the
same table gives the same arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Inexact, Int

_ATTEMPTS = 8
_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Translations:
    """Data of a group for the numerical construction of irreps.

    Attributes
    ----------
    table
        Cayley table, shape (element, element).
    inverses
        Index of the inverse of each element, shape (element,).
    identity
        Index of the identity.
    generators
        Indices of elements that generate the group.
    seed
        Seed of the random elements of the group algebra.
    """

    table: Int[np.ndarray, "element element"]
    inverses: Int[np.ndarray, " element"]
    identity: int
    generators: tuple[int, ...]
    seed: int = 0


def isotypic_basis(
    group: Translations, character: Inexact[np.ndarray, " element"], degree: int, dimension: int
) -> Inexact[np.ndarray, "element dimension"]:
    r"""Return orthonormal columns spanning an isotypic space.

    The QR factorisation of P applied to Gaussian vectors, with P(x, y) = (d/n) χ̄(x y⁻¹): the
    projection onto the copies of ρ under left translation. Given χ + χ̄ (real), the result is real
    and spans both.

    Parameters
    ----------
    group
        Cayley table, inverses, identity and generators of the group.
    character
        Values χ(g), or (χ + χ̄)(g), shape (element,).
    degree
        Degree d = χ(1) of the irrep.
    dimension
        Dimension of the space: d², or 2d² for χ + χ̄.

    Raises
    ------
    ArithmeticError
        The columns do not span the space: the character is wrong.

    References
    ----------
    Serre 1977, *Linear Representations of Finite Groups*, section 2.6, theorem 8.
    """
    order = len(group.table)
    generator = np.random.default_rng([group.seed, dimension])
    # Gaussian combinations of a few columns of P are as good as those of all, unless unlucky.
    for sampled in (min(4 * dimension + 8, order), order):
        columns = np.sort(generator.choice(order, size=sampled, replace=False))
        projector = character.conj()[group.table[:, group.inverses[columns]]] * (degree / order)
        basis, triangle = np.linalg.qr(projector @ generator.normal(size=(sampled, dimension)))
        diagonal = np.abs(np.diagonal(triangle))
        if diagonal.min() > 1e-5 * diagonal.max():
            return basis
    raise ArithmeticError(f"expected an isotypic space of dimension {dimension}, got a smaller one")


def unitary_irrep(
    group: Translations,
    basis: Inexact[np.ndarray, "element dimension"],
    character: Complex[np.ndarray, " element"],
    *,
    real: bool,
) -> Complex[np.ndarray, "element row column"]:
    r"""Return a unitary irrep ρ with the given character; real-valued when `real`.

    Right convolution by a random h with h(g⁻¹) = conj h(g) commutes with left translations; on
    the isotypic space it is Hermitian with d eigenvalues, each d times. The eigenvectors W of one
    of them span one copy of ρ, and ρ(g) = W* L_g W. That is computed for O(log n) elements and
    extended by products: K → K ∪ K·x.

    Parameters
    ----------
    group
        Cayley table, inverses, identity and generators of the group.
    basis
        Orthonormal columns spanning the d² dimensions of the isotypic space.
    character
        Values χ(g), shape (element,).
    real
        Whether ρ is of real type, with a real `basis`.

    Raises
    ------
    ArithmeticError
        The result is not a unitary homomorphism with that character, to 1e-8.
    """
    residual = np.inf
    for attempt in range(_ATTEMPTS):
        generator = np.random.default_rng([group.seed, basis.shape[1], attempt])
        copy = _one_copy(group, basis, generator, real=real)
        if copy is None:
            continue
        irrep = _extend(group, copy, generator)
        residual = irrep_error(group, irrep, character, generator)
        if residual < _TOLERANCE:
            return irrep.astype(np.complex128)
    raise ArithmeticError(
        f"expected a unitary homomorphism of degree {round(np.sqrt(basis.shape[1]))}, got a "
        f"residual of {residual:.1e} (allowed {_TOLERANCE:.0e})"
    )


def _one_copy(
    group: Translations, basis: np.ndarray, generator: np.random.Generator, *, real: bool
) -> np.ndarray | None:
    order, dimension = basis.shape
    degree = round(np.sqrt(dimension))
    support = generator.choice(order, size=min(order, degree + 8), replace=False)
    # (R f)(x) = Σ_s h(s) f(x s⁻¹), and the adjoint of a right translation is that by the inverse.
    moved = np.zeros((order, dimension), dtype=np.float64 if real else np.complex128)
    for element in support:
        weight = generator.normal()
        if not real:
            weight = weight + 1j * generator.normal()
        moved += weight * basis[group.table[:, group.inverses[element]]]
    compressed = basis.conj().T @ moved
    eigenvalues, vectors = np.linalg.eigh(compressed + compressed.conj().T)
    blocks = eigenvalues.reshape(degree, degree)
    gaps = np.concatenate([[np.inf], blocks[1:, 0] - blocks[:-1, -1], [np.inf]])
    separation = np.minimum(gaps[:-1], gaps[1:])
    best = int(np.argmax(separation))
    width = blocks[best, -1] - blocks[best, 0]
    if not separation[best] > max(1e3 * width, 1e-6 * np.abs(eigenvalues).max()):
        return None  # two eigenvalues fell together: their copies would mix
    return basis @ vectors[:, best * degree : (best + 1) * degree]


def _extend(
    group: Translations, copy: np.ndarray, generator: np.random.Generator
) -> Inexact[np.ndarray, "element row column"]:
    order, degree = copy.shape
    irrep = np.empty((order, degree, degree), dtype=copy.dtype)
    irrep[group.identity] = np.eye(degree)
    known = np.zeros(order, dtype=bool)
    known[group.identity] = True
    while not known.all():
        element = int(generator.choice(np.flatnonzero(~known)))
        direct = copy.conj().T @ copy[group.table[group.inverses[element]]]
        factors = np.flatnonzero(known)
        products = group.table[factors, element]
        new = ~known[products]
        irrep[products[new]] = irrep[factors[new]] @ direct
        known[products] = True
    return irrep


def irrep_error(
    group: Translations,
    irrep: Inexact[np.ndarray, "element row column"],
    character: Complex[np.ndarray, " element"],
    generator: np.random.Generator,
) -> float:
    """Return the greatest violation of the laws of an irrep with character χ.

    It must be multiplicative, ρ(g) ρ(s) = ρ(gs) for every g and every s that generates the group,
    hence for all; unitary and of trace χ on every element; and its coefficients orthogonal as Schur
    has it: (d/n) Σ_g ρ(g) X ρ(g)* = tr(X) 1 for every matrix X (checked on a random one).

    Parameters
    ----------
    group
        Cayley table, inverses, identity and generators of the group.
    irrep
        Matrices ρ(g), shape (element, d, d).
    character
        Values χ(g), shape (element,).
    generator
        Random generator for the matrix X.
    """
    homomorphism = np.zeros(1)
    for s in group.generators:
        broken = np.abs(irrep @ irrep[s] - irrep[group.table[:, s]])
        homomorphism = np.maximum(homomorphism, broken.max())
    unitarity = irrep @ irrep.conj().swapaxes(1, 2) - np.eye(irrep.shape[1])
    trace = np.trace(irrep, axis1=1, axis2=2) - character
    order, degree = len(irrep), irrep.shape[1]
    sample = generator.normal(size=(degree, degree)) / degree
    average = np.tensordot(irrep @ sample, irrep.conj(), axes=([0, 2], [0, 2])) * (degree / order)
    schur = average - np.trace(sample) * np.eye(degree)
    errors = (homomorphism, unitarity, trace, schur)
    return max(float(np.abs(error).max()) for error in errors)


def realify(
    irrep: Complex[np.ndarray, "element row column"],
) -> Float[np.ndarray, "element realrow realcolumn"]:
    """Return the real form [[Re ρ, −Im ρ], [Im ρ, Re ρ]], orthogonal where ρ is unitary.

    Parameters
    ----------
    irrep
        Matrices ρ(g), shape (element, d, d).
    """
    real, imaginary = np.real(irrep), np.imag(irrep)
    return np.block([[real, -imaginary], [imaginary, real]])
