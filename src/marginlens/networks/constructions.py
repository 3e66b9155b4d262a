"""Maximum-margin networks in closed form."""

from __future__ import annotations

import torch

from marginlens.networks.mlp import MLP
from marginlens.tasks import Task
from marginlens.theory import (
    METHODS,
    ClassProgram,
    group_weights,
    parity_weights,
    parse_activation,
    solve_margin,
)

__all__ = ["construct"]


def construct(task: Task, *, method: str = "simplex") -> MLP:
    """Network whose normalized margin is the maximum gamma*.

    On a group each irrep class that maximum-margin networks use gets neurons that are matrix
    coefficients of it, see :func:`marginlens.theory.group_weights`. On parity the 2^(k-1) neurons
    have equal magnitudes on the k coordinates, whatever the method.

    Parameters
    ----------
    task
        A group's table, of any number of factors, or sparse parity.
    method
        ``"simplex"`` (fewer neurons) or ``"signs"``.

    Returns
    -------
    MLP
        One member, float64, with sum_i ||omega_i||^nu = 1, so that its margin is gamma*.

    Raises
    ------
    ValueError
        If the method is unknown, the task is a table without a group, or the network too large.

    Notes
    -----
    Derived in docs/theory.md, "Explicit networks"; for C_p and parity the features are those of
    Morwani et al. 2024, Theorems 7 and 8.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> construct(task("C5")).parameters["w"].shape
    torch.Size([1, 5, 12])
    >>> construct(task("C5"), method="signs").parameters["w"].shape
    torch.Size([1, 5, 16])
    >>> construct(task("compose(C5,3)")).activation.name
    'x^3'
    """
    if method not in METHODS:
        raise ValueError(f'method must be "simplex" or "signs", got {method!r}')
    if task.kind == "parity":
        return _construct_parity(task)
    if task.group is None:
        task.require_rows()  # says so where only the characters are known
        raise ValueError(f"task {task.name!r} is a table without a group; pass a group's table")
    k = task.factors
    masses = solve_margin(ClassProgram.of(task.group, inputs=k)).certificate.masses
    weights = group_weights(task.group, masses, inputs=k, method=method)
    slots = (*task.slots, "w")
    return MLP(
        {slot: torch.from_numpy(weight)[None] for slot, weight in zip(slots, weights, strict=True)},
        parse_activation(f"x^{k}"),
    )


def _construct_parity(task: Task) -> MLP:
    if not task.subset:
        raise ValueError(
            f'task {task.name!r} has no relevant coordinates; use a task such as "parity(10,4)"'
        )
    u, w = parity_weights(task.size, task.subset)
    return MLP(
        {"u": torch.from_numpy(u)[None], "w": torch.from_numpy(w)[None]},
        parse_activation(f"x^{len(task.subset)}"),
    )
