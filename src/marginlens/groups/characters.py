"""Conjugacy classes and exact complex character tables from a Cayley table."""

from __future__ import annotations

import numpy as np
import scipy  # its parts are loaded when used
from jaxtyping import Complex, Int

_ATTEMPTS = 8
_GREATEST_RESIDUAL = 0.05  # of an eigenvalue multiplicity, which is an integer


def conjugacy_class_of(
    table: Int[np.ndarray, "element element"],
    inverses: Int[np.ndarray, " element"],
    generators: tuple[int, ...],
    element_orders: Int[np.ndarray, " element"],
) -> Int[np.ndarray, " element"]:
    """Return the conjugacy class of each element: the orbits of x → a⁻¹ x a for generators a.

    Classes are numbered by element order, then size, then least element; {identity} is 0.

    Parameters
    ----------
    table
        Cayley table, shape (element, element): `table[a, b]` is a·b.
    inverses
        Index of the inverse of each element, shape (element,).
    generators
        Indices of elements that generate the group.
    element_orders
        Order of each element, shape (element,).
    """
    order = len(table)
    everything = np.arange(order)
    images = sources = everything
    if generators:
        images = np.concatenate([table[table[inverses[a]], a] for a in generators])
        sources = np.tile(everything, len(generators))
    labels = everything
    if (images != sources).any():  # the group is not abelian
        edges = scipy.sparse.coo_array(
            (np.ones(len(images)), (sources, images)), shape=(order, order)
        )
        labels = scipy.sparse.csgraph.connected_components(edges, directed=False)[1]
    _, least, sizes = np.unique(labels, return_index=True, return_counts=True)
    by_order = np.lexsort([least, sizes, element_orders[least]])
    rank = np.empty(len(least), dtype=np.int64)
    rank[by_order] = np.arange(len(least))
    return rank[labels]


def abelian_characters(
    table: Int[np.ndarray, "element element"], identity: int, exponent: int
) -> Complex[np.ndarray, "irrep element"]:
    r"""Return all characters of an abelian group, by extending them from subgroup to subgroup.

    Written χ(g) = exp(2πi e(g) / E) with E the exponent of the group. If g^m is the first power
    of g in the subgroup H, the extensions of χ to ⟨H, g⟩ are χ(g) = exp(2πi (e(g^m) + jE) / (mE)),
    j = 0, …, m−1: integer arithmetic all the way.

    Parameters
    ----------
    table
        Cayley table of an abelian group, shape (element, element).
    identity
        Index of the identity.
    exponent
        Least common multiple E of the orders of the elements.
    """
    members = np.array([identity])
    position = np.full(len(table), -1)
    position[identity] = 0
    exponents = np.zeros((1, 1), dtype=np.int64)  # (character, member)
    while len(members) < len(table):
        element = int(np.argmin(position >= 0))
        powers = [identity]
        power = element
        while position[power] < 0:
            powers.append(power)
            power = int(table[power, element])
        m = len(powers)
        of_element = (exponents[:, position[power]][:, None] + np.arange(m) * exponent) // m
        steps = of_element[:, :, None] * np.arange(m)  # (character, extension, power)
        extended = exponents[:, None, None, :] + steps[:, :, :, None]
        members = table[np.array(powers)[:, None], members].reshape(-1)
        position[members] = np.arange(len(members))
        exponents = extended.reshape(len(members), len(members)) % exponent
    return roots_of_unity(exponent)[exponents[:, position]]


def nonabelian_characters(
    table: Int[np.ndarray, "element element"],
    inverses: Int[np.ndarray, " element"],
    class_of: Int[np.ndarray, " element"],
    power_classes: tuple[np.ndarray, ...],
) -> Complex[np.ndarray, "irrep klass"]:
    r"""Return the character table, exact up to the rounding of roots of unity.

    Convolution by a random class function f with f(g⁻¹) = conj f(g) is Hermitian on class
    functions, and its eigenvectors are the characters: χ(C) = √(n/|C|) v_C. Each value is then
    replaced by Σ_j m_j exp(2πi j/o), with m_j the multiplicities of the eigenvalues of ρ(g), g of
    order o, rounded to integers.

    Parameters
    ----------
    table, inverses, class_of
        Cayley table, index of each element's inverse, and index of its conjugacy class; class 0 is
        {identity}.
    power_classes
        Classes of 1, g, …, g^(o−1) for elements g whose powers meet every class.

    Raises
    ------
    ArithmeticError
        The multiplicities are not near integers for any of several seeds.

    References
    ----------
    Burnside's theorem on class sums; see Isaacs 1976, *Character Theory*, chapter 3.
    """
    sizes = np.bincount(class_of)
    residual = np.inf
    for seed in range(_ATTEMPTS):
        approximate = _eigen_characters(table, inverses, class_of, sizes, seed)
        if approximate is None:
            continue
        exact, residual = _round_to_roots(approximate, power_classes)
        if residual <= _GREATEST_RESIDUAL and orthogonality_error(exact, sizes) < 1e-10:
            return exact
    raise ArithmeticError(
        f"the characters are not sums of roots of unity after {_ATTEMPTS} attempts (residual "
        f"{residual:.1e})"
    )


