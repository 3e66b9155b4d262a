"""Requests for trainings: fields of a form to task, recipe and prediction."""

from __future__ import annotations

from collections.abc import Mapping

from marginlens.explorer.form_values import Tables, asked_task
from marginlens.runs.pipeline import Plan, plan

__all__ = ["asked"]


def asked(recipe_fields: Mapping[str, object], tables: Tables) -> Plan:
    """Return task, recipe and prediction for the fields of a form.

    Parameters
    ----------
    recipe_fields
        ``task``, and any other field of :class:`marginlens.training.Recipe`; fields that are None or
        missing get the task's defaults.
    tables
        Cayley tables that visitors uploaded.

    Raises
    ------
    ValueError
        If they are impossible, or the task is a file: the browser is not to read any.

    Examples
    --------
    >>> asked({"task": "C5", "width": 20, "steps": None}, Tables()).recipe.width
    20
    >>> asked({"task": "/home/somebody/table.csv"}, Tables())
    Traceback (most recent call last):
    ...
    ValueError: expected a task's name, got a path; upload the table instead
    """
    fields = {name: value for name, value in recipe_fields.items() if value is not None}
    spec = fields.pop("task", "")
    chosen = asked_task(spec if isinstance(spec, str) else "", tables)
    if not fields.get("online"):
        chosen.require_rows()
    return plan(chosen, **fields)
