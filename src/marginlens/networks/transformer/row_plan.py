"""Table rows that each row of a task reads, and the sums of their gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from marginlens.networks.transformer.tables import Tables

__all__ = ["RowPlan", "Sums", "plan_rows"]


@dataclass(frozen=True, eq=False)
class Sums:
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
    def of(cls, targets: Tensor, count: int, members: int) -> Sums:
        """Return sums of one value for each of ``targets``, into ``count`` of them."""
        ends = torch.bincount(targets, minlength=count).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        order = targets.argsort(stable=True)
        shift = torch.arange(members, device=targets.device)[:, None] * len(targets)
        return cls(order + shift, starts + shift)

    def __call__(self, values: Tensor, rows: Tensor | None, weights: Tensor | None) -> Tensor:
        """Sum values (member, value, column) into (member, target, column).

        With ``rows``, value i is row rows[i], times weights.flatten()[i] if weights are given.
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
class _Groups:
    """Rows that share an element, block by block of elements with about as many rows each.

    Attributes
    ----------
    blocks
        Elements, and rows (member, element, row of the element) padded by the first row.
    where
        Where each row is, with the blocks side by side.
    padded
        Rows of all blocks, with the padding.
    """

    blocks: tuple[tuple[Tensor, Tensor], ...]
    where: Int[Tensor, " row"]
    padded: int

    @classmethod
    def of(cls, elements: Tensor, n: int, members: int, together: int) -> _Groups:
        """Group rows with these ``elements``; a block holds about ``together`` of them."""
        sizes = torch.bincount(elements, minlength=n)
        order = elements.argsort(stable=True)
        starts = sizes.cumsum(0) - sizes
        shift = len(elements) * torch.arange(members, device=elements.device)[:, None, None]
        where = torch.empty_like(elements)
        blocks, padded = [], 0
        rest = sizes.argsort(descending=True, stable=True)[: int((sizes > 0).sum())]
        while len(rest):
            longest = int(sizes[rest[0]])
            some = max(1, together // (members * longest))
            chosen, rest = rest[:some], rest[some:]
            ranks = torch.arange(longest, device=elements.device)
            real = ranks < sizes[chosen, None]
            rows = order[starts[chosen, None] + ranks * real]
            places = padded + torch.arange(rows.numel(), device=rows.device).view_as(rows)
            where[rows[real]] = places[real]
            blocks.append((chosen, rows + shift))
            padded += rows.numel()
        return cls(tuple(blocks), where, padded)


@dataclass(frozen=True, eq=False)
class RowPlan:
    """Table indices of one block of rows, shifted to each member's part of flat tables.

    Attributes
    ----------
    count
        Number of rows of the block.
    entries
        Rows of ``Forward.mix`` that a row adds up: slot by slot each head's, then its own.
    pairs
        Rows of ``Forward.scores`` at each position; ``None`` with alpha = 0.
    """

    count: int
    tables: Tables
    entries: Int[Tensor, "member row entry"]
    pairs: Int[Tensor, "member row position"] | None
    _entry_sums: Sums
    _entry_rows: Int[Tensor, "member value"]
    _pair_sums: Sums | None
    _groups: tuple[_Groups, ...]

    def sum_entries(self, mixed: Tensor, weights: Tensor | None) -> Tensor:
        """Return the gradient of ``mix``: each row sums the gradients of the rows that read it."""
        return self._entry_sums(mixed, self._entry_rows, weights)

    def sum_scores(self, toward: Float[Tensor, "member row position head"]) -> Tensor:
        """Return the gradient of ``scores``, given that of each row."""
        assert self._pair_sums is not None
        return self._pair_sums(toward.flatten(1, 2), None, None)

    def toward_weights(
        self, mixed: Float[Tensor, "member row column"], mix: Tensor
    ) -> Float[Tensor, "member row slot head"]:
        """Return the gradient of the attention weights, <row gradient, table row>.

        Rows that share a slot's element meet the same rows of the table: one product an element,
        on rows gathered into equally long groups, some elements at a time.
        """
        tables, members = self.tables, mix.shape[0]
        heads, n = tables.heads, tables.size
        flat = mixed.flatten(0, 1)
        own = mix[:, : heads * tables.slots * n].unflatten(1, (tables.slots, n, heads))
        out = mixed.new_empty(members, self.count, tables.slots, heads)
        for slot, groups in enumerate(self._groups):
            products = mixed.new_empty(members, groups.padded, heads)
            lo = 0
            for elements, rows in groups.blocks:
                gathered = flat.index_select(0, rows[:members].flatten())
                gathered = gathered.view(members * len(elements), -1, flat.shape[1])
                weights = own[:, slot, elements].flatten(0, 1)
                product = torch.bmm(gathered, weights.mT).view(members, -1, heads)
                products[:, lo : lo + product.shape[1]] = product
                lo += product.shape[1]
            out[:, :, slot] = products.index_select(1, groups.where)
        return out


def plan_rows(
    tables: Tables, inputs: Int[Tensor, "row slot"], members: int, together: int
) -> RowPlan:
    """Plan a block of rows for up to ``members`` members at a time.

    Parameters
    ----------
    tables
        Gives sizes and variants.
    inputs
        Elements of each row.
    members
        Members of a group.
    together
        Rows that are worked on at a time, over all members.
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
        pair_sums = Sums.of(pair.flatten(), total, members)
        pairs = pair + shift * total
        groups = [_Groups.of(inputs[:, slot], n, members, together) for slot in range(k)]
    sums = Sums.of(entries.flatten(), tables.entries, members)
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
