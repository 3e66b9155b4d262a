"""Which rows of a transformer's tables each row of a task reads, and the sums on the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag

from marginlens.networks.transformer_tables import Tables

__all__ = ["RowPlan", "plan_rows"]


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of values over those that share a target, as one embedding_bag of sorted indices.

    An index_add_ runs on one core and an embedding's gradient sorts at each call; this sorts once.

    Attributes
    ----------
    order
        Positions of the values, sorted by target.
    starts
        Where each target's begin in ``order``.
    """

    order: Int[Tensor, "member value"]
    starts: Int[Tensor, "member target"]

    @classmethod
    def of(cls, targets: Tensor, count: int, members: int) -> _Sums:
        """Sums of one value for each of ``targets``, into ``count`` of them."""
        ends = torch.bincount(targets, minlength=count).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        order = targets.argsort(stable=True)
        shift = torch.arange(members, device=targets.device)[:, None] * len(targets)
        return cls(order + shift, starts + shift)

    def __call__(self, values: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
        """Sum (member, value, column) into (member, target, column).

        With ``rows`` value i is row rows[i], times weights.flatten()[i] if there are weights.
        """
        members = values.shape[0]
        order, starts = self.order[:members].flatten(), self.starts[:members].flatten()
        if weights is not None:
            weights = weights.flatten()[order]
        if rows is not None:
            order = rows[:members].flatten()
        bags = embedding_bag(
            order, values.flatten(0, 1), offsets=starts, mode="sum", per_sample_weights=weights
        )
        return bags.unflatten(0, (members, self.starts.shape[1]))


@dataclass(frozen=True, eq=False)
class RowPlan:
    """Indices of one block of rows; those of member m are shifted to m's part of flattened tables.

    Attributes
    ----------
    count
        Rows of the block.
    entries
        Rows of ``Forward.mix`` that a row adds up: slot by slot each head's, then its own.
    pairs
        Rows of ``Forward.scores`` at each position; None with alpha = 0.
    """

    count: int
    tables: Tables
    entries: Int[Tensor, "member row entry"]
    pairs: Int[Tensor, "member row position"] | None
    _entry_sums: _Sums
    _entry_rows: Int[Tensor, "member value"]
    _pair_sums: _Sums | None
    _groups: tuple[tuple[Tensor, Tensor], ...]

    def sum_entries(self, mixed: Tensor, weights: Tensor | None) -> Tensor:
        """Gradient of ``mix``: each of its rows gets those of the task's rows that read it."""
        return self._entry_sums(mixed, self._entry_rows, weights)

    def sum_scores(self, toward: Float[Tensor, "member row position head"]) -> Tensor:
        """Gradient of ``scores``, given that of each row's."""
        assert self._pair_sums is not None
        return self._pair_sums(toward.flatten(1, 2), None, None)

    def toward_weights(
        self, mixed: Float[Tensor, "member row column"], mix: Tensor, memory: int
    ) -> Float[Tensor, "member row slot head"]:
        """Gradient of the attention weights, <gradient of the row, row of the table>.

        Rows that share a slot's element meet the same rows of the table: one product an element,
        on rows gathered into equally long groups, as many at a time as ``memory`` bytes hold.
        """
        tables, members = self.tables, mix.shape[0]
        heads, n = tables.heads, tables.size
        flat = mixed.flatten(0, 1)
        own = mix[:, : heads * tables.slots * n].unflatten(1, (tables.slots, n, heads))
        out = mixed.new_empty(members, self.count, tables.slots, heads)
        for slot, (groups, where) in enumerate(self._groups):
            members_groups = groups[:members].flatten(0, 1)
            length = members_groups.shape[1]
            weights = own[:, slot].flatten(0, 1)
            products = mixed.new_empty(members * n, length, heads)
            step = max(1, memory // (length * flat.shape[1] * flat.element_size()))
            for lo in range(0, members * n, step):
                gathered = flat.index_select(0, members_groups[lo : lo + step].flatten())
                torch.bmm(
                    gathered.unflatten(0, (-1, length)),
                    weights[lo : lo + step].mT,
                    out=products[lo : lo + step],
                )
            out[:, :, slot] = embedding(where[:members], products.flatten(0, 1))
        return out


def plan_rows(tables: Tables, inputs: Int[Tensor, "row slot"], members: int) -> RowPlan:
    """Plan a block of rows for up to ``members`` members at a time.

    Parameters
    ----------
    tables
        Gives sizes and variants.
    inputs
        Elements of each row.
    members
        Members of a group.
    """
    k, n, heads, count = tables.slots, tables.size, tables.heads, len(inputs)
    device = inputs.device
    shift = torch.arange(members, device=device)[:, None, None]
    tokens = inputs + n * torch.arange(k, device=device)
    entries = (tokens[..., None] * heads + torch.arange(heads, device=device)).flatten(1)
    pairs = pair_sums = None
    groups = []
    if tables.alpha:
        entries = torch.cat([entries, heads * k * n + inputs[:, -1:]], 1)
        last = torch.zeros_like(inputs[:, -1:]) if tables.equals else inputs[:, -1:]
        if tables.equals:
            tokens = torch.nn.functional.pad(tokens, (0, 1), value=k * n)
        pair = last * tables.tokens + tokens
        total = (1 if tables.equals else n) * tables.tokens
        pair_sums = _Sums.of(pair.flatten(), total, members)
        pairs = pair + shift * total
        groups = [_groups(inputs[:, slot], n, members) for slot in range(k)]
    sums = _Sums.of(entries.flatten(), tables.entries, members)
    return RowPlan(
        count=count,
        tables=tables,
        entries=entries + shift * tables.entries,
        pairs=pairs,
        _entry_sums=sums,
        _entry_rows=sums.order // entries.shape[1],
        _pair_sums=pair_sums,
        _groups=tuple(groups),
    )


def _groups(elements: Tensor, n: int, members: int) -> tuple[Tensor, Tensor]:
    """Rows of each element, padded by row 0, (member, n, longest), and where each row went."""
    sizes = torch.bincount(elements, minlength=n)
    order = elements.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts[elements[order]]
    longest = int(sizes.max())
    where = elements * longest + rank
    rows = torch.zeros(n * longest, dtype=torch.int64, device=order.device)
    rows[where] = torch.arange(len(order), device=order.device)
    shift = torch.arange(members, device=order.device)[:, None]
    return (rows + shift * len(order)).unflatten(1, (n, longest)), where + shift * n * longest
