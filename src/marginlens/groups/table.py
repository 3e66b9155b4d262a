"""Validation of Cayley tables."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from marginlens.errors import MarginLensError

GREATEST_ORDER = 2000
"""Greatest order of a group accepted: characters, irreps and bases are dense order × order arrays."""

EXAMPLE_TABLE = "for example [[0, 1], [1, 0]] for C2"


def check_order(log10_order: float, what: str) -> None:
    """Refuse groups that are too large, before memory of their size is allocated.

    Parameters
    ----------
    log10_order
        Decimal logarithm of the order (an order such as 99! does not fit a float).
    what
        Name of the group in the error message.

    Raises
    ------
    MarginLensError
        The order exceeds `GREATEST_ORDER`; the message estimates the memory.
    """
    if log10_order <= math.log10(GREATEST_ORDER) + 1e-12:
        return
    # About ten order × order arrays of 8 bytes: the table, bases, irreps and work space.
    log10_gigabytes = math.log10(80) + 2 * log10_order - 9
    memory = f"{10**log10_gigabytes:.3g}" if log10_gigabytes < 6 else f"10^{log10_gigabytes:.0f}"
    order = f"{10**log10_order:.0f}" if log10_order < 9 else f"about 10^{log10_order:.0f}"
    raise MarginLensError(
        f"{what}: expected an order of at most {GREATEST_ORDER}, got {order}, which would take "
        f"about {memory} GB of memory; for example S6 (720)"
    )


def as_integer_square(
    table: ArrayLike, *, what: str = "the table"
) -> Int[np.ndarray, "element element"]:
    """Convert an array to a square array of integers.

    Parameters
    ----------
    table
        Nested list or array of integers, shape (element, element).
    what
        Name of the table in the error message.

    Raises
    ------
    MarginLensError
        The array is ragged, not square, empty, too large, or not of integers.
    """
    try:
        array = np.asarray(table)
    except (ValueError, TypeError):
        raise MarginLensError(
            f"{what} is not square: its rows differ in length; expected (n, n), {EXAMPLE_TABLE}"
        ) from None
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise MarginLensError(
            f"{what} is not square: shape {array.shape}; expected (n, n) with n >= 1, {EXAMPLE_TABLE}"
        )
    check_order(math.log10(len(array)), what)
    if not np.issubdtype(array.dtype, np.integer):
        raise MarginLensError(
            f"{what} has entries of type {array.dtype}; expected integers, {EXAMPLE_TABLE}"
            " (table.astype(int) converts whole floats)"
        )
    return array.astype(np.int64)  # a copy: the caller's array stays the caller's


def validate_table(table: ArrayLike) -> Int[np.ndarray, "element element"]:
    """Check that a table is the Cayley table of a group and return it as read-only int64.

    Entries in range, a Latin square, an identity, and associativity by Light's test:
    `(x·a)·y = x·(a·y)` for all x, y and every a of a generating set. The elements a that pass are
    closed under products, so generators suffice, and a group has at most log2(n) of them:
    O(n² log n) altogether. (In a finite associative Latin square with identity, inverses exist.)

    Parameters
    ----------
    table
        Candidate table, shape (element, element): `table[a, b]` is the index of a·b.

    Raises
    ------
    MarginLensError
        The table is not a group's; the message names the first contradicting entries.

    References
    ----------
    Clifford & Preston 1961, *The Algebraic Theory of Semigroups* I, section 1.2.

    Examples
    --------
    >>> validate_table([[0, 1], [1, 0]]).tolist()
    [[0, 1], [1, 0]]
    >>> validate_table([[0, 1], [1, 1]])
    Traceback (most recent call last):
    ...
    marginlens.errors.MarginLensError: the table is no group: row 1 holds 1 twice (each row must
    hold 0..1 once)
    """
    array = as_integer_square(table)
    _check_range(array)
    _check_latin(array, "row")
    _check_latin(array.T, "column")
    generating_set(array, find_identity(array), check_associative=True)
    array.setflags(write=False)
    return array


def _check_range(table: np.ndarray) -> None:
    order = len(table)
    outside = (table < 0) | (table >= order)
    if not outside.any():
        return
    a, b = np.argwhere(outside)[0]
    hint = "; this table seems to count from 1" if table.min() == 1 else ""
    raise MarginLensError(
        f"the table is no group: entry ({a},{b}) is {table[a, b]}, "
        f"outside 0..{order - 1} for {order} elements{hint}"
    )


def _check_latin(table: np.ndarray, line: str) -> None:
    order = len(table)
    present = np.zeros((order, order), dtype=bool)
    np.put_along_axis(present, table, True, axis=1)
    if present.all():
        return
    first = int(np.flatnonzero(~present.all(axis=1))[0])
    repeated = int(np.argmax(np.bincount(table[first], minlength=order) > 1))
    raise MarginLensError(
        f"the table is no group: {line} {first} holds {repeated} twice "
        f"(each {line} must hold 0..{order - 1} once)"
    )


def find_identity(table: Int[np.ndarray, "element element"]) -> int:
    """Return the element e with e·x = x·e = x for all x.

    Parameters
    ----------
    table
        Cayley table, shape (element, element).

    Raises
    ------
    MarginLensError
        The table has no identity.
    """
    everything = np.arange(len(table))
    left = (table == everything).all(axis=1)
    right = (table == everything[:, None]).all(axis=0)
    found = np.flatnonzero(left & right)
    if not len(found):
        raise MarginLensError(
            "the table is no group: no element e has e·x = x·e = x for every x (no identity); "
            f"expected one row and column to be 0..{len(table) - 1} in order"
        )
    return int(found[0])


def generating_set(
    table: Int[np.ndarray, "element element"], identity: int, *, check_associative: bool = False
) -> tuple[int, ...]:
    """Return elements that generate the group, each outside the subgroup of its predecessors.

    Parameters
    ----------
    table, identity
        Latin square of shape (element, element), and the index of its identity.
    check_associative
        Whether to apply Light's associativity test to each generator.

    Raises
    ------
    MarginLensError
        The table is not associative.
    """
    reached = np.zeros(len(table), dtype=bool)
    reached[identity] = True
    generators: list[int] = []
    while not reached.all():
        generators.append(int(np.argmin(reached)))
        if check_associative:
            _light_test(table, generators[-1])
        frontier = np.flatnonzero(reached)
        while len(frontier):
            products = np.unique(table[frontier[:, None], np.array(generators)])
            frontier = products[~reached[products]]
            reached[frontier] = True
    return tuple(generators)


def _light_test(table: np.ndarray, middle: int) -> None:
    left_first = table[table[:, middle]]  # (x·a)·y
    right_first = table[:, table[middle]]  # x·(a·y)
    wrong = left_first != right_first
    if wrong.any():
        x, y = np.argwhere(wrong)[0]
        raise MarginLensError(
            f"the table is not associative: ({x}·{middle})·{y} = {left_first[x, y]} "
            f"but {x}·({middle}·{y}) = {right_first[x, y]}"
        )


def frozen(array: np.ndarray) -> np.ndarray:
    """Make a shared, cached array read-only and return it.

    Parameters
    ----------
    array
        Array to make read-only, in place.
    """
    array.setflags(write=False)
    return array
