"""Verification of a certificate from a Cayley table, without irreps.

The check is independent of characters, irreps and linear programs. It needs a table, a network and
a distribution over wrong answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from marginlens.display import Displayed
from marginlens.groups.table import find_identity

__all__ = [
    "Verification",
    "best_neuron_bound",
    "network_margin",
    "neuron_earnings",
    "require_work",
    "verify_bounds",
]

_BLOCK = 1 << 22  # numbers in a block of hidden activations
GREATEST_WORK = 2e13
"""Multiplications of a network's whole table above which a verification is refused."""

Weights = Float[np.ndarray, "element neuron"]
Table = Int[np.ndarray, "element element"]


@dataclass(frozen=True)
class Verification(Displayed):
    """Result of verifying a certificate: both bounds, recomputed.

    Attributes
    ----------
    lower
        Normalized margin of the network over every row of its table: proof that the maximum margin
        is at least this.
    upper
        Bound on the gain of any neuron of norm one against the distribution, hence on the margin of
        every network.
    attained
        Greatest gain of a neuron of the network, per unit of norm: a lower bound on ``upper``.
    ideals
        Dimension, least multiplicity N and kappa of each isotypic ideal.
    neurons, rows
        Number of neurons of the network, and number of rows of its table.
    residual
        Largest deviation of a quantity that should vanish exactly: of tau from a class function, of
        the convolution by tau from a scalar on an ideal.
    """

    lower: float
    upper: float
    attained: float
    ideals: tuple[tuple[int, int, float], ...]
    neurons: int
    rows: int
    residual: float

    @property
    def gap(self) -> float:
        """Relative gap (upper - lower) / upper."""
        return (self.upper - self.lower) / self.upper

    def holds(self, tolerance: float = 1e-9) -> bool:
        """Return whether both bounds and the best neuron's gain agree to a tolerance.

        Parameters
        ----------
        tolerance
            Greatest accepted relative difference.
        """
        return (
            abs(self.gap) <= tolerance
            and abs(self.attained / self.upper - 1.0) <= tolerance
            and self.residual <= tolerance
        )


def verify_bounds(
    table: Table, weights: tuple[Weights, ...], distribution: Float[np.ndarray, " element"]
) -> Verification:
    """Recompute a network's margin and the best neuron's gain against a distribution.

    Parameters
    ----------
    table
        Cayley table, shape (element, element); row a, column b holds a b.
    weights
        Weights u_1, ..., u_k and w of the network, each of shape (element, neuron); the activation
        is x^k.
    distribution
        Probability tau(z) that a wrong answer is a_1 ... a_k z, shape (element,).

    Raises
    ------
    ValueError
        The shapes are inconsistent, a weight is not finite, all weights are zero, tau is not a
        distribution on z != 1, or the work exceeds ``GREATEST_WORK``.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Certificates without irreps".

    Examples
    --------
    >>> import numpy as np
    >>> from marginlens.groups import group
    >>> from marginlens.theory.group.constructions import group_weights
    >>> c5 = group("C5")
    >>> weights = group_weights(c5, np.array([0.5, 0.5]))
    >>> found = verify_bounds(c5.table, weights, np.array([0, 1, 1, 1, 1]) / 4)
    >>> f"{found.lower:.10f} {found.upper:.10f}", len(found.ideals), found.holds()
    ('0.0304290310 0.0304290310', 2, True)
    """
    n, k = len(table), len(weights) - 1
    if any(weight.ndim != 2 or weight.shape != weights[-1].shape for weight in weights) or (
        len(weights[-1]) != n or weights[-1].shape[1] == 0
    ):
        shapes = ", ".join(str(weight.shape) for weight in weights)
        raise ValueError(f"weights: expected shape ({n}, neurons) for this table, got {shapes}")
    if not all(np.isfinite(weight).all() for weight in weights):
        raise ValueError("weights: expected finite numbers, got infinite ones or nan")
    tau = np.asarray(distribution, dtype=np.float64)
    identity = find_identity(table)
    # written so that nan fails each comparison
    if tau.shape != (n,) or not (
        (tau >= 0).all() and abs(tau.sum() - 1) <= 1e-9 and tau[identity] == 0
    ):
        raise ValueError(
            f"the distribution must give {n} probabilities that add up to 1, with none on the "
            f"identity (element {identity})"
        )
    neurons = weights[-1].shape[1]
    require_work(n, k, neurons)
    norm = float((_norms(weights) ** (k + 1)).sum())
    if norm == 0:
        raise ValueError("expected a nonzero network, got one without a normalized margin")
    upper, ideals, residual = best_neuron_bound(table, tau, inputs=k)
    return Verification(
        lower=network_margin(table, weights) / norm,
        upper=upper,
        attained=float(neuron_earnings(table, weights, tau).max()),
        ideals=ideals,
        neurons=neurons,
        rows=n**k,
        residual=residual,
    )


