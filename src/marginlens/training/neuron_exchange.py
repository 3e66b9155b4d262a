"""Exchange of a network's least useful neurons for the best unit neurons against its errors."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks import MLP, MLPEvaluator, Rows, SoftMarginEvaluator, neuron_norms
from marginlens.networks.neuron_search import climb_neurons
from marginlens.tasks import Task
from marginlens.training.recipe import Recipe
from marginlens.training.schedules import strength

__all__ = ["NeuronExchange", "cheapest_neurons"]

_LAST = 0.6  # share of the steps after which no neurons are exchanged
_LAST_OF_MARGIN = 0.35  # the same where the margin is trained: before its sharpness rises
_STARTS = 100  # random neurons that the best ones are sought from
_ITERATIONS = 10
_GAIN = 1.005  # times what a unit of norm costs, that a new neuron earns at least
_SHARE = 0.1  # of the neurons, exchanged at most at a time
_COST = 0.1  # of the largest curvature of a neuron, that one that goes costs at most
_ALIKE = 0.5  # cosine of the angle between two new neurons, at most
_SIZE = 0.4  # norm of a new neuron, of the typical one
_ENTRIES = 1 << 23  # of the matrix of errors (row, class): larger tables are sampled
_RIDGE = 1e-6

Parameters = dict[str, Tensor]


class NeuronExchange:
    r"""Exchanges neurons during a training with the homogeneous penalty, or of the margin itself.

    Gradient descent hardly moves a neuron from one feature to another, so that the number of neurons
    that each feature gets early in a training is final, and a feature with too few of them is what
    keeps a narrow network from the optimum. The exchange corrects that number:

    - The best unit neurons $\omega$ are those that earn most against the network's errors:
      $s(\omega) = \sum_{r \in D} \sum_c e_{r,c} \, \varphi_\omega(r, c)$ with $\varphi_\omega$ the
      neuron's output and e minus the objective's derivative in the logits: $(e_{y_r} - p_r)_c / |D|$
      for cross-entropy with softmax p, and the adversary's $q$ for the margin. They are sought by
      shifted power steps from random starts. At the optimum no neuron earns more than a unit of
      norm costs: the penalty's strength (the optimality condition of the convex program over
      neurons); where the margin is trained, no more than the best of the network's own.
    - The neurons that go are those whose loss costs least after the others' masses have adjusted, by
      the optimal brain surgeon: $1 / (2 (H^{-1})_{ii})$ with H the second derivative of the
      objective in the masses; one after the other, as two may replace each other.

    Both are functions of the parameters and the step alone, so that a member is the same alone as
    among others, and a training that goes on exchanges the same neurons.

    Parameters
    ----------
    task, recipe
        What is trained, and how; :attr:`Recipe.exchange_every` is above 0.
    rows
        Rows trained on; all of the task's by default.

    References
    ----------
    Hassibi & Stork 1992, "Second order derivatives for network pruning: optimal brain surgeon".
    """

    def __init__(self, task: Task, recipe: Recipe, rows: Rows | None) -> None:
        self.task, self.recipe, self.rows = task, recipe, rows

    def is_due(self, step: int) -> bool:
        """Whether neurons are to be exchanged before this step."""
        every, steps = self.recipe.exchange_every, self.recipe.steps
        last = _LAST_OF_MARGIN if self.recipe.loss_function == "margin" else _LAST
        return bool(every) and step > 0 and step % every == 0 and step <= last * steps

    def __call__(
        self, network: MLP, step: int, sharpness: Float[Tensor, " member"] | None = None
    ) -> list[Int[Tensor, " exchanged"]]:
        """Exchange neurons of each member in place; return the indices of the new ones.

        Parameters
        ----------
        network
            Members that are trained.
        step
            Number of the step before which they are exchanged.
        sharpness
            Sharpness beta of each member, in units of 1 / margin, where the margin is trained; None
            where cross-entropy is.
        """
        betas = [None] * network.members if sharpness is None else sharpness.split(1)
        return [self._exchange(network.member(i), step, beta) for i, beta in enumerate(betas)]

    def _exchange(
        self, member: MLP, step: int, sharpness: Float[Tensor, "1"] | None
    ) -> Int[Tensor, " exchanged"]:
        generator = torch.Generator().manual_seed(step)
        rows = self._sample(generator)
        slopes, price = self._errors(member, rows, step, sharpness)
        unit, earned = self._best(member, rows, slopes, generator)
        most = max(1, int(_SHARE * member.width))
        new = _distinct(unit, earned, _GAIN * price, most)
        if not new:
            return torch.empty(0, dtype=torch.int64)
        curvature = self._curvature(member, rows)
        gone, costs = cheapest_neurons(curvature, len(new))
        count = int((costs < _COST * curvature.diagonal().max()).long().cumprod(0).sum())
        nu = member.homogeneity
        masses = neuron_norms(member.tensors, member.uses).double().pow(nu)
        size = _SIZE * float(masses.mean()) ** (1 / nu)
        for name, value in member.tensors.items():
            value[0][:, gone[:count]] = size * unit[name][0][:, new[:count]]
        return gone[:count]

    def _sample(self, generator: torch.Generator) -> Rows | None:
        most = max(1, _ENTRIES // self.task.classes)
        if len(self.task.answers if self.rows is None else self.rows) <= most:
            return self.rows
        rows = Rows.of(self.task) if self.rows is None else self.rows
        return rows.take(torch.randperm(len(rows), generator=generator)[:most])

    def _errors(
        self, member: MLP, rows: Rows | None, step: int, sharpness: Float[Tensor, "1"] | None
    ) -> tuple[Float[Tensor, "1 class row"], float]:
        """Derivatives of the objective in the logits, and what a new neuron has to earn."""
        if sharpness is None:
            evaluator = MLPEvaluator(self.task, member, rows=rows)
            return evaluator.slopes(member.tensors), strength(self.recipe, step)
        soft = SoftMarginEvaluator(self.task, member, rows=rows)
        slopes = soft.slopes(member.tensors, sharpness)
        _, earned = climb_neurons(self.task, member, slopes, rows=rows, rates=())
        return slopes, float(earned.max())

    def _best(
        self, member: MLP, rows: Rows | None, slopes: Tensor, generator: torch.Generator
    ) -> tuple[Parameters, Float[Tensor, " start"]]:
        """Unit neurons after some shifted power steps, and what each of them earns."""
        starts: Parameters = {}
        for name, p in member.tensors.items():
            drawn = torch.randn(p.shape[1], _STARTS, generator=generator, dtype=torch.float64)
            if self.task.kind != "parity":
                drawn -= drawn.mean(0)
            starts[name] = drawn.to(p)[None]
        unit, earned = climb_neurons(
            self.task, member.with_parameters(starts), slopes, rows=rows, rates=[1.0] * _ITERATIONS
        )
        return unit.tensors, earned

    def _curvature(self, member: MLP, rows: Rows | None) -> Float[Tensor, "neuron neuron"]:
        r"""Second derivative of the objective in the neurons' masses, relative to them.

        Up to a factor, where a row's wrong answers are equally likely and seldom:
        $H_{ij} = \frac{1}{|D|} \sum_r \sum_{c \ne y_r} \Delta_i(r, c) \Delta_j(r, c)$ with
        $\Delta_i$ the lead of the right answer in neuron i's output.
        """
        evaluator = MLPEvaluator(self.task, member, rows=rows)
        w = member.tensors["w"][0] - member.tensors["w"][0].mean(0)
        squares, leads = (w.new_zeros(member.width, member.width) for _ in range(2))
        for lo, hi in evaluator.blocks():
            where = evaluator.rows_of(lo, hi)
            _, (hidden,), _ = evaluator.forward(member.tensors, lo, hi)
            if evaluator.weights is not None:
                hidden = hidden * evaluator.weights[where].sqrt().unsqueeze(1)
            squares += hidden.T @ hidden
            lead = hidden * w[evaluator.answers[where]]
            leads += lead.T @ lead
        return (squares * (w.T @ w) + len(w) * leads).double()


def cheapest_neurons(
    curvature: Float[Tensor, "neuron neuron"], count: int
) -> tuple[Int[Tensor, " gone"], Float[Tensor, " gone"]]:
    """Neurons to remove one after the other so that the loss rises least, by the optimal brain surgeon.

    Parameters
    ----------
    curvature
        Second derivative of the loss in the neurons' masses, each relative to the neuron's own.
    count
        Number of neurons to remove.

    Returns
    -------
    tuple
        Their indices, in order, and what each costs once those before it are gone and all others
        have adjusted; half of it is the rise of the loss.

    Examples
    --------
    Of two equal neurons one costs nothing, and the other then all that they did together:

    >>> pair = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 9]], dtype=torch.float64)
    >>> gone, costs = cheapest_neurons(pair, 3)
    >>> [f"{cost:.2f}" for cost in costs], gone.tolist()[2]
    (['0.00', '1.00', '9.00'], 2)
    """
    ridge = _RIDGE * float(curvature.diagonal().mean()) or 1.0
    inverse = torch.linalg.inv(curvature + ridge * torch.eye(len(curvature)).to(curvature))
    gone: list[int] = []
    costs: list[float] = []
    for _ in range(min(count, len(curvature))):
        cost = 1 / inverse.diagonal()
        cost[gone] = math.inf
        least = int(cost.argmin())
        gone.append(least)
        costs.append(float(cost[least]))
        column = inverse[:, least].clone()
        inverse -= torch.outer(column, column) / column[least]
    return torch.tensor(gone, device=curvature.device), torch.tensor(costs).to(curvature)


def _distinct(
    unit: Parameters, gain: Float[Tensor, " start"], least: float, most: int
) -> list[int]:
    """Indices of the neurons that earn most, and more than ``least``, no two of them alike."""
    flat = torch.cat([value[0] for value in unit.values()])
    flat = flat / flat.norm(dim=0).clamp_min(torch.finfo(flat.dtype).tiny)
    cosines = (flat.T @ flat).abs()
    chosen: list[int] = []
    for i in gain.argsort(descending=True).tolist():
        if gain[i] < least or len(chosen) == most:
            break
        if all(cosines[i, j] < _ALIKE for j in chosen):
            chosen.append(i)
    return chosen
