"""Loss, margin and gradient over a task's whole table, a block of rows at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks.activations import activate, times_derivative_
from marginlens.networks.mlp import MLP, neuron_norms
from marginlens.tasks import Task

__all__ = ["Evaluation", "Population", "evaluate", "total_norm"]

BLOCK = 1 << 22
"""Hidden activations held at a time: more cost memory and gain no time."""

Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Averages over the whole table, one number a member.

    Attributes
    ----------
    cross_entropy
        Mean over the rows.
    accuracy
        Share of the rows whose right answer has the largest logit.
    margin
        min over rows of (logit of the right answer - largest logit of a wrong one).
    """

    cross_entropy: Float[Tensor, " member"]
    accuracy: Float[Tensor, " member"]
    margin: Float[Tensor, " member"]


class _Inputs(Protocol):
    """How a task's rows reach the hidden layer; rows come in units that belong together."""

    units: int
    rows: int

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> None: ...
    def backward(self, d: Tensor, lo: int, hi: int, gradients: Parameters) -> None: ...


class _Factors:
    """Row (a_1, ..., a_k): u_1(a_1) + ... + u_k(a_k) by broadcasting. No one-hot products.

    A unit is all rows of one a_1; the sums over the other slots are the same for every unit.
    """

    def __init__(self, task: Task) -> None:
        self.units = task.size
        self.rows = task.size ** (task.factors - 1)
        self.first, *self.others = task.slots
        self.size = task.size

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> None:
        shape = (out.shape[0], hi - lo, self.rows, out.shape[2])
        torch.add(p[self.first][:, lo:hi, None], self._rest(p)[:, None], out=out.view(shape))

    def _rest(self, p: Parameters) -> Tensor:
        """Sum over all slots but the first, (member, row of a unit, neuron)."""
        if not self.others:
            return p[self.first].new_zeros(1, 1, 1)
        last, *before = self.others[::-1]
        rest = p[last]
        for slot in before:
            rest = (p[slot][:, :, None] + rest[:, None]).flatten(1, 2)
        return rest

    def backward(self, d: Tensor, lo: int, hi: int, gradients: Parameters) -> None:
        d = d.view(d.shape[0], hi - lo, self.rows, d.shape[2])
        gradients[self.first][:, lo:hi] = d.sum(2)
        if not self.others:
            return
        rest = d.sum(1)
        for slot in self.others[:-1]:
            rest = rest.unflatten(1, (self.size, -1))
            gradients[slot] += rest.sum(2)
            rest = rest.sum(1)
        gradients[self.others[-1]] += rest


class _Signs:
    """Row x of ±1: <u, x> by a dense product; a unit is one row."""

    def __init__(self, task: Task, dtype: torch.dtype, device: torch.device) -> None:
        self.units, self.rows = len(task.inputs), 1
        self.signs = torch.as_tensor(task.inputs, dtype=dtype, device=device)

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> None:
        torch.matmul(self.signs[lo:hi], p["u"], out=out)

    def backward(self, d: Tensor, lo: int, hi: int, gradients: Parameters) -> None:
        gradients["u"] += self.signs[lo:hi].T @ d


