"""What is known of a training, and what is shown of it."""

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
"""Where a training stands."""


@dataclass(frozen=True, eq=False)
class Live:
    """A training as it is now.

    Attributes
    ----------
    id, owner, task, features, recipe
        Which one; ``features`` are the names of the task's. ``recipe`` says the present strength.
    status, place, message
        Where it stands; where it is in the queue (from 1 on, else 0); why it ended.
    steps, maximum, proved
        Of the recipe and of the prediction: how many there will be, gamma* (None: not known), and
        whether a theorem says so.
    frame
        Curves, weights, spectra: the latest :class:`~marginlens.explorer.jobs.frames.Frame`. Its fields
        can be read from here as well: ``step``, ``seconds``, ``steps_per_second``, ``history``,
        ``neurons``, ``weights``, ``spectra``, ``dominant``, ``max_power``, ``share``, ``count``.
    version
        Larger whenever anything has changed.
    saved_as
        Its name in the explorer's folder, once it is saved.
    held
        Whether it is asked to wait, which a queued one does once it has begun.
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
        """Whether it will not go on."""
        return self.status in ("finished", "stopped", "failed")


@dataclass(eq=False)
class Entry:
    """What is known of a training; it changes, and is shown as a :class:`Live`."""

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
    """Plans at other strengths, which its process was told of and has not taken yet."""

    @property
    def task(self) -> Task:
        """What it learns."""
        return self.planned.task

    @property
    def recipe(self) -> Recipe:
        """Recipe with the present strength."""
        return self.planned.recipe

    def take_strength(self, strength: float) -> None:
        """Take the plan of a strength that its process trains with from now on."""
        while self.changes:
            changed = self.changes.pop(0)
            if changed.recipe.strength == strength:
                self.planned = changed
                return

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return self.status in ("finished", "stopped", "failed")

    @property
    def table(self) -> list[list[int]] | None:
        """The Cayley table, where the task's name does not say it."""
        uploaded = self.spec.startswith(UPLOADED) and self.task.group is not None
        return self.task.group.table.tolist() if uploaded and self.task.group else None

    def shown(self, place: int) -> Live:
        """As it is now, at a place in the queue."""
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
