"""Closed-form weights of maximum-margin networks on a group."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float

from marginlens.groups import FiniteGroup, IrrepClass
from marginlens.theory.group.simplex import orthogonal_pairs, simplex_pairs
from marginlens.theory.group.widths import construction_width, turning_applies
from marginlens.theory.shares import STATUS_THRESHOLD

__all__ = ["METHODS", "group_weights"]

METHODS = ("simplex", "signs")
GREATEST_BYTES = 1 << 30
"""Weights above which a network is refused."""

Weights = Float[np.ndarray, "element neuron"]


def group_weights(
    group: FiniteGroup,
    masses: Float[np.ndarray, " irrep"],
    *,
    inputs: int = 2,
    method: str = "simplex",
) -> tuple[Weights, ...]:
    """Return weights u_1, ..., u_k, w of a network with given masses on the irrep classes.

    Each irrep class of mass m_rho > 0 gets neurons that are chains of matrix coefficients of its
    real irrep,

        u_1(a) = r <x, rho(a) y_1>, u_2(a) = r <y_1, rho(a) y_2>, ..., u_k(a) = r <y_(k-1), rho(a)
        z>,
        w(c) = r <x, rho(c) z>,

    with each y over an orthonormal basis and (x, z) over pairs of unit vectors, so that the sum of
    their products is proportional to Re chi(z) at the answer a_1 ... a_k z. The other terms of (u_1
    + ... + u_k)^k are removed

    - with ``"signs"``: by 2^(k-1) neurons (u_1, s_2 u_2, ..., s_k u_k, s_2 ... s_k w), (x, z) over
      an
      orthogonal basis of functions <x, rho(.) z>;
    - with ``"simplex"``, which needs fewer neurons: with two inputs, by letting the functions
      <x, rho(.) z> form a regular simplex, which adds up to zero and with it the squares; with
      more, on irreps of degree one and complex type, by 2 * 3^(k-1) neurons whose phases turn; on
      other irreps as ``"signs"``.

    Parameters
    ----------
    group
        Finite group with a Cayley table.
    masses
        Masses m for each of ``group.irrep_classes[1:]``; those below the threshold of a share count
        as zero.
    inputs
        Number k of factors of the product.
    method
        Construction to use: ``"simplex"`` or ``"signs"``.

    Returns
    -------
    tuple of Float[np.ndarray, "element neuron"]
        Arrays u_1, ..., u_k, w with sum over neurons of ||omega||^(k+1) = sum of the masses.

    Raises
    ------
    ValueError
        The method is unknown, or the weights exceed a gigabyte.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Explicit networks" and "More inputs".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> [w.shape for w in group_weights(group("C5"), np.array([0.5, 0.5]))]
    [(5, 12), (5, 12), (5, 12)]
    """
    if method not in METHODS:
        raise ValueError(f'method: expected "simplex" or "signs", got {method!r}')
    width = construction_width(group.irrep_classes[1:], masses, inputs=inputs, method=method)
    size = 8 * group.order * (inputs + 1) * width
    if size > GREATEST_BYTES:
        raise ValueError(
            f"{group.name} with {inputs} inputs: expected weights of at most "
            f"{GREATEST_BYTES / 1e9:.1f} GB, got {size / 1e9:.1f} GB for {width} neurons; take "
            "a smaller group"
        )
    blocks = [
        _irrep_weights(irrep, mass, inputs, method)
        for irrep, mass in zip(group.irrep_classes[1:], masses.tolist(), strict=True)
        if mass > STATUS_THRESHOLD
    ]
    return tuple(np.concatenate(columns, axis=1) for columns in zip(*blocks, strict=True))


def _irrep_weights(irrep: IrrepClass, mass: float, inputs: int, method: str) -> list[np.ndarray]:
    """Return the neurons of one irrep class, of total sum ||omega||^(k+1) ``mass``."""
    if method == "simplex" and turning_applies(irrep.degree, irrep.type, inputs):
        weights = _turning(irrep, inputs)
    elif method == "simplex" and inputs == 2:
        weights = _chains(irrep.orthogonal, *simplex_pairs(irrep.orthogonal, irrep.type), inputs)
    else:
        pairs = orthogonal_pairs(irrep.orthogonal, irrep.type)
        weights = _signed(_chains(irrep.orthogonal, *pairs, inputs))
    # the functions of a neuron have equal norms: together a neuron of norm (m / K)^(1 / (k + 1))
    width = weights[0].shape[1]
    length = math.sqrt(float((weights[0][:, 0] ** 2).sum()) * (inputs + 1))
    radius = (mass / width) ** (1 / (inputs + 1)) / length
    return [radius * weight for weight in weights]


def _chains(rho: np.ndarray, x: np.ndarray, z: np.ndarray, inputs: int) -> list[np.ndarray]:
    """Return u_1, ..., u_k, w with every y over the standard basis."""
    n, size, _ = rho.shape
    pairs = len(x)
    shape = (n, pairs, *(size,) * (inputs - 1))
    answers = np.einsum("pi,cij,pj->cp", x, rho, z, optimize=True)
    if inputs == 1:
        return [answers, answers]
    first = np.einsum("pi,aij->apj", x, rho)
    last = np.einsum("aij,pj->api", rho, z)
    links = [
        rho.reshape(n, 1, *(1,) * place, size, size, *(1,) * (inputs - 3 - place))
        for place in range(inputs - 2)
    ]
    weights = [
        first.reshape(n, pairs, size, *(1,) * (inputs - 2)),
        *links,
        last.reshape(n, pairs, *(1,) * (inputs - 2), size),
        answers.reshape(n, pairs, *(1,) * (inputs - 1)),
    ]
    return [np.broadcast_to(weight, shape).reshape(n, -1) for weight in weights]


def _signed(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Repeat every neuron with all signs of u_2, ..., u_k, and their product on w."""
    *inputs, answers = weights
    patterns = [(1, *signs) for signs in itertools.product((1, -1), repeat=len(inputs) - 1)]
    return [
        np.hstack([pattern[slot] * weight for pattern in patterns])
        for slot, weight in enumerate(inputs)
    ] + [np.hstack([math.prod(pattern) * answers for pattern in patterns])]


def _turning(irrep: IrrepClass, inputs: int) -> list[np.ndarray]:
    """Return 2 * 3^(k-1) neurons with phases that turn by 1, 3, ..., 3^(k-2), 4 * 3^(k-2).

    In units of 2 pi / (2 * 3^(k-1)) a step of l; the output turns by their sum. A product of
    cosines
    with signs s_j of the phases averages to zero over l unless sum_j s_j turn_j = s_w turn_w modulo
    2 * 3^(k-1), which leaves those of u_1 ... u_k w.
    """
    turns = [3**place for place in range(inputs - 1)] + [4 * 3 ** (inputs - 2)]
    count = 2 * 3 ** (inputs - 1)
    roots = np.exp(2j * np.pi * np.arange(count) / count)
    character = irrep.unitary[:, :1, 0]
    return [
        np.real(character * roots[turn * np.arange(count) % count]) for turn in (*turns, sum(turns))
    ]
