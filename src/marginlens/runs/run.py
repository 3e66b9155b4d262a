"""A run: prediction, training and measurement of one network, in one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from marginlens.measures import Measurement, measure
from marginlens.tasks import Task
from marginlens.theory import Penalty, Prediction, predict
from marginlens.training import Recipe, Training, initial_network
from marginlens.verdict import Verdict, judge

__all__ = ["Run", "prediction_for", "run_record"]


@dataclass(frozen=True, eq=False)
class Run:
    """Everything about a finished run; curves and measurements are those of member 0.

    Attributes
    ----------
    folder
        Where it lies, None if it was not saved.
    recipe, task, prediction, training
        What was asked for, predicted and done.
    measurement, first
        Of the final network, and of the network before training.
    verdict
        Prediction against measurement.
    history
        Columns ``step``, ``loss`` (cross-entropy + penalty), ``cross_entropy``, ``accuracy``,
        ``margin``, ``norm``, ``normalized_margin`` and ``margin_ratio`` (of gamma*, nan where that
        is unknown).
    snapshot_steps, snapshots
        Weights through training, (snapshot, element, neuron).
    """

    folder: Path | None
    recipe: Recipe
    task: Task
    prediction: Prediction
    training: Training
    measurement: Measurement
    first: Measurement
    verdict: Verdict
    history: dict[str, Float[np.ndarray, " record"] | Int[np.ndarray, " record"]]
    snapshot_steps: Int[np.ndarray, " snapshot"]
    snapshots: dict[str, Float[np.ndarray, "snapshot element neuron"]]


def prediction_for(task: Task, recipe: Recipe) -> Prediction:
    """Prediction at the penalty that the recipe trains with, or ends with.

    Where rows are held back, labels corrupted or embeddings shared, the theory speaks of another
    training: its numbers stay, as what a network of the whole table would do, and promise nothing.
    """
    found = predict(task, recipe.activation, Penalty(recipe.penalty, recipe.final_strength))
    if recipe.is_population and not recipe.tied and not recipe.weight_decay:
        return found
    why = (
        "Trained with tied embeddings, decoupled weight decay, on a part of the table or on corrupted "
        "labels: the prediction is that of the whole table with an embedding for each slot."
    )
    return replace(found, proved=False, note=f"{found.note} {why}".strip())


def run_record(
    task: Task, recipe: Recipe, prediction: Prediction, training: Training, folder: Path | None
) -> Run:
    """Measure a training and judge it."""
    # the curves are member 0's, which starts the same alone as among others
    start = initial_network(task, recipe.model_copy(update={"members": 1}))
    measurement = measure(training.network, task)
    history = {"step": training.steps, **{n: v[:, 0] for n, v in training.history.items()}}
    maximum = np.nan if prediction.margin is None else prediction.margin
    history["margin_ratio"] = history["normalized_margin"] / maximum
    return Run(
        folder=folder,
        recipe=recipe,
        task=task,
        prediction=prediction,
        training=training,
        measurement=measurement,
        first=measure(start, task),
        verdict=judge(prediction, measurement, training_seconds=training.seconds),
        history=history,
        snapshot_steps=training.snapshot_steps,
        snapshots=training.snapshots,
    )
