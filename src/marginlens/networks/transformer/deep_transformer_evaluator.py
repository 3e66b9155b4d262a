"""Evaluator of transformers of any depth, which computes each distinct stream once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from marginlens.kernels import passes
from marginlens.networks.evaluator import GroupedEvaluator
from marginlens.networks.loss import loss_adder, require_classes
from marginlens.networks.rows import Rows, chosen_rows, even_part
from marginlens.networks.transformer.layers import feed_forward, layer_norm
from marginlens.networks.transformer.reading import Lookup, Reading, readings_of
from marginlens.networks.transformer.transformer_settings import TransformerLike
from marginlens.tasks import Task

__all__ = ["DeepTransformerEvaluator"]

MEMORY = 64 << 20
"Byte limit for activations; each block rebuilds its tables of tokens."

Parameters = dict[str, Tensor]


class DeepTransformerEvaluator(GroupedEvaluator):
    r"""Evaluator of transformers with several layers or layer norm, and of their gradients.

    By the causal mask the stream at position j depends on the first j tokens alone, so that rows
    with the same first elements share its streams: position 1 has at most n of them and position 2
    n^2. The first layer's queries, keys and values are those of pairs of position and token, and
    the last layer is computed at the last position alone. Gradients are autograd's, a block of rows
    at a time; the loss is `cross_entropy_`'s, which keeps its digits at any margin.

    Parameters
    ----------
    task
        Task over a table of two slots or more.
    network
        Network with the shapes, precision, device and settings; each call passes its parameters.
    rows
        Rows to evaluate, as for `TransformerEvaluator`.
    memory
        Approximate limit of bytes for activations.
    loss
        Loss whose gradient is computed, as for `TransformerEvaluator`.

    Examples
    --------
    >>> from marginlens.networks import Transformer, TransformerSettings
    >>> from marginlens.tasks import task
    >>> settings = TransformerSettings(layers=2, layer_norm="post", biases=False)
    >>> network = Transformer.initial(task("C5"), settings, dtype=torch.float64)
    >>> evaluator = DeepTransformerEvaluator(task("C5"), network)
    >>> gradients = {name: torch.empty_like(p) for name, p in network.tensors.items()}
    >>> result = evaluator(network.tensors, gradients)
    >>> logits = network.logits(task("C5"))[0]
    >>> mean = torch.nn.functional.cross_entropy(logits, torch.as_tensor(task("C5").answers))
    >>> torch.testing.assert_close(result.cross_entropy[0], mean)
    """

    def __init__(
        self,
        task: Task,
        network: TransformerLike,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        loss: str = "cross_entropy",
    ) -> None:
        require_classes(loss, task.classes)
        self.loss = loss
        self._task, self._network, self._memory = task, network, memory
        memory = MEMORY if memory is None else memory
        if memory < 1:
            raise ValueError(f"memory is {memory} bytes: take at least 1, as 64 << 20")
        network.require_task(task)
        embed = network.tensors["embed"]
        inputs, answers, self.weights = chosen_rows(task, rows, embed)
        self.settings, self.size, self.slots = network.settings, task.size, task.factors
        self.equals = network.settings.sequence == "ab="
        order = _lexicographic(inputs, task.size)
        inputs, self.answers = inputs[order], answers[order]
        if self.weights is not None:
            self.weights = self.weights[order].to(embed.dtype)
        self.count, self.classes = len(answers), task.classes
        bytes_of_row = self._numbers() * embed.element_size()
        self.group = min(network.members, max(1, memory // (self.count * bytes_of_row)))
        self.block = even_part(self.count, memory // (self.group * bytes_of_row))
        self.plans = [
            readings_of(
                inputs[lo : lo + self.block],
                size=task.size,
                equals=self.equals,
                layers=self.settings.layers,
                members=self.group,
            )
            for lo in range(0, self.count, self.block)
        ]

    def _numbers(self) -> int:
        """Numbers that autograd holds for a row, about."""
        s, length = self.settings, self.slots + self.equals
        stream = (4 + 2 * length) * s.width + 2 * s.hidden
        return ((s.layers - 1) * (length - 1) + 1) * stream + 2 * self.classes

    def use(self, rows: Rows) -> DeepTransformerEvaluator:
        """Return an evaluator of other rows with a new plan."""
        return DeepTransformerEvaluator(
            self._task, self._network, rows=rows, memory=self._memory, loss=self.loss
        )

    def _add(self, p: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        for number, readings in enumerate(self.plans):
            self._rows(p, gradients, readings, number * self.block, results)

    def _rows(
        self,
        p: Parameters,
        g: Parameters | None,
        readings: list[Reading],
        start: int,
        results: Tensor,
    ) -> None:
        """Add a block of rows to ``results``, and to the gradients g if given."""
        with torch.set_grad_enabled(g is not None):
            if g is not None:
                p = {name: value.detach().requires_grad_() for name, value in p.items()}
            logits = self._logits(p, readings)
        toward = logits.detach()
        rows = slice(start, start + toward.shape[1])
        weights = self._weights_of(rows)
        compiled = self.loss == "cross_entropy" and passes.is_compiled_for(toward)
        add = passes.cross_entropy if compiled else loss_adder(self.loss)
        add(toward.mT, self.answers[rows], weights, results)
        if g is not None:
            found = torch.autograd.grad(logits, list(p.values()), toward, allow_unused=True)
            for gradient, more in zip(g.values(), found, strict=True):
                if more is not None:
                    gradient += more

    def _logits(self, p: Parameters, readings: list[Reading]) -> Tensor:
        """Logits of a block, (member, row, class)."""
        k, n, settings = self.slots, self.size, self.settings
        x = (p["embed"][:, None, :n] + p["position"][:, :k, None]).flatten(1, 2)
        if self.equals:
            x = torch.cat([x, p["embed"][:, n:] + p["position"][:, k:]], 1)
        for number, reading in enumerate(readings, 1):
            layer = settings.layer(p, number)
            x = feed_forward(self._attend(x, layer, reading), layer, settings)
        if settings.layer_norm == "pre":
            x = layer_norm(x, p, "final_norm")
        return x @ p["unembed"].mT

    def _attend(self, x: Tensor, p: Parameters, reading: Reading) -> Tensor:
        """Return streams after attention, shape (member, stream written, width)."""
        alpha, heads = self.settings.attention, self.settings.heads
        seen = layer_norm(x, p, "attention_norm") if self.settings.layer_norm == "pre" else x
        if not alpha:
            values = _project(seen, p["value"])
            mixed = torch.cat([look(values).sum(2) for look in reading.seen], 1)
            return _own(x, reading) + mixed @ p["output"].flatten(1, 2)
        read = torch.cat([p["key"], p["value"]], 1)
        table = _project(seen, read)
        query = p["query"] * (1 / math.sqrt(self.settings.channels))
        if reading.own is None:
            queries = _project(_own(seen, reading), query)
        else:
            queries = _own(_project(seen, query), reading)
        parts, lo = [], 0
        for look in reading.seen:
            count = look.index.shape[1]
            parts.append(_mixed(queries[:, lo : lo + count], look, table, heads, alpha))
            lo += count
        return _own(x, reading) + torch.cat(parts, 1) @ p["output"].flatten(1, 2)


def _mixed(queries: Tensor, look: Lookup, table: Tensor, heads: int, alpha: float) -> Tensor:
    """Return the heads' weighted sums of values, shape (member, stream, width).

    Keys and values share a table.
    """
    keys, values = look(table).unflatten(3, (2, heads, -1)).unbind(3)
    scores = (keys * queries.unflatten(2, (1, heads, -1))).sum(4)
    weights = alpha * scores.softmax(2)
    if alpha < 1:
        weights = weights + (1 - alpha)
    return (weights[..., None] * values).sum(2).flatten(2)


def _project(x: Tensor, weight: Tensor) -> Tensor:
    """Return each head's projection of x, shape (member, stream, head and channel)."""
    return x @ weight.flatten(1, 2).mT


def _own(x: Tensor, reading: Reading) -> Tensor:
    """Return the stream that each written stream continues."""
    if reading.own is None:
        return x[:, x.shape[1] - reading.written :]
    return reading.own(x)[:, :, 0]


def _lexicographic(inputs: Tensor, size: int) -> Tensor:
    """Order of the rows in which those that share their first elements are neighbours."""
    order = torch.arange(len(inputs), device=inputs.device)
    for column in reversed(inputs.unbind(1)):
        order = order[column[order].argsort(stable=True)]
    return order
