"""Named families of groups: the Cayley table behind a spec such as `"S3xC4"`."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from marginlens.groups.table import check_order


class UnknownGroupError(ValueError):
    """A spec that names no family of groups (and no table file)."""


@dataclass(frozen=True)
class Family:
    """One family of groups.

    Parameters
    ----------
    pattern
        Regular expression of the spec; its one group captures the parameter.
    log10_order
        Decimal logarithm of the order as a function of the parameter.
    problem
        What is wrong with a parameter, or None.
    build
        The Cayley table for a parameter.

    """

    pattern: str
    log10_order: Callable[[int], float]
    problem: Callable[[int], str | None]
    build: Callable[[int], np.ndarray]


def family_table(spec: str) -> Int[np.ndarray, "element element"]:
    """Return the Cayley table of a named group; products are written with `x`.

    ========  =======  ==================================================================
    spec      order    elements, in order
    ========  =======  ==================================================================
    C12       n        0, 1, …, n−1 under addition modulo n
    D5        2n       r^i (i = 0, …, n−1), then r^i s, with s r s = r⁻¹
    Q8, Q16   n        generalized quaternion: the dicyclic group Dic(n/4)
    Dic3      4n       a^i (i = 0, …, 2n−1), then a^i x, with x² = a^n and x a x⁻¹ = a⁻¹
    S5, A5    n!, n!/2 (even) permutations in lexicographic order, (pq)(i) = p(q(i))
    SL(2,3)   p(p²−1)  matrices (a, b, c, d) modulo the prime p in lexicographic order
    S3xC4     product  pairs (g, h), the last factor fastest
    ========  =======  ==================================================================

    Raises
    ------
    UnknownGroupError
        A factor is in none of these families.
    ValueError
        A parameter outside its family, or a group too large.

    Examples
    --------
    >>> family_table("C3").tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    >>> family_table("S3xC4").shape
    (24, 24)

    """
    factors = [_parse_factor(factor.strip(), spec) for factor in spec.split("x")]
    check_order(sum(family.log10_order(value) for family, value in factors), spec)
    table = np.zeros((1, 1), dtype=np.int64)
    for family, value in factors:
        table = _product(table, family.build(value))
    return table


def _parse_factor(text: str, spec: str) -> tuple[Family, int]:
    for family in FAMILIES:
        match = re.fullmatch(family.pattern, text, flags=re.ASCII)
        if match is None:
            continue
        digits = match.group(1)
        if len(digits) > 15:
            raise ValueError(f"{spec[:40]}: far too large a group; write e.g. C12 or S5")
        value = int(digits)
        problem = family.problem(value)
        if problem is not None:
            raise ValueError(f"{spec}: {problem}")
        return family, value
    raise UnknownGroupError(
        f"unknown group {spec[:60]!r}; write e.g. C12, D5, S5, A5, Q8, Dic3, SL(2,3), S3xC4, "
        "<(1,2,3),(1,2)>, SmallGroup(24,3) or a path to a table (.csv or .npy)"
    )


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    order = len(left) * len(right)
    pairs = left[:, None, :, None] * len(right) + right[None, :, None, :]
    return pairs.reshape(order, order)


def _cyclic(n: int) -> np.ndarray:
    return np.add.outer(np.arange(n), np.arange(n)) % n


def _dihedral(n: int) -> np.ndarray:
    return _rotations_and_reflections(n, square_of_reflection=0)


def _dicyclic(n: int) -> np.ndarray:
    return _rotations_and_reflections(2 * n, square_of_reflection=n)


def _rotations_and_reflections(m: int, *, square_of_reflection: int) -> np.ndarray:
    """Return the table of elements a^i x^j (index i + m j), x a x⁻¹ = a⁻¹, x² = a^square."""
    j, i = np.divmod(np.arange(2 * m), m)
    sign = 1 - 2 * j
    both = j[:, None] & j[None, :]
    exponent = i[:, None] + sign[:, None] * i[None, :] + square_of_reflection * both
    return exponent % m + m * (j[:, None] ^ j[None, :])


def _symmetric(n: int) -> np.ndarray:
    return _permutations(np.array(list(itertools.permutations(range(n))), dtype=np.int64))


def _alternating(n: int) -> np.ndarray:
    permutations = np.array(list(itertools.permutations(range(n))), dtype=np.int64)
    first, second = np.triu_indices(n, k=1)
    inversions = (permutations[:, first] > permutations[:, second]).sum(axis=1)
    return _permutations(permutations[inversions % 2 == 0])


def _permutations(permutations: np.ndarray) -> np.ndarray:
    n = permutations.shape[1]
    # Read as numbers in base n, lexicographic order is numeric order: one sorted search a product.
    place = n ** np.arange(n)[::-1]
    codes = permutations @ place
    table = np.empty((len(codes), len(codes)), dtype=np.int64)
    for index, permutation in enumerate(permutations):
        table[index] = np.searchsorted(codes, permutation[permutations] @ place)
    return table


def _special_linear(p: int) -> np.ndarray:
    entries = np.array(list(itertools.product(range(p), repeat=4)), dtype=np.int64)
    a, b, c, d = entries.T
    matrices = entries[(a * d - b * c) % p == 1].reshape(-1, 2, 2)
    place = p ** np.arange(4)[::-1]
    codes = matrices.reshape(-1, 4) @ place
    products = np.einsum("gij,hjk->ghik", matrices, matrices) % p
    return np.searchsorted(codes, products.reshape(len(codes), len(codes), 4) @ place)


def _at_least_one(example: str) -> Callable[[int], str | None]:
    def problem(n: int) -> str | None:
        return None if n >= 1 else f"the number must be at least 1, e.g. {example}"

    return problem


def _quaternion_problem(n: int) -> str | None:
    if n >= 8 and n & (n - 1) == 0:
        return None
    return "generalized quaternion groups have order 8, 16, 32, …, e.g. Q8 (Dic3 has order 12)"


def is_prime(number: int) -> bool:
    """Whether a number is prime."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _prime_problem(p: int) -> str | None:
    # Only small primes can pass the limit on the order, so larger numbers are left to it.
    if p > 10**4 or is_prime(p):
        return None
    return "SL(2,p) needs a prime p, e.g. SL(2,3)"


def _log10_factorial(n: int) -> float:
    return math.lgamma(n + 1) / math.log(10)


FAMILIES = (
    Family(r"C(\d+)", lambda n: math.log10(n), _at_least_one("C12"), _cyclic),
    Family(r"D(\d+)", lambda n: math.log10(2 * n), _at_least_one("D5"), _dihedral),
    Family(r"Q(\d+)", lambda n: math.log10(n), _quaternion_problem, lambda n: _dicyclic(n // 4)),
    Family(r"Dic(\d+)", lambda n: math.log10(4 * n), _at_least_one("Dic3"), _dicyclic),
    Family(r"S(\d+)", _log10_factorial, _at_least_one("S5"), _symmetric),
    Family(
        r"A(\d+)",
        lambda n: max(_log10_factorial(n) - math.log10(2), 0.0),
        _at_least_one("A5"),
        _alternating,
    ),
    Family(
        r"SL\(\s*2\s*,\s*(\d+)\s*\)",
        lambda p: math.log10(p) + math.log10(p * p - 1),
        _prime_problem,
        _special_linear,
    ),
)
"""The families a spec can name, one line each."""
