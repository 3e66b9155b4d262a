"""Pipeline of a run: predict, train, measure, compare with the prediction, and save."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError

from marginlens.runs.checkpoint import write_checkpoint
from marginlens.runs.folder import begin_run, check_folder, finish_run
from marginlens.runs.prediction_for import prediction_for
from marginlens.runs.run import Run
from marginlens.runs.training_facts import conclusive
from marginlens.tasks import Task, task_of
from marginlens.theory import Prediction, Predictions
from marginlens.training import (
    DivergedError,
    Ranks,
    Recipe,
    Training,
    TrainingState,
    check_trainable,
    recipe_for,
    train,
)
from marginlens.training.initial_state import known_minimum
from marginlens.training.loop import Watch
from marginlens.training.trackers import Tracker, open_tracker, require_tracker

__all__ = [
    "Plan",
    "Progress",
    "by_leader",
    "conclude",
    "execute",
    "finish_training",
    "follow",
    "plan",
    "plan_for",
    "start_tracker",
    "train_plan",
]

Progress = Callable[[int, dict[str, np.ndarray]], None]
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Plan:
    """Plan of a run: task, complete recipe, and prediction.

    Attributes
    ----------
    task
        Task that the networks learn.
    recipe
        Complete recipe of the training.
    prediction
        Prediction at the penalty that the recipe ends with.
    """

    task: Task
    recipe: Recipe
    prediction: Prediction

    @property
    def minimum(self) -> float | None:
        """Least objective of any network if the recipe stops near it, else None."""
        if self.recipe.until_optimal is None:
            return None
        return known_minimum(self.task, self.recipe, self.prediction)


def plan(spec: str | Task, **fields: Any) -> Plan:
    """Complete a recipe and predict its training; each linear program is solved once.

    Parameters
    ----------
    spec
        Task to learn, or its name.
    fields
        Fields of :class:`marginlens.training.Recipe`; missing fields get the task's defaults.

    Raises
    ------
    ValueError
        If a field is invalid, or the recipe does not suit the task or this machine.

    Examples
    --------
    >>> planned = plan("C23", strength=1e-4)
    >>> planned.recipe.width, round(planned.prediction.at_penalty.loss, 7)
    (200, 0.2838312)
    """
    task = task_of(spec)
    predictions = Predictions(task)
    return plan_for(recipe_for(task, predictions=predictions, **fields), task, predictions)


def plan_for(recipe: Recipe, task: Task, predictions: Predictions | None = None) -> Plan:
    """Predict the training of a complete recipe, and check that it can be trained.

    Parameters
    ----------
    recipe
        Complete recipe of the training.
    task
        Task of the recipe.
    predictions
        Predictions of the task, whose solutions are reused; None solves them when needed.

    Raises
    ------
    ValueError
        If the recipe does not suit the task or this machine.
    """
    prediction = prediction_for(task, recipe, predictions)
    check_trainable(task, recipe, prediction)
    return Plan(task, recipe, prediction)


def by_leader(make: Callable[[], Made]) -> Made | None:
    """Return the result of a call by the first process, and None on all others.

    Raises
    ------
    ValueError
        On every process, if the call failed on the first one.
    """
    ranks = Ranks.here()
    made, refused = None, None
    if ranks.leads:
        try:
            made = make()
        except (ValueError, OSError) as error:
            refused = error
    if ranks.any(refused is not None):
        raise refused or ValueError("the first process failed; its message has the reason")
    return made


def execute(
    spec: str | Task,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **recipe: Any,
) -> Run:
    """Run the whole pipeline: predict, train, measure, compute the verdict, and save.

    Parameters
    ----------
    spec
        Task to learn, or its name.
    out, overwrite
        Folder that the run is written to (None: not saved), and whether to replace an older run in it.
    progress
        Function called with the step and the latest history row.
    recipe
        Fields of :class:`marginlens.training.Recipe`; missing fields get the task's defaults.
        ``penalty`` may be a number: the strength of the homogeneous penalty.

    Raises
    ------
    ValueError
        If an argument is invalid, before any file is written.

    Examples
    --------
    >>> run = execute("C5", width=40, strength=1e-3, learning_rate=0.05, steps=800)
    >>> round(run.verdict.margin_ratio, 2)
    1.0
    """
    return follow(plan(spec, **recipe), out=out, overwrite=overwrite, progress=progress)


def follow(
    recipe: Recipe | Plan,
    chosen: Task | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    checkpoint_every: int | None = None,
    track: str | None = None,
) -> Run:
    """Run the pipeline for a complete recipe or a plan, like :func:`execute`.

    Parameters
    ----------
    recipe
        Complete recipe, or a plan with its prediction.
    chosen
        Task of the recipe; None makes it from the recipe's task name.
    out, overwrite, progress
        Folder, permission to replace an older run, and progress function, the same as for
        :func:`execute`.
    checkpoint_every
        Steps between checkpoints in the folder, in addition to one per minute.
    track
        Tracker that records the history too: ``"tensorboard"``, ``"wandb"`` or ``"mlflow"``.
    """
    folder = None if out is None else Path(out)
    if track is not None:
        require_tracker(track)
    if isinstance(recipe, Recipe):  # check the recipe before writing any file
        recipe = plan_for(recipe, task_of(recipe.task) if chosen is None else chosen)
    planned = recipe
    if folder is not None:
        planned.recipe.to_toml()  # raises if a file cannot hold the recipe
    with ExitStack() as stack:

        def begin() -> Tracker | None:
            if folder is not None:
                check_folder(folder, overwrite=overwrite)
                begun = begin_run(planned.recipe, planned.task, folder, overwrite=overwrite)
                stack.enter_context(begun)
            try:
                return start_tracker(stack, track, folder, planned.recipe)
            except ValueError:
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)  # training has not begun
                raise

        tracker = by_leader(begin)
        return finish_training(
            planned, folder, progress=progress, checkpoint_every=checkpoint_every, tracker=tracker
        )


def finish_training(
    planned: Plan,
    folder: Path | None,
    *,
    progress: Progress | None = None,
    state: TrainingState | None = None,
    checkpoint_every: int | None = None,
    tracker: Tracker | None = None,
) -> Run:
    """Train from a state or from the start in a locked folder, then measure and save.

    Parameters
    ----------
    planned
        Task, recipe and prediction.
    folder
        Folder of the run, locked by this process; None does not save the run.
    progress
        Function called with the step and the latest history row.
    state
        State of an earlier training to continue; None starts from initial weights.
    checkpoint_every
        Steps between checkpoints, in addition to one per minute.
    tracker
        Tracker that records the history too.

    Raises
    ------
    DivergedError
        If training diverges. The folder keeps the last finite state, and the message has the command
        that resumes from it.
    OSError
        If the finished run cannot be written; its checkpoint is kept.
    """

    def show(step: int, row: dict[str, np.ndarray]) -> None:
        if tracker is not None:
            tracker.log(step, row)
        if progress is not None:
            progress(step, row)

    try:
        training = train_plan(
            planned, folder, progress=show, state=state, checkpoint_every=checkpoint_every
        )
    except DivergedError as error:
        if folder is None or not Ranks.here().leads:
            raise
        _checkpointer(planned.recipe, folder)(error.state)
        raise DivergedError(
            f"{error}: the last finite state, of step {error.state.step}, is kept; resume from it "
            f"with: marginlens train --resume {quote(str(folder))} "
            f"--learning-rate {planned.recipe.learning_rate / 10:g}",
            error.state,
        ) from None
    if tracker is not None:
        tracker.close(training.stopped)
    try:
        return conclude(planned, training, folder)
    except (OSError, SafetensorError) as error:
        words = getattr(error, "strerror", None) or error
        raise OSError(
            f"could not write the run to {str(folder)!r} ({words}); its checkpoint is kept: "
            f"free some space, then run: marginlens train --resume {quote(str(folder))}"
        ) from None


def train_plan(
    planned: Plan,
    folder: Path | None,
    *,
    progress: Progress | None = None,
    state: TrainingState | None = None,
    checkpoint_every: int | None = None,
    watch: Watch | None = None,
    watch_seconds: float = 0.0,
) -> Training:
    """Train by a plan, with checkpoints in the folder.

    Parameters
    ----------
    planned
        Task, recipe and prediction.
    folder
        Folder of the run, locked by this process; None writes no checkpoints.
    progress, state, checkpoint_every
        Progress function, state to continue, and steps between checkpoints, the same as for
        :func:`finish_training`.
    watch, watch_seconds
        Callback with the training state and seconds between its calls, the same as for
        :func:`marginlens.training.train`.

    Raises
    ------
    DivergedError
        If the loss of every member becomes infinite or NaN; the error holds the last finite state.
    """
    recipe = planned.recipe
    leads = Ranks.here().leads
    return train(
        planned.task,
        recipe,
        margin=planned.prediction.margin,
        minimum=planned.minimum,
        progress=progress if leads else None,
        state=state,
        checkpoint=_checkpointer(recipe, folder) if folder is not None and leads else None,
        checkpoint_every=checkpoint_every,
        watch=watch,
        watch_seconds=watch_seconds,
    )


def conclude(planned: Plan, training: Training, folder: Path | None) -> Run:
    """Measure a training, compare it with its prediction, and write the finished run.

    Parameters
    ----------
    planned
        Task, recipe and prediction.
    training
        Finished or interrupted training.
    folder
        Folder of the run, locked by this process; None does not save the run.

    Raises
    ------
    OSError
        If the finished run cannot be written; its checkpoint is kept.
    """
    prediction = conclusive(planned.prediction, planned.recipe, training)
    run = Run(folder, planned.recipe, planned.task, prediction, training)
    if run.is_measured:
        _ = run.verdict  # computed now, since the caller may train the network further
    if folder is not None and Ranks.here().leads:
        finish_run(run, folder)
    return run


def _checkpointer(recipe: Recipe, folder: Path) -> Callable[[TrainingState], None]:
    """Return the function that saves checkpoints; a failed write only causes a warning."""

    def save(state: TrainingState) -> None:
        if not all(p.isfinite().all() for p in state.network.parameters()):
            return  # diverged: keep the earlier, finite checkpoints
        try:
            write_checkpoint(state, folder, recipe.model_dump(mode="json"))
        except OSError as error:
            warnings.warn(
                f"no checkpoint at step {state.step} ({error.strerror or error}); training continues, "
                "and the previous checkpoint is kept",
                stacklevel=2,
            )

    return save


def start_tracker(
    stack: ExitStack, kind: str | None, folder: Path | None, recipe: Recipe, step: int | None = None
) -> Tracker | None:
    """Open a tracker of the given kind, closed with the stack; None for no kind."""
    if kind is None:
        return None
    tracker = open_tracker(
        kind,
        folder=folder or Path(),
        name=recipe.task if folder is None else folder.name,
        config=recipe.model_dump(),
        resume_step=step,
    )
    stack.callback(tracker.close, "failed")  # no effect if training has closed it already
    return tracker
