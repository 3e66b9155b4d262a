"""Shares of the norm on each feature, for all members of an ensemble."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from marginlens.measures.measurement import LIVE
from marginlens.measures.neurons.spectrum import power_spectra, side_by_side
from marginlens.networks import MLP
from marginlens.tasks import Task

__all__ = ["norm_shares"]


def norm_shares(network: MLP, task: Task) -> Float[np.ndarray, "member feature"]:
    """Return the share of sum ||omega_i||^nu on each dominant feature, of all members.

    Only live neurons count. The result equals ``measure(network, task, member=i).share`` on a
    group's table, for all members at once.

    Parameters
    ----------
    network
        MLP ensemble on the task.
    task
        Group task of the network.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> norm_shares(construct(task("C5")), task("C5")).round(12)
    array([[0.5, 0.5]])
    """
    weights = {n: p.double().cpu().numpy() for n, p in network.untied().tensors.items()}
    norms = np.sqrt(np.sum([np.square(w).sum(1) for w in weights.values()], axis=0))
    masses = norms**network.homogeneity
    live = masses > LIVE * masses.max(1, keepdims=True, initial=0.0)
    spectrum = power_spectra(task, side_by_side(weights), live.ravel())["all"]
    dominant = np.where(live, np.nan_to_num(spectrum).argmax(1).reshape(live.shape), -1)
    total = np.maximum(masses.sum(1, keepdims=True), 1e-300)
    return (
        np.stack([(masses * (dominant == f)).sum(1) for f in range(len(task.features))], axis=1)
        / total
    )
