"""A finite group and its irreps: a validated Cayley table, all else a cached property."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Complex, Float, Int

from marginlens.groups import characters as _characters
from marginlens.groups import irreps as _irreps
from marginlens.groups.table import find_identity, generating_set, validate_table

_TYPES = {1: "real", 0: "complex", -1: "quaternionic"}


@dataclass(frozen=True, eq=False)
class IrrepClass:
    r"""A conjugation class {ρ, ρ̄} of irreps: what a neuron can specialise in.

    ============  ==================  ==============  ==================
    type          Frobenius–Schur ν   norm constant   isotypic dimension
    ============  ==================  ==============  ==================
    real          1                   √d              d²
    complex       0                   √(2d)           2d²
    quaternionic  −1                  √(2d)           d²
    ============  ==================  ==============  ==================

    Parameters
    ----------
    group
        The group.
    index
        Position in `group.irrep_classes`; 0 is the trivial one.
    members
        Rows of `group.characters`: one, or two for complex type.
    name
        Unique in the group: `"k=1"` by frequency in cyclic groups, else degree and letter, `"4a"`.
    degree
        d, of each member.
    frobenius_schur
        ν of each member.
    frequency
        k with χ(generator) = exp(2πi k/n), 0 <= k <= n/2, in cyclic groups; else None.

    """

    group: FiniteGroup
    index: int
    members: tuple[int, ...]
    name: str
    degree: int
    frobenius_schur: int
    frequency: int | None

    def __repr__(self) -> str:
        return f"IrrepClass({self.group.name}, {self.name}, {self.type})"

    @property
    def type(self) -> str:
        """`"real"`, `"complex"` or `"quaternionic"`."""
        return _TYPES[self.frobenius_schur]

    @property
    def dimension(self) -> int:
        """Real dimension of the isotypic space: d² a member."""
        return len(self.members) * self.degree**2

    @property
    def norm_constant(self) -> float:
        """The constant c: √n / c is the best trilinear form on unit vectors of the class.

        √d for real type, √(2d) otherwise.
        """
        return math.sqrt(self.degree if self.frobenius_schur == 1 else 2 * self.degree)

    @cached_property
    def normalized_character(self) -> Float[np.ndarray, " klass"]:
        """Re χ(C) / d on each conjugacy class."""
        return _frozen(np.real(self.group.characters[self.members[0]]) / self.degree)

    @property
    def _values(self) -> Complex[np.ndarray, " element"]:
        return self.group.characters[self.members[0]][self.group.class_of]

    @property
    def _translations(self) -> _irreps.Translations:
        group = self.group
        return _irreps.Translations(group.table, group.inverses, group.identity, seed=self.index)

    @cached_property
    def isotypic_basis(self) -> Float[np.ndarray, "element dimension"]:
        """Orthonormal real functions spanning the class: all its matrix coefficients.

        Raises
        ------
        ArithmeticError
            The numerical construction failed its own check.

        """
        values, order = self._values, self.group.order
        if self.degree == 1 and len(self.members) == 1:
            return _frozen(np.real(values)[:, None] / math.sqrt(order))
        if self.degree == 1:
            parts = np.stack([np.real(values), np.imag(values)], axis=1)
            return _frozen(parts * math.sqrt(2 / order))
        total = np.real(values) * len(self.members)
        return _frozen(
            _irreps.isotypic_basis(self._translations, total, self.degree, self.dimension)
        )

    def project(
        self, x: Float[np.ndarray, "*batch element"]
    ) -> Float[np.ndarray, "*batch element"]:
        """Return the orthogonal projection of x onto the isotypic space."""
        return (x @ self.isotypic_basis) @ self.isotypic_basis.T

    @cached_property
    def unitary(self) -> Complex[np.ndarray, "element row column"]:
        """A unitary irrep with the first member's character; real-valued when of real type.

        A homomorphism: `unitary[table[a, b]] == unitary[a] @ unitary[b]`.

        Raises
        ------
        ArithmeticError
            The numerical construction failed its own check.

        """
        values = self._values
        if self.degree == 1:
            return _frozen(values[:, None, None])
        basis: np.ndarray = self.isotypic_basis
        if self.frobenius_schur == 0:
            basis = _irreps.isotypic_basis(self._translations, values, self.degree, self.degree**2)
        real = self.frobenius_schur == 1
        return _frozen(_irreps.unitary_irrep(self._translations, basis, values, real=real))

    @cached_property
    def orthogonal(self) -> Float[np.ndarray, "element realrow realcolumn"]:
        """The real irrep: ρ itself for real type, else [[Re ρ, −Im ρ], [Im ρ, Re ρ]]."""
        if self.frobenius_schur == 1:
            return _frozen(np.real(self.unitary).copy())
        return _frozen(_irreps.realify(self.unitary))


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A finite group, given by its Cayley table.

    Parameters
    ----------
    table
        `table[a, b]` is the index of a·b. Checked; the numbering of elements is kept as given.
    name
        How reports call the group.

    Raises
    ------
    ValueError
        The table is no group; the message names the first entries that show it.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> s3 = group("S3")
    >>> s3.order, s3.is_abelian, s3.class_sizes.tolist()
    (6, False, [1, 3, 2])
    >>> [(irrep.name, irrep.type) for irrep in s3.irrep_classes]
    [('1a', 'real'), ('1b', 'real'), ('2a', 'real')]
    >>> s3.characters.real.round(12).tolist()
    [[1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [2.0, 0.0, -1.0]]

    """

    table: Int[np.ndarray, "element element"]
    name: str = "table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", validate_table(self.table))

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
        return _frozen((self.table == self.identity).argmax(axis=1))

    @cached_property
    def is_abelian(self) -> bool:
        """Whether a·b = b·a always."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """A small generating set, each element outside what those before it generate."""
        return generating_set(self.table, self.identity)

    @cached_property
    def element_orders(self) -> Int[np.ndarray, " element"]:
        """The order of each element."""
        orders = np.ones(self.order, dtype=np.int64)
        going = np.flatnonzero(np.arange(self.order) != self.identity)
        powers = going
        while len(going):
            orders[going] += 1
            powers = self.table[powers, going]
            going, powers = going[powers != self.identity], powers[powers != self.identity]
        return _frozen(orders)

    @cached_property
    def generator(self) -> int | None:
        """The least element that generates the whole group, or None when it is not cyclic."""
        found = np.flatnonzero(self.element_orders == self.order)
        return int(found[0]) if len(found) else None

    @cached_property
    def class_of(self) -> Int[np.ndarray, " element"]:
        """Conjugacy class of each element; {identity} is 0, others by element order, then size."""
        return _frozen(
            _characters.conjugacy_class_of(
                self.table, self.inverses, self.generators, self.element_orders
            )
        )

    @cached_property
    def conjugacy_classes(self) -> tuple[np.ndarray, ...]:
        """The elements of each conjugacy class, ascending."""
        by_class = np.argsort(self.class_of, kind="stable")
        return tuple(np.split(by_class, np.cumsum(self.class_sizes)[:-1]))

    @cached_property
    def class_sizes(self) -> Int[np.ndarray, " klass"]:
        """Number of elements of each conjugacy class."""
        return _frozen(np.bincount(self.class_of))

    @cached_property
    def class_representatives(self) -> Int[np.ndarray, " klass"]:
        """Least element of each conjugacy class."""
        return _frozen(np.array([members[0] for members in self.conjugacy_classes]))

    @cached_property
    def inverse_class(self) -> Int[np.ndarray, " klass"]:
        """Index of the class of inverses of each class."""
        return _frozen(self.class_of[self.inverses[self.class_representatives]])

    @cached_property
    def characters(self) -> Complex[np.ndarray, "irrep klass"]:
        """The character table, row 0 trivial.

        Rows are by frequency in a cyclic group (χ_k(generator) = exp(2πi k/n)), else by degree.
        """
        representatives = self.class_representatives
        if not self.is_abelian:
            return _frozen(
                _characters.sort_rows(
                    _characters.nonabelian_characters(
                        self.table, self.inverses, self.class_of, self._power_classes
                    )
                )
            )
        if self.generator is not None:
            steps = np.arange(self.order)
            logarithms = np.empty(self.order, dtype=np.int64)
            logarithms[self._powers(self.generator)] = steps
            exponents = np.outer(steps, logarithms[representatives]) % self.order
            return _frozen(_characters.roots_of_unity(self.order)[exponents])
        exponent = math.lcm(*self.element_orders.tolist())
        values = _characters.abelian_characters(self.table, self.identity, exponent)
        return _frozen(_characters.sort_rows(values[:, representatives]))

    def _powers(self, element: int) -> np.ndarray:
        powers = [self.identity]
        while (power := int(self.table[powers[-1], element])) != self.identity:
            powers.append(power)
        return np.array(powers)

    @cached_property
    def _power_classes(self) -> tuple[np.ndarray, ...]:
        """Classes of the powers of as few elements as meet every class, greatest orders first."""
        found: list[np.ndarray] = []
        met = np.zeros(len(self.class_sizes), dtype=bool)
        for index in range(len(met))[::-1]:  # classes are sorted by element order
            if not met[index]:
                found.append(self.class_of[self._powers(int(self.class_representatives[index]))])
                met[found[-1]] = True
        return tuple(found)

    @cached_property
    def degrees(self) -> Int[np.ndarray, " irrep"]:
        """Degree d of each irrep; Σ d² = n."""
        return _frozen(np.round(np.real(self.characters[:, 0])).astype(np.int64))

    @cached_property
    def frobenius_schur(self) -> Int[np.ndarray, " irrep"]:
        """Frobenius–Schur indicator of each irrep: 1 real, 0 complex, −1 quaternionic."""
        representatives = self.class_representatives
        squares = self.class_of[self.table[representatives, representatives]]
        return _frozen(
            _characters.frobenius_schur_indicators(self.characters, self.class_sizes, squares)
        )

    @cached_property
    def conjugate_irrep(self) -> Int[np.ndarray, " irrep"]:
        """Row of the complex conjugate of each character."""
        return _frozen(_characters.conjugate_rows(self.characters))

    @cached_property
    def irrep_classes(self) -> tuple[IrrepClass, ...]:
        """Irreps merged with their conjugates, the trivial one first."""
        classes: list[IrrepClass] = []
        of_degree: dict[int, int] = {}
        for row, conjugate in enumerate(self.conjugate_irrep.tolist()):
            if conjugate < row:
                continue
            degree = int(self.degrees[row])
            letter = _characters.letters(of_degree.get(degree, 0))
            of_degree[degree] = of_degree.get(degree, 0) + 1
            cyclic = self.generator is not None
            classes.append(
                IrrepClass(
                    group=self,
                    index=len(classes),
                    members=(row,) if conjugate == row else (row, conjugate),
                    name=f"k={row}" if cyclic else f"{degree}{letter}",
                    degree=degree,
                    frobenius_schur=int(self.frobenius_schur[row]),
                    frequency=row if cyclic else None,
                )
            )
        return tuple(classes)

    def fourier(self, f: Float[np.ndarray, "*batch element"]) -> list[Complex[np.ndarray, "..."]]:
        r"""Return the Fourier coefficients f̂(ρ) = Σ_g f(g) ρ(g), one a class of irreps.

        For real f the coefficient at ρ̄ is the conjugate, so the first member of a class suffices.
        Plancherel: Σ_g f(g)² = (1/n) Σ_classes (members) d ‖f̂(ρ)‖². On `"C12"` these are the
        conjugates of NumPy's `rfft`.

        Parameters
        ----------
        f
            Real functions on the group.

        Returns
        -------
        list
            A (…, d, d) array for each of `irrep_classes`.

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
        r"""Return f(g) = (1/n) Σ_ρ d tr(f̂(ρ) ρ(g)*): the real function behind `fourier`.

        Parameters
        ----------
        coefficients
            A (…, d, d) array for each of `irrep_classes`.

        Raises
        ------
        ValueError
            Not one coefficient for each class of irreps.

        """
        if len(coefficients) != len(self.irrep_classes):
            raise ValueError(
                f"{self.name} has {len(self.irrep_classes)} classes of irreps but "
                f"{len(coefficients)} coefficients were given; pass what `fourier` returns"
            )
        f = np.zeros((*coefficients[0].shape[:-2], self.order))
        for part, irrep in zip(coefficients, self.irrep_classes, strict=True):
            weight = len(irrep.members) * irrep.degree / self.order
            terms = np.tensordot(part, irrep.unitary.conj(), axes=([-2, -1], [1, 2]))
            f += weight * np.real(terms)
        return f


def _frozen(array: np.ndarray) -> np.ndarray:
    """Cached arrays are shared: make writing into one an error."""
    array.setflags(write=False)
    return array
