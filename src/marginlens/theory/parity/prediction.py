"""Prediction on sparse parity."""

from __future__ import annotations

from marginlens.tasks import Task
from marginlens.theory.activation import Activation
from marginlens.theory.assumptions import assumptions, is_homogeneous, note
from marginlens.theory.group.mass_bounds import ParityMassBounds
from marginlens.theory.parity.program import (
    parity_collapse_penalty,
    parity_margin,
    parity_minimum,
    parity_width,
)
from marginlens.theory.penalty import Penalty
from marginlens.theory.prediction import AtPenalty, FeaturePrediction, Prediction
from marginlens.theory.shares import share_status

__all__ = ["parity_at_penalty", "parity_size", "predict_parity"]

_THEOREM_8 = "Morwani et al. 2024, Theorem 8"


def predict_parity(task: Task, activation: Activation, penalty: Penalty | None) -> Prediction:
    """Return the prediction for the product of k of the bits, with x^k.

    Parameters
    ----------
    task
        Task of a sparse parity.
    activation
        Activation x^k of the network.
    penalty
        Penalty of the training, or ``None`` for its limit.
    """
    k = parity_size(task)
    shares = _shares(task)
    margin = parity_margin(k)
    homogeneous = is_homogeneous(penalty, activation)
    at_penalty = None
    if homogeneous and penalty is not None and penalty.strength > 0:
        at_penalty = parity_at_penalty(task, penalty.strength)
    return Prediction(
        task=task.name,
        activation=activation.name,
        norm=f"L2,{k + 1}",
        margin=margin,
        features=tuple(
            FeaturePrediction(
                name=feature.name,
                dimension=feature.dimension,
                type=feature.type,
                frobenius_schur=None,
                status=share_status(share, share),
                least_share=share,
                greatest_share=share,
            )
            for feature, share in zip(task.features, shares, strict=True)
        ),
        certificate=None,
        sufficient_width=parity_width(k),
        theorem=_THEOREM_8,
        assumptions=assumptions(activation, penalty),
        note=note(penalty, activation),
        closed_form=margin,
        theorem9_applies=None,
        penalty=penalty,
        collapse_penalty=parity_collapse_penalty(k) if homogeneous else None,
        at_penalty=at_penalty,
        mass_bounds=ParityMassBounds(task.size, tuple(task.subset or ())),
    )


def parity_at_penalty(task: Task, strength: float) -> AtPenalty:
    """Return the minimum at a positive penalty strength.

    Parameters
    ----------
    task
        Task of a sparse parity.
    strength
        Penalty strength lambda, positive.
    """
    k = parity_size(task)
    cross_entropy, norm = parity_minimum(k, strength)
    return AtPenalty(
        loss=cross_entropy + strength * norm,
        cross_entropy=cross_entropy,
        norm=norm,
        margin=parity_margin(k) * norm,
        margin_ratio=1.0 if norm > 0 else None,
        shares={
            feature.name: share if norm > 0 else 0.0
            for feature, share in zip(task.features, _shares(task), strict=True)
        },
        gap=0.0,
    )


def _shares(task: Task) -> list[float]:
    """Share of each coordinate: equal ones on the subset."""
    subset = set(task.subset or ())
    share = 1.0 / parity_size(task)
    return [share if feature.coordinate in subset else 0.0 for feature in task.features]


def parity_size(task: Task) -> int:
    """Return the number k of relevant coordinates.

    Parameters
    ----------
    task
        Task of a sparse parity.

    Raises
    ------
    ValueError
        The task has no relevant coordinates.
    """
    if not task.subset:
        raise ValueError(
            f"expected a task with relevant coordinates, got {task.name!r}; for example "
            '"parity(10,4)"'
        )
    return len(task.subset)
