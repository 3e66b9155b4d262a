"""Phases of neurons on cyclic groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from marginlens.groups import FiniteGroup
from marginlens.tasks import Task

__all__ = ["cyclic_phases", "generator_powers"]


def cyclic_phases(
    task: Task,
    weights: Mapping[str, np.ndarray],
    dominant: np.ndarray,
    live: np.ndarray,
    spectrum: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return phases at each neuron's dominant frequency, their error, and the cosine fit.

    With the elements in the order of the generator's powers, u(g^j) ~ A cos(2 pi k j / n + theta),
    theta is the argument of sum_j u(g^j) exp(-2 pi i k j / n). In a maximum-margin network
    the phases of the inputs add up to that of w modulo 2 pi (theta_u + theta_v = theta_w in Morwani
    et
    al. 2024, Theorem 7).

    Parameters
    ----------
    task
        Task of a cyclic group.
    weights
        Weights by slot, shape (element, neuron).
    dominant
        Dominant feature of each neuron, shape (neuron,).
    live
        Mask of the live neurons, shape (neuron,).
    spectrum
        Power spectra by slot, shape (neuron, feature).
    """
    group = task.group
    if group is None or group.generator is None:
        raise ValueError(f"{task.name} is not cyclic: its neurons have no phases")
    powers = generator_powers(group)
    frequencies = np.array([feature.frequency for feature in task.features])
    k = np.where(live, frequencies[dominant], 0)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(group.order), k) / group.order)
    slots = (*task.slots, "w")
    phases = np.stack([np.angle((weights[s][powers] * waves).sum(0)) for s in slots], axis=1)
    difference = phases[:, :-1].sum(1) - phases[:, -1]
    error = np.abs((difference + np.pi) % (2 * np.pi) - np.pi)
    rows = np.arange(len(dominant))
    fit = np.min([spectrum[slot][rows, dominant] for slot in slots], axis=0)
    return {
        "phases": np.where(live[:, None], phases, np.nan),
        "phase_error": np.where(live, error, np.nan),
        "cosine_fit": np.where(live, fit, np.nan),
    }


def generator_powers(group: FiniteGroup) -> Int[np.ndarray, " element"]:
    """Return the elements of a cyclic group as the powers 1, g, g^2, ... of its generator.

    Parameters
    ----------
    group
        Cyclic group with a Cayley table.

    Raises
    ------
    ValueError
        The group is not cyclic.
    """
    if group.generator is None:
        raise ValueError(f"{group.name} is not cyclic: no element has all others for its powers")
    return group.powers(group.generator)
