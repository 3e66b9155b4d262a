"""Evaluator of one-hidden-layer networks, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.kernels import passes
from marginlens.networks.activations import activate, derivative_scale, times_derivative_
from marginlens.networks.evaluator import Evaluation, GroupedEvaluator, Parameters
from marginlens.networks.loss import loss_adder, require_classes
from marginlens.networks.rows import Rows
from marginlens.tasks import Task
from marginlens.theory import Activation

__all__ = ["MEMORY", "MLPEvaluator"]

MEMORY = 8 << 20
"""Bytes of hidden activations held at a time: they stay in the cache, where more would not."""


@runtime_checkable
class _Layers(Protocol):
    """Interface of an MLP that the evaluator needs."""

    activation: Activation

    @property
    def tied(self) -> bool: ...
    @property
    def biases(self) -> bool: ...
    @property
    def width(self) -> int: ...
    @property
    def members(self) -> int: ...
    @property
    def tensors(self) -> Parameters: ...
    def require_task(self, task: Task) -> None: ...


class _Inputs(Protocol):
    """Map from rows, grouped in units, to the hidden layer."""

    units: int
    rows: int

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> Tensor: ...
    def backward(self, d: Tensor, lo: int, hi: int, gradients: Parameters) -> None: ...


class _Table:
    """Whole table of rows (a_1, ..., a_k): u_1(a_1) + ... + u_k(a_k) by broadcasting.

    A unit is all rows of one a_1; the sums over the other slots are the same for every unit.
    """

    def __init__(self, task: Task) -> None:
        self.units = task.size
        self.rows = task.size ** (task.factors - 1)
        self.first, *self.others = task.slots
        self.size = task.size

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> Tensor:
        shape = (out.shape[0], hi - lo, self.rows, out.shape[2])
        torch.add(p[self.first][:, lo:hi, None], self._rest(p)[:, None], out=out.view(shape))
        return out

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


class _Chosen:
    """Chosen rows of a table: sums of looked-up embeddings; a unit is one row."""

    def __init__(self, task: Task, inputs: Tensor, *, tied: bool) -> None:
        self.names = ("u",) if tied else task.slots
        self.units, self.rows = len(inputs), 1
        self.size = task.size
        self.columns = inputs.T.contiguous()
        offsets = torch.zeros(inputs.shape[1], dtype=torch.int64, device=inputs.device)
        if not tied:
            offsets = torch.arange(inputs.shape[1], device=inputs.device) * task.size
        self.flat = (inputs + offsets).int()

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> Tensor:
        table = torch.cat([p[name] for name in self.names], dim=1)
        members, size, width = table.shape
        member = torch.arange(members, dtype=torch.int32, device=table.device)[:, None, None]
        index = (self.flat[lo:hi] + member * size).flatten(0, 1)
        return torch.nn.functional.embedding_bag(index, table.flatten(0, 1), mode="sum").view(
            members, hi - lo, width
        )

    def backward(self, d: Tensor, lo: int, hi: int, gradients: Parameters) -> None:
        for slot, column in enumerate(self.columns[:, lo:hi]):
            gradient = gradients[self.names[slot % len(self.names)]]
            for member in range(len(d)):
                gradient[member].index_add_(0, column, d[member])


class _Signs:
    """Row x of ±1: <u, x> by a dense product; a unit is one row."""

    def __init__(self, signs: Tensor, dtype: torch.dtype) -> None:
        self.units, self.rows = len(signs), 1
        self.signs = signs.to(dtype)

    def forward(self, p: Parameters, lo: int, hi: int, out: Tensor) -> Tensor:
        return torch.matmul(self.signs[lo:hi], p["u"], out=out)

    def backward(self, d: Tensor, lo: int, hi: int, gradients: Parameters) -> None:
        gradients["u"] += self.signs[lo:hi].T @ d


class MLPEvaluator(GroupedEvaluator):
    """Evaluator of an MLP and its gradient on all or some rows of a task.

    Instead of products with one-hot vectors, embeddings are broadcast over the whole table, or
    looked up for selected rows. With tied embeddings, rows that differ in the order of their
    factors only are merged (:meth:`Rows.merged`).

    Parameters
    ----------
    task
        Task whose rows are evaluated.
    network
        Network with the shapes, precision, device and activation; each call passes its parameters.
    rows
        Rows to evaluate, all by default.
    memory
        Limit of bytes for hidden activations, which decides the block of rows; by default the size
        of the cache.
    merge
        Whether rows that a network with tied embeddings cannot distinguish are merged.
    loss
        Loss whose gradient is computed: ``"cross_entropy"``, or one of ``networks.loss.LOSSES``.
    """

    def __init__(
        self,
        task: Task,
        network: _Layers,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        merge: bool = True,
        loss: str = "cross_entropy",
    ) -> None:
        if rows is None:
            task.require_rows()
        network.require_task(task)
        require_classes(loss, task.classes)
        self.loss, self._add_loss = loss, loss_adder(loss)
        w = network.tensors["w"]
        self.activation = network.activation
        self._task, self._tied, self._dtype = task, network.tied, w.dtype
        self._biases = network.biases
        chosen = (Rows.of(task) if rows is None else rows).to(w.device)
        self._memory = memory or MEMORY
        whole = rows is None and task.is_whole and not network.tied
        self.use(chosen.merged() if network.tied and merge else chosen)
        if whole:
            self.inputs = _Table(task)
        width, unit = network.width, self.inputs.rows
        budget = max(1, self._memory // (2 * w.element_size()))
        self.group = min(network.members, max(1, budget // (unit * width)))
        self.block = max(1, min(self.inputs.units, budget // (self.group * unit * width)))
        self._hidden: Tensor | None = None
        self._before: Tensor | None = None
        self._logits: Tensor | None = None

    def use(self, rows: Rows) -> MLPEvaluator:
        """Return the evaluator of at most as many other rows: the same object."""
        self.inputs: _Inputs = (
            _Chosen(self._task, rows.inputs, tied=self._tied)
            if self._task.kind == "table"
            else _Signs(rows.inputs, self._dtype)
        )
        self.answers = rows.answers.contiguous()
        self.count = len(rows)
        self.weights = None if rows.weights is None else rows.weights.to(self._dtype).contiguous()
        self.embedded = None
        plain = self.loss == "cross_entropy" and not self._biases
        if self._task.kind == "table" and plain and passes.can_activate(self.activation):
            names = ("u",) * self._task.factors if self._tied else self._task.slots
            self.embedded = passes.EmbeddedRows(
                rows.inputs, rows.answers, self.weights, names, self.activation, self._memory
            )
        return self

    def _sum(self, parameters: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        """Sum over all rows in one compiled call if possible, else block by block."""
        embedded, touched = self.embedded, [*parameters.values(), *(gradients or {}).values()]
        if embedded is not None and embedded.takes(*touched):
            embedded(parameters, gradients, results)
        else:
            super()._sum(parameters, gradients, results)

    def _add(self, p: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        for lo, hi in self.blocks():
            self._block(p, gradients, lo, hi, results)

    def _block(
        self, p: Parameters, gradients: Parameters | None, lo: int, hi: int, results: Tensor
    ) -> None:
        """Add to results and gradients those of units lo to hi, operator by operator."""
        rows = self.rows_of(lo, hi)
        before, hidden, logits = self.forward(p, lo, hi)
        weights = self._weights_of(rows)
        self._add_loss(logits, self.answers[rows], weights, results)
        if gradients is not None:
            self.backward(p, gradients, lo, hi, before, hidden, logits)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First unit of each block, and the one after its last."""
        for lo in range(0, self.inputs.units, self.block):
            yield lo, min(self.inputs.units, lo + self.block)

    def rows_of(self, lo: int, hi: int) -> slice:
        """Return the rows of units lo to hi."""
        return slice(lo * self.inputs.rows, hi * self.inputs.rows)

    def forward(self, p: Parameters, lo: int, hi: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of the activation, hidden layer, and logits of the rows of units lo to hi.

        The tensors are buffers that the next call overwrites.

        Parameters
        ----------
        p
            Parameters of at most ``group`` members.
        lo, hi
            First unit, and the one after the last; at most ``block`` of them.

        Returns
        -------
        before, hidden
            Each (member, row, neuron).
        logits
            (member, class, row).
        """
        w = p["w"]
        members, classes, width = w.shape
        count = (hi - lo) * self.inputs.rows
        shape, size = (members, count, width), members * count * width
        if self._hidden is None or self._before is None or self._logits is None:
            most = self.group * self.block * self.inputs.rows
            # Kept from step to step: fresh ones cost more in page faults than in work.
            self._hidden, self._before = w.new_empty(most * width), w.new_empty(most * width)
            self._logits = w.new_empty(most * classes)
        hidden = self._hidden[:size].view(shape)
        # Rows last: this product is the faster one, whatever the number of classes.
        logits = self._logits[: members * count * classes].view(members, classes, count)
        before = self.inputs.forward(p, lo, hi, self._before[:size].view(shape))
        if self._biases:
            before += p["bias"]
        activate(self.activation, before, out=hidden)
        torch.bmm(w, hidden.mT, out=logits)
        return before, hidden, logits

    @torch.no_grad()
    def slopes(self, parameters: Parameters) -> Float[Tensor, "member class row"]:
        """Return the derivatives of the mean loss in all logits, which take their memory.

        Parameters
        ----------
        parameters
            Parameters of one member.
        """
        parameters = {name: p.detach() for name, p in parameters.items()}
        results = Evaluation.blank(self.loss, 1, parameters["w"])
        parts = []
        for lo, hi in self.blocks():
            rows = self.rows_of(lo, hi)
            _, _, logits = self.forward(parameters, lo, hi)
            self._add_loss(logits, self.answers[rows], self._weights_of(rows), results)
            parts.append(logits.clone())
        return torch.cat(parts, 2)

    def backward(
        self,
        p: Parameters,
        gradients: Parameters,
        lo: int,
        hi: int,
        before: Tensor,
        hidden: Tensor,
        slopes: Float[Tensor, "member class row"],
    ) -> None:
        """Add to ``gradients`` those of the rows of units lo to hi; ``hidden`` is overwritten.

        Parameters
        ----------
        p, lo, hi, before, hidden
            Arguments and results of :meth:`forward`.
        gradients
            Gradients of the same members.
        slopes
            Derivatives of the objective in the logits.
        """
        gradients["w"].baddbmm_(slopes, hidden)
        back = torch.bmm(slopes.mT, p["w"] * derivative_scale(self.activation), out=hidden)
        times_derivative_(self.activation, back, before)
        if self._biases:
            gradients["bias"] += back.sum(1, keepdim=True)
        self.inputs.backward(back, lo, hi, gradients)
