"""Which way the steps of a training are taken: operator by operator, or by the compiled kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from marginlens.networks import MLP
from marginlens.tasks import Task
from marginlens.training.compiled import compiler, worth_compiling
from marginlens.training.data import split
from marginlens.training.kernel_steps import KernelSteps
from marginlens.training.ranks import Ranks
from marginlens.training.recipe import Recipe
from marginlens.training.state import TrainingState
from marginlens.training.steps import Steps

__all__ = ["Engine", "Kept", "steps_for"]

Kept = Callable[[], tuple[dict[str, Tensor], dict[str, Tensor]]]
"""Gives parameters and the optimizer's state as they were when it was made."""


@runtime_checkable
class Engine(Protocol):
    """What takes the steps of the members still trained, on its own copy of them."""

    compiled: bool
    compile_seconds: float

    def evaluate(self, step: int) -> dict[str, Tensor]:
        """A row of the history."""
        ...

    def advance(self, step: int, stop: int, proceed: Callable[[], bool]) -> int:
        """Take steps up to ``stop``, or until ``proceed()`` is false; return the step reached."""
        ...

    def kept(self) -> Kept:
        """The present state, to be had later."""
        ...

    def keep(self, kept: Tensor) -> None:
        """Go on with some members only."""
        ...


def steps_for(task: Task, recipe: Recipe, state: TrainingState, ranks: Ranks) -> Engine:
    """Choose what takes the steps of the members that ``state`` has not stopped.

    The kernel is for ensembles of networks so small that operators cost more than the work in them,
    and a run long enough to pay for compiling. A training that goes on keeps the way it started
    with, since the two round differently.
    """
    active = torch.as_tensor(state.active)
    parameters = {
        name: p[active.to(p.device)].clone() for name, p in state.network.parameters.items()
    }
    network = state.network.with_parameters(parameters)
    if isinstance(network, MLP) and _is_compiled(task, recipe, state, network, ranks):
        try:
            return KernelSteps(task, recipe, network, state.optimizer)
        except RuntimeError as error:
            _warn(str(error))
    return Steps(task, recipe, split(task, recipe), network, state.optimizer, ranks)


def _is_compiled(
    task: Task, recipe: Recipe, state: TrainingState, network: MLP, ranks: Ranks
) -> bool:
    if recipe.compile == "never" or recipe.uncompiled_because or ranks.world > 1:
        return False
    if state.step:
        wanted = state.compiled
    else:
        wanted = recipe.compile == "always" or worth_compiling(
            task, network.members, network.width, recipe.steps
        )
    if wanted and compiler() is None:
        _warn("no C++ compiler was found (install g++, or set CXX)")
        return False
    return wanted


def _warn(why: str) -> None:
    warnings.warn(f"{why}; steps are taken one operator after the other, slower", stacklevel=2)
