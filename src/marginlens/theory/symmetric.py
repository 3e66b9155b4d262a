"""Minimum at a penalty for networks with equal margins over all wrong answers."""

from __future__ import annotations

import math

__all__ = ["symmetric_collapse", "symmetric_optimum"]


def symmetric_collapse(answers: int, margin: float) -> float:
    """Return the strength gamma* (n - 1) / n from which on the minimum is zero.

    Parameters
    ----------
    answers
        Number n of answers, at least 2.
    margin
        Normalized margin gamma* of the networks.

    Examples
    --------
    >>> symmetric_collapse(2, 0.5)
    0.25
    """
    return margin * (answers - 1) / answers


def symmetric_optimum(answers: int, margin: float, strength: float) -> tuple[float, float]:
    """Return cross-entropy and norm at the minimum over networks with equal margins.

    The objective is log(1 + (n - 1) exp(-gamma* N)) + strength N, with the minimum at N = log((n -
    1) (gamma* / strength - 1)) / gamma*, or at 0 from :func:`symmetric_collapse` on.

    Parameters
    ----------
    answers
        Number n of answers, at least 2.
    margin
        Maximum margin gamma*, or the normalized margin of the networks in question.
    strength
        Penalty strength lambda, positive.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "At a finite penalty", "Sparse parity" and
    "Other activations".

    Examples
    --------
    >>> from marginlens.theory import cyclic_margin
    >>> loss, norm = symmetric_optimum(23, cyclic_margin(23), 1e-4)
    >>> f"{loss:.7f} {norm:.2f}"
    '0.0395376 2442.94'
    """
    norm = 0.0
    if strength < symmetric_collapse(answers, margin):
        norm = math.log((answers - 1) * (margin / strength - 1.0)) / margin
    return math.log1p((answers - 1) * math.exp(-margin * norm)), norm
