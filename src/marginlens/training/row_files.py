"""Rows to train on or to test on, read from a file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.tasks import Task, row_numbers
from marginlens.training.recipe import Recipe

__all__ = ["read_rows"]

_LARGEST = 64_000_000
_USUAL = "a .npy or .csv file of row numbers or inputs, or the recipe.toml of a run"


def read_rows(path: str | Path, task: Task, *, field: str = "train_rows") -> tuple[int, ...]:
    """Read numbers of a task's rows from a file; nothing in it is executed.

    Parameters
    ----------
    path
        A .npy or .csv file with one column of row numbers, or a column for each input; or the
        recipe.toml of a run whose rows were chosen. A first line of names is passed over.
    task
        Task that the rows are of.
    field
        Rows of a recipe that are taken: ``"train_rows"`` or ``"test_rows"``.

    Returns
    -------
    tuple of int
        Numbers of the rows.

    Raises
    ------
    MarginLensError
        In one line, if the file is missing or damaged, or names rows that the task has not.
    """
    file = Path(path)
    if not file.is_file():
        raise MarginLensError(f"{str(path)!r}: no such file; expected {_USUAL}")
    if file.stat().st_size > _LARGEST:
        raise MarginLensError(
            f"{file.name} has more than {_LARGEST // 10**6} MB; expected {_USUAL}"
        )
    try:
        values = _values(file, field)
    except MarginLensError:
        raise
    except (ValueError, OSError, EOFError) as error:
        words = " ".join(str(error).split())[:120]
        raise MarginLensError(f"{file.name} cannot be read ({words}); expected {_USUAL}") from None
    try:
        return row_numbers(task, values)
    except MarginLensError as error:
        raise MarginLensError(f"{file.name}: {error}") from None


def _values(file: Path, field: str) -> Any:
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False)
    if file.suffix == ".toml":
        rows = getattr(Recipe.from_toml(file.read_text()), field)
        if rows is None:
            raise MarginLensError(f"{file.name} chooses no {field}: expected {_USUAL}")
        return rows
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if any(row)]
    if rows and not all(_is_number(cell) for cell in rows[0]):
        rows = rows[1:]  # names of the columns
    table = np.array([[int(cell) for cell in row] for row in rows])
    return table[:, 0] if table.ndim == 2 and table.shape[1] == 1 else table


def _is_number(cell: str) -> bool:
    try:
        int(cell)
    except ValueError:
        return False
    return True
