"""The best single neuron against a trained network's adversary: found by search, not proved."""

from __future__ import annotations

import torch
from torch import Tensor

from marginlens.networks.mlp import MLP, neuron_norms
from marginlens.networks.mlp_evaluator import MLPEvaluator
from marginlens.networks.rows import Rows
from marginlens.networks.soft_margin import SoftMarginEvaluator
from marginlens.tasks import Task

__all__ = ["best_neuron_against"]

_STEPS = 300
_RATE = 0.1
_MEMORY = 0.9  # of the momentum


@torch.no_grad()
def best_neuron_against(
    network: MLP,
    task: Task,
    sharpness: float,
    *,
    rows: Rows | None = None,
    starts: int = 200,
    seed: int = 0,
) -> float:
    r"""Most that a neuron of norm one earns against the adversary of a network, by search.

    With $q \propto e^{-\beta m}$ over rows and wrong classes, a unit neuron $\omega$ earns
    $\sum_r \sum_{c \ne y_r} q_{r,c} (\varphi_\omega(r, y_r) - \varphi_\omega(r, c))$. No network of norm
    one has a margin above the largest such value, on any table, any rows and for any homogeneous
    activation. The search climbs from the network's own neurons and from random ones, each along
    its own normalized gradient, with momentum and a rate that falls to 0: **the value is a maximum
    found**, and bounds the maximum margin only if no better neuron exists.

    Parameters
    ----------
    network
        Network without biases; of an ensemble, the first member.
    task
        Task that it learned.
    sharpness
        beta, in units of 1 / margin.
    rows
        Rows and the answers asked for; all by default.
    starts
        Number of random neurons to climb from, besides the network's own.
    seed
        Seed of the random neurons.

    Raises
    ------
    ValueError
        If the network has biases.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> network = construct(task("C5"))  # of maximum margin: its adversary is a best one
    >>> round(best_neuron_against(network, task("C5"), 1e3, starts=20), 9)
    0.030429031
    """
    own = network.member(0)
    one = own.with_parameters({name: p.double() for name, p in own.tensors.items()})
    soft = SoftMarginEvaluator(task, one, rows=rows)
    beta = torch.tensor([sharpness], dtype=torch.float64)
    slopes = soft.slopes(one.tensors, beta)
    random = MLP.initial(
        task, one.activation, width=starts, seed=seed, tied=one.tied, dtype=torch.float64
    )
    p = {
        name: torch.cat([trained, random.tensors[name]], dim=2)
        for name, trained in one.tensors.items()
    }
    climbing = one.with_parameters(p)
    evaluator = MLPEvaluator(task, climbing, rows=rows)
    nu, uses = climbing.homogeneity, climbing.uses
    gradients = {name: torch.zeros_like(value) for name, value in p.items()}
    means = {name: torch.zeros_like(value) for name, value in p.items()}
    best = torch.tensor(0.0, dtype=torch.float64)
    for step in range(_STEPS + 1):
        norms = neuron_norms(p, uses).unsqueeze(1).clamp_min(1e-300)
        for value in p.values():
            value.div_(norms)
        _gradient(evaluator, p, gradients, slopes)
        products = [(p[name] * gradients[name]).sum(1) for name in p]
        best = torch.maximum(best, (torch.stack(products).sum(0) / -nu).max())
        rate = _RATE * (1 - step / _STEPS)
        size = (
            torch.stack([g.square().sum(1) / uses.get(name, 1) for name, g in gradients.items()])
            .sum(0)
            .sqrt()
            .unsqueeze(1)
            .clamp_min(1e-300)
        )
        for name, value in p.items():
            means[name].lerp_(gradients[name] / (size * uses.get(name, 1)), 1 - _MEMORY)
            value.sub_(means[name], alpha=rate)
    return float(best)


def _gradient(
    evaluator: MLPEvaluator, p: dict[str, Tensor], gradients: dict[str, Tensor], slopes: Tensor
) -> None:
    """Overwrite gradients by those of sum(slopes * logits): each neuron's is its own."""
    for gradient in gradients.values():
        gradient.zero_()
    for lo, hi in evaluator.blocks():
        before, hidden, _ = evaluator.forward(p, lo, hi)
        where = evaluator.rows_of(lo, hi)
        part = slopes[:, :, where].contiguous()
        evaluator.backward(p, gradients, lo, hi, before, hidden, part)
