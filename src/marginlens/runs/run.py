"""A run: prediction, training and measurement of one network, in one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from marginlens.display import Displayed, Shown
from marginlens.errors import MarginLensError
from marginlens.measures import (
    Displacement,
    Grokking,
    Lottery,
    Measurement,
    displacement,
    grokking,
    measure,
    score_tickets,
    why_no_lottery,
)
from marginlens.networks import MLP
from marginlens.runs.training_facts import training_facts
from marginlens.tasks import Task
from marginlens.theory import Prediction
from marginlens.theory.group.linear_program import SOLVED_GAP
from marginlens.training import Recipe, Training, initial_network, recorded_rows, trained_rows
from marginlens.verdict import Verdict, judge

__all__ = ["Measured", "Run", "run_record"]


_LAST = ("accuracy", "test_accuracy", "loss", "cross_entropy", "normalized_margin")
"""Columns of the history whose last values a notebook shows."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found in the neurons of a run.

    Attributes
    ----------
    measurement, first
        Of the final network, and of the network before training.
    verdict
        Prediction against measurement.
    """

    measurement: Measurement
    first: Measurement
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Run(Displayed):
    """Everything about a finished run; curves and measurements are those of member 0.

    Attributes
    ----------
    folder
        Where it lies, None if it was not saved.
    recipe, task, prediction, training
        What was asked for, predicted and done.
    measured
        What its neurons hold; None for a transformer, whose neurons have no weight for each element,
        and for tasks without features.
    history
        Columns ``step``, ``loss`` (what is minimised, with penalty), ``cross_entropy``, ``accuracy``,
        ``margin``, ``norm``, ``normalized_margin`` and ``margin_ratio`` (of gamma*, nan where that
        is unknown).
    snapshot_steps, snapshots
        Weights through training, (snapshot, element, neuron); of a transformer its parameters.
    """

    folder: Path | None
    recipe: Recipe
    task: Task
    prediction: Prediction
    training: Training
    measured: Measured | None
    history: dict[str, Float[np.ndarray, " record"] | Int[np.ndarray, " record"]]
    snapshot_steps: Int[np.ndarray, " snapshot"]
    snapshots: dict[str, Float[np.ndarray, "snapshot ..."]]

    @property
    def network(self) -> MLP:
        """The trained network with a weight for each element and neuron.

        Raises
        ------
        ValueError
            If it is a transformer.
        """
        return self.training.network.as_mlp()

    @property
    def measurement(self) -> Measurement:
        """What the final network's neurons hold; a ValueError where they are not measured."""
        return self._measured().measurement

    @property
    def first(self) -> Measurement:
        """The same before training."""
        return self._measured().first

    @property
    def verdict(self) -> Verdict:
        """Prediction against measurement; a ValueError where nothing is measured."""
        return self._measured().verdict

    def measure(self) -> Measurement:
        """Measure the trained network, member 0; of a transformer what needs neurons is None."""
        train = trained_rows(self.task, self.recipe)
        rows = recorded_rows(self.task, self.recipe)
        found = measure(self.training.network, self.task, train=train, rows=rows)
        unknown = {name: why for name, why in found.unknown.items() if name != "dynamics"}
        if self.grokking is None:
            unknown["dynamics"] = "no rows were held back from training"
        return replace(found, dynamics=self.grokking, unknown=unknown)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold: the recipe, the prediction, the outcome and the verdict."""
        last = {name: float(values[-1]) for name, values in self.history.items() if len(values)}
        return {
            "folder": None if self.folder is None else str(self.folder),
            "recipe": self.recipe.model_dump(mode="json"),
            "prediction": self.prediction.to_dict(),
            "stopped": self.training.stopped,
            "last": {name: value if np.isfinite(value) else None for name, value in last.items()},
            "measurement": None if self.measured is None else self.measurement.to_dict(),
            "verdict": None if self.measured is None else self.verdict.to_dict(),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """Rows of :meth:`to_frame`: the history, one a record."""
        names = list(self.history)
        return [
            dict(zip(names, row, strict=True))
            for row in zip(*(values.tolist() for values in self.history.values()), strict=True)
        ]

    def shown(self) -> Shown:
        """What a notebook shows: how it was trained, where it ended, and the verdict."""
        recipe, training = self.recipe, self.training
        last = {name: float(values[-1]) for name, values in self.history.items() if len(values)}
        facts = [
            ("network", f"{recipe.network}, width {recipe.width}, {recipe.activation}"),
            ("trained", f"{int(last.get('step', 0))} steps in {training.seconds:.3g} s"),
            ("stopped", training.stopped),
            *((name.replace("_", " "), last[name]) for name in _LAST if name in last),
            (
                "share of γ*",
                None if np.isnan(last.get("margin_ratio", np.nan)) else last["margin_ratio"],
            ),
            ("folder", None if self.folder is None else str(self.folder)),
        ]
        heading = f"{self.task.name}: a run"
        if self.measured is None:
            return Shown(heading, facts)
        verdict = self.measured.verdict.shown()
        return Shown(
            heading, facts, verdict.columns, verdict.rows, verdict.sentence, lead=verdict.lead
        )

    @cached_property
    def grokking(self) -> Grokking | None:
        """When each member memorised and generalised; None where no rows were held back."""
        training = self.training
        if not self.recipe.holds_out or not len(training.steps):
            return None
        return grokking(training.steps, training.history)

    @cached_property
    def lottery(self) -> Lottery | None:
        """Which frequency each neuron would end with, from the start; None where there is no such thing.

        Of member 0; :func:`marginlens.measures.score_tickets` takes all of them.
        """
        final = self.training.network
        if final.homogeneity is None:  # its neurons have no weights of their own
            return None
        final = final.as_mlp()
        if why_no_lottery(self.task, final.activation):
            return None
        start = initial_network(self.task, self.recipe.model_copy(update={"members": 1}))
        return score_tickets(start.as_mlp(), final.member(0), self.task)

    @cached_property
    def displacement(self) -> Displacement | None:
        """The final logits by displacement from the right answer; None where the task is no group's.

        Of member 0; :func:`marginlens.measures.displacement` takes any.
        """
        if self.task.group is None or not self.task.is_listed:
            return None
        return displacement(self.training.network, self.task)

    def _measured(self) -> Measured:
        if self.measured is None:
            where = "the run" if self.folder is None else f"{str(self.folder)!r}"
            why = f"is a {self.recipe.network}, whose neurons are not measured"
            if self.training.network.neurons_are_measured:
                why = f"learned {self.task.name}, which has no features that neurons could hold"
            raise MarginLensError(
                f"{where} {why}: look at its history.parquet and parameters.safetensors"
            )
        return self.measured


def run_record(
    task: Task, recipe: Recipe, prediction: Prediction, training: Training, folder: Path | None
) -> Run:
    """Measure a training and judge it."""
    history = {"step": training.steps, **{n: v[:, 0] for n, v in training.history.items()}}
    maximum = np.nan if prediction.margin is None else prediction.margin
    history["margin_ratio"] = history["normalized_margin"] / maximum
    facts = training_facts(task, recipe, training, folder, history)
    # that rows are others is a premise, and no matter of proof
    certificate = prediction.certificate
    solved = certificate is None or certificate.gap <= SOLVED_GAP
    judged = replace(prediction, proved=solved and not facts.uncovered)
    if not facts.path_ended:
        words = "Stopped before the penalty had fallen to the strength that is predicted for."
        prediction = replace(prediction, proved=False, note=f"{prediction.note} {words}".strip())
    measured, snapshots = None, training.snapshots
    if training.network.neurons_are_measured and task.features:
        # the curves are member 0's, which starts the same alone as among others
        start = initial_network(task, recipe.model_copy(update={"members": 1})).as_mlp()
        rows = recorded_rows(task, recipe)
        measurement = measure(training.network.as_mlp(), task, rows=rows)
        seconds = training.seconds if np.isfinite(training.seconds) else None
        verdict = judge(judged, measurement, training_seconds=seconds, facts=facts)
        measured = Measured(measurement, measure(start, task, rows=rows), verdict)
        tensors = {name: torch.as_tensor(values) for name, values in snapshots.items()}
        layers = training.network.with_parameters(tensors).as_mlp().tensors
        snapshots = {name: p.numpy() for name, p in layers.items()}
    return Run(
        folder=folder,
        recipe=recipe,
        task=task,
        prediction=prediction,
        training=training,
        measured=measured,
        history=history,
        snapshot_steps=training.snapshot_steps,
        snapshots=snapshots,
    )
