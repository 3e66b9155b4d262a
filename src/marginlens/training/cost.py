"""Estimates of a training's seconds and megabytes, before it starts."""

from __future__ import annotations

from marginlens.kernels.ensemble_steps import COMPILE_SECONDS, kernel_seconds, worth_compiling
from marginlens.networks import network_class
from marginlens.tasks import Task
from marginlens.training.recipe import Recipe

__all__ = ["estimated_megabytes", "estimated_seconds", "step_operations"]

_OPERATORS = 0.6e-3  # of a step's operators, whatever they work on
_OPERATIONS = 5e10  # floating-point operations a second, in float32


def estimated_seconds(task: Task, recipe: Recipe) -> float:
    """Seconds of one core that a training to the recipe's last step takes: to a small factor.

    What stops members early is not foreseen. The compiled kernel's time is the model it is chosen by;
    for all else .6 ms a step for its operators and 5e10 operations a second in float32, half as many
    in float64.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> one = Recipe(task="C5", width=8, members=100, steps=20_000, dtype="float64")
    >>> 1 < estimated_seconds(task("C5"), one) < 10
    True
    """
    double = 2.0 if recipe.dtype == "float64" else 1.0
    if (
        recipe.fits_kernel
        and recipe.compile != "never"
        and worth_compiling(task, recipe.members, recipe.width, recipe.steps)
    ):
        step = double * kernel_seconds(task, recipe.members, recipe.width, int(recipe.rows(task)))
        return COMPILE_SECONDS + recipe.steps * step
    return recipe.steps * (_OPERATORS + double * step_operations(task, recipe) / _OPERATIONS)


def estimated_megabytes(task: Task, recipe: Recipe) -> float:
    """Megabytes of a process that trains and measures on a CPU: to a factor of two.

    320 for Python, PyTorch and what else is loaded, with the buffers of a step. A parameter is there ten
    times: itself, gradient, two moments, and twice three of them in the last good and the present state;
    member 0 also in float64 while it is measured, and in the snapshots (64 MB at most). A row is there
    three times, with its answer, and a basis of the features twice.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> 320 < estimated_megabytes(task("C23"), Recipe(task="C23", width=200)) < 330
    True
    """
    one, size = network_class(recipe.network).count_parameters(task, recipe), task.size
    itemsize = 8 if recipe.dtype == "float64" else 4
    snapshots = min(64 << 20, 4 * one * recipe.snapshots)
    bases = 16 * size * size if task.features else 0
    rows = 24 * len(task.answers) * (task.factors + 1)
    state = (10 * itemsize * recipe.members + 24) * one
    return 320 + (state + snapshots + bases + rows) / 2**20


def step_operations(task: Task, recipe: Recipe) -> float:
    """Floating-point operations of a step's large products, forward and twice as many backward.

    Those of :meth:`marginlens.networks.Network.row_operations`.
    """
    each = network_class(recipe.network).row_operations(task, recipe)
    return 6 * recipe.members * recipe.rows(task) * each
