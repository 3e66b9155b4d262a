"""Named families of groups: Cayley tables, orders and accepted spellings."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from marginlens.groups.matrix_families import (
    MatrixKind,
    log10_matrix_order,
    matrix_problem,
    matrix_table,
)

__all__ = ["FAMILIES", "Family", "direct_product", "is_prime", "semidirect_table"]


@dataclass(frozen=True)
class Family:
    """Family of groups with a name, such as C12 or SL(2,3).

    Parameters
    ----------
    heads
        Prefixes of the family's names, in any case; the first is canonical, as in `"C12"`.
    log10_order
        Function of the numbers that returns the decimal logarithm of the order.
    problem
        Function of the numbers that returns an error text, or ``None`` for valid numbers.
    build
        Function of the numbers that returns the Cayley table.
    count
        Number of numbers in a name: one, as in `"C12"`, or two, as in `"SL(2,3)"`.
    brackets
        Whether a single number is written in brackets, as in `"Heis(3)"`.
    note
        Function of the numbers that returns a warning where other texts use the name for another
        group; empty otherwise.
    """

    heads: tuple[str, ...]
    log10_order: Callable[..., float]
    problem: Callable[..., str | None]
    build: Callable[..., np.ndarray]
    count: int = 1
    brackets: bool = False
    note: Callable[..., str] = lambda *numbers: ""

    def name(self, numbers: tuple[int, ...]) -> str:
        """Return the canonical name of a group of the family.

        Parameters
        ----------
        numbers
            Numbers of the name, `count` of them.
        """
        written = ",".join(map(str, numbers))
        return self.heads[0] + (f"({written})" if self.count > 1 or self.brackets else written)


def direct_product(
    left: Int[np.ndarray, "first first"], right: Int[np.ndarray, "second second"]
) -> Int[np.ndarray, "pair pair"]:
    """Return the Cayley table of a direct product: pairs (g, h), the second factor fastest.

    Parameters
    ----------
    left, right
        Cayley tables of the two factors, shapes (n, n) and (m, m).
    """
    order = len(left) * len(right)
    pairs = left[:, None, :, None] * len(right) + right[None, :, None, :]
    return pairs.reshape(order, order)


def semidirect_table(n: int, m: int, r: int) -> Int[np.ndarray, "element element"]:
    """Return the Cayley table of C_n : C_m, b acting on C_n as b a b⁻¹ = a^r.

    Elements are a^i b^j, numbered i·m + j.

    Parameters
    ----------
    n, m
        Order of the normal subgroup, and order of the group that acts on it.
    r
        Exponent of the action, with r^m = 1 modulo n.

    Examples
    --------
    >>> semidirect_table(3, 2, 2).tolist() == direct_product(
    ...     semidirect_table(3, 1, 1), semidirect_table(2, 1, 1)
    ... ).tolist()
    False
    """
    i, j = np.divmod(np.arange(n * m), m)
    powers = np.array([pow(r, k, n) for k in range(m)])
    first = (i[:, None] + powers[j][:, None] * i[None, :]) % n
    return first * m + (j[:, None] + j[None, :]) % m


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


def _at_least_one(example: str) -> Callable[[int], str | None]:
    def problem(n: int) -> str | None:
        return None if n >= 1 else f"expected a number of at least 1, for example {example}"

    return problem


def _quaternion_problem(n: int) -> str | None:
    if n >= 8 and n & (n - 1) == 0:
        return None
    other = f" (the dicyclic group of order {n} is Dic{n // 4})" if n and n % 4 == 0 else ""
    return f"expected order 8, 16, 32, … of a generalized quaternion group{other}"


def _semidihedral_problem(n: int) -> str | None:
    if n >= 16 and n & (n - 1) == 0:
        return None
    return "expected order 16, 32, 64, … of a quasidihedral group"


def _modular_problem(n: int) -> str | None:
    if n >= 16 and n & (n - 1) == 0:
        return None
    return "modular maximal-cyclic groups have order 16, 32, 64, …"


def _dihedral_note(n: int) -> str:
    if n < 4 or n % 2:
        return ""
    return (
        f"D{n} is the dihedral group of order {2 * n} (D_n has order 2n); "
        f"for order {n} write D{n // 2}"
    )


def _dicyclic_note(n: int) -> str:
    if n < 8 or n % 4:
        return ""
    return f"Dic{n} has order {4 * n} (Dic_n has order 4n); for order {n} write Dic{n // 4}"


def is_prime(number: int) -> bool:
    """Return whether a number is prime.

    Parameters
    ----------
    number
        Whole number to test.
    """
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _log10_factorial(n: int) -> float:
    return math.lgamma(n + 1) / math.log(10)


def _matrices(kind: MatrixKind, *heads: str) -> Family:
    return Family(
        (kind, *heads),
        functools.partial(log10_matrix_order, kind),
        functools.partial(matrix_problem, kind),
        functools.partial(matrix_table, kind),
        count=2,
    )


FAMILIES = (
    Family(
        ("C", "Z", "Zmod", "Cyc", "Cyclic", "CyclicGroup"),
        lambda n: math.log10(n),
        _at_least_one("C12"),
        _cyclic,
    ),
    Family(
        ("D", "Dih", "Dihedral", "DihedralGroup"),
        lambda n: math.log10(2 * n),
        _at_least_one("D5"),
        _dihedral,
        note=_dihedral_note,
    ),
    Family(
        ("Q", "Quaternion", "QuaternionGroup"),
        lambda n: math.log10(n),
        _quaternion_problem,
        lambda n: _dicyclic(n // 4),
    ),
    Family(
        ("Dic", "Dicyclic", "DicyclicGroup"),
        lambda n: math.log10(4 * n),
        _at_least_one("Dic3"),
        _dicyclic,
        note=_dicyclic_note,
    ),
    Family(
        ("QD", "SD", "SemiDihedral", "QuasiDihedral"),
        lambda n: math.log10(n),
        _semidihedral_problem,
        lambda n: semidirect_table(n // 2, 2, n // 4 - 1),
    ),
    Family(
        ("MMC", "ModularMaximalCyclic"),
        lambda n: math.log10(n),
        _modular_problem,
        lambda n: semidirect_table(n // 2, 2, n // 4 + 1),
    ),
    Family(
        ("S", "Sym", "Symmetric", "SymmetricGroup"),
        _log10_factorial,
        _at_least_one("S5"),
        _symmetric,
    ),
    Family(
        ("A", "Alt", "Alternating", "AlternatingGroup"),
        lambda n: max(_log10_factorial(n) - math.log10(2), 0.0),
        _at_least_one("A5"),
        _alternating,
    ),
    _matrices("SL", "SpecialLinearGroup"),
    _matrices("GL", "GeneralLinearGroup"),
    _matrices("PSL", "L"),
    _matrices("PGL"),
    _matrices("AGL"),
    Family(
        ("Heis", "He", "Heisenberg", "HeisenbergGroup"),
        lambda q: log10_matrix_order("Heis", 3, q),
        lambda q: matrix_problem("Heis", 3, q),
        lambda q: matrix_table("Heis", 3, q),
        brackets=True,
    ),
)
"""The families that a name can be of, one entry each."""
