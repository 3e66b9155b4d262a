"""From a spec such as `"S5"` or `"parity(10,4)"` to a task."""

from __future__ import annotations

import re

import numpy as np

from marginlens.groups import (
    CharacterTable,
    FiniteGroup,
    UnknownGroupError,
    group_or_characters,
)
from marginlens.tasks.task_types import Feature, Task

_GREATEST_BITS = 1000
_GREATEST_LISTED_BITS = 16  # 2^n rows
_GREATEST_FACTORS = 16
_GREATEST_LISTED = 1 << 22  # rows of a table


def task(spec: str | FiniteGroup | CharacterTable, *, inputs: int = 2) -> Task:
    """Return the task behind a spec.

    Parameters
    ----------
    spec
        A group, or what `groups.group` takes (`"C71"`, `"S5"`, `"S3xC4"`, generators, a table file):
        learn a·b from (a, b). Also `"M11"` and others known by their character table alone.
        `"compose(C7,3)"`: learn the product (here: sum) of three elements of C7.
        `"parity(10,4)"`: learn the product of the first 4 of 10 bits ±1.
    inputs
        Number of factors, if the spec is a group.

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
    >>> task("compose(C5,3)")
    Task(compose(C5,3), 125 rows, 5 classes)

    """
    if isinstance(spec, FiniteGroup | CharacterTable):
        return _table_task(spec, inputs)
    words = spec.strip()
    if not words.lower().endswith((".csv", ".npy")):  # a file may be called parity.csv
        if words.lower().startswith("parity"):
            return _parse_parity(words)
        if words.lower().startswith("compose"):
            return _parse_compose(words)
    return _table_task(_learned(words), inputs)


def _learned(words: str) -> FiniteGroup | CharacterTable:
    try:
        return group_or_characters(words)
    except UnknownGroupError:
        raise ValueError(
            f"unknown task {words[:60]!r}; write a group, e.g. C12, D5, S5, A5, Q8, Dic3, SL(2,3), "
            "S3xC4, <(1,2,3),(1,2)>, SmallGroup(24,3), a path to a table (.csv or .npy), several "
            "factors, e.g. compose(C7,3), or a parity, e.g. parity(10,4)"
        ) from None


def _parse_compose(spec: str) -> Task:
    match = re.fullmatch(r"compose\((.+),\s*(\d{1,9})\s*\)", spec, flags=re.ASCII | re.IGNORECASE)
    if match is None:
        raise ValueError(
            f"{spec[:60]!r} is not a composition; write compose(group,factors), e.g. compose(C7,3)"
        )
    inside = match.group(1).strip()
    if re.match(r"(compose|parity)\s*\(", inside, flags=re.IGNORECASE):
        raise ValueError(
            f"{spec[:60]!r}: factors are elements of a group, and {inside[:60]} is a task; "
            "write e.g. compose(C7,3)"
        )
    return _table_task(_learned(inside), int(match.group(2)))


def _table_task(learned: FiniteGroup | CharacterTable, inputs: int) -> Task:
    n = learned.order
    if n == 1:
        raise ValueError(
            f"{learned.name} is the trivial group: there is nothing to learn; "
            "a task needs a group of order at least 2, e.g. C12"
        )
    if not 1 <= inputs <= _GREATEST_FACTORS:
        raise ValueError(
            f"compose({learned.name},{inputs}): {inputs} factors; "
            f"expected 1 to {_GREATEST_FACTORS}, e.g. compose({learned.name},3)"
        )
    if isinstance(learned, FiniteGroup):
        known, characters = learned, learned.character_table
    else:
        known, characters = None, learned
    unlisted = ""
    if known is None:
        unlisted = f"only the character table is known (order {n})"
    elif n**inputs > _GREATEST_LISTED:
        unlisted = f"its table would have {n}^{inputs} rows"
    return Task(
        name=learned.name if inputs == 2 else f"compose({learned.name},{inputs})",
        kind="table",
        inputs=_all_rows(n, 0 if unlisted else inputs),
        answers=np.zeros(0, dtype=np.int64)
        if known is None or unlisted
        else _products(known, inputs),
        classes=n,
        slots=_slot_names(inputs),
        size=n,
        features=tuple(Feature(irrep.name, n, irrep=irrep) for irrep in learned.irrep_classes[1:]),
        characters=characters,
        group=known,
        unlisted=unlisted,
    )


def _slot_names(inputs: int) -> tuple[str, ...]:
    if inputs <= 2:
        return ("u", "v")[:inputs]
    return tuple(f"u{index + 1}" for index in range(inputs))


def _all_rows(n: int, inputs: int) -> np.ndarray:
    """All tuples of elements, the last one fastest; none without inputs."""
    if inputs == 0:
        return np.zeros((0, 0), dtype=np.int64)
    return np.indices((n,) * inputs).reshape(inputs, -1).T.copy()


def _products(learned: FiniteGroup, inputs: int) -> np.ndarray:
    products = np.arange(learned.order)
    for _ in range(inputs - 1):
        products = learned.table[products].reshape(-1)
    return products


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
        raise ValueError(f"{name}: {bits} bits; expected 1 to {_GREATEST_BITS}, e.g. parity(10,4)")
    if subset > bits:
        raise ValueError(
            f"{name}: the subset has {subset} of only {bits} bits; write "
            + (f"parity({subset},{bits})" if subset <= _GREATEST_BITS else "e.g. parity(10,4)")
        )
    if subset < 1:
        raise ValueError(f"{name}: the subset needs at least 1 bit, e.g. parity(10,4)")
    listed = bits <= _GREATEST_LISTED_BITS
    rows = np.arange(2**bits if listed else 0)
    flipped = rows[:, None] >> np.arange(bits if listed else 0)[::-1] & 1
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
        unlisted="" if listed else f"its table would have 2^{bits} rows",
    )
