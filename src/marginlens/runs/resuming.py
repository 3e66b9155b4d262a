"""Going on with a run after it was interrupted, killed, or diverged."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from marginlens.runs.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    OtherRecipeError,
    locked,
    read_checkpoint,
    remove_unfinished,
)
from marginlens.runs.execute import Progress, by_leader, finish_training, start_tracker
from marginlens.runs.folder import MARK, is_finished, note_changes, task_of_folder
from marginlens.runs.prediction_for import prediction_for
from marginlens.runs.run import Run
from marginlens.tasks import Task
from marginlens.theory import Prediction
from marginlens.training import Ranks, Recipe, TrainingState, find_device, initial_network
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
        ``learning_rate``, ``strength``, ``steps`` or ``device``: other values of these fields of the
        recipe from here on. The recipe then says the last ones, and the prediction is that of the last
        strength; ``changes.json`` says at which step they changed. Rows of the history from before
        keep the loss at the strength of their time. Along a regularization path the new strength is
        the one it falls from, by the same share of the steps, to the same ``anneal_to``: in the last
        quarter nothing changes.

    Raises
    ------
    ValueError
        If there is no run, if it is finished, if a checkpoint is damaged, or if another process is
        at work on it; in one line that says what to do.
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
        state = _last_state(path, recipe, chosen, previous=previous)
        step = 0 if state is None else state.step
        if step > recipe.steps:
            raise ValueError(f"the run is at step {step} already; choose more --steps")

        def begin() -> Tracker | None:
            _require_writable(path)
            remove_unfinished(path)
            if previous and not _is_whole(path / CHECKPOINT, recipe, chosen):
                (path / PREVIOUS).replace(path / CHECKPOINT)  # or the damaged one would follow it
            if given:
                note_changes(path, step, was, recipe)
            tracker = start_tracker(stack, track, path, recipe, step)
            if tracker is not None and state is not None:
                for i, recorded in enumerate(state.steps):  # what it holds already is passed over
                    tracker.log(recorded, {name: rows[i] for name, rows in state.rows.items()})
            return tracker

        Ranks.here().any(False)  # all have read before anything is changed
        tracker = by_leader(begin)
        prediction = prediction_for(chosen, recipe)
        show = None if progress is None else progress(recipe, prediction, step)
        return finish_training(
            recipe, chosen, prediction, path, show, state, checkpoint_every, tracker
        )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder with a run that is not finished."""
    if not (folder / MARK).is_file():
        more = " --overwrite" if folder.is_dir() else ""
        raise ValueError(
            f"{str(folder)!r} holds no run (no {MARK}); start one with: "
            f"marginlens train C23 --out {quote(str(folder))}{more}"
        )
    with locked(folder):
        if is_finished(folder):
            raise ValueError(
                f"the run in {str(folder)!r} is finished; look at it with: "
                f"marginlens measure {quote(str(folder))}"
            )
        yield


def _read_recipe(folder: Path) -> tuple[Recipe, Task]:
    try:
        recipe = Recipe.from_toml((folder / MARK).read_text())
        return recipe, task_of_folder(recipe, folder)
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{str(folder / MARK)!r} is damaged: {words}") from None


def _require_writable(folder: Path) -> None:
    try:
        tempfile.TemporaryFile(prefix=f".{CHECKPOINT}.", dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"cannot write in {str(folder)!r} ({error.strerror}); make it writable, or copy it "
            "elsewhere and resume there"
        ) from None


def _is_whole(path: Path, recipe: Recipe, chosen: Task) -> bool:
    try:
        read_checkpoint(path, initial_network(chosen, recipe))
    except ValueError:
        return False
    return True


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
        raise ValueError(f"{error}; {hint}") from None
