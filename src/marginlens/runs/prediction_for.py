"""Prediction for a training, with notes where the theory's premises do not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marginlens.tasks import Task
from marginlens.theory import Penalty, Prediction, Predictions, is_covered
from marginlens.training import Recipe, recipe_for

__all__ = ["predict_training", "prediction_for"]


def predict_training(task: Task, **fields: Any) -> tuple[Recipe, Prediction]:
    """Complete a recipe for a task, and predict its training.

    Parameters
    ----------
    task
        Task to learn; its rows need not be listed.
    fields
        Fields of :class:`marginlens.training.Recipe`; missing fields get the task's defaults.
    """
    predictions = Predictions(task)
    recipe = recipe_for(task, predictions=predictions, **fields)
    return recipe, prediction_for(task, recipe, predictions)


def prediction_for(
    task: Task, recipe: Recipe, predictions: Predictions | None = None
) -> Prediction:
    """Return the prediction at the penalty that the recipe trains with, or ends with.

    If rows are held back, labels corrupted, embeddings shared, or neurons have biases, the theory's
    premises do not hold: its numbers remain as those of a network on the whole table, marked as
    unproved. For another loss, predictions at a penalty strength are removed.

    Parameters
    ----------
    task, recipe
        Task to learn, and complete recipe of the training.
    predictions
        Predictions of the task, whose solutions are reused; None solves the linear program again.
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
            "Accuracy, loss and margin are taken over a sample of the inputs, not all inputs."
        )
    if not reasons:
        return found
    why = " ".join(reasons)
    if recipe.network == "transformer":
        found = replace(found, margin=None)  # it refers to another norm
    return replace(found, proved=False, note=f"{found.note} {why}".strip())
