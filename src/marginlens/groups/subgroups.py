"""All subgroups of a small group, and their cosets."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from marginlens.errors import MarginLensError
from marginlens.groups.finite_group import FiniteGroup

__all__ = ["GREATEST_ORDER", "left_cosets", "right_cosets", "subgroups"]

GREATEST_ORDER = 200


def subgroups(group: FiniteGroup) -> list[Bool[np.ndarray, " element"]]:
    """Every subgroup, as a mask of its elements, from the trivial one to the whole group.

    Cyclic extension: the joins of subgroups found so far with cyclic ones, until there are no new ones.

    Raises
    ------
    ValueError
        If the group has more than ``GREATEST_ORDER`` elements.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> [int(mask.sum()) for mask in subgroups(group("S3"))]
    [1, 2, 2, 2, 3, 6]
    """
    n = group.order
    if n > GREATEST_ORDER:
        raise MarginLensError(
            f"{group.name} has {n} elements; subgroups are listed up to order {GREATEST_ORDER}"
        )
    cyclic = {_generated(group, np.arange(n) == g).tobytes() for g in range(n)}
    found = set(cyclic)
    fresh = list(cyclic)
    while fresh:
        new = []
        for one in fresh:
            mask = np.frombuffer(one, dtype=bool)
            for other in cyclic:
                both = mask | np.frombuffer(other, dtype=bool)
                if both.sum() == mask.sum():
                    continue
                joined = _generated(group, both).tobytes()
                if joined not in found:
                    found.add(joined)
                    new.append(joined)
        fresh = new
    masks = [np.frombuffer(one, dtype=bool).copy() for one in found]
    return sorted(masks, key=lambda mask: (int(mask.sum()), np.flatnonzero(mask).tolist()))


def _generated(group: FiniteGroup, mask: Bool[np.ndarray, " element"]) -> np.ndarray:
    """The least subgroup that holds the elements: products until there are no new ones."""
    mask = mask.copy()
    mask[group.identity] = True
    while True:
        members = np.flatnonzero(mask)
        before = len(members)
        mask[group.table[np.ix_(members, members)].ravel()] = True
        if mask.sum() == before:
            return mask


def left_cosets(
    group: FiniteGroup, subgroup: Bool[np.ndarray, " element"]
) -> Int[np.ndarray, " element"]:
    """For each element a the number of its coset aH: the least element in it."""
    return group.table[:, np.flatnonzero(subgroup)].min(1)


def right_cosets(
    group: FiniteGroup, subgroup: Bool[np.ndarray, " element"]
) -> Int[np.ndarray, " element"]:
    """For each element b the number of its coset Hb."""
    return group.table[np.flatnonzero(subgroup)].min(0)
