"""What the automorphisms of a group do to its irreps."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Int

from marginlens.groups.finite_group import FiniteGroup

__all__ = ["feature_permutations", "outer_automorphisms"]

_MOST_WORK = 50_000_000  # choices of images times the order: some seconds
_BATCH = 1 << 22  # entries looked at together


def feature_permutations(group: FiniteGroup) -> Int[np.ndarray, "permutation feature"]:
    r"""Permutations of the nontrivial classes of irreps that automorphisms induce.

    An automorphism α takes ρ to ρ∘α; inner ones fix every class, so what acts is Out(G). On a cyclic
    group α(x) = ax takes the frequency k to ak, for every a prime to n.

    Returns
    -------
    numpy.ndarray
        Each distinct one as positions: feature i goes to ``row[i]``. They form a group.

    Raises
    ------
    ValueError
        If the group has too many generators to try all their images.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> feature_permutations(group("C7")).tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    >>> feature_permutations(group("A5")).tolist()  # the two of degree 3 are exchanged
    [[0, 1, 2, 3], [1, 0, 2, 3]]
    """
    if group.generator is not None:
        n = group.order
        frequencies = np.arange(1, n // 2 + 1)
        units = [a for a in range(1, n) if math.gcd(a, n) == 1]
        products = np.outer(units, frequencies) % n
        return np.unique(np.minimum(products, n - products) - 1, axis=0)
    return induced(group, outer_automorphisms(group))


def induced(
    group: FiniteGroup, automorphisms: Int[np.ndarray, "automorphism element"]
) -> Int[np.ndarray, "permutation feature"]:
    """The distinct permutations of nontrivial irrep classes that some automorphisms induce."""
    characters, class_of = group.characters, group.class_of
    representatives = np.unique(class_of, return_index=True)[1]
    moved = np.unique(class_of[automorphisms[:, representatives]], axis=0)
    irreps = group.irrep_classes[1:]
    where = {row: i for i, irrep in enumerate(irreps) for row in irrep.members}
    permutations = []
    for columns in moved:
        row = []
        for irrep in irreps:
            image = characters[irrep.members[0]][columns]
            row.append(where[int(np.abs(characters - image).max(1).argmin())])
        permutations.append(row)
    return np.unique(np.array(permutations, dtype=np.int64).reshape(-1, len(irreps)), axis=0)


def outer_automorphisms(group: FiniteGroup) -> Int[np.ndarray, "automorphism element"]:
    """Automorphisms that together with the inner ones give all: the image of each element.

    Every choice of images for a generating set is tried that keeps orders and sizes of conjugacy
    classes, that of the first generator up to conjugacy, and kept if it extends to a bijective
    homomorphism.

    Raises
    ------
    ValueError
        If there are too many choices, some 140,000 for a group of order 360.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> len(outer_automorphisms(group("C5")))
    4
    """
    table, generators = group.table, group.generators
    orders, classes = group.element_orders, group.class_of
    kinds = np.stack([orders, group.class_sizes[classes]], axis=1)
    choices = [np.flatnonzero((kinds == kinds[g]).all(1)) for g in generators]
    if choices:
        choices[0] = choices[0][np.unique(classes[choices[0]], return_index=True)[1]]
    count = math.prod(len(some) for some in choices)
    if count * group.order > _MOST_WORK:
        raise ValueError(
            f"{group.name} has {count:.1e} choices of images for its {len(generators)} generators, too "
            f"many to look for its automorphisms; {_MOST_WORK // group.order} would be tried"
        )
    words = _words(group)
    found = []
    images = itertools.product(*choices)
    batch = max(1, _BATCH // group.order)
    while some := list(itertools.islice(images, batch)):
        image = np.array(some, dtype=np.int64).reshape(len(some), len(generators))
        phi = np.full((len(some), group.order), group.identity)
        for element, parent, generator in words:
            phi[:, element] = table[phi[:, parent], image[:, generator]]
        good = (np.sort(phi, axis=1) == np.arange(group.order)).all(1)
        for i, g in enumerate(generators):
            good &= (phi[:, table[:, g]] == table[phi, image[:, i : i + 1]]).all(1)
        found.append(phi[good])
    return np.concatenate(found)


def _words(group: FiniteGroup) -> list[tuple[int, int, int]]:
    """Every element but the identity as an earlier one times a generator, breadth first."""
    reached, words = {group.identity}, []
    queue = [group.identity]
    for parent in queue:
        for i, g in enumerate(group.generators):
            element = int(group.table[parent, g])
            if element not in reached:
                reached.add(element)
                queue.append(element)
                words.append((element, parent, i))
    return words
