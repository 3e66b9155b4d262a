"""Maximum margin of a group, as the value of a small matrix game."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from marginlens.theory.group.certificate import Certificate, certify
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.closed_forms import closed_form_masses, equalizing_distribution
from marginlens.theory.group.share_bounds import share_bounds
from marginlens.theory.solvers import linear_solutions

__all__ = ["SOLVED_GAP", "MarginSolution", "solve_margin"]

SOLVED_GAP = 1e-9
"""A margin whose certificate has a wider relative gap is a lower bound, and no maximum."""

_TIGHT = 1e-8  # HiGHS returns vertices to about 1e-10: what is nearer than this is on the boundary
_EXACT = 1e-12  # relative gap with which no other method is asked


@dataclass(frozen=True, eq=False)
class MarginSolution:
    """Solution of the margin program of a group.

    Attributes
    ----------
    margin
        gamma*, the maximum normalized margin (the lower bound of the certificate).
    certificate
        An optimal distribution on wrong answers and optimal masses, with the bounds they prove.
    least, greatest
        Each feature's least and greatest share among all maximum-margin networks; nan where no solver
        determined it.
    unique
        Whether the optimal masses are proved to be unique.
    """

    margin: float
    certificate: Certificate
    least: Float[np.ndarray, " irrep"]
    greatest: Float[np.ndarray, " irrep"]
    unique: bool


def solve_margin(program: ClassProgram, *, use_closed_form: bool = True) -> MarginSolution:
    """Return the maximum margin and the shares of the irreps in maximum-margin networks.

    gamma* = scale * t*, with t* the value of the matrix game B[C, rho] = (1 - Re chi_rho(C)/d) /
    c_rho:

        t* = min_tau max_rho (tau B)_rho = max_m min_C (B m)_C

    over probability vectors tau (on wrong answers) and m (shares of the norm).

    Parameters
    ----------
    program
        Class program of the group.
    use_closed_form
        Whether to return the explicit solution where it is known to be unique; otherwise the linear
        program is solved there too.

    Returns
    -------
    MarginSolution
        Solution with a certificate whose relative gap is about 1e-15. If solvers fail, the
        certificate has a wider gap, or shares are NaN.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "The margin of a group"; extends Theorems 7 and 9 of
    Morwani et al. 2024.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> solution = solve_margin(ClassProgram.of(group("S3")))
    >>> f"{solution.margin:.11e}", solution.unique
    ('2.36049693105e-02', True)
    """
    tau = equalizing_distribution(program)
    if use_closed_form and (tau > 0).all():
        # A network's margin meets the bound only if every class in tau's support is tight; all are,
        # and B is invertible, so the masses are unique.
        certificate = certify(program, tau, closed_form_masses(program))
        masses = certificate.masses
        return MarginSolution(certificate.lower, certificate, masses, masses, unique=True)
    certificate = _solve_game(program)
    if certificate.gap > SOLVED_GAP:
        unknown = np.full(len(program.costs), np.nan)
        return MarginSolution(certificate.lower, certificate, unknown, unknown, unique=False)
    payoff = _in_units(program, certificate)
    shares = share_bounds(payoff, certificate.distribution, certificate.masses)
    return MarginSolution(
        certificate.lower, certificate, shares.least, shares.greatest, shares.unique
    )


def _solve_game(program: ClassProgram) -> Certificate:
    """Return the best certificate of all solvers, stopping at machine precision."""
    # every tau and every m are valid: these are for a program that no method solves; equal masses
    # have a positive margin, also where the others' is lost to rounding, as with many inputs
    tau = np.maximum(equalizing_distribution(program), 0.0)
    even = np.full(len(program.costs), 1.0 / len(program.costs))
    candidates = [certify(program, tau, masses) for masses in (closed_form_masses(program), even)]
    best = max(candidates, key=lambda one: one.lower)
    payoff = _in_units(program, best)
    classes, irreps = payoff.shape
    # variables (tau, t): minimise t subject to tau B <= t, sum tau = 1, tau >= 0
    for solution in linear_solutions(
        np.append(np.zeros(classes), 1.0),
        np.hstack([payoff.T, -np.ones((irreps, 1))]),
        np.zeros(irreps),
        bounds=[(0, None)] * classes + [(None, None)],
        total=True,
    ):
        tau, masses = solution.x[:-1], solution.multipliers
        if tau.max() <= 0 or masses.max() <= 0:
            continue
        tight_irreps = tau @ payoff > solution.value - _TIGHT
        tight_classes = payoff @ masses < solution.value + _TIGHT
        found = certify(
            program, _polish(payoff.T, tau, tight_irreps), _polish(payoff, masses, tight_classes)
        )
        best = min(best, found, key=lambda one: one.gap)
        if best.gap < _EXACT:
            break
    return best


def _in_units(program: ClassProgram, bounds: Certificate) -> Float[np.ndarray, "class irrep"]:
    """Scale the game by a lower bound of its value, which is tiny with many inputs."""
    return program.payoff * (program.scale / bounds.lower)


def _polish(matrix: np.ndarray, vertex: np.ndarray, tight: np.ndarray) -> np.ndarray:
    """Solve a vertex's active constraints exactly: (matrix x)_i = t where tight, sum x = 1.

    The support and the tight constraints are read off the approximate vertex, and the least change
    that meets them is made, which is to machine precision. A result that leaves the simplex means the
    active set was misread, and the vertex is kept as it was.
    """
    support = vertex > _TIGHT
    size = int(support.sum())
    system = np.zeros((int(tight.sum()) + 1, size + 1))
    system[:-1, :size] = matrix[np.ix_(tight, support)]
    system[:-1, size] = -1.0
    system[-1, :size] = 1.0
    target = np.zeros(len(system))
    target[-1] = 1.0
    near = np.append(vertex[support], float((matrix @ vertex)[tight].mean()))
    change = np.linalg.lstsq(system, target - system @ near, rcond=None)[0]
    solution = (near + change)[:size]
    if solution.min() < 0 or np.abs(change[:size]).max() > 1e3 * _TIGHT:
        return np.maximum(vertex, 0.0)
    polished = np.zeros_like(vertex)
    polished[support] = solution
    return polished
