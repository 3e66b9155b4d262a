"""Finite groups: everything is derived from the Cayley table, when asked for."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Complex, Float, Int

from marginlens.groups.characters import character_table
from marginlens.groups.families import named_table
from marginlens.groups.irreps import isotypic_basis, unitary_irrep
from marginlens.groups.table import read_table, validate_table

__all__ = ["FiniteGroup", "IrrepClass", "group"]


def group(spec: object, *, name: str | None = None) -> FiniteGroup:
    """Make a group from a name, the path of a ``.csv`` or ``.npy`` table, or a table.

    Raises
    ------
    ValueError
        If the name is unknown, the file is missing or the table is no group's.

    Examples
    --------
    >>> group("S3").order, group([[0, 1], [1, 0]]).is_abelian
    (6, True)
    """
    if isinstance(spec, Path) or (isinstance(spec, str) and spec.endswith((".csv", ".npy"))):
        path = Path(spec)
        return FiniteGroup(read_table(path), name or path.stem)
    if isinstance(spec, str):
        spec = spec.strip()
        return FiniteGroup(named_table(spec), name or spec)
    return FiniteGroup(validate_table(spec), name or "table")


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A finite group given by its Cayley table.

    Attributes
    ----------
    table
        ``table[a, b]`` is the index of a·b; validated on construction.
    name
        What to call it.

    Raises
    ------
    ValueError
        If the table is not a group's, naming the first offending entries.
    """

    table: np.ndarray
    name: str = "table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", validate_table(self.table))

    @property
    def order(self) -> int:
        """Number of elements n."""
        return len(self.table)

    @cached_property
    def identity(self) -> int:
        """Index of the neutral element."""
        return int(np.flatnonzero((self.table == np.arange(self.order)).all(1))[0])

    @cached_property
    def inverses(self) -> Int[np.ndarray, " element"]:
        """Index of the inverse of each element."""
        return np.argmax(self.table == self.identity, axis=1)

    @cached_property
    def is_abelian(self) -> bool:
        """Whether ab = ba always."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def element_orders(self) -> Int[np.ndarray, " element"]:
        """Least m >= 1 with g^m = 1."""
        orders = np.zeros(self.order, dtype=np.int64)
        power, step = np.arange(self.order), 1
        while (orders == 0).any():
            orders[(power == self.identity) & (orders == 0)] = step
            power, step = self.table[power, np.arange(self.order)], step + 1
        return orders

    @cached_property
    def generator(self) -> int | None:
        """Smallest index of an element that generates the group, None unless it is cyclic."""
        found = np.flatnonzero(self.element_orders == self.order)
        return int(found[0]) if len(found) else None

    @cached_property
    def class_of(self) -> Int[np.ndarray, " element"]:
        """Conjugacy class of each element; class 0 is {1}, then by element order and size."""
        least = np.full(self.order, self.order)
        for g in range(self.order):
            np.minimum(least, self.table[self.table[g], self.inverses[g]], out=least)
        labels, sizes = np.unique(least, return_counts=True)
        order = np.lexsort([labels, sizes, self.element_orders[labels]])
        rank = np.empty(self.order, dtype=np.int64)
        rank[labels[order]] = np.arange(len(labels))
        return rank[least]

    @cached_property
    def conjugacy_classes(self) -> tuple[np.ndarray, ...]:
        """Elements of each class."""
        return tuple(np.flatnonzero(self.class_of == c) for c in range(self.class_of.max() + 1))

    @cached_property
    def class_sizes(self) -> Int[np.ndarray, " class"]:
        """Number of elements of each class."""
        return np.bincount(self.class_of)

    @cached_property
    def inverse_class(self) -> Int[np.ndarray, " class"]:
        """Index of the class of the inverses."""
        return self.class_of[self.inverses[self._representatives]]

    @property
    def _representatives(self) -> np.ndarray:
        return np.array([members[0] for members in self.conjugacy_classes])

    @cached_property
    def characters(self) -> Complex[np.ndarray, "irrep class"]:
        """Irreducible characters, the trivial one first; see `character_table`."""
        return character_table(
            self.table, self.inverses, self.class_of, self._representatives, self.element_orders
        )

    @cached_property
    def degrees(self) -> Int[np.ndarray, " irrep"]:
        """Degree d of each irrep; sum d^2 = n."""
        return self.characters[:, 0].real.round().astype(np.int64)

    @cached_property
    def frobenius_schur(self) -> Int[np.ndarray, " irrep"]:
        """Mean of chi(g^2): 1 real, 0 complex, -1 quaternionic."""
        squares = self.class_of[self.table.diagonal()]
        return self.characters[:, squares].mean(1).real.round().astype(np.int64)

    @cached_property
    def conjugate_irrep(self) -> Int[np.ndarray, " irrep"]:
        """Row of the complex conjugate of each character."""
        overlap = np.abs((self.characters * self.class_sizes) @ self.characters.T)
        return overlap.argmax(1)

    @cached_property
    def irrep_classes(self) -> tuple[IrrepClass, ...]:
        """Irreps merged with their conjugates, the trivial one first; by frequency if cyclic."""
        pairs = [(i, int(j)) for i, j in enumerate(self.conjugate_irrep) if i <= j]
        if self.generator is not None:
            values = self.characters[:, self.class_of[self.generator]]
            turns = np.round(np.angle(values) * self.order / (2 * np.pi)).astype(int) % self.order
            found = sorted(
                (
                    min(turns[i], turns[j]),
                    (i,) if i == j else ((i, j) if turns[i] <= turns[j] else (j, i)),
                )
                for i, j in pairs
            )
            return tuple(
                IrrepClass(self, index, members, f"k={k}", int(k))
                for index, (k, members) in enumerate(found)
            )
        seen: dict[int, int] = {}
        result = []
        for index, (i, j) in enumerate(pairs):
            degree = int(self.degrees[i])
            seen[degree] = seen.get(degree, 0) + 1
            name = f"{degree}{_letters(seen[degree] - 1)}"
            result.append(IrrepClass(self, index, (i,) if i == j else (i, j), name, None))
        return tuple(result)

    def fourier(self, values: np.ndarray) -> list[np.ndarray]:
        """Coefficients f^(rho) = sum_g f(g) rho(g), one array (..., d, d) for each irrep class."""
        return [np.tensordot(values, irrep.unitary, 1) for irrep in self.irrep_classes]

    def inverse_fourier(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Real function f(g) = (1/n) sum_rho d tr(f^(rho) rho(g)*), pairs counted twice."""
        total = np.zeros((*coefficients[0].shape[:-2], self.order))
        for irrep, coefficient in zip(self.irrep_classes, coefficients, strict=True):
            weight = irrep.degree * len(irrep.members) / self.order
            total += weight * np.einsum("...ij,gij->...g", coefficient, irrep.unitary.conj()).real
        return total


