"""Shared streams of a deep transformer: rows with the same elements read so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding

from marginlens.networks.transformer.row_plan import Sums

__all__ = ["Lookup", "Reading", "readings_of"]


@dataclass(frozen=True, eq=False)
class Lookup:
    """Differentiable lookup of table rows whose backward pass sums rows that coincide.

    Attributes
    ----------
    index
        Rows of each member's part of the flattened tables.
    """

    index: Int[Tensor, "member read place"]
    _sums: Sums

    @classmethod
    def of(cls, index: Int[Tensor, "read place"], size: int, members: int) -> Lookup:
        """Return the lookup in a table with ``size`` rows, for up to ``members`` members.

        Examples
        --------
        >>> look = Lookup.of(torch.tensor([[0, 1], [1, 1]]), 3, members=1)
        >>> table = torch.tensor([[[10.0], [20.0], [30.0]]], requires_grad=True)
        >>> look(table)[0, :, :, 0].tolist()
        [[10.0, 20.0], [20.0, 20.0]]
        >>> look(table).sum().backward()
        >>> table.grad[0, :, 0].tolist()
        [1.0, 3.0, 0.0]
        """
        shift = size * torch.arange(members, device=index.device)[:, None, None]
        return cls(index + shift, Sums.of(index.flatten(), size, members))

    def __call__(
        self, table: Float[Tensor, "member row column"]
    ) -> Float[Tensor, "member read place column"]:
        """Return the rows that are read, shape (member, read, place, column)."""
        return _Look.apply(table, self)  # type: ignore[no-any-return]


class _Look(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, lookup: Lookup) -> Tensor:
        ctx.lookup = lookup
        return embedding(lookup.index[: len(table)], table.flatten(0, 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return ctx.lookup._sums(gradient.flatten(1, 2).contiguous(), None, None), None


@dataclass(frozen=True, eq=False)
class Reading:
    """Streams that a layer reads for each stream that it writes.

    Streams are numbered position by position. Those that have read the same elements up to their
    position are one: position 1 has at most n of them, position 2 n^2, ...

    Attributes
    ----------
    seen
        Streams that each written position's heads attend to: one per position, up to its own.
    own
        Stream that each written one continues; ``None`` if they are the last ``written`` of the
        streams read.
    written
        Number of streams written.
    """

    seen: tuple[Lookup, ...]
    own: Lookup | None
    written: int


def readings_of(
    inputs: Int[Tensor, "row slot"], *, size: int, equals: bool, layers: int, members: int
) -> list[Reading]:
    """Return the readings of each layer, from pairs of position and token to the rows.

    Parameters
    ----------
    inputs
        Elements of each row, with rows that share their first elements beside each other.
    size
        Number of elements of the task.
    equals
        Whether a token for the equals sign follows.
    layers, members
        Number of layers, and number of members of the network.

    Examples
    --------
    >>> rows = torch.tensor([[0, 0], [0, 1], [2, 0], [2, 1]])
    >>> sizes = dict(size=3, equals=True, layers=3, members=1)
    >>> [reading.written for reading in readings_of(rows, **sizes)]  # 2 a's, 4 rows at b and at =
    [10, 10, 4]
    """
    count, slots = inputs.shape
    tokens = inputs + size * torch.arange(slots, device=inputs.device)
    if equals:
        tokens = torch.nn.functional.pad(tokens, (0, 1), value=slots * size)
    length = tokens.shape[1]
    each = torch.arange(count, device=inputs.device)
    owners, firsts, start = [], [], 0  # the stream of each row, and a row of each stream
    for position in range(length):
        first, owner = each, each
        if position < length - 1:
            _, owner, sizes = torch.unique_consecutive(
                tokens[:, : position + 1], dim=0, return_inverse=True, return_counts=True
            )
            first = sizes.cumsum(0) - sizes
        owners.append(owner + start)
        firsts.append(first)
        start += len(first)
    streams = torch.stack(owners, 1)

    def reading(sources: Tensor, total: int, positions: range, *, of_itself: bool) -> Reading:
        index = [sources[firsts[i], : i + 1] for i in positions]
        last = torch.cat([some[:, -1:] for some in index])
        return Reading(
            tuple(Lookup.of(some, total, members) for some in index),
            None if of_itself else Lookup.of(last, total, members),
            len(last),
        )

    everywhere, end = range(length), range(length - 1, length)
    found = reading(
        tokens, slots * size + equals, everywhere if layers > 1 else end, of_itself=False
    )
    inner = [reading(streams, start, everywhere, of_itself=True)] * (layers - 2)
    last = [reading(streams, start, end, of_itself=True)] if layers > 1 else []
    return [found, *inner, *last]
