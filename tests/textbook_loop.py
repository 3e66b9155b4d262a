"""Training as anyone would write it: dense one-hot inputs, autograd, an optimizer of PyTorch's.

One network at a time, one operation after the other, and formulas as they stand in their sources:
what the package's training is compared with.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from marginlens.networks import Rows
from marginlens.tasks import Task, task
from marginlens.training import Recipe, Training, initial_network, split
from marginlens.training.data import Batches

SIGMAS = {
    "relu": (torch.relu, 1),
    "abs": (torch.abs, 1),
    "leaky_relu(0.1)": (nn.LeakyReLU(0.1), 1),
    "relu^2": (lambda x: torch.relu(x) ** 2, 2),
    "|x|^1.5": (lambda x: x.abs() ** 1.5, 1.5),
}


@dataclass
class Textbook:
    """What the loop leaves: losses at each step, and the last weights, as the package lays them out."""

    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


class TextbookMuon(torch.optim.Optimizer):
    """Muon on single matrices, as published (Jordan et al. 2024), but never in bfloat16.

    Nesterov's momentum, five Newton-Schulz steps on the matrix divided by its norm, the rate times
    sqrt(max(1, rows / columns)), and decoupled weight decay.
    """

    def __init__(self, params, lr, momentum, weight_decay):
        super().__init__(params, {"lr": lr, "mu": momentum, "decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["buffer"] = torch.zeros_like(p)
                rate, mu = group["lr"], group["mu"]
                state["buffer"] = mu * state["buffer"] + (1 - mu) * p.grad
                x = newton_schulz((1 - mu) * p.grad + mu * state["buffer"])
                p *= 1 - rate * group["decay"]
                p -= rate * math.sqrt(max(1, p.shape[0] / p.shape[1])) * x


class TextbookNeuronwiseAdam(torch.optim.Optimizer):
    """Adam with one second moment a neuron and steps relative to its norm, neuron after neuron.

    Parameters are matrices whose columns i together are the weights of neuron i.
    """

    def __init__(self, params, lr, betas):
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure=None):
        (group,) = self.param_groups
        matrices, (beta1, beta2) = group["params"], group["betas"]
        self.state["t"] = t = self.state.get("t", 0) + 1
        for i in range(matrices[0].shape[1]):
            omega = torch.cat([p[:, i] for p in matrices])
            gradient = torch.cat([p.grad[:, i] for p in matrices])
            m, v = self.state.get(i, (torch.zeros_like(omega), 0.0))
            m = beta1 * m + (1 - beta1) * gradient
            v = beta2 * v + (1 - beta2) * float(gradient @ gradient)
            self.state[i] = m, v
            if v > 0:
                relative = (m / (1 - beta1**t)) / math.sqrt(v / (1 - beta2**t))
                omega = omega - group["lr"] * omega.norm() * relative
            for p, column in zip(matrices, omega.split([len(p) for p in matrices]), strict=True):
                p[:, i] = column


def newton_schulz(g: Tensor) -> Tensor:
    """The quintic iteration of Jordan et al. 2024 for one matrix."""
    x = g / max(float(g.norm()), 1e-7)
    if g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def one_hot(of: Task, rows: np.ndarray) -> list[Tensor]:
    """Rows as the network's inputs: a one-hot vector for each slot, or the signs."""
    if of.kind == "parity":
        return [torch.tensor(rows, dtype=torch.float64)]
    return [torch.tensor(np.eye(of.size)[rows[:, s]]) for s in range(of.factors)]


def rate_at(recipe: Recipe, step: int) -> float:
    """The learning rate: a linear rise, then constant or half a cosine down to 0."""
    if step < recipe.warmup:
        return recipe.learning_rate / recipe.warmup * (step + 1)
    t = (step - recipe.warmup) / (recipe.steps - recipe.warmup)
    if recipe.schedule == "constant" or (recipe.schedule == "decay" and t <= 0.5):
        return recipe.learning_rate
    turned = math.pi * (t if recipe.schedule == "cosine" else 2 * t - 1)
    return recipe.learning_rate * math.cos(turned / 2) ** 2


def strength_at(recipe: Recipe, step: int) -> float:
    """The penalty's strength: a straight line of its logarithm in the two middle quarters."""
    if recipe.anneal_to is None or step <= recipe.steps / 4:
        return recipe.strength
    if step >= 3 * recipe.steps / 4:
        return recipe.anneal_to
    ends = math.log(recipe.strength), math.log(recipe.anneal_to)
    return math.exp(np.interp(step, [recipe.steps / 4, 3 * recipe.steps / 4], ends))


