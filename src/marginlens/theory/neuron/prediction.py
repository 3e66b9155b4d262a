"""Prediction on addition modulo a prime with an activation that has no closed form."""

from __future__ import annotations

from marginlens.groups import is_prime
from marginlens.tasks import Task
from marginlens.theory.activation import Activation
from marginlens.theory.assumptions import assumptions, is_homogeneous
from marginlens.theory.group.closed_forms import theorem9_applies
from marginlens.theory.neuron.best_neuron import best_neuron
from marginlens.theory.penalty import Penalty
from marginlens.theory.prediction import AtPenalty, Prediction, unknown_features
from marginlens.theory.symmetric import symmetric_collapse, symmetric_optimum

__all__ = ["predict_neuron", "searchable", "symmetric_minimum"]

LARGEST_ORDER = 127
"""Up to here the best neuron is found in seconds, and predictions look for it unasked."""


def searchable(task: Task, activation: Activation) -> bool:
    """Return whether a search for the best neuron gives the maximum margin within seconds.

    Parameters
    ----------
    task
        Task of the product of two elements.
    activation
        Activation sigma of the network.
    """
    group = task.group
    return (
        group is not None
        and task.factors == 2
        and activation.name != "x^1"
        and group.order <= LARGEST_ORDER
        and is_prime(group.order)
    )


def predict_neuron(
    task: Task, activation: Activation, penalty: Penalty | None, known: Prediction | None = None
) -> Prediction:
    """Return the prediction from the best neuron that a search found, without a guarantee.

    Parameters
    ----------
    task
        Task of addition modulo a prime.
    activation
        Activation sigma of the network.
    penalty
        Penalty of the training, or ``None`` for its limit.
    known
        Prediction of the same task at any penalty, whose solution is taken over; ``None``: solved.
    """
    p = task.size
    neuron = None if known is None else known.waveform
    if neuron is None:
        neuron = best_neuron(p, activation)
    homogeneous = is_homogeneous(penalty, activation)
    at_penalty = None
    if homogeneous and penalty is not None and penalty.strength > 0:
        at_penalty = symmetric_minimum(p, neuron.value, penalty.strength)
    group = task.group
    return Prediction(
        task=task.name,
        activation=activation.name,
        norm=f"L2,{activation.homogeneity}",
        margin=neuron.value,
        features=unknown_features(task),
        certificate=None,
        sufficient_width=None,
        theorem=neuron.describe(),
        assumptions=assumptions(activation, penalty),
        note=(
            f"The margin is that of the best single neuron found for {activation}, a lower "
            "bound of the maximum; the features that a network uses are not predicted."
            + (
                ""
                if homogeneous
                else f" It is in the norm L2,{activation.homogeneity}, and training with the L2 penalty "
                "need not reach it."
            )
        ),
        closed_form=None,
        theorem9_applies=None if group is None else theorem9_applies(group),
        penalty=penalty,
        collapse_penalty=symmetric_collapse(p, neuron.value) if homogeneous else None,
        at_penalty=at_penalty,
        proved=False,
        waveform=neuron,
    )


def symmetric_minimum(order: int, margin: float, strength: float) -> AtPenalty:
    """Return the minimum at a penalty where all wrong answers can be treated alike.

    Averaged over the translations and automorphisms of C_p, a network of norm N leads by the same
    margin m <= gamma* N on every row and over every wrong answer, so that the minimum is that of
    log(1 + (p - 1) exp(-gamma* N)) + strength N over N:

        N = log((p - 1) (gamma* / strength - 1)) / gamma*,   or 0 from strength gamma* (p - 1) / p on.

    Parameters
    ----------
    order
        Prime order p of the cyclic group.
    margin
        Maximum margin gamma*, or a bound of it.
    strength
        Penalty strength lambda, positive.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Other activations".

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import Penalty, predict
    >>> exact = predict(task("C23"), penalty=Penalty("homogeneous", 1e-4))
    >>> found = symmetric_minimum(23, exact.margin, 1e-4)
    >>> round(found.loss, 7), round(exact.at_penalty.loss, 7)
    (0.2838312, 0.2838312)
    """
    cross_entropy, norm = symmetric_optimum(order, margin, strength)
    return AtPenalty(
        loss=cross_entropy + strength * norm,
        cross_entropy=cross_entropy,
        norm=norm,
        margin=margin * norm,
        margin_ratio=1.0 if norm > 0 else None,
        shares={},
        gap=0.0,
    )