def require_work(n: int, inputs: int, neurons: int) -> None:
    """Refuse a network whose evaluation on every row would take too long.

    Parameters
    ----------
    n
        Order of the group.
    inputs
        Number k of factors of the product.
    neurons
        Number of neurons of the network.

    Raises
    ------
    ValueError
        The evaluation takes more multiplications than ``GREATEST_WORK``; the message has their
        number.
    """
    work = float(n) ** (inputs + 1) * neurons
    if work > GREATEST_WORK:
        raise ValueError(
            f"expected at most {GREATEST_WORK:.0e} multiplications, got {work:.1e} for "
            f"{neurons} neurons on all {n}^{inputs} rows; take a smaller group"
        )


def network_margin(table: Table, weights: tuple[Weights, ...]) -> float:
    """Return the least lead of the right answer over all rows and wrong answers.

    Parameters
    ----------
    table
        Cayley table, shape (element, element).
    weights
        Weights u_1, ..., u_k and w, each of shape (element, neuron).
    """
    least = math.inf
    for hidden, answers in _rows(table, weights):
        logits = hidden @ weights[-1].T
        everything = np.arange(len(logits))
        right = logits[everything, answers]
        logits[everything, answers] = -np.inf
        least = float(np.minimum(least, (right - logits.max(axis=1)).min()))  # nan stays nan
    return least


def neuron_earnings(
    table: Table, weights: tuple[Weights, ...], distribution: Float[np.ndarray, " element"]
) -> Float[np.ndarray, " neuron"]:
    """Return each neuron's mean gain against a distribution, per unit of norm.

    The gain is the mean over rows of (sum_j u_j)^k (w(answer) - sum_z tau(z) w(answer z)); it is 0
    for a neuron of zero weights.

    Parameters
    ----------
    table
        Cayley table, shape (element, element).
    weights
        Weights u_1, ..., u_k and w, each of shape (element, neuron).
    distribution
        Probability tau(z) of each element z, shape (element,).
    """
    shifted = weights[-1] - sum(
        tau * weights[-1][table[:, z]] for z, tau in enumerate(distribution.tolist()) if tau > 0
    )
    total = np.zeros(weights[-1].shape[1])
    rows = 0
    for hidden, answers in _rows(table, weights):
        total += np.einsum("ri,ri->i", hidden, shifted[answers])
        rows += len(hidden)
    norms = _norms(weights) ** len(weights)
    return np.divide(total / rows, norms, out=np.zeros_like(total), where=norms > 0)