@dataclass(frozen=True, eq=False)
class IrrepClass:
    """An irreducible representation together with its complex conjugate.

    Attributes
    ----------
    group, index, members
        Where it belongs, its position there, and its rows of the character table.
    name
        ``k=3`` (the frequency) for a cyclic group, else degree and letter, such as ``4b``.
    frequency
        k with chi(generator) = exp(2 pi i k / n), None unless the group is cyclic.
    """

    group: FiniteGroup
    index: int
    members: tuple[int, ...]
    name: str
    frequency: int | None

    @property
    def degree(self) -> int:
        """Complex degree d."""
        return int(self.group.degrees[self.members[0]])

    @property
    def frobenius_schur(self) -> int:
        """1 real, 0 complex, -1 quaternionic."""
        return int(self.group.frobenius_schur[self.members[0]])

    @property
    def type(self) -> str:
        """The Frobenius-Schur type in words."""
        return {1: "real", 0: "complex", -1: "quaternionic"}[self.frobenius_schur]

    @property
    def dimension(self) -> int:
        """Real dimension of the isotypic space: d^2, or 2 d^2 for a complex pair."""
        return len(self.members) * self.degree**2

    @property
    def norm_constant(self) -> float:
        """c_rho: sqrt(d) for a real irrep, sqrt(2d) otherwise."""
        return float(np.sqrt(self.degree * (1 if self.frobenius_schur == 1 else 2)))

    @property
    def normalized_character(self) -> Float[np.ndarray, " class"]:
        """Re chi(C) / d."""
        return self.group.characters[self.members[0]].real / self.degree

    @cached_property
    def isotypic_basis(self) -> Float[np.ndarray, "element dimension"]:
        """Real orthonormal basis of the isotypic part of R[G]."""
        scale = self.degree**2 * len(self.members) / self.group.order
        differences = self.group.class_of[self.group.table[:, self.group.inverses]]
        return isotypic_basis(scale * self.normalized_character[differences], self.dimension)

    def project(self, values: np.ndarray) -> np.ndarray:
        """Isotypic projection of functions (..., n) on the group."""
        return values @ self.isotypic_basis @ self.isotypic_basis.T

    @cached_property
    def unitary(self) -> Complex[np.ndarray, "element row column"]:
        """Unitary matrices of the first member; real numbers for a real irrep."""
        group = self.group
        return unitary_irrep(
            group.table,
            group.inverses,
            group.identity,
            group.characters[self.members[0]][group.class_of],
            real=self.frobenius_schur == 1,
        )

    @cached_property
    def orthogonal(self) -> Float[np.ndarray, "element row column"]:
        """Real orthogonal irrep: the unitary one if real, else [[Re, -Im], [Im, Re]]."""
        real, imaginary = self.unitary.real, self.unitary.imag
        if self.frobenius_schur == 1:
            return real
        return np.block([[real, -imaginary], [imaginary, real]])


def _letters(index: int) -> str:
    """Spell 0, 1, ... as a, b, ..., z, aa, ab, ..."""
    letters = string.ascii_lowercase
    return letters[index] if index < 26 else _letters(index // 26 - 1) + letters[index % 26]
