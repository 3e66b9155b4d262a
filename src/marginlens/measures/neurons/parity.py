"""Shapes of the neurons of a parity network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marginlens.tasks import Task

__all__ = ["measure_parity"]


def measure_parity(task: Task, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return relevant energy, equality of magnitudes, and agreement of signs.

    In a maximum-margin network |u_j| is the same for all relevant j in S and zero elsewhere, and
    the output (w_0 - w_1) has the sign of the product of the u_j (Morwani et al. 2024, Theorem 8).

    Parameters
    ----------
    task
        Sparse parity task of the network.
    weights
        Weights by name, shape (coordinate or class, neuron).
    """
    chosen = weights["u"][list(task.subset or ())]
    magnitudes = np.abs(chosen)
    energy = np.square(weights["u"]).sum(0)
    difference = weights["w"][0] - weights["w"][1]
    return {
        "subset_power": np.square(chosen).sum(0) / np.maximum(energy, 1e-300),
        "magnitude_ratio": magnitudes.min(0) / np.maximum(magnitudes.max(0), 1e-300),
        "signs_agree": np.sign(chosen).prod(0) * np.sign(difference) > 0,
    }
