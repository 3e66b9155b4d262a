"""Real runs of a second or less, trained once in a process and shared by figures' and pages' tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from records import changed

from marginlens.groups import FiniteGroup, group
from marginlens.runs import Run, execute
from marginlens.tasks import task

SETTINGS: dict[str, dict[str, Any]] = {
    "C11": {"width": 60, "steps": 500, "strength": 1e-3, "optimizer": "adam"},
    "C7": {"width": 24, "steps": 150, "strength": 1e-3, "train_fraction": 0.8},
    "relu": {"width": 24, "steps": 60, "activation": "relu"},
    "S4": {"width": 60, "steps": 60, "strength": 1e-4},
    "parity": {"width": 16, "steps": 300, "strength": 1e-3},
}
"""One run of each kind: cyclic, with rows held out, without a theorem, not cyclic, and parity."""

_TASKS = {"relu": "S3", "parity": "parity(5,2)"}


@cache
def tiny_run(name: str) -> Run:
    """The run of that name in ``SETTINGS``; tests must not write into it."""
    return execute(_TASKS.get(name, name), snapshots=12, compile="never", **SETTINGS[name])


@cache
def shuffled_run() -> Run:
    """Addition modulo 7 with its elements in another order."""
    number = np.array([0, 3, 1, 6, 2, 5, 4])
    table = np.empty((7, 7), dtype=np.int64)
    table[np.ix_(number, number)] = number[group("C7").table]
    shuffled = FiniteGroup(table, "C7")
    return execute(task(shuffled), width=24, steps=150, strength=1e-3, snapshots=3, compile="never")


def renamed(run: Run, name: str) -> Run:
    """The same run of a task that is called otherwise."""
    return replace(
        run,
        task=replace(run.task, name=name),
        recipe=run.recipe.model_copy(update={"task": name}),
        prediction=replace(run.prediction, task=name),
    )


def altered(run: Run, **values: Any) -> Run:
    """The same run with other values of what it computes: ``measurement``, ``history``, ``verdict``."""
    other = replace(run)
    vars(other).update(values)
    return other


def remeasured(run: Run, **fields: Any) -> Run:
    """The same run with other fields of its final measurement."""
    return altered(run, measurement=changed(run.measurement, **fields))
