"""Blow-up time of a neuron's frequency: three resonant waves."""

from __future__ import annotations

import numpy as np
import scipy  # its parts are loaded when used
from jaxtyping import Complex, Float

__all__ = ["growth_time"]

_NEWTON_STEPS = 60  # quadratic but at a double root, where each step halves the error

Reals = Float[np.ndarray, "*shape"]


def growth_time(u: Reals, v: Reals, w: Reals, misalignment: Reals) -> Reals:
    r"""Return the time at which one frequency of a neuron becomes infinite, from its start.

    While the logits are small, gradient flow of the mean cross-entropy over the whole table of
    $C_n$, with $\sigma(x) = x^2$, moves every neuron and every frequency on its own: with $\hat u =
    \sum_j u(j)\,e^{-2\pi i k j/n}$, and $\tau = 2t/n^2$,

    $$\hat u' = \bar{\hat v}\,\hat w,\qquad \hat v' = \bar{\hat u}\,\hat w,\qquad
    \hat w' = \hat u\,\hat v .$$

    These are three waves in resonance. With $A, B, C$ the magnitudes and $D = \theta_u + \theta_v -
    \theta_w$ the misalignment, $A' = BC\cos D$ and so on, and $A^2 - B^2$, $A^2 - C^2$ and $ABC\sin
    D$ are conserved. So all three squares gain the same $x$, with $(x'/2)^2 = (A^2+x)(B^2+x)(C^2+x)
    - (ABC\sin D)^2 = (x+z_1)(x+z_2)(x+z_3)$ and $A, B, C$ those of the start, and $x$ is infinite
    after

    $$\int_0^\infty \frac{dx}{2\sqrt{(x+z_1)(x+z_2)(x+z_3)}} = R_F(z_1, z_2, z_3),$$

    Carlson's integral. Where $\cos D < 0$ the squares first fall by $z_1$, the least root:
    $2R_F(0, z_2 - z_1, z_3 - z_1) - R_F(z_1, z_2, z_3)$.

    Parameters
    ----------
    u, v, w
        Magnitudes $A, B, C \ge 0$, all of one shape.
    misalignment
        Angle $D$ in radians, of the same shape.

    Returns
    -------
    Float[np.ndarray, "..."]
        Time in units of $\tau$; infinite where two magnitudes are 0.

    Raises
    ------
    ValueError
        A magnitude is negative.

    Notes
    -----
    That a ticket of large magnitude and small misalignment wins is from He, Wang, Chen & Yang 2026,
    *On the Mechanism and Dynamics of Modular Addition*; the closed form is that of the explosive
    three-wave interaction. Weight decay multiplies all waves of a neuron by the same factor of
    time,
    and so does a residual that shrinks at all frequencies alike: neither changes which of a
    neuron's
    frequencies is first.

    Examples
    --------
    With equal magnitudes m and aligned phases A' = A^2, so that the time is 1 / m:

    >>> one = np.array([0.5])
    >>> growth_time(one, one, one, np.array([0.0])).round(12)
    array([2.])
    >>> growth_time(one, one, one, np.array([3.0])).round(2)
    array([7.33])
    """
    if min(x.min(initial=0.0) for x in (u, v, w)) < 0:
        raise ValueError("magnitudes are |û|, |v̂|, |ŵ|: none may be below 0; take np.abs of them")
    unit = np.maximum(np.maximum(u, v), w)
    unit = np.where(unit > 0, unit, 1.0)
    first, second, third = (np.square(x / unit) for x in (u, v, w))
    cosine = np.cos(misalignment)
    one = first + second + third
    two = first * second + second * third + third * first
    three = first * second * third * np.square(cosine)
    least = _least_root(one, two, three)
    total, product = one - least, two - least * (one - least)  # of the two other roots
    half = np.sqrt((total / 2) ** 2 - product + 0j)
    others = total / 2 + half, total / 2 - half
    straight = scipy.special.elliprf(least + 0j, *others).real
    again = scipy.special.elliprf(0j, *(_right_of_zero(z - least) for z in others)).real
    still = two == 0  # two magnitudes are 0: nothing drives the third
    turned = 2 * again - np.where(still, 0.0, straight)
    return np.where(still, np.inf, np.where(cosine >= 0, straight, turned)) / unit


def _least_root(one: Reals, two: Reals, three: Reals) -> Reals:
    """Return the least root of z^3 - one z^2 + two z - three, by Newton's method from 0."""
    z = np.zeros_like(one)
    for _ in range(_NEWTON_STEPS):
        value = ((z - one) * z + two) * z - three
        slope = (3 * z - 2 * one) * z + two
        z = z - np.where(slope > 0, np.minimum(value, 0) / np.where(slope > 0, slope, 1), 0)
    return z


def _right_of_zero(z: Complex[np.ndarray, "*shape"]) -> Complex[np.ndarray, "*shape"]:
    """Clip to 0 a difference of roots that rounding made negative."""
    return np.where((np.imag(z) == 0) & (np.real(z) < 0), 0, z)
