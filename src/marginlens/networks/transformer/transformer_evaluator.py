"""Evaluator of one-layer transformers without layer norm, in blocks of rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag

from marginlens.kernels import passes
from marginlens.networks.activations import activate, times_derivative_
from marginlens.networks.evaluator import GroupedEvaluator
from marginlens.networks.loss import loss_adder, require_classes
from marginlens.networks.rows import Rows, chosen_rows, even_part
from marginlens.networks.transformer.row_plan import RowPlan, plan_rows
from marginlens.networks.transformer.tables import Forward, Tables
from marginlens.networks.transformer.transformer_settings import TransformerLike
from marginlens.tasks import Task

__all__ = ["TransformerEvaluator"]

MEMORY = 24 << 20
"""Bytes of activations held at a time; above 32 MB the allocator asks for new pages at each step."""

CACHE = 4 << 20
"""Bytes that one product works on: what it writes is still in cache when the next one reads it."""

Parameters = dict[str, Tensor]


class TransformerEvaluator(GroupedEvaluator):
    r"""Evaluator of one-layer transformers and their gradients on rows of a task.

    Each step makes the tables of `Tables`, mixes a row's hidden neurons and the attention's share
    of
    its logits from them, applies the MLP, and walks back: rows that share an element are summed by
    embedding_bag, and weights of attention get their gradients from one batched product a slot. A
    row
    costs hidden * classes multiplications three times, instead of width * (4 width * positions + 2
    hidden + classes).

    Parameters
    ----------
    task
        Task over a table of two slots or more.
    network
        Network with the shapes, precision, device and settings; each call passes its parameters.
    rows
        Rows to evaluate: ``inputs`` (row, slot), ``answers`` (row,) and ``weights`` (row,) with sum
        1, or ``None`` for the plain mean. The argument is ``None`` for the whole table.
    memory
        Limit of bytes for activations, at least those of one row of one member; by default the
        memory that the allocator keeps between steps.
    loss
        Loss whose gradient is computed, as for :meth:`marginlens.networks.Network.evaluator`.

    Examples
    --------
    >>> from marginlens.networks import Transformer
    >>> from marginlens.tasks import task
    >>> network = Transformer.initial(task("C5"), dtype=torch.float64)
    >>> evaluator = TransformerEvaluator(task("C5"), network)
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
            raise ValueError(f"memory is {memory} bytes: take at least 1, as 24 << 20")
        network.require_task(task)
        if not network.settings.is_plain:
            raise ValueError(
                "TransformerEvaluator is for one layer without layer norm: take "
                "network.evaluator(task)"
            )
        embed = network.tensors["embed"]
        inputs, answers, self.weights = chosen_rows(task, rows, embed)
        self.settings = network.settings
        self.sigma = network.settings.sigma
        self.tables = Tables(task, network.settings)
        self.count, self.classes = len(answers), task.classes
        bytes_of_row = self.tables.columns * embed.element_size()
        self.group = min(network.members, max(1, memory // (self.count * bytes_of_row)))
        self.block = even_part(self.count, memory // (self.group * bytes_of_row))
        self.chunk = even_part(self.block, CACHE // (self.group * bytes_of_row))
        order = inputs[:, 0].argsort(stable=True)  # neighbours read the same rows of tables
        self.answers = answers[order]
        if self.weights is not None:
            self.weights = self.weights[order].to(embed.dtype)
        self.plans = [
            plan_rows(
                self.tables,
                inputs[order[lo : lo + self.block]],
                self.group,
                self.group * self.chunk,
            )
            for lo in range(0, self.count, self.block)
        ]
        size = self.group * self.chunk
        self._hidden = embed.new_empty(size * self.settings.hidden)

    def use(self, rows: Rows) -> TransformerEvaluator:
        """Return an evaluator of other rows with a new plan."""
        return TransformerEvaluator(
            self._task, self._network, rows=rows, memory=self._memory, loss=self.loss
        )

    def _add(self, p: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        forward = self.tables.forward(p)
        back = None if gradients is None else _Back(forward)
        lo = 0
        for plan in self.plans:
            self._rows(forward, back, plan, lo, results)
            lo += plan.count
        if gradients is not None and back is not None:
            self.tables.backward(p, forward, back.mix, back.scores, back.read, gradients)

    def _rows(
        self, f: Forward, back: _Back | None, plan: RowPlan, start: int, results: Tensor
    ) -> None:
        """Add a plan's rows to ``results``, and the tables' gradients to ``back``."""
        members = f.mix.shape[0]
        shares, weights = self._attend(f, plan)
        mixed = embedding_bag(
            plan.entries[:members].flatten(0, 1),
            f.mix.flatten(0, 1),
            mode="sum",
            per_sample_weights=None if weights is None else weights.flatten(0, 1),
        ).unflatten(0, (members, plan.count))
        for lo in range(0, plan.count, self.chunk):
            self._chunk(f, back, mixed[:, lo : lo + self.chunk], start + lo, results)
        if back is not None:
            back.mix += plan.sum_entries(mixed, weights)
            if shares is not None and back.scores is not None:
                toward = plan.toward_weights(mixed, f.mix)
                toward = torch.nn.functional.pad(toward, (0, 0, 0, self.tables.equals))
                toward *= self.tables.alpha * shares
                toward -= shares * toward.sum(2, keepdim=True)
                back.scores += plan.sum_scores(toward)

    def _attend(self, f: Forward, plan: RowPlan) -> tuple[Tensor | None, Tensor | None]:
        """Softmax, (member, row, position, head), and the weight of each entry of a row."""
        if f.scores is None or plan.pairs is None:
            return None, None
        members, _, heads = f.scores.shape
        shares = embedding(plan.pairs[:members], f.scores.flatten(0, 1)).softmax(2)
        count = self.tables.slots * heads
        weights = shares.new_ones(members, plan.count, count + 1)
        part = weights[..., :count].unflatten(2, (self.tables.slots, heads))
        torch.mul(shares[:, :, : self.tables.slots], self.tables.alpha, out=part)
        if self.tables.alpha < 1:
            part += 1 - self.tables.alpha
        return shares, weights

    def _chunk(
        self, f: Forward, back: _Back | None, mixed: Tensor, start: int, results: Tensor
    ) -> None:
        """Add a chunk to ``results``; ``mixed`` is overwritten by its gradient."""
        members, count, _ = mixed.shape
        neurons = self.settings.hidden
        before, logits = mixed[..., :neurons], mixed[..., neurons:]
        hidden = self._hidden[: members * count * neurons].view(members, count, neurons)
        activate(self.sigma, before, out=hidden)
        logits.baddbmm_(hidden, f.read.mT)
        rows = slice(start, start + count)
        weights = self._weights_of(rows)
        asked = logits[..., : self.classes].mT
        compiled = self.loss == "cross_entropy" and passes.is_compiled_for(f.mix)
        add = passes.cross_entropy if compiled else loss_adder(self.loss)
        add(asked, self.answers[rows], weights, results)
        if back is not None:
            back.read.baddbmm_(logits.mT, hidden)
            torch.bmm(logits, f.read * self.sigma.degree, out=hidden)
            if self.sigma.name == "relu":
                torch.ops.aten.threshold_backward.grad_input(hidden, before, 0, grad_input=before)
            else:
                before.copy_(times_derivative_(self.sigma, hidden, before))


class _Back:
    """Gradients of the tables, summed over blocks of rows."""

    def __init__(self, f: Forward) -> None:
        self.mix = torch.zeros_like(f.mix)
        self.scores = None if f.scores is None else torch.zeros_like(f.scores)
        self.read = torch.zeros_like(f.read)
