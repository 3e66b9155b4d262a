"""Best single neurons against given slopes of the logits: found by search, not proved."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.evaluator import Parameters
from marginlens.networks.mlp import MLP, neuron_norms
from marginlens.networks.mlp_evaluator import MLPEvaluator
from marginlens.networks.rows import Rows
from marginlens.networks.soft_margin import SoftMarginEvaluator
from marginlens.tasks import Task

__all__ = ["best_neuron_against", "climb_neurons"]

_STEPS = 300
_RATE = 0.1
_MOMENTUM = 0.9


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
    slopes = soft.slopes(one.tensors, torch.tensor([sharpness], dtype=torch.float64))
    random = MLP.initial(
        task, one.activation, width=starts, seed=seed, tied=one.tied, dtype=torch.float64
    )
    both = {
        name: torch.cat([trained, random.tensors[name]], dim=2)
        for name, trained in one.tensors.items()
    }
    rates = (_RATE * (1 - step / _STEPS) for step in range(_STEPS))
    _, earned = climb_neurons(
        task, one.with_parameters(both), slopes, rows=rows, rates=rates, momentum=_MOMENTUM
    )
    return float(earned.max().clamp_min(0))


@torch.no_grad()
def climb_neurons(
    task: Task,
    neurons: MLP,
    slopes: Float[Tensor, "1 class row"],
    *,
    rows: Rows | None = None,
    rates: Iterable[float],
    momentum: float = 0.0,
) -> tuple[MLP, Float[Tensor, " neuron"]]:
    r"""Move unit neurons towards those that earn most against given slopes of the logits.

    Neuron $\omega$ earns $s(\omega) = -\sum_{r,c} g_{c,r} \varphi_\omega(r, c)$ with $g$ →
    ``slopes`` and $\varphi_\omega$ its output. Every neuron moves along its own gradient, scaled to
    norm 1, and back to the sphere: $\omega \leftarrow \omega + \eta \nabla s / \|\nabla s\|$, a
    shifted power step at rate 1.

    Parameters
    ----------
    task
        Task whose rows the slopes are of.
    neurons
        One member without biases: its neurons are the starts, of any norm above 0.
    slopes
        Derivatives of an objective in the logits, in the rows' order of an :class:`MLPEvaluator`, such
        as ``MLPEvaluator.slopes`` and ``SoftMarginEvaluator.slopes`` return.
    rows
        Rows that the slopes are of; all by default.
    rates
        Rate $\eta$ of each step.
    momentum
        Share of the last direction that is kept in the next one.

    Returns
    -------
    tuple
        Neurons of norm 1, and what each of them earns.

    Examples
    --------
    From no network at all the best neuron earns the strength at which networks collapse:

    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> starts = MLP.initial(task("C5"), parse_activation("x^2"), width=20, seed=0)
    >>> zero = starts.with_parameters({name: 0 * p for name, p in starts.tensors.items()})
    >>> slopes = MLPEvaluator(task("C5"), zero).slopes(zero.tensors)
    >>> unit, earned = climb_neurons(task("C5"), starts, slopes, rates=[1.0] * 20)
    >>> f"{float(earned.max()):.6f}", f"{float(neuron_norms(unit.tensors).max()):.3f}"
    ('0.024343', '1.000')
    """
    p: Parameters = {name: value.clone() for name, value in neurons.tensors.items()}
    uses, evaluator = neurons.uses, MLPEvaluator(task, neurons, rows=rows)
    gradients = {name: torch.zeros_like(value) for name, value in p.items()}
    means = {name: torch.zeros_like(value) for name, value in p.items()}
    _scale(p, uses)
    for rate in rates:
        _gradient(evaluator, p, gradients, slopes)
        for name, gradient in gradients.items():
            gradient.div_(-uses.get(name, 1))
        _scale(gradients, uses)
        for name, value in p.items():
            value.add_(means[name].lerp_(gradients[name], 1 - momentum), alpha=rate)
        _scale(p, uses)
    _gradient(evaluator, p, gradients, slopes)
    products = torch.stack([(p[name] * gradients[name]).sum(1) for name in p])
    return neurons.with_parameters(p), products.sum(0)[0] / -neurons.homogeneity


def _scale(p: Parameters, uses: dict[str, int]) -> None:
    """Scale neurons to norm 1 in place; those without any weights stay zero."""
    norms = neuron_norms(p, uses).unsqueeze(1).clamp_min(torch.finfo(p["w"].dtype).tiny)
    for value in p.values():
        value.div_(norms)


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
