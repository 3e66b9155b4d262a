"""The activations a network can have, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["KNOWN_ACTIVATIONS", "MAXIMUM_DEGREE", "Activation", "parse_activation"]

MAXIMUM_DEGREE = 16
KNOWN_ACTIVATIONS = (
    f'"x^2" (also "x2", "square", "quadratic"), "relu", "x^k" for k = 1 to {MAXIMUM_DEGREE}'
)

_ALIASES = {"x": "x^1", "x2": "x^2", "square": "x^2", "quadratic": "x^2"}


@dataclass(frozen=True)
class Activation:
    """A positively homogeneous activation.

    Attributes
    ----------
    name
        ``"x^k"`` for a power, or ``"relu"``.
    degree
        Degree of homogeneity: sigma(t x) = t^degree sigma(x) for t > 0 (1 for ReLU). A network of
        one hidden layer with this activation is homogeneous of degree ``degree + 1``.

    Raises
    ------
    ValueError
        If the name and the degree do not belong together.

    Examples
    --------
    >>> Activation("x^2", 2).homogeneity
    3
    """

    name: str
    degree: int

    def __post_init__(self) -> None:
        """Refuse a name and a degree that contradict each other."""
        if self.degree != _degree_of(self.name):
            raise ValueError(
                f"activation {self.name!r} has degree {_degree_of(self.name)}, got {self.degree}; "
                f'build it with parse_activation("{self.name}")'
            )

    @property
    def homogeneity(self) -> int:
        """Degree nu = degree + 1 in which the network's output scales with its parameters."""
        return self.degree + 1

    @property
    def is_power(self) -> bool:
        """Whether the activation is x^k (rather than ReLU)."""
        return self.name != "relu"

    def __str__(self) -> str:
        return self.name


def parse_activation(spec: str | Activation) -> Activation:
    """Activation of a given name.

    Parameters
    ----------
    spec
        ``"x^2"`` (also ``"x2"``, ``"square"``, ``"quadratic"``), ``"relu"``, or ``"x^k"`` with an
        integer k from 1 to 16. An :class:`Activation` is returned as it is.

    Raises
    ------
    ValueError
        If the name is not known.

    Examples
    --------
    >>> parse_activation("x^3")
    Activation(name='x^3', degree=3)
    >>> parse_activation("square").name
    'x^2'
    """
    if isinstance(spec, Activation):
        return spec
    name = spec.strip().lower()
    name = _ALIASES.get(name, name)
    return Activation(name, _degree_of(name))


def _degree_of(name: str) -> int:
    if name == "relu":
        return 1
    power = re.fullmatch(r"x\^([1-9]\d?)", name)
    if power is None or int(power[1]) > MAXIMUM_DEGREE:
        raise ValueError(f"unknown activation {name!r}; known: {KNOWN_ACTIVATIONS}")
    return int(power[1])
