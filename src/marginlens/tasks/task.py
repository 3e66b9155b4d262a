"""Tasks: composition in a finite group, and sparse parity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from marginlens.groups import FiniteGroup, IrrepClass, group

__all__ = ["Feature", "Task", "task"]


@dataclass(frozen=True, eq=False)
class Feature:
    """What a neuron can specialise in: a class of irreps, or a coordinate of the input."""

    name: str
    dimension: int
    type: str
    size: int
    irrep: IrrepClass | None = None
    coordinate: int | None = None

    @property
    def frequency(self) -> int | None:
        """Frequency k of a cyclic group's feature."""
        return None if self.irrep is None else self.irrep.frequency

    @cached_property
    def basis(self) -> Float[np.ndarray, "size dimension"]:
        """Real orthonormal basis of the feature's space of weight vectors."""
        if self.irrep is not None:
            return self.irrep.isotypic_basis
        return np.eye(self.size)[:, [self.coordinate]]

    def project(self, weights: np.ndarray) -> np.ndarray:
        """Orthogonal projection of weight vectors (..., size) onto the feature."""
        return weights @ self.basis @ self.basis.T

    def power(self, weights: np.ndarray) -> np.ndarray:
        """Squared norm of the projection."""
        return np.square(weights @ self.basis).sum(-1)


@dataclass(frozen=True, eq=False)
class Task:
    """A table of inputs and answers.

    Attributes
    ----------
    kind
        ``"table"``: rows (a, b) of element indices, row a·n + b; ``"parity"``: rows of ±1.
    answers
        Class of each row.
    slots
        Names of the input weight vectors; the output's is ``"w"``.
    size
        Entries of an input weight vector.
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


def task(spec: object) -> Task:
    """Make a task from ``"C71"``, ``"S5"``, ``"parity(10,4)"``, a table's path, or a group.

    Raises
    ------
    ValueError
        If the specification is malformed, saying what to write instead.

    Examples
    --------
    >>> task("C5").answers.reshape(5, 5)[2]
    array([2, 3, 4, 0, 1])
    >>> [feature.name for feature in task("S3").features]
    ['1b', '2a']
    """
    if isinstance(spec, str) and spec.strip().startswith("parity"):
        return _parity(spec.strip())
    try:
        chosen = spec if isinstance(spec, FiniteGroup) else group(spec)
    except ValueError as error:
        if "unknown group" in str(error):
            raise ValueError(f"{error}, or a parity such as parity(10,4)") from None
        raise
    if chosen.order < 2:
        raise ValueError(f"{chosen.name} has one element: nothing to learn; take at least C2")
    n = chosen.order
    features = tuple(
        Feature(irrep.name, irrep.dimension, irrep.type, n, irrep=irrep)
        for irrep in chosen.irrep_classes[1:]
    )
    pairs = np.stack(np.divmod(np.arange(n * n), n), axis=1)
    return Task(
        chosen.name, "table", pairs, chosen.table.ravel(), n, ("u", "v"), n, features, chosen
    )


def _parity(spec: str) -> Task:
    """parity(n,k): the product of the first k of n signs."""
    match = re.fullmatch(r"parity\(\s*(\d+)\s*,\s*(\d+)\s*\)", spec)
    if match is None:
        raise ValueError(f"cannot read {spec!r}; write for example parity(10,4)")
    n, k = int(match[1]), int(match[2])
    if not 1 <= k <= n:
        raise ValueError(f"{spec}: a subset of {k} out of {n} bits; write for example parity(10,4)")
    if n > 16:
        raise ValueError(f"{spec}: the table has 2^{n} rows; at most 16 bits are possible")
    bits = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1
    answers = bits[:, :k].sum(1) % 2
    features = tuple(Feature(f"x{j + 1}", 1, "coordinate", n, coordinate=j) for j in range(n))
    return Task(
        f"parity({n},{k})",
        "parity",
        1.0 - 2.0 * bits,
        answers,
        2,
        ("u",),
        n,
        features,
        subset=tuple(range(k)),
    )
