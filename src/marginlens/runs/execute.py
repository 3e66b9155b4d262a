"""The main job: predict, train, measure, verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from marginlens.runs.folder import check_folder, save_run
from marginlens.runs.run import Run, prediction_for, run_record
from marginlens.tasks import Task, task
from marginlens.theory import Prediction
from marginlens.training import Recipe, recipe_for, train

__all__ = ["execute", "follow"]


def execute(
    spec: str | Task,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, dict[str, np.ndarray]], None] | None = None,
    **recipe: Any,
) -> Run:
    """Predict, train, measure and judge; with ``out``, leave everything in a folder.

    Parameters
    ----------
    spec
        A task or what names one.
    out, overwrite
        Folder to write; an older run there is replaced only if asked for.
    progress
        Called with the step and the latest history row.
    recipe
        Any field of :class:`marginlens.training.Recipe`; the others suit the task.

    Raises
    ------
    ValueError
        If anything asked for is impossible; nothing is written then.

    Examples
    --------
    >>> run = execute("C5", width=60, strength=1e-3, learning_rate=0.05)
    >>> round(run.verdict.margin_ratio, 2)
    1.0
    """
    chosen = spec if isinstance(spec, Task) else task(spec)
    complete = recipe_for(chosen, **recipe)
    return follow(complete, chosen, out=out, overwrite=overwrite, progress=progress)


def follow(
    recipe: Recipe,
    chosen: Task,
    *,
    prediction: Prediction | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, dict[str, np.ndarray]], None] | None = None,
) -> Run:
    """As :func:`execute`, for a complete recipe; ``prediction`` saves making it again."""
    folder = None if out is None else check_folder(out, overwrite=overwrite)
    prediction = prediction or prediction_for(chosen, recipe)
    training = train(chosen, recipe, margin=prediction.margin, progress=progress)
    run = run_record(chosen, recipe, prediction, training, folder)
    if folder is not None:
        save_run(run, folder, overwrite=overwrite)
    return run
