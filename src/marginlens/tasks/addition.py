"""Addition of numbers with several digits in a base, digit by digit."""

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
    """Rows of an addition.

    Attributes
    ----------
    inputs
        Digits of a, digits of b, each most significant first and padded by zeros, and the token that
        asks for a digit of the sum: base + j asks for that of base^j.
    answers
        That digit.
    lengths
        Digits of the longer of a and b, without the zeros in front; 0 has one.
    """

    inputs: Int[np.ndarray, "row slot"]
    answers: Int[np.ndarray, " row"]
    lengths: Int[np.ndarray, " row"]


def addition(base: int, digits: int) -> Addition:
    """List all additions of two numbers of up to so many digits, once for each digit of the sum.

    Row (a, b, j) asks for floor((a + b) / base^j) mod base, j = 0, ..., digits; j runs fastest.

    Parameters
    ----------
    base
        2 (binary) or more.
    digits
        Of each number.

    Raises
    ------
    ValueError
        If base or digits are impossible, or the rows base^(2 digits) (digits + 1) too many to list.

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
        raise MarginLensError(f"{name}: a base is 2 or more, e.g. addition(10,2)")
    if digits < 1:
        raise MarginLensError(f"{name}: numbers have at least 1 digit, e.g. addition(10,2)")
    if 2 * digits * math.log(base) + math.log(digits + 1) > math.log(GREATEST_LISTED):
        rows = f"{base}^{2 * digits} * {digits + 1} rows"
        raise MarginLensError(
            f"{name} has {rows}, more than the {GREATEST_LISTED} that are listed; "
            f"take e.g. {_good(base)}"
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
    """The largest addition in the base that is listed; in base 10 where there is none."""
    digits = 0
    while base ** (2 * digits + 2) * (digits + 2) <= GREATEST_LISTED:
        digits += 1
    return f"addition({base},{digits})" if digits else "addition(10,2)"
