"""A recipe: everything that decides a training run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from marginlens.tasks import Task
from marginlens.theory import (
    Penalty,
    Prediction,
    default_activation,
    parity_width,
    parse_activation,
    predict,
)

__all__ = ["Recipe", "recipe_for"]


class Recipe(BaseModel):
    """Everything that decides a training run.

    Attributes
    ----------
    task, activation
        As for ``task(...)`` and ``parse_activation(...)``.
    width
        Number of neurons.
    penalty, strength
        ``"homogeneous"`` (strength * sum ||omega_i||^nu) or ``"l2"`` (strength * ||theta||^2).
    optimizer, learning_rate, schedule, steps
        Full-batch SGD or Adam. ``"decay"`` keeps the rate for the first half and lets it fall to 0
        along a cosine in the second; ``"constant"`` keeps it.
    stop_share
        Stop when every member has this share of the maximum margin.
    tolerance
        Stop when the loss changes by less than this, relatively, over 100 steps; 0: never.
    seed, members
        Member i starts from seed + i.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    activation: str = "x^2"
    width: int = Field(500, ge=1, le=1_000_000)
    penalty: Literal["homogeneous", "l2"] = "homogeneous"
    strength: float = Field(1e-4, ge=0, allow_inf_nan=False)
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    schedule: Literal["decay", "constant"] = "decay"
    steps: int = Field(1500, ge=0, le=100_000_000)
    stop_share: float | None = Field(None, gt=0, le=1)
    tolerance: float = Field(0.0, ge=0)
    seed: int = Field(0, ge=0, lt=2**62)
    members: int = Field(1, ge=1, le=100_000)
    init_scale: float | None = Field(None, gt=0, allow_inf_nan=False)
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "cpu"
    record_every: int = Field(10, ge=1)
    snapshots: int = Field(30, ge=0, le=1000)

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, value: str) -> str:
        return parse_activation(value).name

    def to_toml(self) -> str:
        """The recipe as TOML text."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))

    def write(self, path: Path) -> None:
        """Write the recipe as TOML."""
        path.write_text(self.to_toml())


def recipe_for(task: Task, **chosen: Any) -> Recipe:
    """Recipe for a task: what is not chosen is filled in by what suits the task.

    Width: 2.3 times the sufficient width on cyclic groups and 3.2 times on others, rounded up to
    hundreds; 5 times, and at least 40, for parity. Strength: the largest power of ten that is at
    most a quarter of the strength at which the network collapses on cyclic groups, a twentieth
    elsewhere, where the margin at a finite strength stays below the limit; 1e-3 for parity. Adam at
    rate .03 (.01 on cyclic groups of order 50 or more) for 1,500 steps on cyclic groups and, as
    features differ and take longer to settle, for 6,000 on others (2,500 from order 100 on); for
    parity at rate .01 for 3,000 steps from small weights (.1): from larger ones many neurons never
    leave the irrelevant coordinates. Where no theorem applies: the recipe's own
    defaults, but for the strength where the margin of a single neuron is known.

    Raises
    ------
    ValueError
        In one line, if a chosen value is impossible.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> recipe = recipe_for(task("C71"))
    >>> recipe.width, recipe.strength, recipe.activation
    (500, 0.0001, 'x^2')
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    activation = parse_activation(given.get("activation", default_activation(task)))
    given |= {"task": task.name, "activation": activation.name}
    checked = _recipe(given)
    prediction = predict(task, activation, Penalty(checked.penalty, 0.0))
    if checked.stop_share is not None and prediction.margin is None:
        raise ValueError(
            f"stop_share needs a known maximum margin, and none is known for {task.name} with "
            f"{activation.name}; leave it out"
        )
    return _recipe({**_suited(task, prediction), **given})


def _suited(task: Task, prediction: Prediction) -> dict[str, Any]:
    """Fields in which what suits a task differs from the recipe's defaults."""
    if task.subset is not None:
        width = max(40, 5 * parity_width(len(task.subset)))
        return {"width": width, "strength": 1e-3, "steps": 3000, "init_scale": 0.1}
    sufficient, collapse = prediction.sufficient_width, prediction.collapse_penalty
    if collapse is None:
        return {}
    if sufficient is None:  # the best neuron is known, how many of its images it takes is not
        return {"strength": float(f"1e{math.floor(math.log10(collapse / 4))}")}
    cyclic = task.group is not None and task.group.generator is not None
    if cyclic:
        wider, below, rate, steps = 2.3, 4, 0.03 if task.size < 50 else 0.01, 1500
    else:
        wider, below, rate, steps = 3.2, 20, 0.03, 6000 if task.size < 100 else 2500
    return {
        "width": 100 * math.ceil(wider * sufficient / 100),
        "strength": float(f"1e{math.floor(math.log10(collapse / below))}"),
        "learning_rate": rate,
        "steps": steps,
    }


def _recipe(fields: dict[str, Any]) -> Recipe:
    try:
        return Recipe(**fields)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"{field}: {problem['msg'].lower()}, got {problem['input']!r}") from None
