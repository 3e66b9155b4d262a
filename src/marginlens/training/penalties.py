"""Penalties: value and gradient."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from marginlens.kernels import passes
from marginlens.networks import neuron_norms, squared_norm
from marginlens.theory import Penalty

__all__ = ["add_l2_gradient", "add_penalty_gradient", "add_sphere_gradient"]


def add_penalty_gradient(
    penalty: Penalty,
    homogeneity: int | float,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    uses: Mapping[str, int] | None = None,
) -> tuple[Float[Tensor, " member"], Float[Tensor, " member"]]:
    """Add the penalty's gradient; return the penalty and sum ||omega_i||^nu, one a member.

    Both penalties are strength * sum_i ||omega_i||^q, with q = nu (``"homogeneous"``) or q = 2
    (``"l2"``); the gradient for omega_i is strength * q * ||omega_i||^(q-2) * omega_i.
    ``uses`` tells how often a parameter counts (:attr:`MLP.uses`).
    """
    power = homogeneity if penalty.norm == "homogeneous" else 2
    if passes.is_compiled_for(*parameters.values(), *gradients.values()):
        value, total = passes.add_penalty(
            parameters,
            gradients,
            uses or {},
            strength=penalty.strength,
            power=power,
            homogeneity=homogeneity,
        ).unbind(1)
        return penalty.strength * value, total
    norms = neuron_norms(parameters, uses)
    factor = (penalty.strength * power * norms.pow(power - 2)).unsqueeze(1)
    for name, parameter in parameters.items():
        gradients[name].addcmul_(parameter, factor, value=(uses or {}).get(name, 1))
    total = norms.double().pow(homogeneity).sum(1)
    value = total if power == homogeneity else norms.double().pow(power).sum(1)
    return penalty.strength * value, total


def add_sphere_gradient(
    multiplier: Float[Tensor, " member"],
    homogeneity: int | float,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    norms: Float[Tensor, "member neuron"],
    uses: Mapping[str, int] | None = None,
) -> None:
    """Add the gradient of multiplier * sum_i ||omega_i||^nu to ``gradients``, in place.

    Parameters
    ----------
    multiplier
        Lagrange multiplier of each member.
    homogeneity
        Exponent nu of the neurons' norms, the network's degree of homogeneity.
    parameters, gradients
        Stacked over members, under the same names.
    norms
        ||omega_i|| of each neuron.
    uses
        How often a parameter counts, where it is more than once (:attr:`MLP.uses`).
    """
    power = norms.double().pow(homogeneity - 2)
    factor = (homogeneity * multiplier.unsqueeze(1) * power).to(norms.dtype).unsqueeze(1)
    for name, parameter in parameters.items():
        gradients[name].addcmul_(parameter, factor, value=(uses or {}).get(name, 1))


def add_l2_gradient(
    strength: float, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> Float[Tensor, " member"]:
    """Add 2 * strength * theta to the gradients; return strength * ||theta||^2, one a member."""
    for name, parameter in parameters.items():
        gradients[name].add_(parameter, alpha=2 * strength)
    return strength * squared_norm(parameters)
