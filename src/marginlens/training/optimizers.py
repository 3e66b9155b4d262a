"""Optimizers of an ensemble: their state as named tensors, and members that leave."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.training.recipe import Recipe

__all__ = ["Muon", "Stepper", "orthogonalize"]

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


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for every matrix of a stack.

    m <- mu m + (1 - mu) g; theta <- (1 - rate * decay) theta - rate * s * orthogonalize((1 - mu) g +
    mu m), with s = sqrt(max(1, rows / columns)). As ``torch.optim.Muon``, which takes single matrices
    only and rounds to bfloat16, where this keeps the parameters' precision.
    """

    def __init__(
        self, params: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - momentum)
                update = orthogonalize(p.grad.lerp(buffer, momentum))
                p.mul_(1 - rate * group["weight_decay"])
                p.sub_(update, alpha=rate * max(1, p.shape[-2] / p.shape[-1]) ** 0.5)


class Stepper:
    """A PyTorch optimizer on the parameters of an ensemble.

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
        self.parameters = parameters
        self._inner = _make(recipe, list(parameters.values()))
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        for key, value in (state or {}).items():
            name, _, quantity = key.rpartition(".")
            parameter = parameters[name]
            moved = value.clone() if quantity == "step" else value.clone().to(parameter)
            self._inner.state[parameter][quantity] = moved

    def step(self, rate: float) -> None:
        """Take one step at a rate."""
        for group in self._inner.param_groups:
            group["lr"] = rate
        self._inner.step()

    def state(self) -> Parameters:
        """Everything the optimizer remembers: "u.exp_avg", "u.step", ..."""
        return {
            f"{name}.{quantity}": torch.as_tensor(value)
            for name, parameter in self.parameters.items()
            for quantity, value in self._inner.state[parameter].items()
            if value is not None
        }


def members_of(state: Parameters, kept: Tensor) -> Parameters:
    """The optimizer's state of some members; what is one number for all of them stays."""
    return {
        name: value if name.endswith(".step") else value[kept.to(value.device)]
        for name, value in state.items()
    }


def _make(recipe: Recipe, parameters: list[Tensor]) -> torch.optim.Optimizer:
    rate, decay, fused = recipe.learning_rate, recipe.weight_decay, True
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=recipe.momentum or 0, fused=fused)
        case "muon":
            momentum = 0.95 if recipe.momentum is None else recipe.momentum
            return Muon(parameters, rate, momentum, decay)
        case "adamw":
            return torch.optim.AdamW(
                parameters, lr=rate, betas=recipe.betas, weight_decay=decay, fused=fused
            )
        case _:
            return torch.optim.Adam(parameters, lr=rate, betas=recipe.betas, fused=fused)
