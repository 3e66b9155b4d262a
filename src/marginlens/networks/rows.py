"""Rows of a task's table that a loss is averaged over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.tasks import Task

__all__ = ["Rows", "chosen_rows", "even_part"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table, with answers and weights in the mean.

    Attributes
    ----------
    inputs
        Element indices, shape (row, slot), or signs, shape (row, coordinate).
    answers
        Requested answer of each row, shape (row,): the right one, or another if labels are
        corrupted.
    weights
        Weight of each row in the mean, shape (row,); ``None`` for equal weights.
    """

    inputs: Tensor
    answers: Int[Tensor, " row"]
    weights: Float[Tensor, " row"] | None = None

    def __len__(self) -> int:
        return len(self.answers)

    @classmethod
    def of(
        cls,
        task: Task,
        chosen: Int[np.ndarray, " row"] | None = None,
        *,
        answers: Int[np.ndarray, " table_row"] | None = None,
    ) -> Rows:
        """Return rows of a task by their indices, all by default, with other answers if given."""
        task.require_rows()
        asked = task.answers if answers is None else answers
        index = slice(None) if chosen is None else chosen
        return cls(torch.as_tensor(task.inputs[index]), torch.as_tensor(asked[index]))

    def to(self, device: torch.device | str) -> Rows:
        """Return the rows on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return Rows(self.inputs.to(device), self.answers.to(device), weights)

    def take(self, index: Tensor) -> Rows:
        """Return the rows ``index`` of these, weighted for their own mean."""
        weights = None if self.weights is None else self.weights[index]
        if weights is not None:
            weights = weights / weights.sum()
        return Rows(self.inputs[index], self.answers[index], weights)

    def part(self, rank: int, world: int) -> Rows:
        """Return one of ``world`` equal parts, whose weighted sums add up to the whole's mean."""
        count = len(self)
        lo, hi = count * rank // world, count * (rank + 1) // world
        weights = self.weights
        if weights is None:
            weights = torch.full(
                (count,), 1 / count, dtype=torch.float64, device=self.answers.device
            )
        return Rows(self.inputs[lo:hi], self.answers[lo:hi], weights[lo:hi])

    def merged(self) -> Rows:
        """Rows whose inputs are permutations of each other as one, with the sum of their weights.

        A network that treats all slots alike (tied embeddings) gives such rows the same logits: half
        the table of a commutative operation is enough. Rows with different answers stay apart.
        """
        key = torch.cat([self.inputs.sort(1).values, self.answers[:, None]], dim=1)
        unique, where = torch.unique(key, dim=0, return_inverse=True)
        each = 1 / len(self) if self.weights is None else self.weights.double()
        weights = torch.zeros(len(unique), dtype=torch.float64, device=key.device)
        weights.index_add_(0, where, torch.as_tensor(each, dtype=torch.float64).expand(len(where)))
        return Rows(unique[:, :-1].contiguous(), unique[:, -1].contiguous(), weights)


def chosen_rows(
    task: Task, rows: Rows | None, like: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return inputs, answers and weights on the network's device, checked."""
    if rows is None:
        task.require_rows()
        inputs, answers = torch.as_tensor(task.inputs), torch.as_tensor(task.answers)
        return inputs.to(like.device), answers.to(like.device), None
    inputs, answers, weights = rows.inputs, rows.answers, rows.weights
    if inputs.shape[1] != task.factors:
        raise ValueError(
            f"{task.name} needs inputs of shape (rows, {task.factors}), not {tuple(inputs.shape)}"
        )
    if not len(inputs):
        raise ValueError("there are no rows to evaluate: give one or more, or None for the table")
    for name, values, count in (("inputs", inputs, task.size), ("answers", answers, task.classes)):
        if not 0 <= int(values.min()) <= int(values.max()) < count:
            raise ValueError(
                f"{name} run from {int(values.min())} to {int(values.max())}, "
                f"but {task.name} has 0 to {count - 1}"
            )
    if weights is None:
        return inputs.to(like.device), answers.to(like.device), None
    return inputs.to(like.device), answers.to(like.device), weights.to(like)


def even_part(count: int, most: int) -> int:
    """Return the size of equal parts of at most ``most`` that make up ``count``."""
    return math.ceil(count / math.ceil(count / max(1, most)))
