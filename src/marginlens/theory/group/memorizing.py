"""Memorizing network: the baseline that Fourier features have to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.linear_program import solve_margin
from marginlens.theory.group.verification import network_margin

__all__ = ["MemorizingComparison", "compare_memorizing", "memorizing_margin", "memorizing_weights"]

Centred = Literal["none", "output", "all"]
_POWERS: dict[Centred, float] = {"none": 0.0, "output": -0.5, "all": -1.5}


def memorizing_margin(order: int, *, centred: Centred = "all") -> float:
    """Return the normalized L_{2,3} margin of the memorizing network with x^2.

    The margin of indicators is 2 / (3 sqrt(3) n^2). Removing the mean of w multiplies it by (1 -
    1/n)^(-1/2), and removing the means of u, v and w by (1 - 1/n)^(-3/2), since a mean has norm but
    no gain.

    Parameters
    ----------
    order
        Order n of the group, at least 2.
    centred
        Vectors with their mean removed: ``"none"``, ``"output"`` or ``"all"``.

    Raises
    ------
    ValueError
        The order is below 2.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Memorizing".

    Examples
    --------
    >>> [round(memorizing_margin(23, centred=c), 9) for c in ("none", "output", "all")]
    [0.0007276, 0.000743952, 0.000777768]
    """
    if order < 2:
        raise ValueError(f"order: expected at least 2, got {order}; for example 23")
    return 2 / (3 * math.sqrt(3) * order**2) * (1 - 1 / order) ** _POWERS[centred]


def memorizing_weights(
    labels: Int[np.ndarray, "first second"], *, centred: Centred = "all"
) -> tuple[Float[np.ndarray, "element neuron"], ...]:
    """Return weights u, v, w of one neuron (delta_a, delta_b, delta_label) per pair of inputs.

    For labels that form a Latin square, as in a group, n^2 neurons suffice: each wrong label
    collects u^2 from one neuron of a's row and v^2 from one of b's column, and so does the right
    one, whose own neuron has (u + v)^2 = 4 u^2. Other labels require each neuron's partner (u, -v,
    -w), which leaves 4 u v w; u and v then stay indicators.

    Parameters
    ----------
    labels
        Answer to each pair, from 0, shape (n, n); arbitrary otherwise.
    centred
        Vectors with their mean removed, see :func:`memorizing_margin`.

    Returns
    -------
    tuple of Float[np.ndarray, "element neuron"]
        Weights u, v and w with sum over neurons of ||omega||^3 = 1.

    Raises
    ------
    ValueError
        The labels are not a Latin square, and u and v are to be centred.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Memorizing".

    Examples
    --------
    >>> u, v, w = memorizing_weights(np.array([[0, 1], [1, 0]]), centred="none")
    >>> w.shape, w.max().round(6)
    ((2, 4), np.float64(0.363708))
    """
    rows, columns = labels.shape
    everything = np.sort(labels, axis=0), np.sort(labels, axis=1)
    latin = rows == columns and all(
        (lines == np.arange(rows).reshape(shape)).all()
        for lines, shape in zip(everything, ((-1, 1), (1, -1)), strict=True)
    )
    if not latin and centred == "all":
        raise ValueError(
            'labels that form no Latin square need sign pairs: use centred="output" or "none"'
        )
    a, b = np.divmod(np.arange(rows * columns), columns)
    parts = [
        np.eye(size)[:, index]
        for size, index in ((rows, a), (columns, b), (int(labels.max()) + 1, labels.reshape(-1)))
    ]
    means = {"none": (), "output": (2,), "all": (0, 1, 2)}[centred]
    for index in means:
        parts[index] = parts[index] - parts[index].mean(axis=0)
    parts = [part / np.linalg.norm(part[:, 0]) for part in parts]
    if not latin:
        parts = [
            np.hstack([part, sign * part]) for part, sign in zip(parts, (1, -1, -1), strict=True)
        ]
    scale = parts[0].shape[1] ** (-1 / 3) / math.sqrt(3)
    return tuple(scale * part for part in parts)


@dataclass(frozen=True, eq=False)
class MemorizingComparison:
    """Comparison of memorizing networks with maximum-margin ones.

    Attributes
    ----------
    names, orders
        Name and order of each group.
    margins
        Maximum margin gamma* of each group.
    memorizing
        Normalized margin of the centred memorizing network, evaluated on every row.
    """

    names: tuple[str, ...]
    orders: Int[np.ndarray, " group"]
    margins: Float[np.ndarray, " group"]
    memorizing: Float[np.ndarray, " group"]

    @property
    def ratio(self) -> Float[np.ndarray, " group"]:
        """Memorizing over the maximum: by how much features win is one over it."""
        return self.memorizing / self.margins


def compare_memorizing(groups: Sequence[FiniteGroup]) -> MemorizingComparison:
    """Compare the memorizing network with the maximum margin, group by group.

    The ratio is n / ((n - 1)^(3/2) t*), where t* is the value of the margin's matrix game; where
    the
    closed form holds that is sum_{rho != 1} d^2 c / (n - 1)^(3/2), and on C_p, p odd,
    sqrt(2 / (p - 1)): 1 for p = 3, where memorizing is as good as anything, and falling.

    Parameters
    ----------
    groups
        Finite groups of at least two elements.

    Raises
    ------
    ValueError
        A group has one element.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Memorizing".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> compare_memorizing([group("C3"), group("C23"), group("S4")]).ratio.round(4).tolist()
    [1.0, 0.3015, 0.343]
    """
    return MemorizingComparison(
        names=tuple(group.name for group in groups),
        orders=np.array([group.order for group in groups]),
        margins=np.array([solve_margin(ClassProgram.of(group)).margin for group in groups]),
        memorizing=np.array(
            [network_margin(group.table, memorizing_weights(group.table)) for group in groups]
        ),
    )
