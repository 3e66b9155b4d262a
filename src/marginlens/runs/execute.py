"""The main job: predict, train, measure, verdict; and going on with it after an interruption."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from marginlens.runs.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    locked,
    read_checkpoint,
    write_checkpoint,
)
from marginlens.runs.folder import (
    MARK,
    begin_run,
    check_folder,
    finish_run,
    is_finished,
    task_of_folder,
)
from marginlens.runs.run import Run, prediction_for, run_record
from marginlens.tasks import Task, task
from marginlens.theory import Prediction
from marginlens.training import (
    DivergedError,
    Ranks,
    Recipe,
    TrainingState,
    initial_network,
    recipe_for,
    split,
    train,
)
from marginlens.training.trackers import Tracker, open_tracker

__all__ = ["execute", "follow", "resume"]

Progress = Callable[[int, dict[str, np.ndarray]], None]


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
    folder = None if out is None else check_folder(out, overwrite=overwrite)
    split(chosen, recipe)  # refuses an impossible one before anything is written
    prediction = prediction or prediction_for(chosen, recipe)
    leads = Ranks.here().leads
    with ExitStack() as stack:
        if folder is not None and leads:
            stack.enter_context(begin_run(recipe, chosen, folder, overwrite=overwrite))
        tracker = _tracker(stack, track, folder, recipe) if leads else None
        return _train(recipe, chosen, prediction, folder, progress, None, checkpoint_every, tracker)


def resume(
    folder: str | Path,
    *,
    previous: bool = False,
    progress: Callable[[Recipe, Prediction, int], Progress | None] | None = None,
    checkpoint_every: int | None = None,
    track: str | None = None,
    **changed: Any,
) -> Run:
    """Go on with the run in a folder, from its last checkpoint.

    On a CPU in float64 it ends with the same bits as a run that was never interrupted.

    Parameters
    ----------
    folder
        A run's folder, interrupted, killed or diverged.
    previous
        Take the checkpoint before the last one, where the last is damaged.
    progress
        Given recipe, prediction and the step to go on from, returns what is called at each record.
    checkpoint_every, track
        As for :func:`follow`.
    changed
        ``learning_rate``, ``steps`` or ``device``: other values of these fields of the recipe from
        here on.

    Raises
    ------
    ValueError
        If there is no run, if it is finished, if a checkpoint is damaged, or if another process is
        at work on it; in one line that says what to do.
    """
    path = Path(folder)
    if not (path / MARK).is_file():
        raise ValueError(
            f"{str(folder)!r} holds no run (no {MARK}); start one with: "
            f"marginlens train C23 --out {folder}"
        )
    with locked(path):
        if is_finished(path):
            raise ValueError(
                f"the run in {str(folder)!r} is finished; look at it with: "
                f"marginlens measure {folder}"
            )
        try:
            recipe = Recipe(**tomllib.loads((path / MARK).read_text()))
            chosen = task_of_folder(recipe, path)
        except (ValueError, OSError) as error:
            words = " ".join(str(error).split())
            raise ValueError(f"the run in {str(folder)!r} is damaged: {words}") from None
        given = {name: value for name, value in changed.items() if value is not None}
        if given:
            recipe = Recipe(**{**recipe.model_dump(), **given})
        state = _last_state(path, recipe, chosen, previous=previous)
        if state is not None and state.step > recipe.steps:
            raise ValueError(f"the run is at step {state.step} already; choose more --steps")
        leads = Ranks.here().leads
        if given and leads:
            recipe.write(path / MARK)
        prediction = prediction_for(chosen, recipe)
        step = 0 if state is None else state.step
        show = None if progress is None else progress(recipe, prediction, step)
        with ExitStack() as stack:
            tracker = _tracker(stack, track, path, recipe, step) if leads else None
            return _train(recipe, chosen, prediction, path, show, state, checkpoint_every, tracker)


def _last_state(
    folder: Path, recipe: Recipe, chosen: Task, *, previous: bool
) -> TrainingState | None:
    """The state to go on from; None where no checkpoint was written yet."""
    last, before = folder / CHECKPOINT, folder / PREVIOUS
    path = before if previous or not last.exists() else last
    if not path.exists():
        if previous:
            raise ValueError(f"there is no {PREVIOUS} in {str(folder)!r}; leave --previous out")
        return None
    like = initial_network(chosen, recipe)
    try:
        return read_checkpoint(path, like)
    except ValueError as error:
        hint = f"start anew with: marginlens train {recipe.task} --out {folder} --overwrite"
        if path == last and before.exists():
            hint = (
                f"go on from the one before it with: marginlens train --resume {folder} --previous"
            )
        raise ValueError(f"{error}; {hint}") from None


def _train(
    recipe: Recipe,
    chosen: Task,
    prediction: Prediction,
    folder: Path | None,
    progress: Progress | None,
    state: TrainingState | None,
    checkpoint_every: int | None,
    tracker: Tracker | None,
) -> Run:
    def save(state: TrainingState) -> None:
        assert folder is not None
        try:
            write_checkpoint(state, folder)
        except OSError as error:
            warnings.warn(
                f"no checkpoint at step {state.step} ({error.strerror or error}); training goes on, "
                "and the one before it is kept",
                stacklevel=2,
            )

    def show(step: int, row: dict[str, np.ndarray]) -> None:
        if tracker is not None:
            tracker.log(step, row)
        if progress is not None:
            progress(step, row)

    leads = Ranks.here().leads
    try:
        training = train(
            chosen,
            recipe,
            margin=prediction.margin,
            progress=show if leads else None,
            state=state,
            checkpoint=save if folder is not None and leads else None,
            checkpoint_every=checkpoint_every,
        )
    except DivergedError as error:
        if folder is None or not leads:
            raise
        save(error.state)
        raise DivergedError(
            f"{error}: the last good state, of step {error.state.step}, is kept; go on from it with: "
            f"marginlens train --resume {folder} --learning-rate {recipe.learning_rate / 10:g}",
            error.state,
        ) from None
    run = run_record(chosen, recipe, prediction, training, folder)
    if folder is not None and leads:
        try:
            finish_run(run, folder)
        except OSError as error:
            raise OSError(
                f"could not write the run to {str(folder)!r} ({error.strerror or error}); its "
                f"checkpoint is kept: make room, then: marginlens train --resume {folder}"
            ) from None
    return run


def _tracker(
    stack: ExitStack, kind: str | None, folder: Path | None, recipe: Recipe, step: int | None = None
) -> Tracker | None:
    if kind is None:
        return None
    tracker = open_tracker(
        kind,
        folder=folder or Path(),
        name=recipe.task if folder is None else folder.name,
        config=recipe.model_dump(),
        resume_step=step,
    )
    stack.callback(tracker.close, "finished")
    return tracker
