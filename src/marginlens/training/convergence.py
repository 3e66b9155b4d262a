"""Convergence of members: steps in a row whose loss and weights change within a tolerance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.kernels.patience import Patience, initial_quantities
from marginlens.networks import squared_norm
from marginlens.training.recipe import Recipe

__all__ = ["Convergence", "named", "of_state", "patience_of"]

_GROUP = "convergence."


def patience_of(recipe: Recipe) -> Patience | None:
    """Patience of a recipe; None if it has none."""
    if not recipe.patience:
        return None
    # along a regularization path the minimum moves until the last quarter
    first = 0 if recipe.anneal_to is None else -(-3 * recipe.steps // 4)
    return Patience(recipe.tolerance, recipe.patience, first)


def of_state(
    state: Mapping[str, Tensor], members: int
) -> tuple[dict[str, Tensor], dict[str, Float[Tensor, " member"]]]:
    """Split an optimizer's state into its own part and what is remembered of convergence.

    Examples
    --------
    >>> own, remembered = of_state({"u.exp_avg": torch.zeros(1), "convergence.count": torch.ones(1)}, 1)
    >>> list(own), list(remembered)
    (['u.exp_avg'], ['count'])
    """
    own = {name: value for name, value in state.items() if not name.startswith(_GROUP)}
    kept = {
        name.removeprefix(_GROUP): value for name, value in state.items() if name.startswith(_GROUP)
    }
    return own, kept or initial_quantities(members)


def named(remembered: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is remembered, under the names it has in a checkpoint."""
    return {_GROUP + name: value for name, value in remembered.items()}


class Convergence:
    """Watches the members of an ensemble whose steps are taken by operators.

    Parameters
    ----------
    patience
        Criterion: number of steps and tolerance.
    parameters
        Stacked over members; those of a member that has converged are held where they are.
    remembered
        As :func:`initial_quantities` or an earlier training left it.
    """

    def __init__(
        self, patience: Patience, parameters: Mapping[str, Tensor], remembered: Mapping[str, Tensor]
    ) -> None:
        self.patience, self.parameters = patience, parameters
        self.remembered = {name: value.clone() for name, value in remembered.items()}
        self._before: dict[str, Tensor] = {}

    @property
    def all_ended(self) -> bool:
        """Whether every member has converged."""
        return bool((self.remembered["ended"] >= 0).all())

    def judge(self, step: int, loss: Float[Tensor, " member"]) -> None:
        """Look at the last step, now that the loss after it is known."""
        if step < self.patience.start:
            return
        r, loss = self.remembered, loss.detach().double().cpu()
        epsilon = self.patience.tolerance
        open_ = (r["change"] >= 0) & (r["ended"] < 0)
        same = (r["change"] < epsilon) & ((loss - r["loss"]).abs() < epsilon * r["loss"].abs())
        r["count"] = torch.where(open_, torch.where(same, r["count"] + 1, 0.0), r["count"])
        reached = open_ & (r["count"] >= self.patience.steps)
        r["ended"] = torch.where(reached, float(step), r["ended"])
        r["loss"] = loss.clone()
        r["change"] = torch.full_like(loss, -1.0)

    def before_step(self) -> None:
        """Keep the parameters as they are."""
        self._before = {name: p.clone() for name, p in self.parameters.items()}

    def after_step(self) -> None:
        """Hold the members that have converged, and note how far the others moved."""
        held = self.remembered["ended"] >= 0
        moved = {}
        for name, p in self.parameters.items():
            if held.any():
                p[held.to(p.device)] = self._before[name][held.to(p.device)]
            moved[name] = p - self._before[name]
        far, size = squared_norm(moved).double().cpu(), squared_norm(self._before).double().cpu()
        self.remembered["change"] = torch.where(far > 0, (far / size).sqrt(), 0.0)
