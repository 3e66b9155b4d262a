"""Coset concentration: variance of neurons within cosets of a subgroup."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup
from marginlens.groups.subgroups import left_cosets, right_cosets, subgroups

__all__ = ["CosetConcentration", "coset_concentration"]


@dataclass(frozen=True, eq=False)
class CosetConcentration:
    r"""Least share of each neuron's variance within the cosets of a subgroup.

    $$\min_H \frac{\operatorname{mean}_{aH}\operatorname{var}\{u(x) : x \in aH\}}{\operatorname{var}
    u}$$

    over the proper nontrivial subgroups H: 0 for a function of the cosets of one subgroup, 1 for a
    function unrelated to all subgroups. Of a neuron's weights u for the left factor the left cosets
    aH count, of v for the right factor the right cosets Hb, for which $ab = (ah)(h^{-1}b)$.

    Attributes
    ----------
    left, right
        Concentration of the left and of the right factor's weights; NaN for a constant neuron.
    left_order, right_order
        Order of the subgroup with the least value; 0 for a constant neuron.

    Notes
    -----
    Stander et al. 2024, *Grokking group multiplication with cosets*.
    """

    left: Float[np.ndarray, " neuron"]
    right: Float[np.ndarray, " neuron"]
    left_order: Int[np.ndarray, " neuron"]
    right_order: Int[np.ndarray, " neuron"]


def coset_concentration(
    u: Float[np.ndarray, "element neuron"],
    v: Float[np.ndarray, "element neuron"],
    group: FiniteGroup,
) -> CosetConcentration:
    """Compare neurons' weights with the cosets of every subgroup.

    Parameters
    ----------
    u
        Weights of the left factor, shape (element, neuron).
    v
        Weights of the right factor, shape (element, neuron).
    group
        Finite group of at most 200 elements.

    Raises
    ------
    ValueError
        The group is larger than 200, or has only trivial subgroups.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> s3 = group("S3")
    >>> sign = s3.characters[1].real[s3.class_of][:, None]
    >>> found = coset_concentration(sign, sign, s3)
    >>> found.left.round(12), found.left_order
    (array([0.]), array([3]))
    """
    masks = [mask for mask in subgroups(group) if 1 < mask.sum() < group.order]
    if not masks:
        raise ValueError(
            f"expected a group with proper subgroups, got {group.name}; for example S3 or C12"
        )
    orders = np.array([mask.sum() for mask in masks])
    left = np.stack([_within(u, left_cosets(group, mask)) for mask in masks])
    right = np.stack([_within(v, right_cosets(group, mask)) for mask in masks])
    return CosetConcentration(
        left.min(0), right.min(0), _order(left, orders), _order(right, orders)
    )


def _within(
    weights: Float[np.ndarray, "element neuron"], coset: Int[np.ndarray, " element"]
) -> Float[np.ndarray, " neuron"]:
    """Variance within cosets, all of one size, over the variance; nan if that is zero."""
    order = np.argsort(coset, kind="stable")
    inside = weights[order].reshape(len(np.unique(coset)), -1, weights.shape[1])
    variance = weights.var(0)
    ratio = np.full(weights.shape[1], np.nan)
    live = variance > np.square(64 * np.finfo(np.float64).eps * np.abs(weights).max(0))
    ratio[live] = inside.var(1).mean(0)[live] / variance[live]
    return ratio


def _order(values: np.ndarray, orders: np.ndarray) -> np.ndarray:
    constant = np.isnan(values).any(0)
    return np.where(constant, 0, orders[np.where(np.isnan(values), np.inf, values).argmin(0)])
