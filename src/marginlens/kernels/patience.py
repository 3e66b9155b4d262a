"""Convergence criterion of ensemble members, and its quantities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["QUANTITIES", "Patience", "initial_quantities"]

QUANTITIES = ("loss", "change", "count", "ended")
"""Quantities of each member: the loss before the last step; the relative change of the weights in it,
-1 once it was looked at; the number of steps in a row in which both hardly changed; and the step at
which that was often enough, -1 before."""


@dataclass(frozen=True)
class Patience:
    r"""Convergence as enough updates in a row that change hardly anything.

    A member has converged at the first step at which, in each of the last ``steps`` updates,

    $|L_{t+1} - L_t| < \varepsilon |L_t|$ and $\|\theta_{t+1} - \theta_t\| < \varepsilon
    \|\theta_t\|$,

    with L the loss (cross-entropy + penalty) and $\varepsilon$ the ``tolerance``. It is held there,
    independently of the others.

    Attributes
    ----------
    tolerance
        Relative change of loss and weights below which an update counts.
    steps
        Number of such updates in a row.
    start
        Step before which updates do not count.
    """

    tolerance: float
    steps: int
    start: int = 0


def initial_quantities(members: int) -> dict[str, Float[Tensor, " member"]]:
    """Quantities of each member before the first step."""
    values = {"loss": float("nan"), "change": -1.0, "count": 0.0, "ended": -1.0}
    return {name: torch.full((members,), values[name], dtype=torch.float64) for name in QUANTITIES}
