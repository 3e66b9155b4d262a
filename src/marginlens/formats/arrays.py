"""Logits in plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.answered_operation import settled
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.reading import take, task_of_order
from marginlens.groups import FiniteGroup
from marginlens.tasks import Task, task

__all__ = ["NPZ"]


def _read(file: File, choices: Choices) -> Foreign:
    given = file.tensors.get("logits")
    if given is None:
        raise MarginLensError(f"{file.name}: expected an array 'logits' of shape (a, b, c)")
    classes = given.shape[-1] if given.ndim else 0
    _require_shape(tuple(given.shape))
    logits = take(file.tensors, "logits", *given.shape)
    learned = _task(file.tensors, classes, choices)
    learned.require_rows()
    rows = learned.inputs @ np.array([classes, 1])  # an operation may be undefined for some pairs
    found = Foreign("npz", learned, logits.reshape(-1, classes).numpy()[rows])
    return settled(found, choices, stated="table" in file.tensors)


def _require_shape(shape: tuple[int, ...]) -> None:
    """Refuse logits that are not of every pair (a, b) and every class."""
    n = shape[0] if len(shape) == 3 else math.isqrt(shape[0]) if len(shape) == 2 else 0
    if n > 1 and shape in ((n, n, n), (n * n, n)):
        return
    more = n > 1 and shape in ((n, n, n + 1), (n * n, n + 1))
    hint = (
        f"leave out the class of the equals sign: logits[..., :{n}]"
        if more
        else "expected (n, n, n), or (n*n, n) with row a*n + b, for example (5, 5, 5)"
    )
    raise MarginLensError(f"logits has shape {shape}; {hint}")


def _task(tensors: Mapping[str, Tensor], order: int, choices: Choices) -> Task:
    if "table" not in tensors:
        return task_of_order(order, choices)
    table = take(tensors, "table", order, order).numpy()
    if not np.array_equal(table, table.astype(np.int64)):
        raise MarginLensError("expected elements from 0 to the order - 1 in the table")
    return task(FiniteGroup(table.astype(np.int64), choices.group or "table"))


NPZ = Format(
    "npz",
    "an array 'logits' (a, b, c), and a Cayley table 'table' if the group is not C_n",
    frozenset({"logits"}),
    _read,
)
