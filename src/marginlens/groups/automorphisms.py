"""Automorphisms of a finite group and their permutations of its irreps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError
from marginlens.groups.finite_group import FiniteGroup

__all__ = ["feature_permutations", "outer_automorphisms"]

_MOST_ENTRIES = 1 << 28
"""Bound on (images of the generators to be tried) x order: seconds."""

_CHUNK = 1 << 22
"""Entries of an array that are worked on at a time."""

_TRIES = 64
"""Generating sets looked at for the one with the fewest possible images."""


def feature_permutations(group: FiniteGroup) -> Int[np.ndarray, "permutation feature"]:
    r"""Return the permutations of the nontrivial irrep classes that automorphisms induce.

    An automorphism :math:`\alpha` maps the irrep :math:`\rho` to :math:`\rho \circ \alpha`; inner
    automorphisms fix every irrep. So the rows are the image of Out(G) in the permutations of the
    features: closed under composition, the identity first, sorted. Entry j of a row is where
    feature j goes, both counted from 0 in `group.irrep_classes[1:]`.

    Relabelling the entries of u, v and w by an automorphism preserves the task's table, an
    initialisation with independent, identically distributed entries, the loss, a penalty on norms
    and Adam. Hence the distribution of the features that training selects is invariant under these
    permutations.

    Parameters
    ----------
    group
        Finite group. Automorphisms of a cyclic group are k → ±a k for a prime to n; those of other
        groups come from :func:`outer_automorphisms`.

    Returns
    -------
    Int[np.ndarray, "permutation feature"]
        Distinct permutations in lexicographic order, the identity first; entries count from 0.

    Raises
    ------
    MarginLensError
        The group has too many candidate images of its generators, see :func:`outer_automorphisms`.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> feature_permutations(group("C7")).tolist()  # of k=1, k=2, k=3
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    >>> feature_permutations(group("A5")).tolist()  # of 3a, 3b, 4a, 5a
    [[0, 1, 2, 3], [1, 0, 2, 3]]
    """
    if group.generator is not None:
        return _frequency_permutations(group.order)
    maps = outer_automorphisms(group)
    classes = np.unique(group.class_of[maps[:, group.class_representatives]], axis=0)
    rows = [irrep.members[0] for irrep in group.irrep_classes]
    # Re χ of different classes of irreps are orthogonal.
    values = np.real(group.characters[rows])
    weighted = (values * group.class_sizes).T
    step = max(_CHUNK // values.size, 1)
    found = [
        (np.moveaxis(values[:, some], 1, 0) @ weighted).argmax(axis=2)[:, 1:] - 1
        for some in np.split(classes, range(step, len(classes), step))
    ]
    return np.unique(np.concatenate(found), axis=0)


def _frequency_permutations(order: int) -> Int[np.ndarray, "permutation feature"]:
    frequencies = np.arange(1, order // 2 + 1)
    units = [a for a in range(1, max(order, 2)) if math.gcd(a, order) == 1]
    images = np.outer(units, frequencies) % order
    return np.unique(np.minimum(images, order - images) - 1, axis=0)


def outer_automorphisms(group: FiniteGroup) -> Int[np.ndarray, "automorphism element"]:
    r"""Return one automorphism of each class of Out(G) = Aut(G) / Inn(G), the identity first.

    An automorphism is determined by its images of a generating set. They are chosen one generator
    after the other, among elements with the generator's invariants (order, size and powers of its
    conjugacy class, and the same for its products with the earlier generators), and up to
    conjugation by what centralises the images before: up to inner automorphisms exactly. Each
    remaining choice is extended to the group along words in the generators, and kept where
    :math:`\alpha(x g) = \alpha(x) \alpha(g)` for all x and every generator g, and only the identity
    goes to the identity.

    Parameters
    ----------
    group
        Finite group whose generators have few possible images.

    Returns
    -------
    Int[np.ndarray, "automorphism element"]
        Image of each element under each automorphism.

    Raises
    ------
    MarginLensError
        The search would try too many images of the generators, as in C2xC2xC2xC2xC2.

    Notes
    -----
    Search over images of generators as in Holt, Eick and O'Brien 2005, *Handbook of Computational
    Group Theory*, section 8.9 and chapter 4.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> len(outer_automorphisms(group("Q8"))), len(outer_automorphisms(group("S4")))
    (6, 1)
    >>> outer_automorphisms(group("C4")).tolist()
    [[0, 1, 2, 3], [0, 3, 2, 1]]
    """
    colour = _colours(group)[group.class_of]
    generators = _few_images(group, colour)
    images = np.zeros((1, 0), dtype=np.int64)
    for position in range(len(generators)):
        images = _one_more(group, colour, generators, position, images)
    maps = [np.arange(group.order)[None]]
    step = max(_CHUNK // group.order, 1)
    words = _words(group, generators)
    for start in range(0, len(images), step):
        maps.append(_automorphisms(group, generators, words, images[start : start + step]))
    return np.unique(np.concatenate(maps), axis=0)


def _colours(group: FiniteGroup) -> Int[np.ndarray, " klass"]:
    """Number the conjugacy classes so that automorphisms preserve the numbers."""
    size = len(group.class_sizes)
    primes = [q for q in range(2, group.order + 1) if group.order % q == 0 and _is_least(q)]
    representatives = group.class_representatives
    roots = [group.class_of[_power(group, representatives, q)] for q in [*primes, group.order - 1]]
    orders = group.element_orders[representatives]
    colour = np.unique(np.stack([orders, group.class_sizes], 1), axis=0, return_inverse=True)[1]
    number = 0
    while colour.max(initial=0) + 1 > number:
        number = colour.max(initial=0) + 1
        columns = [colour]
        for power in roots:  # the colour of each power, and how many of each colour have it
            columns.append(colour[power])
            above = np.zeros((size, number), dtype=np.int64)
            np.add.at(above, (power, colour), 1)
            columns.extend(above.T)
        colour = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)[1].reshape(-1)
    return colour


def _is_least(q: int) -> bool:
    return all(q % d for d in range(2, math.isqrt(q) + 1))


def _power(group: FiniteGroup, elements: np.ndarray, exponent: int) -> np.ndarray:
    result, square = np.full_like(elements, group.identity), elements
    while exponent:
        if exponent & 1:
            result = group.table[result, square]
        square, exponent = group.table[square, square], exponent >> 1
    return result


def _few_images(group: FiniteGroup, colour: np.ndarray) -> tuple[int, ...]:
    """Return a small generating set whose elements have few possible images."""
    alike = np.bincount(colour)[colour]
    random = np.random.default_rng(0)

    def images(generators: Sequence[int]) -> float:
        counts = [float(alike[g]) for g in generators]
        if counts:  # the first up to conjugation
            counts[0] /= float(group.class_sizes[group.class_of[generators[0]]])
        return math.prod(counts, start=1.0)

    best = group.generators
    for _ in range(_TRIES):
        found, inside = [], np.arange(group.order) == group.identity
        while not inside.all() and len(found) < len(best):
            outside = np.flatnonzero(~inside)
            tried = random.choice(outside, size=min(4, len(outside)), replace=False).tolist()
            grown = [_closure(group, [*found, g]) for g in tried]
            pick = max(range(len(tried)), key=lambda i: (grown[i].sum(), -alike[tried[i]]))
            found.append(tried[pick])
            inside = grown[pick]
        found.sort(key=lambda g: group.class_sizes[group.class_of[g]] / alike[g], reverse=True)
        if inside.all() and images(found) < images(best):
            best = tuple(found)
    return best


def _closure(group: FiniteGroup, generators: Sequence[int]) -> np.ndarray:
    """Return the mask of the subgroup generated by some elements."""
    reached = np.arange(group.order) == group.identity
    frontier = np.array([group.identity])
    while len(frontier):
        products = np.zeros(group.order, dtype=bool)
        products[group.table[frontier[:, None], np.array(generators)]] = True
        frontier = np.flatnonzero(products & ~reached)
        reached[frontier] = True
    return reached


def _one_more(
    group: FiniteGroup,
    colour: np.ndarray,
    generators: Sequence[int],
    position: int,
    images: np.ndarray,
) -> Int[np.ndarray, "tuple generator"]:
    """Extend each tuple of images by the possible images of one more generator."""
    new = generators[position]
    alike = np.flatnonzero(colour == colour[new])
    tried, possible = len(images) * len(alike), _MOST_ENTRIES // group.order
    if tried > possible:
        raise MarginLensError(
            f"{group.name}: expected at most {possible:,} candidate images of generators, got "
            f"{tried:,} (order {group.order}, {len(generators)} generators); for example "
            "C2xC2xC2xC2 or S6"
        )
    centre = np.flatnonzero((group.table == group.table.T).all(axis=1))
    rows = []
    for before in images:
        candidates = _up_to_conjugation(
            group, before, alike, len(centre), generators[: position + 1]
        )
        for old, image in zip(generators[:position], before, strict=True):
            for inverse in (False, True):  # colours of x y and of x⁻¹ y
                x, y = (group.inverses[old], group.inverses[image]) if inverse else (old, image)
                same = colour[group.table[y, candidates]] == colour[group.table[x, new]]
                candidates = candidates[same]
        rows.append(np.column_stack([np.tile(before, (len(candidates), 1)), candidates]))
    return np.concatenate(rows)


def _up_to_conjugation(
    group: FiniteGroup,
    before: np.ndarray,
    candidates: np.ndarray,
    centre: int,
    generators: Sequence[int],
) -> np.ndarray:
    """Return one candidate of each orbit under the centraliser of the earlier images.

    The generator itself represents its orbit if it is a candidate.
    """
    commutes = group.table[:, before] == group.table[before].T
    stabiliser = np.flatnonzero(commutes.all(axis=1))
    if len(stabiliser) == centre:
        return candidates
    moved = group.table[stabiliser[:, None], candidates]
    moved = group.table[moved, group.inverses[stabiliser][:, None]]
    least = moved.min(axis=0)
    chosen = np.unique(least)
    *old, new = generators
    if np.array_equal(before, old):
        chosen[chosen == least[candidates == new]] = new
    return chosen


def _words(group: FiniteGroup, generators: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return every element but 1 as a product: (element, earlier element, generator index)."""
    known = np.arange(group.order) == group.identity
    found: list[tuple[int, int, int]] = []
    queue = [group.identity]
    for x in queue:
        for which, g in enumerate(generators):
            y = int(group.table[x, g])
            if not known[y]:
                known[y] = True
                found.append((y, x, which))
                queue.append(y)
    return found


def _automorphisms(
    group: FiniteGroup,
    generators: Sequence[int],
    words: list[tuple[int, int, int]],
    images: Int[np.ndarray, "tuple generator"],
) -> Int[np.ndarray, "automorphism element"]:
    """Extend images of generators to maps and keep the bijective homomorphisms."""
    maps = np.full((group.order, len(images)), group.identity)
    for y, x, which in words:
        maps[y] = group.table[maps[x], images[:, which]]
    good = (maps == group.identity).sum(axis=0) == 1
    for which, g in enumerate(generators):
        good[good] = (
            maps[group.table[:, g]][:, good] == group.table[maps[:, good], images[good, which]]
        ).all(axis=0)
    return np.ascontiguousarray(maps[:, good].T)
