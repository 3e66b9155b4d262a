"""Class program: the small matrix game behind a group's maximum margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import CharacterTable, FiniteGroup

__all__ = ["ClassProgram"]


@dataclass(frozen=True, eq=False)
class ClassProgram:
    """Matrix game of a group's conjugacy classes against its irreps.

    Both sides leave out the trivial one and merge inverses (classes C and C^-1) or conjugates
    (irreps rho and their complex conjugates), so the tables are square.

    Attributes
    ----------
    group
        Group, or character table, from which the program was read.
    group_order
        Number n of elements of the group.
    inputs
        Number k of factors of a product a_1 a_2 ... a_k; the activation is x^k.
    classes
        Merged classes, each as the tuple of its indices into ``group.conjugacy_classes``.
    class_sizes
        Number of elements of each merged class.
    defects
        Matrix A[C, rho] = 1 - Re chi_rho(C) / d_rho, between 0 and 2: reduction of the logit of a
        wrong answer in C per unit of rho.
    norm_constants
        Constants c_rho: sqrt(d) for a real irrep, sqrt(2 d) for a complex pair or a quaternionic
        one. The best trilinear form sum_{a,b} u(a) v(b) w(ab) of unit vectors of rho is sqrt(n) /
        c_rho.
    plancherel
        Sum of d^2 over the members of each irrep class.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "The margin of a group" and "More inputs".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> ClassProgram.of(group("C3")).defects
    array([[1.5]])
    """

    group: FiniteGroup | CharacterTable
    group_order: int
    inputs: int
    classes: tuple[tuple[int, ...], ...]
    class_sizes: Int[np.ndarray, " class"]
    defects: Float[np.ndarray, "class irrep"]
    norm_constants: Float[np.ndarray, " irrep"]
    plancherel: Float[np.ndarray, " irrep"]

    @classmethod
    def of(cls, group: FiniteGroup | CharacterTable, *, inputs: int = 2) -> ClassProgram:
        """Return the program of a group's character table.

        Parameters
        ----------
        group
            Finite group, or its character table.
        inputs
            Number k >= 1 of factors of the product.

        Raises
        ------
        ValueError
            The group has one element, without wrong answers, or k is below 1.
        """
        if inputs < 1:
            raise ValueError(f"inputs: expected at least 1, got {inputs}; for example 2")
        if group.order < 2:
            raise ValueError(
                f'expected a group of at least two elements, got {group.name!r}; for example "C2"'
            )
        classes = tuple(
            (index,) if index == inverse else (index, inverse)
            for index, inverse in enumerate(int(i) for i in group.inverse_class)
            if 0 < index <= inverse
        )
        irreps = group.irrep_classes[1:]
        representatives = [members[0] for members in classes]
        characters = np.stack([irrep.normalized_character for irrep in irreps], axis=1)
        return cls(
            group=group,
            group_order=group.order,
            inputs=inputs,
            classes=classes,
            class_sizes=np.array([sum(int(group.class_sizes[i]) for i in m) for m in classes]),
            defects=1.0 - characters[representatives],
            norm_constants=np.array([float(irrep.norm_constant) for irrep in irreps]),
            plancherel=np.array([float(len(irrep.members) * irrep.degree**2) for irrep in irreps]),
        )

    @property
    def scale(self) -> float:
        """Margin of a unit of norm per unit of the game's value.

        k! ((k+1) n)^(-(k+1)/2), which for two inputs is 2 / (3 sqrt(3) n^(3/2)).
        """
        k = self.inputs
        return math.factorial(k) * ((k + 1.0) * self.group_order) ** (-(k + 1) / 2)

    @cached_property
    def costs(self) -> Float[np.ndarray, " irrep"]:
        """Powers c_rho^(k-1) that divide the gains of the irreps."""
        return self.norm_constants ** (self.inputs - 1)

    @cached_property
    def payoff(self) -> Float[np.ndarray, "class irrep"]:
        """Matrix game B = A / c^(k-1): the adversary picks a class, the network an irrep."""
        return self.defects / self.costs

    @cached_property
    def gains(self) -> Float[np.ndarray, " irrep"]:
        """Gains g_rho = scale / c_rho^(k-1): logit amplitude per unit of sum ||omega||^(k+1)."""
        return self.scale / self.costs
