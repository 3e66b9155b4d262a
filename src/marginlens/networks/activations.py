"""Activations as tensor functions: sigma, and the product with its derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from marginlens.theory import Activation

__all__ = ["activate", "times_derivative_"]


def activate(activation: Activation, values: Tensor, out: Tensor | None = None) -> Tensor:
    """sigma(values), into ``out`` if given."""
    if not activation.is_power:
        return torch.clamp_min(values, 0, out=out)
    if activation.degree == 2:
        return torch.mul(values, values, out=out)
    return torch.pow(values, activation.degree, out=out)


def times_derivative_(activation: Activation, gradient: Tensor, values: Tensor) -> Tensor:
    """Multiply ``gradient`` in place by sigma'(values) / degree: by x^(k-1), or ReLU's step.

    The degree is left to a smaller tensor; the derivative of ReLU at 0 is 0.
    """
    if not activation.is_power:
        return torch.ops.aten.threshold_backward.grad_input(
            gradient, values, 0, grad_input=gradient
        )
    if activation.degree == 1:
        return gradient
    if activation.degree == 2:
        return gradient.mul_(values)
    return gradient.mul_(values.pow(activation.degree - 1))
