"""Prediction for a training, which need not be the one that the theory speaks of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marginlens.tasks import Task
from marginlens.theory import Penalty, Prediction, Predictions, is_covered
from marginlens.training import Recipe, recipe_for

__all__ = ["predict_training", "prediction_for"]


def predict_training(task: Task, **fields: Any) -> tuple[Recipe, Prediction]:
    """Recipe with these fields for a task, and the prediction of its training.

    Parameters
    ----------
    task
        Task that is learned, also one whose rows are not listed.
    fields
        Any field of :class:`marginlens.training.Recipe`; the others suit the task.
    """
    predictions = Predictions(task)
    recipe = recipe_for(task, predictions=predictions, **fields)
    return recipe, prediction_for(task, recipe, predictions)


def prediction_for(
    task: Task, recipe: Recipe, predictions: Predictions | None = None
) -> Prediction:
    """Prediction at the penalty that the recipe trains with, or ends with.

    Where rows are held back, labels corrupted, embeddings shared, or neurons have biases, the theory
    speaks of another training: its numbers stay, as what a network of the whole table would do, and
    promise nothing. With another loss what it says of a penalty's strength goes.

    Parameters
    ----------
    task, recipe
        Task that is trained on, and the recipe of the training.
    predictions
        Predictions of the task, whose solutions are shared; None: the margin's program is solved.
    """
    penalty = Penalty(recipe.penalty, recipe.final_strength)
    if recipe.loss_function == "margin":  # at norm 1: the prediction is the limit itself
        penalty = None
    found = (predictions or Predictions(task)).at(recipe.activation, penalty)
    plain = recipe.network == "mlp" and not recipe.tied and not recipe.weight_decay
    if not is_covered(task):
        return found
    reasons = []
    if not (recipe.is_population and plain):
        reasons.append(
            "Trained with tied or factored embeddings, attention, decoupled weight decay, on a part of "
            "the table or on corrupted labels: the prediction is that of an MLP on the whole table with "
            "an embedding for each slot."
        )
    if recipe.network == "mlp" and recipe.biases:
        reasons.append("Trained with biases: the prediction is that of a network without them.")
    if recipe.loss_function not in ("cross_entropy", "logistic", "margin"):
        reasons.append(
            f"Trained with the {recipe.loss_function} loss: the prediction is the limit of "
            "cross-entropy."
        )
        found = replace(found, at_penalty=None, collapse_penalty=None)
    if recipe.is_sampled(task):
        reasons.append(
            "Accuracy, loss and margin are over a sample of the inputs, not all of them."
        )
    if not reasons:
        return found
    why = " ".join(reasons)
    if recipe.network == "transformer":
        found = replace(found, margin=None)  # of another norm, not to be compared
    return replace(found, proved=False, note=f"{found.note} {why}".strip())
