"""Class of irreps up to complex conjugation: its character and its matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Complex, Float, Int

from marginlens.errors import MarginLensError
from marginlens.groups import characters as _characters
from marginlens.groups import irreps as _irreps
from marginlens.groups.character_table import CharacterTable
from marginlens.groups.table import frozen

__all__ = ["IrrepClass", "Regular", "irrep_classes"]

_TYPES = {1: "real", 0: "complex", -1: "quaternionic"}


@dataclass(frozen=True, eq=False)
class Regular:
    """Data from which irrep matrices are computed: translations and conjugacy classes.

    Attributes
    ----------
    translations
        Cayley table, inverses, identity and generators of the group.
    class_of
        Index of the conjugacy class of each element, shape (element,).
    """

    translations: _irreps.Translations
    class_of: Int[np.ndarray, " element"]


@dataclass(frozen=True, eq=False)
class IrrepClass:
    r"""Conjugation class {ρ, ρ̄} of irreps, a feature in which a neuron can specialise.

    ============  ==================  ==============  ==================
    type          Frobenius–Schur ν   norm constant   isotypic dimension
    ============  ==================  ==============  ==================
    real          1                   √d              d²
    complex       0                   √(2d)           2d²
    quaternionic  −1                  √(2d)           d²
    ============  ==================  ==============  ==================

    Parameters
    ----------
    characters
        Character table that the class belongs to.
    index
        Position among the group's classes of irreps; 0 is the trivial one.
    members
        Rows of the character table: one, or two for complex type.
    name
        Name, unique in the group: `"k=1"` by frequency in cyclic groups, else degree and letter,
        `"4a"`.
    degree
        Degree d of each member.
    frobenius_schur
        Frobenius–Schur indicator ν of each member.
    frequency
        Frequency k with χ(generator) = exp(2πi k/n), 0 <= k <= n/2, in cyclic groups; else
        ``None``.
    regular
        Data of the Cayley table, or ``None`` for a group with a character table only.
    """

    characters: CharacterTable
    index: int
    members: tuple[int, ...]
    name: str
    degree: int
    frobenius_schur: int
    frequency: int | None
    regular: Regular | None = None

    def __repr__(self) -> str:
        return f"IrrepClass({self.characters.name}, {self.name}, {self.type})"

    @property
    def type(self) -> str:
        """Type of the irrep: `"real"`, `"complex"` or `"quaternionic"`."""
        return _TYPES[self.frobenius_schur]

    @property
    def dimension(self) -> int:
        """Real dimension of the isotypic space: d² per member."""
        return len(self.members) * self.degree**2

    @property
    def norm_constant(self) -> float:
        """Constant c: √n / c is the best trilinear form on unit vectors of the class.

        It is √d for real type and √(2d) otherwise.
        """
        return math.sqrt(self.degree if self.frobenius_schur == 1 else 2 * self.degree)

    @cached_property
    def normalized_character(self) -> Float[np.ndarray, " klass"]:
        """Values Re χ(C) / d on each conjugacy class C."""
        return frozen(np.real(self.characters.characters[self.members[0]]) / self.degree)

    def _cayley(self) -> Regular:
        if self.regular is None:
            raise MarginLensError(
                f"{self.characters.name}: expected a group with a Cayley table, got a "
                "character table alone; for example A5"
            )
        return self.regular

    @property
    def _values(self) -> Complex[np.ndarray, " element"]:
        return self.characters.characters[self.members[0]][self._cayley().class_of]

    @property
    def _translations(self) -> _irreps.Translations:
        return replace(self._cayley().translations, seed=self.index)

    @cached_property
    def isotypic_basis(self) -> Float[np.ndarray, "element dimension"]:
        """Orthonormal basis of real functions that span the class: all its matrix coefficients.

        Raises
        ------
        ArithmeticError
            The numerical construction fails its check.
        MarginLensError
            The group has no Cayley table.
        """
        values, order = self._values, self.characters.order
        if self.degree == 1 and len(self.members) == 1:
            return frozen(np.real(values)[:, None] / math.sqrt(order))
        if self.degree == 1:
            parts = np.stack([np.real(values), np.imag(values)], axis=1)
            return frozen(parts * math.sqrt(2 / order))
        total = np.real(values) * len(self.members)
        return frozen(
            _irreps.isotypic_basis(self._translations, total, self.degree, self.dimension)
        )

    def project(
        self, x: Float[np.ndarray, "*batch element"]
    ) -> Float[np.ndarray, "*batch element"]:
        """Return the orthogonal projection of x onto the isotypic space.

        Parameters
        ----------
        x
            Real functions on the group, shape (…, element).
        """
        return (x @ self.isotypic_basis) @ self.isotypic_basis.T

    @cached_property
    def unitary(self) -> Complex[np.ndarray, "element row column"]:
        """Unitary irrep with the first member's character; real-valued for real type.

        A homomorphism: `unitary[table[a, b]] == unitary[a] @ unitary[b]`.

        Raises
        ------
        ArithmeticError
            The numerical construction fails its check.
        MarginLensError
            The group has no Cayley table.
        """
        values = self._values
        if self.degree == 1:
            return frozen(values[:, None, None])
        basis: np.ndarray = self.isotypic_basis
        if self.frobenius_schur == 0:
            basis = _irreps.isotypic_basis(self._translations, values, self.degree, self.degree**2)
        real = self.frobenius_schur == 1
        return frozen(_irreps.unitary_irrep(self._translations, basis, values, real=real))

    @cached_property
    def orthogonal(self) -> Float[np.ndarray, "element realrow realcolumn"]:
        """Real irrep: ρ itself for real type, else [[Re ρ, −Im ρ], [Im ρ, Re ρ]]."""
        if self.frobenius_schur == 1:
            return frozen(np.real(self.unitary).copy())
        return frozen(_irreps.realify(self.unitary))


def irrep_classes(
    characters: CharacterTable, regular: Regular | None = None
) -> tuple[IrrepClass, ...]:
    """Merge irreps with their conjugates and name them, the trivial one first.

    Parameters
    ----------
    characters
        Character table of the group.
    regular
        Data of the Cayley table, or ``None`` for a group with a character table only.
    """
    classes: list[IrrepClass] = []
    of_degree: dict[int, int] = {}
    for row, conjugate in enumerate(characters.conjugate_irrep.tolist()):
        if conjugate < row:
            continue
        degree = int(characters.degrees[row])
        letter = _characters.letters(of_degree.get(degree, 0))
        of_degree[degree] = of_degree.get(degree, 0) + 1
        classes.append(
            IrrepClass(
                characters=characters,
                index=len(classes),
                members=(row,) if conjugate == row else (row, conjugate),
                name=f"k={row}" if characters.is_cyclic else f"{degree}{letter}",
                degree=degree,
                frobenius_schur=int(characters.frobenius_schur[row]),
                frequency=row if characters.is_cyclic else None,
                regular=regular,
            )
        )
    return tuple(classes)
