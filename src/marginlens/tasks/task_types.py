"""`Task` and `Feature`: a table to learn, and a subspace in which neurons specialise."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from marginlens.errors import MarginLensError
from marginlens.groups import CharacterTable, FiniteGroup, IrrepClass

Spec = str | Path | FiniteGroup | CharacterTable | ArrayLike
"""What names a task: a spec, a table's file, a group, or its Cayley table."""


@dataclass(frozen=True, eq=False)
class Feature:
    """Feature in which a neuron can specialise: a class of irreps, or an input coordinate.

    Parameters
    ----------
    name
        Name, unique in the task: `"k=1"`, `"4a"`, `"x1"`.
    size
        Length of the weight vectors that it projects.
    irrep
        Class of irreps, or ``None`` for a coordinate.
    coordinate
        Coordinate, from 0, or ``None`` for a class of irreps.
    """

    name: str
    size: int
    irrep: IrrepClass | None = None
    coordinate: int | None = None

    @property
    def type(self) -> str:
        """Type: `"real"`, `"complex"`, `"quaternionic"` or `"coordinate"`."""
        return "coordinate" if self.irrep is None else self.irrep.type

    @property
    def dimension(self) -> int:
        """Dimension of the feature's space of weight vectors."""
        return 1 if self.irrep is None else self.irrep.dimension

    @property
    def frequency(self) -> int | None:
        """Frequency k if the task's group is cyclic, else ``None``."""
        return None if self.irrep is None else self.irrep.frequency

    @cached_property
    def basis(self) -> Float[np.ndarray, "size dimension"]:
        """Orthonormal real basis of the feature's weight vectors, in columns."""
        if self.irrep is not None:
            return self.irrep.isotypic_basis
        return (np.arange(self.size) == self.coordinate).astype(np.float64)[:, None]

    def project(self, x: Float[np.ndarray, "*batch size"]) -> Float[np.ndarray, "*batch size"]:
        """Return the orthogonal projection of weight vectors onto the feature.

        Parameters
        ----------
        x
            Weight vectors, shape (…, size).
        """
        return (x @ self.basis) @ self.basis.T

    def power(self, x: Float[np.ndarray, "*batch size"]) -> Float[np.ndarray, "*batch"]:
        """Return the squared norm of the projection of weight vectors onto the feature.

        Parameters
        ----------
        x
            Weight vectors, shape (…, size).
        """
        return np.asarray(np.sum((x @ self.basis) ** 2, axis=-1))


