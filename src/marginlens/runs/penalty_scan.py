"""Training of a network at one strength of a penalty path."""

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
    """Train a network at one penalty strength, or read the finished run of an earlier call.

    With ``out`` the run lies in a subfolder named by its strength. A finished run of the same recipe in
    that subfolder is read instead of trained, so that an interrupted path can be resumed.

    Parameters
    ----------
    task
        Table of a group, or sparse parity.
    strength
        Strength of the homogeneous penalty, at least 0.
    out
        Parent folder of the runs' folders; None trains without saving.
    progress
        Function called with the step and the latest history row.
    recipe
        Other fields of :class:`marginlens.training.Recipe`; missing fields get the task's defaults.

    Raises
    ------
    ValueError
        If an argument is invalid, or the folder holds a run by another recipe or on another table.

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
    """Return the strength in few digits, or in all digits if rounding would change it."""
    short = f"{strength:g}"
    return short if float(short) == strength else repr(strength)


def _same_table(one: FiniteGroup | None, other: FiniteGroup | None) -> bool:
    """Return whether two groups have equal tables, since files of one name may differ."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one.table, other.table)
