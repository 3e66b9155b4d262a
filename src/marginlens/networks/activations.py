"""Activations as tensor functions: sigma, and the product with its derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.theory import Activation, OwnActivation

__all__ = ["activate", "activated", "derivative_scale", "times_derivative_"]


def activate(activation: Activation, values: Tensor, out: Tensor | None = None) -> Tensor:
    """Return sigma(values), written into ``out`` if given.

    Parameters
    ----------
    activation
        Activation sigma of the network.
    values
        Preactivations of any shape.
    out
        Tensor that receives the result, of the same shape.
    """
    if isinstance(activation, OwnActivation):
        return _own(activation, values, out)
    degree, negative = activation.degree, activation.at_minus_one
    if activation.is_power:
        if degree == 2:
            return torch.mul(values, values, out=out)
        return torch.pow(values, degree, out=out)
    if negative == 0:
        size = torch.clamp_min(values, 0, out=out)
    elif negative == 1:
        size = torch.abs(values, out=out)
    elif degree == 1:  # leaky: sigma(-1) = -slope
        return torch.maximum(values, -negative * values, out=out)
    else:
        power = values.abs().pow_(degree)
        return torch.where(values < 0, negative * power, power, out=out)
    if degree == 2:
        return torch.mul(size, size, out=out)
    return size if degree == 1 else torch.pow(size, degree, out=out)


def _own(activation: OwnActivation, values: Tensor, out: Tensor | None) -> Tensor:
    """Values of a function that is given as such."""
    made = activation.function(values)
    if not isinstance(made, Tensor) or made.shape != values.shape:
        got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise MarginLensError(
            f"expected an activation that maps each entry alone, as torch.tanh; of shape "
            f"{tuple(values.shape)} it made {got}"
        )
    return made if out is None else out.copy_(made)


def derivative_scale(activation: Activation) -> int | float:
    """Factor that :func:`times_derivative_` leaves out of the derivative.

    Parameters
    ----------
    activation
        Activation sigma of the network.
    """
    return 1.0 if activation.is_own else activation.degree


def times_derivative_(activation: Activation, gradient: Tensor, values: Tensor) -> Tensor:
    """Multiply ``gradient`` in place by sigma'(values) / degree: by x^(k-1), or ReLU's step.

    The degree multiplies a smaller tensor elsewhere (:func:`derivative_scale`); the derivative at a
    kink is 0.

    Parameters
    ----------
    activation
        Activation sigma of the network.
    gradient
        Gradient of the activations, changed in place.
    values
        Preactivations, of the same shape.
    """
    if isinstance(activation, OwnActivation):
        with torch.enable_grad():
            inside = values.detach().requires_grad_()
            (slope,) = torch.autograd.grad(activation.function(inside).sum(), inside)
        return gradient.mul_(slope)
    degree, negative = activation.degree, activation.at_minus_one
    if activation.is_power:
        if degree == 1:
            return gradient
        return gradient.mul_(values if degree == 2 else values.pow(degree - 1))
    if degree == 1 and negative == 0:
        return torch.ops.aten.threshold_backward.grad_input(
            gradient, values, 0, grad_input=gradient
        )
    sides = torch.sign(values)
    if negative != 1:
        sides = torch.where(values < 0, -negative, sides)
    if degree != 1:
        sides *= values.abs().pow_(degree - 1)
    return gradient.mul_(sides)


def activated(activation: Activation, values: Tensor) -> Tensor:
    """Return sigma(values), differentiable; the derivative at a kink is 0.

    Parameters
    ----------
    activation
        Activation sigma of the network.
    values
        Preactivations of any shape.

    Examples
    --------
    >>> from marginlens.theory import parse_activation
    >>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> activated(parse_activation("relu"), x).sum().backward()
    >>> x.grad
    tensor([0., 0., 1.])
    """
    if isinstance(activation, OwnActivation):
        return _own(activation, values, None)
    degree, negative = activation.degree, activation.at_minus_one
    if activation.is_power:
        return values * values if degree == 2 else values**degree
    if negative == 1:
        return values.abs() ** degree
    right = values.relu()
    right = right if degree == 1 else right**degree
    if not negative:
        return right
    left = (-values).relu()
    return right + negative * (left if degree == 1 else left**degree)
