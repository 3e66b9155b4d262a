"""Records of one training: the job that the server keeps, and the view that pages show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from marginlens.explorer.form_values import UPLOADED
from marginlens.explorer.jobs.frames import Frame
from marginlens.explorer.jobs.process import Process
from marginlens.runs.pipeline import Plan
from marginlens.tasks import Task
from marginlens.training import Recipe

__all__ = ["Entry", "Live", "Status"]

Status = Literal["queued", "running", "paused", "finished", "stopped", "failed"]
"""State of a training from its request to its end."""


@dataclass(frozen=True, eq=False)
class Live:
    """Read-only view of a training at this moment.

    Attributes
    ----------
    id, owner, task, features, recipe
        Identifier, owner, name of the task, names of its features, and recipe with the present penalty
        strength.
    status, place, message
        State of the training, position in the queue (from 1; 0 outside the queue), and reason for its
        end.
    steps, maximum, proved
        Steps of the recipe, predicted maximum margin gamma* (None if unknown), and whether a theorem
        proves it.
    frame
        Latest :class:`~marginlens.explorer.jobs.frames.Frame`: curves, weights, spectra. Its fields are
        attributes here too: ``step``, ``seconds``, ``steps_per_second``, ``history``, ``neurons``,
        ``weights``, ``spectra``, ``dominant``, ``max_power``, ``share``, ``count``.
    version
        Counter that grows with every change.
    saved_as
        Name of the run in the explorer's folder, or None before it is saved.
    held
        Whether the visitor paused it; a queued training then starts paused.
    """

    id: str
    owner: str
    task: str
    features: tuple[str, ...]
    recipe: Recipe
    status: Status
    place: int
    message: str
    maximum: float | None
    proved: bool
    frame: Frame
    version: int
    saved_as: str | None
    held: bool

    steps = property(lambda self: self.recipe.steps)
    step = property(lambda self: self.frame.step)
    seconds = property(lambda self: self.frame.seconds)
    steps_per_second = property(lambda self: self.frame.steps_per_second)
    history = property(lambda self: self.frame.history)
    neurons = property(lambda self: self.frame.neurons)
    weights = property(lambda self: self.frame.weights)
    spectra = property(lambda self: self.frame.spectra)
    dominant = property(lambda self: self.frame.dominant)
    max_power = property(lambda self: self.frame.max_power)
    share = property(lambda self: self.frame.share)
    count = property(lambda self: self.frame.count)

    @property
    def ended(self) -> bool:
        """True once the training has finished, stopped or failed."""
        return self.status in ("finished", "stopped", "failed")


@dataclass(eq=False)
class Entry:
    """Mutable record of a training, which pages see as a :class:`Live`."""

    id: str
    owner: str
    planned: Plan
    run: Path
    spec: str
    status: Status = "queued"
    message: str = ""
    reason: str = ""
    frame: Frame = field(default_factory=Frame)
    version: int = 0
    saved_as: str | None = None
    process: Process | None = None
    hold: bool = False
    began: float = 0.0
    looked: float = 0.0
    changes: list[Plan] = field(default_factory=list)
    """Plans with other strengths that were sent to the process and not yet confirmed."""

    @property
    def task(self) -> Task:
        """Task that the network learns."""
        return self.planned.task

    @property
    def recipe(self) -> Recipe:
        """Recipe with the present penalty strength."""
        return self.planned.recipe

    def take_strength(self, strength: float) -> None:
        """Adopt the plan with this strength, after the process confirmed it."""
        while self.changes:
            changed = self.changes.pop(0)
            if changed.recipe.strength == strength:
                self.planned = changed
                return

    @property
    def ended(self) -> bool:
        """True once the training has finished, stopped or failed."""
        return self.status in ("finished", "stopped", "failed")

    @property
    def table(self) -> list[list[int]] | None:
        """Cayley table of an uploaded group, else None."""
        uploaded = self.spec.startswith(UPLOADED) and self.task.group is not None
        return self.task.group.table.tolist() if uploaded and self.task.group else None

    def shown(self, place: int) -> Live:
        """Return the present state as a :class:`Live`, with its position in the queue."""
        return Live(
            id=self.id,
            owner=self.owner,
            task=self.task.name,
            features=tuple(feature.name for feature in self.task.features),
            recipe=self.recipe,
            status=self.status,
            place=place,
            message=self.message,
            maximum=self.planned.prediction.margin,
            proved=self.planned.prediction.proved,
            frame=self.frame,
            version=self.version,
            saved_as=self.saved_as,
            held=self.hold,
        )
