"""From a task to its prediction."""

from __future__ import annotations

import math

from marginlens.groups import FiniteGroup
from marginlens.tasks import Task
from marginlens.theory.activation import Activation, parse_activation
from marginlens.theory.class_program import ClassProgram
from marginlens.theory.closed_forms import (
    closed_form_applies,
    closed_form_margin,
    theorem9_applies,
)
from marginlens.theory.finite_penalty import collapse_penalty, minimize_penalized_loss
from marginlens.theory.linear_program import (
    STATUS_THRESHOLD,
    MarginSolution,
    share_status,
    solve_margin,
)
from marginlens.theory.parity import (
    parity_collapse_penalty,
    parity_margin,
    parity_minimum,
    parity_width,
)
from marginlens.theory.penalty import Penalty
from marginlens.theory.prediction import AtPenalty, FeaturePrediction, Prediction
from marginlens.theory.widths import simplex_neurons

__all__ = ["default_activation", "predict"]

_THEOREM_7 = "Morwani et al. 2024, Theorem 7"
_THEOREM_8 = "Morwani et al. 2024, Theorem 8"
_THEOREM_9 = "Morwani et al. 2024, Theorem 9"
_LINEAR_PROGRAM = "linear program over conjugacy classes (extends Theorems 7 and 9; docs/theory.md)"
_NO_THEOREM = "none"


def default_activation(task: Task) -> Activation:
    """The activation the theory covers: x^2 for a table, x^k for parity over k coordinates.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> default_activation(task("C5")).name, default_activation(task("parity(6,3)")).name
    ('x^2', 'x^3')
    """
    return parse_activation("x^2" if task.kind == "table" else f"x^{_parity_size(task)}")


def predict(
    task: Task, activation: Activation | str | None = None, penalty: Penalty | None = None
) -> Prediction:
    """What a network on a task will learn, before any training.

    Parameters
    ----------
    task
        A group's table, or sparse parity.
    activation
        An activation or its name; by default the one the theory covers (:func:`default_activation`).
    penalty
        The penalty of the training. With the homogeneous norm and a positive strength the exact
        minimum at that strength is predicted too.

    Returns
    -------
    Prediction
        Where no theorem applies its ``margin`` is None, its features are ``"unknown"``, and its
        ``note`` says why.

    Raises
    ------
    ValueError
        If the activation's name is not known.

    Notes
    -----
    Morwani et al. 2024, Theorems 7, 8 and 9; the rest is derived in docs/theory.md.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> prediction = predict(task("A5"), penalty=Penalty("homogeneous", 1e-5))
    >>> f"{prediction.margin:.8e}"
    '4.31570899e-04'
    >>> [feature.status for feature in prediction.features]
    ['must', 'must', 'must', 'cannot']
    >>> round(prediction.at_penalty.margin_ratio, 4)
    0.9872
    """
    covered = default_activation(task)
    chosen = covered if activation is None else parse_activation(activation)
    if chosen != covered:
        return _unknown(task, chosen, covered, penalty)
    if task.kind == "parity":
        return _predict_parity(task, chosen, penalty)
    if task.group is None:
        raise ValueError(f"task {task.name!r} is a table without a group; pass a group's table")
    return _predict_group(task, task.group, chosen, penalty)


def _predict_group(
    task: Task, group: FiniteGroup, activation: Activation, penalty: Penalty | None
) -> Prediction:
    program = ClassProgram.of(group)
    solution = solve_margin(program)
    theorem9 = theorem9_applies(group)
    homogeneous = _is_homogeneous(penalty, activation)
    masses = solution.certificate.masses
    at_penalty = _group_at_penalty(task, program, solution, penalty) if homogeneous else None
    features = tuple(
        FeaturePrediction(
            name=feature.name,
            dimension=feature.dimension,
            type=feature.type,
            frobenius_schur=irrep.frobenius_schur,
            status=share_status(least, greatest),
            least_share=least,
            greatest_share=greatest,
        )
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
        norm="L2,3",
        margin=solution.margin,
        features=features,
        certificate=solution.certificate,
        sufficient_width=sum(
            simplex_neurons(irrep.degree, irrep.type)
            for irrep, mass in zip(group.irrep_classes[1:], masses.tolist(), strict=True)
            if mass > STATUS_THRESHOLD
        ),
        theorem=_group_theorem(group, theorem9),
        assumptions=_assumptions(activation, penalty),
        note=_note(penalty, activation) or _absences(features, at_penalty),
        closed_form=closed_form_margin(group) if closed_form_applies(group) else None,
        theorem9_applies=theorem9,
        penalty=penalty,
        collapse_penalty=collapse_penalty(program) if homogeneous else None,
        at_penalty=at_penalty,
    )


