"""Prediction of margins, features and losses for a task, before any training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from marginlens.tasks import Task
from marginlens.tasks import task as task_of
from marginlens.theory.activation import Activation, parse_activation
from marginlens.theory.group.closed_forms import theorem9_applies
from marginlens.theory.group.prediction import predict_group
from marginlens.theory.neuron.prediction import predict_neuron, searchable
from marginlens.theory.parity.prediction import parity_size, predict_parity
from marginlens.theory.penalty import Penalty
from marginlens.theory.prediction import Prediction, unknown_features

__all__ = ["Predictions", "default_activation", "is_covered", "predict"]

_NO_THEOREM = "none"


def is_covered(task: Task) -> bool:
    """Return whether the theory covers a task: a product in a group, or a parity.

    Parameters
    ----------
    task
        Task to predict, of any kind.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> [is_covered(task(spec)) for spec in ("C5", "x+y mod 5", "x/y mod 5", "random(5,0)")]
    [True, True, False, False]
    """
    return task.kind == "parity" or task.characters is not None


def default_activation(task: Task) -> Activation:
    """Return the activation that the theory covers: x^k for k factors or k relevant bits.

    For tasks outside the theory (:func:`is_covered`) it is ReLU.

    Parameters
    ----------
    task
        Task to predict, of any kind.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> default_activation(task("C5")).name, default_activation(task("parity(6,3)")).name
    ('x^2', 'x^3')
    """
    if not is_covered(task):
        return parse_activation("relu")
    return parse_activation(f"x^{task.factors if task.kind == 'table' else parity_size(task)}")


def predict(
    task: Task | str,
    activation: Activation | str | Callable[[Any], Any] | None = None,
    penalty: Penalty | float | int | None = None,
    *,
    known: Prediction | None = None,
) -> Prediction:
    """Predict the margin, features and losses of networks on a task, before any training.

    Parameters
    ----------
    task
        Group task, sparse parity, or any other task; or a spec such as ``"S5"``.
    activation
        Activation or its name; by default the one that the theory covers
        (:func:`default_activation`).
    penalty
        Penalty of the training; a number is the strength of the homogeneous one. With the
        homogeneous norm and a positive strength the exact minimum at that strength is predicted
        too.
    known
        Prediction of the same task at any penalty. If it has the same activation, its margin and shares
        are taken over, so that the margin's program is not solved again.

    Returns
    -------
    Prediction
        Prediction. Without a theorem its ``margin`` is ``None``, its features are ``"unknown"``,
        and its ``note`` gives the reason. On C_p with a prime p up to 127 any other activation has
        the margin of the best single neuron found, with ``proved`` False, and the neuron as its
        ``waveform``.

    Raises
    ------
    ValueError
        The name of the activation is unknown.

    Notes
    -----
    Morwani et al. 2024, Theorems 7, 8 and 9; the rest is derived in
    :mod:`marginlens.theory`, by sections.

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
    asked = task if isinstance(task, Task) else task_of(task)
    covered = default_activation(asked)
    chosen = covered if activation is None else parse_activation(activation)
    at = None if penalty is None else Penalty.of(penalty)
    if known is not None and (known.task, known.activation) != (asked.name, chosen.name):
        known = None
    return replace(_predicted(asked, chosen, at, known), task_note=asked.note)


class Predictions:
    """Predictions of one task, with the margin's program solved once for each activation.

    A recipe's defaults and the prediction of its training then share one solution.

    Parameters
    ----------
    task
        Task that is predicted.
    known
        Prediction of the task that is there already; None if none is.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> predictions = Predictions(task("C5"))
    >>> limit, at = predictions.at(), predictions.at(penalty=1e-3)
    >>> limit.certificate is at.certificate, round(at.at_penalty.loss, 4)
    (True, 0.1901)
    """

    def __init__(self, task: Task, known: Prediction | None = None) -> None:
        self.task = task
        self._solved = {} if known is None else {known.activation: known}
        self._made: dict[tuple[str, Penalty | None], Prediction] = {}

    def at(
        self,
        activation: Activation | str | Callable[[Any], Any] | None = None,
        penalty: Penalty | float | int | None = None,
    ) -> Prediction:
        """Predict for an activation and a penalty, as :func:`predict`.

        Parameters
        ----------
        activation
            Activation or its name; by default the one that the theory covers.
        penalty
            Penalty of the training, or its strength.
        """
        chosen = default_activation(self.task) if activation is None else activation
        chosen = parse_activation(chosen)
        if chosen.is_own:  # its name says nothing, and no theorem covers it
            return predict(self.task, chosen, penalty)
        key = chosen.name, None if penalty is None else Penalty.of(penalty)
        if key not in self._made:
            self._made[key] = predict(
                self.task, chosen, penalty, known=self._solved.get(chosen.name)
            )
            self._solved.setdefault(chosen.name, self._made[key])
        return self._made[key]


def _predicted(
    task: Task, chosen: Activation, penalty: Penalty | None, known: Prediction | None
) -> Prediction:
    covered = default_activation(task)
    if not is_covered(task):
        return _unknown(task, chosen, penalty, "the theory covers products in groups and parities")
    if chosen.is_own:
        return _unknown(task, chosen, penalty, f"the theory covers {covered}")
    if chosen != covered and searchable(task, chosen):
        return predict_neuron(task, chosen, penalty, known)
    if chosen != covered:
        return _unknown(task, chosen, penalty, f"the theory covers {covered}")
    if task.kind == "parity":
        return predict_parity(task, chosen, penalty)
    characters = task.group or task.characters
    assert characters is not None  # or it would not be covered
    return predict_group(task, characters, chosen, penalty, known)


def _unknown(
    task: Task, activation: Activation, penalty: Penalty | None, covered: str
) -> Prediction:
    characters = task.characters
    return Prediction(
        task=task.name,
        activation=activation.name,
        norm="" if math.isnan(activation.degree) else f"L2,{activation.homogeneity}",
        margin=None,
        features=unknown_features(task),
        certificate=None,
        sufficient_width=None,
        theorem=_NO_THEOREM,
        assumptions=(),
        note=(
            f"No theorem gives the maximum margin of {task.name} with the activation {activation}; "
            f"{covered}."
        ),
        closed_form=None,
        theorem9_applies=None if characters is None else theorem9_applies(characters),
        penalty=penalty,
        collapse_penalty=None,
        at_penalty=None,
    )
