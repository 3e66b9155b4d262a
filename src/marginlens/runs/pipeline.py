"""The pipeline of a run: predict, train, measure, compare; the only place that chains them."""

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
    """Run that has not begun: what is learned, how, and what is predicted.

    Attributes
    ----------
    task
        Task that is learned.
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
        """Least objective of any network, where the recipe stops at a share of it; else None."""
        if self.recipe.until_optimal is None:
            return None
        return known_minimum(self.task, self.recipe, self.prediction)


def plan(spec: str | Task, **fields: Any) -> Plan:
    """Complete a recipe and predict its training; the programs of the theory are solved once.

    Parameters
    ----------
    spec
        Task or its spec.
    fields
        Any field of :class:`marginlens.training.Recipe`; the others suit the task.

    Raises
    ------
    ValueError
        If a field is impossible, or this machine or the task cannot be trained so.

    Examples
    --------
    >>> planned = plan("C23", strength=1e-4)
    >>> planned.recipe.width, round(planned.prediction.at_penalty.loss, 7)
    (400, 0.2838312)
    """
    task = task_of(spec)
    predictions = Predictions(task)
    return plan_for(recipe_for(task, predictions=predictions, **fields), task, predictions)


def plan_for(recipe: Recipe, task: Task, predictions: Predictions | None = None) -> Plan:
    """Predict the training of a complete recipe, and refuse what cannot be trained.

    Parameters
    ----------
    recipe
        Complete recipe.
    task
        Its task.
    predictions
        Predictions of the task, whose solutions are shared; None: solved where they are needed.

    Raises
    ------
    ValueError
        If this machine or the task cannot be trained so.
    """
    prediction = prediction_for(task, recipe, predictions)
    check_trainable(task, recipe, prediction)
    return Plan(task, recipe, prediction)


def by_leader(make: Callable[[], Made]) -> Made | None:
    """What the first process makes; None on others. Where it cannot, none of them goes on.

    Raises
    ------
    ValueError
        On every process, if the first one raised it.
    """
    ranks = Ranks.here()
    made, refused = None, None
    if ranks.leads:
        try:
            made = make()
        except (ValueError, OSError) as error:
            refused = error
    if ranks.any(refused is not None):
        raise refused or ValueError("the first process says why this cannot be trained")
    return made


def execute(
    spec: str | Task,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
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
        Any field of :class:`marginlens.training.Recipe`; the others suit the task. ``penalty`` may be a
        number: the strength of the homogeneous penalty.

    Raises
    ------
    ValueError
        If anything asked for is impossible; nothing is written then.

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
    """As :func:`execute`, for a complete recipe or a plan.

    Parameters
    ----------
    recipe
        Complete recipe, or a plan, which saves making the prediction again.
    chosen
        Task of the recipe; None: what the recipe names.
    out, overwrite, progress
        As for :func:`execute`.
    checkpoint_every
        Steps between checkpoints in the folder, besides one a minute.
    track
        ``"tensorboard"``, ``"wandb"`` or ``"mlflow"``, to which the history is mirrored.
    """
    folder = None if out is None else Path(out)
    if track is not None:
        require_tracker(track)
    if isinstance(recipe, Recipe):  # what cannot be trained is refused before anything is written
        recipe = plan_for(recipe, task_of(recipe.task) if chosen is None else chosen)
    planned = recipe
    if folder is not None:
        planned.recipe.to_toml()  # refuses what a file cannot hold
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
                    shutil.rmtree(folder, ignore_errors=True)  # nothing was trained yet
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
    """Train from a state, or from the start, with the folder held; then measure, judge and write.

    Parameters
    ----------
    planned
        Task, recipe and prediction.
    folder
        Folder of the run, which this process holds; None: nothing is written.
    progress
        Called with the step and the latest history row.
    state
        State that an earlier training had reached; None: the start.
    checkpoint_every
        Steps between checkpoints, besides one a minute.
    tracker
        Tracker to which the history is mirrored.

    Raises
    ------
    DivergedError
        Naming the command that goes on from the last good state, which the folder keeps.
    OSError
        If the finished run cannot be written; its checkpoint stays.
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
            f"{error}: the last good state, of step {error.state.step}, is kept; go on from it with: "
            f"marginlens train --resume {quote(str(folder))} "
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
            f"could not write the run to {str(folder)!r} ({words}); what was there is kept: make "
            f"room, then: marginlens train --resume {quote(str(folder))}"
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
    """Train by a plan; the folder gets the checkpoints.

    Parameters
    ----------
    planned
        Task, recipe and prediction.
    folder
        Folder of the run, which this process holds; None: there are no checkpoints.
    progress, state, checkpoint_every
        As for :func:`finish_training`.
    watch, watch_seconds
        As for :func:`marginlens.training.train`.

    Raises
    ------
    DivergedError
        If the loss of every member stops being finite; it holds the last good state.
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
        Folder of the run, which this process holds; None: nothing is written.

    Raises
    ------
    OSError
        If the finished run cannot be written; its checkpoint stays.
    """
    prediction = conclusive(planned.prediction, planned.recipe, training)
    run = Run(folder, planned.recipe, planned.task, prediction, training)
    if run.is_measured:
        _ = run.verdict  # now: the network may be trained further by whoever has it
    if folder is not None and Ranks.here().leads:
        finish_run(run, folder)
    return run


def _checkpointer(recipe: Recipe, folder: Path) -> Callable[[TrainingState], None]:
    """What writes a training's states into its folder; one that it cannot write costs a warning."""

    def save(state: TrainingState) -> None:
        if not all(p.isfinite().all() for p in state.network.parameters()):
            return  # the next record says that it diverged; the good ones must outlive it
        try:
            write_checkpoint(state, folder, recipe.model_dump(mode="json"))
        except OSError as error:
            warnings.warn(
                f"no checkpoint at step {state.step} ({error.strerror or error}); training goes on, "
                "and the one before it is kept",
                stacklevel=2,
            )

    return save


def start_tracker(
    stack: ExitStack, kind: str | None, folder: Path | None, recipe: Recipe, step: int | None = None
) -> Tracker | None:
    """Open a tracker, if one is asked for; it is closed with the stack."""
    if kind is None:
        return None
    tracker = open_tracker(
        kind,
        folder=folder or Path(),
        name=recipe.task if folder is None else folder.name,
        config=recipe.model_dump(),
        resume_step=step,
    )
    stack.callback(tracker.close, "failed")  # unless it is closed before, with how training ended
    return tracker
