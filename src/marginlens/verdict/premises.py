"""Premises of the theory's claims, and facts about a training that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["FOLDER", "Advice", "Premise", "TrainingFacts"]

FOLDER = "FOLDER"
"""Stands for a run's folder where a path does not belong: a run may be moved."""


@dataclass(frozen=True)
class Premise:
    """One condition under which the theory guarantees its claims.

    Attributes
    ----------
    name, statement
        Short name (``"finite"``, ``"theorem"``, ``"rows"``, ``"strength"``, ``"path"``, ``"weights"``,
        ``"width"`` or ``"minimum"``), and the condition in a sentence.
    met
        Whether it holds; None if that is not known.
    measured, needed
        Number that decides, and the bound that it is held against; None where no number does. Of
        ``"minimum"`` the excess over the minimum, relative, and the largest one with which none of
        the claims that fail could.
    """

    name: str
    statement: str
    met: bool | None
    measured: float | None = None
    needed: float | None = None

    @property
    def sentence(self) -> str:
        """The condition with its number and the bound that it is held against."""
        if self.measured is None or self.needed is None or self.name == "finite":
            return self.statement
        if self.name == "minimum":
            return f"{self.statement}: {self.measured:.2g} from it, relatively; needed {self.needed:.2g}"
        return f"{self.statement}: {self.measured:.6g}, needed {self.needed:.6g}"


@runtime_checkable
class Advice(Protocol):
    """Commands that mend an unmet premise of one run."""

    @property
    def short(self) -> bool:
        """Whether the run had fewer steps than its task usually takes."""
        ...

    def longer(self) -> str:
        """Return the command that trains the run further."""
        ...

    def wider(self, least: int) -> str:
        """Return the command that trains a network of at least so many neurons."""
        ...

    def other_seed(self) -> str:
        """Return the command that trains the same network from another seed."""
        ...

    def without(self, *fields: str) -> str:
        """Return the command that trains the same network with these fields at their defaults."""
        ...


@dataclass(frozen=True)
class TrainingFacts:
    """Facts about how a network was trained, as far as the premises need them.

    Attributes
    ----------
    rows_share
        Share of the table's rows that were trained on, with their right answers.
    other_rows
        How the rows differ from the whole table, as a phrase such as ``"on 70 % of the rows"``; empty
        if they do not.
    ended
        Why training stopped, as in :class:`marginlens.training.Training`.
    step, steps
        Last step, and number of steps asked for.
    last_fall
        By how much the loss fell, relatively, over the last tenth of the way, the way being the sum of
        the learning rates; None where that is not recorded.
    last_loss
        Loss that was recorded at the last step; None where that was not over the whole table.
    path_ended
        Whether the penalty's strength had reached the one that is predicted for.
    trains_margin
        Whether the margin itself was trained, at norm 1.
    upper_bound
        Least upper bound of gamma* that the learned adversary proved; None where it proved none.
    uncovered
        Reason why no theorem covers the network, in a phrase; empty if one does.
    folder
        Folder of the run; None if it is not saved.
    advice
        Commands for this run, in which ``FOLDER`` stands for its folder; None if none can be given.
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
