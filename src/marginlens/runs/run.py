"""Run: prediction, training, measurement and verdict of one network in one record."""

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
"""Columns of the history whose last values are shown in notebooks."""


@dataclass(frozen=True, eq=False)
class Run(Displayed):
    """Record of a finished run; curves and measurements are those of member 0.

    Measurements and the verdict are computed at first access and cached.

    Attributes
    ----------
    folder
        Folder of the run, or None for an unsaved run.
    recipe, task, prediction, training
        Recipe, task, prediction and outcome of the training.
    stored_verdict
        Verdict read from the run's folder; None computes it from the measurement.
    """

    folder: Path | None
    recipe: Recipe
    task: Task
    prediction: Prediction
    training: Training
    stored_verdict: Verdict | None = None

    @property
    def network(self) -> MLP:
        """Trained network as an MLP with a weight for each element and neuron.

        Raises
        ------
        ValueError
            If the network is a transformer.
        """
        return self.training.network.as_mlp()

    @property
    def is_measured(self) -> bool:
        """True if neurons are measured: not for transformers, nor for tasks without features."""
        return self.training.network.neurons_are_measured and bool(self.task.features)

    @cached_property
    def history(self) -> dict[str, Float[np.ndarray, " record"] | Int[np.ndarray, " record"]]:
        """Columns of the history by name, one row per record.

        ``step``, ``loss`` (the objective, with penalty), ``cross_entropy``, ``accuracy``, ``margin``,
        ``norm``, ``normalized_margin`` and ``margin_ratio`` (normalized margin divided by gamma*, nan if
        gamma* is unknown).
        """
        history = {"step": self.training.steps}
        history |= {name: values[:, 0] for name, values in self.training.history.items()}
        maximum = np.nan if self.prediction.margin is None else self.prediction.margin
        return history | {"margin_ratio": history["normalized_margin"] / maximum}

    @property
    def snapshot_steps(self) -> Int[np.ndarray, " snapshot"]:
        """Steps at which weights were saved."""
        return self.training.snapshot_steps

    @cached_property
    def snapshots(self) -> dict[str, Float[np.ndarray, "snapshot ..."]]:
        """Weights of shape (snapshot, element, neuron); for a transformer its parameters."""
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
            If the network's neurons are not measured.
        """
        self._require_measured()
        return measure(self.training.network.as_mlp(), self.task, rows=self._rows)

    @cached_property
    def first(self) -> Measurement:
        """Measurement of the network before training."""
        self._require_measured()
        # member 0 starts from the same weights alone as in an ensemble
        start = initial_network(self.task, self.recipe.model_copy(update={"members": 1}))
        return measure(start.as_mlp(), self.task, rows=self._rows)

    @cached_property
    def verdict(self) -> Verdict:
        """Verdict on the final network, stored or computed from its measurement.

        Raises
        ------
        ValueError
            If the network's neurons are not measured.
        """
        self._require_measured()
        return self.judged() if self.stored_verdict is None else self.stored_verdict

    def judged(self) -> Verdict:
        """Recompute the verdict from measurement and prediction, ignoring the stored one."""
        facts = training_facts(
            self.prediction, self.task, self.recipe, self.training, self.history, self.folder
        )
        # other training rows violate a premise, which the verdict reports; the proof stays valid
        certificate = self.prediction.certificate
        solved = certificate is None or certificate.gap <= SOLVED_GAP
        prediction = replace(self.prediction, proved=solved and not facts.uncovered)
        seconds = self.training.seconds if np.isfinite(self.training.seconds) else None
        return judge(prediction, self.measurement, training_seconds=seconds, facts=facts)

    @property
    def _rows(self) -> Rows | None:
        return recorded_rows(self.task, self.recipe)

    def measure(self) -> Measurement:
        """Measure member 0 of the trained network; metrics of neurons are None for transformers."""
        train = trained_rows(self.task, self.recipe)
        rows = recorded_rows(self.task, self.recipe)
        found = measure(self.training.network, self.task, train=train, rows=rows)
        unknown = {name: why for name, why in found.unknown.items() if name != "dynamics"}
        if self.grokking is None:
            unknown["dynamics"] = "no rows were held back from training"
        return replace(found, dynamics=self.grokking, unknown=unknown)

    def to_dict(self) -> dict[str, Any]:
        """Return recipe, prediction, outcome and verdict as plain values for JSON."""
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
        """Return the rows of :meth:`to_frame`: the history, one row per record."""
        names = list(self.history)
        return [
            dict(zip(names, row, strict=True))
            for row in zip(*(values.tolist() for values in self.history.values()), strict=True)
        ]

    def shown(self) -> Shown:
        """Return the facts of training, its last values and the verdict, for notebooks."""
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
        """Steps at which each member memorised and generalised; None without test rows."""
        training = self.training
        if not self.recipe.holds_out or not len(training.steps):
            return None
        return grokking(training.steps, training.history)

    @cached_property
    def lottery(self) -> Lottery | None:
        """Predicted final frequency of each neuron of member 0, from its initial weights.

        None for networks and tasks outside that theory. :func:`marginlens.measures.score_tickets` covers
        all members.
        """
        final = self.training.network
        if final.homogeneity is None:  # its neurons have no separate weights
            return None
        final = final.as_mlp()
        if why_no_lottery(self.task, final.activation):
            return None
        start = initial_network(self.task, self.recipe.model_copy(update={"members": 1}))
        return score_tickets(start.as_mlp(), final.member(0), self.task)

    @cached_property
    def displacement(self) -> Displacement | None:
        """Final logits of member 0 by displacement from the right answer; None without a group.

        :func:`marginlens.measures.displacement` covers any member.
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
            why = f"learned {self.task.name}, a task without features of neurons"
        raise MarginLensError(f"{where} {why}: read its history.parquet and parameters.safetensors")
