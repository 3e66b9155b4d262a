"""Least and greatest share of each irrep over all maximum-margin networks, with proofs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from marginlens.theory.solvers import linear_solutions

__all__ = ["ShareBounds", "share_bounds"]

_ON_BOUNDARY = 1e-8  # probabilities, masses and slacks below this are zero
_RANK = 1e-9  # singular values below this part of the largest are zero
_ROUNDING = 1e-12  # entries of the program below this are rounding errors of zeros
_FEASIBLE = 1e-9  # part of the margin by which a point of the face may fall short
_PROVED = 1e-8  # greatest distance of a share that is attained from the bound that is proved


@dataclass(frozen=True, eq=False)
class ShareBounds:
    """Range of each irrep's share over all optimal masses.

    Attributes
    ----------
    least, greatest
        Bounds that are attained and proved to 1e-8; nan where no solver's answer passed the check.
    unique
        Whether the optimal masses are proved to be unique.
    """

    least: Float[np.ndarray, " irrep"]
    greatest: Float[np.ndarray, " irrep"]
    unique: bool


def share_bounds(
    payoff: Float[np.ndarray, "class irrep"],
    distribution: Float[np.ndarray, " class"],
    masses: Float[np.ndarray, " irrep"],
) -> ShareBounds:
    """Return the range of each share over the optimal masses of a solved game.

    The optimal masses are {m >= 0, sum m = 1, B m >= t*}. A solver only suggests bounds: one counts
    once a feasible point attains it and multipliers prove it. For the least value of e . m,
    multipliers y >= 0 of the rows prove that

        e . m >= t* sum_C y_C + min_rho (e - y B)_rho

    for all optimal m.

    Parameters
    ----------
    payoff
        Payoff matrix B of the game, shape (class, irrep).
    distribution
        Optimal distribution tau on wrong answers, shape (class,).
    masses
        Optimal masses m, shape (irrep,).

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "The margin of a group".

    Examples
    --------
    >>> found = share_bounds(np.array([[1.0, 1.0, 0.0]]), np.array([1.0]), np.array([1.0, 0.0, 0.0]))
    >>> found.least.tolist(), found.greatest.tolist(), found.unique
    ([0.0, 0.0, 0.0], [1.0, 1.0, 0.0], False)
    """
    face = _Face(payoff, distribution, masses)
    least, greatest = masses.copy(), masses.copy()
    points = [masses]  # optimal masses that were met
    for index in face.loose:
        for sign, bounds in ((1.0, least), (-1.0, greatest)):
            if sign > 0 and min(point[index] for point in points) <= 0.0:
                bounds[index] = 0.0
            else:
                bounds[index] = sign * _least_value(face, sign, int(index), points)
    for bounds in (least, greatest):
        bounds[np.abs(bounds) < _ON_BOUNDARY] = 0.0
    unique = bool((greatest - least < _ON_BOUNDARY).all())  # False where one of them is nan
    return ShareBounds(least, greatest, unique)


def _least_value(face: _Face, sign: float, index: int, points: list[np.ndarray]) -> float:
    """Return the least value of sign * m_index over the face, or NaN without a proof.

    The optimal points are appended to ``points``.
    """
    objective = np.zeros(len(face.masses))
    objective[index] = sign
    attained = min(float(objective @ point) for point in points)
    proved = -np.inf
    for solution in linear_solutions(
        objective[face.free] @ face.directions, -face.sides, face.slacks, bounds=(None, None)
    ):
        point = face.point(solution.x)
        if face.holds(point):
            points.append(point)
            attained = min(attained, float(objective @ point))
        proved = max(proved, face.lower_bound(objective, solution.multipliers))
        if abs(attained - proved) <= _PROVED:
            return attained
    return np.nan


@dataclass(frozen=True, eq=False)
class _Face:
    """Optimal masses, as m + N z with sides (L z >= -slacks).

    Complementary slackness with one optimal tau fixes most of m: irreps with less than the greatest
    gain against tau have mass zero, and every class that tau uses is tight. N spans the directions
    that these equations leave free; it is often empty.
    """

    payoff: np.ndarray
    distribution: np.ndarray
    masses: np.ndarray

    @cached_property
    def value(self) -> float:
        return float((self.payoff @ self.masses).min())

    @cached_property
    def earned(self) -> Float[np.ndarray, " irrep"]:
        return self.distribution @ self.payoff

    @cached_property
    def free(self) -> Bool[np.ndarray, " irrep"]:
        return self.earned > self.earned.max() - _ON_BOUNDARY

    @cached_property
    def used(self) -> Bool[np.ndarray, " class"]:
        return self.distribution > _ON_BOUNDARY

    @cached_property
    def equations(self) -> Float[np.ndarray, "row free"]:
        return np.vstack([self.payoff[np.ix_(self.used, self.free)], np.ones(int(self.free.sum()))])

    @cached_property
    def directions(self) -> Float[np.ndarray, "free direction"]:
        _, singular, rows = np.linalg.svd(self.equations)
        rank = int((singular > _RANK * singular[0]).sum())
        return _without_rounding(rows[rank:].T)

    @cached_property
    def loose(self) -> np.ndarray:
        """Irreps whose masses are not fixed by the equations."""
        if not self.directions.shape[1]:
            return np.array([], dtype=int)
        return np.flatnonzero(self.free)[np.abs(self.directions).max(axis=1) > _RANK]

    @cached_property
    def sides(self) -> Float[np.ndarray, "side direction"]:
        others = self.payoff[np.ix_(~self.used, self.free)]
        return np.vstack([self.directions, _without_rounding(others @ self.directions)])

    @cached_property
    def slacks(self) -> Float[np.ndarray, " side"]:
        leads = self.payoff[~self.used] @ self.masses - self.value
        slacks = np.append(self.masses[self.free], leads)
        return np.where(slacks > _ROUNDING, slacks, 0.0)

    @cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.pinv(self.equations.T, rcond=_RANK)

    def point(self, z: np.ndarray) -> Float[np.ndarray, " irrep"]:
        """Masses m + N z, on the simplex."""
        masses = self.masses.copy()
        masses[self.free] += self.directions @ z
        masses = np.maximum(masses, 0.0)
        return masses / masses.sum()

    def holds(self, point: np.ndarray) -> bool:
        """Return whether masses are optimal, up to the rounding of a solver."""
        return bool((self.payoff @ point).min() >= self.value * (1.0 - _FEASIBLE))

    def lower_bound(self, objective: np.ndarray, multipliers: np.ndarray) -> float:
        """Return a proved lower bound of objective . m over the face, for any multipliers.

        The multipliers of the sides are completed to multipliers of all rows: those of the
        equations by least squares, and then by a multiple of tau that makes all of them positive.
        That does not weaken the bound, since tau is optimal.
        """
        count = int(self.free.sum())
        y = np.zeros(len(self.payoff))
        y[~self.used] = multipliers[count:]
        rest = objective - y @ self.payoff
        of_equations = self._inverse @ (rest[self.free] - multipliers[:count])
        y[self.used] = of_equations[:-1]
        slack = objective - y @ self.payoff - of_equations[-1]
        missing = [0.0]
        if self.used.any():
            missing.append(float((-y[self.used] / self.distribution[self.used]).max()))
        if not self.free.all():
            against = self.earned.max() - self.earned[~self.free]
            missing.append(float((-slack[~self.free] / against).max()))
        y = np.maximum(y + max(missing) * self.distribution, 0.0)
        return float((objective - y @ self.payoff).min() + self.value * y.sum())


def _without_rounding(matrix: np.ndarray) -> np.ndarray:
    """Zeros in place of entries that are rounding errors: presolving trips over them."""
    return np.where(np.abs(matrix) > _ROUNDING, matrix, 0.0)
