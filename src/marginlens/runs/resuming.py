"""Resume an interrupted, killed or diverged run, or train a finished one further."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import pyarrow as pa
from safetensors import SafetensorError

from marginlens.errors import MarginLensError
from marginlens.runs.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    OtherRecipeError,
    locked,
    read_checkpoint,
    remove_unfinished,
)
from marginlens.runs.folder import (
    MARK,
    is_finished,
    load_weights,
    note_changes,
    read_training,
    require_finite_weights,
    task_of_folder,
)
from marginlens.runs.pipeline import Progress, by_leader, finish_training, plan_for, start_tracker
from marginlens.runs.run import Run
from marginlens.tasks import Task
from marginlens.theory import Prediction
from marginlens.training import Ranks, Recipe, TrainingState, find_device, initial_network
from marginlens.training.engine import way_of
from marginlens.training.recipe import checked_recipe
from marginlens.training.trackers import Tracker, require_tracker

__all__ = ["resume"]


def resume(
    folder: str | Path,
    *,
    previous: bool = False,
    progress: Callable[[Recipe, Prediction, int], Progress | None] | None = None,
    checkpoint_every: int | None = None,
    track: str | None = None,
    **changed: Any,
) -> Run:
    """Resume the run in a folder from its last checkpoint, or train a finished run further.

    On a CPU in float64 a resumed run ends with the same bits as an uninterrupted one. A finished run
    continues from its last step if ``steps`` is larger: with a new optimizer state, and with the
    learning rates that its schedule has at those steps of the new total. A finished penalty path stays
    at its last strength.

    Parameters
    ----------
    folder
        Folder of an interrupted, killed, diverged or finished run.
    previous
        Use the checkpoint before the last one, if the last is damaged.
    progress
        Function from recipe, prediction and first step to the function called at each record.
    checkpoint_every, track
        Steps between checkpoints and kind of tracker, the same as for :func:`follow`.
    changed
        New values for ``learning_rate``, ``strength``, ``steps`` or ``device`` from this step on. The
        saved recipe holds the new values, and the prediction refers to the new strength.
        ``changes.json`` records the step of each change. Earlier rows of the history keep the loss at
        their strength. On a penalty path the new strength replaces the initial one, with the same
        schedule and ``anneal_to``; in the last quarter of the steps it has no effect.

    Raises
    ------
    ValueError
        In one line, if the folder holds no run, the run is finished and ``steps`` is not larger, a
        checkpoint is damaged, or another process has locked the folder.
    """
    path = Path(folder)
    if track is not None:
        require_tracker(track)
    with ExitStack() as stack:
        by_leader(lambda: stack.enter_context(_held(path)))
        recipe, chosen = _read_recipe(path)
        given, was = {name: value for name, value in changed.items() if value is not None}, recipe
        if given:
            recipe = checked_recipe({**recipe.model_dump(), **given})
        find_device(recipe.device)
        if is_finished(path):
            state = _finished_state(path, recipe, chosen, previous=previous)
            if recipe.anneal_to is not None:
                last = {"strength": recipe.anneal_to, "anneal_to": None}
                recipe = checked_recipe({**recipe.model_dump(), **last})
        else:
            state = _last_state(path, recipe, chosen, previous=previous)
        step = 0 if state is None else state.step
        if step > recipe.steps:
            raise MarginLensError(
                f"expected --steps of at least {step}, the run's present step, got {recipe.steps}"
            )

        planned = plan_for(recipe, chosen)

        def begin() -> Tracker | None:
            _require_writable(path)
            remove_unfinished(path)
            if previous and not _is_whole(path / CHECKPOINT, recipe, chosen):
                (path / PREVIOUS).replace(path / CHECKPOINT)  # else the damaged one would be kept
            if recipe != was:
                note_changes(path, step, was, recipe)
            tracker = start_tracker(stack, track, path, recipe, step)
            if tracker is not None and state is not None:
                for i, recorded in enumerate(state.steps):  # the tracker skips the steps it has
                    tracker.log(recorded, {name: rows[i] for name, rows in state.rows.items()})
            return tracker

        Ranks.here().any(False)  # wait until all processes have read the files
        tracker = by_leader(begin)
        show = None if progress is None else progress(recipe, planned.prediction, step)
        return finish_training(
            planned,
            path,
            progress=show,
            state=state,
            checkpoint_every=checkpoint_every,
            tracker=tracker,
        )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lock the folder of a run."""
    if not (folder / MARK).is_file():
        more = " --overwrite" if folder.is_dir() else ""
        raise MarginLensError(
            f"{str(folder)!r} holds no run (no {MARK}); start one with: "
            f"marginlens train C23 --out {quote(str(folder))}{more}"
        )
    with locked(folder):
        yield


