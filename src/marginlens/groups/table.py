"""Cayley tables: reading them from files and making sure that they are groups."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

GREATEST_ORDER = 2000
"""Greatest order of a group accepted: characters, irreps and bases are dense order × order arrays."""

_EXAMPLE = "e.g. [[0, 1], [1, 0]] for C2"


def check_order(log10_order: float, what: str) -> None:
    """Refuse groups too large to handle, before anything of their size is built.

    Parameters
    ----------
    log10_order
        Decimal logarithm of the order (an order such as 99! does not fit a float).
    what
        How the message names the group.

    Raises
    ------
    ValueError
        Order above `GREATEST_ORDER`; the message estimates the memory it would take.

    """
    if log10_order <= math.log10(GREATEST_ORDER) + 1e-12:
        return
    # About ten order × order arrays of 8 bytes: the table, bases, irreps and work space.
    log10_gigabytes = math.log10(80) + 2 * log10_order - 9
    memory = f"{10**log10_gigabytes:.3g}" if log10_gigabytes < 6 else f"10^{log10_gigabytes:.0f}"
    order = f"{10**log10_order:.0f}" if log10_order < 9 else f"about 10^{log10_order:.0f}"
    raise ValueError(
        f"{what} has order {order}, which would take about {memory} GB of memory; "
        f"the greatest order accepted is {GREATEST_ORDER}, e.g. S6 (720)"
    )


def read_table(path: Path) -> Int[np.ndarray, "element element"]:
    """Read a Cayley table from a `.csv` (comma-separated integers) or `.npy` file.

    The result is square in shape and integer in type, and not yet known to be a group.

    Parameters
    ----------
    path
        The file; row a, column b holds the index of a·b, indices from 0.

    Raises
    ------
    ValueError
        No such file, another kind of file, or entries that are not integers.

    """
    if path.suffix.lower() not in (".csv", ".npy"):
        raise ValueError(f"{path}: a table is read from a .csv or .npy file, e.g. group.csv")
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a .csv or .npy file with a Cayley table")
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_npy(path)


def _read_npy(path: Path) -> np.ndarray:
    try:
        # Mapped, so that an array far too large is refused by its header alone.
        stored = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: not a readable .npy array of integers ({reason}); "
            "write it with numpy.save(path, table)"
        ) from None
    return as_integer_square(stored, what=str(path))


def _read_csv(path: Path) -> np.ndarray:
    rows: list[list[int]] = []
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    rows.append(_csv_row(line, f"{path}, line {number}"))
                    if len(rows[-1]) != len(rows[0]):
                        raise ValueError(
                            f"{path}, line {number}: {len(rows[-1])} entries where line 1 has "
                            f"{len(rows[0])}; a Cayley table is square, {_EXAMPLE}"
                        )
                check_order(math.log10(max(len(rows), 1)), str(path))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file; expected comma-separated integers") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if not rows:
        raise ValueError(f"{path}: the file is empty; expected a Cayley table, {_EXAMPLE}")
    return as_integer_square(np.array(rows, dtype=np.int64), what=str(path))


def _csv_row(line: str, where: str) -> list[int]:
    fields = line.strip().split(",")
    check_order(math.log10(len(fields)), where)
    row = []
    for column, field in enumerate(fields, start=1):
        text = field.strip()
        # Eighteen digits fit an int64; anything longer is out of range in any case.
        if not text.removeprefix("-").isdecimal() or len(text) > 18:
            raise ValueError(
                f"{where}, entry {column}: {text[:20]!r} makes it "
                "not a table of integers; rows are comma-separated integers, e.g. 1,2,0"
            )
        row.append(int(text))
    return row


def as_integer_square(
    table: ArrayLike, *, what: str = "the table"
) -> Int[np.ndarray, "element element"]:
    """Make an array of integers out of what was given, or say why it is not a square of them.

    Raises
    ------
    ValueError
        Not rectangular, not square, empty, too large, or of another type than integers.

    """
    try:
        array = np.asarray(table)
    except (ValueError, TypeError):
        raise ValueError(
            f"{what} is not square: its rows differ in length; expected (n, n), {_EXAMPLE}"
        ) from None
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(
            f"{what} is not square: shape {array.shape}; expected (n, n) with n >= 1, {_EXAMPLE}"
        )
    check_order(math.log10(len(array)), what)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{what} has entries of type {array.dtype}; expected integers, {_EXAMPLE}"
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
        `table[a, b]` is the index of a·b.

    Raises
    ------
    ValueError
        Names the first entries that contradict a group.

    Source: Clifford & Preston 1961, *The Algebraic Theory of Semigroups* I, section 1.2.

    Examples
    --------
    >>> validate_table([[0, 1], [1, 0]]).tolist()
    [[0, 1], [1, 0]]
    >>> validate_table([[0, 1], [1, 1]])
    Traceback (most recent call last):
    ...
    ValueError: the table is no group: row 1 holds 1 twice (each row must hold 0..1 once)

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
    raise ValueError(
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
    raise ValueError(
        f"the table is no group: {line} {first} holds {repeated} twice "
        f"(each {line} must hold 0..{order - 1} once)"
    )


def find_identity(table: Int[np.ndarray, "element element"]) -> int:
    """Return the element e with e·x = x·e = x for all x.

    Raises
    ------
    ValueError
        There is none.

    """
    everything = np.arange(len(table))
    left = (table == everything).all(axis=1)
    right = (table == everything[:, None]).all(axis=0)
    found = np.flatnonzero(left & right)
    if not len(found):
        raise ValueError(
            "the table is no group: no element e has e·x = x·e = x for every x (no identity); "
            f"expected one row and column to be 0..{len(table) - 1} in order"
        )
    return int(found[0])


def generating_set(
    table: Int[np.ndarray, "element element"], identity: int, *, check_associative: bool = False
) -> tuple[int, ...]:
    """Return elements that generate the group, each one outside what those before it generate.

    Parameters
    ----------
    table, identity
        A Latin square with its identity.
    check_associative
        Apply Light's test to each generator as it is found.

    Raises
    ------
    ValueError
        Not associative.

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
        raise ValueError(
            f"the table is not associative: ({x}·{middle})·{y} = {left_first[x, y]} "
            f"but {x}·({middle}·{y}) = {right_first[x, y]}"
        )


def frozen(array: np.ndarray) -> np.ndarray:
    """Cached arrays are shared: make writing into one an error."""
    array.setflags(write=False)
    return array
