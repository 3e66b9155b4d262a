"""Linear programs with fallback solvers, since each of them fails on some program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its optimizers are loaded when used
from jaxtyping import Float

__all__ = ["LinearSolution", "linear_solutions"]

_TIGHT = 1e-10  # tolerance of HiGHS on rows and reduced costs, at its finest
_DEFAULT = 1e-7
_ATTEMPTS: tuple[tuple[str, bool, float, bool], ...] = (  # method, presolve, tolerance, scaled rows
    ("highs-ds", True, _TIGHT, False),
    ("highs-ds", False, _TIGHT, False),
    ("highs-ipm", True, _TIGHT, False),
    ("highs-ds", False, _TIGHT, True),
    ("highs-ipm", False, _DEFAULT, True),
    ("highs-ds", True, _DEFAULT, True),
)


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """Solution that a solver reports as optimal, with multipliers; callers must check it.

    Attributes
    ----------
    x
        Values of the variables.
    value
        Value of the objective at ``x``.
    multipliers
        Multiplier of each inequality, at least 0: decrease of the least value per unit increase of
        the right side.
    """

    x: Float[np.ndarray, " variable"]
    value: float
    multipliers: Float[np.ndarray, " row"]


def linear_solutions(
    cost: Float[np.ndarray, " variable"],
    rows: Any,
    right_side: Float[np.ndarray, " row"],
    *,
    bounds: Any = (0, None),
    total: bool = False,
) -> Iterator[LinearSolution]:
    """Solve min cost . x subject to rows x <= right_side, by one method after another.

    A generator: take the first solution that passes a check, and ask for the next one only if it does
    not. It ends without a solution if all methods fail. The methods are the dual simplex and the
    interior point method of HiGHS, with and without presolving, with rows as they are or of unit size.

    Parameters
    ----------
    cost
        Coefficients of the objective.
    rows
        Matrix of the inequalities, dense or sparse, one row an inequality.
    right_side
        Right sides of the inequalities.
    bounds
        Bounds of the variables, as in `scipy.optimize.linprog`.
    total
        Whether all variables but the last must sum to one.

    Examples
    --------
    >>> found = next(linear_solutions(np.array([-1.0]), np.array([[2.0]]), np.array([3.0])))
    >>> found.x.tolist(), found.value, found.multipliers.tolist()
    ([1.5], -1.5, [0.5])
    """
    equality: dict[str, Any] = {}
    if total:
        equality = {"A_eq": np.append(np.ones(len(cost) - 1), 0.0)[None], "b_eq": [1.0]}
    for method, presolve, tolerance, scaled in _ATTEMPTS:
        sizes = _sizes(rows) if scaled else np.ones(len(right_side))
        result = scipy.optimize.linprog(
            cost,
            A_ub=rows * (1.0 / sizes)[:, None],
            b_ub=right_side / sizes,
            bounds=bounds,
            method=method,
            options={
                "primal_feasibility_tolerance": tolerance,
                "dual_feasibility_tolerance": tolerance,
                "presolve": presolve,
            },
            **equality,
        )
        if not result.success or result.x is None or not np.isfinite(result.x).all():
            continue
        multipliers = -np.asarray(result.ineqlin.marginals, dtype=np.float64) / sizes
        yield LinearSolution(result.x, float(result.fun), np.maximum(multipliers, 0.0))


def _sizes(rows: Any) -> Float[np.ndarray, " row"]:
    """Largest absolute entry of each row; 1 for a row of zeros."""
    largest = abs(rows).max(axis=1)
    sizes = np.asarray(largest.todense() if hasattr(largest, "todense") else largest).ravel()
    return np.where(sizes > 0, sizes, 1.0)
