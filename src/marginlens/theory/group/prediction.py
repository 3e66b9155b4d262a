"""Prediction on the table of a group."""

from __future__ import annotations

import math

import numpy as np

from marginlens.groups import CharacterTable, FiniteGroup, IrrepClass, is_prime
from marginlens.tasks import Feature, Task
from marginlens.theory.activation import Activation
from marginlens.theory.assumptions import assumptions, is_homogeneous, note
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.closed_forms import (
    closed_form_applies,
    closed_form_margin,
    theorem9_applies,
)
from marginlens.theory.group.finite_penalty import collapse_penalty, minimize_penalized_loss
from marginlens.theory.group.linear_program import SOLVED_GAP, MarginSolution, solve_margin
from marginlens.theory.group.mass_bounds import GroupMassBounds
from marginlens.theory.group.widths import construction_width
from marginlens.theory.penalty import Penalty
from marginlens.theory.prediction import AtPenalty, FeaturePrediction, Prediction
from marginlens.theory.shares import STATUS_THRESHOLD, share_status

__all__ = ["group_at_penalty", "predict_group"]

_THEOREM_7 = "Morwani et al. 2024, Theorem 7"
_THEOREM_9 = "Morwani et al. 2024, Theorem 9"
_LINEAR_PROGRAM = (
    "linear program over conjugacy classes (extends Morwani et al. 2024, Theorems 7 and 9)"
)
_LI = "Li et al. 2024, k inputs modulo a prime"
_MINIMUM_GAP = 1e-6  # relative duality gap above which a minimum is not predicted
_LISTED = 8  # names in a sentence


def predict_group(
    task: Task,
    group: FiniteGroup | CharacterTable,
    activation: Activation,
    penalty: Penalty | None,
    known: Prediction | None = None,
) -> Prediction:
    """Return the prediction for the product of k factors in a group, with x^k.

    Parameters
    ----------
    task
        Task of the product of k factors.
    group
        Finite group, or its character table.
    activation
        Activation x^k of the network.
    penalty
        Penalty of the training, or ``None`` for its limit.
    known
        Prediction of the same task at any penalty, whose solution is taken over; ``None``: solved.
    """
    solution = None if known is None else _solution_of(known)
    if solution is None:
        solution = solve_margin(ClassProgram.of(group, inputs=task.factors))
    program = solution.certificate.program
    theorem9 = theorem9_applies(group)
    homogeneous = is_homogeneous(penalty, activation)
    at_penalty = None
    strength = 0.0 if penalty is None else penalty.strength
    if homogeneous and strength > 0:
        at_penalty = group_at_penalty(task, program, solution.margin, strength)
    notes = [note(penalty, activation), _undetermined(task, solution)]
    if at_penalty is not None and not at_penalty.gap <= _MINIMUM_GAP:
        notes.append(
            f"The minimum at strength {strength:g} was not determined (relative gap "
            f"{at_penalty.gap:.0e})."
        )
        at_penalty = None
    features = tuple(
        _feature(feature, irrep, least, greatest)
        for feature, irrep, least, greatest in zip(
            task.features,
            group.irrep_classes[1:],
            solution.least.tolist(),
            solution.greatest.tolist(),
            strict=True,
        )
    )
    return Prediction(
        task=task.name,
        activation=activation.name,
        norm=f"L2,{activation.homogeneity}",
        margin=solution.margin,
        features=features,
        certificate=solution.certificate,
        sufficient_width=construction_width(
            group.irrep_classes[1:], solution.certificate.masses, inputs=task.factors
        ),
        theorem=_theorem(group, task.factors, theorem9),
        assumptions=assumptions(activation, penalty),
        note=" ".join(words for words in (*notes, _absences(features, at_penalty)) if words),
        closed_form=closed_form_margin(group, inputs=task.factors)
        if closed_form_applies(group, inputs=task.factors)
        else None,
        theorem9_applies=theorem9,
        penalty=penalty,
        collapse_penalty=collapse_penalty(program) if homogeneous else None,
        at_penalty=at_penalty,
        proved=solution.certificate.gap <= SOLVED_GAP,
        mass_bounds=GroupMassBounds(program),
    )


