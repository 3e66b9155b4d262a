"""Cayley tables: validated, and read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int

__all__ = ["LARGEST_ORDER", "generating_set", "read_table", "validate_table"]

LARGEST_ORDER = 2000
"""Largest group order accepted: the table and the irreps take about 24 n^2 bytes and n^3 time."""


def validate_table(table: object) -> Int[np.ndarray, "element element"]:
    """Return the table as integers if it is the Cayley table of a group.

    Checked: square, integers in range, every row and column a permutation, an identity, and
    associativity by Light's test, (x a) y = x (a y) for all x, y and each a of a generating set,
    which costs O(n^2) for each generator. (In a finite latin square with an identity that is
    associative, inverses follow.)

    Raises
    ------
    ValueError
        Naming the first entries that offend.

    Examples
    --------
    >>> validate_table([[0, 1], [1, 0]])
    array([[0, 1], [1, 0]])
    """
    try:
        array = np.asarray(table)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] == 0:
        shape = " x ".join(map(str, array.shape)) if array.ndim == 2 else "ragged or not 2-d"
        raise ValueError(f"the table is not square ({shape}); expected n rows of n integers")
    order = len(array)
    if order > LARGEST_ORDER:
        raise ValueError(
            f"order {order} is above {LARGEST_ORDER}: its irreps would need about "
            f"{24 * order**2 / 1e9:.1f} GB"
        )
    whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and np.array_equal(array, np.floor(array))
    )
    if not whole:
        raise ValueError(f"the table holds {array.dtype} values; expected integers 0..{order - 1}")
    array = array.astype(np.int64)
    outside = np.argwhere((array < 0) | (array >= order))
    if len(outside):
        a, b = outside[0]
        raise ValueError(f"entry ({a},{b}) is {array[a, b]}; expected 0..{order - 1}")
    everything = np.arange(order)
    for axis, kind in ((1, "row"), (0, "column")):
        wrong = np.flatnonzero(
            (np.sort(array, axis=axis) != np.expand_dims(everything, 1 - axis)).any(axis=axis)
        )
        if len(wrong):
            line = array[wrong[0]] if axis else array[:, wrong[0]]
            twice = int(np.flatnonzero(np.bincount(line, minlength=order) > 1)[0])
            raise ValueError(f"{kind} {wrong[0]} holds {twice} twice; no group's table does")
    identities = np.flatnonzero((array == everything).all(1) & (everything == array.T).all(1))
    if len(identities) == 0:
        raise ValueError("the table has no identity: no element e with e·x = x·e = x for every x")
    for a in generating_set(array, int(identities[0])):
        differs = np.argwhere(array[array[:, a]] != array[:, array[a]])
        if len(differs):
            x, y = (int(i) for i in differs[0])
            left, right = array[array[x, a], y], array[x, array[a, y]]
            raise ValueError(
                f"the table is not associative: ({x}·{a})·{y} = {left} but {x}·({a}·{y}) = {right}"
            )
    array.flags.writeable = False
    return array


def generating_set(table: np.ndarray, identity: int) -> list[int]:
    """Few elements whose products are all elements, chosen greedily.

    Examples
    --------
    >>> generating_set(np.array([[0, 1], [1, 0]]), 0)
    [1]
    """
    reached = np.zeros(len(table), dtype=bool)
    reached[identity] = True
    generators: list[int] = []
    while not reached.all():
        generators.append(int(np.flatnonzero(~reached)[0]))
        reached[generators[-1]] = True
        fresh = np.flatnonzero(reached)
        while len(fresh):
            products = np.concatenate(
                [table[np.ix_(fresh, generators)].ravel(), table[np.ix_(generators, fresh)].ravel()]
            )
            fresh = np.unique(products[~reached[products]])
            reached[fresh] = True
    return generators


def read_table(path: Path) -> np.ndarray:
    """Read a square table of integers from ``.csv`` (commas) or ``.npy``; no pickles.

    Raises
    ------
    ValueError
        If the file is missing, of another kind, or does not hold integers.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}; expected a .csv or .npy Cayley table")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        rows = [line.split(",") for line in path.read_text().splitlines() if line.strip()]
        return np.array([[int(cell) for cell in row] for row in rows])
    except (ValueError, OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} is not a table of integers ({error}); expected lines such as 0,1,2"
        ) from None
