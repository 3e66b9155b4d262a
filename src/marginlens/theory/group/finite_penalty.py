"""Exact infinite-width minimum of the penalized cross-entropy at a penalty strength."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when used
from jaxtyping import Float

from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.closed_forms import closed_form_masses
from marginlens.theory.symmetric import symmetric_optimum

__all__ = ["PenalizedMinimum", "collapse_penalty", "minimize_penalized_loss"]

_TOLERANCE = 1e-13  # relative violation of the optimality conditions at which to stop
_ITERATIONS = 200


@dataclass(frozen=True, eq=False)
class PenalizedMinimum:
    """Minimum of log sum_z exp(-(A s)_z) + strength * sum_rho s_rho / g_rho over s >= 0.

    Attributes
    ----------
    amplitudes
        Logit amplitude s_rho = g_rho M_rho of each irrep class.
    masses
        Part M_rho of each irrep class in sum ||omega||^3.
    loss
        Mean cross-entropy, without the penalty.
    norm
        Sum of the masses, sum_rho M_rho.
    margin
        Least logit difference min_C (A s)_C.
    lower_bound
        Value of a feasible point of the dual: no network has a smaller objective.
    gap
        Relative duality gap (objective - lower_bound) / objective.
    stationarity
        Largest violation of the optimality conditions, relative to the penalty's gradient.
    """

    amplitudes: Float[np.ndarray, " irrep"]
    masses: Float[np.ndarray, " irrep"]
    loss: float
    norm: float
    margin: float
    lower_bound: float
    gap: float
    stationarity: float


def collapse_penalty(program: ClassProgram) -> float:
    """Return the strength lambda_c = max_rho g_rho from which on the minimum is zero.

    Parameters
    ----------
    program
        Class program of the group.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> f"{collapse_penalty(ClassProgram.of(group('C71'))):.3g}"
    '0.000455'
    """
    return float(program.gains.max())


def minimize_penalized_loss(program: ClassProgram, strength: float) -> PenalizedMinimum:
    """Return the infinite-width minimum of cross-entropy + strength * sum_i ||omega_i||^3.

        min_{M >= 0} log sum_{z in G} exp(-sum_rho g_rho M_rho (1 - Re chi_rho(z)/d_rho))
                     + strength * sum_rho M_rho

    Solved by Newton's method, with the sign constraints kept in each quadratic model (by
    nonnegative
    least squares where a plain step would leave them). The dual

        max_p  H(p)  subject to  (A^T p)_rho <= strength / g_rho,  p >= 0,  sum_C p_C <= 1

    with H(p) = -sum_C p_C log(p_C / |C|) - p_1 log p_1, p_1 = 1 - sum_C p_C, proves the gap.

    Parameters
    ----------
    program
        Class program of the group.
    strength
        Penalty strength lambda, finite and positive.

    Returns
    -------
    PenalizedMinimum
        Minimum with a relative gap of about 1e-14. The gap is wider at extremely small strengths,
        where probabilities of wrong answers vanish in float64.

    Raises
    ------
    ValueError
        The strength is not a finite positive number.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "At a finite penalty".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> minimum = minimize_penalized_loss(ClassProgram.of(group("C23")), 1e-4)
    >>> f"{minimum.loss:.7f} {minimum.norm:.2f}", minimum.gap < 1e-10
    ('0.0395376 2442.94', True)
    """
    if not (math.isfinite(strength) and strength > 0):
        raise ValueError(
            f"strength: expected a finite positive number, got {strength}; for example 1e-4"
        )
    problem = _Problem(
        program.defects, np.log(program.class_sizes.astype(float)), strength / program.gains
    )
    if strength >= collapse_penalty(program):
        amplitudes = np.zeros_like(program.gains)
    else:
        amplitudes = _newton(problem, _start(program, strength))
    return _result(problem, amplitudes, program)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Objective log(1 + sum_C |C| exp(-(A s)_C)) + weights . s and its derivatives."""

    defects: np.ndarray
    log_sizes: np.ndarray
    weights: np.ndarray

    def loss(self, s: np.ndarray) -> float:
        # log(1 + sum of exponentials), in which the largest term is taken out
        exponents = np.append(self.log_sizes - self.defects @ s, 0.0)
        largest = exponents.max()
        others = np.exp(exponents - largest)
        others[exponents.argmax()] = 0.0
        return float(largest + np.log1p(others.sum()))

    def objective(self, s: np.ndarray) -> float:
        return self.loss(s) + float(self.weights @ s)

    def probabilities(self, s: np.ndarray) -> np.ndarray:
        return np.exp(self.log_sizes - self.defects @ s - self.loss(s))

    def gradient(self, s: np.ndarray) -> np.ndarray:
        return self.weights - self.probabilities(s) @ self.defects

    def hessian_root(self, s: np.ndarray) -> np.ndarray:
        """J with J^T J = A^T (diag p - p p^T) A."""
        p = self.probabilities(s)
        root, total, right = np.sqrt(p), p.sum(), math.exp(-self.loss(s))
        # (I - a q q^T)^2 = I - q q^T for q = sqrt p, whose squared length is 1 - p_1
        factor = (1.0 - math.sqrt(right)) / total
        scaled = root[:, None] * self.defects
        return scaled - factor * np.outer(root, root @ scaled)

    def violation(self, s: np.ndarray, gradient: np.ndarray) -> float:
        """Largest relative violation of: gradient = 0 where s > 0, gradient >= 0 where s = 0."""
        violations = np.where(s > 0, np.abs(gradient), np.maximum(-gradient, 0.0))
        return float((violations / self.weights).max())


