"""The nouns `Task` and `Feature`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup, IrrepClass


@dataclass(frozen=True, eq=False)
class Feature:
    """What a neuron can specialise in: a class of irreps, or a coordinate of the input.

    Parameters
    ----------
    name
        Unique in the task: `"k=1"`, `"4a"`, `"x1"`.
    size
        Length of the weight vectors it projects.
    irrep
        The class of irreps, or None for a coordinate.
    coordinate
        The coordinate, from 0, or None for a class of irreps.

    """

    name: str
    size: int
    irrep: IrrepClass | None = None
    coordinate: int | None = None

    @property
    def type(self) -> str:
        """`"real"`, `"complex"`, `"quaternionic"` or `"coordinate"`."""
        return "coordinate" if self.irrep is None else self.irrep.type

    @property
    def dimension(self) -> int:
        """Dimension of the space of weight vectors it stands for."""
        return 1 if self.irrep is None else self.irrep.dimension

    @property
    def frequency(self) -> int | None:
        """The frequency k, when the task's group is cyclic."""
        return None if self.irrep is None else self.irrep.frequency

    @cached_property
    def basis(self) -> Float[np.ndarray, "size dimension"]:
        """Real orthonormal columns spanning the feature's weight vectors."""
        if self.irrep is not None:
            return self.irrep.isotypic_basis
        return (np.arange(self.size) == self.coordinate).astype(np.float64)[:, None]

    def project(self, x: Float[np.ndarray, "*batch size"]) -> Float[np.ndarray, "*batch size"]:
        """Return the orthogonal projection of weight vectors onto the feature."""
        return (x @ self.basis) @ self.basis.T

    def power(self, x: Float[np.ndarray, "*batch size"]) -> Float[np.ndarray, "*batch"]:
        """Return the squared norm of the projection of weight vectors onto the feature."""
        return np.asarray(np.sum((x @ self.basis) ** 2, axis=-1))


@dataclass(frozen=True, eq=False)
class Task:
    """Inputs, their answers, and the features a neuron can specialise in.

    Parameters
    ----------
    name
        The spec: `"C71"`, `"S5"`, `"parity(10,4)"`.
    kind
        `"table"` (learn a·b) or `"parity"` (learn the product of some of the ±1 bits).
    inputs
        Table: element indices, (row, slot), row a·n + b. Parity: ±1, (row, coordinate).
    answers
        Index of the right class of each row.
    classes
        Number of classes.
    slots
        Names of the inputs' weight matrices: `("u", "v")` for a table, `("u",)` for parity.
    size
        Length of a neuron's weight vector in a slot: order of the group, number of coordinates.
    features
        Nontrivial classes of irreps in the group's order, or the coordinates.
    group
        The group of a table.
    subset
        Coordinates of a parity, from 0.

    """

    name: str
    kind: Literal["table", "parity"]
    inputs: np.ndarray
    answers: Int[np.ndarray, " row"]
    classes: int
    slots: tuple[str, ...]
    size: int
    features: tuple[Feature, ...]
    group: FiniteGroup | None = None
    subset: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        return f"Task({self.name}, {len(self.answers)} rows, {self.classes} classes)"
