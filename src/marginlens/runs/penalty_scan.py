"""Training as the witness: a network at one strength of a penalty path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.groups import FiniteGroup
from marginlens.runs.folder import load_run
from marginlens.runs.pipeline import follow, plan_for
from marginlens.runs.run import Run
from marginlens.tasks import Task
from marginlens.theory import Predictions
from marginlens.training import recipe_for

__all__ = ["train_at"]


def train_at(
    task: Task,
    strength: float,
    *,
    out: str | Path | None = None,
    progress: Callable[[int, dict[str, np.ndarray]], None] | None = None,
    **recipe: Any,
) -> Run:
    """Train a network at a strength, or read the one that is there.

    With ``out`` the run lies in a folder below it, named by its strength; a finished run that is
    there already, by the same recipe, is read and not trained again: a path that was interrupted
    goes on where it was.

    Parameters
    ----------
    task
        A group's table, or sparse parity.
    strength
        Of the penalty.
    out
        Folder of the runs' folders.
    progress
        Called with the step and the latest history row.
    recipe
        Other fields of :class:`marginlens.training.Recipe`; those not given suit the task.

    Raises
    ------
    ValueError
        If anything asked for is impossible, or the folder holds a run by another recipe or on
        another table.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> run = train_at(task("C5"), 1e-3, width=40, learning_rate=0.05, steps=1500)
    >>> run.verdict.holds
    True
    """
    predictions = Predictions(task)
    complete = recipe_for(task, predictions=predictions, strength=strength, **recipe)
    folder = None if out is None else Path(out) / _folder_name(complete.strength)
    exists = folder is not None and folder.exists()
    if folder is not None and exists:
        found = load_run(folder)
        if found.recipe != complete:
            raise MarginLensError(
                f"{str(folder)!r} holds a run by another recipe; choose another --out"
            )
        if not _same_table(found.task.group, task.group):
            raise MarginLensError(
                f"{str(folder)!r} holds a run on another table; choose another --out"
            )
        if found.training.stopped != "interrupted":
            return found
    planned = plan_for(complete, task, predictions)
    return follow(planned, out=folder, overwrite=exists, progress=progress)


def _folder_name(strength: float) -> str:
    """The strength in few digits, or in all of them where few would be those of another."""
    short = f"{strength:g}"
    return short if float(short) == strength else repr(strength)


def _same_table(one: FiniteGroup | None, other: FiniteGroup | None) -> bool:
    """Whether two groups have one table: files of one name may hold different ones."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one.table, other.table)
