"""How many trainings the explorer runs, and how large they may be."""

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
    """What the explorer takes on.

    Attributes
    ----------
    running, queued, per_owner
        Trainings that run at a time (paused ones among them), that wait, and of either of one owner.
    kept
        Ended trainings of an owner that are kept to be looked at and saved; older ones go.
    steps, width, members, memory_mb, hours
        The largest training that is taken on: by its recipe, what is expected of it, and, for ``hours``,
        as long as it may be there, paused or not.
    idle_seconds
        An owner of whom nothing was seen for so long is taken to have left. Browsers let the clocks of
        hidden tabs strike once a minute.
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
            In one line that says what to choose instead.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> from marginlens.training import recipe_for
        >>> Limits().check(task("C5"), recipe_for(task("C5")))
        >>> Limits(steps=1000).check(task("C5"), recipe_for(task("C5")))
        Traceback (most recent call last):
        ...
        ValueError: 1,500 steps are more than the 1,000 of the explorer: choose at most 1,000, or ...
        """
        outside = f"or train outside the browser: marginlens train {recipe.task!r}"
        for what, value, most in (
            ("steps", recipe.steps, self.steps),
            ("neurons", recipe.neurons, self.width),
            ("members", recipe.members, self.members),
        ):
            if value > most:
                raise ValueError(
                    f"{value:,} {what} are more than the {most:,} of the explorer: choose at most "
                    f"{most:,}, {outside}"
                )
        memory = estimated_megabytes(task, recipe)
        if memory > self.memory_mb:
            raise ValueError(
                f"{recipe.task} at width {recipe.width} needs about {memory:,.0f} MB, more than the "
                f"{self.memory_mb:,.0f} MB of the explorer: choose a smaller task or width, {outside}"
            )
        hours = estimated_seconds(task, recipe) / 3600
        if hours > self.hours:
            raise ValueError(
                f"{recipe.steps:,} steps of {recipe.task} at width {recipe.width} take about "
                f"{hours:.1f} hours, more than the {self.hours:g} of the explorer: choose fewer steps, "
                f"a smaller task or width, {outside}"
            )
