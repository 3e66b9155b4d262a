"""Commands that train a run further, or the same network with other settings."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marginlens.tasks import Task
from marginlens.theory import Prediction, Predictions
from marginlens.training import Recipe, recipe_for
from marginlens.verdict import FOLDER

__all__ = ["RunAdvice", "option_of"]

_OPTIONS = {
    "loss_function": "--loss",
    "members": "--seeds",
    "train_rows": "--rows",
    "test_rows": "--test-rows",
}
_ROWS = ("train_rows", "test_rows")
_LEFT_OUT = {"task", "snapshots", "record_every"}


def option_of(field: str) -> str:
    """Return the command line's option for a field of a recipe.

    Examples
    --------
    >>> option_of("learning_rate"), option_of("members")
    ('--learning-rate', '--seeds')
    """
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


@dataclass(frozen=True)
class RunAdvice:
    """Commands for one run, in which ``FOLDER`` stands for the folder of a saved one.

    Attributes
    ----------
    recipe, task
        Recipe that the run was trained by, and its task.
    folder
        Folder of the run, or None for an unsaved run.
    step
        Step that training reached.
    prediction
        Prediction of the run, whose solution the default recipe reuses; None solves it again.
    """

    recipe: Recipe
    task: Task
    folder: Path | None
    step: int
    prediction: Prediction | None = None

    @property
    def short(self) -> bool:
        """True if the run has fewer steps than the task's default recipe."""
        return self.recipe.steps < self._usual().steps

    def _usual(self) -> Recipe:
        """Return the task's default recipe with the run's activation and objective."""
        loss = self.recipe.loss_function
        chosen = {"loss_function": loss} if loss == "margin" else {}
        predictions = Predictions(self.task, self.prediction)
        return recipe_for(
            self.task, predictions=predictions, activation=self.recipe.activation, **chosen
        )

    def longer(self) -> str:
        """Return the command that continues the run to its end, or to twice its steps.

        A run with far fewer steps than the task's default gets that default.
        """
        usual = self._usual().steps
        steps = max(_rounded(2 * self.recipe.steps), usual)
        if self.step < self.recipe.steps:  # stopped early: finish the recipe's steps
            steps = self.recipe.steps
        if self.folder is None:
            return self._command({"steps": steps})
        more = f" --steps {steps}" if steps != self.recipe.steps else ""
        return f"marginlens train --resume {FOLDER}{more}"

    def wider(self, least: int) -> str:
        """Return the command that trains a wider network, of at least ``least`` neurons."""
        usual = self._usual()
        width = (
            max(least, usual.width) if self.recipe.width < usual.width else 2 * self.recipe.width
        )
        width = max(width, least)
        return self._command({"width": width, "steps": usual.steps}, "width")

    def other_seed(self) -> str:
        """Return the command that trains the same network from another seed."""
        return self._command({"seed": self.recipe.seed + self.recipe.members}, "seed")

    def without(self, *fields: str) -> str:
        """Return the command that trains the same network with these fields at their defaults."""
        usual = self._usual()
        return self._command({name: getattr(usual, name) for name in fields}, "new")

    def _command(self, changes: dict[str, Any], suffix: str = "longer") -> str:
        """Return the command of the recipe with changes; fields with default values are omitted."""
        usual = self._usual().model_dump()
        words = ["marginlens", "run", self._spec()]
        for name, value in {**self.recipe.model_dump(), **changes}.items():
            stated = name in {suffix, "steps" if suffix == "longer" else ""}
            stated |= name == "loss_function" and value == "margin"
            if stated or (name not in _LEFT_OUT and value != usual[name]):
                if name in _ROWS and value is not None:  # which the run's recipe holds
                    value = "ROWS.csv" if self.folder is None else f"{FOLDER}/recipe.toml"
                words += _as_options(name, value)
        if self.folder is not None:
            words += ["--out", f"{FOLDER}-{suffix}"]
        return shlex.join(words)

    def _spec(self) -> str:
        """Return the task's name, or the file of its table if the name does not determine it."""
        table = None if self.folder is None else self.folder / "table.npy"
        named = self.task.group is not None and self.recipe.task == self.task.group.name
        is_own = table is not None and named and table.is_file()
        return f"{FOLDER}/table.npy" if is_own else self.recipe.task


def _as_options(name: str, value: Any) -> list[str]:
    if name == "betas":
        return ["--beta1", f"{value[0]:g}", "--beta2", f"{value[1]:g}"]
    if value is True:
        return [option_of(name)]
    if value is False:
        return [f"--no-{name}"] if name == "biases" else []
    if value is None:
        return []
    return [option_of(name), f"{value:g}" if isinstance(value, float) else str(value)]


def _rounded(steps: int) -> int:
    """Round up to two digits.

    Examples
    --------
    >>> _rounded(3000), _rounded(2), _rounded(1234)
    (3000, 2, 1300)
    """
    unit = 10 ** max(0, len(str(steps)) - 2)
    return -(-steps // unit) * unit
