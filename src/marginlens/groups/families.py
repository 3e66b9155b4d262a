"""Groups by name: ``C12``, ``D5``, ``S5``, ``A5``, ``Q8``, ``Dic3``, ``SL(2,3)``, ``S3xC4``."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable

import numpy as np

from marginlens.groups.table import LARGEST_ORDER

__all__ = ["named_table"]


def named_table(name: str) -> np.ndarray:
    """Cayley table of the group that the name stands for; factors of a product join by ``x``.

    Conventions: C_n adds mod n; D_n has 2n elements; Q_{4m} and Dic_m (4m elements) are dicyclic;
    permutations are in lexicographic order with (pq)(i) = p(q(i)).

    Raises
    ------
    ValueError
        If the name is unknown or the order is out of range.

    Examples
    --------
    >>> named_table("C3")
    array([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    """
    factors = [_parse(factor, name) for factor in name.split("x")]
    order = math.prod(order for order, _ in factors)
    if order > LARGEST_ORDER:
        size = f"{order:,}" if order < 10**12 else f"about 10^{len(str(order)) - 1}"
        memory = (
            f"{24 * order**2 / 1e9:.1f} GB" if order < 10**12 else "far more memory than exists"
        )
        raise ValueError(
            f"{name} has {size} elements and would need {memory}; "
            f"the largest order is {LARGEST_ORDER}"
        )
    table = np.zeros((1, 1), dtype=np.int64)
    for size, build in factors:
        product = table[:, None, :, None] * size + build()[None, :, None, :]
        table = product.reshape(len(table) * size, -1)
    return table


def _parse(factor: str, name: str) -> tuple[int, Callable[[], np.ndarray]]:
    """Order and builder of one factor."""
    match = re.fullmatch(r"(C|Z|D|S|A|Q|Dic)(\d{1,6})", factor)
    if factor.replace(" ", "") == "SL(2,3)":
        return 24, _sl23
    if match is None:
        raise ValueError(
            f"unknown group {name!r}; write for example C12, D5, S5, A5, Q8, Dic3, SL(2,3), S3xC4 "
            "or the path of a .csv or .npy Cayley table"
        )
    family, n = match[1], int(match[2])
    if n < 1:
        raise ValueError(f"{name!r}: {family}{n} does not exist; write for example {family}4")
    if family in "CZ":
        return n, lambda: np.add.outer(np.arange(n), np.arange(n)) % n
    if family == "D":
        return 2 * n, lambda: _dihedral(n)
    if family in "SA":
        if n > 99:
            raise ValueError(f"{name!r} is far too large; write for example {family}5")
        order = math.factorial(n) if family == "S" or n < 2 else math.factorial(n) // 2
        return order, lambda: _permutations(n, even_only=family == "A")
    if family == "Q":
        if n < 8 or n % 4:
            raise ValueError(f"{name!r}: quaternion groups have order 8, 12, 16, ...; write Q8")
        return n, lambda: _dicyclic(n // 4)
    return 4 * n, lambda: _dicyclic(n)


def _dihedral(n: int) -> np.ndarray:
    """Elements r^i s^j as j*n + i, with s r = r^-1 s."""
    j, i = np.divmod(np.arange(2 * n), n)
    turn = (i[:, None] + np.where(j[:, None] == 1, -1, 1) * i[None]) % n
    return (j[:, None] ^ j[None]) * n + turn


def _dicyclic(m: int) -> np.ndarray:
    """Elements a^i x^j as j*2m + i, with a^{2m} = 1, x^2 = a^m, x a = a^-1 x."""
    j, i = np.divmod(np.arange(4 * m), 2 * m)
    both = (j[:, None] & j[None]) * m
    turn = (i[:, None] + np.where(j[:, None] == 1, -1, 1) * i[None] + both) % (2 * m)
    return (j[:, None] ^ j[None]) * (2 * m) + turn


def _permutations(n: int, *, even_only: bool) -> np.ndarray:
    """Permutations of n points in lexicographic order."""
    points = np.array(list(itertools.permutations(range(n))), dtype=np.int64).reshape(-1, n)
    if even_only:
        pairs = itertools.combinations(range(n), 2)
        inversions = sum(
            (points[:, i] > points[:, j] for i, j in pairs), np.zeros(len(points), int)
        )
        points = points[inversions % 2 == 0]
    weights = n ** np.arange(n)[::-1]
    codes = points @ weights
    return np.stack([np.searchsorted(codes, p[points] @ weights) for p in points])


def _sl23() -> np.ndarray:
    """2 x 2 matrices over Z_3 of determinant 1, in lexicographic order."""
    entries: Iterable[tuple[int, ...]] = itertools.product(range(3), repeat=4)
    matrices = [m for m in entries if (m[0] * m[3] - m[1] * m[2]) % 3 == 1]
    index = {m: i for i, m in enumerate(matrices)}

    def product(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
        (a, b, c, d), (e, f, g, h) = x, y
        return (a * e + b * g) % 3, (a * f + b * h) % 3, (c * e + d * g) % 3, (c * f + d * h) % 3

    return np.array([[index[product(x, y)] for y in matrices] for x in matrices])
