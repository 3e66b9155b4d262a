"""Resume a run that was interrupted, killed or diverged, or train a finished one further."""

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
    """Resume the run in a folder, from its last checkpoint; train a finished one further.

    On a CPU in float64 an interrupted run ends with the same bits as one that was never interrupted. A
    finished run goes on where it ended, if there are more steps: with the learning rates that its
    schedule has at those steps of the new number, and an optimizer that starts anew. A regularization
    path that has ended stays at its last strength.

    Parameters
    ----------
    folder
        A run's folder, interrupted, killed, diverged or finished.
    previous
        Take the checkpoint before the last one, where the last is damaged.
    progress
        Given recipe, prediction and the step to go on from, returns what is called at each record.
    checkpoint_every, track
        As for :func:`follow`.
    changed
        ``learning_rate``, ``strength``, ``steps`` or ``device``: other values of these fields of the
        recipe from here on. The recipe then says the last ones, and the prediction is that of the last
        strength; ``changes.json`` says at which step they changed. Rows of the history from before
        keep the loss at the strength of their time. Along a regularization path the new strength is
        the one it falls from, by the same share of the steps, to the same ``anneal_to``: in the last
        quarter nothing changes.

    Raises
    ------
    ValueError
        If there is no run, if it is finished and no more steps are asked for, if a checkpoint is
        damaged, or if another process is at work on it; in one line that says what to do.
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
            raise MarginLensError(f"the run is at step {step} already; choose more --steps")

        planned = plan_for(recipe, chosen)

        def begin() -> Tracker | None:
            _require_writable(path)
            remove_unfinished(path)
            if previous and not _is_whole(path / CHECKPOINT, recipe, chosen):
                (path / PREVIOUS).replace(path / CHECKPOINT)  # or the damaged one would follow it
            if recipe != was:
                note_changes(path, step, was, recipe)
            tracker = start_tracker(stack, track, path, recipe, step)
            if tracker is not None and state is not None:
                for i, recorded in enumerate(state.steps):  # what it holds already is passed over
                    tracker.log(recorded, {name: rows[i] for name, rows in state.rows.items()})
            return tracker

        Ranks.here().any(False)  # all have read before anything is changed
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
    """Hold a folder with a run."""
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
    """Return the state in which a finished run goes on to the recipe's number of steps."""
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
            f"({ends}): more steps change nothing; train it again without what stopped it"
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
    """The state to go on from; None where no checkpoint was written yet."""
    last, before = folder / CHECKPOINT, folder / PREVIOUS
    path = before if previous or not last.exists() else last
    if not path.exists():
        if previous:
            raise MarginLensError(
                f"there is no {PREVIOUS} in {str(folder)!r}; leave --previous out"
            )
        return None
    like = initial_network(chosen, recipe)
    try:
        return read_checkpoint(path, like, recipe.model_dump(mode="json"))
    except OtherRecipeError:
        raise
    except ValueError as error:
        where = quote(str(folder))
        hint = f"start anew with: marginlens train {quote(recipe.task)} --out {where} --overwrite"
        if path == last and before.exists():
            hint = (
                f"go on from the one before it with: marginlens train --resume {where} --previous"
            )
        raise MarginLensError(f"{error}; {hint}") from None
