"""Helpers of several formats: tensors, groups, and the rows trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign
from marginlens.networks import Network
from marginlens.tasks import Task, task

_GREATEST_LOGITS = 600**3

__all__ = ["finished", "require_finite", "require_memory", "take", "task_of_order", "trained_on"]


def take(tensors: Mapping[str, Tensor], name: str, *shape: int | None) -> Tensor:
    """Return a tensor in float64 with a checked shape; ``None`` is any length.

    Raises
    ------
    ValueError
        If it is missing, has another shape, or numbers that are not finite.
    """
    found = tensors.get(name)
    if found is None:
        have = ", ".join([*tensors][:8]) or "no tensors"
        raise MarginLensError(f"the file has no {name}; it has {have}")
    wanted = tuple("any" if length is None else length for length in shape)
    fits = len(found.shape) == len(shape) and all(
        length is None or length == have for length, have in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise MarginLensError(f"{name} has shape {tuple(found.shape)}; expected {wanted}")
    if not found.numel():
        raise MarginLensError(f"{name} has shape {tuple(found.shape)}: it is empty")
    if found.is_complex():
        raise MarginLensError(f"{name} holds complex numbers ({found.dtype}); expected real ones")
    if not torch.isfinite(found).all():
        raise MarginLensError(
            f"{name} holds {_not_finite(found)}; expected numbers that are real and finite"
        )
    return found.detach().double().contiguous()


def _not_finite(tensor: Tensor) -> str:
    """Return the first number that is not finite, its place, and the count."""
    bad = ~torch.isfinite(tensor)
    place = torch.nonzero(bad)[0].tolist()
    return (
        f"{tensor[tuple(place)].item()} at {place} ({int(bad.sum())} of {tensor.numel()} numbers)"
    )


def task_of_order(order: int, choices: Choices, *, default: str | None = None) -> Task:
    """Return the chosen group's task, C_n by default.

    Raises
    ------
    ValueError
        The group has another order than the network's tables.
    """
    spec = choices.group or default or f"C{order}"
    found = task(spec)
    if found.factors != 2 or found.classes != found.size:
        raise MarginLensError(
            f"{spec} has no table of pairs of elements; name a group or an operation on pairs, e.g. "
            f'--group C{order} or --group "xy mod {order}"'
        )
    if found.kind != "table" or found.size != order:
        raise MarginLensError(
            f"{spec}: expected a group of order {order}, the size of the network's tables, got "
            f"order {found.size}; for example --group C{order}"
        )
    return found


def require_memory(problem: Task) -> None:
    """Refuse a table whose logits exceed 2 GB, since several copies are needed.

    Raises
    ------
    ValueError
        The table is too large; the message has its size.
    """
    if len(problem.answers) * problem.classes > _GREATEST_LOGITS:
        raise MarginLensError(
            f"{problem.name} has {len(problem.answers)} rows of {problem.classes} logits, more than can "
            "be held; measured are groups of order up to 600"
        )


def trained_on(
    config: Mapping[str, Any], count: int, order: Callable[[int], Sequence[int]], words: str
) -> tuple[Int[np.ndarray, " row"] | None, list[str]]:
    """Return the rows that a project's split trains on, and a note on it.

    The split takes the first rows of ``order``, a function of the seed. The rows are ``None`` if
    the settings lack fraction or seed, or the split is empty.
    """
    fraction, seed = config.get("frac_train"), config.get("seed")
    if not isinstance(fraction, float) or not isinstance(seed, int) or isinstance(seed, bool):
        return None, []
    if not 0 < fraction < 1:
        return None, []
    rows = np.sort(np.asarray(order(seed))[: int(fraction * count)])
    return (
        (rows, [f"trained on {len(rows)} rows, {words} by seed {seed}"])
        if len(rows)
        else (None, [])
    )


def require_finite(logits: np.ndarray, file: File) -> None:
    """Refuse logits that are not all finite."""
    if not np.isfinite(logits).all():
        raise MarginLensError(f"the logits of {file.name} are not all finite")


def finished(form: str, network: Network, problem: Task, file: File, **others: object) -> Foreign:
    """Return the network with its logits.

    Raises
    ------
    ValueError
        The network is not one of the task, or its logits are not finite.
    """
    network.require_task(problem)
    require_memory(problem)
    with torch.no_grad():
        logits = network.logits(problem)[0].double().numpy()
    require_finite(logits, file)
    return Foreign(form, problem, logits, network, **others)  # type: ignore[arg-type]