def _group_at_penalty(
    task: Task, program: ClassProgram, solution: MarginSolution, penalty: Penalty | None
) -> AtPenalty | None:
    if penalty is None or penalty.strength == 0:
        return None
    minimum = minimize_penalized_loss(program, penalty.strength)
    live = minimum.norm > 0
    shares = minimum.masses / minimum.norm if live else minimum.masses
    return AtPenalty(
        loss=minimum.loss + penalty.strength * minimum.norm,
        cross_entropy=minimum.loss,
        norm=minimum.norm,
        margin=minimum.margin,
        margin_ratio=minimum.margin / (minimum.norm * solution.margin) if live else None,
        shares={
            feature.name: share
            for feature, share in zip(task.features, shares.tolist(), strict=True)
        },
        gap=minimum.gap,
    )


def _predict_parity(task: Task, activation: Activation, penalty: Penalty | None) -> Prediction:
    k = _parity_size(task)
    subset = set(task.subset or ())
    shares = [1.0 / k if feature.coordinate in subset else 0.0 for feature in task.features]
    margin = parity_margin(k)
    homogeneous = _is_homogeneous(penalty, activation)
    at_penalty = None
    if homogeneous and penalty is not None and penalty.strength > 0:
        cross_entropy, norm = parity_minimum(k, penalty.strength)
        at_penalty = AtPenalty(
            loss=cross_entropy + penalty.strength * norm,
            cross_entropy=cross_entropy,
            norm=norm,
            margin=margin * norm,
            margin_ratio=1.0 if norm > 0 else None,
            shares={
                feature.name: share if norm > 0 else 0.0
                for feature, share in zip(task.features, shares, strict=True)
            },
            gap=0.0,
        )
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
        assumptions=_assumptions(activation, penalty),
        note=_note(penalty, activation),
        closed_form=margin,
        theorem9_applies=None,
        penalty=penalty,
        collapse_penalty=parity_collapse_penalty(k) if homogeneous else None,
        at_penalty=at_penalty,
    )


def _unknown(
    task: Task, activation: Activation, covered: Activation, penalty: Penalty | None
) -> Prediction:
    group = task.group
    return Prediction(
        task=task.name,
        activation=activation.name,
        norm=f"L2,{activation.homogeneity}",
        margin=None,
        features=tuple(
            FeaturePrediction(
                name=feature.name,
                dimension=feature.dimension,
                type=feature.type,
                frobenius_schur=None if feature.irrep is None else feature.irrep.frobenius_schur,
                status="unknown",
                least_share=None,
                greatest_share=None,
            )
            for feature in task.features
        ),
        certificate=None,
        sufficient_width=None,
        theorem=_NO_THEOREM,
        assumptions=(),
        note=(
            f"No theorem gives the maximum margin of {task.name} with the activation {activation}; "
            f"the theory covers {covered}."
        ),
        closed_form=None,
        theorem9_applies=None if group is None else theorem9_applies(group),
        penalty=penalty,
        collapse_penalty=None,
        at_penalty=None,
    )


def _parity_size(task: Task) -> int:
    if not task.subset:
        raise ValueError(
            f'task {task.name!r} has no relevant coordinates; use a task such as "parity(10,4)"'
        )
    return len(task.subset)


def _group_theorem(group: FiniteGroup, theorem9: bool) -> str:
    prime = group.order > 2 and all(
        group.order % divisor for divisor in range(2, math.isqrt(group.order) + 1)
    )
    if prime:
        return _THEOREM_7
    return _THEOREM_9 if theorem9 else _LINEAR_PROGRAM


def _is_homogeneous(penalty: Penalty | None, activation: Activation) -> bool:
    """Whether the penalty is (or may be taken as) the one whose limit is the maximum margin."""
    if penalty is None or penalty.norm == "homogeneous":
        return True
    # of a network homogeneous of degree 2, sum_i ||omega_i||^2 is ordinary weight decay
    return activation.homogeneity == 2


def _assumptions(activation: Activation, penalty: Penalty | None) -> tuple[str, ...]:
    nu = activation.homogeneity
    weakened = (
        f"training reaches a global minimum of cross-entropy + λ Σ‖ωᵢ‖^{nu}, whose normalized margin "
        "approaches γ* as λ goes to 0"
    )
    if not _is_homogeneous(penalty, activation):
        weakened = (
            f"the network has the maximum margin in the norm L2,{nu}, which the L2 penalty does not "
            "promise"
        )
    return (
        f"one hidden layer without biases, activation {activation}, trained on all inputs",
        weakened,
        "the network has at least the width that suffices; at a given λ the minimum is that over all "
        "widths",
    )


def _note(penalty: Penalty | None, activation: Activation) -> str:
    if _is_homogeneous(penalty, activation):
        return ""
    return (
        f"The margin is the maximum in the norm L2,{activation.homogeneity}; training with the L2 "
        "penalty is not promised to reach it."
    )


def _absences(features: tuple[FeaturePrediction, ...], at_penalty: AtPenalty | None) -> str:
    """A warning where the minimum at the penalty leaves out what its limit uses."""
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
