"""Construction of a task from a spec such as `"S5"` or `"parity(10,4)"`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.groups import (
    GREATEST_ORDER,
    CharacterTable,
    FiniteGroup,
    UnknownGroupError,
    group,
    group_or_characters,
    is_generated,
    is_table_file,
    plain_text,
)
from marginlens.tasks.addition import addition
from marginlens.tasks.operations import Operation, operation, split_operation
from marginlens.tasks.rows import GREATEST_LISTED, all_rows, slot_names
from marginlens.tasks.task_types import Feature, Spec, Task

_GREATEST_BITS = 1000
_GREATEST_LISTED_BITS = 16  # 2^n rows
_GREATEST_FACTORS = 16
_MADE = re.compile(r"(compose|parity|random|addition)\s*\(", flags=re.IGNORECASE)


def task_of(spec: Spec | Task, *, factors: int = 2, named: str | None = None) -> Task:
    """Return the task of a spec, a table file, a group, or a Cayley table.

    Parameters
    ----------
    spec
        Spec as for `task`; a Task is returned unchanged.
    factors
        Number of factors of the product, if the spec is a group.
    named
        Name for the group of an array or a file; by default `table`, or the file's name.

    Raises
    ------
    MarginLensError
        The spec is invalid as for `task`, or `named` is given for a spec with a name.
    """
    if isinstance(spec, Task):
        return spec
    if isinstance(spec, Path) or (named is not None and isinstance(spec, str)):
        if isinstance(spec, str) and not is_table_file(spec):
            raise MarginLensError(
                f"expected a name for a file or an array only, got {named!r} for {spec!r}"
            )
        return _table_task(group(str(spec), name=named), factors)
    if isinstance(spec, str | FiniteGroup | CharacterTable):
        return task(spec, inputs=factors)
    if spec is None or callable(spec):
        raise MarginLensError(
            f"expected a task such as 'S5', a table or a group, got {type(spec).__name__}"
        )
    return _table_task(group(spec, name=named), factors)


def task(spec: Spec, *, inputs: int = 2) -> Task:
    """Return the task of a spec.

    Parameters
    ----------
    spec
        Group, in any form that `groups.group` accepts (`"C71"`, `"S5"`, `"S3xC4"`, generators, a
        table file): learn a·b from (a, b). Also `"M11"` and others with a character table only.
        `"compose(C7,3)"`: learn the product (here: sum) of three elements of C7.
        `"parity(10,4)"`: learn the product of the first 4 of 10 bits ±1.
        `"x^2+xy+y^2 mod 97"`, `"x/y mod 97"`, `"x/y if y odd else x-y mod 97"`, `"xyx^-1 in S5"`: a
        binary operation, see `operation`.
        `"random(97,0)"`: a table of random answers from seed 0.
        `"addition(10,2)"`: the digits of sums of numbers of up to two digits, see `addition`.
    inputs
        Number of factors of the product, if the spec is a group.

    Raises
    ------
    MarginLensError
        The spec is unknown, the group is unreadable or trivial, or the bits are invalid.

    Examples
    --------
    >>> c5 = task("C5")
    >>> c5.inputs[7].tolist(), int(c5.answers[7]), [feature.name for feature in c5.features]
    ([1, 2], 3, ['k=1', 'k=2'])
    >>> task("parity(4,2)")
    Task(parity(4,2), 16 rows, 2 classes)
    >>> task("compose(C5,3)")
    Task(compose(C5,3), 125 rows, 5 classes)
    >>> task("a/b (mod 97)")
    Task(x/y mod 97, 9312 rows, 97 classes)
    """
    if isinstance(spec, FiniteGroup | CharacterTable):
        return _table_task(spec, inputs)
    if not isinstance(spec, str):
        return task_of(spec, factors=inputs)
    words = spec.strip()
    if not is_table_file(words):  # a file may be called parity.csv
        words = words if is_generated(words) else plain_text(words)
        for start, parse in (
            ("parity", _parse_parity),
            ("compose", _parse_compose),
            ("random", _parse_random),
            ("addition", _parse_addition),
        ):
            if words.lower().startswith(start):
                return parse(words)
    parts = None if _is_there(words) else split_operation(words)
    if parts is not None:
        return _parse_operation(*parts)
    return _table_task(_learned(words), inputs)


def _is_there(words: str) -> bool:
    """Return whether a spec is the path of an existing table file."""
    try:
        return is_table_file(words) and Path(words).is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def task_over(name: str, elements: FiniteGroup) -> Task:
    """Return the task of a name over a given group.

    Parameters
    ----------
    name
        `Task.name` of a task with `elements`; the name alone need not determine the group.
    elements
        Group of the inputs and answers, `Task.elements` of that task.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> task_over("compose(mine,3)", group("S3", name="mine"))
    Task(compose(mine,3), 216 rows, 6 classes)
    """
    if name == elements.name:
        return _table_task(elements, 2)
    if (match := re.fullmatch(r"compose\((.*),(\d+)\)", name)) is not None:
        return _table_task(elements, int(match[2]))
    parts = split_operation(name)
    if parts is None:
        return _table_task(elements, 2)
    if parts[1] == "mod":
        return task(name)
    return operation_task(operation(parts[0], elements))


def name_of_elements(name: str) -> str:
    """Return the name of the group in a task's name.

    Parameters
    ----------
    name
        Name of a task over a group.

    Examples
    --------
    >>> [name_of_elements(name) for name in ("mine", "compose(mine,3)", "xyx^-1 in mine")]
    ['mine', 'mine', 'mine']
    """
    if (match := re.fullmatch(r"compose\((.*),(\d+)\)", name)) is not None:
        return match[1]
    parts = split_operation(name)
    return name if parts is None or parts[1] == "mod" else parts[2]


def _learned(words: str) -> FiniteGroup | CharacterTable:
    try:
        return group_or_characters(words)
    except UnknownGroupError as error:
        near = f"did you mean {error.suggestion}? " if error.suggestion else ""
        raise MarginLensError(
            f"unknown task {words[:60]!r}; {near}expected a group, a table file, an operation, "
            "random, addition or parity; for example S3xC4, group.csv, compose(C7,3), x/y mod "
            "97, xyx^-1 in S5, random(97,0), addition(10,2) or parity(10,4)"
        ) from None


def _parse_compose(spec: str) -> Task:
    match = re.fullmatch(r"compose\((.+),\s*(\d{1,9})\s*\)", spec, flags=re.ASCII | re.IGNORECASE)
    if match is None:
        raise MarginLensError(
            f"expected compose(group,factors), got {spec[:60]!r}; for example compose(C7,3)"
        )
    inside = match.group(1).strip()
    if not _is_there(inside) and (_MADE.match(inside) or split_operation(inside) is not None):
        raise MarginLensError(
            f"{spec[:60]!r}: expected a group, got the task {inside[:60]}; for example "
            "compose(C7,3)"
        )
    return _table_task(_learned(inside), int(match.group(2)))


def _table_task(learned: FiniteGroup | CharacterTable, inputs: int) -> Task:
    n = learned.order
    if n == 1:
        raise MarginLensError(
            f"expected a group of order at least 2, got the trivial group {learned.name}; for "
            "example C12"
        )
    if not 1 <= inputs <= _GREATEST_FACTORS:
        raise MarginLensError(
            f"compose({learned.name},{inputs}): expected 1 to {_GREATEST_FACTORS} factors, got "
            f"{inputs}; for example compose({learned.name},3)"
        )
    if isinstance(learned, FiniteGroup):
        known, characters = learned, learned.character_table
    else:
        known, characters = None, learned
    unlisted = ""
    if known is None:
        unlisted = f"only the character table is known (order {n})"
    elif n**inputs > GREATEST_LISTED:
        unlisted = f"its table would have {n}^{inputs} rows"
    return Task(
        name=learned.name if inputs == 2 else f"compose({learned.name},{inputs})",
        kind="table",
        inputs=all_rows(n, 0 if unlisted else inputs),
        answers=np.zeros(0, dtype=np.int64)
        if known is None or unlisted
        else _products(known, inputs),
        classes=n,
        slots=slot_names(inputs),
        size=n,
        features=_features(learned),
        characters=characters,
        group=known,
        elements=known,
        unlisted=unlisted,
    )


def _parse_operation(formula: str, preposition: str, elements: str) -> Task:
    if preposition == "in":
        return operation_task(operation(formula, group(elements)))
    if re.fullmatch(r"\d{1,9}", elements, flags=re.ASCII) is None:
        raise MarginLensError(
            f"expected a modulus of at least 2, got {elements[:30]!r}; for example "
            f"{formula[:60] or 'x/y'} mod 97"
        )
    return operation_task(operation(formula, int(elements)))


def operation_task(made: Operation) -> Task:
    """Return the task of a binary operation, or of the group if it is the group's product.

    Parameters
    ----------
    made
        Operation with its rows and answers.

    Examples
    --------
    >>> operation_task(operation("xy", 11))
    Task(xy mod 11, 121 rows, 11 classes)
    """
    learned = made.elements
    if made.is_product:
        return replace(_table_task(learned, 2), name=made.name)
    return Task(
        name=made.name,
        kind="table",
        inputs=made.inputs,
        answers=made.answers,
        classes=learned.order,
        slots=slot_names(2),
        size=learned.order,
        features=_features(learned),
        elements=learned,
    )


def _parse_random(spec: str) -> Task:
    n, seed = _two_numbers(spec, "random(n,seed)", "random(97,0)")
    name = f"random({n},{seed})"
    if not 2 <= n <= GREATEST_ORDER:
        raise MarginLensError(
            f"{name}: expected 2 to {GREATEST_ORDER} elements, got {n}; for example random(97,0)"
        )
    return Task(
        name=name,
        kind="table",
        inputs=all_rows(n, 2),
        answers=np.random.default_rng(seed).integers(n, size=n * n),
        classes=n,
        slots=slot_names(2),
        size=n,
        features=(),
    )


def _parse_addition(spec: str) -> Task:
    base, digits = _two_numbers(spec, "addition(base,digits)", "addition(10,2)")
    rows = addition(base, digits)
    return Task(
        name=f"addition({base},{digits})",
        kind="table",
        inputs=rows.inputs,
        answers=rows.answers,
        classes=base,
        slots=slot_names(2 * digits + 1),
        size=base + digits + 1,
        features=(),
        lengths=rows.lengths,
    )


def _two_numbers(spec: str, form: str, good: str) -> tuple[int, int]:
    """Return the two numbers of a spec such as random(97,0)."""
    name = form.partition("(")[0]
    match = re.fullmatch(
        name + r"\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)", spec, flags=re.ASCII | re.IGNORECASE
    )
    if match is None:
        raise MarginLensError(f"expected {form}, got {spec[:60]!r}; for example {good}")
    return int(match.group(1)), int(match.group(2))


def _features(learned: FiniteGroup | CharacterTable) -> tuple[Feature, ...]:
    return tuple(
        Feature(irrep.name, learned.order, irrep=irrep) for irrep in learned.irrep_classes[1:]
    )


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
        raise MarginLensError(
            f"expected parity(bits,subset), got {spec[:60]!r}; for example parity(10,4)"
        )
    return _parity_task(int(match.group(1)), int(match.group(2)))


def _parity_task(bits: int, subset: int) -> Task:
    name = f"parity({bits},{subset})"
    if not 1 <= bits <= _GREATEST_BITS:
        raise MarginLensError(
            f"{name}: expected 1 to {_GREATEST_BITS} bits, got {bits}; for example parity(10,4)"
        )
    if subset > bits:
        raise MarginLensError(
            f"{name}: the subset has {subset} of only {bits} bits; write "
            + (f"parity({subset},{bits})" if subset <= _GREATEST_BITS else "e.g. parity(10,4)")
        )
    if subset < 1:
        raise MarginLensError(
            f"{name}: expected a subset of at least 1 bit, got {subset}; for example parity(10,4)"
        )
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
