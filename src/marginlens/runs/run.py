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
from marginlens.networks import MLP, Rows
from marginlens.runs.training_facts import training_facts
from marginlens.tasks import Task
from marginlens.theory import Prediction
from marginlens.theory.group.linear_program import SOLVED_GAP
from marginlens.training import Recipe, Training, initial_network, recorded_rows, trained_rows
from marginlens.verdict import Verdict, judge

__all__ = ["Run"]


_LAST = ("accuracy", "test_accuracy", "loss", "cross_entropy", "normalized_margin")
"""Columns of the history whose last values a notebook shows."""


@dataclass(frozen=True, eq=False)
class Run(Displayed):
    """Everything about a finished run; curves and measurements are those of member 0.

    Measurements and the verdict are made when they are first asked for, and kept.

    Attributes
    ----------
    folder
        Where it lies, None if it was not saved.
    recipe, task, prediction, training
        What was asked for, predicted and done.
    stored_verdict
        Verdict that was read from the run's folder; None: it is made from the measurement.
    """

    folder: Path | None
    recipe: Recipe
    task: Task
    prediction: Prediction
    training: Training
    stored_verdict: Verdict | None = None

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
    def is_measured(self) -> bool:
        """Whether neurons are measured: not a transformer's, nor on tasks without features."""
        return self.training.network.neurons_are_measured and bool(self.task.features)

    @cached_property
    def history(self) -> dict[str, Float[np.ndarray, " record"] | Int[np.ndarray, " record"]]:
        """Columns by name, one row a record.

        ``step``, ``loss`` (what is minimised, with penalty), ``cross_entropy``, ``accuracy``,
        ``margin``, ``norm``, ``normalized_margin`` and ``margin_ratio`` (of gamma*, nan where that is
        unknown).
        """
        history = {"step": self.training.steps}
        history |= {name: values[:, 0] for name, values in self.training.history.items()}
        maximum = np.nan if self.prediction.margin is None else self.prediction.margin
        return history | {"margin_ratio": history["normalized_margin"] / maximum}

    @property
    def snapshot_steps(self) -> Int[np.ndarray, " snapshot"]:
        """Steps at which weights were kept."""
        return self.training.snapshot_steps

    @cached_property
    def snapshots(self) -> dict[str, Float[np.ndarray, "snapshot ..."]]:
        """Weights through training, (snapshot, element, neuron); of a transformer its parameters."""
        training = self.training
        if not self.is_measured:
            return training.snapshots
        tensors = {name: torch.as_tensor(values) for name, values in training.snapshots.items()}
        layers = training.network.with_parameters(tensors).as_mlp().tensors
        return {name: p.numpy() for name, p in layers.items()}

    @cached_property
    def measurement(self) -> Measurement:
        """Measurement of the final network's neurons.

        Raises
        ------
        ValueError
            If its neurons are not measured.
        """
        self._require_measured()
        return measure(self.training.network.as_mlp(), self.task, rows=self._rows)

    @cached_property
    def first(self) -> Measurement:
        """Measurement of the network before training."""
        self._require_measured()
        # the curves are member 0's, which starts the same alone as among others
        start = initial_network(self.task, self.recipe.model_copy(update={"members": 1}))
        return measure(start.as_mlp(), self.task, rows=self._rows)

    @cached_property
    def verdict(self) -> Verdict:
        """Verdict on the final network, as it was stored or made from its measurement.

        Raises
        ------
        ValueError
            If its neurons are not measured.
        """
        self._require_measured()
        return self.judged() if self.stored_verdict is None else self.stored_verdict

    def judged(self) -> Verdict:
        """Compare the measurement with the prediction, whatever verdict was stored."""
        facts = training_facts(
            self.prediction, self.task, self.recipe, self.training, self.history, self.folder
        )
        # that rows are others is a premise, and no matter of proof
        certificate = self.prediction.certificate
        solved = certificate is None or certificate.gap <= SOLVED_GAP
        prediction = replace(self.prediction, proved=solved and not facts.uncovered)
        seconds = self.training.seconds if np.isfinite(self.training.seconds) else None
        return judge(prediction, self.measurement, training_seconds=seconds, facts=facts)

    @property
    def _rows(self) -> Rows | None:
        return recorded_rows(self.task, self.recipe)

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
            "measurement": self.measurement.to_dict() if self.is_measured else None,
            "verdict": self.verdict.to_dict() if self.is_measured else None,
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
        if not self.is_measured:
            return Shown(heading, facts)
        verdict = self.verdict.shown()
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

    def _require_measured(self) -> None:
        if self.is_measured:
            return
        where = "the run" if self.folder is None else f"{str(self.folder)!r}"
        why = f"is a {self.recipe.network}, whose neurons are not measured"
        if self.training.network.neurons_are_measured:
            why = f"learned {self.task.name}, which has no features that neurons could hold"
        raise MarginLensError(
            f"{where} {why}: look at its history.parquet and parameters.safetensors"
        )
