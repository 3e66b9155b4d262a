"""Optimizers of an ensemble: their state as named tensors, and members that leave."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.training.recipe import Recipe

__all__ = ["Stepper", "members_of", "muon_", "orthogonalize"]

Parameters = dict[str, Tensor]

# Newton-Schulz iteration of Jordan et al. 2024, "Muon": x -> a x + b x^3 + c x^5
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(
    matrices: Float[Tensor, "*batch rows columns"], steps: int = 5
) -> Float[Tensor, "*batch rows columns"]:
    """Replace the singular values of each matrix by numbers near 1 (.7 to 1.2).

    Five steps of the quintic Newton-Schulz iteration of Jordan et al. 2024 on the matrix divided by
    its Frobenius norm, in the matrix's own precision.

    Examples
    --------
    >>> x = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
    >>> values = torch.linalg.svdvals(orthogonalize(x))
    >>> bool(values.min() > 0.6), bool(values.max() < 1.25)
    (True, True)
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if wide else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if wide else x


def muon_(
    parameters: list[Tensor],
    gradients: list[Tensor],
    buffers: list[Tensor],
    *,
    rate: float,
    momentum: float = 0.95,
    weight_decay: float = 0.0,
) -> None:
    """One step of Muon (Jordan et al. 2024) for every matrix of the stacks, in place.

    m <- mu m + (1 - mu) g; theta <- (1 - rate * decay) theta - rate * s * orthogonalize((1 - mu) g +
    mu m), with s = sqrt(max(1, rows / columns)). As ``torch.optim.Muon``, which takes single matrices
    only and rounds to bfloat16, where this keeps the parameters' precision.
    """
    for p, gradient, buffer in zip(parameters, gradients, buffers, strict=True):
        buffer.lerp_(gradient, 1 - momentum)
        update = orthogonalize(gradient.lerp(buffer, momentum))
        p.mul_(1 - rate * weight_decay)
        p.sub_(update, alpha=rate * max(1, p.shape[-2] / p.shape[-1]) ** 0.5)


class Stepper:
    """An optimizer on the parameters of an ensemble.

    The arithmetic is PyTorch's: the fused operators of ``torch.optim``, without its classes, which
    take a second to import (they load the compiler) and as long as a small step to call.

    Parameters
    ----------
    recipe
        Names the optimizer.
    parameters, gradients
        Stacked over members; the gradients are read at each step.
    state
        As :meth:`state` returned it, to go on from; None: as at the start.
    """

    def __init__(
        self,
        recipe: Recipe,
        parameters: Parameters,
        gradients: Parameters,
        state: Parameters | None = None,
    ) -> None:
        self.recipe, self.names = recipe, list(parameters)
        self._parameters = list(parameters.values())
        self._gradients = [gradients[name] for name in parameters]
        self._state: dict[str, list[Tensor]] = {}
        given = state or {}
        for key in {key.rpartition(".")[2] for key in given}:
            self._state[key] = [
                given[f"{name}.{key}"].clone().to(p if key != "step" else p.device)
                for name, p in parameters.items()
            ]

    def _remembered(self, *keys: str) -> list[list[Tensor]]:
        """What is remembered of each parameter under each key, zero at the first step."""
        for key in keys:
            if key not in self._state:
                self._state[key] = [
                    torch.zeros((), device=p.device) if key == "step" else torch.zeros_like(p)
                    for p in self._parameters
                ]
        return [self._state[key] for key in keys]

    def step(self, rate: float) -> None:
        """Take one step at a rate."""
        recipe, p, g = self.recipe, self._parameters, self._gradients
        match recipe.optimizer:
            case "sgd":
                self._sgd(rate, recipe.momentum or 0.0)
            case "muon":
                (buffers,) = self._remembered("momentum_buffer")
                momentum = 0.95 if recipe.momentum is None else recipe.momentum
                muon_(p, g, buffers, rate=rate, momentum=momentum, weight_decay=recipe.weight_decay)
            case name:
                first, second, steps = self._remembered("exp_avg", "exp_avg_sq", "step")
                torch._foreach_add_(steps, 1)
                fused = torch._fused_adamw_ if name == "adamw" else torch._fused_adam_
                decay = recipe.weight_decay if name == "adamw" else 0.0
                fused(
                    p, g, first, second, [], steps, lr=rate, beta1=recipe.betas[0],
                    beta2=recipe.betas[1], weight_decay=decay, eps=1e-8, amsgrad=False, maximize=False,
                )  # fmt: skip

    def _sgd(self, rate: float, momentum: float) -> None:
        first = "momentum_buffer" not in self._state
        (buffers,) = self._remembered("momentum_buffer") if momentum else ([],)
        torch._fused_sgd_(
            self._parameters, self._gradients, buffers, weight_decay=0.0, momentum=momentum, lr=rate,
            dampening=0.0, nesterov=False, maximize=False, is_first_step=first,
        )  # fmt: skip

    def state(self) -> Parameters:
        """Everything the optimizer remembers: "u.exp_avg", "u.step", ..."""
        return {
            f"{name}.{key}": value
            for key, values in self._state.items()
            for name, value in zip(self.names, values, strict=True)
        }


def members_of(state: Parameters, kept: Tensor) -> Parameters:
    """The optimizer's state of some members; what is one number for all of them stays."""
    return {
        name: value if name.endswith(".step") else value[kept.to(value.device)]
        for name, value in state.items()
    }
