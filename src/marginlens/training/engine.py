"""Choice of the backend of training steps: operators, compiled passes, or a compiled kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from marginlens.kernels.ensemble_steps import compiler, worth_compiling
from marginlens.tasks import Task
from marginlens.training.cost import step_operations
from marginlens.training.data import split
from marginlens.training.kernel_steps import KernelSteps
from marginlens.training.margin_steps import MarginSteps
from marginlens.training.process_group import Ranks
from marginlens.training.recipe import Recipe
from marginlens.training.state import TrainingState, Way
from marginlens.training.steps import Steps

__all__ = ["Engine", "Kept", "steps_for", "way_of"]

_COMPILE_SECONDS = 3.0
_MARGIN_OVERHEAD = 2.1e-3
"""Seconds of a step that compiled passes save where the margin is trained: of small operators."""
_NEURONWISE_OVERHEAD = 1.2e-3
"""Seconds of a neuron-wise step that compiled passes save: of small operators."""
_OPERATIONS = 1e11
"""Floating-point operations a second, about, of which compiled passes save the time of a quarter."""

Kept = Callable[[], tuple[dict[str, Tensor], dict[str, Tensor]]]
"""Gives parameters and the optimizer's state as they were when it was made."""


@runtime_checkable
class Engine(Protocol):
    """What takes the steps of the members still trained, on its own copy of them."""

    compile_seconds: float

    def evaluate(self, step: int) -> dict[str, Tensor]:
        """A row of the history."""
        ...

    def advance(self, step: int, stop: int, proceed: Callable[[], bool]) -> int:
        """Take steps up to ``stop``, or until ``proceed()`` is false; return the step reached."""
        ...

    def ended(self) -> Tensor:
        """The step at which each member has converged by the recipe's patience; -1 if it has not."""
        ...

    def kept(self) -> Kept:
        """The present state, to be had later."""
        ...

    def keep(self, kept: Tensor) -> None:
        """Go on with some members only."""
        ...


def way_of(task: Task, recipe: Recipe, state: TrainingState, ranks: Ranks) -> Way:
    """How the steps are to be taken; a training that goes on keeps the way it started with.

    The kernel of all steps is for ensembles of networks so small that operators cost more than the work
    in them, compiled passes for all others, each where the time it is expected to save, over
    all steps, exceeds the time that the compiler takes. What was compiled before is not asked, so that
    the same recipe is always trained in the same way: they round differently.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.training import initial_network, recipe_for
    >>> def chosen(name, **fields):
    ...     recipe = recipe_for(task(name), **fields)
    ...     network = initial_network(task(name), recipe.model_copy(update={"members": 1}))
    ...     return way_of(task(name), recipe, TrainingState.start(recipe, network), Ranks())
    >>> chosen("C5", members=100, width=8, steps=20_000), chosen("C71"), chosen("C5", steps=100)
    ('steps', 'passes', '')
    """
    if recipe.compile == "never" or torch.device(recipe.device).type != "cpu":
        return ""
    if state.step:
        way = state.compiled
    else:
        tiny = recipe.fits_kernel and ranks.world == 1
        way = _worthwhile(task, recipe, tiny=tiny)
    if way and compiler() is None:
        _warn("no C++ compiler was found (install g++, or set CXX)")
        return ""
    return way


def _worthwhile(task: Task, recipe: Recipe, *, tiny: bool) -> Way:
    steps = 10**12 if recipe.compile == "always" else recipe.steps
    if tiny and worth_compiling(task, recipe.members, recipe.width, steps):
        return "steps"
    overhead = _NEURONWISE_OVERHEAD if recipe.optimizer == "neuronwise-adam" else 0.2e-3
    if recipe.loss_function == "margin":
        overhead = _MARGIN_OVERHEAD
    saved = overhead + 0.25 * step_operations(task, recipe) / _OPERATIONS
    return "passes" if steps * saved > _COMPILE_SECONDS else ""


def steps_for(
    task: Task,
    recipe: Recipe,
    state: TrainingState,
    ranks: Ranks,
    way: Way,
    margin: float | None = None,
) -> Engine:
    """What takes the steps of the members that ``state`` has not stopped, in the way chosen."""
    active = torch.as_tensor(state.active)
    parameters = {name: p[active.to(p.device)].clone() for name, p in state.network.tensors.items()}
    network = state.network.with_parameters(parameters)
    if way == "steps":
        try:
            return KernelSteps(task, recipe, network, state.optimizer)
        except RuntimeError as error:
            _warn(str(error))
    data = split(task, recipe)
    if recipe.loss_function == "margin":
        return MarginSteps(task, recipe, data, network, state.optimizer, ranks, margin)
    return Steps(task, recipe, data, network, state.optimizer, ranks)


def _warn(why: str) -> None:
    warnings.warn(f"{why}; steps are taken one operator after the other, slower", stacklevel=2)
