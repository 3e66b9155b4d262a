"""Tests of a selection law for proved and conjectured symmetries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "SYMMETRY_TESTS",
    "SymmetryTest",
    "exchangeability_test",
    "holm",
    "invariance_test",
    "orbit_exchangeability_test",
    "uniformity_test",
]

DRAWS = 20_000
_MOST_SETS = 20_000
_COUNTED = 2000  # sets of a class that are counted one by one in a simulation

_ENTRIES = 1 << 21  # counts drawn together

Key = Bool[np.ndarray, "run feature"]
Permutations = Int[np.ndarray, "permutation feature"]
Chosen = tuple[int, ...]


@dataclass(frozen=True)
class SymmetryTest:
    """Test of a hypothesis about a selection law.

    Attributes
    ----------
    name, hypothesis
        Short name of the test, and the hypothesis in a sentence.
    statistic, degrees_of_freedom
        Pearson's chi-squared, summed over the strata that are conditioned on.
    p_value
        Share of the laws drawn under the hypothesis that are at least as far from it, the observed
        one
        counted among them: (1 + hits) / (1 + draws). 1 where the test is not informative.
    informative
        Whether any outcome could contradict the hypothesis.
    """

    name: str
    hypothesis: str
    statistic: float
    degrees_of_freedom: int
    p_value: float
    informative: bool


def invariance_test(
    key: Key, permutations: Permutations, *, draws: int = DRAWS, seed: int = 0
) -> SymmetryTest:
    """Test whether key sets that a symmetry maps to each other are equally likely.

    Proved for the permutations that Out(G) induces: an automorphism permutes the coordinates of u,
    v
    and w, which neither the Gaussian start, nor loss, penalty, gradient or Adam can see.
    Conditional
    on how many runs fall in each orbit of sets, those of one orbit are then uniform.

    Parameters
    ----------
    key
        Whether each feature is key in each run, shape (run, feature).
    permutations
        Permutations of the features, shape (permutation, feature).
    draws
        Number of random laws under the hypothesis.
    seed
        Seed of the random laws.

    Examples
    --------
    >>> key = np.array([[True, False]] * 30 + [[False, True]] * 10)
    >>> test = invariance_test(key, np.array([[0, 1], [1, 0]]))
    >>> test.statistic, test.degrees_of_freedom, test.p_value < 0.01
    (10.0, 1, True)
    """
    strata = defaultdict(Counter)
    sizes = {}
    for chosen, count in _sets(key).items():
        images = _orbit(chosen, permutations)
        strata[images[0]][chosen] += count
        sizes[images[0]] = len(images)
    return _result(
        "invariance",
        "sets that a symmetry takes to each other are equally likely",
        [(list(c.values()), np.full(sizes[o], 1 / sizes[o])) for o, c in strata.items()],
        draws,
        seed,
    )


def exchangeability_test(
    key: Key, permutations: Permutations, *, draws: int = DRAWS, seed: int = 0
) -> SymmetryTest:
    """Test whether all sets with equally many features of each orbit are equally likely.

    If all features form one orbit, as on C_p, the hypothesis is that the key set is uniform among
    k-sets, given k.

    Parameters
    ----------
    key
        Whether each feature is key in each run, shape (run, feature).
    permutations
        Permutations of the features, shape (permutation, feature).
    draws
        Number of random laws under the hypothesis.
    seed
        Seed of the random laws.
    """
    orbits = feature_orbits(permutations)
    strata: dict[Chosen, Counter[Chosen]] = defaultdict(Counter)
    for chosen, count in _sets(key).items():
        strata[_sizes(chosen, orbits)][chosen] += count
    parts = []
    for sizes, counts in strata.items():
        total = math.prod(math.comb(len(o), k) for o, k in zip(orbits, sizes, strict=True))
        parts.append((list(counts.values()), total))
    return _result("exchangeability", "sets of one size are equally likely", parts, draws, seed)


def orbit_exchangeability_test(
    key: Key, permutations: Permutations, *, draws: int = DRAWS, seed: int = 0
) -> SymmetryTest:
    """Test whether sets of one size are equally likely *beyond* the proved symmetry.

    Under the hypothesis, given the sizes, the probability of an orbit of sets is proportional to
    its number of sets. With one orbit for each size this follows from the symmetry, and the test is
    not informative: on C_p for p = 5 and 7, whose frequencies permute cyclically; from p = 11 on it
    can fail.

    Parameters
    ----------
    key
        Whether each feature is key in each run, shape (run, feature).
    permutations
        Permutations of the features, shape (permutation, feature).
    draws
        Number of random laws under the hypothesis.
    seed
        Seed of the random laws.

    Raises
    ------
    ValueError
        A size has more than 20,000 sets.
    """
    orbits = feature_orbits(permutations)
    strata: dict[Chosen, Counter[Chosen]] = defaultdict(Counter)
    for chosen, count in _sets(key).items():
        strata[_sizes(chosen, orbits)][_orbit(chosen, permutations)[0]] += count
    parts = []
    for sizes, counts in strata.items():
        total = math.prod(math.comb(len(o), k) for o, k in zip(orbits, sizes, strict=True))
        if total > _MOST_SETS:
            raise ValueError(
                f"there are {total} sets of size {sum(sizes)}; orbits are listed up to {_MOST_SETS}"
            )
        every = Counter(
            _orbit(tuple(sorted(sum(some, ()))), permutations)[0]
            for some in product(*(combinations(o, k) for o, k in zip(orbits, sizes, strict=True)))
        )
        names = sorted(every)
        shares = np.array([every[name] for name in names]) / total
        parts.append(([counts[name] for name in names], shares))
    return _result(
        "exchangeability beyond symmetry",
        "orbits of sets of one size are hit by their size",
        parts,
        draws,
        seed,
    )


def uniformity_test(
    key: Key, permutations: Permutations, *, draws: int = DRAWS, seed: int = 0
) -> SymmetryTest:
    """Test whether features that a symmetry maps to each other are key equally often.

    The statistic is sum (count - mean)^2 / mean over the features of each orbit. As the features of
    one
    run are not independent, it is not compared with a chi-squared distribution but with laws in
    which each run's set is replaced by a random image of it under the symmetry.

    Parameters
    ----------
    key
        Whether each feature is key in each run, shape (run, feature).
    permutations
        Permutations of the features, shape (permutation, feature).
    draws
        Number of random laws under the hypothesis.
    seed
        Seed of the random laws.
    """
    orbits = [list(orbit) for orbit in feature_orbits(permutations) if len(orbit) > 1]
    rng = np.random.default_rng(seed)
    simulated = np.zeros((draws, key.shape[1]))
    for chosen, count in _sets(key).items():
        images = np.zeros((len(permutations), key.shape[1]))
        for row, permutation in zip(images, permutations, strict=True):
            row[permutation[list(chosen)]] = 1
        even = np.full(len(permutations), 1 / len(permutations))
        for some in _chunks(draws, len(permutations)):
            drawn = rng.multinomial(count, even, size=some.stop - some.start)
            simulated[some] += drawn @ images

    def distance(counts: np.ndarray) -> np.ndarray:
        total = np.zeros(counts.shape[:-1])
        for orbit in orbits:
            part = counts[..., orbit]
            mean = part.mean(-1, keepdims=True)
            total += np.divide(
                (part - mean) ** 2, mean, out=np.zeros_like(part), where=mean > 0
            ).sum(-1)
        return total

    counts = key.sum(0).astype(float)
    observed = float(distance(counts))
    moved = [((n := key[:, orbit].sum(1)) > 0) & (n < len(orbit)) for orbit in orbits]
    degrees = sum(len(orbit) - 1 for orbit, runs in zip(orbits, moved, strict=True) if runs.any())
    return SymmetryTest(
        "uniformity",
        "features that a symmetry takes to each other are key equally often",
        observed,
        degrees,
        _p_value(observed, distance(simulated), degrees),
        degrees > 0,
    )


SYMMETRY_TESTS: Mapping[str, Callable[[Key, Permutations], SymmetryTest]] = MappingProxyType(
    {
        "invariance": invariance_test,
        "uniformity": uniformity_test,
        "exchangeability": exchangeability_test,
        "exchangeability beyond symmetry": orbit_exchangeability_test,
    }
)
"""The tests by the names that they give their results."""


def feature_orbits(permutations: Permutations) -> list[Chosen]:
    """Return the sets of features that the permutations map to each other.

    Parameters
    ----------
    permutations
        Permutations of the features, shape (permutation, feature).
    """
    return sorted({tuple(sorted(set(column.tolist()))) for column in permutations.T})


def holm(p_values: Sequence[float]) -> Float[np.ndarray, " test"]:
    """Return p-values adjusted for their number by Holm's method (1979).

    Parameters
    ----------
    p_values
        P-values of the tests.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def _sets(key: Key) -> Counter[Chosen]:
    """Observed sets, in an order that does not depend on that of the runs."""
    counted = Counter(tuple(np.flatnonzero(row).tolist()) for row in key)
    return Counter({chosen: counted[chosen] for chosen in sorted(counted)})


