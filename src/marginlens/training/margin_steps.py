"""Steps that raise the smoothed minimum of the margins on the sphere of norm 1."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks import (
    MLP,
    Network,
    SoftMargin,
    SoftMarginPopulation,
    neuron_norms,
    total_norm,
)
from marginlens.theory import AdversaryBound, adversary_bound_for
from marginlens.training.penalties import add_sphere_gradient
from marginlens.training.schedules import sharpness
from marginlens.training.steps import Steps, accuracy_of

__all__ = ["MarginSteps"]

Parameters = dict[str, Tensor]

_GROUP = "margin."  # begins the names of what is remembered besides the optimizer's state


class MarginSteps(Steps):
    r"""Steps of ascent on the smoothed minimum of the margins, with the norm held at 1.

    Maximise $S_\beta(\theta) = -\frac1\beta \log \sum_r \sum_{c \ne y_r} e^{-\beta m_{r,c}(\theta)}$
    on $\sum_i \|\omega_i\|^\nu = 1$, with $m_{r,c}$ the logit of the asked answer minus that of class
    c. The sphere's multiplier is the mean margin under the adversary, $\bar m = \sum q m$: by
    homogeneity the gradient of $-S_\beta + \bar m \sum_i \|\omega_i\|^\nu$ has no component along
    $\theta$. After each step of the recipe's optimizer the parameters are scaled back to norm 1.

    At step t, $\beta = s_t / g$: $s_t$ is the recipe's schedule of the sharpness
    (:func:`marginlens.training.schedules.sharpness`) and g the root mean square of what the neurons
    earn per unit of norm against the adversary of the step before, weighted by their norms. It
    tends to the maximum margin, which need not be known.

    Every adversary proves an upper bound of the maximum margin (``marginlens.theory.adversary``); the
    least one at any record so far is recorded.

    Parameters
    ----------
    task, recipe, data, network, optimizer, ranks
        As for :class:`Steps`.
    """

    row_loss = "cross_entropy"

    def _use(self, network: Network, optimizer: Parameters) -> None:
        own = {name: value for name, value in optimizer.items() if not name.startswith(_GROUP)}
        super()._use(network, own)
        assert isinstance(network, MLP)
        self._mlp = network
        self._soft = SoftMarginPopulation(
            self.task,
            network,
            rows=self.rows_here(self.data.train),
            count=len(self.task.answers if self.data.train is None else self.data.train),
            memory=self.memory,
        )
        self._bound: AdversaryBound | None = (
            adversary_bound_for(self.task, network.activation)
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
        self._unit = torch.full_like(self._next, torch.inf)  # at first the uniform adversary's
        self._ascend(0)
        self._unit = self._next

    def evaluate(self, step: int) -> dict[str, Float[Tensor, " member"]]:
        """Return a row of the history: the members at their present parameters."""
        soft = self._ascend(step, adversary=self._bound is not None)
        result = self.ranks.add_up(self._population(self.network.parameters), None)
        norm = total_norm(self._mlp).double()
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

    def _sharpness(self, step: int) -> Float[Tensor, " member"]:
        return sharpness(self.recipe, step) / self._unit

    def _gradient(self, step: int) -> None:
        self._ascend(step)

    def _ascend(self, step: int, *, adversary: bool = False) -> SoftMargin:
        """Set the gradients at the present parameters, and the unit of the next step's sharpness."""
        network, parameters = self._mlp, self._mlp.parameters
        beta = self._sharpness(step).to(parameters["w"].device)
        sums = self._soft.sums(parameters, beta, self.gradients, adversary=adversary)
        self.ranks.join(sums, self.gradients)
        soft = sums.finish(beta, parameters["w"], self.gradients)
        assert soft.mean is not None
        nu, uses = network.homogeneity, network.uses
        products = [(p * self.gradients[name]).sum(1).double() for name, p in parameters.items()]
        earned = torch.stack(products).sum(0) / -nu
        norms = neuron_norms(parameters, uses)
        masses = norms.double().pow(nu)
        squares = torch.where(masses > 0, earned.square() / masses, 0.0)
        self._next = squares.sum(1).sqrt().cpu()
        add_sphere_gradient(soft.mean, nu, parameters, self.gradients, norms, uses)
        if self.convergence is not None:
            self.convergence.judge(step, -soft.value)
        self._scale(soft.value)
        self._fresh = step
        return soft

    def _step(self, step: int) -> None:
        super()._step(step)
        self._to_sphere()
        self._unit = self._next

    def _to_sphere(self) -> None:
        """Scale each member to norm 1."""
        factor = total_norm(self._mlp).double().pow(-1 / self._mlp.homogeneity)
        for p in self._mlp.parameters.values():
            p.mul_(factor.to(p.dtype).view(-1, 1, 1))

    def _state(self) -> Parameters:
        own = {f"{_GROUP}unit": self._unit, f"{_GROUP}upper_bound": self._least}
        return super()._state() | own
