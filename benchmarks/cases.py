"""The networks that are measured, each trained by us and by the textbook from the same weights."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import torch
from textbook import Form, TextbookFactored, TextbookMLP, TextbookTransformer, Training
from torch import Tensor

from marginlens.kernels.ensemble_steps import EnsembleSteps
from marginlens.kernels.passes import compiled_passes
from marginlens.networks import MLP, Factored, Rows, Transformer, TransformerSettings
from marginlens.tasks import Task, task
from marginlens.theory import Penalty, parse_activation
from marginlens.training import Ranks, Recipe
from marginlens.training.data import Data
from marginlens.training.steps import Steps

__all__ = ["CASES", "SEEDS", "Case", "Compiled", "Ours", "Textbook", "some_rows"]


FULL = TransformerSettings()


@dataclass(frozen=True)
class Case:
    """One row: a task, a network and how it is trained.

    Attributes
    ----------
    label, task
        How the row and its task are called.
    form
        That of a textbook MLP, ``"factored"`` or ``"transformer"``.
    width, activation
        Neurons of the hidden layer, and sigma; of an MLP, factored or not.
    embedding
        Coordinates of a factored MLP's embeddings.
    settings
        The transformer's.
    optimizer, rate, weight_decay
        PyTorch's, on both sides.
    strength
        Of the penalty strength * sum ||omega_i||^nu.
    fraction
        Share of the table's rows that is trained on.
    members
        Networks from different seeds, trained together by us, in a loop by the textbook.
    dtype
        Precision of the weights: float32 to be timed, float64 to be compared.
    """

    label: str
    task: str
    form: Form | Literal["factored", "transformer"] = "separate"
    width: int = 128
    activation: str = "x^2"
    embedding: int = 256
    settings: TransformerSettings = FULL
    optimizer: Literal["adam", "adamw"] = "adam"
    rate: float = 0.01
    weight_decay: float = 0.0
    strength: float = 0.0
    fraction: float = 1.0
    members: int = 1
    dtype: torch.dtype = torch.float32

    def network(self) -> MLP | Factored | Transformer:
        """The weights from which both sides start."""
        chosen, sigma = task(self.task), parse_activation(self.activation)
        if self.form == "transformer":
            return Transformer.initial(
                chosen, self.settings, members=self.members, dtype=self.dtype
            )
        if self.form == "factored":
            return Factored.initial(
                chosen,
                sigma,
                embedding=self.embedding,
                width=self.width,
                members=self.members,
                dtype=self.dtype,
            )
        return MLP.initial(
            chosen,
            sigma,
            width=self.width,
            members=self.members,
            tied=self.form == "tied",
            dtype=self.dtype,
        )

    def rows(self) -> Rows:
        """The rows to train on."""
        return some_rows(task(self.task), self.fraction)


def some_rows(chosen: Task, share: float, seed: int = 0) -> Rows:
    """That share of a task's rows, drawn without order, and then in order."""
    generator = torch.Generator().manual_seed(seed)
    count = round(share * len(chosen.answers))
    order = torch.randperm(len(chosen.answers), generator=generator)[:count]
    return Rows.of(chosen, order.sort().values.numpy())


GROKKING = {"optimizer": "adamw", "rate": 1e-3, "weight_decay": 1.0}
SUM = TransformerSettings(sequence="ab", attention=0.0)
TWO = TransformerSettings(layers=2)
POWER = TransformerSettings(layers=2, layer_norm="post", biases=False)

CASES = (
    Case("p 23, width 512, ReLU, tied", "C23", "tied", 512, "relu"),
    Case("p 23, width 512, x², tied", "C23", "tied", 512),
    Case("p 23, width 512, x², separate", "C23", "separate", 512, strength=1e-4),
    Case("p 71, width 500, x², concatenated", "C71", "concatenated", 500, strength=1e-4),
    Case("p 97, width 1024, ReLU, tied", "C97", "tied", 1024, "relu"),
    Case("p 97, width 1024, x², tied", "C97", "tied", 1024),
    Case("p 97, width 1024, x², separate", "C97", "separate", 1024, strength=1e-4),
    Case("S5, factored, 40 %", "S5", "factored", 128, "relu", fraction=0.4, **GROKKING),
    Case("transformer, p 113, 30 %", "C113", "transformer", fraction=0.3, **GROKKING),
    Case("transformer, S5, 60 %", "S5", "transformer", fraction=0.6, **GROKKING),
    Case(
        "transformer, p 59, constant attention, 80 %",
        "C59",
        "transformer",
        fraction=0.8,
        settings=SUM,
        **GROKKING,
    ),
    Case(
        "transformer, p 59, full attention, 80 %",
        "C59",
        "transformer",
        fraction=0.8,
        settings=TransformerSettings(sequence="ab"),
        **GROKKING,
    ),
    Case(
        "transformer, 2 layers, p 113, 30 %",
        "C113",
        "transformer",
        fraction=0.3,
        settings=TWO,
        **GROKKING,
    ),
    Case(
        "transformer, 2 layers, layer norm, p 97, 50 %",
        "C97",
        "transformer",
        fraction=0.5,
        settings=POWER,
        **GROKKING,
    ),
    Case(
        "transformer, 2 layers, compose(C23,3), 30 %",
        "compose(C23,3)",
        "transformer",
        fraction=0.3,
        settings=TWO,
        **GROKKING,
    ),
)
"""One network at a time."""

