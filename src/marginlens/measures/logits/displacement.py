r"""Logits by displacement of the class from the answer, and their character parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from marginlens.groups import FiniteGroup
from marginlens.measures.logits.spectrum import group_of
from marginlens.networks import Network
from marginlens.tasks import Task

__all__ = ["Displacement", "displacement"]

_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Displacement:
    r"""Centred logits of a network by the displacement $g = ab\,c^{-1}$ of the class.

    Attributes
    ----------
    mean, deviation
        Mean and deviation of the centred logits over all (a, b, c) with this displacement; the
        right answer has the identity. A deviation of 0 means that the logits are a function of the
        displacement.
    parts
        Part of the mean along each feature's real character, $\frac{\langle m,
        \chi\rangle}{\langle\chi, \chi\rangle}\chi(g)$, shape (feature, element).
    explained
        Share of the variance of all centred logits that each of them explains.
    """

    mean: Float[np.ndarray, " element"]
    deviation: Float[np.ndarray, " element"]
    parts: Float[np.ndarray, "feature element"]
    explained: Float[np.ndarray, " feature"]


@torch.no_grad()
def displacement(network: Network, task: Task, *, member: int = 0) -> Displacement:
    """Average the logits of one member over the displacement from the right answer.

    Parameters
    ----------
    network
        Network or ensemble of any kind.
    task
        Group task with any number of factors.
    member
        Index of the member of the ensemble.

    Raises
    ------
    ValueError
        The task is not a group's table, or is too large to list.

    Notes
    -----
    The parts are those of Chughtai et al. 2023, *A toy model of universality*, section 4
    (:class:`marginlens.measures.LogitAblations`), on the group itself.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = displacement(construct(task("C5")), task("C5"))
    >>> int(found.mean.argmax()), bool(found.deviation.max() < 1e-9), found.explained.round(6)
    (0, True, array([0.5, 0.5]))
    """
    group = group_of(task)
    one = network.member(member).to(torch.float64)
    inverse = torch.as_tensor(group.table[group.inverses].T.copy())  # [h, g]: h c^-1 = g has c
    width = max(p.shape[-1] for p in one.tensors.values())
    together = max(1, _BYTES // (8 * (4 * width + 3 * task.classes)))
    first, second = np.zeros(group.order), np.zeros(group.order)
    for start in range(0, len(task.answers), together):
        rows = slice(start, start + together)
        part = replace(task, inputs=task.inputs[rows], answers=task.answers[rows])
        logits = one.logits(part)[0].cpu()
        centred = logits - logits.mean(1, keepdim=True)
        sorted_ = centred.gather(1, inverse[torch.as_tensor(part.answers)])
        first += sorted_.sum(0).numpy()
        second += sorted_.square().sum(0).numpy()
    count = len(task.answers)
    mean = first / count
    deviation = np.sqrt(np.maximum(second / count - mean**2, 0.0))
    characters = np.stack([_character(group, task, index) for index in range(len(task.features))])
    scale = characters @ mean / np.square(characters).sum(1)
    parts = scale[:, None] * characters
    whole = second.sum() / count
    explained = np.square(parts).sum(1) / whole if whole > 0 else np.zeros(len(parts))
    return Displacement(mean, deviation, parts, explained)


def _character(group: FiniteGroup, task: Task, index: int) -> Float[np.ndarray, " element"]:
    """Return the real character of a feature: of both irreps for a conjugate pair."""
    irrep = task.features[index].irrep
    assert irrep is not None  # the task is a group's
    return group.characters[list(irrep.members)].sum(0).real[group.class_of]
