"""The one table of groups on which every algebraic law is tested."""

import functools

import numpy as np

from marginlens.groups import FiniteGroup, group

# fmt: off
NAMES = (
    "C1", "C2", "C5", "C7", "C12", "C23", "C2xC2xC4", "D1", "D2", "D5", "D6", "Q8", "Q16", "Dic3",
    "SL(2,3)", "S3", "S4", "S5", "A4", "A5", "S3xC4", "Q8xC3", "Q8xQ8",
    "C12~1", "Q8~2", "S4~3", "SL(2,3)~4", "Q8xC3~5",  # ~: elements renumbered at random
)
# fmt: on


@functools.cache
def named(name: str) -> FiniteGroup:
    """A group of the table; "S4~3" is S4 renumbered with seed 3 (so 1 is not element 0)."""
    original, _, seed = name.partition("~")
    return relabelled(group(original), int(seed))[0] if seed else group(original)


def relabelled(original: FiniteGroup, seed: int) -> tuple[FiniteGroup, np.ndarray]:
    """The same group with its elements renumbered: new index of each old element."""
    new = np.random.default_rng(seed).permutation(original.order)
    old = np.argsort(new)
    return FiniteGroup(new[original.table[np.ix_(old, old)]], f"{original.name}~{seed}"), new
