"""Two-sided proof of a maximum margin that anyone can check without a solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from marginlens.theory.class_program import ClassProgram

__all__ = ["Certificate", "certify"]


@dataclass(frozen=True, eq=False)
class Certificate:
    """A lower and an upper bound of the maximum normalized margin, with what proves them.

    Attributes
    ----------
    classes
        The merged nontrivial conjugacy classes, as tuples of class indices of the group.
    distribution
        tau: a probability for each merged class of wrong answers. No network has a normalized margin
        above scale * max_rho sum_C tau_C B[C, rho].
    masses
        m: the share of sum ||omega||^3 on each feature. A network with these masses exists and has
        the normalized margin scale * min_C sum_rho B[C, rho] m_rho.
    upper, lower
        The two bounds, as normalized margins.
    """

    classes: tuple[tuple[int, ...], ...]
    distribution: Float[np.ndarray, " class"]
    masses: Float[np.ndarray, " feature"]
    upper: float
    lower: float

    @property
    def gap(self) -> float:
        """Relative gap (upper - lower) / upper; about 1e-15 for a solved program."""
        return (self.upper - self.lower) / self.upper


def certify(
    program: ClassProgram,
    distribution: Float[np.ndarray, " class"],
    masses: Float[np.ndarray, " feature"],
) -> Certificate:
    """Bounds of the maximum margin proved by any distribution and any masses.

    Both are first made feasible (negative entries cut, sums made one), so that the bounds are valid
    whatever was passed; poor input gives a wide gap, never a false bound.

    Parameters
    ----------
    program
        The group's class program.
    distribution
        tau, one number a merged class.
    masses
        m, one number a nontrivial irrep class.

    Raises
    ------
    ValueError
        If a vector has the wrong length, is not finite, or has no positive entry.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> program = ClassProgram.of(group("C5"))
    >>> best = certify(program, np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    >>> round(best.upper, 10), best.gap < 1e-14
    (0.030429031, True)
    >>> certify(program, np.array([0.9, 0.1]), np.array([0.5, 0.5])).gap > 0.1
    True
    """
    tau = _simplex_point(distribution, len(program.classes), "distribution")
    m = _simplex_point(masses, len(program.costs), "masses")
    return Certificate(
        classes=program.classes,
        distribution=tau,
        masses=m,
        upper=program.scale * float((tau @ program.payoff).max()),
        lower=program.scale * float((program.payoff @ m).min()),
    )


def _simplex_point(vector: np.ndarray, length: int, name: str) -> np.ndarray:
    """Cut negative entries and scale to sum one."""
    if vector.shape != (length,) or not np.isfinite(vector).all() or vector.max() <= 0:
        raise ValueError(
            f"{name} must be {length} finite numbers with a positive one among them, "
            f"got shape {vector.shape}: {vector}"
        )
    positive = np.maximum(vector, 0.0)
    return positive / positive.sum()
