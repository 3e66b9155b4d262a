"""Sparse parity: everything is explicit."""

from __future__ import annotations

import math

__all__ = [
    "parity_collapse_penalty",
    "parity_margin",
    "parity_minimum",
    "parity_width",
]


def parity_margin(k: int) -> float:
    """Maximum L_{2,k+1} margin k! sqrt(2 (k+1)^-(k+1)) of k-sparse parity with x^k.

    It does not depend on the number of coordinates.

    Parameters
    ----------
    k
        Number of coordinates in the product, at least 1.

    Raises
    ------
    ValueError
        If k is below 1.

    Notes
    -----
    Morwani et al. 2024, Theorem 8.

    Examples
    --------
    >>> [round(parity_margin(k), 6) for k in (2, 3, 4)]
    [0.544331, 0.53033, 0.607157]
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, such as 4, got {k}")
    return math.factorial(k) * math.sqrt(2.0 * (k + 1.0) ** -(k + 1))


def parity_width(k: int) -> int:
    """Number of neurons 2^(k-1) of a maximum-margin network, sufficient and necessary.

    Notes
    -----
    Derived in docs/theory.md, "Sparse parity".

    Examples
    --------
    >>> parity_width(4)
    8
    """
    return 2 ** (k - 1)


def parity_collapse_penalty(k: int) -> float:
    """lambda_c = gamma* / 2: at this strength and above, the zero network is the minimum.

    Examples
    --------
    >>> round(parity_collapse_penalty(4), 6)
    0.303579
    """
    return parity_margin(k) / 2.0


def parity_minimum(k: int, strength: float) -> tuple[float, float]:
    """Loss and norm at the minimum of cross-entropy + strength * sum_i ||omega_i||^(k+1).

    The mean margin over the inputs is at most gamma* N for a network of norm N, and equal on all
    inputs for a maximum-margin network, so by Jensen's inequality the minimum is that of
    log(1 + exp(-gamma* N)) + strength * N: N = log(gamma* / strength - 1) / gamma*, or 0 from
    :func:`parity_collapse_penalty` on. The margin is gamma* N.

    Parameters
    ----------
    k
        Number of coordinates in the product; the activation is x^k.
    strength
        lambda, finite and positive.

    Returns
    -------
    loss, norm
        Mean cross-entropy (without the penalty) and sum_i ||omega_i||^(k+1).

    Raises
    ------
    ValueError
        If the strength is not a finite positive number.

    Notes
    -----
    Derived in docs/theory.md, "Sparse parity".

    Examples
    --------
    >>> loss, norm = parity_minimum(4, 1e-4)
    >>> f"{loss:.4e} {norm:.4f}"
    '1.6472e-04 14.3475'
    """
    if not (math.isfinite(strength) and strength > 0):
        raise ValueError(f"strength must be a finite positive number, such as 1e-4, got {strength}")
    margin = parity_margin(k)
    if strength >= parity_collapse_penalty(k):
        return math.log(2.0), 0.0
    norm = math.log(margin / strength - 1.0) / margin
    return math.log1p(math.exp(-margin * norm)), norm
