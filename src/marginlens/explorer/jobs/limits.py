"""Limits on the number and size of the explorer's trainings."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from marginlens.tasks import Task
from marginlens.training import Recipe, estimated_seconds
from marginlens.training.cost import estimated_megabytes

__all__ = ["Limits"]


def _at_once() -> int:
    return max(1, min(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Limits:
    """Limits on the trainings that the explorer accepts.

    Attributes
    ----------
    running, queued, per_owner
        Largest number of trainings that run at a time (paused ones included), that wait in the queue,
        and that one owner has running or waiting.
    kept
        Number of ended trainings of an owner that are kept for viewing and saving; older ones are
        discarded.
    steps, width, members, memory_mb, hours
        Largest training that is accepted: steps, neurons and members of the recipe, estimated memory in
        megabytes, estimated duration in hours. ``hours`` also bounds the time that it may run, pauses
        included.
    idle_seconds
        Seconds without a sign of life after which an owner counts as gone. Browsers run the timers of
        hidden tabs once a minute only.
    """

    running: int = field(default_factory=_at_once)
    queued: int = 8
    per_owner: int = 2
    kept: int = 4
    steps: int = 200_000
    width: int = 20_000
    members: int = 16
    memory_mb: float = 2000.0
    hours: float = 2.0
    idle_seconds: float = 150.0

    def check(self, task: Task, recipe: Recipe) -> None:
        """Refuse a training that is too large.

        Raises
        ------
        ValueError
            If a limit is exceeded; one line names the limit and a way out.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> from marginlens.training import recipe_for
        >>> Limits().check(task("C5"), recipe_for(task("C5")))
        >>> Limits(steps=400).check(task("C5"), recipe_for(task("C5"), steps=500))
        Traceback (most recent call last):
        ...
        ValueError: expected at most 400 steps in the explorer, got 500: choose fewer, or train ...
        """
        outside = f"or train in a terminal: marginlens train {recipe.task!r}"
        for what, value, most in (
            ("steps", recipe.steps, self.steps),
            ("neurons", recipe.neurons, self.width),
            ("members", recipe.members, self.members),
        ):
            if value > most:
                raise ValueError(
                    f"expected at most {most:,} {what} in the explorer, got {value:,}: choose fewer, "
                    f"{outside}"
                )
        memory = estimated_megabytes(task, recipe)
        if memory > self.memory_mb:
            raise ValueError(
                f"expected at most {self.memory_mb:,.0f} MB in the explorer, got about {memory:,.0f} MB "
                f"for {recipe.task} at width {recipe.width}: choose a smaller task or width, {outside}"
            )
        hours = estimated_seconds(task, recipe) / 3600
        if hours > self.hours:
            raise ValueError(
                f"expected at most {self.hours:g} hours in the explorer, got about {hours:.1f} hours "
                f"for {recipe.steps:,} steps of {recipe.task} at width {recipe.width}: choose fewer "
                f"steps, a smaller task or width, {outside}"
            )
