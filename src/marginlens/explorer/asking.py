"""What a page asks to be trained: from fields of a form to a task and a recipe."""

from __future__ import annotations

from collections.abc import Mapping

from marginlens.tasks import Task, task
from marginlens.training import Recipe, check_trainable, recipe_for

__all__ = ["asked"]


def asked(recipe_fields: Mapping[str, object]) -> tuple[Task, Recipe]:
    """Return the task and the recipe that a page asks for.

    Parameters
    ----------
    recipe_fields
        ``task``, and any other field of :class:`marginlens.training.Recipe`; what is None or left out
        suits the task.

    Raises
    ------
    ValueError
        If they are impossible, or the task is a file: the browser is not to read any.

    Examples
    --------
    >>> asked({"task": "C5", "width": 20, "steps": None})[1].width
    20
    >>> asked({"task": "/home/somebody/table.csv"})
    Traceback (most recent call last):
    ...
    ValueError: files of tables are not read from the browser: ...
    """
    fields = {name: value for name, value in recipe_fields.items() if value is not None}
    spec = fields.pop("task", "")
    if not isinstance(spec, str) or not spec.strip():
        raise ValueError("say what to train: a task such as C23, S5 or parity(10,4)")
    if ".csv" in spec.lower() or ".npy" in spec.lower():
        raise ValueError(
            "files of tables are not read from the browser: marginlens train "
            f"{spec[:80].strip()!r} does that, or choose a group such as C23"
        )
    chosen = task(spec)
    if not fields.get("online"):
        chosen.require_rows()
    recipe = recipe_for(chosen, **fields)
    check_trainable(chosen, recipe)
    return chosen, recipe
