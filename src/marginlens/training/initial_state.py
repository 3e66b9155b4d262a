"""Initial state of a training: its device, and the network with its initial weights."""

from __future__ import annotations

import numpy as np
import torch

from marginlens.errors import MarginLensError
from marginlens.networks import Network, Rows, network_class
from marginlens.networks.loss import require_classes
from marginlens.tasks import Task
from marginlens.theory import Penalty, Prediction, predict
from marginlens.training.data import Batches, drawn_rows, split
from marginlens.training.recipe import Recipe

__all__ = ["check_trainable", "copy_of", "find_device", "initial_network", "known_minimum"]


def find_device(name: str) -> torch.device:
    """Device of that name.

    Raises
    ------
    ValueError
        If it is not there, naming those that are.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        here = "cpu and cuda" if torch.cuda.is_available() else "cpu"
        raise ValueError(f"device {name!r} is not here; available: {here}") from None
    return device


def initial_network(task: Task, recipe: Recipe, device: torch.device | None = None) -> Network:
    """Network from which a training by the recipe starts: every member, on the CPU by default."""
    return network_class(recipe.network).from_recipe(task, recipe, device or torch.device("cpu"))


def known_minimum(task: Task, recipe: Recipe, prediction: Prediction | None = None) -> float:
    """Return the least objective of any network at the strength that the recipe ends with.

    Parameters
    ----------
    task, recipe
        Task that is trained on, and the recipe of the training.
    prediction
        Prediction at the strength that the recipe ends with; None: it is made.

    Raises
    ------
    ValueError
        If none is known for the task and activation.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> f"{known_minimum(task('C23'), Recipe(task='C23', strength=1e-4)):.7f}"
    '0.2838312'
    """
    if prediction is None:
        penalty = Penalty(recipe.penalty, recipe.final_strength)
        prediction = predict(task, recipe.activation, penalty)
    found = prediction.at_penalty
    if found is None:
        raise MarginLensError(
            f"until_optimal needs a known minimum, and none is known for {task.name} with "
            f"{recipe.activation}: leave it out; for example --tolerance 1e-7 stops what has converged"
        )
    return found.loss


def check_trainable(task: Task, recipe: Recipe, prediction: Prediction | None = None) -> None:
    """Refuse what the recipe asks for and this machine or task does not have, before it is begun.

    Parameters
    ----------
    task, recipe
        Task that is trained on, and the recipe of the training.
    prediction
        Prediction at the strength that the recipe ends with; None: made where it is needed.

    Raises
    ------
    ValueError
        If the device is not there, the rows cannot be split, batched or drawn so, or the task has no
        network or loss of that kind; in one line.
    """
    find_device(recipe.device)
    require_classes(recipe.loss_function, task.classes)
    if recipe.until_optimal is not None:
        known_minimum(task, recipe, prediction)
    data = split(task, recipe)
    if recipe.online:
        drawn_rows(task, 1, np.random.default_rng(0))
    elif recipe.batch is not None:
        Batches(Rows.of(task) if data.train is None else data.train, recipe.batch, 0)
    sizes = {"members": 1, "width": recipe.heads, "embedding": 1, "hidden": 1}  # it is thrown away
    initial_network(task, recipe.model_copy(update=sizes))


def copy_of(network: Network, task: Task, recipe: Recipe, device: torch.device) -> Network:
    """A network as the recipe wants it, apart from the original.

    Raises
    ------
    ValueError
        If it has another kind, shape or activation than the recipe, or is a network of another task.
    """
    network.require_task(task)
    like = initial_network(task, recipe)
    got, wanted = _description(network), _description(like)
    if got != wanted:
        raise ValueError(f"start has {got}, but the recipe says {wanted}")
    return network.copy().to(device=device, dtype=getattr(torch, recipe.dtype))


def _description(network: Network) -> str:
    settings = {"kind": type(network).__name__} | network.description()
    return f"({', '.join(settings)}) {tuple(settings.values())}"
