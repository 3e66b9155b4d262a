"""Assumptions and caveats of predictions, as sentences."""

from __future__ import annotations

from marginlens.theory.activation import Activation
from marginlens.theory.penalty import Penalty

__all__ = ["assumptions", "is_homogeneous", "note"]


def is_homogeneous(penalty: Penalty | None, activation: Activation) -> bool:
    """Return whether the penalty has the maximum margin as its limit.

    Parameters
    ----------
    penalty
        Penalty of the training, or ``None`` if it is unspecified.
    activation
        Activation of the network.
    """
    if penalty is None or penalty.norm == "homogeneous":
        return True
    # of a network homogeneous of degree 2, sum_i ||omega_i||^2 is ordinary weight decay
    return activation.homogeneity == 2


def assumptions(activation: Activation, penalty: Penalty | None) -> tuple[str, ...]:
    """Return the assumptions on training under which the prediction applies, as sentences.

    Parameters
    ----------
    activation
        Activation of the network.
    penalty
        Penalty of the training, or ``None`` if it is unspecified.
    """
    nu = activation.homogeneity
    weakened = (
        f"training reaches a global minimum of cross-entropy + λ Σ‖ωᵢ‖^{nu}, whose normalized margin "
        "approaches γ* as λ goes to 0"
    )
    if not is_homogeneous(penalty, activation):
        weakened = (
            f"the network has the maximum margin in the norm L2,{nu}, which the L2 penalty does not "
            "guarantee"
        )
    return (
        f"one hidden layer without biases, activation {activation}, trained on all inputs",
        weakened,
        "the network has at least the width that suffices; at a given λ the minimum is that over all "
        "widths",
    )


def note(penalty: Penalty | None, activation: Activation) -> str:
    """Return the sentence on missing guarantees; empty if everything is guaranteed.

    Parameters
    ----------
    penalty
        Penalty of the training, or ``None`` if it is unspecified.
    activation
        Activation of the network.
    """
    if is_homogeneous(penalty, activation):
        return ""
    return (
        f"The margin is the maximum in the norm L2,{activation.homogeneity}; training with the L2 "
        "penalty is not guaranteed to reach it."
    )
