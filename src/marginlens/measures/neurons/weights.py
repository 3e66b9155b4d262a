"""Features of each neuron of a network, read from its weights alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from marginlens.measures.neurons.spectrum import power_spectra
from marginlens.networks import MLP
from marginlens.tasks import Task

__all__ = ["LIVE", "Neurons", "neurons_of"]

LIVE = 1e-3
"""A neuron is live if its ||omega||^nu is above this share of the largest neuron's."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """Weights of one member's neurons, and the features that they hold.

    Attributes
    ----------
    weights
        u, v, ..., w in float64.
    masses
        ||omega_i||^nu, whose sum is the norm.
    neuron_norms, live
        ||omega_i||, and whether the neuron is live (``LIVE``); the others are dead.
    spectrum
        For ``"u"``, ``"v"``, ``"w"`` and ``"all"``: share of the energy (without the constant part)
        in each feature, (neuron, feature); nan for dead neurons.
    dominant, max_power, agrees
        The feature with the largest share of the whole neuron (-1 if dead), that share (its maximum
        normalized power), and whether u, v and w each have the same one.
    share, count
        Each feature's share of the norm, and number of live neurons, by dominant feature. For parity
        the norm is split over coordinates by the energy of the input weights.
    phases, phase_error
        Cyclic groups: theta of each slot and of w, with u(a) ~ A cos(2 pi k a / n + theta), and
        |theta_u + theta_v - theta_w| (sum over all inputs) modulo 2 pi, in radians.
    cosine_fit
        Cyclic groups: least share of the variance of u, v and w that the best cosine explains.
    subset_power, magnitude_ratio, signs_agree
        Parity: share of the input energy on the relevant coordinates; least over largest magnitude
        there; whether the output's sign is the product of the inputs' signs.
    """

    weights: dict[str, Float[np.ndarray, "..."]]
    masses: Float[np.ndarray, " neuron"]
    neuron_norms: Float[np.ndarray, " neuron"]
    live: Bool[np.ndarray, " neuron"]
    spectrum: dict[str, Float[np.ndarray, "neuron feature"]]
    dominant: Int[np.ndarray, " neuron"]
    max_power: Float[np.ndarray, " neuron"]
    agrees: Bool[np.ndarray, " neuron"]
    share: Float[np.ndarray, " feature"]
    count: Int[np.ndarray, " feature"]
    phases: Float[np.ndarray, "neuron slot"] | None = None
    phase_error: Float[np.ndarray, " neuron"] | None = None
    cosine_fit: Float[np.ndarray, " neuron"] | None = None
    subset_power: Float[np.ndarray, " neuron"] | None = None
    magnitude_ratio: Float[np.ndarray, " neuron"] | None = None
    signs_agree: Bool[np.ndarray, " neuron"] | None = None


def neurons_of(network: MLP, task: Task, member: int = 0) -> Neurons:
    """Return spectra, dominant features and shares of one member, from its weights alone.

    Parameters
    ----------
    network, task, member
        MLP, its task with features, and the index of the member.

    Notes
    -----
    A neuron's dominant feature has the largest share of its energy without the constant part. A
    feature's share is that of its neurons in sum_i ||omega_i||^nu (Morwani et al. 2024, section 3);
    for parity the norm is split over coordinates by the energy of the input weights.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = neurons_of(construct(task("C5")), task("C5"))
    >>> found.count, found.share.round(12), found.agrees.all()
    (array([6, 6]), array([0.5, 0.5]), np.True_)
    """
    one = network.untied().member(member).to(torch.float64)
    weights = {name: p[0].cpu().numpy() for name, p in one.tensors.items()}
    norms = np.sqrt(sum(np.square(w).sum(0) for w in weights.values()))
    nu = one.homogeneity
    masses = norms ** (2 if math.isnan(nu) else nu)  # without a degree, shares of the squared norm
    live = masses > LIVE * masses.max(initial=0.0)
    spectrum = power_spectra(task, weights, live)
    whole = np.where(live[:, None], spectrum["all"], -1.0)
    dominant = np.where(live, whole.argmax(1), -1)
    agrees = live.copy()
    for slot in (*task.slots, *(("w",) if task.kind == "table" else ())):
        part = np.where(live[:, None], spectrum[slot], 0.0)
        agrees &= (part.argmax(1) == dominant) & (part.max(1) > 0)
    if task.kind == "parity":
        parts = masses[:, None] * np.nan_to_num(spectrum["u"])
        share = parts.sum(0) / max(parts.sum(), 1e-300)
    else:
        share = np.bincount(dominant[live], masses[live], len(task.features))
        share = share / max(float(masses.sum()), 1e-300)
    return Neurons(
        weights=weights,
        masses=masses,
        neuron_norms=norms,
        live=live,
        spectrum=spectrum,
        dominant=dominant,
        max_power=np.where(live, whole.max(1), np.nan),
        agrees=agrees,
        share=share,
        count=np.bincount(dominant[live], minlength=len(task.features)),
    )
