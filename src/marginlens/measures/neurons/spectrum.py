"""Power of weight vectors in each feature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from marginlens.tasks import Task

__all__ = ["power_spectra", "side_by_side"]


def power_spectra(
    task: Task,
    weights: Mapping[str, Float[np.ndarray, "element neuron"]],
    live: Bool[np.ndarray, " neuron"],
) -> dict[str, Float[np.ndarray, "neuron feature"]]:
    """Return the share of the energy of u, v, w, and of all together, in each feature.

    For feature F with orthonormal basis B_F the power is ||B_F^T u||^2; shares are of the sum over
    features (on a group: the energy without the mean). Dead neurons are nan. For parity only the
    inputs have coordinates, and ``"all"`` is ``"u"``.

    Parameters
    ----------
    task
        Task whose features are used.
    weights
        Weights by slot, shape (element, neuron).
    live
        Mask of the live neurons, shape (neuron,).
    """
    bases = np.concatenate([feature.basis for feature in task.features], axis=1)
    starts = np.cumsum([0] + [feature.dimension for feature in task.features[:-1]])
    slots = task.slots if task.kind == "parity" else (*task.slots, "w")
    powers = {
        slot: np.add.reduceat(np.square(bases.T @ weights[slot]), starts, axis=0).T
        for slot in slots
    }
    powers["all"] = np.sum([powers[slot] for slot in slots], axis=0)
    result = {}
    for slot, power in powers.items():
        energy = power.sum(1, keepdims=True)
        share = np.divide(power, energy, out=np.zeros_like(power), where=energy > 0)
        result[slot] = np.where(live[:, None], share, np.nan)
    return result


def side_by_side(
    weights: Mapping[str, Float[np.ndarray, "member element neuron"]],
) -> dict[str, Float[np.ndarray, "element both"]]:
    """Concatenate the neurons of all members, member by member.

    Parameters
    ----------
    weights
        Weights by slot, shape (member, element, neuron).
    """
    return {name: w.transpose(1, 0, 2).reshape(w.shape[1], -1) for name, w in weights.items()}
