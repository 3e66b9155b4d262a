"""What the makers of tasks share: rows of a table, names of slots, and how many rows are listed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

__all__ = ["GREATEST_LISTED", "all_rows", "slot_names"]

GREATEST_LISTED = 1 << 22
"""Rows of the largest table that is listed."""


def all_rows(n: int, inputs: int) -> Int[np.ndarray, "row slot"]:
    """All tuples of elements, the last one fastest; none without inputs.

    Examples
    --------
    >>> all_rows(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if inputs == 0:
        return np.zeros((0, 0), dtype=np.int64)
    return np.indices((n,) * inputs).reshape(inputs, -1).T.copy()


def slot_names(inputs: int) -> tuple[str, ...]:
    """Names of the slots: u and v, or u1, u2, ... where there are more than two.

    Examples
    --------
    >>> slot_names(2), slot_names(3)
    (('u', 'v'), ('u1', 'u2', 'u3'))
    """
    if inputs <= 2:
        return ("u", "v")[:inputs]
    return tuple(f"u{index + 1}" for index in range(inputs))
