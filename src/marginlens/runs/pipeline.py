"""The main job: predict, train, measure, verdict."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError

from marginlens.runs.checkpoint import write_checkpoint
from marginlens.runs.folder import begin_run, check_folder, finish_run
from marginlens.runs.prediction_for import prediction_for
from marginlens.runs.run import Run, run_record
from marginlens.tasks import Task, task_of
from marginlens.theory import Prediction
from marginlens.training import (
    DivergedError,
    Ranks,
    Recipe,
    TrainingState,
    check_trainable,
    recipe_for,
    train,
)
from marginlens.training.trackers import Tracker, open_tracker, require_tracker

__all__ = [
    "Progress",
    "by_leader",
    "checkpointer",
    "execute",
    "finish_training",
    "follow",
    "start_tracker",
]

Progress = Callable[[int, dict[str, np.ndarray]], None]
Made = TypeVar("Made")


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
    chosen = task_of(spec)
    complete = recipe_for(chosen, **recipe)
    return follow(complete, chosen, out=out, overwrite=overwrite, progress=progress)


def follow(
    recipe: Recipe,
    chosen: Task,
    *,
    prediction: Prediction | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    checkpoint_every: int | None = None,
    track: str | None = None,
) -> Run:
    """As :func:`execute`, for a complete recipe.

    Parameters
    ----------
    recipe, chosen
        How, and what is learned.
    prediction
        Saves making it again.
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
    check_trainable(chosen, recipe)  # before anything is written
    if folder is not None:
        recipe.to_toml()  # refuses what a file cannot hold
    with ExitStack() as stack:

        def begin() -> Tracker | None:
            if folder is not None:
                check_folder(folder, overwrite=overwrite)
                stack.enter_context(begin_run(recipe, chosen, folder, overwrite=overwrite))
            try:
                return start_tracker(stack, track, folder, recipe)
            except ValueError:
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)  # nothing was trained yet
                raise

        prediction = prediction or prediction_for(chosen, recipe)
        tracker = by_leader(begin)
        return finish_training(
            recipe, chosen, prediction, folder, progress, None, checkpoint_every, tracker
        )


def finish_training(
    recipe: Recipe,
    chosen: Task,
    prediction: Prediction,
    folder: Path | None,
    progress: Progress | None,
    state: TrainingState | None,
    checkpoint_every: int | None,
    tracker: Tracker | None,
) -> Run:
    """Train from a state, or from the start, with the folder held; then measure, judge and write.

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

    leads = Ranks.here().leads
    save = None if folder is None else checkpointer(recipe, folder)
    try:
        training = train(
            chosen,
            recipe,
            margin=prediction.margin,
            progress=show if leads else None,
            state=state,
            checkpoint=save if leads else None,
            checkpoint_every=checkpoint_every,
        )
    except DivergedError as error:
        if folder is None or save is None or not leads:
            raise
        save(error.state)
        raise DivergedError(
            f"{error}: the last good state, of step {error.state.step}, is kept; go on from it with: "
            f"marginlens train --resume {quote(str(folder))} "
            f"--learning-rate {recipe.learning_rate / 10:g}",
            error.state,
        ) from None
    if tracker is not None:
        tracker.close(training.stopped)
    run = run_record(chosen, recipe, prediction, training, folder)
    if folder is not None and leads:
        try:
            finish_run(run, folder)
        except (OSError, SafetensorError) as error:
            words = getattr(error, "strerror", None) or error
            raise OSError(
                f"could not write the run to {str(folder)!r} ({words}); what was there is kept: make "
                f"room, then: marginlens train --resume {quote(str(folder))}"
            ) from None
    return run


def checkpointer(recipe: Recipe, folder: Path) -> Callable[[TrainingState], None]:
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
