"""Addition of multi-digit numbers in a base, one digit of the sum per row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError
from marginlens.tasks.rows import GREATEST_LISTED

__all__ = ["Addition", "addition"]


@dataclass(frozen=True, eq=False)
class Addition:
    """Rows of the addition task.

    Attributes
    ----------
    inputs
        Digits of a, digits of b, each most significant first with leading zeros, and a query token:
        base + j asks for the digit of base^j in the sum. Shape (row, slot).
    answers
        Queried digit of the sum, shape (row,).
    lengths
        Number of digits of the longer of a and b without leading zeros, shape (row,); 0 has one
        digit.
    """

    inputs: Int[np.ndarray, "row slot"]
    answers: Int[np.ndarray, " row"]
    lengths: Int[np.ndarray, " row"]


def addition(base: int, digits: int) -> Addition:
    """List all additions of two numbers with a limited number of digits.

    Row (a, b, j) asks for floor((a + b) / base^j) mod base, j = 0, ..., digits; j runs fastest.

    Parameters
    ----------
    base
        Base of the digits, 2 (binary) or more.
    digits
        Number of digits of each addend, at least 1.

    Raises
    ------
    MarginLensError
        The base or number of digits is invalid, or the base^(2 digits) (digits + 1) rows are too
        many to list.

    Examples
    --------
    >>> rows = addition(10, 2)
    >>> at = (27 * 100 + 84) * 3
    >>> rows.inputs[at : at + 3].tolist()
    [[2, 7, 8, 4, 10], [2, 7, 8, 4, 11], [2, 7, 8, 4, 12]]
    >>> rows.answers[at : at + 3].tolist(), int(rows.lengths[at])
    ([1, 1, 1], 2)
    """
    name = f"addition({base},{digits})"
    if base < 2:
        raise MarginLensError(
            f"{name}: expected a base of 2 or more, got {base}; for example addition(10,2)"
        )
    if digits < 1:
        raise MarginLensError(
            f"{name}: expected at least 1 digit, got {digits}; for example addition(10,2)"
        )
    if 2 * digits * math.log(base) + math.log(digits + 1) > math.log(GREATEST_LISTED):
        rows = f"{base}^{2 * digits} * {digits + 1} rows"
        raise MarginLensError(
            f"{name}: expected at most {GREATEST_LISTED} rows, got {rows}; for example "
            f"{_good(base)}"
        )
    count = base**digits
    place = base ** np.arange(digits)[::-1]
    written = np.arange(count)[:, None] // place % base
    a, b, j = (part.ravel() for part in np.indices((count, count, digits + 1)))
    return Addition(
        inputs=np.concatenate([written[a], written[b], (base + j)[:, None]], axis=1),
        answers=(a + b) // base**j % base,
        lengths=np.maximum(1, (np.maximum(a, b)[:, None] >= place).sum(1)),
    )


def _good(base: int) -> str:
    """Return the largest addition in the base that is listed, or one in base 10."""
    digits = 0
    while base ** (2 * digits + 2) * (digits + 2) <= GREATEST_LISTED:
        digits += 1
    return f"addition({base},{digits})" if digits else "addition(10,2)"
