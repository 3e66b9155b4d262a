"""Final frequency of each isolated neuron, by integration of its gradient flow."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from marginlens.measures.neurons.phases import generator_powers
from marginlens.networks import MLP
from marginlens.networks.activations import activate
from marginlens.tasks import Task

__all__ = ["grow_alone"]

_STEPS = 250
_RATE = 0.04  # of a neuron's norm a step: e^10 in all
_ENTRIES = 1 << 21  # of the table, times neurons, at a time


def grow_alone(network: MLP, task: Task, *, member: int = 0) -> Int[np.ndarray, " neuron"]:
    r"""Return the dominant frequency of each neuron after growing alone from its start.

    While logits are small, the mean cross-entropy is minus the correlation with the right answers,
    and neurons do not see each other: each climbs

    $$\frac{1}{n^2} \sum_{a,b} \sigma(u(a) + v(b))\,\big(w(a \circ b) - \bar w\big).$$

    The method takes 250 explicit steps of .04 of the neuron's norm along the gradient, which is
    gradient flow up to the pace. For x^2 :func:`marginlens.theory.growth_time` is the solution; for
    other activations frequencies interact, and the closed form only approximates this rule.

    Parameters
    ----------
    network
        MLP with its weights before training.
    task
        Task of the product of two elements of a cyclic group.
    member
        Index of the member of the ensemble.

    Returns
    -------
    Int[np.ndarray, " neuron"]
        Index of the frequency among the task's features.

    Raises
    ------
    ValueError
        The task is not cyclic, or the shapes are inconsistent.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> start = MLP.initial(task("C7"), parse_activation("x^2"), width=3, scale=0.1)
    >>> grow_alone(start, task("C7"))
    array([1, 0, 0])
    """
    network.require_task(task)
    group = task.group
    if group is None or group.generator is None or task.factors != 2:
        raise ValueError(
            f"expected a cyclic group with two inputs, got {task.name}; for example C23"
        )
    powers = torch.as_tensor(generator_powers(group))
    one = network.member(member).to(torch.float64)
    weights = {name: p[0].detach().cpu()[powers] for name, p in one.tensors.items()}
    k = [f.frequency for f in task.features if f.frequency is not None]
    found = []
    for start in range(0, network.width, chunk := max(1, _ENTRIES // task.size**2)):
        part = {name: p[:, start : start + chunk].clone() for name, p in weights.items()}
        for _ in range(_STEPS):
            _step(part, network)
        slots = [part["u"], part.get("v", part["u"]), part["w"]]
        energy = sum(np.abs(np.fft.fft(p.numpy(), axis=0)[k]) ** 2 for p in slots)
        found.append(np.asarray(energy).argmax(axis=0))
    return np.concatenate(found)


def _step(part: dict[str, Tensor], network: MLP) -> None:
    """Take one step along the gradient, in place; rows are the powers of the generator."""
    leaves = {name: p.requires_grad_() for name, p in part.items()}
    u, w = leaves["u"], leaves["w"]
    n = len(u)
    hidden = activate(network.activation, u[:, None] + leaves.get("v", u)[None])
    right = (torch.arange(n)[:, None] + torch.arange(n)) % n
    value = (hidden * (w - w.mean(0))[right]).sum()
    gradients = torch.autograd.grad(value, list(leaves.values()))
    with torch.no_grad():
        norm, slope = (torch.cat(tuple(t)).norm(dim=0) for t in (leaves.values(), gradients))
        pace = _RATE * norm / slope.clamp(min=1e-300)
        for name, gradient in zip(list(part), gradients, strict=True):
            part[name] = part[name].detach() + pace * gradient
