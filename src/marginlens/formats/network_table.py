"""Group of a network's own answers."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup

__all__ = ["own_group", "same_group"]

_MOST_IMAGES = 20_000
"""Images of the generators that are tried."""


def own_group(answers: Float[np.ndarray, "row class"], name: str) -> FiniteGroup | None:
    """Return the group whose Cayley table the answers form, or ``None``.

    Parameters
    ----------
    answers
        Logits on all pairs of elements, the second one fastest.
    name
        Name for the group in reports.
    """
    n = answers.shape[1]
    if len(answers) != n * n:
        return None
    try:
        return FiniteGroup(answers.argmax(1).reshape(n, n), name)
    except ValueError:
        return None


def same_group(first: FiniteGroup, second: FiniteGroup) -> bool:
    """Return whether two groups are isomorphic.

    Orders of elements and sizes of their classes are compared first; then images of generators of the
    first group are tried, among the elements that agree in both, until one extends to an isomorphism.
    Where more than 20,000 images would have to be tried, orders and classes decide.

    Parameters
    ----------
    first, second
        Groups of any order.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> same_group(group("D4"), group("Q8")), same_group(group("S3"), group("D3"))
    (False, True)
    """
    if first.order != second.order:
        return False
    kinds = [np.stack([g.element_orders, g.class_sizes[g.class_of]], 1) for g in (first, second)]
    if sorted(kinds[0].tolist()) != sorted(kinds[1].tolist()):
        return False
    if first.generator is not None or second.generator is not None:
        return True
    generators = first.generators
    images = [np.flatnonzero((kinds[1] == kinds[0][g]).all(1)) for g in generators]
    words = _words(first)
    for tried, chosen in enumerate(itertools.product(*images)):
        if tried >= _MOST_IMAGES:
            return True
        if _extends(
            first,
            second,
            words,
            {g: int(image) for g, image in zip(generators, chosen, strict=True)},
        ):
            return True
    return False


def _words(group: FiniteGroup) -> list[tuple[int, int, int]]:
    """Yield each element but the identity with its predecessor and generator, breadth first."""
    seen, queue = {group.identity}, [group.identity]
    found = []
    for element in queue:
        for generator in group.generators:
            product = int(group.table[element, generator])
            if product not in seen:
                seen.add(product)
                queue.append(product)
                found.append((product, element, generator))
    return found


def _extends(
    first: FiniteGroup,
    second: FiniteGroup,
    words: list[tuple[int, int, int]],
    images: dict[int, int],
) -> bool:
    image: Int[np.ndarray, " element"] = np.full(first.order, second.identity)
    for product, element, generator in words:
        image[product] = second.table[image[element], images[generator]]
    if len(np.unique(image)) != first.order:
        return False
    return all(
        np.array_equal(image[first.table[:, g]], second.table[image, image[g]])
        for g in first.generators
    )
