"""Task of a run's recipe, over the table that lies beside it."""

from __future__ import annotations

from pathlib import Path

from marginlens.groups import group, is_table_file
from marginlens.tasks import Task, name_of_elements, task, task_over
from marginlens.training.recipe import Recipe

__all__ = ["task_of_folder"]


def task_of_folder(recipe: Recipe, folder: Path) -> Task:
    """Return the recipe's task, over ``table.npy`` of the folder if it exists.

    Parameters
    ----------
    recipe
        Recipe of the run.
    folder
        Folder of the run.

    Raises
    ------
    ValueError
        If the task's name is unknown, the table is no group's, or that of a file is missing.
    """
    table = folder / "table.npy"
    if not table.is_file():
        if is_table_file(name_of_elements(recipe.task)):
            raise ValueError(
                f"the table of {recipe.task} is missing: expected table.npy in the run's folder"
            )
        return task(recipe.task)
    return task_over(recipe.task, group(table, name=name_of_elements(recipe.task)))
