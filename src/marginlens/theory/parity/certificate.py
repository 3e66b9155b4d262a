"""Brute-force certificate of the maximum margin of a sparse parity."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from marginlens.display import Displayed
from marginlens.theory.parity.program import parity_weights

__all__ = ["ParityVerification", "certify_parity"]

_GREATEST_BITS = 16
_GREATEST_MONOMIALS = 200_000


@dataclass(frozen=True)
class ParityVerification(Displayed):
    """Result of certifying a parity by brute force over all inputs.

    Attributes
    ----------
    lower
        Normalized margin of the explicit network, evaluated on all 2^n inputs.
    upper
        Bound on the mean gain of any neuron of norm one, hence on every network's margin.
    neurons, rows
        Of the explicit network, and the number of inputs.
    monomials
        Number of monomials of degree k whose mean over the inputs was computed.
    necessary
        Whether no network with fewer neurons reaches the margin.
    """

    lower: float
    upper: float
    neurons: int
    rows: int
    monomials: int
    necessary: bool

    @property
    def gap(self) -> float:
        """Relative gap (upper - lower) / upper."""
        return (self.upper - self.lower) / self.upper

    def holds(self, tolerance: float = 1e-12) -> bool:
        """Return whether the bounds meet, and fewer neurons do not suffice.

        Parameters
        ----------
        tolerance
            Greatest accepted relative difference of the bounds.
        """
        return abs(self.gap) <= tolerance and self.necessary


def certify_parity(bits: int, k: int) -> ParityVerification:
    """Compute both bounds of the maximum L_{2,k+1} margin of (n, k)-sparse parity with x^k.

    **Upper.** The mean margin of a neuron is sqrt(2) ||w|| at most times the mean of (u . x)^k
    y(x),
    a polynomial in u: its coefficients are k! / (m_1! ... m_n!) times the mean of x^m y(x), which
    are
    computed as integers over all 2^n inputs. Only prod_{i in S} u_i is left, with coefficient k!,
    and
    the inequality of arithmetic and geometric means bounds it on the unit sphere.

    **Lower.** The margin of the network of :func:`parity_weights` on every input.

    **Fewer neurons.** A network of the maximum margin has neurons of the explicit shape, with
    masses
    mu(s) on sign patterns s, and its margin at x is their convolution with h(t) = (sum t)^k prod t
    on
    {1, -1}^k. All margins are equal, so mu has no Fourier coefficient where h has one, except the
    mean. If h has one on every nonempty subset of even size, mu is uniform on patterns up to an
    overall sign: all 2^(k-1) are needed. The coefficients are computed as integers.

    Parameters
    ----------
    bits, k
        Number n of bits and number k of relevant bits; small, since all inputs are listed.

    Raises
    ------
    ValueError
        The number k is not in 1 to n, or the inputs are too many to list.

    Notes
    -----
    Morwani et al. 2024, Theorem 8, is not used.

    Examples
    --------
    >>> found = certify_parity(6, 3)
    >>> f"{found.lower:.9f} {found.upper:.9f}", found.monomials, found.holds()
    ('0.530330086 0.530330086', 56, True)
    """
    if not 1 <= k <= bits:
        raise ValueError(f"k: expected 1 to {bits}, the number of bits, got {k}")
    count = math.comb(bits + k - 1, k)
    if bits > _GREATEST_BITS or count > _GREATEST_MONOMIALS:
        raise ValueError(
            f"parity({bits},{k}): expected at most {_GREATEST_BITS} bits and "
            f"{_GREATEST_MONOMIALS} monomials to list, got {count} monomials; for example "
            "(10,4)"
        )
    rows = np.arange(2**bits)
    x = (1 - 2 * (rows[:, None] >> np.arange(bits) & 1)).astype(np.int64)
    y = x[:, :k].prod(axis=1)
    return ParityVerification(
        lower=_margin(x, y, k),
        upper=_bound(x, y, k),
        neurons=parity_weights(bits, tuple(range(k)))[0].shape[1],
        rows=len(x),
        monomials=count,
        necessary=_all_patterns_needed(k),
    )


def _margin(x: np.ndarray, y: np.ndarray, k: int) -> float:
    u, w = parity_weights(x.shape[1], tuple(range(k)))
    logits = (x @ u) ** k @ w.T
    norms = np.sqrt((u**2).sum(axis=0) + (w**2).sum(axis=0))
    return float((y * (logits[:, 0] - logits[:, 1])).min() / (norms ** (k + 1)).sum())


def _bound(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Bound from the polynomial's coefficients; monomials other than the product must vanish."""
    bits = x.shape[1]
    remaining: dict[tuple[int, ...], int] = {}
    for monomial in itertools.combinations_with_replacement(range(bits), k):
        total = int((x[:, monomial].prod(axis=1) * y).sum())
        if total:
            powers = np.bincount(monomial, minlength=bits)
            multinomial = math.factorial(k) // math.prod(math.factorial(p) for p in powers.tolist())
            remaining[monomial] = multinomial * total
    if list(remaining) != [tuple(range(k))]:
        raise ArithmeticError(f"the mean margin has other monomials than the product: {remaining}")
    coefficient = remaining[tuple(range(k))] / len(x)
    # prod |u_i| <= (||u||^2 / k)^(k/2); with ||u||^2 + ||w||^2 = 1 the best is ||w||^2 = 1 / (k + 1)
    return coefficient * math.sqrt(2.0) * (k + 1.0) ** (-(k + 1) / 2)


def _all_patterns_needed(k: int) -> bool:
    """Return whether h(t) = (sum t)^k prod t has all even Fourier coefficients.

    The coefficients in question are those on nonempty subsets of even size.
    """
    t = 1 - 2 * (np.arange(2**k)[:, None] >> np.arange(k) & 1).astype(object)
    h = t.sum(axis=1) ** k * t.prod(axis=1)
    return all(
        int((h * t[:, list(subset)].prod(axis=1)).sum()) != 0
        for size in range(2, k + 1, 2)
        for subset in itertools.combinations(range(k), size)
    )
