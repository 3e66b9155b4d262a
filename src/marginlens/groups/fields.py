"""Finite fields of small order, as tables of sums and products."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError

__all__ = ["FiniteField", "finite_field", "prime_power"]


def prime_power(q: int) -> tuple[int, int] | None:
    """Return (p, k) with q = p^k and p prime, or ``None``.

    Parameters
    ----------
    q
        Whole number of moderate size, factored by trial division.

    Examples
    --------
    >>> prime_power(8), prime_power(7), prime_power(12), prime_power(1)
    ((2, 3), (7, 1), None, None)
    """
    if q < 2:
        return None
    p = next((d for d in range(2, int(q**0.5) + 2) if q % d == 0), q)
    k = 0
    while q % p == 0:
        q, k = q // p, k + 1
    return (p, k) if q == 1 else None


@dataclass(frozen=True, eq=False)
class FiniteField:
    """Finite field of q = p^k elements, numbered 0 to q − 1; element 1 is the one.

    Element a₀ + a₁p + a₂p² + … is the polynomial a₀ + a₁t + a₂t² + …, so that the numbers below p
    are the prime field.

    Attributes
    ----------
    order
        The number of elements q.
    sums, products
        Tables: `sums[a, b]` is a + b and `products[a, b]` is a·b.
    basis
        A basis over the prime field: 1, t, …, t^(k−1).
    primitive
        An element whose powers are all elements but 0.
    """

    order: int
    sums: Int[np.ndarray, "element element"]
    products: Int[np.ndarray, "element element"]
    basis: tuple[int, ...]
    primitive: int

    @property
    def inverses(self) -> Int[np.ndarray, " element"]:
        """Multiplicative inverse of each element; 0 for 0."""
        return (self.products == 1).argmax(axis=1)

    def matmul(
        self, a: Int[np.ndarray, "*left i j"], b: Int[np.ndarray, "*right j k"]
    ) -> Int[np.ndarray, "*both i k"]:
        """Return the product of matrices over the field.

        Parameters
        ----------
        a, b
            Matrices of element numbers, shapes (…, i, j) and (…, j, k); leading axes broadcast.
        """
        terms = self.products[a[..., :, :, None], b[..., None, :, :]]
        total = terms[..., 0, :]
        for j in range(1, terms.shape[-2]):
            total = self.sums[total, terms[..., j, :]]
        return total


@cache
def finite_field(q: int) -> FiniteField:
    """Return the field of q elements.

    For q = p^k it is F_p[t] modulo the first monic polynomial, in lexicographic order of its
    coefficients from the highest, that makes t primitive.

    Parameters
    ----------
    q
        Order of the field, a prime power.

    Raises
    ------
    MarginLensError
        The number q is not a prime power.

    Examples
    --------
    >>> finite_field(4).products.tolist()
    [[0, 0, 0, 0], [0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 1, 2]]
    """
    factors = prime_power(q)
    if factors is None:
        raise MarginLensError(
            f"expected a prime power as the order of a field, got {q}; for example 9"
        )
    p, k = factors
    place = p ** np.arange(k)
    digits = np.arange(q)[:, None] // place % p
    sums = (digits[:, None] + digits[None, :]) % p @ place
    if k == 1:
        products = np.multiply.outer(np.arange(q), np.arange(q)) % q
        primitive = next(
            g for g in range(1, q) if len({pow(g, e, q) for e in range(q - 1)}) == q - 1
        )
        return FiniteField(q, sums, products, (1,), primitive)
    for reduced in itertools.product(range(p), repeat=k):  # t^k = −(c₀ + c₁t + …), highest first
        top = -np.array(reduced[::-1]) % p
        powers = [np.eye(k, dtype=np.int64)[0]]
        for _ in range(q - 2):
            last = powers[-1]
            powers.append((np.append(0, last[:-1]) + last[-1] * top) % p)
        exponents = np.array(powers) @ place
        if len(set(exponents.tolist())) == q - 1 and 0 not in exponents:
            break
    else:
        raise AssertionError("every finite field has a primitive element")
    logarithms = np.zeros(q, dtype=np.int64)
    logarithms[exponents] = np.arange(q - 1)
    products = exponents[(logarithms[:, None] + logarithms[None, :]) % (q - 1)]
    products[0, :] = products[:, 0] = 0
    return FiniteField(q, sums, products, tuple(int(x) for x in place), int(p))
