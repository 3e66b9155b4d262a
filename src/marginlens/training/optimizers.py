"""Optimizers of an ensemble: their state as named tensors, and members that leave."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marginlens.kernels import passes
from marginlens.training.recipe import Recipe

__all__ = ["Stepper", "members_of", "muon_", "neuronwise_adam_", "orthogonalize"]

Parameters = dict[str, Tensor]

# Newton-Schulz iteration of Jordan et al. 2024, "Muon": x -> a x + b x^3 + c x^5
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)

_NEURON = "neuron."  # begins the names of what is remembered of neurons, not of a parameter


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


def neuronwise_adam_(
    parameters: Mapping[str, Float[Tensor, "member _ neuron"]],
    gradients: Mapping[str, Float[Tensor, "member _ neuron"]],
    means: Mapping[str, Float[Tensor, "member _ neuron"]],
    squares: Float64[Tensor, "member neuron"],
    *,
    step: int,
    rate: float,
    betas: tuple[float, float],
    uses: Mapping[str, int] | None = None,
) -> None:
    r"""One step of Adam with one second moment a neuron, relative to the neuron's norm, in place.

    With omega_i all the weights of neuron i (every slot's, the output's and, where it has one, its
    bias) and g_i the gradient in them,

    $m_i \leftarrow \beta_1 m_i + (1 - \beta_1) g_i, \quad
    v_i \leftarrow \beta_2 v_i + (1 - \beta_2) \|g_i\|^2, \quad
    \omega_i \leftarrow \omega_i -
    \eta \|\omega_i\| \frac{m_i / (1 - \beta_1^t)}{\sqrt{v_i / (1 - \beta_2^t)}}$.

    A neuron moves by about eta times its norm whatever the size of its gradient, which shrinks with
    the neuron where the output is homogeneous, and in the direction of the momentum, which Adam's
    second moment a weight would turn. A neuron without any gradient so far stays.

    Parameters
    ----------
    parameters
        Weights omega, changed: one tensor a slot and one for the output, in each of which neuron i is
        the last index i.
    gradients
        Gradient g under the same names.
    means
        First moment m under the same names, changed; zero before the first step.
    squares
        Second moment v, changed; zero before the first step.
    step
        Number t of this step, 1 for the first.
    rate
        Learning rate eta of this step, as the schedule gives it.
    betas
        beta_1 (momentum) and beta_2 (memory of the second moment).
    uses
        How often a parameter counts in omega, where it is more than once (:attr:`MLP.uses`): tied
        embeddings move as separate ones that are equal would.

    References
    ----------
    The step's norm relative to the weights' follows You et al. 2020, "Large batch optimization for
    deep learning: training BERT in 76 minutes" (LAMB), with neurons in place of layers.

    Examples
    --------
    >>> p, g = {"w": torch.tensor([[[3.0], [4.0]]])}, {"w": torch.tensor([[[0.0], [1e-9]]])}
    >>> m, v = {"w": torch.zeros(1, 2, 1)}, torch.zeros(1, 1, dtype=torch.float64)
    >>> neuronwise_adam_(p, g, m, v, step=1, rate=0.1, betas=(0.97, 0.95))
    >>> p["w"].flatten().tolist()
    [3.0, 3.5]
    """
    first, second = (1 - beta**step for beta in betas)
    if passes.is_compiled_for(*parameters.values(), *gradients.values(), *means.values()):
        passes.neuronwise_adam(
            parameters,
            gradients,
            means,
            squares,
            uses or {},
            rate=rate / first,
            correction=second,
            betas=betas,
        )
        return
    counts = {name: (uses or {}).get(name, 1) for name in parameters}
    weights, slopes = torch.zeros_like(squares), torch.zeros_like(squares)
    for name, p in parameters.items():
        weights += p.double().square().sum(1) * counts[name]
        slopes += gradients[name].double().square().sum(1) / counts[name]
    squares.mul_(betas[1]).add_(slopes, alpha=1 - betas[1])
    factor = rate / first * (weights * second / squares).sqrt()
    factor = torch.where(squares > 0, factor, 0.0).unsqueeze(1)
    for name, p in parameters.items():
        mean = means[name]
        mean.mul_(betas[0]).add_(gradients[name], alpha=(1 - betas[0]) / counts[name])
        p.sub_(mean * factor.to(p.dtype))


class Stepper:
    """An optimizer on the parameters of an ensemble.

    The arithmetic is PyTorch's: the fused operators of ``torch.optim``, without its classes, which
    take a second to import (they load the compiler) and as long as a small step to call.

    Parameters
    ----------
    recipe
        Recipe that names the optimizer and its settings.
    parameters, gradients
        Stacked over members; the gradients are read at each step.
    state
        As :meth:`state` returned it, to go on from; None: as at the start.
    uses
        How often a parameter counts among a neuron's weights, where it is more than once.
    """

    def __init__(
        self,
        recipe: Recipe,
        parameters: Parameters,
        gradients: Parameters,
        state: Parameters | None = None,
        uses: Mapping[str, int] | None = None,
    ) -> None:
        self.recipe, self.names, self.uses = recipe, list(parameters), uses
        self._parameters = list(parameters.values())
        self._gradients = [gradients[name] for name in parameters]
        self._state: dict[str, list[Tensor]] = {}
        self._of_neurons: Parameters = {}
        given = dict(state or {})
        for key in [key for key in given if key.startswith(_NEURON)]:
            value, device = given.pop(key).clone(), self._parameters[0].device
            self._of_neurons[key] = value.to(device, torch.float64 if value.ndim else None)
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
            case "neuronwise-adam":
                self._neuronwise_adam(rate)
            case name:
                first, second, steps = self._remembered("exp_avg", "exp_avg_sq", "step")
                torch._foreach_add_(steps, 1)
                fused = torch._fused_adamw_ if name == "adamw" else torch._fused_adam_
                decay = recipe.weight_decay if name == "adamw" else 0.0
                fused(
                    p,
                    g,
                    first,
                    second,
                    [],
                    steps,
                    lr=rate,
                    beta1=recipe.betas[0],
                    beta2=recipe.betas[1],
                    weight_decay=decay,
                    eps=1e-8,
                    amsgrad=False,
                    maximize=False,
                )

    def _sgd(self, rate: float, momentum: float) -> None:
        first = "momentum_buffer" not in self._state
        (buffers,) = self._remembered("momentum_buffer") if momentum else ([],)
        torch._fused_sgd_(
            self._parameters,
            self._gradients,
            buffers,
            weight_decay=0.0,
            momentum=momentum,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=first,
        )

    def _neuronwise_adam(self, rate: float) -> None:
        (means,) = self._remembered("exp_avg")
        p = self._parameters[0]
        if not self._of_neurons:
            self._of_neurons = {
                _NEURON + "exp_avg_sq": p.new_zeros(p.shape[0], p.shape[-1], dtype=torch.float64),
                _NEURON + "step": torch.zeros(()),
            }
        step = self._of_neurons[_NEURON + "step"].add_(1)
        parameters, gradients, moments = (
            dict(zip(self.names, values, strict=True))
            for values in (self._parameters, self._gradients, means)
        )
        neuronwise_adam_(
            parameters,
            gradients,
            moments,
            self._of_neurons[_NEURON + "exp_avg_sq"],
            step=int(step),
            rate=rate,
            betas=self.recipe.betas,
            uses=self.uses,
        )

    def forget(self, member: int, neurons: Int[Tensor, " some"]) -> None:
        """Set what is remembered of some neurons of a member to zero."""
        for values in self._state.values():
            for value in values:
                if value.ndim:
                    value[member][:, neurons] = 0
        for value in self._of_neurons.values():
            if value.ndim:
                value[member, neurons] = 0

    def state(self) -> Parameters:
        """Everything the optimizer remembers: "u.exp_avg", "u.step", ..."""
        return self._of_neurons | {
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
