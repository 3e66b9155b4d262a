"""Coordinates in which a binary operation is the product of a group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from marginlens.groups import FiniteGroup, group
from marginlens.tasks.task_types import Task

__all__ = ["GroupCoordinates", "group_coordinates"]


@dataclass(frozen=True, eq=False)
class GroupCoordinates:
    r"""Group that an operation becomes after renumbering its inputs and answers.

    With $\lambda$, $\rho$ and $\gamma$ the arrays below, $\lambda_i \circ \rho_j = \gamma_{ij}$
    where
    $ij$ is the group's product.

    Attributes
    ----------
    group
        Finite group; cyclic groups have their elements 0, 1, 2, ... in order.
    left, right, classes
        Element of the operation that each element of the group is as first input, as second input,
        and as answer, shape (element,).
    words
        Sentence about the renumbering for reports.
    """

    group: FiniteGroup
    left: Int[np.ndarray, " element"]
    right: Int[np.ndarray, " element"]
    classes: Int[np.ndarray, " element"]
    words: str


def group_coordinates(task: Task) -> GroupCoordinates | None:
    r"""Return the group behind a binary operation, on all elements or on the units modulo n.

    Every row and column of the table must hold each answer once; then $P(x \circ r, l \circ y) = x
    \circ y$, for an r and an l, is a table with an identity, and by Albert's theorem it is a
    group's
    exactly if the operation is a group's product up to renumbering of inputs and answers. So
    multiplication modulo a prime p is C_{p-1} on the units, by the discrete logarithm, and
    subtraction
    is C_n with the second input negated.

    Parameters
    ----------
    task
        Task over pairs of elements.

    Returns
    -------
    GroupCoordinates or None
        Coordinates, or ``None`` if neither all elements nor the units form such a table.

    References
    ----------
    A. A. Albert 1943, *Quasigroups I*, Trans. Amer. Math. Soc. 54.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> found = group_coordinates(task("xy mod 11"))
    >>> found.group.name, found.left.tolist()
    ('C10', [1, 2, 4, 8, 5, 10, 9, 7, 3, 6])
    >>> group_coordinates(task("x-y mod 5")).right.tolist()
    [0, 4, 3, 2, 1]
    >>> group_coordinates(task("x^2+y^2 mod 5")) is None
    True
    """
    if task.kind != "table" or task.factors != 2 or task.elements is None or not task.is_listed:
        return None
    table = np.full((task.size, task.size), -1)
    table[task.inputs[:, 0], task.inputs[:, 1]] = task.answers
    for elements in _subsets(task):
        found = _of_part(table, elements, task)
        if found is not None:
            return found
    return None


def _subsets(task: Task) -> Iterator[np.ndarray]:
    yield np.arange(task.size)
    units = np.array([a for a in range(task.size) if math.gcd(a, task.size) == 1])
    elements = task.elements
    if elements is not None and elements.name == f"C{task.size}" and len(units) > 1:
        yield units


def _of_part(table: np.ndarray, elements: np.ndarray, task: Task) -> GroupCoordinates | None:
    """Return coordinates on some of the elements, or ``None`` if these do not form a group."""
    part = table[np.ix_(elements, elements)]
    answers, numbers = np.unique(part, return_inverse=True)
    count = len(elements)
    if len(answers) != count or answers[0] < 0:
        return None
    numbers = numbers.reshape(part.shape)
    ordered = np.arange(count)
    if (np.sort(numbers, 0) != ordered[:, None]).any() or (np.sort(numbers, 1) != ordered).any():
        return None
    neutral = np.flatnonzero((part == elements[:, None]).all(0))
    right = int(neutral[0]) if len(neutral) else 0
    neutral = np.flatnonzero((part == elements).all(1))
    left = int(neutral[0]) if len(neutral) else right
    by_left, by_right = np.argsort(numbers[:, right]), np.argsort(numbers[left])
    product = numbers[np.ix_(by_left, by_right)]
    try:
        name = f"the units mod {task.size}" if count < task.size else f"the group of {task.name}"
        made = FiniteGroup(product, name)
    except ValueError:
        return None
    order = np.arange(count)
    one = int(answers[made.identity])
    words = f"the {count} {'elements' if count == task.size else 'units'}"
    generators = set(np.flatnonzero(made.element_orders == count).tolist())
    if generators:
        steps = (answers - one - 1) % task.size
        generator = next(int(g) for g in np.argsort(steps, kind="stable") if int(g) in generators)
        order = np.array(made.powers(generator))
        made = group(f"C{count}")
        if count < task.size:
            words += f", as powers of {answers[generator]} (discrete logarithm),"
    first, second, out = elements[by_left[order]], elements[by_right[order]], answers[order]
    if not (np.array_equal(first, second) and np.array_equal(first, out)):
        words += " with both inputs and the answers renumbered"
    return GroupCoordinates(made, first, second, out, f"{words} multiply as {made.name}")
