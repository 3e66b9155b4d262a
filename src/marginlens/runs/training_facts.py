"""Facts about a run's training that the premises of the theory need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from marginlens.runs.advice import RunAdvice
from marginlens.tasks import Task
from marginlens.theory import Prediction, default_activation, is_covered, parse_activation
from marginlens.training import Recipe, Training, trained_rows
from marginlens.training.schedules import learning_rate
from marginlens.verdict import TrainingFacts

__all__ = ["conclusive", "training_facts"]

_WAY = 0.1  # last share of the summed learning rates, over which the fall of the loss is taken


def training_facts(
    prediction: Prediction,
    task: Task,
    recipe: Recipe,
    training: Training,
    history: Mapping[str, np.ndarray],
    folder: Path | None,
) -> TrainingFacts:
    """Collect the facts about a training that the premises of the theory need.

    Parameters
    ----------
    prediction, task, recipe, training
        Prediction, task, recipe and outcome of the training.
    history
        Columns ``step`` and ``loss`` of member 0, as in :class:`marginlens.runs.Run`.
    folder
        Folder of the run, or None for an unsaved run.
    """
    step = _last_step(training)
    other_rows, share = "", 1.0
    if recipe.train_length is not None:
        other_rows = f"on numbers of at most {recipe.train_length} digits"
    elif recipe.chooses_rows:
        chosen = trained_rows(task, recipe)
        count = len(task.answers) if chosen is None else len(chosen)
        share = count / len(task.answers)
        other_rows = f"on {count} chosen rows of {len(task.answers)}"
    elif recipe.train_fraction < 1:
        share, other_rows = (
            recipe.train_fraction,
            f"on {100 * recipe.train_fraction:.3g} % of the rows",
        )
    if recipe.corrupt:
        share *= 1 - recipe.corrupt
        wrong = f"with {100 * recipe.corrupt:.3g} % wrong labels"
        other_rows = f"{other_rows}, {wrong}" if other_rows else wrong
    return TrainingFacts(
        rows_share=share,
        other_rows=other_rows,
        ended=training.ends[0] if training.ends else training.stopped,
        step=step,
        steps=recipe.steps,
        last_fall=_last_fall(recipe, history, step),
        last_loss=_last_loss(recipe, history, step),
        path_ended=_has_ended(recipe, step),
        trains_margin=recipe.loss_function == "margin",
        upper_bound=_upper_bound(history),
        uncovered=_uncovered(task, recipe),
        folder=None if folder is None else str(folder),
        advice=RunAdvice(recipe, task, folder, step, prediction),
    )


def conclusive(prediction: Prediction, recipe: Recipe, training: Training) -> Prediction:
    """Return the prediction of a finished training, unproved if its path was cut short.

    Parameters
    ----------
    prediction
        Prediction at the strength that the recipe ends with.
    recipe, training
        Recipe and outcome of the training.
    """
    if _has_ended(recipe, _last_step(training)):
        return prediction
    words = "Stopped before the penalty had fallen to the strength that is predicted for."
    return replace(prediction, proved=False, note=f"{prediction.note} {words}".strip())


def _last_step(training: Training) -> int:
    return int(training.end_steps[0]) if len(training.end_steps) else 0


def _has_ended(recipe: Recipe, step: int) -> bool:
    """Return whether the penalty has reached its last strength by a step."""
    return recipe.anneal_to is None or step >= 0.75 * recipe.steps


def _upper_bound(history: Mapping[str, np.ndarray]) -> float | None:
    """Return the least upper bound of the maximum margin that training proved, or None."""
    bounds = history.get("upper_bound", np.empty(0))
    return float(bounds[-1]) if len(bounds) and np.isfinite(bounds[-1]) else None


def _last_loss(recipe: Recipe, history: Mapping[str, np.ndarray], step: int) -> float | None:
    """Return the loss at the last step over the whole table, or None for other rows."""
    steps = history["step"]
    if not len(steps) or steps[-1] != step or not recipe.is_population:
        return None
    return float(history["loss"][-1])


def _last_fall(recipe: Recipe, history: Mapping[str, np.ndarray], step: int) -> float | None:
    """Return the relative fall of the loss over the last tenth of the summed learning rates.

    Steps are weighted by their learning rate: a schedule that ends at 0 hardly moves in its last steps,
    so a constant loss there does not show convergence.
    """
    steps, loss = history["step"], history["loss"]
    if not step:
        return None
    kept = steps <= step
    if (
        kept.sum() < 2 or recipe.loss_function == "margin"
    ):  # its loss is negative, and falls with beta
        return None
    steps, loss = steps[kept], loss[kept]
    way = np.cumsum([learning_rate(recipe, s) for s in range(int(steps[-1]))])
    before = int(np.searchsorted(way, (1 - _WAY) * way[-1]))
    index = max(0, int(np.searchsorted(steps, before, side="right")) - 1)
    index = min(index, len(steps) - 2)
    return float(loss[index] / loss[-1] - 1) if loss[-1] > 0 else None


def _uncovered(task: Task, recipe: Recipe) -> str:
    """Return the reason that no theorem covers a network, or empty text if one does."""
    if not is_covered(task):
        return f"the task {task.name}"
    if parse_activation(recipe.activation) != default_activation(task):
        return f"the activation {recipe.activation} on {task.name}"
    reasons = (
        (recipe.network != "mlp", f"{recipe.network} networks"),
        (bool(recipe.biases), "networks with biases"),
        (recipe.tied, "one embedding for all inputs"),
        (recipe.weight_decay > 0, "decoupled weight decay"),
        (
            recipe.loss_function not in ("cross_entropy", "logistic", "margin"),
            f"the {recipe.loss_function} loss",
        ),
    )
    return next((words for holds, words in reasons if holds), "")
