"""All subgroups of a small group, and their cosets."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from marginlens.errors import MarginLensError
from marginlens.groups.finite_group import FiniteGroup

__all__ = ["GREATEST_ORDER", "left_cosets", "right_cosets", "subgroups"]

GREATEST_ORDER = 200


def subgroups(group: FiniteGroup) -> list[Bool[np.ndarray, " element"]]:
    """Return every subgroup as a mask of its elements, from the trivial one to the group.

    Method: cyclic extension, which joins known subgroups with cyclic ones until no new subgroup
    appears.

    Parameters
    ----------
    group
        Finite group of at most ``GREATEST_ORDER`` elements.

    Raises
    ------
    MarginLensError
        The group has more than ``GREATEST_ORDER`` elements.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> [int(mask.sum()) for mask in subgroups(group("S3"))]
    [1, 2, 2, 2, 3, 6]
    """
    n = group.order
    if n > GREATEST_ORDER:
        raise MarginLensError(
            f"{group.name}: expected at most {GREATEST_ORDER} elements to list subgroups, got {n}"
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
    """Return the least subgroup that contains the elements, by repeated products."""
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
    """Return the left coset aH of each element a, numbered by the least element in it.

    Parameters
    ----------
    group
        Finite group G with a Cayley table.
    subgroup
        Mask of the elements of the subgroup H, shape (element,).
    """
    return group.table[:, np.flatnonzero(subgroup)].min(1)


def right_cosets(
    group: FiniteGroup, subgroup: Bool[np.ndarray, " element"]
) -> Int[np.ndarray, " element"]:
    """Return the right coset Hb of each element b, numbered by the least element in it.

    Parameters
    ----------
    group
        Finite group G with a Cayley table.
    subgroup
        Mask of the elements of the subgroup H, shape (element,).
    """
    return group.table[np.flatnonzero(subgroup)].min(0)
