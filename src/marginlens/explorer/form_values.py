"""Validation of form values: tasks and numbers that visitors type."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from marginlens.groups import TABLE_SUFFIXES, is_group_name
from marginlens.tasks import Task, split_operation, task

if TYPE_CHECKING:
    from marginlens.groups import FiniteGroup

__all__ = [
    "GREATEST_OFFERED",
    "UPLOADED",
    "Tables",
    "asked_number",
    "asked_task",
    "asked_whole",
    "not_a_path",
]

GREATEST_OFFERED = 150
"""Greatest order of a group whose training Predict offers; larger ones train too slowly to watch."""

_LONGEST = 200
_FILES = re.compile(
    rf"(?:{'|'.join(map(re.escape, TABLE_SUFFIXES))})(?![a-z0-9])", flags=re.IGNORECASE
)
UPLOADED = "table:"
"""Prefix of the names of uploaded tables."""


class Tables:
    """Cayley tables that visitors uploaded; the latest few are kept in memory.

    Parameters
    ----------
    kept
        Largest number of tables that are kept.
    """

    def __init__(self, *, kept: int = 32) -> None:
        self._kept = kept
        self._groups: OrderedDict[str, FiniteGroup] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, group: FiniteGroup) -> str:
        """Store a group; return the task name that refers to it on this site."""
        content = np.ascontiguousarray(group.table, dtype="<i8").tobytes()
        token = hashlib.sha256(content).hexdigest()[:12]
        with self._lock:
            self._groups[token] = group
            self._groups.move_to_end(token)
            while len(self._groups) > self._kept:
                self._groups.popitem(last=False)
        return UPLOADED + token

    def get(self, spec: str) -> FiniteGroup:
        """Return the group for a task name that :meth:`add` returned.

        Raises
        ------
        ValueError
            If the table is no longer in memory.
        """
        with self._lock:
            found = self._groups.get(spec.removeprefix(UPLOADED))
        if found is None:
            raise ValueError(f"the table {spec!r} is no longer in memory; upload the file again")
        return found


def asked_task(spec: str | None, tables: Tables) -> Task:
    """Return the task that a visitor typed; paths are refused, so no local file is read.

    Parameters
    ----------
    spec
        Task name for :func:`marginlens.tasks.task`, but not a path; or the name of an uploaded table.
    tables
        Cayley tables that visitors uploaded.

    Raises
    ------
    ValueError
        In one line with a valid example, if the name is empty, too long, unknown or a path.

    Examples
    --------
    >>> asked_task("S3", Tables())
    Task(S3, 36 rows, 6 classes)
    >>> asked_task("/tmp/group.csv", Tables())
    Traceback (most recent call last):
    ...
    ValueError: expected a task's name, got a path; upload the table instead
    """
    words = (spec or "").strip()
    if not words:
        raise ValueError("type a task, such as C23, S4, A5, SL(2,3), S3xC4 or parity(10,4)")
    if len(words) > _LONGEST:
        raise ValueError(
            f"expected a task of at most {_LONGEST} characters, got {len(words)}; upload a table instead"
        )
    if words.startswith(UPLOADED):
        return task(tables.get(words))
    return task(not_a_path(words))


def not_a_path(words: str) -> str:
    """Return the typed text, if it is not a path.

    Raises
    ------
    ValueError
        If the text is the path of a file.

    Examples
    --------
    >>> not_a_path("x/y mod 97"), not_a_path("Z/5")
    ('x/y mod 97', 'Z/5')
    """
    parts = split_operation(words)
    elements = words if parts is None else parts[2]
    made = re.fullmatch(r"compose\s*\((.*),[^,]*\)", elements.strip(), flags=re.IGNORECASE)
    elements = elements if made is None else made[1]
    slashes = "/" in elements or "\\" in elements
    is_named = elements.startswith("<") or is_group_name(elements)
    if _FILES.search(words) or "\\" in words or (slashes and not is_named):
        raise ValueError("expected a task's name, got a path; upload the table instead")
    return words


def asked_number(
    text: str | None, name: str, *, least: float = 0.0, usual: float | None = None
) -> float | None:
    """Return the typed number, at least ``least`` and finite, or ``usual`` for empty text.

    Raises
    ------
    ValueError
        If the text is not such a number; the message quotes it.

    Examples
    --------
    >>> asked_number("1e-4", "the strength"), asked_number("", "the strength", usual=0.0)
    (0.0001, 0.0)
    """
    words = (text or "").strip()
    if not words:
        return usual
    try:
        value = float(words)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value) or value < least:
        raise ValueError(
            f"{name} must be a number of at least {least:g}, such as 1e-4; got {words!r}"
        )
    return value


def asked_whole(
    text: str | None, name: str, *, least: int, most: int, usual: int | None = None
) -> int | None:
    """Return the typed whole number in ``least`` to ``most``, or ``usual`` for empty text.

    Raises
    ------
    ValueError
        If the text is not such a number; the message quotes it.

    Examples
    --------
    >>> asked_whole("12", "the width", least=1, most=100)
    12
    """
    words = (text or "").strip()
    if not words:
        return usual
    value = int(words) if words.isdecimal() and len(words) < 12 else least - 1
    if not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}; got {words!r}")
    return value
