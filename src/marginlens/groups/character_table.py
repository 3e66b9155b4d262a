"""Character table of a finite group: orders, degrees and types of its irreps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Complex, Int

from marginlens.groups import characters as _characters
from marginlens.groups.table import frozen

if TYPE_CHECKING:
    from marginlens.groups.irrep_class import IrrepClass

__all__ = ["CharacterTable"]

_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class CharacterTable:
    """Character table of a finite group, checked for consistency.

    Parameters
    ----------
    name
        Name of the group in reports.
    order
        Number n of elements of the group.
    class_sizes
        Number of elements of each conjugacy class, shape (class,); class 0 is {identity}.
    characters
        Values χ(C), shape (irrep, class); row 0 is the trivial character.
    inverse_class, square_class
        Index of the class of inverses and of the class of squares of each class, shape (class,).
    is_cyclic
        Whether row k is the character with χ(generator) = exp(2πi k/n), named by its frequency `k`.

    Raises
    ------
    ArithmeticError
        Sizes, degrees, orthogonality, inverses or squares are inconsistent; the message gives the
        residual.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> table = group("Q8").character_table
    >>> table.degrees.tolist(), table.frobenius_schur.tolist()
    ([1, 1, 1, 1, 2], [1, 1, 1, 1, -1])
    """

    name: str
    order: int
    class_sizes: Int[np.ndarray, " klass"]
    characters: Complex[np.ndarray, "irrep klass"]
    inverse_class: Int[np.ndarray, " klass"]
    square_class: Int[np.ndarray, " klass"]
    is_cyclic: bool = False

    def __post_init__(self) -> None:
        for field in ("class_sizes", "characters", "inverse_class", "square_class"):
            given = getattr(self, field)
            if given.flags.writeable:  # the caller's, who may change it
                object.__setattr__(self, field, frozen(given.copy()))
        self._check_shapes()
        degrees = np.real(self.characters[:, 0])
        excess = float(np.square(degrees).sum() - self.order)
        if not abs(excess) <= _TOLERANCE * self.order:  # so that NaN fails
            raise ArithmeticError(
                f"{self.name}: expected squared degrees that sum to the order {self.order}, "
                f"got a difference of {excess:.1e}"
            )
        conjugates = self.characters[:, self.inverse_class] - self.characters.conj()
        residuals = {
            "the characters are not orthonormal": _characters.orthogonality_error(
                self.characters, self.class_sizes
            ),
            "row 0 is not the trivial character": np.abs(self.characters[0] - 1).max(),
            "characters at inverses are not the conjugates": (
                np.abs(conjugates) / degrees[:, None]
            ).max(),
        }
        for words, residual in residuals.items():
            if not residual <= _TOLERANCE:
                raise ArithmeticError(
                    f"{self.name}: {words} (residual {residual:.1e}, allowed {_TOLERANCE:.0e})"
                )
        real = self.conjugate_irrep == np.arange(len(self.characters))
        if not np.array_equal(np.abs(self.frobenius_schur), real):
            raise ArithmeticError(
                f"{self.name}: the classes of squares make the Frobenius–Schur indicators "
                f"{self.frobenius_schur.tolist()[:20]}, not 1 or −1 where a character is real and 0 "
                "elsewhere"
            )

    def _check_shapes(self) -> None:
        classes = len(self.class_sizes)
        if self.class_sizes.sum() != self.order or self.class_sizes[0] != 1:
            raise ArithmeticError(
                f"{self.name}: expected class sizes that sum to {self.order}, the first being "
                f"1, got the sum {self.class_sizes.sum()} and first size {self.class_sizes[0]}"
            )
        if self.characters.shape != (classes, classes):
            raise ArithmeticError(
                f"{self.name}: expected characters of shape ({classes}, {classes}), got "
                f"{self.characters.shape}"
            )
        for what, of_class in (("inverses", self.inverse_class), ("squares", self.square_class)):
            if of_class.shape != (classes,) or not ((of_class >= 0) & (of_class < classes)).all():
                raise ArithmeticError(
                    f"{self.name}: expected one class of 0..{classes - 1} for {what} of each class"
                )

    def __repr__(self) -> str:
        return f"CharacterTable({self.name}, order {self.order}, {len(self.class_sizes)} classes)"

    @cached_property
    def degrees(self) -> Int[np.ndarray, " irrep"]:
        """Degree d of each irrep; Σ d² = n."""
        return frozen(np.round(np.real(self.characters[:, 0])).astype(np.int64))

    @cached_property
    def frobenius_schur(self) -> Int[np.ndarray, " irrep"]:
        """Frobenius–Schur indicator of each irrep: 1 real, 0 complex, −1 quaternionic."""
        return frozen(
            _characters.frobenius_schur_indicators(
                self.characters, self.class_sizes, self.square_class
            )
        )

    @cached_property
    def conjugate_irrep(self) -> Int[np.ndarray, " irrep"]:
        """Row of the complex conjugate of each character."""
        return frozen(_characters.conjugate_rows(self.characters))

    @cached_property
    def irrep_classes(self) -> tuple[IrrepClass, ...]:
        """Irreps merged with their conjugates, the trivial one first; without matrices."""
        from marginlens.groups.irrep_class import irrep_classes

        return irrep_classes(self)
