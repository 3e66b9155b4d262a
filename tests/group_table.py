"""The one table of groups on which every algebraic law is tested."""

import functools

import numpy as np

from marginlens.groups import FiniteGroup, group

# fmt: off
NAMES = (
    "C2", "C5", "C7", "C12", "C23", "D1", "D2", "D5", "D6", "Q8", "Q16", "Dic3", "SL(2,3)",
    "S3", "S4", "S5", "A4", "A5", "S3xC4", "Q8xC3", "Q8xQ8",
)
# fmt: on


@functools.cache
def named(name: str) -> FiniteGroup:
    return group(name)


def relabelled(original: FiniteGroup, seed: int) -> tuple[FiniteGroup, np.ndarray]:
    """The same group with its elements renumbered: new index of each old element."""
    new = np.random.default_rng(seed).permutation(original.order)
    old = np.argsort(new)
    return FiniteGroup(new[original.table[np.ix_(old, old)]], f"{original.name}~"), new
