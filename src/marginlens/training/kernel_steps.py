"""Steps of an ensemble of small networks by the compiled kernel, as the training loop takes them."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.kernels.ensemble_steps import EnsembleSteps
from marginlens.networks import Network
from marginlens.tasks import Task
from marginlens.theory import Penalty
from marginlens.training.convergence import named, of_state, patience_of
from marginlens.training.recipe import Recipe
from marginlens.training.schedules import learning_rate, strength

__all__ = ["KernelSteps"]

Parameters = dict[str, Tensor]

_CALL = 0.05  # seconds of a call, after which signals and those who watch are looked at


class KernelSteps:
    """As :class:`marginlens.training.steps.Steps`, any number of steps a call.

    Parameters
    ----------
    task, recipe
        What is learned, and how; :attr:`Recipe.fits_kernel` holds.
    network
        The members still trained.
    optimizer
        The optimizer's state, empty at the start.
    """

    def __init__(self, task: Task, recipe: Recipe, network: Network, optimizer: Parameters) -> None:
        self.task, self.recipe = task, recipe
        self.activation = network.as_mlp().activation
        self.compile_seconds = 0.0
        self._use(network.tensors, optimizer)
        self._call = 10

    def _use(self, parameters: Parameters, optimizer: Parameters) -> None:
        nested: dict[str, dict[str, Tensor]] = {}
        members = next(iter(parameters.values())).shape[0]
        own, remembered = of_state(optimizer, members)
        for key, value in own.items():
            name, _, quantity = key.rpartition(".")
            nested.setdefault(name, {})[quantity] = value
        self._inner = EnsembleSteps(
            self.task,
            self.activation,
            Penalty(self.recipe.penalty),
            self.recipe.optimizer,
            parameters,
            nested,
            patience=patience_of(self.recipe),
            convergence=remembered,
            betas=self.recipe.betas,
        )
        self.compile_seconds += self._inner.compile_seconds
        self._at, self._metrics = -1, None

    def evaluate(self, step: int) -> dict[str, Float[Tensor, " member"]]:
        """A row of the history: the members at their present parameters."""
        metrics = self._metrics
        if self._at != step or metrics is None:
            metrics = self._inner.advance([], [])
        return {
            "loss": metrics.cross_entropy + strength(self.recipe, step) * metrics.penalty,
            "cross_entropy": metrics.cross_entropy,
            "accuracy": metrics.accuracy,
            "margin": metrics.margin,
            "norm": metrics.norm,
            "normalized_margin": metrics.margin / metrics.norm,
        }

    def advance(self, step: int, stop: int, proceed: Callable[[], bool]) -> int:
        """Take steps up to ``stop``, or until ``proceed()`` is false; return the step reached."""
        while step < stop:
            steps = range(step, min(stop, step + self._call))
            started = time.perf_counter()
            self._metrics = self._inner.advance(
                [learning_rate(self.recipe, s) for s in steps],
                [strength(self.recipe, s) for s in steps],
                first=step,
                after=strength(self.recipe, steps.stop),
            )
            each = (time.perf_counter() - started) / len(steps)
            self._call = max(1, int(_CALL / each))
            step = self._at = steps.stop
            if not proceed():
                break
        return step

    def ended(self) -> Float[Tensor, " member"]:
        """The step at which each member has converged; -1 if it has not, or patience is not asked."""
        remembered = self._inner.convergence()
        if not remembered:
            return torch.full((self._inner.members,), -1.0, dtype=torch.float64)
        return remembered["ended"]

    def kept(self) -> Callable[[], tuple[Parameters, Parameters]]:
        """What gives the present parameters and optimizer's state, also after later steps."""
        copy = self._inner.copy()

        def unload() -> tuple[Parameters, Parameters]:
            parameters, nested = copy.unload()
            state = {f"{n}.{key}": v for n, of in nested.items() for key, v in of.items()}
            return parameters, state | named(copy.convergence())

        return unload

    def keep(self, kept: Tensor) -> None:
        """Go on with some members only."""
        parameters, state = self.kept()()
        self._use(
            {name: p[kept] for name, p in parameters.items()},
            {name: v if name.endswith(".step") else v[kept] for name, v in state.items()},
        )
