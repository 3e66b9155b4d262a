"""The maximum margin of a group, as the value of a small matrix game."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when used
from jaxtyping import Float

from marginlens.theory.certificate import Certificate, certify
from marginlens.theory.class_program import ClassProgram
from marginlens.theory.closed_forms import closed_form_masses, equalizing_distribution

__all__ = ["MarginSolution", "solve_margin"]

_TIGHT = 1e-8  # HiGHS returns vertices to about 1e-10: what is nearer than this is on the boundary
_RANK = 1e-9  # singular values below this share of the largest are zero
_OPTIONS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


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
        Each feature's least and greatest share among all maximum-margin networks.
    unique
        Whether the optimal masses are unique.
    """

    margin: float
    certificate: Certificate
    least: Float[np.ndarray, " irrep"]
    greatest: Float[np.ndarray, " irrep"]
    unique: bool


def solve_margin(program: ClassProgram, *, use_closed_form: bool = True) -> MarginSolution:
    """Maximum margin and the shares of the irreps in maximum-margin networks.

    gamma* = scale * t*, with t* the value of the matrix game B[C, rho] = (1 - Re chi_rho(C)/d) / c_rho:

        t* = min_tau max_rho (tau B)_rho = max_m min_C (B m)_C

    over probability vectors tau (on wrong answers) and m (shares of the norm).

    Parameters
    ----------
    program
        The group's class program.
    use_closed_form
        Whether to take the explicit solution where it is known to be the only one; otherwise the
        linear program is solved there too.

    Returns
    -------
    MarginSolution
        With a certificate whose relative gap is about 1e-15.

    Raises
    ------
    RuntimeError
        If the linear program's solver fails.

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
    certificate = certify(program, *_solve_game(program.payoff))
    least, greatest, unique = _share_bounds(program.payoff, certificate)
    return MarginSolution(certificate.lower, certificate, least, greatest, unique)


def _solve_game(payoff: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optimal vertices (tau, m) of the game, to machine precision."""
    classes, irreps = payoff.shape
    # variables (tau, t): minimise t subject to tau B <= t, sum tau = 1, tau >= 0
    result = scipy.optimize.linprog(
        np.append(np.zeros(classes), 1.0),
        A_ub=np.hstack([payoff.T, -np.ones((irreps, 1))]),
        b_ub=np.zeros(irreps),
        A_eq=np.append(np.ones(classes), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * classes + [(None, None)],
        method="highs-ds",
        options=_OPTIONS,
    )
    if not result.success:
        raise RuntimeError(f"the margin's linear program was not solved: {result.message}")
    tau, masses = result.x[:-1], -np.asarray(result.ineqlin.marginals)
    value = float(result.x[-1])
    tight_irreps = tau @ payoff > value - _TIGHT
    tight_classes = payoff @ masses < value + _TIGHT
    return (
        _polish(payoff.T, tau, tight_irreps),
        _polish(payoff, masses, tight_classes),
    )


def _polish(matrix: np.ndarray, vertex: np.ndarray, tight: np.ndarray) -> np.ndarray:
    """Solve a vertex's active constraints exactly: (matrix x)_i = t where tight, sum x = 1.

    The support and the tight constraints are read off the approximate vertex; they determine a
    vertex, so least squares returns it to machine precision. A result that leaves the simplex means
    the active set was misread, and the vertex is kept as it was.
    """
    support = vertex > _TIGHT
    size = int(support.sum())
    system = np.zeros((int(tight.sum()) + 1, size + 1))
    system[:-1, :size] = matrix[np.ix_(tight, support)]
    system[:-1, size] = -1.0
    system[-1, :size] = 1.0
    target = np.zeros(len(system))
    target[-1] = 1.0
    solution = np.linalg.lstsq(system, target, rcond=None)[0][:size]
    if solution.min() < 0 or np.abs(solution - vertex[support]).max() > 1e3 * _TIGHT:
        return np.maximum(vertex, 0.0)
    polished = np.zeros_like(vertex)
    polished[support] = solution
    return polished


def _share_bounds(
    payoff: np.ndarray, certificate: Certificate
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Least and greatest share of each irrep over all optimal masses, and whether they are unique.

    Complementary slackness with the one optimal tau at hand fixes most of the face: irreps that earn
    less than the most against tau carry nothing, and every class that tau uses is tight. What is left
    is m + N z with N a basis of the directions those equations leave free, usually none.
    """
    tau, masses = certificate.distribution, certificate.masses
    earned = tau @ payoff
    free = earned > earned.max() - _TIGHT
    value = float((payoff @ masses).min())
    used = tau > _TIGHT
    equations = np.vstack([payoff[np.ix_(used, free)], np.ones(int(free.sum()))])
    _, singular, rows = np.linalg.svd(equations)
    rank = int((singular > _RANK * singular[0]).sum())
    directions = rows[rank:].T
    if directions.shape[1] == 0:
        return masses, masses, True
    # m_free + N z >= 0 and (B m)_C >= t on the classes tau does not use
    lower_sides = np.vstack([directions, payoff[np.ix_(~used, free)] @ directions])
    slacks = np.append(masses[free], payoff[~used] @ masses - value)
    least, greatest = masses.copy(), masses.copy()
    for row, index in enumerate(np.flatnonzero(free)):
        if np.abs(directions[row]).max() < _RANK:
            continue
        for sign, bounds in ((1.0, least), (-1.0, greatest)):
            bounds[index] += sign * _extreme(sign * directions[row], lower_sides, slacks)
    least[np.abs(least) < _TIGHT] = 0.0
    greatest[np.abs(greatest) < _TIGHT] = 0.0
    return least, greatest, bool(np.abs(greatest - least).max() < _TIGHT)


def _extreme(direction: np.ndarray, lower_sides: np.ndarray, slacks: np.ndarray) -> float:
    """Least value of direction . z subject to lower_sides z >= -slacks (never above 0)."""
    result = scipy.optimize.linprog(
        direction,
        A_ub=-lower_sides,
        b_ub=np.maximum(slacks, 0.0),
        bounds=(None, None),
        method="highs",
        options=_OPTIONS,
    )
    if not result.success:
        raise RuntimeError(f"the linear program of a share was not solved: {result.message}")
    return min(float(result.fun), 0.0)