def _orbit(chosen: Chosen, permutations: Permutations) -> list[Chosen]:
    images: Iterable[np.ndarray] = permutations[:, list(chosen)]
    return sorted({tuple(sorted(image.tolist())) for image in images})


def _sizes(chosen: Chosen, orbits: list[Chosen]) -> Chosen:
    return tuple(len(set(orbit).intersection(chosen)) for orbit in orbits)


def _result(
    name: str,
    hypothesis: str,
    parts: list[tuple[list[int], np.ndarray | int]],
    draws: int,
    seed: int,
) -> SymmetryTest:
    """Chi-squared of strata with their expected shares, or the number of equally likely sets."""
    rng = np.random.default_rng(seed)
    observed, degrees = 0.0, 0
    simulated = np.zeros(draws)
    for counts, shares in parts:
        runs = sum(counts)
        size = shares if isinstance(shares, int) else len(shares)
        if size == 1 or runs == 1:  # whatever set it is, it fits
            continue
        degrees += size - 1
        if isinstance(shares, int) and size > _COUNTED:
            observed += size / runs * sum(c * c for c in counts) - runs
            for i in range(draws):  # most sets are not met: only coincidences count
                met = np.unique(rng.integers(0, min(size, 2**62), runs), return_counts=True)[1]
                simulated[i] += size / runs * float(np.square(met).sum()) - runs
            continue
        even = np.full(size, 1 / size) if isinstance(shares, int) else shares
        expected = runs * even
        seen = np.zeros(size)
        seen[: len(counts)] = counts
        observed += float(((seen - expected) ** 2 / expected).sum())
        for some in _chunks(draws, size):
            drawn = rng.multinomial(runs, even, size=some.stop - some.start)
            simulated[some] += ((drawn - expected) ** 2 / expected).sum(1)
    return SymmetryTest(
        name, hypothesis, observed, degrees, _p_value(observed, simulated, degrees), degrees > 0
    )


def _chunks(draws: int, size: int) -> Iterator[slice]:
    """Draws that are made together; how they are cut does not change them."""
    step = max(1, _ENTRIES // size)
    for start in range(0, draws, step):
        yield slice(start, min(start + step, draws))


def _p_value(observed: float, simulated: np.ndarray, degrees: int) -> float:
    if not degrees:
        return 1.0
    hits = int((simulated >= observed * (1 - 1e-12)).sum())
    return (1 + hits) / (1 + len(simulated))
