"""Evaluators: loss, accuracy, margin and gradient of an ensemble over rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.rows import Rows

__all__ = ["Evaluation", "Evaluator", "GroupedEvaluator", "Parameters"]

Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Averages over rows, one number a member.

    Attributes
    ----------
    cross_entropy
        Mean over the rows.
    accuracy
        Share of the rows whose asked answer has the largest logit.
    margin
        min over rows of (logit of the asked answer - largest logit of another).
    other
        Mean over the rows of the loss that is minimised, where that is not cross-entropy.
    """

    cross_entropy: Float[Tensor, " member"]
    accuracy: Float[Tensor, " member"]
    margin: Float[Tensor, " member"]
    other: Float[Tensor, " member"] | None = None

    @property
    def loss(self) -> Float[Tensor, " member"]:
        """Mean over the rows of the loss whose gradient is taken."""
        return self.cross_entropy if self.other is None else self.other

    @staticmethod
    def blank(loss: str, members: int, like: Tensor) -> Float[Tensor, "member column"]:
        """Return initial sums over rows: cross-entropy, right answers, least margin, other loss."""
        columns = 3 if loss == "cross_entropy" else 4
        results = like.new_zeros(members, columns, dtype=torch.float64)
        results[:, 2] = math.inf
        return results

    @classmethod
    def of(cls, results: Float[Tensor, "member column"], count: int | None = None) -> Evaluation:
        """Return the evaluation from sums over rows (cross-entropies, right answers), or means.

        ``count`` divides the sums, where each row has the same weight.
        """
        if count is not None:
            results[:, :2] /= count
            results[:, 3:] /= count
        return cls(*results.unbind(1))


class Evaluator(ABC):
    """Evaluator of parameters on rows."""

    @abstractmethod
    def __call__(self, parameters: Parameters, gradients: Parameters | None = None) -> Evaluation:
        """Evaluate; if ``gradients`` are given, overwrite them with those of the mean loss.

        Parameters
        ----------
        parameters
            By name, each with a leading member axis: :attr:`marginlens.networks.Network.tensors`.
        gradients
            Tensors under the same names and of the same shapes.
        """

    @abstractmethod
    def use(self, rows: Rows) -> Evaluator:
        """Return the evaluator of other rows; it reuses this one's buffers if possible."""


class GroupedEvaluator(Evaluator):
    """Evaluator that sums over rows, for one group of members at a time.

    Each kind of network derives a subclass that implements :meth:`_add` and sets the attributes.

    Attributes
    ----------
    loss
        Name of the loss whose gradient is computed.
    count
        Number of rows in the mean.
    weights
        Weight of each row in the mean, shape (row,); ``None`` for equal weights.
    group
        Number of members that are evaluated together.
    """

    loss: str
    count: int
    weights: Float[Tensor, " row"] | None
    group: int

    @torch.no_grad()
    def __call__(self, parameters: Parameters, gradients: Parameters | None = None) -> Evaluation:
        """Evaluate; if ``gradients`` are given, overwrite them with those of the mean loss."""
        parameters = {name: p.detach() for name, p in parameters.items()}
        like = next(iter(parameters.values()))
        results = Evaluation.blank(self.loss, len(like), like)
        self._sum(parameters, gradients, results)
        return Evaluation.of(results, self.count if self.weights is None else None)

    def _sum(self, parameters: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        """Sums over all rows, a group of members at a time."""
        for group, p, g in self.groups(parameters, gradients):
            self._add(p, g, results[group])

    def groups(
        self, parameters: Parameters, gradients: Parameters | None
    ) -> Iterator[tuple[slice, Parameters, Parameters | None]]:
        """Members of each group with their parameters and gradients, which are set to 0 before.

        Parameters
        ----------
        parameters, gradients
            Arguments of a call.
        """
        for gradient in (gradients or {}).values():
            gradient.zero_()
        for first in range(0, len(next(iter(parameters.values()))), self.group):
            group = slice(first, first + self.group)
            p = {name: value[group] for name, value in parameters.items()}
            g = None if gradients is None else {n: v[group] for n, v in gradients.items()}
            yield group, p, g

    @abstractmethod
    def _add(self, p: Parameters, gradients: Parameters | None, results: Tensor) -> None:
        """Add all rows of a group of members to ``results``, and to gradients if given."""

    def _weights_of(self, rows: slice) -> float | Tensor:
        """Weights of some rows in the mean: one number where all have the same."""
        return 1 / self.count if self.weights is None else self.weights[rows]