def _solution_of(known: Prediction) -> MarginSolution | None:
    """Solution of the margin program that a prediction holds; None if it holds none."""
    if known.certificate is None:
        return None
    bounds = [(one.least_share, one.greatest_share) for one in known.features]
    shares = np.array(bounds, dtype=np.float64)  # None becomes nan
    least, greatest = shares.T
    unique = bool((least == greatest).all())
    return MarginSolution(known.certificate.lower, known.certificate, least, greatest, unique)


def group_at_penalty(
    task: Task, program: ClassProgram, margin: float, strength: float
) -> AtPenalty:
    """Return the minimum at a positive strength for a group's program and maximum margin.

    Parameters
    ----------
    task
        Task of the product of k factors.
    program
        Class program of the group.
    margin
        Maximum margin gamma* of the group.
    strength
        Penalty strength lambda, positive.
    """
    minimum = minimize_penalized_loss(program, strength)
    live = minimum.norm > 0
    shares = minimum.masses / minimum.norm if live else minimum.masses
    return AtPenalty(
        loss=minimum.loss + strength * minimum.norm,
        cross_entropy=minimum.loss,
        norm=minimum.norm,
        margin=minimum.margin,
        margin_ratio=minimum.margin / (minimum.norm * margin) if live else None,
        shares={
            feature.name: share
            for feature, share in zip(task.features, shares.tolist(), strict=True)
        },
        gap=minimum.gap,
    )


def _feature(
    feature: Feature, irrep: IrrepClass, least: float, greatest: float
) -> FeaturePrediction:
    determined = not (math.isnan(least) or math.isnan(greatest))
    return FeaturePrediction(
        name=feature.name,
        dimension=feature.dimension,
        type=feature.type,
        frobenius_schur=irrep.frobenius_schur,
        status=share_status(least, greatest),
        least_share=least if determined else None,
        greatest_share=greatest if determined else None,
    )


def _undetermined(task: Task, solution: MarginSolution) -> str:
    """Return the sentence on shares that solvers left undetermined; empty if all are proved."""
    certificate = solution.certificate
    if certificate.gap > SOLVED_GAP:
        return (
            f"No solver solved the margin's linear program: the maximum margin lies between "
            f"{certificate.lower:.6g} and {certificate.upper:.6g}, and shares are not determined."
        )
    open_shares = np.isnan(solution.least) | np.isnan(solution.greatest)
    names = [task.features[index].name for index in np.flatnonzero(open_shares)]
    if not names:
        return ""
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return (
        f"The margin is proved, but the range of the share of {len(names)} of {len(open_shares)} "
        f"features is not determined, because no solver's answer could be verified: {listed}."
    )


def _theorem(group: FiniteGroup | CharacterTable, inputs: int, theorem9: bool) -> str:
    if group.order > 2 and is_prime(group.order):
        return _THEOREM_7 if inputs == 2 else _LI
    if inputs != 2:
        return _LINEAR_PROGRAM
    return _THEOREM_9 if theorem9 else _LINEAR_PROGRAM


def _absences(features: tuple[FeaturePrediction, ...], at_penalty: AtPenalty | None) -> str:
    """Return a warning if the minimum at the penalty omits features that its limit uses."""
    if at_penalty is None or at_penalty.norm == 0:
        return ""
    absent = [
        feature.name
        for feature in features
        if feature.status == "must" and at_penalty.shares[feature.name] <= STATUS_THRESHOLD
    ]
    if not absent:
        return ""
    return (
        f"At this penalty the minimum leaves out {', '.join(absent)}, which every maximum-margin "
        f"network uses: {'it enters' if len(absent) == 1 else 'they enter'} only at smaller strengths."
    )
