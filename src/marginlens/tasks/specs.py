"""From a spec such as `"S5"` or `"parity(10,4)"` to a task."""

from __future__ import annotations

import re

import numpy as np

from marginlens.groups import FiniteGroup, UnknownGroupError, group
from marginlens.tasks.task_types import Feature, Task

_GREATEST_BITS = 16  # all 2^n inputs are listed


def task(spec: str | FiniteGroup) -> Task:
    """Return the task behind a spec.

    Parameters
    ----------
    spec
        A group or its name (`"C71"`, `"S5"`, `"S3xC4"`, a table file): learn a·b from (a, b).
        `"parity(10,4)"`: learn the product of the first 4 of 10 bits ±1.

    Raises
    ------
    ValueError
        Unknown spec, a group that cannot be read, the trivial group, or impossible bits.

    Examples
    --------
    >>> c5 = task("C5")
    >>> c5.inputs[7].tolist(), int(c5.answers[7]), [feature.name for feature in c5.features]
    ([1, 2], 3, ['k=1', 'k=2'])
    >>> task("parity(4,2)")
    Task(parity(4,2), 16 rows, 2 classes)

    """
    if isinstance(spec, FiniteGroup):
        return _table_task(spec)
    if spec.strip().lower().startswith("parity"):
        return _parse_parity(spec.strip())
    try:
        return _table_task(group(spec))
    except UnknownGroupError:
        raise ValueError(
            f"unknown task {spec[:60]!r}; write a group, e.g. C12, D5, S5, A5, Q8, Dic3, SL(2,3), "
            "S3xC4, a path to a table (.csv or .npy), or a parity, e.g. parity(10,4)"
        ) from None


def _table_task(learned: FiniteGroup) -> Task:
    n = learned.order
    if n == 1:
        raise ValueError(
            f"{learned.name} is the trivial group: there is nothing to learn; "
            "a task needs a group of order at least 2, e.g. C12"
        )
    return Task(
        name=learned.name,
        kind="table",
        inputs=np.stack(np.divmod(np.arange(n * n), n), axis=1),
        answers=learned.table.reshape(-1),
        classes=n,
        slots=("u", "v"),
        size=n,
        features=tuple(Feature(irrep.name, n, irrep=irrep) for irrep in learned.irrep_classes[1:]),
        group=learned,
    )


def _parse_parity(spec: str) -> Task:
    match = re.fullmatch(
        r"parity\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)", spec, flags=re.ASCII | re.IGNORECASE
    )
    if match is None:
        raise ValueError(
            f"{spec[:60]!r} is not a parity; write parity(bits,subset), e.g. parity(10,4)"
        )
    return _parity_task(int(match.group(1)), int(match.group(2)))


def _parity_task(bits: int, subset: int) -> Task:
    name = f"parity({bits},{subset})"
    if not 1 <= bits <= _GREATEST_BITS:
        raise ValueError(
            f"{name}: {bits} bits; expected 1 to {_GREATEST_BITS} (all 2^bits inputs are listed), "
            "e.g. parity(10,4)"
        )
    if subset > bits:
        raise ValueError(
            f"{name}: the subset has {subset} of only {bits} bits; write "
            + (f"parity({subset},{bits})" if subset <= _GREATEST_BITS else "e.g. parity(10,4)")
        )
    if subset < 1:
        raise ValueError(f"{name}: the subset needs at least 1 bit, e.g. parity(10,4)")
    rows = np.arange(2**bits)
    flipped = rows[:, None] >> np.arange(bits)[::-1] & 1
    return Task(
        name=name,
        kind="parity",
        inputs=1.0 - 2.0 * flipped,
        answers=flipped[:, :subset].sum(axis=1) % 2,
        classes=2,
        slots=("u",),
        size=bits,
        features=tuple(Feature(f"x{j + 1}", bits, coordinate=j) for j in range(bits)),
        subset=tuple(range(subset)),
    )
