"""Number of neurons of the explicit maximum-margin networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from marginlens.groups import IrrepClass
from marginlens.theory.shares import STATUS_THRESHOLD

__all__ = [
    "commutant_dimension",
    "construction_width",
    "sign_neurons",
    "simplex_neurons",
    "turning_applies",
]

_COMMUTANT = {"real": 1, "complex": 2, "quaternionic": 4}


def commutant_dimension(kind: str) -> int:
    """Return the dimension 1, 2 or 4 of the algebra that commutes with a real irrep.

    Parameters
    ----------
    kind
        Type of the irrep: ``"real"``, ``"complex"`` or ``"quaternionic"``.

    Raises
    ------
    ValueError
        The type is unknown.

    Examples
    --------
    >>> commutant_dimension("quaternionic")
    4
    """
    if kind not in _COMMUTANT:
        raise ValueError(f'type: expected "real", "complex" or "quaternionic", got {kind!r}')
    return _COMMUTANT[kind]


def turning_applies(degree: int, kind: str, inputs: int) -> bool:
    """Return whether the construction of turning phases applies to an irrep class.

    It applies to characters of complex type with two inputs or more; with two inputs its six
    neurons are a simplex.

    Parameters
    ----------
    degree
        Degree d of the complex irrep.
    kind
        Type of the irrep: ``"real"``, ``"complex"`` or ``"quaternionic"``.
    inputs
        Number k of factors of the product.
    """
    return degree == 1 and kind == "complex" and inputs >= 2


def simplex_neurons(degree: int, kind: str, inputs: int = 2) -> int:
    """Return the number of neurons of the smallest known construction on one irrep class.

    With two inputs the simplex, N (N^2 / delta + 1), where N is the degree of the real irrep (d for
    real type, else 2 d) and delta the dimension of its commutant: d^3 + d (real), 4 d^3 + 2 d
    (complex pair), 2 d^3 + 2 d (quaternionic). With k inputs 2 * 3^(k-1) for a character of complex
    type, and otherwise as many as with signs.

    Parameters
    ----------
    degree
        Degree d of the complex irrep.
    kind
        Type of the irrep: ``"real"``, ``"complex"`` or ``"quaternionic"``.
    inputs
        Number k of factors of the product.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Explicit networks" and "More inputs".

    Examples
    --------
    >>> simplex_neurons(1, "complex"), simplex_neurons(2, "real"), simplex_neurons(2, "quaternionic")
    (6, 10, 20)
    >>> simplex_neurons(1, "complex", inputs=3), simplex_neurons(1, "real", inputs=3)
    (18, 4)
    """
    if turning_applies(degree, kind, inputs):
        return 2 * 3 ** (inputs - 1)
    if inputs != 2:
        return sign_neurons(degree, kind, inputs)
    delta = commutant_dimension(kind)
    size = degree if kind == "real" else 2 * degree
    return size * (size**2 // delta + 1)


def sign_neurons(degree: int, kind: str, inputs: int = 2) -> int:
    """Return the number of neurons of the sign construction on one irrep class.

    With k inputs it is 2^(k-1) N^(k+1) / delta; with two inputs 2 d^3 (real), 8 d^3 (complex pair),
    4 d^3 (quaternionic).

    Parameters
    ----------
    degree
        Degree d of the complex irrep.
    kind
        Type of the irrep: ``"real"``, ``"complex"`` or ``"quaternionic"``.
    inputs
        Number k of factors of the product.

    Examples
    --------
    >>> sign_neurons(1, "complex"), sign_neurons(2, "real"), sign_neurons(2, "quaternionic")
    (8, 16, 32)
    >>> sign_neurons(2, "real", inputs=3)
    64
    """
    delta = commutant_dimension(kind)
    size = degree if kind == "real" else 2 * degree
    return 2 ** (inputs - 1) * size ** (inputs + 1) // delta


def construction_width(
    irreps: Sequence[IrrepClass],
    masses: Float[np.ndarray, " irrep"],
    *,
    inputs: int = 2,
    method: str = "simplex",
) -> int:
    """Return the number of neurons that :func:`marginlens.theory.group_weights` returns.

    Parameters
    ----------
    irreps
        Nontrivial irrep classes of the group.
    masses
        Mass of each irrep class; those below the threshold of a share count as zero.
    inputs
        Number k of factors of the product.
    method
        Construction to use: ``"simplex"`` or ``"signs"``.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> irreps = group("S3").irrep_classes[1:]
    >>> construction_width(irreps, np.array([0.2, 0.8])), construction_width(irreps, np.array([0, 1.0]))
    (12, 10)
    """
    count = simplex_neurons if method == "simplex" else sign_neurons
    return sum(
        count(irrep.degree, irrep.type, inputs)
        for irrep, mass in zip(irreps, masses.tolist(), strict=True)
        if mass > STATUS_THRESHOLD
    )