def _start(program: ClassProgram, strength: float) -> np.ndarray:
    """Return the best point along the equalizing masses; exact for C_p."""
    masses, n = closed_form_masses(program), program.group_order
    margin = program.scale * float((program.payoff @ masses).min())
    norm = symmetric_optimum(n, margin, strength)[1]
    return program.gains * masses * norm


def _newton(problem: _Problem, s: np.ndarray) -> np.ndarray:
    gradient = problem.gradient(s)
    violation = problem.violation(s, gradient)
    for _ in range(_ITERATIONS):
        if violation <= _TOLERANCE:
            break
        try:
            step = _target(problem, s, gradient) - s
        except (np.linalg.LinAlgError, RuntimeError):  # singular, or no end: the gap tells how far
            break
        slope = float(gradient @ step)
        objective = problem.objective(s)
        length = 1.0
        while problem.objective(
            s + length * step
        ) > objective + 1e-4 * length * slope + 1e-15 * abs(objective):
            length /= 2.0
            if length < 1e-12:
                return s
        # s + 1 * (target - s) need not be the target's exact zeros
        following = s + length * step if length < 1.0 else np.maximum(s + step, 0.0)
        following[(step == -s) & (length == 1.0)] = 0.0
        following_gradient = problem.gradient(following)
        following_violation = problem.violation(following, following_gradient)
        # near the minimum the objective no longer tells two points apart: go on while the
        # optimality conditions improve
        if -slope < 1e-14 * abs(objective) and following_violation >= violation:
            break
        s, gradient, violation = following, following_gradient, following_violation
    return s


def _target(problem: _Problem, s: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the minimum over s' >= 0 of the quadratic model at s."""
    root = problem.hessian_root(s)
    free = (s > 0) | (gradient < 0)
    target = np.zeros_like(s)
    triangle = np.linalg.qr(root[:, free], mode="r")
    half = scipy.linalg.solve_triangular(triangle, gradient[free], trans=1)
    target[free] = s[free] - scipy.linalg.solve_triangular(triangle, half)
    if (target >= 0).all():
        return target
    # |J (s' - s) + J^-T gradient|^2 / 2 is the model up to a constant, J being square and invertible
    triangle = np.linalg.qr(root, mode="r")
    half = scipy.linalg.solve_triangular(triangle, gradient, trans=1)
    columns = np.linalg.norm(triangle, axis=0)
    solution = scipy.optimize.nnls(triangle / columns, triangle @ s - half, maxiter=50 * len(s))[0]
    return solution / columns


def _result(problem: _Problem, s: np.ndarray, program: ClassProgram) -> PenalizedMinimum:
    p = problem.probabilities(s)
    # scaled down until it meets the dual's constraints
    p = p * min(1.0, float((problem.weights / (p @ problem.defects)).min()))
    right = 1.0 - p.sum()
    entropy = -float((p * np.log(np.where(p > 0, p, 1.0))).sum())
    of_right = float(right * math.log1p(-p.sum())) if right else 0.0
    lower = float(p @ problem.log_sizes) + entropy - of_right
    objective = problem.objective(s)
    masses = s / program.gains
    return PenalizedMinimum(
        amplitudes=s,
        masses=masses,
        loss=problem.loss(s),
        norm=float(masses.sum()),
        margin=float((problem.defects @ s).min()),
        lower_bound=lower,
        gap=(objective - lower) / objective,
        stationarity=problem.violation(s, problem.gradient(s)),
    )