class Population:
    """Evaluates a network, and its gradient, on every row of a task.

    The cross-entropy is computed as z + log1p(sum_{j != c} exp(l_j - l_c - z) + expm1(-z)), with z
    the largest of 0 and the l_j - l_c, and the gradient of the right answer's logit as minus the sum
    of the others': both keep their relative accuracy when the margin is large, where the usual
    log-softmax loses all digits in float32.

    Parameters
    ----------
    task
        What is evaluated.
    network
        Gives shapes, precision, device and activation; its parameters are passed at each call.
    """

    def __init__(self, task: Task, network: MLP) -> None:
        task.require_rows()
        network.require_task(task)
        w = network.parameters["w"]
        self.activation = network.activation
        self.count = len(task.answers)
        self.inputs: _Inputs = (
            _Factors(task) if task.kind == "table" else _Signs(task, w.dtype, w.device)
        )
        self.answers = torch.tensor(task.answers, device=w.device)[None, None]
        width, rows = network.width, self.inputs.rows
        self.group = min(network.members, max(1, BLOCK // (rows * width)))
        self.block = min(self.inputs.units, max(1, BLOCK // (self.group * rows * width)))
        hidden = self.group * self.block * rows * width
        outputs = self.group * self.block * rows * task.classes
        # Buffers are kept from step to step: fresh ones cost more in page faults than in work.
        self._before, self._hidden = w.new_empty(hidden), w.new_empty(hidden)
        self._logits = w.new_empty(outputs)

    @torch.no_grad()
    def __call__(self, parameters: Parameters, gradients: Parameters | None = None) -> Evaluation:
        """Evaluate; if ``gradients`` are given, overwrite them with those of the mean loss."""
        parameters = {name: p.detach() for name, p in parameters.items()}
        members = parameters["w"].shape[0]
        loss = parameters["w"].new_zeros(members, dtype=torch.float64)
        right = torch.zeros_like(loss)
        margin = torch.full_like(loss, math.inf)
        if gradients is not None:
            for gradient in gradients.values():
                gradient.zero_()
        for first in range(0, members, self.group):
            chosen = slice(first, first + self.group)
            p = {name: value[chosen] for name, value in parameters.items()}
            g = None if gradients is None else {n: v[chosen] for n, v in gradients.items()}
            for lo in range(0, self.inputs.units, self.block):
                hi = min(self.inputs.units, lo + self.block)
                losses, gap = self._block(p, g, lo, hi)
                loss[chosen] += losses.sum((1, 2), dtype=torch.float64)
                right[chosen] += (gap > 0).sum((1, 2))
                margin[chosen] = torch.minimum(margin[chosen], gap.amin((1, 2)).double())
        return Evaluation(loss / self.count, right / self.count, margin)

    def _block(
        self, p: Parameters, gradients: Parameters | None, lo: int, hi: int
    ) -> tuple[Tensor, Tensor]:
        """Losses and margins of the rows of units lo to hi; adds their gradient."""
        w = p["w"]
        members, classes, width = w.shape
        rows = slice(lo * self.inputs.rows, hi * self.inputs.rows)
        count = rows.stop - rows.start
        shape = (members, count, width)
        size = members * count * width
        before = self._before[:size].view(shape)
        hidden = self._hidden[:size].view(shape)
        # Rows last: this product is the faster one, whatever the number of classes.
        logits = self._logits[: members * count * classes].view(members, classes, count)
        answers = self.answers[..., rows].expand(members, -1, -1)

        self.inputs.forward(p, lo, hi, before)
        activate(self.activation, before, out=hidden)
        torch.bmm(w, hidden.mT, out=logits)
        losses, gap = _cross_entropy_(logits, answers, self.count)
        if gradients is not None:
            gradients["w"].baddbmm_(logits, hidden)
            back = torch.bmm(logits.mT, w * self.activation.degree, out=hidden)
            times_derivative_(self.activation, back, before)
            self.inputs.backward(back, lo, hi, gradients)
        return losses, gap


def _cross_entropy_(
    logits: Float[Tensor, "member class row"], answers: Int[Tensor, "member 1 row"], count: int
) -> tuple[Float[Tensor, "member 1 row"], Float[Tensor, "member 1 row"]]:
    """Losses and margins; ``logits`` are overwritten by the gradient of sum(losses) / count."""
    right = logits.gather(1, answers)
    logits.scatter_(1, answers, -math.inf)
    largest = logits.amax(1, keepdim=True)
    top = torch.maximum(largest, right)
    shift = top - right
    # exp is many times slower where its value is zero or denormal: it ends just above
    logits.sub_(top).clamp_min_(math.log(torch.finfo(logits.dtype).tiny) + 0.5).exp_()
    wrong = logits.scatter_(1, answers, 0.0).sum(1, keepdim=True)
    excess = wrong + torch.expm1(-shift)
    losses = shift + torch.log1p(excess)
    scale = 1 / (excess.add_(1).mul_(count))
    logits.mul_(scale).scatter_(1, answers, -wrong * scale)
    return losses, right - largest


def evaluate(network: MLP, task: Task) -> Evaluation:
    """Cross-entropy, accuracy and margin of each member on the whole table.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> evaluate(construct(task("C5")), task("C5")).margin
    tensor([0.0304], dtype=torch.float64)
    """
    return Population(task, network)(network.parameters)


def total_norm(network: MLP) -> Float[Tensor, " member"]:
    """Sum over neurons of ||omega_i||^nu, by which a margin is normalized."""
    return neuron_norms(network.parameters).pow(network.homogeneity).sum(1)