@dataclass(frozen=True, eq=False, init=False)
class Task:
    """Task to learn: inputs, right answers, and the features in which neurons can specialise.

    `Task(spec, factors=2, named=``None``)` builds it like `marginlens.tasks.task` from a spec such
    as `"S5"`, the path of a table file, a Cayley table as an array, a `FiniteGroup` or a
    `CharacterTable`. `factors` is the number of factors of the product, and `named` the name of an
    array's group.

    Attributes
    ----------
    name
        Canonical spec: `"C71"`, `"S5"`, `"compose(C7,3)"`, `"parity(10,4)"`, `"x/y mod 97"`.
    kind
        `"table"` (inputs are indices of elements: learn a·b, a product of k factors, another
        operation, or digits of a sum) or `"parity"` (learn the product of some of the ±1 bits).
    inputs
        Table: element indices, (row, slot), the last slot fastest, but not always all of them
        (:attr:`is_whole`). Parity: ±1, (row, coordinate). No rows where the table is too large to
        list: such a task is predicted, not trained.
    answers
        Index of the right class of each row, shape (row,).
    classes
        Number of classes of answers.
    slots
        Names of the inputs' weight matrices: `("u", "v")` for two factors, `("u1", "u2", "u3")` for
        three, `("u",)` for one and for parity.
    size
        Length of a neuron's weight vector in a slot: order of the group, number of coordinates,
        or of the tokens that all slots share.
    features
        Nontrivial classes of irreps in the group's order, or the coordinates; empty for random
        answers and digits.
    characters
        Character table of the group whose product is learned.
    group
        Group whose product is learned; ``None`` if only its characters are available, or for
        another operation.
    elements
        Group of the inputs and answers; its irreps are the features.
    lengths
        Number of digits of the longer addend in each row of an addition, shape (row,).
    subset
        Relevant coordinates of a parity, from 0.
    unlisted
        Reason why the rows are not listed; empty if they are.

    Raises
    ------
    MarginLensError
        The spec is unknown, a file is unreadable, or an array is not a group's table.

    Examples
    --------
    >>> import numpy as np
    >>> Task("S5"), Task(np.array([[0, 1], [1, 0]]), named="signs"), Task("C7", factors=3)
    (Task(S5, 14400 rows, 120 classes), Task(signs, 4 rows, 2 classes),
     Task(compose(C7,3), 343 rows, 7 classes))
    """

    name: str
    kind: Literal["table", "parity"]
    inputs: np.ndarray
    answers: Int[np.ndarray, " row"]
    classes: int
    slots: tuple[str, ...]
    size: int
    features: tuple[Feature, ...]
    characters: CharacterTable | None = None
    group: FiniteGroup | None = None
    elements: FiniteGroup | None = None
    lengths: Int[np.ndarray, " row"] | None = None
    subset: tuple[int, ...] | None = None
    unlisted: str = ""

    @overload
    def __init__(self, spec: Spec, /, *, factors: int = 2, named: str | None = None) -> None: ...

    @overload
    def __init__(
        self,
        *,
        name: str,
        kind: Literal["table", "parity"],
        inputs: np.ndarray,
        answers: Int[np.ndarray, " row"],
        classes: int,
        slots: tuple[str, ...],
        size: int,
        features: tuple[Feature, ...],
        characters: CharacterTable | None = None,
        group: FiniteGroup | None = None,
        elements: FiniteGroup | None = None,
        lengths: Int[np.ndarray, " row"] | None = None,
        subset: tuple[int, ...] | None = None,
        unlisted: str = "",
    ) -> None: ...

    def __init__(self, *spec: Any, **values: Any) -> None:
        if spec:
            from marginlens.tasks.specs import task_of

            (one,) = spec
            values = vars(task_of(one, **values))
        names = {one.name: one for one in fields(self)}
        missing = [n for n, one in names.items() if n not in values and one.default is MISSING]
        if missing or (not spec and values.keys() - names.keys()):
            raise TypeError(
                f"expected Task(spec), for example Task('S5'), or all fields of a task; got {[*values]}"
            )
        for name, one in names.items():
            object.__setattr__(self, name, values.get(name, one.default))

    def __repr__(self) -> str:
        rows = f"{len(self.answers)} rows" if self.is_listed else "rows not listed"
        return f"Task({self.name}, {rows}, {self.classes} classes)"

    @property
    def note(self) -> str:
        """Sentence about the group's name or the numbering of its elements; may be empty."""
        return "" if self.elements is None else self.elements.note

    @property
    def factors(self) -> int:
        """Number k of factors of the product; 1 for parity, whose input is one vector."""
        return len(self.slots)

    @property
    def is_listed(self) -> bool:
        """True if all rows are in memory, so that a network can be trained and measured."""
        return len(self.answers) > 0

    @cached_property
    def is_whole(self) -> bool:
        """True if the rows are all tuples of elements, the last slot fastest."""
        shape = (self.size,) * self.factors
        if self.kind != "table" or not self.is_listed or len(self.answers) != math.prod(shape):
            return False
        places = np.asarray(np.ravel_multi_index(tuple(self.inputs.T), shape))
        return bool((places == np.arange(len(places))).all())

    def require_rows(self) -> None:
        """Refuse a task without listed rows, which can only be predicted.

        Raises
        ------
        MarginLensError
            The task's rows are not listed.
        """
        if not self.is_listed:
            raise MarginLensError(
                f"{self.name}: expected a task with listed rows to train or measure, but "
                f"{self.unlisted}; `marginlens predict` still applies"
                + (", and --online --batch 32 trains it" if self.subset or self.group else "")
            )
