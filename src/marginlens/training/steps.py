"""Steps of gradient descent, one at a time, by PyTorch's operators and compiled passes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks import Evaluation, Evaluator, Network, Rows, squared_norm
from marginlens.tasks import Task
from marginlens.theory import Penalty
from marginlens.training.convergence import Convergence, named, of_state, patience_of
from marginlens.training.data import Batches, Data, OnlineBatches
from marginlens.training.neuron_exchange import NeuronExchange
from marginlens.training.optimizers import Stepper, members_of
from marginlens.training.penalties import add_l2_gradient, add_penalty_gradient
from marginlens.training.process_group import Ranks
from marginlens.training.recipe import Recipe
from marginlens.training.schedules import learning_rate, strength

__all__ = ["Steps", "accuracy_of"]

Parameters = dict[str, Tensor]


class Steps:
    """The members still trained: evaluated, and taken from step to step.

    Parameters
    ----------
    task, recipe, data
        What is learned, how, and from which rows.
    network
        The members still trained; its parameters are changed in place.
    optimizer
        The optimizer's state, empty at the start.
    ranks
        The processes that share the rows.
    """

    compile_seconds = 0.0
    row_loss: str | None = None
    """Loss of rows that is evaluated; None for the recipe's."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        data: Data,
        network: Network,
        optimizer: Parameters,
        ranks: Ranks,
    ) -> None:
        if data.train is None:
            task.require_rows()
        self.task, self.recipe, self.data, self.ranks = task, recipe, data, ranks
        counts = [len(rows) for rows in (data.train, data.test) if rows is not None]
        counts += [recipe.batch] if recipe.batch else []
        fewest = min(counts + ([len(task.answers)] if task.is_listed else []))
        if fewest < ranks.world:
            raise ValueError(
                f"{ranks.world} processes cannot share {fewest} rows; start {fewest} at most"
            )
        self.memory = None if recipe.memory is None else int(recipe.memory * 2**20)
        self._exchange = NeuronExchange(task, recipe, data.train) if recipe.exchange_every else None
        self._use(network, optimizer)

    def _use(self, network: Network, optimizer: Parameters) -> None:
        self.network = network
        self.parameters = network.tensors  # a step changes them in place, and never asks the module
        self.gradients = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        own, remembered = of_state(optimizer, network.members)
        self.stepper = Stepper(self.recipe, self.parameters, self.gradients, own, network.uses)
        patience = patience_of(self.recipe)
        self.convergence = (
            None if patience is None else Convergence(patience, self.parameters, remembered)
        )
        rows = self.data.train
        self._batches = None
        if self.recipe.batch is not None:
            self._batches = self._drawn(self.recipe.batch, network)
            self._batch: Evaluator | None = None
        self._population = self._population_on(rows)
        test = self.data.test
        self._test = None if test is None else self._population_on(test)
        self._fresh = -1  # the step whose gradients are at hand

    def _drawn(self, size: int, network: Network) -> Batches | OnlineBatches:
        device, seed = network.device, self.recipe.split_seed
        if self.recipe.online:
            return OnlineBatches(self.task, size, seed, device)
        rows = self.data.train
        return Batches((Rows.of(self.task) if rows is None else rows).to(device), size, seed)

    def rows_here(self, rows: Rows | None) -> Rows | None:
        """Rows of this process among those that share them; None for the whole table."""
        if self.ranks.world == 1:
            return rows
        whole = Rows.of(self.task) if rows is None else rows
        whole = self.network.merged(whole)
        return whole.part(self.ranks.rank, self.ranks.world)

    def _population_on(self, rows: Rows | None) -> Evaluator:
        return self.network.evaluator(
            self.task,
            rows=self.rows_here(rows),
            memory=self.memory,
            loss=self.row_loss or self.recipe.loss_function,
        )

    def evaluate(self, step: int) -> dict[str, Float[Tensor, " member"]]:
        """A row of the history: the members at their present parameters."""
        full = self._batches is None
        result = self._population(self.parameters, self.gradients if full else None)
        result = self.ranks.add_up(result, self.gradients if full else None)
        if not full:
            scratch = {name: torch.zeros_like(g) for name, g in self.gradients.items()}
            value, norm = self._add_penalty(step, scratch)
        else:
            value, norm = self._add_penalty(step, self.gradients)
            self._scale(result.loss)
            self._fresh = step
            if self.convergence is not None:
                self.convergence.judge(step, result.loss + value)
        row = {
            "loss": result.loss + value,
            "cross_entropy": result.cross_entropy,
            "accuracy": accuracy_of(result),
            "margin": result.margin,
            "norm": norm,
            "normalized_margin": result.margin / norm,
        }
        return row | self.held_out()

    def held_out(self) -> dict[str, Float[Tensor, " member"]]:
        """Columns of the history over the rows that are held back; none if none are."""
        if self._test is None:
            return {}
        held = self.ranks.add_up(self._test(self.parameters), None)
        row = {
            "test_cross_entropy": held.cross_entropy,
            "test_accuracy": accuracy_of(held),
            "test_margin": held.margin,
        }
        return row if held.other is None else row | {"test_loss": held.other}

    def advance(self, step: int, stop: int, proceed: Callable[[], bool]) -> int:
        """Take steps up to ``stop``, or until ``proceed()`` is false; return the step reached."""
        while step < stop:
            self._exchange_neurons(step)
            if self._fresh != step:
                self._gradient(step)
            if self.convergence is None:
                self._step(step)
            elif not self.convergence.all_ended:
                self.convergence.before_step()
                self._step(step)
                self.convergence.after_step()
            step += 1
            if not proceed():
                break
        return step

    def _step(self, step: int) -> None:
        self.stepper.step(learning_rate(self.recipe, step))

    def _exchange_neurons(self, step: int) -> bool:
        """Exchange neurons if it is time; return whether any were."""
        exchange, changed = self._exchange, False
        if exchange is None or not exchange.is_due(step):
            return False
        sharpness = self._sharpness(step)
        for member, neurons in enumerate(exchange(self.network.as_mlp(), step, sharpness)):
            if len(neurons):
                self.stepper.forget(member, neurons)
                self._fresh, changed = -1, True
        return changed

    def _sharpness(self, step: int) -> Float[Tensor, " member"] | None:
        """Sharpness of the adversary at a step; None where no margin is trained."""
        return None

    def ended(self) -> Float[Tensor, " member"]:
        """The step at which each member has converged; -1 if it has not, or patience is not asked."""
        if self.convergence is None:
            return torch.full((self.network.members,), -1.0, dtype=torch.float64)
        return self.convergence.remembered["ended"].clone()

    def kept(self) -> Callable[[], tuple[Parameters, Parameters]]:
        """What gives the present parameters and optimizer's state, also after later steps."""
        parameters = {name: p.clone() for name, p in self.parameters.items()}
        state = {name: value.clone() for name, value in self._state().items()}
        return lambda: (parameters, state)

    def _state(self) -> Parameters:
        watched = {} if self.convergence is None else named(self.convergence.remembered)
        return self.stepper.state() | watched

    def keep(self, kept: Tensor) -> None:
        """Go on with some members only."""
        state = members_of(self._state(), kept)
        gradients = {name: g[kept] for name, g in self.gradients.items()}
        fresh = self._fresh
        parameters = {name: p[kept] for name, p in self.parameters.items()}
        self._use(self.network.with_parameters(parameters), state)
        for name, gradient in gradients.items():
            self.gradients[name].copy_(gradient)
        self._fresh = fresh

    def _gradient(self, step: int) -> None:
        population = self._population
        if self._batches is not None:
            batch = self._batches.at(step)
            if self.ranks.world > 1:
                batch = batch.part(self.ranks.rank, self.ranks.world)
            population = self._evaluator_of(batch)
        result = self.ranks.add_up(population(self.parameters, self.gradients), self.gradients)
        loss = result.loss
        if strength(self.recipe, step):
            loss = loss + self._add_penalty(step, self.gradients)[0]
        if self.convergence is not None:
            self.convergence.judge(step, loss)
        self._scale(result.loss)

    def _evaluator_of(self, batch: Rows) -> Evaluator:
        """Evaluator of a mini-batch, which keeps its buffers from batch to batch if it has any."""
        if self._batch is None:
            self._batch = self.network.evaluator(
                self.task,
                rows=batch,
                memory=self.memory,
                merge=False,
                loss=self.recipe.loss_function,
            )
        else:
            self._batch = self._batch.use(batch)
        return self._batch

    def _add_penalty(self, step: int, gradients: Parameters) -> tuple[Tensor, Tensor]:
        penalty = Penalty(self.recipe.penalty, strength(self.recipe, step))
        network = self.network
        if network.homogeneity is not None:
            return add_penalty_gradient(
                penalty, network.homogeneity, self.parameters, gradients, network.uses
            )
        return add_l2_gradient(penalty.strength, self.parameters, gradients), network.norm()

    def _scale(self, loss: Float[Tensor, " member"]) -> None:
        """Divide each member's gradient by its norm, or by its mean loss."""
        if self.recipe.step_size == "plain":
            return
        divisor = loss
        if self.recipe.step_size == "normalized":
            divisor = squared_norm(self.gradients).sqrt()
        factor = 1 / divisor.clamp_min(torch.finfo(torch.float32).tiny)
        for gradient in self.gradients.values():
            gradient.mul_(factor.to(gradient.dtype).view(-1, *[1] * (gradient.ndim - 1)))


def accuracy_of(result: Evaluation) -> Float[Tensor, " member"]:
    """Share of rows answered correctly: exactly 1 where the margin says so.

    A sum of rounded weights may fall short of it.
    """
    return torch.where(result.margin > 0, 1.0, result.accuracy)
