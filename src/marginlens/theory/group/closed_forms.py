"""Closed forms of the maximum margin."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from marginlens.groups import CharacterTable, FiniteGroup
from marginlens.theory.group.class_program import ClassProgram

__all__ = [
    "closed_form_applies",
    "closed_form_margin",
    "closed_form_masses",
    "cyclic_margin",
    "equalizing_distribution",
    "theorem9_applies",
    "theorem9_margin",
]

# The sums compared with zero below are algebraic numbers over a scale of order one; what is nearer
# to zero than this is zero (float64 gives them to about 1e-14).
_ZERO = 1e-9


def cyclic_margin(order: int) -> float:
    """Return the maximum L_{2,3} margin of addition modulo an odd number, with x^2.

    gamma* = sqrt(2/27) / (sqrt(p) (p - 1)).

    Parameters
    ----------
    order
        Modulus p, odd and at least 3.

    Raises
    ------
    ValueError
        The order is even or below 3.

    Notes
    -----
    Morwani et al. 2024, Theorem 7, for prime p; :mod:`marginlens.theory`, "A closed form", for odd
    p.

    Examples
    --------
    >>> f"{cyclic_margin(71):.11e}"
    '4.61430079154e-04'
    """
    if order < 3 or order % 2 == 0:
        raise ValueError(
            f"order: expected an odd number of at least 3, got {order}; for example 71"
        )
    return math.sqrt(2 / 27) / (math.sqrt(order) * (order - 1))


def theorem9_applies(group: FiniteGroup | CharacterTable) -> bool:
    """Return whether the hypotheses of Theorem 9 hold.

    All irreps are real, and sum_{rho != 1} d^1.5 chi_rho(C) < 0 on every class C != 1.

    Parameters
    ----------
    group
        Finite group, or its character table.

    Notes
    -----
    Morwani et al. 2024, Theorem 9.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> theorem9_applies(group("S5")), theorem9_applies(group("C5"))
    (True, False)
    """
    if group.order < 2 or not (group.frobenius_schur == 1).all():
        return False
    weights = group.degrees[1:].astype(float) ** 1.5
    sums = weights @ np.real(group.characters[1:, 1:])
    return bool((sums < -_ZERO * _size(weights, group)).all())


def theorem9_margin(group: FiniteGroup | CharacterTable) -> float:
    """Return the margin 2 / (3 sqrt(3) sqrt(n) sum_{rho != 1} d^2.5) of Theorem 9.

    Parameters
    ----------
    group
        Finite group, or its character table.

    Raises
    ------
    ValueError
        The theorem's hypotheses do not hold for the group.

    Notes
    -----
    Morwani et al. 2024, Theorem 9.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> f"{theorem9_margin(group('S5')):.8e}"
    '1.32597749e-04'
    """
    if not theorem9_applies(group):
        raise ValueError(
            f"Theorem 9 does not apply to {group.name}: it needs real irreps and negative sums "
            'of d^1.5 chi(C), as "S5" has; solve the linear program instead'
        )
    total = float((group.degrees[1:].astype(float) ** 2.5).sum())
    return 2.0 / (3.0 * math.sqrt(3.0) * math.sqrt(group.order) * total)


def equalizing_distribution(program: ClassProgram) -> Float[np.ndarray, " class"]:
    """Return the weights on wrong answers that equalize the gains of all irreps.

    tau_C = -|C| sum_{rho != 1} d c^(k-1) chi_rho(C) / sum_{rho != 1} d^2 c^(k-1), over all complex
    irreps, with k inputs. They sum to one; they are a probability distribution, and then optimal,
    exactly when the closed form applies. Entries that vanish exactly are returned as 0.

    Parameters
    ----------
    program
        Class program of the group.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "A closed form".
    """
    weights = program.plancherel * program.costs
    total = weights.sum()
    # d chi(C), summed over the members of a class of irreps, is d^2 (1 - defect)
    sums = (1.0 - program.defects) @ weights
    sums[np.abs(sums) < _ZERO * total] = 0.0
    return -program.class_sizes * sums / total


def closed_form_applies(
    group: FiniteGroup | CharacterTable, *, inputs: int = 2, strict: bool = False
) -> bool:
    """Return whether the closed form of the maximum margin is exact.

    The condition is sum_{rho != 1} d c^(k-1) chi_rho(C) <= 0 on every class C != 1 (< 0 if
    ``strict``). Then :func:`closed_form_margin` is exact, and no irrep is forbidden. If it holds
    strictly, the optimal masses are unique. With two inputs every abelian group satisfies it
    strictly.

    Parameters
    ----------
    group
        Finite group, or its character table.
    inputs
        Number k of factors of the product.
    strict
        Whether the inequality has to be strict.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "A closed form".

    Examples
    --------
    >>> from marginlens.groups import group
    >>> closed_form_applies(group("Q8")), closed_form_applies(group("A5"))
    (True, False)
    """
    tau = equalizing_distribution(ClassProgram.of(group, inputs=inputs))
    return bool((tau > 0).all() if strict else (tau >= 0).all())


def closed_form_masses(program: ClassProgram) -> Float[np.ndarray, " irrep"]:
    """Return masses proportional to d^2 c^(k-1): all wrong answers lose by the same amount.

    They define a network of margin :func:`closed_form_margin`, which is optimal exactly when the
    closed form applies.

    Parameters
    ----------
    program
        Class program of the group.
    """
    weights = program.plancherel * program.costs
    return weights / weights.sum()


def closed_form_margin(group: FiniteGroup | CharacterTable, *, inputs: int = 2) -> float:
    """Return the maximum L_{2,k+1} margin of networks that treat all wrong answers alike.

    The value is k! ((k+1) n)^(-(k+1)/2) n / sum_{rho != 1} d^2 c^(k-1) over all complex irreps,
    which for two inputs is 2 / (3 sqrt(3) sqrt(n) sum_{rho != 1} d^2 c). It is exact where
    :func:`closed_form_applies`, and a lower bound elsewhere.

    Parameters
    ----------
    group
        Finite group, or its character table.
    inputs
        Number k of factors of the product.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "A closed form"; contains Morwani et al. 2024, Theorems 7
    and 9.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> f"{closed_form_margin(group('Q8')):.11e}"
    '1.23711603171e-02'
    """
    program = ClassProgram.of(group, inputs=inputs)
    total = float((program.plancherel * program.costs).sum())
    return program.scale * group.order / total


def _size(weights: np.ndarray, group: FiniteGroup | CharacterTable) -> float:
    """Return the scale of the sums compared with zero: their value at the identity."""
    return float(weights @ group.degrees[1:])
