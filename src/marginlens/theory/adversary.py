"""Upper bound of the maximum margin from a distribution over rows and wrong answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup
from marginlens.tasks import Task
from marginlens.theory.activation import Activation
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.parity.program import parity_margin
from marginlens.theory.predict import default_activation, is_covered

__all__ = ["AdversaryBound", "GroupAdversaryBound", "ParityAdversaryBound", "adversary_bound_for"]


@runtime_checkable
class AdversaryBound(Protocol):
    """Proved upper bound of a task's maximum margin, computed from any adversary."""

    def __call__(self, adversary: Float[np.ndarray, "answer wrong"]) -> float:
        """Return the greatest gain of a neuron of norm one against the averaged adversary.

        Parameters
        ----------
        adversary
            Probability of each pair (right answer, wrong class), summed over rows.
        """
        ...


@dataclass(frozen=True, eq=False)
class GroupAdversaryBound:
    r"""Bound for the product of k elements of a group, with x^k, over the whole table.

    For any distribution q over rows and wrong classes, the least margin of a network of norm one is
    at most its mean under q, and stays so when q is averaged over the symmetry of the table (a -> g
    a h^-1, b -> h b k^-1, c -> g c k^-1). The average of q is the class function $\tau(C) = \sum_r
    \sum_{y_r^{-1} c \in C} q(r, c)$, and the gain of a neuron against it is at most

    $\gamma^* \le s \max_\rho \sum_C \tau_C A_{C\rho} / c_\rho^{k-1}$

    with $s$ → ``program.scale`` and $A / c^{k-1}$ → ``program.payoff``.

    Attributes
    ----------
    program
        Class program of the group.
    class_of_pair
        Index of the merged class of y^-1 c, for each answer y and class c; -1 where c = y.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Training the margin itself".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> bound = GroupAdversaryBound.of(group("C5"))
    >>> round(bound(np.ones((5, 5)) - np.eye(5)), 9)
    0.030429031
    """

    program: ClassProgram
    class_of_pair: Int[np.ndarray, "answer wrong"]

    @classmethod
    def of(cls, group: FiniteGroup, *, inputs: int = 2) -> GroupAdversaryBound:
        """Return the bound of a group's product of ``inputs`` elements.

        Parameters
        ----------
        group
            Finite group of order n.
        inputs
            Number k of factors of the product.
        """
        program = ClassProgram.of(group, inputs=inputs)
        merged = np.full(len(group.class_sizes), -1)
        for index, members in enumerate(program.classes):
            merged[list(members)] = index
        return cls(program, merged[group.class_of][group.table[group.inverses]])

    def distribution(
        self, adversary: Float[np.ndarray, "answer wrong"]
    ) -> Float[np.ndarray, " class"]:
        """Return tau, the averaged adversary: one probability per merged class of wrong answers.

        Parameters
        ----------
        adversary
            Probability of each pair (right answer, wrong class), summed over rows.
        """
        off = self.class_of_pair >= 0
        count = len(self.program.classes)
        tau = np.bincount(self.class_of_pair[off], np.asarray(adversary)[off], count)
        return tau / tau.sum()

    def __call__(self, adversary: Float[np.ndarray, "answer wrong"]) -> float:
        """Return the bound of an adversary; NaN if it is not a distribution.

        Parameters
        ----------
        adversary
            Probability of each pair (right answer, wrong class), summed over rows.
        """
        tau = self.distribution(adversary)
        return float(self.program.scale * (tau @ self.program.payoff).max())


@dataclass(frozen=True)
class ParityAdversaryBound:
    """Bound for the product of k bits, with x^k, over all inputs.

    The symmetry x -> s x of the inputs averages every adversary to the uniform one, against which
    the gain of the best neuron is the maximum margin itself (Morwani et al. 2024, Theorem 8).

    Attributes
    ----------
    bits
        Number k of the relevant bits.

    Examples
    --------
    >>> round(ParityAdversaryBound(2)(np.array([[0, .5], [.5, 0]])), 6)
    0.544331
    """

    bits: int

    def __call__(self, adversary: Float[np.ndarray, "answer wrong"]) -> float:
        """Return the bound, which is the same for every adversary."""
        return parity_margin(self.bits)


def adversary_bound_for(task: Task, activation: Activation) -> AdversaryBound | None:
    """Return the bound of a task over its whole table, or ``None`` if no theorem gives one.

    Parameters
    ----------
    task
        A group's product or a parity, with its rows listed.
    activation
        Activation sigma; only the theorem's activation has a bound.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> adversary_bound_for(task("C5"), parse_activation("relu")) is None
    True
    """
    if not is_covered(task) or activation != default_activation(task):
        return None
    if task.kind == "parity":
        return None if task.subset is None else ParityAdversaryBound(len(task.subset))
    if task.group is None or not task.is_whole:
        return None
    return GroupAdversaryBound.of(task.group, inputs=task.factors)
