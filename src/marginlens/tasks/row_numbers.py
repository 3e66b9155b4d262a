"""Row numbers of a task's table: parsing and formatting."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.tasks.task_types import Task

__all__ = ["numbers_of", "row_numbers", "text_of_numbers"]


def row_numbers(task: Task, rows: Any) -> tuple[int, ...]:
    """Return row numbers from numbers, a mask, or inputs.

    Parameters
    ----------
    task
        Task whose rows are listed.
    rows
        Row numbers from 0, shape (count,); a boolean mask, shape (row,); or inputs, shape (count,
        slot): element indices, or signs of a parity.

    Returns
    -------
    tuple of int
        Row numbers in the given order.

    Raises
    ------
    MarginLensError
        A row does not exist, a row occurs twice, or no row is given.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> row_numbers(task("C5"), [[0, 1], [4, 4]]), row_numbers(task("C5"), range(3))
    ((1, 24), (0, 1, 2))
    """
    task.require_rows()
    count = len(task.answers)
    try:
        values = np.asarray(list(rows) if isinstance(rows, range | set | frozenset) else rows)
    except ValueError:
        values = np.empty(0, dtype=object)
    if values.dtype.kind == "f" and (values == np.round(values)).all():
        values = values.astype(np.int64)
    example = f"numbers from 0 to {count - 1}, or inputs (count, {task.inputs.shape[1]})"
    if values.dtype.kind not in "iub" or values.ndim not in (1, 2) or not values.size:
        shape = f"shape {values.shape}" if values.size else "none"
        raise MarginLensError(f"expected rows of {task.name} as {example}, got {shape}")
    if values.dtype.kind == "b":
        if values.shape != (count,) or not values.any():
            raise MarginLensError(
                f"expected a mask of {count} rows with one or more true, got shape {values.shape}"
            )
        return tuple(np.flatnonzero(values).tolist())
    numbers = values if values.ndim == 1 else _places(task, values.astype(np.int64), example)
    wrong = (numbers < 0) | (numbers >= count)
    if wrong.any():
        raise MarginLensError(f"{task.name}: expected {example}, got row {numbers[wrong][0]}")
    unique, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        raise MarginLensError(f"expected each row once, got row {unique[counts > 1][0]} twice")
    return tuple(numbers.tolist())


def text_of_numbers(numbers: Iterable[int]) -> str:
    """Format numbers as a short text with runs as ``first-last``.

    Parameters
    ----------
    numbers
        Whole numbers of at least 0, in any order; the order is kept.

    Examples
    --------
    >>> text_of_numbers([0, 1, 2, 7, 9, 8])
    '0-2,7,9,8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(
        f"{first}-{last}" if last > first + 1 else ",".join(map(str, range(first, last + 1)))
        for first, last in runs
    )


def numbers_of(text: str) -> tuple[int, ...]:
    """Parse numbers in the format of :func:`text_of_numbers`.

    Parameters
    ----------
    text
        Numbers and runs of numbers, separated by commas.

    Raises
    ------
    MarginLensError
        The text has another format.

    Examples
    --------
    >>> numbers_of("0-2,7,9,8")
    (0, 1, 2, 7, 9, 8)
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part, flags=re.ASCII)
        if match is None or int(match[2] or match[1]) - int(match[1]) > 10**7:
            raise MarginLensError(f"expected numbers of rows such as 0-11,15, got {part[:20]!r}")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(found)


def _places(task: Task, inputs: np.ndarray, example: str) -> np.ndarray:
    """Return the row number of each input."""
    if inputs.shape[1] != task.inputs.shape[1]:
        raise MarginLensError(
            f"expected rows of {task.name} as {example}, got shape {inputs.shape}"
        )
    shape = (task.size,) * task.inputs.shape[1] if task.kind == "table" else ()
    if shape and math.prod(shape) < 2**62:
        outside = (inputs < 0) | (inputs >= task.size)
        if outside.any():
            row = inputs[outside.any(1)][0].tolist()
            raise MarginLensError(
                f"{task.name}: expected elements 0 to {task.size - 1}, got another in input {row}"
            )
        keys = np.asarray(np.ravel_multi_index(tuple(task.inputs.T), shape))
        wanted = np.asarray(np.ravel_multi_index(tuple(inputs.T), shape))
        order = np.argsort(keys)
        place = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
        found = order[place]
        missing = keys[found] != wanted
    else:
        known = {tuple(row): number for number, row in enumerate(task.inputs.tolist())}
        found = np.array([known.get(tuple(row), -1) for row in inputs.tolist()])
        missing = found < 0
    if missing.any():
        raise MarginLensError(
            f"{task.name}: expected inputs of the table, got {inputs[missing][0].tolist()}, "
            "where it is undefined"
        )
    return found
