"""Logits alone, in an .npz file: of any network or function."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.parts import take, task_of_order
from marginlens.groups import FiniteGroup
from marginlens.tasks import Task, task

__all__ = ["NPZ"]


def _read(file: File, choices: Choices) -> Foreign:
    given = file.tensors.get("logits")
    if given is None:
        raise ValueError(f"{file.name} has no array 'logits' of shape (a, b, c)")
    classes = given.shape[-1] if given.ndim else 0
    if given.ndim == 2:
        logits = take(file.tensors, "logits", classes * classes, classes)
    else:
        logits = take(file.tensors, "logits", classes, classes, classes)
    return Foreign(
        "npz", _task(file.tensors, classes, choices), logits.reshape(-1, classes).numpy()
    )


def _task(tensors: Mapping[str, Tensor], order: int, choices: Choices) -> Task:
    if "table" not in tensors:
        return task_of_order(order, choices)
    table = take(tensors, "table", order, order).numpy()
    if not np.array_equal(table, table.astype(np.int64)):
        raise ValueError("table holds numbers that are no elements; expected 0 to its order - 1")
    return task(FiniteGroup(table.astype(np.int64), choices.group or "table"))


NPZ = Format(
    "npz", "an array 'logits' (a, b, c), and a Cayley table 'table' if the group is not C_n",
    frozenset({"logits"}), _read,
)  # fmt: skip
