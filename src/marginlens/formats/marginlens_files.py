"""Networks that this program trained: parameters with the recipe beside them."""

from __future__ import annotations

from typing import NoReturn

from marginlens.errors import MarginLensError
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign
from marginlens.formats.reading import finished, take
from marginlens.training import Recipe, initial_network, trained_rows
from marginlens.training.task_of_folder import task_of_folder

__all__ = ["is_own", "read_own", "require_own_choices"]

_METADATA = frozenset({"stopped", "end_steps"})
_RECIPE = "recipe.toml"
_FILES = ("parameters", "snapshots", "checkpoint", "checkpoint.previous")


def is_own(file: File) -> bool:
    """Return whether this package wrote the file into a run's folder.

    Parameters
    ----------
    file
        File of a network.
    """
    beside = (file.path.parent / _RECIPE).is_file() and file.path.suffix == ".safetensors"
    return set(file.metadata) >= _METADATA or (beside and file.path.stem in _FILES)


def read_own(file: File) -> Foreign:
    """Read member 0 of a run's parameters by the recipe, and the table, beside them.

    Parameters
    ----------
    file
        ``parameters.safetensors`` of a run, in its folder.

    Raises
    ------
    ValueError
        If the recipe is missing or does not fit, a weight is not finite, or the file holds a checkpoint
        or snapshots.
    """
    if file.path.stem in ("checkpoint", "checkpoint.previous", "snapshots") and not (
        set(file.metadata) >= _METADATA
    ):
        _refuse_other(file)
    recipe_file = file.path.parent / _RECIPE
    if not recipe_file.is_file():
        raise MarginLensError(_without_recipe(file))
    try:
        recipe = Recipe.from_toml(recipe_file.read_text())
        chosen = task_of_folder(recipe, file.path.parent)
        like = initial_network(chosen, recipe.model_copy(update={"members": 1}))
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(f"{_RECIPE} beside {file.name} is damaged: {words}") from None
    parameters = {
        name: take(file.tensors, name, None, *tensor.shape[1:])[:1]
        for name, tensor in like.tensors.items()
    }
    members = len(next(iter(file.tensors.values())))
    network = like.with_parameters(parameters)
    notes = [f"{recipe.task}, {recipe.activation}, {recipe.network} by the {_RECIPE} beside it"]
    if members > 1:
        notes.append(f"member 0 of {members}")
    return finished(
        "run", network, chosen, file, train=trained_rows(chosen, recipe), notes=tuple(notes)
    )


def require_own_choices(file: File, choices: Choices) -> None:
    """Refuse choices that the recipe beside a run's parameters makes, or that leave one open.

    Parameters
    ----------
    file
        File that this program wrote.
    choices
        Group and activation that the user says.

    Raises
    ------
    ValueError
        If the recipe lies beside the file; or if it does not, and group or activation is not said.
    """
    if (file.path.parent / _RECIPE).is_file():
        raise MarginLensError(
            f"{_RECIPE} beside {file.name} says group, activation and attention; leave those options "
            "out, or copy the file to another folder"
        )
    if choices.group is None or choices.activation is None or not _is_mlp(file):
        raise MarginLensError(_without_recipe(file))


def _without_recipe(file: File) -> str:
    shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in [*file.tensors.items()][:8])
    say = ", say both --group and --activation" if _is_mlp(file) else ""
    return (
        f"{file.name} holds parameters of a run ({shapes}) without its {_RECIPE}; measure the run's "
        f"folder{say}, or copy {_RECIPE} (and table.npy) beside the file"
    )


def _is_mlp(file: File) -> bool:
    """Return whether the plain format of u, v and w holds all of the network."""
    return {"u", "w"} <= set(file.tensors) <= {"u", "v", "w", "bias"}


def _refuse_other(file: File) -> NoReturn:
    folder = str(file.path.parent)
    if file.path.stem == "snapshots":
        raise MarginLensError(
            f"{file.name} holds the snapshots of a run, not one network; measure its end: "
            f"marginlens measure {folder}"
        )
    raise MarginLensError(
        f"{file.name} is the checkpoint of a training that is not finished; continue with "
        f"marginlens train --resume {folder}"
    )
