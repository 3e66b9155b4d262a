"""Comparison of a network's logits with those of textbook algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from marginlens.networks import Network
from marginlens.tasks import Task
from marginlens.theory import Algorithm

__all__ = ["AlgorithmFit", "compare_logits", "logit_table"]

Logits = Float[np.ndarray, "first second answer"]


@dataclass(frozen=True)
class AlgorithmFit:
    """Agreement of one algorithm's logits with given logits.

    Attributes
    ----------
    name
        Name of the textbook algorithm.
    cosine
        Cosine similarity of the two logit tensors, each centred over the answers.
    explained
        Share of the variance that the best multiple of the algorithm's explains: cosine^2 if the
        cosine is positive, else 0.
    agreement
        Share of the pairs for which both have the same largest logit.
    """

    name: str
    cosine: float
    explained: float
    agreement: float


def compare_logits(logits: Logits, algorithms: Sequence[Algorithm]) -> tuple[AlgorithmFit, ...]:
    """Hold a network's logits against those of algorithms.

    Parameters
    ----------
    logits
        (a, b, c) of any network or function.
    algorithms
        On the same group, see :func:`marginlens.theory.algorithm`.

    Raises
    ------
    ValueError
        If shapes differ or logits are not finite.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> from marginlens.theory import algorithm
    >>> c7 = group("C7")
    >>> clock, pizza = algorithm("clock", c7, frequencies=[1]), algorithm("pizza", c7, frequencies=[1])
    >>> [round(fit.cosine, 3) for fit in compare_logits(pizza.logits, [clock, pizza])]
    [0.908, 1.0]
    """
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers; some are not")
    ours = logits - logits.mean(axis=2, keepdims=True)
    fits = []
    for known in algorithms:
        if known.logits.shape != logits.shape:
            raise ValueError(
                f"logits have shape {logits.shape}, but {known.name!r} has {known.logits.shape}"
            )
        theirs = known.logits - known.logits.mean(axis=2, keepdims=True)
        length = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
        cosine = float(np.clip((ours * theirs).sum() / length, -1, 1)) if length > 0 else 0.0
        fits.append(
            AlgorithmFit(
                name=known.name,
                cosine=cosine,
                explained=max(cosine, 0.0) ** 2,
                agreement=float((logits.argmax(2) == known.logits.argmax(2)).mean()),
            )
        )
    return tuple(fits)


def logit_table(network: Network, task: Task, *, member: int = 0) -> Logits:
    """Return the logits of a network on a group's table, shape (a, b, c), in float64.

    Parameters
    ----------
    network
        Network or ensemble of networks.
    task
        Group task with two factors.
    member
        Index of the member of the ensemble.

    Raises
    ------
    ValueError
        The task does not have two factors.
    """
    if not task.is_whole or task.factors != 2:
        raise ValueError(
            f"expected a group's task with two factors, got {task.name}; for example C23"
        )
    logits = network.member(member).logits(task)[0].double().cpu().numpy()
    return logits.reshape(task.size, task.size, task.classes)