def best_neuron_bound(
    table: Table, distribution: Float[np.ndarray, " element"], *, inputs: int = 2
) -> tuple[float, tuple[tuple[int, int, float], ...], float]:
    """Return a bound on the gain of a neuron of norm one against a class function tau.

    The group algebra splits into ideals V on which convolution by 1 - tau is a scalar kappa_V. A
    left convolution by u in V has Frobenius norm sqrt(n) ||u||, and commutes with right
    translations, so that its singular values come at least N_V times, N_V being the least dimension
    of a right ideal in V: its operator norm is at most sqrt(n / N_V) ||u||. The gain of a neuron is
    therefore at most

        k! ((k+1) n)^(-(k+1)/2) max_V kappa_V / N_V^((k-1)/2).

    The ideals are the eigenspaces of a random central element, N_V the least multiplicity among the
    eigenvalues of a random symmetric element on V: both need the table alone.

    Parameters
    ----------
    table
        Cayley table, shape (element, element).
    distribution
        Probability tau(z) of each element z, shape (element,).
    inputs
        Number k of factors of the product.

    Returns
    -------
    bound, ideals, residual
        The bound; (dimension, N, kappa) of each ideal but the constants, the worst first; and the
        largest deviation of tau from a class function or of convolution by it from a scalar.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Certificates without irreps".
    """
    n, k = len(table), inputs
    inverses = (table == find_identity(table)).argmax(axis=1)
    quotients = table[:, inverses]  # (x, y): x y^-1
    class_of = _symmetric_classes(table, inverses)
    generator = np.random.default_rng(0)
    central = generator.normal(size=n)[class_of]
    eigenvalues, vectors = np.linalg.eigh(central[quotients])
    symmetric = generator.normal(size=n)
    symmetric = symmetric + symmetric[inverses]
    averaged = np.bincount(class_of, distribution, n) / np.bincount(class_of, minlength=n).clip(1)
    residual = float(np.abs(distribution - averaged[class_of]).max())
    kernel = np.eye(n) - distribution[quotients]
    ideals = []
    for part in _clusters(eigenvalues):
        basis = vectors[:, part]
        if np.abs(basis.sum(axis=0)).max() > 1e-6 * math.sqrt(n):
            # the constants tell no answers apart; what lies with them by chance is kept
            if basis.shape[1] == 1:
                continue
            centred = basis - basis.mean(axis=0)
            basis = np.linalg.svd(centred, full_matrices=False)[0][:, :-1]
        image = kernel @ basis
        kappa = float((basis * image).sum() / basis.shape[1])
        residual = max(residual, float(np.abs(image - kappa * basis).max()))
        values = np.linalg.eigvalsh(basis.T @ symmetric[quotients] @ basis)
        least = min(same.stop - same.start for same in _clusters(values))
        ideals.append((basis.shape[1], least, kappa))
    ideals.sort(key=lambda ideal: ideal[2] / ideal[1] ** ((k - 1) / 2), reverse=True)
    best = max(kappa / least ** ((k - 1) / 2) for _, least, kappa in ideals)
    scale = math.factorial(k) * ((k + 1.0) * n) ** (-(k + 1) / 2)
    return scale * best, tuple(ideals), residual


def _rows(
    table: np.ndarray, weights: tuple[np.ndarray, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (sum_j u_j(a_j))^k and the answers, for blocks of rows with the same first inputs."""
    n, neurons = weights[-1].shape
    k = len(weights) - 1
    prefixes = n ** (k - 1)
    identity = find_identity(table)
    step = max(1, _BLOCK // (n * neurons))
    for first in range(0, prefixes, step):
        chosen = np.arange(first, min(prefixes, first + step))
        sums = np.zeros((len(chosen), neurons))
        products = np.full(len(chosen), identity)
        for slot in range(k - 1):
            element = chosen // n ** (k - 2 - slot) % n
            sums += weights[slot][element]
            products = table[products, element]
        hidden = (sums[:, None] + weights[k - 1]).reshape(-1, neurons) ** k
        yield hidden, table[products].reshape(-1)


def _norms(weights: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.sqrt(np.sum([(weight**2).sum(axis=0) for weight in weights], axis=0))


def _symmetric_classes(table: np.ndarray, inverses: np.ndarray) -> np.ndarray:
    """Least element conjugate to each element or to its inverse."""
    n = len(table)
    least = np.arange(n)
    for g in range(n):
        np.minimum(least, table[table[g], inverses[g]], out=least)
    return np.minimum(least, least[inverses])


def _clusters(values: np.ndarray) -> Iterator[slice]:
    """Runs of equal eigenvalues, to rounding, in an ascending list."""
    tolerance = 1e-8 * max(1.0, float(np.abs(values).max()))
    edges = np.flatnonzero(np.diff(values) > tolerance) + 1
    bounds = [0, *edges.tolist(), len(values)]
    for start, stop in itertools.pairwise(bounds):
        yield slice(start, stop)
