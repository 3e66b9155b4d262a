"""Ascent to the best single neuron of addition modulo p, for any activation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when used
from jaxtyping import Bool, Float

from marginlens.theory.activation import Activation
from marginlens.theory.solvers import linear_solutions

__all__ = ["Profile", "ascend", "stationarity"]

_SMOOTHING = (0.3, 0.03, 0.003, 3e-4)
_FINER = (3e-5, 3e-6)
"""Widths of the smoothing, one after the other, in units of p^(-1/2); the finer without a polish."""
_ZEROS = (0.1, 0.03, 0.01, 3e-3, 1e-3)
"""Preactivations below this share of the largest are tried as exact zeros."""

Inputs = Float[np.ndarray, " two_orders"]


@dataclass(frozen=True)
class Profile:
    """Gain of a neuron as a function of its input weights y = (u, v).

    With h(c) = sum_{a+b=c} sigma(u(a) + v(b)) the best output weights are w ~ h - mean(h), and

        G(y) = sum_c (h(c) - mean(h))^2 / ||y||^(2 degree)

    remains to be maximised. The linear part of sigma has a constant h, so an activation of degree 1
    is replaced by |x|.

    Parameters
    ----------
    order
        Order n of the group.
    activation
        Activation sigma of the neuron.
    """

    order: int
    activation: Activation

    def gain(self, y: Inputs) -> float:
        """Return the logarithm of the gain, log G(y)."""
        centred = self.sums(y)
        centred -= centred.mean()
        with np.errstate(divide="ignore"):
            return float(np.log(centred @ centred) - self.activation.degree * np.log(y @ y))

    def sums(self, y: Inputs) -> Float[np.ndarray, " order"]:
        """Return h(c), the sum of sigma(u(a) + v(b)) over a + b = c."""
        return self._along(self._sigma(self.before(y), 0.0))

    def before(self, y: Inputs) -> Float[np.ndarray, "order order"]:
        """Return the preactivations u(a) + v(b)."""
        return y[: self.order, None] + y[None, self.order :]

    def slope(
        self, y: Inputs, smoothing: float = 0.0
    ) -> tuple[float, Float[np.ndarray, " two_orders"]]:
        """Return -log G and its gradient, with |x| smoothed to sqrt(x^2 + smoothing^2)."""
        norm = float(np.sqrt(y @ y))
        z = y / norm
        x = self.before(z)
        sigma, rate = self._sigma(x, smoothing), self._rate(x, smoothing)
        centred = self._along(sigma)
        centred -= centred.mean()
        gain = float(centred @ centred)
        if gain <= 0.0:  # sums that are all alike: nothing to climb
            return 700.0, np.zeros_like(y)
        rate *= self.on_pairs(centred)
        gradient = np.concatenate([rate.sum(1), rate.sum(0)]) * (-2.0 / gain)
        return -float(np.log(gain)), (gradient - z * (z @ gradient)) / norm

    def on_pairs(self, values: Float[np.ndarray, " order"]) -> Float[np.ndarray, "order order"]:
        """Return values(a + b) at (a, b), as a view."""
        return np.lib.stride_tricks.sliding_window_view(np.tile(values, 2)[:-1], self.order)

    def _parts(self) -> tuple[float, float]:
        """Shares of |x|^q and of x |x|^(q-1) in sigma; of degree 1 only |x| counts."""
        if self.activation.degree == 1:
            return 1.0, 0.0
        negative = self.activation.at_minus_one
        return (1.0 + negative) / 2.0, (1.0 - negative) / 2.0

    def _sigma(self, x: np.ndarray, smoothing: float) -> np.ndarray:
        q = self.activation.degree
        even, odd = self._parts()
        if not smoothing:
            return np.abs(x) if q == 1 else self.activation.value(x)
        r = np.sqrt(np.square(x) + smoothing**2)
        return even * r if q == 1 else r ** (q - 1) * (even * r + odd * x)

    def _rate(self, x: np.ndarray, smoothing: float) -> np.ndarray:
        """Derivative of :meth:`_sigma` in x."""
        q = self.activation.degree
        even, odd = self._parts()
        if not smoothing:
            return np.sign(x) if q == 1 else self.activation.slope(x)
        r = np.sqrt(np.square(x) + smoothing**2)
        if q == 1:
            return even * x / r
        return r ** (q - 2) * (even * q * x + odd * (r + (q - 1) * np.square(x) / r))

    def _along(self, table: np.ndarray) -> np.ndarray:
        """Sums of a table over a + b = c."""
        n = self.order
        # rows of length 2n read as rows of length 2n - 1: row a moves right by a, to columns a + b
        padded = np.zeros((n, 2 * n))
        padded[:, :n] = table
        skewed = padded.ravel()[: n * (2 * n - 1)].reshape(n, 2 * n - 1)
        totals = skewed.sum(0)
        totals[: n - 1] += totals[n:]
        return totals[:n]


def ascend(
    profile: Profile, start: Inputs, basis: Float[np.ndarray, "two_orders direction"] | None = None
) -> Inputs:
    """Climb from a start to a local maximum of the gain, of norm one.

    L-BFGS on the logarithm of the gain, which does not depend on scale. Below degree 2 the bend at
    0 is
    too sharp for it: there |x| is smoothed ever less. For degree 1, where maxima lie on kinks, the
    result is polished on its active set (:func:`_on_active_set`).

    Parameters
    ----------
    profile
        Gain to maximise, with its group and activation.
    start
        Initial input weights (u, v), not zero.
    basis
        Orthonormal columns of the subspace to search; by default the whole space of (u, v).
    """

    def climb(y: np.ndarray, smoothing: float, change: float) -> np.ndarray:
        found = scipy.optimize.minimize(
            lambda t: _inside(profile, t, smoothing, basis),
            y / np.linalg.norm(y),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 3000, "maxcor": 15, "ftol": change, "gtol": 1e-10},
        )
        return found.x / np.linalg.norm(found.x)

    y = start if basis is None else basis.T @ start
    unit = profile.order**-0.5
    if profile.activation.degree < 2:
        for width in _SMOOTHING:
            y = climb(y, width * unit, 1e-9)
    if profile.activation.degree == 1 and basis is None:
        candidates = [y, *(_on_active_set(profile, y, share) for share in _ZEROS)]
        return max(candidates, key=profile.gain)
    if profile.activation.degree < 2:
        for width in _FINER:
            y = climb(y, width * unit, 1e-12)
    if profile.activation.degree > 1:
        y = climb(y, 0.0, 1e-16)
    return y if basis is None else basis @ y


def stationarity(
    profile: Profile, y: Inputs, zeros: Bool[np.ndarray, "order order"] | None = None
) -> float:
    """Return the largest entry of the gradient of log G at y of norm one.

    On a kink of |x| the slope may be any s in [-1, 1] (Clarke's generalized gradient): the choice
    with the least largest entry counts, which is a linear program; NaN if every solver fails.

    Parameters
    ----------
    profile
        Gain that was maximised.
    y
        Input weights (u, v), shape (2 n,).
    zeros
        Mask of pairs (a, b) on a kink, shape (n, n); only for degree 1.
    """
    z = y / np.linalg.norm(y)
    if zeros is None or not zeros.any():
        return float(np.abs(profile.slope(z)[1]).max())
    n = profile.order
    centred = profile.sums(z)
    centred -= centred.mean()
    weights = profile.on_pairs(centred) * (2.0 / float(centred @ centred))
    rate = np.where(zeros, 0.0, np.sign(profile.before(z))) * weights
    fixed = np.concatenate([rate.sum(1), rate.sum(0)]) - 2.0 * z  # G has degree 2
    a, b = np.nonzero(zeros)
    column = np.arange(len(a))
    free = scipy.sparse.coo_array(
        (np.tile(weights[a, b], 2), (np.concatenate([a, b + n]), np.tile(column, 2))),
        shape=(2 * n, len(a)),
    )
    ones = scipy.sparse.coo_array(np.ones((2 * n, 1)))
    # least t with |fixed + free s| <= t
    solution = next(
        linear_solutions(
            np.append(np.zeros(len(a)), 1.0),
            scipy.sparse.block_array([[free, -ones], [-free, -ones]]).tocsr(),
            np.concatenate([-fixed, fixed]),
            bounds=[(-1.0, 1.0)] * len(a) + [(0.0, None)],
        ),
        None,
    )
    return np.nan if solution is None else solution.value


def _inside(
    profile: Profile, y: np.ndarray, smoothing: float, basis: np.ndarray | None
) -> tuple[float, np.ndarray]:
    """-log G and its gradient in the coordinates of a basis."""
    if basis is None:
        return profile.slope(y, smoothing)
    value, gradient = profile.slope(basis @ y, smoothing)
    return value, basis.T @ gradient


def _on_active_set(profile: Profile, y: Inputs, share: float) -> Inputs:
    """Maximum of the gain of |x| among neurons with the same signs and the same exact zeros.

    Zeros tie weights together: u(a) = -v(b) for all of them, so each connected component of the graph
    of zeros has one value t, u = t and v = -t. Given signs, h is linear in these values, and the best
    are a leading singular vector. Signs and zeros are read off the result and the step is repeated
    while the gain rises.

    Parameters
    ----------
    profile
        With an activation of degree 1.
    y
        Close to a maximum, of norm one.
    share
        Preactivations of at most this share of the largest count as zeros.
    """
    n = profile.order
    place = (np.arange(n)[:, None] - np.arange(n)) % n
    gain = profile.gain(y)
    for _ in range(50):
        x = profile.before(y)
        zeros = np.abs(x) <= share * np.abs(x).max()
        _, component = scipy.sparse.csgraph.connected_components(_graph(zeros), directed=False)
        ties = np.zeros((2 * n, component.max() + 1))
        ties[np.arange(2 * n), component] = np.repeat([1.0, -1.0], n)
        ties /= np.linalg.norm(ties, axis=0)
        signs = np.where(zeros, 0.0, np.sign(x))
        # row c: sum over a of sign(a, c - a) (u(a) + v(c - a))
        sums = np.hstack([signs[np.arange(n), place], signs[place, np.arange(n)]]) @ ties
        _, sizes, vectors = np.linalg.svd(sums - sums.mean(0), full_matrices=False)
        if sizes[0] == 0.0:
            break
        better = ties @ vectors[0]
        better *= 1.0 if better @ y >= 0 else -1.0
        raised = profile.gain(better)
        if not raised > gain + 1e-15:
            return better if raised > gain - 1e-12 else y
        y, gain = better, raised
    return y


def _graph(zeros: np.ndarray) -> scipy.sparse.coo_array:
    """Edges between the a of u and the b of v whose preactivation is zero."""
    n = len(zeros)
    a, b = np.nonzero(zeros)
    return scipy.sparse.coo_array((np.ones(len(a)), (a, b + n)), shape=(2 * n, 2 * n))
