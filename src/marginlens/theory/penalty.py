"""Penalty on the parameters: norm and strength."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from marginlens.errors import MarginLensError

__all__ = ["Penalty"]


@dataclass(frozen=True)
class Penalty:
    """Penalty on the parameters, added to the mean cross-entropy.

    Attributes
    ----------
    norm
        ``"homogeneous"``: strength * sum_i ||omega_i||^nu over neurons omega_i (all the weights of
        one neuron), where nu is the network's degree of homogeneity (3 for x^2): the penalty whose
        limit of small strength is the maximum margin in the norm L_{2,nu} (Wei et al. 2019).
        ``"l2"``: strength * ||theta||^2, ordinary weight decay inside the loss.
    strength
        Factor lambda, finite and at least 0.

    Raises
    ------
    ValueError
        The norm is unknown, or the strength is negative, infinite or NaN.

    Examples
    --------
    >>> Penalty("homogeneous", 1e-4)
    Penalty(norm='homogeneous', strength=0.0001)
    """

    norm: Literal["homogeneous", "l2"] = "homogeneous"
    strength: float = 1e-4

    @classmethod
    def of(cls, value: Any) -> Penalty:
        """Penalty itself, or the homogeneous one of this strength.

        Parameters
        ----------
        value
            Penalty, or strength as a number.

        Raises
        ------
        MarginLensError
            If it is neither, or the strength is negative, infinite or not a number.

        Examples
        --------
        >>> Penalty.of(1e-4)
        Penalty(norm='homogeneous', strength=0.0001)
        """
        if isinstance(value, Penalty):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise MarginLensError(
                f"expected a penalty as a number or a Penalty, for example penalty=1e-4, got {value!r}"
            )
        return cls("homogeneous", float(value))

    def __post_init__(self) -> None:
        """Refuse an unknown norm or an invalid strength."""
        if self.norm not in ("homogeneous", "l2"):
            raise ValueError(f'penalty norm: expected "homogeneous" or "l2", got {self.norm!r}')
        if not math.isfinite(self.strength) or self.strength < 0:
            raise ValueError(
                "penalty strength: expected a finite number of at least 0, got "
                f"{self.strength}; for example 1e-4"
            )
