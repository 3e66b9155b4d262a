"""Premises of the theory's claims, and facts about training that decide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["FOLDER", "Advice", "Premise", "TrainingFacts"]

FOLDER = "FOLDER"
"""Stands for a run's folder where a path does not belong: a run may be moved."""


@dataclass(frozen=True)
class Premise:
    """Condition under which the theory guarantees its claims.

    Attributes
    ----------
    name, statement
        Short name (``"finite"``, ``"theorem"``, ``"rows"``, ``"strength"``, ``"path"``,
        ``"weights"``,
        ``"width"`` or ``"minimum"``), and the condition in a sentence.
    met
        Whether the condition holds; ``None`` if unknown.
    measured, needed
        Deciding number, and its bound; ``None`` if no number decides. For ``"minimum"``: the
        relative excess over the minimum, and the largest excess at which every failing claim is
        impossible.
    """

    name: str
    statement: str
    met: bool | None
    measured: float | None = None
    needed: float | None = None

    @property
    def sentence(self) -> str:
        """Condition with its deciding number and bound."""
        if self.measured is None or self.needed is None or self.name == "finite":
            return self.statement
        if self.name == "minimum":
            return f"{self.statement}: {self.measured:.2g} from it, relatively; needed {self.needed:.2g}"
        return f"{self.statement}: {self.measured:.6g}, needed {self.needed:.6g}"


@runtime_checkable
class Advice(Protocol):
    """Commands that fix an unmet premise of one run."""

    @property
    def short(self) -> bool:
        """True if the run had fewer steps than is usual for its task."""
        ...

    def longer(self) -> str:
        """Return the command that continues the training."""
        ...

    def wider(self, least: int) -> str:
        """Return the command that trains a wider network.

        Parameters
        ----------
        least
            Least width, in neurons.
        """
        ...

    def other_seed(self) -> str:
        """Return the command that trains the same network from another seed."""
        ...

    def without(self, *fields: str) -> str:
        """Return the command that trains the same network with some fields at their defaults.

        Parameters
        ----------
        fields
            Names of the recipe's fields to reset.
        """
        ...


@dataclass(frozen=True)
class TrainingFacts:
    """Facts about the training of a network that the premises need.

    Attributes
    ----------
    rows_share
        Share of the table's rows in training, with their right answers.
    other_rows
        Phrase that distinguishes the training rows from the whole table, such as ``"on 70 % of the
        rows"``; empty for the whole table.
    ended
        Reason why training stopped, as in :class:`marginlens.training.Training`.
    step, steps
        Last step, and number of requested steps.
    last_fall
        Relative decrease of the loss over the last tenth of the path, measured by the sum of the
        learning rates; ``None`` if it is not recorded.
    last_loss
        Loss recorded at the last step; ``None`` if it was not over the whole table.
    path_ended
        Whether the penalty strength had reached the predicted one.
    trains_margin
        Whether the objective was the margin itself, at norm 1.
    upper_bound
        Least upper bound of gamma* that the learned adversary proved; ``None`` without one.
    uncovered
        Phrase with the reason why no theorem covers the network; empty if one does.
    folder
        Folder of the run; ``None`` for an unsaved run.
    advice
        Commands for this run, in which ``FOLDER`` stands for its folder; ``None`` without commands.
    """

    rows_share: float = 1.0
    other_rows: str = ""
    ended: str = "steps"
    step: int = 0
    steps: int = 0
    last_fall: float | None = None
    last_loss: float | None = None
    path_ended: bool = True
    trains_margin: bool = False
    upper_bound: float | None = None
    uncovered: str = ""
    folder: str | None = None
    advice: Advice | None = None
