"""Order of a large permutation group, by the random Schreier–Sims algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

__all__ = ["permutation_order"]

_TRIVIAL_IN_A_ROW = 40  # a proper subgroup holds at most half of the elements


def permutation_order(generators: Sequence[Int[np.ndarray, " point"]]) -> int:
    """Return the order of the group that permutations generate.

    A chain of point stabilisers, G = G₀ > G₁ > …, with the orbit of a new point in each: the order
    is the product of their lengths. Random elements are divided by coset representatives; a
    nontrivial remainder is a new generator of a later stabiliser. The search ends after forty
    random elements in a row without a remainder; the result is then too small with probability of
    about 2^−40.

    Parameters
    ----------
    generators
        Images of the points 0, 1, … under each permutation, shape (point,); at least one
        permutation.

    Notes
    -----
    Seress 2003, *Permutation Group Algorithms*, section 4.3.

    Examples
    --------
    >>> permutation_order([np.array([1, 2, 3, 0]), np.array([1, 0, 2, 3])])
    24
    """
    points = np.arange(len(generators[0]))
    chain: list[_Level] = []
    for generator in generators:
        _sift(generator, chain)
        if chain:
            chain[0].add(generator)
    random = np.random.default_rng(0)
    # Product replacement: a pool whose products walk over the group.
    pool = [generators[i % len(generators)].copy() for i in range(max(len(generators), 12))]
    accumulator = points

    def step() -> np.ndarray:
        nonlocal accumulator
        i, j = random.choice(len(pool), size=2, replace=False)
        factor = pool[j] if random.random() < 0.5 else np.argsort(pool[j])
        pool[i] = pool[i][factor] if random.random() < 0.5 else factor[pool[i]]
        accumulator = accumulator[pool[i]]
        return accumulator

    for _ in range(10 * len(pool)):
        step()
    trivial = 0
    while trivial < _TRIVIAL_IN_A_ROW:
        trivial = 0 if _sift(step(), chain) else trivial + 1
    order = 1
    for level in chain:
        order *= len(level.orbit)
    return order


@dataclass
class _Level:
    """Orbit of a point under the stabiliser of the earlier points.

    Attributes
    ----------
    point
        Point whose orbit this level holds.
    generators
        Elements of the stabiliser found so far.
    orbit
        Points that the stabiliser moves `point` to.
    representative
        Row q: an element that moves `point` to q, for q in the orbit.
    known
        Mask of the points in the orbit.
    """

    point: int
    generators: list[np.ndarray]
    orbit: list[int]
    representative: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, point: int, degree: int) -> _Level:
        representative = np.zeros((degree, degree), dtype=np.int64)
        representative[point] = np.arange(degree)
        known = np.zeros(degree, dtype=bool)
        known[point] = True
        return cls(point, [], [point], representative, known)

    def add(self, generator: np.ndarray) -> None:
        """Add a generator and extend the orbit."""
        self.generators.append(generator)
        done = len(self.orbit)
        self._reach(np.array(self.orbit), generator)
        while done < len(self.orbit):
            new = np.array(self.orbit[done:])
            done = len(self.orbit)
            for each in self.generators:
                self._reach(new, each)

    def _reach(self, sources: np.ndarray, generator: np.ndarray) -> None:
        for source in sources[~self.known[generator[sources]]].tolist():
            image = int(generator[source])
            self.known[image] = True
            self.representative[image] = generator[self.representative[source]]
            self.orbit.append(image)


def _sift(element: np.ndarray, chain: list[_Level]) -> bool:
    """Divide an element by the chain, which takes a nontrivial remainder; return if it did."""
    depth = 0
    for level in chain:
        image = element[level.point]
        if not level.known[image]:
            break
        element = np.argsort(level.representative[image])[element]
        depth += 1
    moved = np.flatnonzero(element != np.arange(len(element)))
    if not len(moved):
        return False
    if depth == len(chain):
        chain.append(_Level.of(int(moved[0]), len(element)))
    for level in chain[min(depth, 1) : depth + 1]:  # the first has generators of the whole group
        level.add(element)
    return True
