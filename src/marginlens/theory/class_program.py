"""The small table of numbers that a group's margin problem comes down to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup

__all__ = ["ClassProgram"]


@dataclass(frozen=True, eq=False)
class ClassProgram:
    """A group's conjugacy classes against its irreps, as the margin sees them.

    Both sides leave out the trivial one and merge inverses (classes C and C^-1) or conjugates
    (irreps rho and their complex conjugates), so the tables are square.

    Attributes
    ----------
    group_order
        n, the number of elements.
    classes
        The merged classes, each as the tuple of its indices into ``group.conjugacy_classes``.
    class_sizes
        Number of elements of each merged class.
    defects
        A[C, rho] = 1 - Re chi_rho(C) / d_rho, between 0 and 2: how much of the logit of a wrong
        answer in C one unit of rho takes away.
    norm_constants
        c_rho: sqrt(d) for a real irrep, sqrt(2 d) for a complex pair or a quaternionic one. The best
        trilinear form sum_{a,b} u(a) v(b) w(ab) of unit vectors of rho is sqrt(n) / c_rho.
    plancherel
        Sum of d^2 over the members of each irrep class.

    Notes
    -----
    Derived in docs/theory.md, "The margin of a group".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> ClassProgram.of(group("C3")).defects
    array([[1.5]])
    """

    group_order: int
    classes: tuple[tuple[int, ...], ...]
    class_sizes: Int[np.ndarray, " class"]
    defects: Float[np.ndarray, "class irrep"]
    norm_constants: Float[np.ndarray, " irrep"]
    plancherel: Float[np.ndarray, " irrep"]

    @classmethod
    def of(cls, group: FiniteGroup) -> ClassProgram:
        """Read the program off a group's character table.

        Raises
        ------
        ValueError
            If the group has one element: nothing can be told apart there.
        """
        if group.order < 2:
            raise ValueError(
                f"group {group.name!r} has one element and so no wrong answers; "
                'take at least two, such as "C2"'
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
            group_order=group.order,
            classes=classes,
            class_sizes=np.array([sum(int(group.class_sizes[i]) for i in m) for m in classes]),
            defects=1.0 - characters[representatives],
            norm_constants=np.array([float(irrep.norm_constant) for irrep in irreps]),
            plancherel=np.array([float(len(irrep.members) * irrep.degree**2) for irrep in irreps]),
        )

    @property
    def scale(self) -> float:
        """Margin of a unit of norm per unit of the game's value: 2 / (3 sqrt(3) n^(3/2))."""
        return 2.0 / (3.0 * math.sqrt(3.0) * self.group_order**1.5)

    @cached_property
    def payoff(self) -> Float[np.ndarray, "class irrep"]:
        """The matrix game B = A / c: the adversary picks a class, the network an irrep."""
        return self.defects / self.norm_constants

    @cached_property
    def gains(self) -> Float[np.ndarray, " irrep"]:
        """g_rho = scale / c_rho: logit amplitude earned by one unit of sum ||omega||^3 on rho."""
        return self.scale / self.norm_constants
