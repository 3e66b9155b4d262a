"""Networks in closed form: of maximum margin, and of random phases."""

from __future__ import annotations

import numpy as np
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

__all__ = ["construct", "gromov"]


def construct(task: Task, *, method: str = "simplex") -> MLP:
    """Return a network whose normalized margin is the maximum gamma*.

    On a group each irrep class that maximum-margin networks use gets neurons that are matrix
    coefficients of it, see :func:`marginlens.theory.group_weights`. On parity the 2^(k-1) neurons
    have equal magnitudes on the k coordinates for either method.

    Parameters
    ----------
    task
        Group task with any number of factors, or sparse parity.
    method
        Construction to use: ``"simplex"`` (fewer neurons) or ``"signs"``.

    Returns
    -------
    MLP
        Network with one member in float64 and sum_i ||omega_i||^nu = 1, so that its margin is
        gamma*.

    Raises
    ------
    ValueError
        The method is unknown, the task has no group, or the network is too large.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Explicit networks"; for C_p and parity the features are of
    Morwani et al. 2024, Theorems 7 and 8.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> construct(task("C5")).tensors["w"].shape
    torch.Size([1, 5, 12])
    >>> construct(task("C5"), method="signs").tensors["w"].shape
    torch.Size([1, 5, 16])
    >>> construct(task("compose(C5,3)")).activation.name
    'x^3'
    """
    if method not in METHODS:
        raise ValueError(f'method: expected "simplex" or "signs", got {method!r}')
    if task.kind == "parity":
        return _construct_parity(task)
    if task.group is None:
        task.require_rows()  # says so where only the characters are known
        raise ValueError(f"expected a group's table, got {task.name!r}; for example C71")
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
            f"expected a task with relevant coordinates, got {task.name!r}; for example "
            '"parity(10,4)"'
        )
    u, w = parity_weights(task.size, task.subset)
    return MLP(
        {"u": torch.from_numpy(u)[None], "w": torch.from_numpy(w)[None]},
        parse_activation(f"x^{len(task.subset)}"),
    )


def gromov(task: Task, *, width: int = 500, seed: int = 0) -> MLP:
    r"""Return Gromov's solution of addition modulo n: x^2 neurons of random phases.

    With theta_k = 2 pi sigma(k) / n and phases uniform on the circle,

    .. math:: u_k(a) = s \cos(\theta_k a + \phi_{k1}), \quad v_k(b) = s \cos(\theta_k b +
    \phi_{k2}),
              \quad w_k(c) = s \cos(\theta_k c + \phi_{k1} + \phi_{k2}).

    Of (u + v)^2 w only u v w keeps its mean over the phases, cos(theta_k (a + b - c)) / 2 a neuron
    with
    s = 1. The frequencies sigma(k) run through 0, ..., n - 1 again and again: with s^3 = 2 / width
    the
    mean of the logits is 1 for the right answer and 0 for all others, exactly where n divides the
    width. Their mean squared error falls as 1 / width.

    Parameters
    ----------
    task
        Task of a cyclic group with two factors; a is the exponent of its generator.
    width
        Number of neurons of the network.
    seed
        Seed of the phases, and of the order of the frequencies in each round.

    Returns
    -------
    MLP
        Network with one member in float64.

    Raises
    ------
    ValueError
        The group is not cyclic, or the width is below 1.

    Notes
    -----
    Gromov 2023, *Grokking modular arithmetic* (arXiv 2301.02679), section 3. There s = 1, and the
    factor is one of the network.

    Examples
    --------
    >>> from marginlens.networks import evaluate
    >>> from marginlens.tasks import task
    >>> evaluate(gromov(task("C5"), width=2000), task("C5")).accuracy
    tensor([1.], dtype=torch.float64)
    """
    group = task.group
    if group is None or group.generator is None or task.factors != 2:
        raise ValueError(
            f"expected addition of two integers modulo n, got {task.name}; for example C23"
        )
    if width < 1:
        raise ValueError(f"width: expected at least 1, got {width}; for example 500")
    random = np.random.default_rng(seed)
    n = group.order
    rounds = [random.permutation(n) for _ in range(-(-width // n))]
    frequencies = np.concatenate(rounds)[:width]
    phases = random.uniform(0, 2 * np.pi, size=(2, width))
    exponents = np.empty(n, dtype=np.int64)
    exponents[group.powers(group.generator)] = np.arange(n)
    angles = 2 * np.pi * np.outer(exponents, frequencies) / n
    scale = (2 / width) ** (1 / 3)
    shifts = {"u": phases[0], "v": phases[1], "w": phases[0] + phases[1]}
    return MLP(
        {
            name: torch.from_numpy(scale * np.cos(angles + shift))[None]
            for name, shift in shifts.items()
        },
        parse_activation("x^2"),
    )
