r"""Neurons of a group as matrices: the coefficients of their weights in an irrep."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from marginlens.groups import IrrepClass

__all__ = ["coefficient_matrix", "rank_one_share"]

_REAL_RANK = {1: 1, 0: 2, -1: 4}
"""Rank of the real matrix that stands for one of rank one over the reals, complexes, quaternions."""


def coefficient_matrix(
    weights: Float[np.ndarray, " element"], irrep: IrrepClass
) -> Float[np.ndarray, "row column"]:
    r"""Return coefficients of a weight vector in an irrep: $A = \frac{d}{n} \sum_g f(g) R(g)$.

    R is the real irrep, equal to ρ for real type; otherwise A represents a matrix of complex
    numbers or quaternions. The part of f in the irrep is then $f_\rho(g) = \operatorname{tr}(R(g)^T
    A)$ (real type; for the others up to a constant).

    Parameters
    ----------
    weights
        Weight vector f, shape (element,).
    irrep
        Irrep class with matrices, of a group with a Cayley table.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> irrep = group("S3").irrep_classes[2]
    >>> f = irrep.orthogonal[:, 0, 1]
    >>> coefficient_matrix(f, irrep).round(12) + 0.0
    array([[0., 1.],
           [0., 0.]])
    """
    order = len(weights)
    return irrep.degree / order * np.tensordot(weights, irrep.orthogonal, axes=1)


def rank_one_share(matrix: Float[np.ndarray, "row column"], irrep: IrrepClass) -> float:
    r"""Return the share of a coefficient matrix's energy of rank one; NaN for a zero matrix.

    The largest squared singular value (over complex numbers or quaternions: the two or four equal
    ones
    of the real matrix) over the sum of all. A neuron of a maximum-margin network has rank one in u,
    v
    and w: the trilinear form is $\operatorname{tr}(ABC)$ up to a constant, on unit matrices at most
    1,
    with equality for $A = xy^*, B = yz^*, C = zx^*$ alone.

    Parameters
    ----------
    matrix
        Coefficient matrix A, shape (row, column).
    irrep
        Irrep class of the matrix.

    Notes
    -----
    :mod:`marginlens.theory`, "The margin of a group".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> irrep = group("S3").irrep_classes[2]
    >>> rank_one_share(np.outer([1.0, 2.0], [3.0, 1.0]), irrep), rank_one_share(np.eye(2), irrep)
    (1.0, 0.5)
    """
    squares = np.square(np.linalg.svd(matrix, compute_uv=False))
    total = float(squares.sum())
    if total <= 0:
        return float("nan")
    return round(float(squares[: _REAL_RANK[irrep.frobenius_schur]].sum()) / total, 12)
