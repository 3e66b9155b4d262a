"""Evaluator of any module by autograd, for kinds of networks without a faster one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from marginlens.networks.evaluator import GroupedEvaluator, Parameters
from marginlens.networks.loss import loss_adder, require_classes
from marginlens.networks.rows import Rows, even_part
from marginlens.tasks import Task

__all__ = ["AutogradEvaluator"]

MEMORY = 64 << 20
"""Bytes of logits, taken tenfold for what autograd holds, of rows that are evaluated at a time."""


class AutogradEvaluator(GroupedEvaluator):
    """Evaluator that calls the module on blocks of rows and differentiates the call.

    Parameters
    ----------
    task
        Task whose rows are evaluated.
    network
        Module from rows to logits (member, row, class); each call passes its parameters.
    rows, memory, loss
        Rows, byte limit and loss, as for :meth:`marginlens.networks.Network.evaluator`.

    Examples
    --------
    >>> from marginlens.networks import MLP
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> network = MLP.initial(task("C5"), parse_activation("x^2"), width=8)
    >>> slow = AutogradEvaluator(task("C5"), network)(network.tensors)
    >>> fast = network.evaluator(task("C5"))(network.tensors)
    >>> bool((slow.cross_entropy / fast.cross_entropy - 1).abs() < 1e-6)
    True
    """

    def __init__(
        self,
        task: Task,
        network: torch.nn.Module,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        loss: str = "cross_entropy",
    ) -> None:
        require_classes(loss, task.classes)
        self.loss, self._add_loss = loss, loss_adder(loss)
        self._network, self._classes = network, task.classes
        self._memory = memory or MEMORY
        self.use(Rows.of(task) if rows is None else rows)

    def use(self, rows: Rows) -> AutogradEvaluator:
        """Evaluator of other rows: the same object."""
        like = next(self._network.parameters())
        rows = rows.to(like.device)
        self._inputs, self._answers, self.count = rows.inputs, rows.answers, len(rows)
        self.weights = None if rows.weights is None else rows.weights.to(like.dtype)
        self.group = len(like)
        one = 10 * self.group * self._classes * like.element_size()
        self._block = even_part(self.count, self._memory // one)
        return self

    def _add(self, p: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        for lo in range(0, self.count, self._block):
            rows = slice(lo, lo + self._block)
            with torch.set_grad_enabled(gradients is not None):
                leaves = {n: x.detach().requires_grad_(gradients is not None) for n, x in p.items()}
                logits = functional_call(self._network, leaves, self._inputs[rows])
            slopes = logits.detach().mT.clone()
            self._add_loss(slopes, self._answers[rows], self._weights_of(rows), results)
            if gradients is not None:
                found = torch.autograd.grad(
                    logits, list(leaves.values()), slopes.mT, allow_unused=True
                )
                for name, more in zip(leaves, found, strict=True):
                    if more is not None:
                        gradients[name] += more
