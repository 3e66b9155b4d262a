"""Finite group from a validated Cayley table, with lazily computed properties."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Complex, Float, Int
from numpy.typing import ArrayLike

from marginlens.errors import MarginLensError
from marginlens.groups import characters as _characters
from marginlens.groups.character_table import CharacterTable
from marginlens.groups.irrep_class import IrrepClass, Regular, irrep_classes
from marginlens.groups.irreps import Translations
from marginlens.groups.table import find_identity, frozen, generating_set, validate_table


@dataclass(frozen=True, eq=False, init=False)
class FiniteGroup:
    """Finite group, given by its Cayley table.

    Parameters
    ----------
    table
        Cayley table, shape (element, element): `table[a, b]` is the index of a·b. It is checked,
        and its numbering of elements is kept. Also a name such as `"S5"`, or the path of a table's
        file, as `groups.group` accepts.
    name
        Name of the group in reports.
    note
        Sentence about the name or the numbering of elements for the reader; empty by default.

    Raises
    ------
    MarginLensError
        The table is not a group's; the message names the first entries that contradict it.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> s3 = group("S3")
    >>> s3.order, s3.is_abelian, s3.class_sizes.tolist()
    (6, False, [1, 3, 2])
    >>> FiniteGroup("S3"), FiniteGroup([[0, 1], [1, 0]])
    (FiniteGroup(S3, order 6), FiniteGroup(table, order 2))
    >>> [(irrep.name, irrep.type) for irrep in s3.irrep_classes]
    [('1a', 'real'), ('1b', 'real'), ('2a', 'real')]
    >>> s3.characters.real.round(12).tolist()
    [[1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [2.0, 0.0, -1.0]]
    """

    table: Int[np.ndarray, "element element"]
    name: str = "table"
    note: str = ""

    def __init__(self, table: str | Path | ArrayLike, name: str = "table", note: str = "") -> None:
        if isinstance(table, str | Path):
            from marginlens.groups.specs import group

            read = group(table, name=None if name == "table" else name)
            table, name, note = read.table, read.name, note or read.note
        else:
            table = validate_table(table)
        for field, value in (("table", table), ("name", name), ("note", note)):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"FiniteGroup({self.name}, order {self.order})"

    @property
    def order(self) -> int:
        """Number of elements n."""
        return len(self.table)

    @cached_property
    def identity(self) -> int:
        """Index of the identity."""
        return find_identity(self.table)

    @cached_property
    def inverses(self) -> Int[np.ndarray, " element"]:
        """Index of the inverse of each element."""
        return frozen((self.table == self.identity).argmax(axis=1))

    @cached_property
    def is_abelian(self) -> bool:
        """True if a·b = b·a for all elements."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """Small generating set, each element outside the subgroup of its predecessors."""
        return generating_set(self.table, self.identity)

    @cached_property
    def element_orders(self) -> Int[np.ndarray, " element"]:
        """Order of each element."""
        orders = np.ones(self.order, dtype=np.int64)
        going = np.flatnonzero(np.arange(self.order) != self.identity)
        powers = going
        while len(going):
            orders[going] += 1
            powers = self.table[powers, going]
            going, powers = going[powers != self.identity], powers[powers != self.identity]
        return frozen(orders)

    @cached_property
    def generator(self) -> int | None:
        """Least element that generates the whole group, or ``None`` if the group is not cyclic."""
        found = np.flatnonzero(self.element_orders == self.order)
        return int(found[0]) if len(found) else None

    @cached_property
    def class_of(self) -> Int[np.ndarray, " element"]:
        """Conjugacy class of each element; {identity} is 0, others by element order, then size."""
        return frozen(
            _characters.conjugacy_class_of(
                self.table, self.inverses, self.generators, self.element_orders
            )
        )

    @cached_property
    def conjugacy_classes(self) -> tuple[np.ndarray, ...]:
        """Elements of each conjugacy class, in ascending order."""
        by_class = np.argsort(self.class_of, kind="stable")
        return tuple(np.split(by_class, np.cumsum(self.class_sizes)[:-1]))

    @cached_property
    def class_sizes(self) -> Int[np.ndarray, " klass"]:
        """Number of elements of each conjugacy class."""
        return frozen(np.bincount(self.class_of))

    @cached_property
    def class_representatives(self) -> Int[np.ndarray, " klass"]:
        """Least element of each conjugacy class."""
        return frozen(np.array([members[0] for members in self.conjugacy_classes]))

    def _characters(self) -> Complex[np.ndarray, "irrep klass"]:
        representatives = self.class_representatives
        if not self.is_abelian:
            return frozen(
                _characters.sort_rows(
                    _characters.nonabelian_characters(
                        self.table, self.inverses, self.class_of, self._power_classes
                    )
                )
            )
        if self.generator is not None:
            steps = np.arange(self.order)
            logarithms = np.empty(self.order, dtype=np.int64)
            logarithms[self.powers(self.generator)] = steps
            exponents = np.outer(steps, logarithms[representatives]) % self.order
            return frozen(_characters.roots_of_unity(self.order)[exponents])
        exponent = math.lcm(*self.element_orders.tolist())
        values = _characters.abelian_characters(self.table, self.identity, exponent)
        return frozen(_characters.sort_rows(values[:, representatives]))

    def powers(self, element: int) -> Int[np.ndarray, " power"]:
        """Return the distinct powers 1, g, g², … of an element g.

        Parameters
        ----------
        element
            Index of the element g.
        """
        powers = [self.identity]
        while (power := int(self.table[powers[-1], element])) != self.identity:
            powers.append(power)
        return np.array(powers)

    @cached_property
    def _power_classes(self) -> tuple[np.ndarray, ...]:
        """Classes of the powers of a few elements that together meet every class."""
        found: list[np.ndarray] = []
        met = np.zeros(len(self.class_sizes), dtype=bool)
        for index in range(len(met))[::-1]:  # classes are sorted by element order
            if not met[index]:
                found.append(self.class_of[self.powers(int(self.class_representatives[index]))])
                met[found[-1]] = True
        return tuple(found)

    @cached_property
    def character_table(self) -> CharacterTable:
        """Character table with the degrees and types of the irreps."""
        representatives = self.class_representatives
        return CharacterTable(
            name=self.name,
            order=self.order,
            class_sizes=self.class_sizes,
            characters=self._characters(),
            inverse_class=self.class_of[self.inverses[representatives]],
            square_class=self.class_of[self.table[representatives, representatives]],
            is_cyclic=self.generator is not None,
        )

    @property
    def characters(self) -> Complex[np.ndarray, "irrep klass"]:
        """Values χ(C) of the irreducible characters, row 0 trivial.

        Rows are in the order of frequency in a cyclic group (χ_k(generator) = exp(2πi k/n)),
        otherwise in the order of degree.
        """
        return self.character_table.characters

    @property
    def inverse_class(self) -> Int[np.ndarray, " klass"]:
        """Index of the class of inverses of each class."""
        return self.character_table.inverse_class

    @property
    def degrees(self) -> Int[np.ndarray, " irrep"]:
        """Degree d of each irrep; Σ d² = n."""
        return self.character_table.degrees

    @property
    def frobenius_schur(self) -> Int[np.ndarray, " irrep"]:
        """Frobenius–Schur indicator of each irrep: 1 real, 0 complex, −1 quaternionic."""
        return self.character_table.frobenius_schur

    @property
    def conjugate_irrep(self) -> Int[np.ndarray, " irrep"]:
        """Row of the complex conjugate of each character."""
        return self.character_table.conjugate_irrep

    @cached_property
    def irrep_classes(self) -> tuple[IrrepClass, ...]:
        """Irreps merged with their conjugates, with matrices; the trivial one comes first."""
        translations = Translations(self.table, self.inverses, self.identity, self.generators)
        regular = Regular(translations, self.class_of)
        return irrep_classes(self.character_table, regular)

    def fourier(self, f: Float[np.ndarray, "*batch element"]) -> list[Complex[np.ndarray, "..."]]:
        r"""Return the Fourier coefficients f̂(ρ) = Σ_g f(g) ρ(g), one per class of irreps.

        For real f the coefficient at ρ̄ is the conjugate, so the first member of a class suffices.
        Plancherel: Σ_g f(g)² = (1/n) Σ_classes (members) d ‖f̂(ρ)‖². On `"C12"` these are the
        conjugates of NumPy's `rfft`.

        Parameters
        ----------
        f
            Real functions on the group, shape (…, element).

        Returns
        -------
        list of Complex[np.ndarray, "..."]
            Coefficients of shape (…, d, d) for each of `irrep_classes`.

        Examples
        --------
        >>> from marginlens.groups import group
        >>> c2 = group("C2")
        >>> [complex(part[0, 0]) for part in c2.fourier(np.array([1.0, 2.0]))]
        [(3+0j), (-1+0j)]
        """
        return [np.tensordot(f, irrep.unitary, axes=1) for irrep in self.irrep_classes]

    def inverse_fourier(
        self, coefficients: list[Complex[np.ndarray, "..."]]
    ) -> Float[np.ndarray, "*batch element"]:
        r"""Return f(g) = (1/n) Σ_ρ d tr(f̂(ρ) ρ(g)*), the inverse of `fourier`.

        Parameters
        ----------
        coefficients
            Coefficients f̂(ρ) of shape (…, d, d), one for each of `irrep_classes`.

        Raises
        ------
        MarginLensError
            The number of coefficients differs from the number of irrep classes.
        """
        if len(coefficients) != len(self.irrep_classes):
            raise MarginLensError(
                f"{self.name}: expected {len(self.irrep_classes)} coefficients, one for each "
                f"class of irreps, got {len(coefficients)}; for example the result of `fourier`"
            )
        f = np.zeros((*coefficients[0].shape[:-2], self.order))
        for part, irrep in zip(coefficients, self.irrep_classes, strict=True):
            weight = len(irrep.members) * irrep.degree / self.order
            terms = np.tensordot(part, irrep.unitary.conj(), axes=([-2, -1], [1, 2]))
            f += weight * np.real(terms)
        return f
