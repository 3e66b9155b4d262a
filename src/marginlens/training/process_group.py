"""One training on many processes: they share the rows, and add their sums up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from marginlens.networks import Evaluation, SoftMarginSums

__all__ = ["Ranks", "process_group"]


@dataclass(frozen=True)
class Ranks:
    """One process among those that train a network together; alone by default."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Return the rank in PyTorch's default group, where there is one."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def add_up(self, evaluation: Evaluation, gradients: dict[str, Tensor] | None) -> Evaluation:
        """Sums over all processes, in place for the gradients; the least of the margins.

        Each process's means are over the whole table, of its own rows alone, so they add up.
        """
        if self.world == 1:
            return evaluation
        if gradients is not None:
            _add_up(gradients)
        means = [evaluation.cross_entropy, evaluation.accuracy]
        sums = torch.stack(means if evaluation.other is None else [*means, evaluation.other])
        dist.all_reduce(sums)
        margin = evaluation.margin.clone()
        dist.all_reduce(margin, dist.ReduceOp.MIN)
        return Evaluation(sums[0], sums[1], margin, None if evaluation.other is None else sums[2])

    def join(self, sums: SoftMarginSums, gradients: dict[str, Tensor]) -> None:
        """Add sums of exp(-beta margin) up over all processes, and the gradients, in place."""
        if self.world == 1:
            return
        reference = sums.reference.clone()
        dist.all_reduce(reference, dist.ReduceOp.MAX)
        sums.rebase(reference, gradients)
        _add_up(gradients)
        dist.all_reduce(sums.total)
        dist.all_reduce(sums.margin, dist.ReduceOp.MIN)
        for more in (sums.adversary, sums.squares):
            if more is not None:
                dist.all_reduce(more)

    def any(self, mine: bool) -> bool:
        """Whether it is so on any process: all of them stop, or none."""
        if self.world == 1:
            return mine
        flag = torch.tensor(int(mine))
        if dist.get_backend() == "nccl":
            flag = flag.cuda()
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)


def _add_up(gradients: dict[str, Tensor]) -> None:
    """Sum gradients over all processes, in place."""
    flat = torch.cat([g.flatten() for g in gradients.values()])
    dist.all_reduce(flat)
    lo = 0
    for gradient in gradients.values():
        gradient.copy_(flat[lo : lo + gradient.numel()].view_as(gradient))
        lo += gradient.numel()


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, if it did; gloo on CPUs, nccl on GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield Ranks.here()
        return
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Ranks.here()
    finally:
        dist.destroy_process_group()
