"""Destructive interference: why many frequencies tell answers apart that one can hardly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Interference", "averaged_cosine", "interference"]


@dataclass(frozen=True, eq=False)
class Interference:
    """Lead of the right answer for averaged cosines of several frequencies.

    Attributes
    ----------
    order
        Order n of the cyclic group.
    sizes
        Numbers of frequencies in a set.
    best, median, worst
        Lead 1 - max over wrong answers, over the sets of so many frequencies that were tried.
    best_sets
        Best set of frequencies of each size.
    exhaustive
        Whether all sets of that size were tried.
    """

    order: int
    sizes: Int[np.ndarray, " size"]
    best: Float[np.ndarray, " size"]
    median: Float[np.ndarray, " size"]
    worst: Float[np.ndarray, " size"]
    best_sets: tuple[tuple[int, ...], ...]
    exhaustive: tuple[bool, ...]


def averaged_cosine(order: int, frequencies: Sequence[int]) -> Float[np.ndarray, " difference"]:
    """Return (1/m) sum_k cos(2 pi k d / n) for each difference d = c - (a + b).

    It is 1 at the right answer. Over all frequencies 1 to (n - 1) / 2 of an odd n it is -1 / (n -
    1)
    everywhere else.

    Parameters
    ----------
    order
        Order n of the cyclic group.
    frequencies
        Frequencies k of the m cosines.

    Examples
    --------
    >>> averaged_cosine(5, [1, 2]).round(3).tolist()
    [1.0, -0.25, -0.25, -0.25, -0.25]
    """
    turns = np.outer(np.array(frequencies), np.arange(order)) % order
    return np.cos(2 * np.pi * turns / order).mean(axis=0)


def interference(
    order: int, sizes: Sequence[int] | None = None, *, sets: int = 2000, seed: int = 0
) -> Interference:
    """Return the lead of the right answer for each number of frequencies.

    One frequency leads by 1 - cos(2 pi / n), of the order 1/n^2; all of them lead by n / (n - 1).

    Parameters
    ----------
    order
        Order n of the cyclic group, odd and at least 3.
    sizes
        Numbers of frequencies; by default 1, 2, 3, ... in growing steps to (n - 1) / 2.
    sets
        Number of sets to try per size: all if that many exist, else a random sample.
    seed
        Seed of the random sets.

    Raises
    ------
    ValueError
        The order is even or below 3, or a size is not in 1 to (n - 1) / 2.

    Examples
    --------
    >>> interference(23, [1, 11]).best.round(4).tolist()
    [0.0371, 1.0455]
    """
    if order < 3 or order % 2 == 0:
        raise ValueError(
            f"order: expected an odd number of at least 3, got {order}; for example 59"
        )
    half = (order - 1) // 2
    if sizes is None:
        sizes = sorted({min(half, round(1.3**j)) for j in range(60)})
    if not sizes or not all(1 <= size <= half for size in sizes):
        raise ValueError(f"sizes: expected 1 to {half} for order {order}, got {list(sizes)}")
    generator = np.random.default_rng(seed)
    ones = np.arange(1, half + 1)
    waves = np.cos(2 * np.pi * (np.outer(ones, ones) % order) / order)
    leads, chosen_sets, exhaustive = [], [], []
    for size in sizes:
        everything = math.comb(half, size) <= sets
        chosen = (
            list(itertools.combinations(range(half), size))
            if everything
            else [tuple(sorted(generator.permutation(half)[:size].tolist())) for _ in range(sets)]
        )
        lead = np.array([1 - waves[list(one)].mean(axis=0).max() for one in chosen])
        leads.append((lead.max(), float(np.median(lead)), lead.min()))
        chosen_sets.append(tuple(k + 1 for k in chosen[int(lead.argmax())]))
        exhaustive.append(everything)
    best, median, worst = np.array(leads).T
    return Interference(
        order, np.array(list(sizes)), best, median, worst, tuple(chosen_sets), tuple(exhaustive)
    )
