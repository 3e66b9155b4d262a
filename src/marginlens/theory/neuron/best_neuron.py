"""Numerical search for the best single neuron of addition modulo a prime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from marginlens.display import Displayed
from marginlens.groups import is_prime
from marginlens.theory.activation import Activation, parse_activation
from marginlens.theory.neuron.ascent import Profile, ascend, stationarity

__all__ = ["BestNeuron", "best_neuron", "default_starts", "neuron_value"]

SAME = 1e-9
"""Starts whose values agree to this share have found the same maximum."""
_ZERO = 1e-9


@dataclass(frozen=True, eq=False)
class BestNeuron(Displayed):
    """Best neuron that a search found, with evidence of its optimality.

    Attributes
    ----------
    order
        Prime order p of the cyclic group.
    activation
        Name of the activation sigma.
    value
        gamma*(sigma) if no better neuron exists: the normalized margin, in the norm L_{2,degree+1},
        of
        the network of all its images under translations and automorphisms. In any case a lower
        bound.
    u, v, w
        Weights at the powers 0, 1, ..., p - 1 of a generator, with ||(u, v, w)|| = 1. The
        representative has frequency 1 in u and phases of u and v next to 0.
    starts, found
        Number of ascents, and number of them that ended at ``value`` to a relative 1e-9.
    values
        Value at the end of each ascent; the first two start near a cosine and near a delta.
    stationarity
        Largest entry of the gradient of the squared norm of the outputs, logarithmically, in (u, v)
        of norm one; at kinks the one nearest to 0 in Clarke's generalized gradient counts.
    kinks
        Number of pairs (a, b) with preactivation exactly 0, on the kink of an activation of degree
        1; else 0.
    """

    order: int
    activation: str
    value: float
    u: Float[np.ndarray, " order"]
    v: Float[np.ndarray, " order"]
    w: Float[np.ndarray, " order"]
    starts: int
    found: int
    values: tuple[float, ...]
    stationarity: float
    kinks: int

    @property
    def worst(self) -> float:
        """Least value at which an ascent ended."""
        return min(self.values)

    def describe(self) -> str:
        """Describe the value and the evidence for it in a sentence."""
        return f"numerical: a maximum found by {self.found} of {self.starts} starts, not proved"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        arrays = {slot: getattr(self, slot).tolist() for slot in "uvw"}
        return {**vars(self), **arrays, "values": list(self.values), "worst": self.worst}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BestNeuron:
        """Neuron that :meth:`to_dict` took apart.

        Parameters
        ----------
        values
            Plain values of a neuron.
        """
        stored: dict[str, Any] = {one.name: values[one.name] for one in fields(cls)}
        stored |= {slot: np.array(values[slot], dtype=np.float64) for slot in "uvw"}
        stored["values"] = tuple(values["values"])
        return cls(**stored)


def best_neuron(
    order: int, activation: Activation | str, *, starts: int | None = None, seed: int = 0
) -> BestNeuron:
    """Search for the neuron of greatest gain against the uniform wrong answers.

    The maximum over ||(u, v, w)|| = 1 of

        mean_{a,b} sigma(u(a) + v(b)) (w(a + b) - mean of the other p - 1 entries of w)

    is gamma*(sigma): translations and, p being prime, automorphisms make the adversary's
    distribution
    uniform, and the network of all images of a best neuron has the same margin on every row and
    answer. Given (u, v) the best w is explicit, so that the ascent is over (u, v) alone, from many
    starts. **The value is a maximum found, not proved.**

    Parameters
    ----------
    order
        Prime order p of the cyclic group.
    activation
        Activation sigma, any but x.
    starts
        Number of ascents; by default :func:`default_starts`. Start i does not depend on their
        number.
    seed
        Seed of the random starts.

    Raises
    ------
    ValueError
        The order is not prime, the activation is x or unknown, or `starts` is 0.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Other activations".

    Examples
    --------
    >>> neuron = best_neuron(7, "relu")
    >>> round(neuron.value, 10), neuron.kinks
    (0.0187332332, 19)
    >>> neuron.describe()
    'numerical: a maximum found by 40 of 40 starts, not proved'
    """
    sigma = parse_activation(activation)
    if not is_prime(order):
        raise ValueError(f"order: expected a prime, got {order}; for example {_next_prime(order)}")
    if sigma.name == "x^1":
        raise ValueError(
            "expected an activation with a bend, got x, which has no gain; for example relu"
        )
    count = default_starts(order) if starts is None else starts
    if count < 1:
        raise ValueError(f"starts: expected at least 1, got {count}; for example 20")
    return _search(order, sigma.name, count, seed)


def default_starts(order: int) -> int:
    """Return the default number of ascents: 40 on small groups, at least 12.

    Parameters
    ----------
    order
        Prime order p of the cyclic group.

    Examples
    --------
    >>> default_starts(7), default_starts(71), default_starts(113)
    (40, 21, 13)
    """
    return max(12, min(40, 1500 // order))


def neuron_value(order: int, activation: Activation, gain: float) -> float:
    """Return the value of the best neuron of norm one with a given logarithmic gain.

    With q the degree, ||(u, v)||^2 = q / (q + 1) is best, and the value is

        p / (p - 1) * (q^q / (q + 1)^(q + 1))^(1/2) * ||h - mean(h)|| / p^2

    where h belongs to (u, v) of norm one. The part of |x| in sigma is (1 + sigma(-1)) / 2 for
    degree 1, whose linear part has no gain.

    Parameters
    ----------
    order
        Prime order p of the cyclic group.
    activation
        Activation sigma of the neuron.
    gain
        Logarithm of the gain at the best (u, v).
    """
    q = activation.degree
    bend = (1.0 + activation.at_minus_one) / 2.0 if q == 1 else 1.0
    split = math.exp((q * math.log(q) - (q + 1) * math.log(q + 1)) / 2.0)
    return bend * split * math.exp(gain / 2.0) / (order * (order - 1.0))


def _next_prime(number: int) -> int:
    found = max(2, number)
    while not is_prime(found):
        found += 1
    return found


@lru_cache(maxsize=64)
def _search(order: int, name: str, starts: int, seed: int) -> BestNeuron:
    sigma = parse_activation(name)
    profile = Profile(order, sigma)
    ends = [ascend(profile, _start(order, index, seed)) for index in range(starts)]
    gains = [profile.gain(end) for end in ends]
    values = tuple(neuron_value(order, sigma, gain) for gain in gains)
    best = ends[int(np.argmax(gains))]
    before = profile.before(best)
    zeros = np.abs(before) <= _ZERO * np.abs(before).max() if sigma.degree == 1 else None
    weights = _standard(best[:order], best[order:], profile)
    for weight in weights:
        weight.setflags(write=False)
    return BestNeuron(
        order=order,
        activation=name,
        value=max(values),
        u=weights[0],
        v=weights[1],
        w=weights[2],
        starts=starts,
        found=sum(value >= max(values) * (1 - SAME) for value in values),
        values=values,
        stationarity=stationarity(profile, best, zeros),
        kinks=0 if zeros is None else int(zeros.sum()),
    )


def _start(order: int, index: int, seed: int) -> Float[np.ndarray, " two_orders"]:
    """Input weights to start from: a cosine, a delta (both disturbed a little), or random."""
    draw = np.random.default_rng([seed, index]).standard_normal(2 * order)
    draw /= np.linalg.norm(draw)
    shape = {0: np.cos(2 * np.pi * np.arange(order) / order), 1: np.arange(order) == 0}.get(index)
    if shape is None:
        return draw
    pair = np.concatenate([shape, shape]).astype(float)
    return pair / np.linalg.norm(pair) + 0.05 * draw


def _standard(
    u: np.ndarray, v: np.ndarray, profile: Profile
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the image with frequency 1, phases near 0, the best w, and norm one."""
    p, q = profile.order, profile.activation.degree
    transform = np.fft.rfft(u)
    k = int(np.abs(transform[1:]).argmax()) + 1
    places = np.arange(p) * pow(k, -1, p) % p
    parts = []
    for part in (u, v):
        moved = part[places]
        phase = float(np.angle(np.fft.rfft(moved)[1]))
        parts.append(np.roll(moved, round(phase * p / (2 * np.pi))))
    y = np.concatenate(parts)
    y *= math.sqrt(q / (q + 1.0)) / np.linalg.norm(y)
    w = profile.sums(y)
    w -= w.mean()
    w *= math.sqrt(1.0 / (q + 1.0)) / np.linalg.norm(w)
    return y[:p].copy(), y[p:].copy(), w
