"""How many neurons the explicit maximum-margin networks need."""

from __future__ import annotations

__all__ = ["commutant_dimension", "sign_neurons", "simplex_neurons"]

_COMMUTANT = {"real": 1, "complex": 2, "quaternionic": 4}


def commutant_dimension(kind: str) -> int:
    """Dimension 1, 2 or 4 of the algebra that commutes with a real irrep of this type.

    Raises
    ------
    ValueError
        If the type is not ``"real"``, ``"complex"`` or ``"quaternionic"``.

    Examples
    --------
    >>> commutant_dimension("quaternionic")
    4
    """
    if kind not in _COMMUTANT:
        raise ValueError(f'type must be "real", "complex" or "quaternionic", got {kind!r}')
    return _COMMUTANT[kind]


def simplex_neurons(degree: int, kind: str) -> int:
    """Neurons of the simplex construction on one irrep class: N (N^2 / delta + 1).

    N is the degree of the real irrep (d for real type, else 2 d) and delta the dimension of its
    commutant: d^3 + d (real), 4 d^3 + 2 d (complex pair), 2 d^3 + 2 d (quaternionic).

    Parameters
    ----------
    degree
        d, the complex degree.
    kind
        ``"real"``, ``"complex"`` or ``"quaternionic"``.

    Notes
    -----
    Derived in docs/theory.md, "Explicit networks".

    Examples
    --------
    >>> simplex_neurons(1, "complex"), simplex_neurons(2, "real"), simplex_neurons(2, "quaternionic")
    (6, 10, 20)
    """
    delta = commutant_dimension(kind)
    size = degree if kind == "real" else 2 * degree
    return size * (size**2 // delta + 1)


def sign_neurons(degree: int, kind: str) -> int:
    """Neurons of the sign construction on one irrep class: 2 N^3 / delta.

    2 d^3 (real), 8 d^3 (complex pair), 4 d^3 (quaternionic).

    Examples
    --------
    >>> sign_neurons(1, "complex"), sign_neurons(2, "real"), sign_neurons(2, "quaternionic")
    (8, 16, 32)
    """
    delta = commutant_dimension(kind)
    size = degree if kind == "real" else 2 * degree
    return 2 * size**3 // delta
