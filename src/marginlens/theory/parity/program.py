"""Sparse parity: everything is explicit."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from marginlens.theory.symmetric import symmetric_collapse, symmetric_optimum

__all__ = [
    "parity_collapse_penalty",
    "parity_margin",
    "parity_minimum",
    "parity_weights",
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
        raise ValueError(f"k: expected at least 1, got {k}; for example 4")
    return math.factorial(k) * math.sqrt(2.0 * (k + 1.0) ** -(k + 1))


def parity_width(k: int) -> int:
    """Return the width 2^(k-1) of a maximum-margin network, sufficient and necessary.

    Parameters
    ----------
    k
        Number of relevant bits.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Sparse parity".

    Examples
    --------
    >>> parity_width(4)
    8
    """
    return 2 ** (k - 1)


def parity_collapse_penalty(k: int) -> float:
    """Return the strength lambda_c = gamma* / 2 from which on the minimum is zero.

    Parameters
    ----------
    k
        Number of relevant bits.

    Examples
    --------
    >>> round(parity_collapse_penalty(4), 6)
    0.303579
    """
    return symmetric_collapse(2, parity_margin(k))


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
    Derived in :mod:`marginlens.theory`, "Sparse parity".

    Examples
    --------
    >>> loss, norm = parity_minimum(4, 1e-4)
    >>> f"{loss:.4e} {norm:.4f}"
    '1.6472e-04 14.3475'
    """
    if not (math.isfinite(strength) and strength > 0):
        raise ValueError(
            f"strength: expected a finite positive number, got {strength}; for example 1e-4"
        )
    return symmetric_optimum(2, parity_margin(k), strength)


def parity_weights(
    bits: int, subset: tuple[int, ...]
) -> tuple[Float[np.ndarray, "bit neuron"], Float[np.ndarray, "answer neuron"]]:
    """Weights of a maximum-margin network of 2^(k-1) neurons, with sum ||omega||^(k+1) = 1.

    Neuron s has u = r s on the subset and 0 elsewhere, and w = (r / sqrt 2) prod_i s_i (1, -1), for
    every sign pattern s up to an overall sign, which the neuron does not feel. Answer 0 is that of
    inputs whose signs on the subset multiply to 1.

    Parameters
    ----------
    bits
        n, length of the inputs.
    subset
        The k coordinates whose product is the answer, from 0.

    Raises
    ------
    ValueError
        If the subset is empty or names a coordinate twice or outside the inputs.

    Notes
    -----
    Morwani et al. 2024, Theorem 8; that so many are necessary is proved in
    :mod:`marginlens.theory`, "Sparse parity".

    Examples
    --------
    >>> u, w = parity_weights(3, (0, 2))
    >>> np.sign(u).tolist(), np.sign(w).tolist()
    ([[1.0, -1.0], [0.0, 0.0], [1.0, 1.0]], [[1.0, -1.0], [-1.0, 1.0]])
    """
    k = len(subset)
    if not k or len(set(subset)) < k or min(subset) < 0 or max(subset) >= bits:
        raise ValueError(f"subset must name different coordinates 0 to {bits - 1}, got {subset}")
    width = parity_width(k)
    signs = 1.0 - 2.0 * (np.arange(width) >> np.arange(k)[:, None] & 1)
    signs[k - 1] = 1.0
    radius = width ** (-1.0 / (k + 1)) / math.sqrt(k + 1.0)
    u = np.zeros((bits, width))
    u[list(subset)] = radius * signs
    w = radius / math.sqrt(2.0) * np.outer([1.0, -1.0], signs.prod(axis=0))
    return u, w
