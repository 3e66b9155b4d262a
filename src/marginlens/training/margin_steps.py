"""Steps that raise the smoothed minimum of the margins on the sphere of norm 1."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.kernels import passes
from marginlens.networks import MLP, Network, SoftMargin, SoftMarginEvaluator, neuron_norms
from marginlens.tasks import Task
from marginlens.theory import (
    AdversaryBound,
    adversary_bound_for,
    default_activation,
    is_covered,
    predict,
)
from marginlens.training.data import Data
from marginlens.training.penalties import add_sphere_gradient
from marginlens.training.process_group import Ranks
from marginlens.training.recipe import Recipe
from marginlens.training.schedules import sharpness
from marginlens.training.steps import Steps, accuracy_of

__all__ = ["MarginSteps"]

Parameters = dict[str, Tensor]

_FALL = 0.995  # by which the unit of the sharpness may fall in a step
_GROUP = "margin."  # begins the names of what is remembered besides the optimizer's state


class MarginSteps(Steps):
    r"""Steps of ascent on the smoothed minimum of the margins, with the norm held at 1.

    Maximise $S_\beta(\theta) = -\frac1\beta \log \sum_r \sum_{c \ne y_r} e^{-\beta m_{r,c}(\theta)}$
    on $\sum_i \|\omega_i\|^\nu = 1$, with $m_{r,c}$ the logit of the asked answer minus that of class
    c. The sphere's multiplier is the mean margin under the adversary, $\bar m = \sum q m$: by
    homogeneity the gradient of $-S_\beta + \bar m \sum_i \|\omega_i\|^\nu$ has no component along
    $\theta$. After each step of the recipe's optimizer the parameters are scaled back to norm 1.

    At step t, $\beta = s_t / g$, with $s_t$ the recipe's schedule of the sharpness
    (:func:`marginlens.training.schedules.sharpness`) and g the maximum margin of the whole table. Where
    no theorem gives it, g follows the training: it is the larger of the root mean squares of all
    margins and of what the neurons earn per unit of norm against the adversary, weighted by their
    norms, one step before; it tends to the maximum margin, and falls by half a percent a step at most.

    Every adversary proves an upper bound of the maximum margin (``marginlens.theory.adversary``); the
    least one at any record so far is recorded.

    Parameters
    ----------
    task, recipe, data, network, optimizer, ranks
        The same as those of :class:`Steps`.
    margin
        Maximum normalized margin of the whole table, where a theorem gives it; None: predicted.
    """

    row_loss = "cross_entropy"

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        data: Data,
        network: Network,
        optimizer: Parameters,
        ranks: Ranks,
        margin: float | None = None,
    ) -> None:
        self._margin = margin
        super().__init__(task, recipe, data, network, optimizer, ranks)

    def _use(self, network: Network, optimizer: Parameters) -> None:
        own = {name: value for name, value in optimizer.items() if not name.startswith(_GROUP)}
        super()._use(network, own)
        self._mlp: MLP = network.as_mlp()
        self._soft = SoftMarginEvaluator(
            self.task,
            self._mlp,
            rows=self.rows_here(self.data.train),
            count=len(self.task.answers if self.data.train is None else self.data.train),
            memory=self.memory,
        )
        self._bound: AdversaryBound | None = (
            adversary_bound_for(self.task, self._mlp.activation)
            if self.recipe.is_population
            else None
        )
        self._next = torch.zeros(network.members, dtype=torch.float64)
        if optimizer:
            self._unit = optimizer[f"{_GROUP}unit"].double().cpu().clone()
            self._least = optimizer[f"{_GROUP}upper_bound"].double().cpu().clone()
            return
        self._least = torch.full_like(self._next, torch.nan)
        self._to_sphere()
        if self._known is not None:
            self._unit = torch.full_like(self._next, self._known)
            return
        self._unit = torch.full_like(self._next, torch.inf)  # at first the uniform adversary's
        self._ascend(0)
        self._unit = self._next

    def evaluate(self, step: int) -> dict[str, Float[Tensor, " member"]]:
        """Return a row of the history: the members at their present parameters."""
        soft = self._ascend(step, adversary=self._bound is not None)
        result = self.ranks.add_up(self._population(self.parameters), None)
        norm = self._mlp.norm().double()
        if self._bound is not None and soft.adversary is not None:
            bounds = [self._bound(one.cpu().numpy()) for one in soft.adversary]
            self._least = torch.fmin(self._least, torch.tensor(bounds, dtype=torch.float64))
        row = {
            "loss": -soft.value,
            "cross_entropy": result.cross_entropy,
            "accuracy": accuracy_of(result),
            "margin": result.margin,
            "norm": norm,
            "normalized_margin": result.margin / norm,
            "sharpness": self._sharpness(step),
            "upper_bound": self._least.clone(),
        }
        return row | self.held_out()

    @cached_property
    def _known(self) -> float | None:
        """Maximum margin of the whole table; None where no theorem gives it."""
        activation = self._mlp.activation
        if not is_covered(self.task) or default_activation(self.task) != activation:
            return None
        return predict(self.task, activation).margin if self._margin is None else self._margin

    def _sharpness(self, step: int) -> Float[Tensor, " member"]:
        return sharpness(self.recipe, step) / self._unit

    def _exchange_neurons(self, step: int) -> bool:
        """Exchange neurons if it is time, and go back to norm 1."""
        changed = super()._exchange_neurons(step)
        if changed:
            self._to_sphere()
        return changed

    def _gradient(self, step: int) -> None:
        self._ascend(step)

    def _ascend(self, step: int, *, adversary: bool = False) -> SoftMargin:
        """Set the gradients at the present parameters, and the unit of the next step's sharpness."""
        network, parameters, gradients = self._mlp, self.parameters, self.gradients
        beta = self._sharpness(step).to(parameters["w"].device)
        follows = self._known is None
        sums = self._soft.sums(parameters, beta, gradients, adversary=adversary, size=follows)
        self.ranks.join(sums, gradients)
        nu, uses = network.homogeneity, network.uses
        if passes.is_compiled_for(*parameters.values(), *gradients.values()):
            soft = sums.finish(beta, parameters["w"], None)
            tangent = passes.to_tangent(parameters, gradients, uses, sums.total, homogeneity=nu)
            earned = tangent[:, 1]
        else:
            soft = sums.finish(beta, parameters["w"], gradients)
            assert soft.mean is not None
            norms = neuron_norms(parameters, uses)
            earned = self._earned(norms) if follows else beta
            add_sphere_gradient(soft.mean, nu, parameters, gradients, norms, uses)
        self._next = self._unit if soft.size is None else self._followed(soft.size, earned)
        if self.convergence is not None:
            self.convergence.judge(step, -soft.value)
        self._fresh = step
        return soft

    def _earned(self, norms: Float[Tensor, "member neuron"]) -> Float[Tensor, " member"]:
        """Root mean square of what neurons earn per unit of norm, weighted by their norms."""
        network = self._mlp
        products = [
            (p * self.gradients[name]).sum(1).double() for name, p in self.parameters.items()
        ]
        earned = torch.stack(products).sum(0) / -network.homogeneity
        masses = norms.double().pow(network.homogeneity)
        return torch.where(masses > 0, earned.square() / masses, 0.0).sum(1).sqrt()

    def _followed(
        self, size: Float[Tensor, " member"], earned: Float[Tensor, " member"]
    ) -> Float[Tensor, " member"]:
        """Unit of the next step's sharpness where the maximum margin is not known."""
        kept = torch.where(self._unit.isfinite(), _FALL * self._unit, 0.0)
        return torch.maximum(torch.maximum(earned, size).cpu(), kept)

    def _step(self, step: int) -> None:
        super()._step(step)
        self._to_sphere()
        self._unit = self._next

    def keep(self, kept: Tensor) -> None:
        """Go on with some members only."""
        following = self._next[kept]
        super().keep(kept)
        self._next = following

    def _to_sphere(self) -> None:
        """Scale each member to norm 1."""
        network = self._mlp
        if passes.is_compiled_for(*self.parameters.values()):
            passes.to_sphere(self.parameters, network.uses, homogeneity=network.homogeneity)
            return
        factor = network.norm().double().pow(-1 / network.homogeneity)
        for p in self.parameters.values():
            p.mul_(factor.to(p.dtype).view(-1, 1, 1))

    def _state(self) -> Parameters:
        own = {f"{_GROUP}unit": self._unit, f"{_GROUP}upper_bound": self._least}
        return super()._state() | own
