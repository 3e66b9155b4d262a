"""Rows and slot names of product tables."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

__all__ = ["GREATEST_LISTED", "all_rows", "slot_names"]

GREATEST_LISTED = 1 << 22
"""Rows of the largest table that is listed."""


def all_rows(n: int, inputs: int) -> Int[np.ndarray, "row slot"]:
    """Return all tuples of elements, the last one fastest; no rows without inputs.

    Parameters
    ----------
    n
        Number of elements in each slot.
    inputs
        Number of slots in a tuple.

    Examples
    --------
    >>> all_rows(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if inputs == 0:
        return np.zeros((0, 0), dtype=np.int64)
    return np.indices((n,) * inputs).reshape(inputs, -1).T.copy()


def slot_names(inputs: int) -> tuple[str, ...]:
    """Return the slot names: u and v, or u1, u2, ... for more than two.

    Parameters
    ----------
    inputs
        Number of input slots.

    Examples
    --------
    >>> slot_names(2), slot_names(3)
    (('u', 'v'), ('u1', 'u2', 'u3'))
    """
    if inputs <= 2:
        return ("u", "v")[:inputs]
    return tuple(f"u{index + 1}" for index in range(inputs))