def _eigen_characters(
    table: np.ndarray, inverses: np.ndarray, class_of: np.ndarray, sizes: np.ndarray, seed: int
) -> np.ndarray | None:
    order, classes = len(table), len(sizes)
    representatives = np.unique(class_of, return_index=True)[1]
    inverse_class = class_of[inverses[representatives]]
    generator = np.random.default_rng(seed)
    f = generator.normal(size=classes) + 1j * generator.normal(size=classes)
    f = (f + f[inverse_class].conj()) / np.sqrt(sizes)
    # H[C, D] = √(|C|/|D|) Σ_{y in D} f(x_C y⁻¹)
    quotients = class_of[table[np.ix_(representatives, inverses)]]  # (C, y)
    convolution = np.empty((classes, classes), dtype=np.complex128)
    for row, quotient in enumerate(quotients):
        values = f[quotient]
        convolution[row] = np.bincount(class_of, values.real, classes) + 1j * np.bincount(
            class_of, values.imag, classes
        )
    convolution *= np.sqrt(sizes[:, None] / sizes[None, :])
    eigenvalues, vectors = np.linalg.eigh((convolution + convolution.conj().T) / 2)
    if np.diff(eigenvalues).min() < 1e-9 * np.abs(eigenvalues).max():
        return None  # eigenvectors of a cluster are mixtures of characters
    at_identity = vectors[0]
    if np.abs(at_identity).min() < 0.5 / np.sqrt(order):  # χ(1) = d >= 1
        return None
    vectors = vectors * (at_identity.conj() / np.abs(at_identity))
    return (np.sqrt(order / sizes)[:, None] * vectors).T


def _round_to_roots(
    approximate: np.ndarray, power_classes: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, float]:
    exact = np.empty_like(approximate)
    residual = 0.0
    for powers in power_classes:
        order = len(powers)
        multiplicities = np.fft.fft(approximate[:, powers], axis=1) / order
        rounded = np.maximum(np.round(np.real(multiplicities)), 0.0)
        residual = max(residual, float(np.abs(multiplicities - rounded).max()))
        classes, exponents = np.unique(powers, return_index=True)
        turns = np.outer(np.arange(order), exponents) % order
        exact[:, classes] = _snap(rounded @ roots_of_unity(order)[turns])
    return exact, residual


def _snap(values: np.ndarray) -> np.ndarray:
    """Replace values within 1e-12 of an integer by that integer."""

    def snap(part: np.ndarray) -> np.ndarray:
        whole = np.round(part) + 0.0  # + 0.0 turns −0 into 0
        return np.where(np.abs(part - whole) < 1e-12, whole, part)

    return snap(np.real(values)) + 1j * snap(np.imag(values))


def roots_of_unity(order: int) -> Complex[np.ndarray, " order"]:
    """Return exp(2πi j / order), j = 0, …, order−1, with exact values 0 and ±1.

    Parameters
    ----------
    order
        Number of roots of unity.
    """
    return _snap(np.exp(2j * np.pi * np.arange(order) / order))


def orthogonality_error(
    characters: Complex[np.ndarray, "irrep klass"], sizes: Int[np.ndarray, " klass"]
) -> float:
    """Return the greatest error of row orthogonality of a character table.

    The relation is (1/n) Σ_C |C| χ(C) conj ψ(C) = δ_χψ for rows χ and ψ.

    Parameters
    ----------
    characters
        Values χ(C), shape (irrep, class).
    sizes
        Number |C| of elements of each class, shape (class,).
    """
    gram = (characters * sizes) @ characters.conj().T / sizes.sum()
    return float(np.abs(gram - np.eye(len(gram))).max())


def frobenius_schur_indicators(
    characters: Complex[np.ndarray, "irrep klass"],
    sizes: Int[np.ndarray, " klass"],
    square_class: Int[np.ndarray, " klass"],
) -> Int[np.ndarray, " irrep"]:
    """Return ν = (1/n) Σ_g χ(g²): 1 real, 0 complex, −1 quaternionic.

    Parameters
    ----------
    characters
        Values χ(C), shape (irrep, class).
    sizes
        Number of elements of each class, shape (class,).
    square_class
        Index of the class of squares of each class, shape (class,).

    Raises
    ------
    ArithmeticError
        An indicator is not near an integer: the characters are wrong.

    References
    ----------
    Frobenius & Schur 1906.
    """
    indicators = characters[:, square_class] @ sizes / sizes.sum()
    rounded = np.round(np.real(indicators))
    residual = float(np.abs(indicators - rounded).max())
    if residual > 1e-8:
        raise ArithmeticError(f"Frobenius–Schur indicators miss integers by {residual:.1e}")
    return rounded.astype(np.int64)


def sort_rows(characters: Complex[np.ndarray, "irrep klass"]) -> Complex[np.ndarray, "irrep klass"]:
    """Sort characters by degree, then by descending values; row 0 is the trivial one.

    Parameters
    ----------
    characters
        Values χ(C), shape (irrep, class), in any order of rows.
    """
    rounded = np.round(characters, 6) + 0.0  # −0 would sort apart from 0
    keys = np.concatenate([np.real(rounded[:, :1]), -np.real(rounded), -np.imag(rounded)], axis=1)
    return characters[np.lexsort(keys.T[::-1])]


def conjugate_rows(characters: Complex[np.ndarray, "irrep klass"]) -> Int[np.ndarray, " irrep"]:
    """Return the row index of the complex conjugate of each character.

    Parameters
    ----------
    characters
        Values χ(C), shape (irrep, class).
    """
    # A random weighting keeps distinct characters apart, and one number a row is quick to match.
    weights = np.random.default_rng(0).normal(size=characters.shape[1])
    labels = characters @ weights
    return np.abs(labels[:, None] - labels.conj()[None, :]).argmin(axis=1)


def letters(index: int) -> str:
    """Return the label of a number: a, b, …, z, aa, ab, … for 0, 1, ….

    Parameters
    ----------
    index
        Number to label, from 0.
    """
    text = ""
    index += 1
    while index > 0:
        index, remainder = divmod(index - 1, 26)
        text = chr(ord("a") + remainder) + text
    return text