def textbook(recipe: Recipe, member: int = 0, *, moved: float = 0.0) -> Textbook:
    """Train one member of a recipe; its start ``moved`` by that part of each weight, at random."""
    of, dtype = task(recipe.task), getattr(torch, recipe.dtype)
    data = split(of, recipe)
    inputs, answers = (
        (of.inputs, torch.tensor(of.answers))
        if data.train is None
        else (data.train.inputs.numpy(), data.train.answers)
    )
    x = [slot.to(dtype) for slot in one_hot(of, inputs)]
    held = None
    if data.test is not None:
        held = [slot.to(dtype) for slot in one_hot(of, data.test.inputs.numpy())]
    batches = None
    if recipe.batch is not None:
        rows = data.train if data.train is not None else Rows.of(of)
        batches = Batches(rows, recipe.batch, recipe.split_seed)

    noise = torch.Generator().manual_seed(99)
    leaves = {
        name: (p[member] * (1 + moved * torch.randn(p[member].shape, generator=noise).to(dtype)))
        .clone()
        .requires_grad_()
        for name, p in initial_network(of, recipe).tensors.items()
    }
    slots = [leaves["u" if recipe.tied else slot] for slot in of.slots]
    sigma, degree = SIGMAS.get(recipe.activation, (None, 0))
    if sigma is None:
        degree = int(recipe.activation.removeprefix("x^"))
    power = degree + 1 if recipe.penalty == "homogeneous" else 2

    def cross_entropy(x: list[Tensor], answers: Tensor) -> Tensor:
        before = sum(one @ weights for one, weights in zip(x, slots, strict=True))
        after = before**degree if sigma is None else sigma(before)
        return nn.functional.cross_entropy(after @ leaves["w"].T, answers)

    optimizer = _optimizer(recipe, list(leaves.values()))
    left = Textbook()
    for step in range(recipe.steps + 1):
        omega = torch.cat([*slots, leaves["w"]])  # all the weights of a neuron, a column each
        penalty = strength_at(recipe, step) * (omega.norm(dim=0) ** power).sum()
        value = cross_entropy(x, answers)
        left.losses.append((value + penalty).item())
        if held is not None:
            left.held_out.append(cross_entropy(held, data.test.answers).item())
        if step == recipe.steps:
            break
        if batches is not None:
            index = batches.indices(step)
            value = cross_entropy([slot[index] for slot in x], answers[index])
        optimizer.zero_grad()
        (value + penalty).backward()
        size = {
            "plain": 1.0,
            "normalized": math.sqrt(sum(float((p.grad**2).sum()) for p in leaves.values())),
            "loss": value.item(),
        }[recipe.step_size]
        for p in leaves.values():
            p.grad /= size
        for group in optimizer.param_groups:
            group["lr"] = rate_at(recipe, step)
        optimizer.step()
    left.tensors = {name: p.detach() for name, p in leaves.items()}
    return left


def _optimizer(recipe: Recipe, weights: list[Tensor]) -> torch.optim.Optimizer:
    rate, momentum = recipe.learning_rate, recipe.momentum
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=momentum or 0.0)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(weights, lr=rate, betas=recipe.betas)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            weights, lr=rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
    if recipe.optimizer == "neuronwise-adam":
        return TextbookNeuronwiseAdam(weights, rate, recipe.betas)
    return TextbookMuon(weights, rate, 0.95 if momentum is None else momentum, recipe.weight_decay)


def greatest_difference(losses: list[float], training: Training, member: int = 0) -> float:
    """Greatest relative difference between two histories of the loss, step by step."""
    ours = training.history["loss"][:, member]
    assert len(ours) == len(losses)
    return difference(losses, ours)


def difference(expected, actual) -> float:
    """Greatest relative difference between two rows of numbers of equal length."""
    expected, actual = np.asarray(expected), np.asarray(actual)
    assert expected.shape == actual.shape
    assert np.isfinite(expected).all()
    return float(np.max(np.abs(actual / expected - 1)))


def weight_difference(expected: dict[str, Tensor], training: Training, member: int = 0) -> float:
    """Greatest difference of a weight at the end."""
    ours = training.network.tensors
    assert ours.keys() == expected.keys()
    differences = [(ours[name][member] - p).abs().max() for name, p in expected.items()]
    return float(torch.stack(differences).max())  # Python's max would drop what is not a number
