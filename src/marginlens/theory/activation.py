"""Activations by name or from a function, with their degree of homogeneity."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from marginlens.errors import MarginLensError

__all__ = ["KNOWN_ACTIVATIONS", "MAXIMUM_DEGREE", "Activation", "OwnActivation", "parse_activation"]

MAXIMUM_DEGREE = 16
KNOWN_ACTIVATIONS = (
    f'"x^2" (also "x2", "square", "quadratic"), "relu", "x^k" for k = 1 to {MAXIMUM_DEGREE}, '
    '"abs" (also "|x|"), "leaky_relu(0.1)" with a slope of at least 0 and below 1, "relu^q" and '
    f'"|x|^q" (also "abs^q") with a real q from 1 to {MAXIMUM_DEGREE}, such as "|x|^1.5", and the '
    'odd "x|x|" and "x|x|^q"'
)

_ALIASES = {"x": "x^1", "x2": "x^2", "square": "x^2", "quadratic": "x^2"}
_NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True)
class Activation:
    """Positively homogeneous activation: sigma(t x) = t^degree sigma(x) for t > 0.

    All have sigma(1) = 1, so that the degree and sigma(-1) determine the function: sigma(x) =
    x^degree for x > 0 and sigma(-1) |x|^degree for x < 0.

    Attributes
    ----------
    name
        Canonical spelling of a name that :func:`parse_activation` reads.
    degree
        Degree of homogeneity (1 for ReLU), an integer or a float. A network of one hidden layer
        with
        this activation is homogeneous of degree ``degree + 1``.

    Raises
    ------
    ValueError
        The name and the degree contradict each other.

    Examples
    --------
    >>> Activation("x^2", 2).homogeneity
    3
    """

    name: str
    degree: int | float

    is_own: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a name and a degree that contradict each other."""
        _, degree, _ = _read(self.name)
        if self.degree != degree:
            raise ValueError(
                f"activation {self.name!r} has degree {degree}, got {self.degree}; "
                f'build it with parse_activation("{self.name}")'
            )

    @property
    def homogeneity(self) -> int | float:
        """Degree nu = degree + 1 in which the network's output scales with its parameters."""
        return self.degree + 1

    @property
    def at_minus_one(self) -> float:
        """sigma(-1): 0 for a power of ReLU, 1 for an even activation, -1 for an odd one."""
        return _read(self.name)[2]

    @property
    def is_power(self) -> bool:
        """True if the activation is x^k with an integer k."""
        return self.name.startswith("x^")

    def value(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Return sigma(x), entry by entry.

        Parameters
        ----------
        x
            Preactivations of any shape.

        Examples
        --------
        >>> parse_activation("leaky_relu(0.25)").value(np.array([-2.0, 1.0, 2.0])).tolist()
        [-0.5, 1.0, 2.0]
        """
        size = np.abs(x) ** self.degree
        return size if self.at_minus_one == 1 else np.where(x > 0, size, self.at_minus_one * size)

    def slope(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Return the derivative sigma'(x), entry by entry; 0 at a kink, which can only be x = 0.

        Parameters
        ----------
        x
            Preactivations of any shape.

        Examples
        --------
        >>> parse_activation("|x|^1.5").slope(np.array([-4.0, 0.0, 4.0])).tolist()
        [-3.0, 0.0, 3.0]
        """
        size = self.degree * np.abs(x) ** (self.degree - 1)
        sides = np.where(x > 0, size, -self.at_minus_one * size)
        return sides if self.name == "x^1" else np.where(x == 0, 0.0, sides)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class OwnActivation(Activation):
    """Activation defined by a function of tensors, which PyTorch differentiates.

    No theorem covers it. Without a declared degree of homogeneity, norms and normalized margins are
    NaN, and the penalty can only be L2 or absent.

    Attributes
    ----------
    function
        Function of a tensor that acts on each entry, such as ``torch.tanh``.
    degree
        Degree of homogeneity: function(t x) = t^degree function(x) for t > 0; NaN if it is not
        declared.
    name
        Name of the activation in tables.

    Raises
    ------
    MarginLensError
        The function is not callable, or the degree is negative.

    Examples
    --------
    >>> OwnActivation(lambda x: x * abs(x), degree=2).homogeneity
    3
    """

    function: Callable[[Any], Any]
    degree: int | float
    name: str

    is_own: ClassVar[bool] = True

    def __init__(
        self,
        function: Callable[[Any], Any],
        degree: int | float | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(function):
            raise MarginLensError(
                f"expected a function of a tensor, for example torch.tanh, got {function!r}"
            )
        if degree is not None and not 0 < degree < math.inf:
            raise MarginLensError(f"expected a degree above 0, for example 2, got {degree}")
        called = name or f"own:{getattr(function, '__name__', type(function).__name__)}"
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "degree", math.nan if degree is None else degree)
        object.__setattr__(self, "name", called)

    @property
    def has_degree(self) -> bool:
        """True if a degree of homogeneity was declared."""
        return not math.isnan(self.degree)

    @property
    def at_minus_one(self) -> float:
        """NaN, since one value does not determine the function."""
        return math.nan

    @property
    def is_power(self) -> bool:
        """False for every function."""
        return False

    def value(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Return the function's values; it receives a tensor if PyTorch is imported.

        Examples
        --------
        >>> OwnActivation(abs, degree=1).value(np.array([-2.0, 1.0])).tolist()
        [2.0, 1.0]
        """
        torch = sys.modules.get("torch")
        return np.asarray(self.function(x if torch is None else torch.as_tensor(x)))

    def slope(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Return central differences of the function, accurate to a few digits, for figures."""
        step = 1e-5 * np.maximum(1.0, np.abs(x))
        return (self.value(x + step) - self.value(x - step)) / (2 * step)

    def __str__(self) -> str:
        return self.name


def parse_activation(spec: str | Activation | Callable[[Any], Any]) -> Activation:
    """Return the activation of a name or a function.

    Parameters
    ----------
    spec
        ``"x^2"`` (also ``"x2"``, ``"square"``, ``"quadratic"``); ``"x^k"`` with an integer k from 1
        to 16; ``"relu"``; ``"abs"`` (also ``"|x|"``); ``"leaky_relu(s)"`` with a slope 0 <= s < 1
        on the negative side; ``"relu^q"`` and ``"|x|^q"`` (also ``"abs^q"``) with a real q from 1
        to 16. Spellings of the same function receive the same name. An :class:`Activation` is
        returned unchanged; another callable becomes an :class:`OwnActivation` without a declared
        degree.

    Raises
    ------
    ValueError
        The name is unknown.

    Examples
    --------
    >>> parse_activation("x^3")
    Activation(name='x^3', degree=3)
    >>> parse_activation("abs^1.5")
    Activation(name='|x|^1.5', degree=1.5)
    >>> [parse_activation(name).name for name in ("square", "|x|^2", "|x|", "leaky_relu(0)")]
    ['x^2', 'x^2', 'abs', 'relu']
    """
    if isinstance(spec, Activation):
        return spec
    if not isinstance(spec, str):
        return OwnActivation(spec)
    name = re.sub(r"\s", "", spec.lower())
    name, degree, _ = _read(_ALIASES.get(name, name))
    return Activation(name, degree)


def _power(k: float) -> tuple[str, float, float] | None:
    return None if k != int(k) else (f"x^{_text(k)}", k, (-1.0) ** k)


def _relu(q: float) -> tuple[str, float, float]:
    return "relu" if q == 1 else f"relu^{_text(q)}", q, 0.0


def _absolute(q: float) -> tuple[str, float, float]:
    name = "abs" if q == 1 else f"x^{_text(q)}" if q % 2 == 0 else f"|x|^{_text(q)}"
    return name, q, 1.0


def _odd(q: float) -> tuple[str, float, float] | None:
    if q % 2 == 0:
        return _power(q + 1)
    return "x|x|" if q == 1 else f"x|x|^{_text(q)}", q + 1, -1.0


def _leaky(slope: float) -> tuple[str, float, float] | None:
    if slope >= 1:
        return None
    return ("relu", 1.0, 0.0) if slope == 0 else (f"leaky_relu({_text(slope)})", 1.0, -slope)


# pattern, and from its number (1 where left out) to name, degree and sigma(-1), None if impossible
_KINDS: tuple[tuple[str, Callable[[float], tuple[str, float, float] | None]], ...] = (
    (r"x\^([1-9]\d?)", _power),
    (rf"relu(?:\^{_NUMBER})?", _relu),
    (rf"(?:abs|\|x\|)(?:\^{_NUMBER})?", _absolute),
    (rf"x\|x\|(?:\^{_NUMBER})?", _odd),
    (rf"leaky_relu\({_NUMBER}\)", _leaky),
)


def _read(name: str) -> tuple[str, int | float, float]:
    """Return canonical name, degree and sigma(-1)."""
    for pattern, kind in _KINDS:
        found = re.fullmatch(pattern, name)
        made = None if found is None else kind(float(found[1] or 1))
        if made is not None and 1 <= made[1] <= MAXIMUM_DEGREE:
            return made[0], int(made[1]) if made[1] == int(made[1]) else made[1], made[2]
    raise ValueError(f"unknown activation {name!r}; known: {KNOWN_ACTIVATIONS}")


def _text(number: float) -> str:
    return str(int(number) if number == int(number) else number)