def _read_recipe(folder: Path) -> tuple[Recipe, Task]:
    try:
        recipe = Recipe.from_toml((folder / MARK).read_text())
        return recipe, task_of_folder(recipe, folder)
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(f"{str(folder / MARK)!r} is damaged: {words}") from None


def _require_writable(folder: Path) -> None:
    try:
        tempfile.TemporaryFile(prefix=f".{CHECKPOINT}.", dir=folder).close()
    except OSError as error:
        raise MarginLensError(
            f"cannot write in {str(folder)!r} ({error.strerror}); make it writable, or copy it "
            "elsewhere and resume there"
        ) from None


def _is_whole(path: Path, recipe: Recipe, chosen: Task) -> bool:
    try:
        read_checkpoint(path, initial_network(chosen, recipe))
    except ValueError:
        return False
    return True


def _finished_state(folder: Path, recipe: Recipe, chosen: Task, *, previous: bool) -> TrainingState:
    """Return the state from which a finished run continues to the recipe's steps."""
    if previous:
        raise MarginLensError(
            f"the run in {str(folder)!r} is finished and has no {PREVIOUS}; leave --previous out"
        )
    weights = load_weights(folder)
    require_finite_weights(weights, folder)
    try:
        training = read_training(weights, folder)
    except (ValueError, OSError, KeyError, SafetensorError, pa.ArrowException) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(f"the run in {str(folder)!r} is damaged: {words}") from None
    state = TrainingState.after(training)
    if not len(state.active):
        ends = ", ".join(dict.fromkeys(state.ends))
        raise MarginLensError(
            f"the run in {str(folder)!r} is finished, and every network stopped before the last step "
            f"({ends}): more steps have no effect; train it again without this stopping rule"
        )
    if state.step >= recipe.steps:
        raise MarginLensError(
            f"the run in {str(folder)!r} is finished after {state.step} steps; train it further with: "
            f"marginlens train --resume {quote(str(folder))} --steps {2 * max(1, state.step)}"
        )
    like = TrainingState.start(recipe, initial_network(chosen, recipe))
    state.compiled = way_of(chosen, recipe, like, Ranks.here())
    return state


def _last_state(
    folder: Path, recipe: Recipe, chosen: Task, *, previous: bool
) -> TrainingState | None:
    """Return the state of the last checkpoint, or None before the first one."""
    last, before = folder / CHECKPOINT, folder / PREVIOUS
    path = before if previous or not last.exists() else last
    if not path.exists():
        if previous:
            raise MarginLensError(
                f"expected {PREVIOUS} in {str(folder)!r}, found no such file; leave --previous out"
            )
        return None
    like = initial_network(chosen, recipe)
    try:
        return read_checkpoint(path, like, recipe.model_dump(mode="json"))
    except OtherRecipeError:
        raise
    except ValueError as error:
        where = quote(str(folder))
        hint = f"start again with: marginlens train {quote(recipe.task)} --out {where} --overwrite"
        if path == last and before.exists():
            hint = (
                f"resume from the previous one with: marginlens train --resume {where} --previous"
            )
        raise MarginLensError(f"{error}; {hint}") from None
