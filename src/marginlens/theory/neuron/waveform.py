"""Waveforms of a neuron's weights: harmonics of a frequency, and the limit for ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Harmonics", "harmonics", "relu_limit", "relu_plateau"]


@dataclass(frozen=True, eq=False)
class Harmonics:
    """Decomposition of a weight vector on C_p into a frequency k and its multiples.

    Attributes
    ----------
    frequency
        Frequency k of greatest power, from 1 to (p - 1) / 2.
    constant
        Share of the energy in the mean.
    power
        Share of the energy at k, 2k, 3k, ... modulo p (a frequency is counted with its negative).
    phases
        Their phases relative to that of k: theta_m - m theta_1 in (-pi, pi], which a translation
        does
        not change. Without a meaning where the power is 0.
    """

    frequency: int
    constant: float
    power: Float[np.ndarray, " multiple"]
    phases: Float[np.ndarray, " multiple"]


def harmonics(weights: Float[np.ndarray, " order"], frequency: int | None = None) -> Harmonics:
    """Power and phases of a weight vector at the multiples of its dominant frequency.

    With c_k = sum_j u(j) exp(-2 pi i k j / p), the power at k is the energy of the part of u at k and
    -k, as a share of all, and theta is the argument of c_k: u(j) ~ A cos(2 pi k j / p + theta).

    Parameters
    ----------
    weights
        At the powers 0, 1, ..., p - 1 of a generator; p must be an odd prime, for every frequency to
        be a multiple of every other.
    frequency
        The k to count from; by default the one with the most power.

    Raises
    ------
    ValueError
        If the number of weights is even, below 3, or without an inverse of k; if k is out of range;
        if all weights are 0.

    Examples
    --------
    >>> from marginlens.theory import best_neuron
    >>> found = harmonics(best_neuron(23, "relu").u)
    >>> found.power[[0, 2, 4]].round(4).tolist()
    [0.9226, 0.0672, 0.0091]
    """
    p = len(weights)
    if p < 3 or p % 2 == 0:
        raise ValueError(f"expected an odd prime number of weights, got {p}; for example 23")
    transform = np.fft.fft(weights)
    energy = np.square(np.abs(transform))
    if not energy.sum() > 0:
        raise ValueError("expected weights of a live neuron, got zeros only")
    half = (p - 1) // 2
    k = int(energy[1 : half + 1].argmax()) + 1 if frequency is None else frequency
    if not 1 <= k <= half or math.gcd(k, p) != 1:
        raise ValueError(
            f"frequency: expected 1 to {half} without a common divisor with {p}, got {k}"
        )
    multiples = np.arange(1, half + 1)
    places = k * multiples % p
    phase = np.angle(transform[places])
    relative = phase - multiples * phase[0]
    return Harmonics(
        frequency=k,
        constant=float(energy[0] / energy.sum()),
        power=2.0 * energy[places] / energy.sum(),
        phases=np.pi - (np.pi - relative) % (2 * np.pi),
    )


def relu_limit() -> float:
    """Return the limit of p * gamma*_ReLU: sqrt(2) / (4 (sqrt(6) + arctan(sqrt(6) / 2))).

    It is the value of the clipped sinusoid of :func:`relu_plateau`, the best among profiles that
    fall
    monotonically from their maximum to its negative; that no other profile is better is numerical.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Other activations".

    Examples
    --------
    >>> round(relu_limit(), 10)
    0.1059949942
    """
    return math.sqrt(2.0) / (4.0 * (math.sqrt(6.0) + math.atan(math.sqrt(6.0) / 2.0)))


def relu_plateau() -> float:
    """Share of the period that each of the two plateaus of u takes in the limit of large p.

    sqrt(6) / (2 (sqrt(6) + arctan(sqrt(6) / 2))). Between them u is a piece of a sinusoid.

    Examples
    --------
    >>> round(relu_plateau(), 4)
    0.3672
    """
    return math.sqrt(6.0) / (2.0 * (math.sqrt(6.0) + math.atan(math.sqrt(6.0) / 2.0)))
