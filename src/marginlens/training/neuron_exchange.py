"""Exchange of a network's least useful neurons for the best unit neurons against its errors."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks import MLP, Rows
from marginlens.networks.activations import activate, times_derivative_
from marginlens.tasks import Task
from marginlens.training.recipe import Recipe
from marginlens.training.schedules import strength

__all__ = ["NeuronExchange", "cheapest_neurons"]

_LAST = 0.6  # share of the steps after which no neurons are exchanged
_STARTS = 100  # random neurons that the best ones are sought from
_ITERATIONS = 10
_GAIN = 1.005  # times the penalty's strength that a new neuron earns at least
_SHARE = 0.1  # of the neurons, exchanged at most at a time
_COST = 0.1  # of the largest curvature of a neuron, that one that goes costs at most
_ALIKE = 0.5  # cosine of the angle between two new neurons, at most
_SIZE = 0.4  # norm of a new neuron, of the typical one
_ENTRIES = 1 << 23  # of the matrix of errors (row, class): larger tables are sampled
_RIDGE = 1e-6

Parameters = dict[str, Tensor]


class NeuronExchange:
    r"""Exchanges neurons during a training with the homogeneous penalty.

    Gradient descent hardly moves a neuron from one feature to another, so that the number of neurons
    that each feature gets early in a training is final, and a feature with too few of them is what
    keeps a narrow network from the minimum. The exchange corrects that number:

    - The best unit neurons $\omega$ are those that earn most against the network's errors:
      $s(\omega) = \frac{1}{|D|} \sum_{r \in D} \sum_c (e_{y_r} - p_r)_c \, \varphi_\omega(r, c)$ with
      p the softmax and $\varphi_\omega$ the neuron's output, sought by shifted power steps from random
      starts. At the minimum no neuron earns more than the penalty's strength (the optimality
      condition of the convex program over neurons).
    - The neurons that go are those whose loss costs least after the others' masses have adjusted, by
      the optimal brain surgeon: $1 / (2 (H^{-1})_{ii})$ with H the second derivative of the
      cross-entropy in the masses; one after the other, as two may replace each other.

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
        self.task, self.recipe = task, recipe
        self._rows = Rows.of(task) if rows is None else rows

    def is_due(self, step: int) -> bool:
        """Whether neurons are to be exchanged before this step."""
        every, steps = self.recipe.exchange_every, self.recipe.steps
        return bool(every) and step > 0 and step % every == 0 and step <= _LAST * steps

    def __call__(self, network: MLP, step: int) -> list[Int[Tensor, " exchanged"]]:
        """Exchange neurons of each member in place; return the indices of the new ones."""
        return [self._exchange(network.member(i), step) for i in range(network.members)]

    def _exchange(self, member: MLP, step: int) -> Int[Tensor, " exchanged"]:
        generator = torch.Generator().manual_seed(step)
        p = {name: value[0] for name, value in member.tensors.items()}
        rows = self._sample(generator).to(p["w"].device)
        errors = self._errors(member, p, rows)
        unit, gain = self._best(member, rows, errors, generator)
        most = max(1, int(_SHARE * member.width))
        least_gain = _GAIN * strength(self.recipe, step)
        new = _distinct(unit, gain, least_gain, most)
        if not new:
            return torch.empty(0, dtype=torch.int64)
        curvature = self._curvature(member, p, rows)
        gone, costs = cheapest_neurons(curvature, len(new))
        count = int((costs < _COST * curvature.diagonal().max()).long().cumprod(0).sum())
        norms = _norm(p, member.uses)
        nu = member.homogeneity
        size = _SIZE * float(norms.double().pow(nu).mean()) ** (1 / nu)
        for name, value in p.items():
            value[:, gone[:count]] = size * unit[name][:, new[:count]]
        return gone[:count]

    def _sample(self, generator: torch.Generator) -> Rows:
        most = max(1, _ENTRIES // self.task.classes)
        if len(self._rows) <= most:
            return self._rows
        return self._rows.take(torch.randperm(len(self._rows), generator=generator)[:most])

    def _blocks(self, rows: Rows, width: int) -> Iterator[slice]:
        size = max(1, _ENTRIES // (width + self.task.classes))
        for lo in range(0, len(rows), size):
            yield slice(lo, lo + size)

    def _weights(self, rows: Rows, like: Tensor) -> Float[Tensor, "row 1"]:
        if rows.weights is None:
            return like.new_full((len(rows), 1), 1 / len(rows))
        return rows.weights.to(like.dtype).unsqueeze(1)

    def _slots(self, p: Parameters) -> list[str]:
        """Names of the parameters that the inputs look up; tied slots share one."""
        slots = list(self.task.slots)
        return slots if p.keys() == {*slots, "w"} else ["u"] * len(slots)

    def _before(self, p: Parameters, inputs: Tensor) -> Float[Tensor, "row neuron"]:
        """Sum inside sigma."""
        if self.task.kind == "parity":
            return inputs.to(p["w"].dtype) @ p["u"]
        total = torch.zeros((), dtype=p["w"].dtype, device=p["w"].device)
        for name, column in zip(self._slots(p), inputs.T, strict=True):
            total = total + p[name][column]
        return total

    def _errors(self, member: MLP, p: Parameters, rows: Rows) -> Float[Tensor, "row class"]:
        """(e_y - p) of each row, times its weight."""
        weights = self._weights(rows, p["w"])
        blocks = []
        for block in self._blocks(rows, member.width):
            hidden = activate(member.activation, self._before(p, rows.inputs[block]))
            right = rows.answers[block].unsqueeze(1)
            error = -torch.softmax(hidden @ p["w"].T, dim=1)
            error.scatter_(1, right, 0.0)
            error.scatter_(1, right, -error.sum(1, keepdim=True))
            blocks.append(error * weights[block])
        return torch.cat(blocks)

    def _best(
        self, member: MLP, rows: Rows, errors: Tensor, generator: torch.Generator
    ) -> tuple[Parameters, Float[Tensor, " start"]]:
        """Unit neurons after some shifted power steps, and what each of them earns."""
        sigma, degree, uses = member.activation, member.activation.degree, member.uses
        unit: Parameters = {}
        for name, p in member.tensors.items():
            drawn = torch.randn(p.shape[1], _STARTS, generator=generator, dtype=torch.float64)
            if self.task.kind != "parity":
                drawn -= drawn.mean(0)
            unit[name] = drawn.to(p)
        unit = _scaled(unit, uses)
        gain = errors.new_zeros(_STARTS)
        for iteration in range(_ITERATIONS + 1):
            slope = {name: torch.zeros_like(value) for name, value in unit.items()}
            gain = torch.zeros_like(gain)
            for block in self._blocks(rows, _STARTS):
                before = self._before(unit, rows.inputs[block])
                hidden = activate(sigma, before)
                earned = errors[block] @ unit["w"]
                gain += (hidden * earned).sum(0)
                slope["w"] += errors[block].T @ hidden
                back = times_derivative_(sigma, earned * degree, before)
                if self.task.kind == "parity":
                    slope["u"] += rows.inputs[block].to(back.dtype).T @ back
                    continue
                for name, column in zip(self._slots(unit), rows.inputs[block].T, strict=True):
                    slope[name].index_add_(0, column, back)
            if iteration < _ITERATIONS:
                slope = {name: value / uses.get(name, 1) for name, value in slope.items()}
                slope = _scaled(slope, uses)
                unit = _scaled({name: unit[name] + slope[name] for name in unit}, uses)
        return unit, gain

    def _curvature(self, member: MLP, p: Parameters, rows: Rows) -> Float[Tensor, "neuron neuron"]:
        r"""Second derivative of the cross-entropy in the neurons' masses, relative to them.

        Up to a factor, where a row's wrong answers are equally likely and seldom:
        $H_{ij} = \frac{1}{|D|} \sum_r \sum_{c \ne y_r} \Delta_i(r, c) \Delta_j(r, c)$ with
        $\Delta_i$ the lead of the right answer in neuron i's output.
        """
        w = p["w"] - p["w"].mean(0)
        classes = len(w)
        squares, leads = (w.new_zeros(member.width, member.width) for _ in range(2))
        weights = self._weights(rows, w).sqrt()
        for block in self._blocks(rows, member.width):
            hidden = activate(member.activation, self._before(p, rows.inputs[block]))
            hidden *= weights[block]
            squares += hidden.T @ hidden
            lead = hidden * w[rows.answers[block]]
            leads += lead.T @ lead
        return (squares * (w.T @ w) + classes * leads).double()


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


def _norm(p: Parameters, uses: dict[str, int]) -> Float[Tensor, " neuron"]:
    return sum(
        (value.square().sum(0) * uses.get(name, 1) for name, value in p.items()),
        start=torch.zeros(()).to(p["w"]),
    ).sqrt()


def _scaled(p: Parameters, uses: dict[str, int]) -> Parameters:
    """Neurons of norm 1; those without any weights stay zero."""
    norm = _norm(p, uses).clamp_min(torch.finfo(p["w"].dtype).tiny)
    return {name: value / norm for name, value in p.items()}


def _distinct(
    unit: Parameters, gain: Float[Tensor, " start"], least: float, most: int
) -> list[int]:
    """Indices of the neurons that earn most, and more than ``least``, no two of them alike."""
    flat = torch.cat(list(unit.values()))
    flat = flat / flat.norm(dim=0).clamp_min(torch.finfo(flat.dtype).tiny)
    cosines = (flat.T @ flat).abs()
    chosen: list[int] = []
    for i in gain.argsort(descending=True).tolist():
        if gain[i] < least or len(chosen) == most:
            break
        if all(cosines[i, j] < _ALIKE for j in chosen):
            chosen.append(i)
    return chosen
