"""The law of degree: which neuron is best as the activation bends more sharply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from marginlens.theory.activation import MAXIMUM_DEGREE, Activation, parse_activation
from marginlens.theory.neuron.ascent import Profile, ascend
from marginlens.theory.neuron.best_neuron import best_neuron, neuron_value
from marginlens.theory.neuron.waveform import harmonics

__all__ = ["DegreeLaw", "degree_law", "fourier_neuron_value", "memorizing_neuron_value"]

_FAMILY_STARTS = 8
DEGREES = tuple(np.arange(1.0, 4.01, 0.25).tolist())


@dataclass(frozen=True, eq=False)
class DegreeLaw:
    """Values of three neurons for sigma = |x|^q as functions of q, at one order p.

    Attributes
    ----------
    order
        Prime order p of the cyclic group.
    degrees
        Degrees q of the activations.
    best
        Value of the best neuron found (:func:`best_neuron`).
    fourier
        Value of the best neuron with one frequency in u and v.
    memorizing
        Value of the best neuron whose u and v single out one element.
    concentration
        Share of the best neuron's energy in u and v, without their means, on one frequency.
    starts, found
        Number of ascents per degree, and number of them that reached the best value.
    """

    order: int
    degrees: Float[np.ndarray, " degree"]
    best: Float[np.ndarray, " degree"]
    fourier: Float[np.ndarray, " degree"]
    memorizing: Float[np.ndarray, " degree"]
    concentration: Float[np.ndarray, " degree"]
    starts: int
    found: Int[np.ndarray, " degree"]

    @property
    def crossing(self) -> float | None:
        """Degree at which memorizing overtakes a single frequency, or ``None``."""
        lead = np.log(self.memorizing / self.fourier)
        after = np.flatnonzero((lead[1:] >= 0) & (lead[:-1] < 0))
        if not len(after):
            return None
        i = int(after[0])
        share = lead[i] / (lead[i] - lead[i + 1])
        return float(self.degrees[i] + share * (self.degrees[i + 1] - self.degrees[i]))

    def columns(self) -> dict[str, np.ndarray]:
        """Return the law as columns of a table, one row per degree."""
        names = ("best", "fourier", "memorizing", "concentration", "found")
        return {"degree": self.degrees, **{name: getattr(self, name) for name in names}}


def degree_law(
    order: int, degrees: Sequence[float] = DEGREES, *, starts: int = 20, seed: int = 0
) -> DegreeLaw:
    """Return the values of the best, the single-frequency and the memorizing neuron.

    For large p the gain of a profile spread over all elements scales as p^(-(q + 1) / 2) and that
    of a delta as p^(-2): below degree 3 Fourier features win, above it memorizing does. At a given
    p the two cross somewhat below 3.

    Parameters
    ----------
    order
        Prime order p of at least 5; with fewer elements a delta is a cosine.
    degrees
        Real degrees q from 1 to 16, ascending, of the activations |x|^q.
    seed
        Seed of the random starts.
    starts
        Number of ascents per degree, as for :func:`best_neuron`.

    Raises
    ------
    ValueError
        The order is not a prime of at least 5, or the degrees are not ascending or out of range.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Other activations".

    Examples
    --------
    >>> law = degree_law(7, [1.5, 3.0], starts=4)
    >>> (law.fourier / law.best).round(3).tolist(), (law.memorizing / law.best).round(3).tolist()
    ([0.984, 0.615], [0.522, 1.0])
    """
    if order < 5:
        raise ValueError(f"order: expected a prime of at least 5, got {order}; for example 23")
    chosen = np.array(degrees, dtype=np.float64)
    if (
        not len(chosen)
        or not ((chosen >= 1) & (chosen <= MAXIMUM_DEGREE)).all()
        or (np.diff(chosen) <= 0).any()
    ):
        raise ValueError(
            f"degrees: expected ascending numbers from 1 to {MAXIMUM_DEGREE}, got "
            f"{list(degrees)[:8]}; for example 1, 2, 3, 4"
        )
    activations = [parse_activation(f"|x|^{degree!r}") for degree in chosen.tolist()]
    neurons = [best_neuron(order, sigma, starts=starts, seed=seed) for sigma in activations]
    return DegreeLaw(
        order=order,
        degrees=chosen,
        best=np.array([neuron.value for neuron in neurons]),
        fourier=np.array([fourier_neuron_value(order, sigma) for sigma in activations]),
        memorizing=np.array([memorizing_neuron_value(order, sigma) for sigma in activations]),
        concentration=np.array([_concentration(neuron.u, neuron.v) for neuron in neurons]),
        starts=starts,
        found=np.array([neuron.found for neuron in neurons]),
    )


def fourier_neuron_value(order: int, activation: Activation) -> float:
    """Return the value of the best neuron with cosines of one frequency as u and v.

    Amplitudes and phases come from an ascent from a few starts.

    Parameters
    ----------
    order
        Prime order p of the cyclic group.
    activation
        Activation sigma of the neuron.

    Examples
    --------
    >>> round(fourier_neuron_value(5, parse_activation("x^2")), 10)
    0.030429031
    """
    turns = 2 * np.pi * np.arange(order) / order
    return _family_value(order, activation, [np.cos(turns), np.sin(turns)])


def memorizing_neuron_value(order: int, activation: Activation) -> float:
    """Return the value of the best neuron whose u and v each single out one element.

    It is the neuron of a memorizing network: it distinguishes one pair (a, b) from all others, and
    does not depend on the group. Its w is optimal.

    Parameters
    ----------
    order
        Prime order p of the cyclic group.
    activation
        Activation sigma of the neuron.

    Examples
    --------
    >>> round(memorizing_neuron_value(5, parse_activation("x^2")), 10)
    0.0215165741
    """
    delta = np.zeros(order)
    delta[0] = 1.0
    return _family_value(order, activation, [delta, np.full(order, 1.0)])


def _family_value(order: int, activation: Activation, shapes: list[np.ndarray]) -> float:
    """Best value with u and v both in the span of the shapes."""
    part, _ = np.linalg.qr(np.column_stack(shapes))
    basis = np.kron(np.eye(2), part)
    profile = Profile(order, activation)
    draws = np.random.default_rng(0).standard_normal((_FAMILY_STARTS, basis.shape[1]))
    ends = [ascend(profile, basis @ draw, basis) for draw in draws]
    return neuron_value(order, activation, max(profile.gain(end) for end in ends))


def _concentration(u: np.ndarray, v: np.ndarray) -> float:
    """Share of the energy of both, without means, on the dominant frequency of u."""
    k = harmonics(u).frequency
    centred = [part - part.mean() for part in (u, v)]
    energy = sum(float(part @ part) for part in centred)
    at = sum(harmonics(part, k).power[0] * float(part @ part) for part in centred)
    return float(at / energy)
