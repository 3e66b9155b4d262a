"""Bounds on any network from its feature masses: least cross-entropy, greatest margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.parity.program import parity_margin

__all__ = ["GroupMassBounds", "MassBounds", "ParityMassBounds"]


@runtime_checkable
class MassBounds(Protocol):
    """Bounds that hold for every network, of any width and however it was trained.

    The mass of a feature is sum_i ||omega_i||^nu e_i^(nu/2), with e_i the share of neuron i's energy
    in the feature (for parity, sum_i ||omega_i||^nu e_i with the energy of the input weights); larger
    numbers give weaker, valid bounds.
    """

    @property
    def rows(self) -> float:
        """Number of rows of the whole table."""
        ...

    def least_cross_entropy(self, masses: Float[np.ndarray, " feature"]) -> float:
        """Return the least mean cross-entropy over all rows of any network with these masses."""
        ...

    def greatest_margin(self, masses: Float[np.ndarray, " feature"]) -> float:
        """Return the greatest margin (not normalized) of any network with these masses."""
        ...


@dataclass(frozen=True, eq=False)
class GroupMassBounds:
    """Bounds for the product of k elements of a group, with x^k.

    Averaging a network over the symmetry of the table leaves its masses' bound alone and does not
    raise its cross-entropy, which is convex in the logits. The average has the logit
    sum_rho s_rho Re chi_rho(z) / d_rho at displacement z, with s_rho <= g_rho M_rho, and its
    cross-entropy falls with every s_rho, as 1 - Re chi_rho(z) / d_rho >= 0. Hence

        cross-entropy >= log sum_z exp(-sum_rho g_rho M_rho (1 - Re chi_rho(z) / d_rho)).

    Attributes
    ----------
    program
        The group's class program.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "How far a network is from the minimum".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> bounds = GroupMassBounds(ClassProgram.of(group("C5")))
    >>> round(bounds.greatest_margin(np.array([0.5, 0.5])), 9)
    0.030429031
    """

    program: ClassProgram

    @property
    def rows(self) -> float:
        """Number n^k of rows."""
        return float(self.program.group_order) ** self.program.inputs

    def _leads(self, masses: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " class"]:
        return self.program.defects @ (self.program.gains * masses)

    def least_cross_entropy(self, masses: Float[np.ndarray, " feature"]) -> float:
        """Return the least mean cross-entropy over all rows of any network with these masses."""
        sizes = np.log(self.program.class_sizes.astype(float))
        return float(np.logaddexp(0.0, logsumexp(sizes - self._leads(masses))))

    def greatest_margin(self, masses: Float[np.ndarray, " feature"]) -> float:
        """Return the greatest margin (not normalized) of any network with these masses."""
        return float(self._leads(masses).min())


@dataclass(frozen=True)
class ParityMassBounds:
    """Bounds for the product of k bits, with x^k.

    The gain of a neuron with shares e_j of its input energy on the k coordinates is at most prod_j
    sqrt(k e_j) <= k (prod_j e_j)^(1/k) of the gain of the best neuron of its norm. This is concave,
    so the total gain is at most k times the geometric mean of the coordinates' masses.

    Attributes
    ----------
    bits
        Length n of the inputs.
    subset
        Relevant coordinates, k of them, whose product is the answer.

    Examples
    --------
    >>> bounds = ParityMassBounds(4, (0, 1))
    >>> round(bounds.greatest_margin(np.array([0.5, 0.5, 0.0, 0.0])), 6)
    0.544331
    """

    bits: int
    subset: tuple[int, ...]

    @property
    def rows(self) -> float:
        """Number 2^n of rows."""
        return 2.0**self.bits

    def greatest_margin(self, masses: Float[np.ndarray, " feature"]) -> float:
        """Return the greatest margin (not normalized) of any network with these masses."""
        chosen = np.maximum(masses[list(self.subset)], 0.0)
        if not chosen.all():
            return 0.0
        k = len(self.subset)
        if k == 1:  # a neuron earns sqrt(e), which is above e
            return parity_margin(1) * float(np.sqrt(masses.sum() * chosen[0]))
        # the product of the masses may leave the finite numbers, its logarithm does not
        return parity_margin(k) * k * float(np.exp(np.log(chosen).mean()))

    def least_cross_entropy(self, masses: Float[np.ndarray, " feature"]) -> float:
        """Return the least mean cross-entropy over all rows of any network with these masses."""
        return float(np.logaddexp(0.0, -self.greatest_margin(masses)))