SEEDS = (
    Case("100 seeds of C5, width 8", "C5", width=8, strength=1e-4, members=100),
    Case("100 seeds of S3, width 8", "S3", width=8, strength=1e-4, members=100),
    Case("16 seeds of p 23, width 128", "C23", width=128, strength=1e-4, members=16),
)
"""Many at once."""


class Textbook:
    """The textbook's networks, one after another; a call returns their mean loss before a step."""

    steps = 1

    def __init__(self, case: Case) -> None:
        network, rows = case.network(), case.rows()
        self.members = []
        for member in range(case.members):
            if isinstance(network, Transformer):
                model = TextbookTransformer(network, member)
            elif isinstance(network, Factored):
                model = TextbookFactored(network, member)
            else:
                weights = {name: p[member] for name, p in network.tensors.items()}
                model = TextbookMLP(weights, case.activation, case.form, case.strength)  # type: ignore
            self.members.append(
                Training(
                    model,
                    rows.inputs,
                    rows.answers,
                    optimizer=case.optimizer,
                    rate=case.rate,
                    weight_decay=case.weight_decay,
                )
            )

    def __call__(self) -> float:
        """Take a step of each."""
        return statistics.fmean([step() for step in self.members])

    def first(self) -> tuple[float, dict[str, Tensor]]:
        """Take a step: the loss before it, and its gradients, (member, ...)."""
        loss = self()
        found = [step.model.gradients() for step in self.members]
        return loss, {name: torch.stack([g[name] for g in found]) for name in found[0]}


class Ours:
    """What ``marginlens.train`` does: all members at once, gradients by hand, compiled passes.

    A call takes as many steps as lie between two records by default, and makes the second of these.
    """

    def __init__(self, case: Case, steps: int = 10) -> None:
        self.steps, self.at = steps, 0
        recipe = Recipe(
            task=case.task,
            penalty="homogeneous",
            strength=case.strength,
            optimizer=case.optimizer,
            learning_rate=case.rate,
            weight_decay=case.weight_decay,
            schedule="constant",
        )
        rows = case.rows() if case.fraction < 1 else None
        self.engine = Steps(task(case.task), recipe, Data(rows, None), case.network(), {}, Ranks())

    def __call__(self) -> float:
        """Take the steps; return the mean loss after them."""
        return self._advance(self.steps)

    @torch.no_grad()
    def _advance(self, steps: int) -> float:
        with compiled_passes():
            self.at = self.engine.advance(self.at, self.at + steps, lambda: True)
            return float(self.engine.evaluate(self.at)["loss"].mean())

    def first(self) -> tuple[float, dict[str, Tensor]]:
        """Take a step: the loss before it, and its gradients, (member, ...)."""
        loss = self._advance(0)
        gradients = {name: g.clone() for name, g in self.engine.gradients.items()}
        self._advance(1)
        return loss, gradients


class Compiled:
    """All members in one kernel; a call takes as many steps as lie between two records."""

    def __init__(self, case: Case, steps: int = 10) -> None:
        network = case.network()
        self.steps, self.rate, self.strength = steps, case.rate, case.strength
        self.kernel = EnsembleSteps(
            task(case.task),
            network.activation,
            Penalty("homogeneous", case.strength),
            case.optimizer,
            network.tensors,
            {},
        )

    def __call__(self) -> float:
        """Take the steps; return the mean loss after them."""
        return self._advance(self.steps)

    def _advance(self, steps: int) -> float:
        metrics = self.kernel.advance([self.rate] * steps, [self.strength] * steps)
        return float((metrics.cross_entropy + self.strength * metrics.penalty).mean())

    def first(self) -> tuple[float, dict[str, Tensor]]:
        """Take a step: the loss before it, and its gradients, (member, ...).

        The gradients are read from Adam's first moment, (1 - beta_1) times as large.
        """
        loss = self._advance(0)
        self._advance(1)
        return loss, {n: s["exp_avg"] / 0.1 for n, s in self.kernel.unload()[1].items()}
