"""Maximum-margin networks in closed form."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float

from marginlens.groups import FiniteGroup, IrrepClass
from marginlens.networks.mlp import MLP
from marginlens.tasks import Task
from marginlens.theory import (
    STATUS_THRESHOLD,
    ClassProgram,
    parity_width,
    parse_activation,
    solve_margin,
)

__all__ = ["construct"]

Vectors = Float[np.ndarray, "pair coordinate"]


def construct(task: Task, *, method: str = "simplex") -> MLP:
    """Network whose normalized margin is the maximum gamma*.

    On a group each irrep class of mass m_rho > 0 gets neurons

        u(a) = r <x, rho(a) y>,   v(b) = r <y, rho(b) z>,   w(c) = r <x, rho(c) z>

    with y over an orthonormal basis of the real irrep's space and (x, z) over pairs of unit vectors.
    With ``"simplex"`` the functions <x, rho(.) z> form a regular simplex, so that they add up to
    zero and with them the squares of u and v in (u + v)^2 w; with ``"signs"`` they form an orthogonal
    basis and each neuron has a partner (u, -v, -w), which takes more neurons. On parity the 2^(k-1)
    neurons have equal magnitudes on the k coordinates, whatever the method.

    Parameters
    ----------
    task
        A group's table, or sparse parity.
    method
        ``"simplex"`` (fewer neurons) or ``"signs"``.

    Returns
    -------
    MLP
        One member, float64, with sum_i ||omega_i||^nu = 1, so that its margin is gamma*.

    Raises
    ------
    ValueError
        If the method is unknown or the task is a table without a group.

    Notes
    -----
    Derived in docs/theory.md, "Explicit networks"; for C_p and parity the features are those of
    Morwani et al. 2024, Theorems 7 and 8.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> construct(task("C5")).parameters["w"].shape
    torch.Size([1, 5, 12])
    >>> construct(task("C5"), method="signs").parameters["w"].shape
    torch.Size([1, 5, 16])
    """
    if method not in ("simplex", "signs"):
        raise ValueError(f'method must be "simplex" or "signs", got {method!r}')
    if task.kind == "parity":
        return _construct_parity(task)
    if task.group is None:
        raise ValueError(f"task {task.name!r} is a table without a group; pass a group's table")
    weights = _group_weights(task.group, method)
    return MLP(
        {slot: torch.from_numpy(weight)[None] for slot, weight in zip("uvw", weights, strict=True)},
        parse_activation("x^2"),
    )


def _group_weights(group: FiniteGroup, method: str) -> list[np.ndarray]:
    """Weights u, v, w of all neurons, each (element, neuron)."""
    masses = solve_margin(ClassProgram.of(group)).certificate.masses
    blocks = [
        _irrep_weights(irrep, mass, method)
        for irrep, mass in zip(group.irrep_classes[1:], masses.tolist(), strict=True)
        if mass > STATUS_THRESHOLD
    ]
    return [np.concatenate(columns, axis=1) for columns in zip(*blocks, strict=True)]


def _irrep_weights(irrep: IrrepClass, mass: float, method: str) -> list[np.ndarray]:
    """Weights (element, neuron) of the neurons of one irrep class, of total sum ||omega||^3 mass."""
    rho = irrep.orthogonal
    n, size, _ = rho.shape
    units = _commutant_units(rho, irrep.type)
    x, z = (_simplex if method == "simplex" else _orthogonal_basis)(units, size)
    u = np.einsum("pi,aij->apj", x, rho).reshape(n, -1)
    v = np.einsum("bij,pj->bpi", rho, z).reshape(n, -1)
    w = np.repeat(np.einsum("pi,cij,pj->cp", x, rho, z, optimize=True), size, axis=1)
    if method == "signs":
        u, v, w = (np.hstack([u, u]), np.hstack([v, -v]), np.hstack([w, -w]))
    # each function has squared norm n / N; the three together make a neuron of norm (m / K)^(1/3)
    radius = (mass / u.shape[1]) ** (1 / 3) / math.sqrt(3.0 * n / size)
    return [radius * u, radius * v, radius * w]


def _commutant_units(rho: np.ndarray, kind: str) -> list[np.ndarray]:
    """Anticommuting orthogonal matrices of square -1 that commute with a real irrep.

    None for the real type, one (multiplication by i) for the complex type, two for the quaternionic.
    They are averages over the group of antisymmetric matrices, so they are exact to rounding.
    """
    count = {"real": 0, "complex": 1, "quaternionic": 2}[kind]
    size = rho.shape[1]
    generator = np.random.default_rng(0)
    units: list[np.ndarray] = []
    while len(units) < count:
        sample = generator.standard_normal((size, size))
        average = np.einsum("gij,jk,glk->il", rho, sample - sample.T, rho, optimize=True)
        average = (average - average.T) / (2 * len(rho))
        for unit in units:
            average -= (average * unit).sum() / size * unit
        norm = math.sqrt(float((average**2).sum()) / size)
        if norm > 1e-3:  # else an unlucky sample; take another
            units.append(average / norm)
    return units


def _module_basis(units: list[np.ndarray], size: int) -> np.ndarray:
    """Orthonormal vectors whose multiples by the commutant make up all of R^size, in rows."""
    algebra = _algebra(units, size)
    basis: list[np.ndarray] = []
    rest = np.eye(size)  # projection onto what is not yet spanned
    while len(basis) * len(algebra) < size:
        vector = rest[:, np.argmax(np.diag(rest))]
        vector = vector / np.linalg.norm(vector)
        basis.append(vector)
        orbit = np.array([unit @ vector for unit in algebra])
        rest = rest - orbit.T @ orbit
    return np.array(basis)


def _algebra(units: list[np.ndarray], size: int) -> list[np.ndarray]:
    """Orthonormal basis of the commutant: 1, or 1 and i, or 1, i, j and ij."""
    algebra = [np.eye(size), *units]
    if len(units) == 2:
        algebra.append(units[0] @ units[1])
    return algebra


def _orthogonal_basis(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Pairs (x, z) whose functions <x, rho(.) z> form an orthogonal basis."""
    left = _module_basis(units, size)
    return np.repeat(left, size, axis=0), np.tile(np.eye(size), (len(left), 1))


def _simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Pairs (x, z) of unit vectors whose functions <x, rho(.) z> form a regular simplex.

    With D the dimension of the space of functions, x_l and z_l turn with l = 0, ..., D at frequencies
    (in units of 2 pi / (D + 1)) chosen so that the inner product of functions l and m is
    sum_t cos(t (l - m)) / D over all t = 1, ..., D: that is -1/D for l != m.
    """
    return [_real_simplex, _complex_simplex, _quaternionic_simplex][len(units)](units, size)


def _real_simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Frequencies S of x and T of z, closed under negation, with S + T = {1, ..., d^2} mod d^2+1."""
    count = size**2 + 1
    if size % 2 == 0:
        odd = np.arange(1, size, 2)
        return _turn(odd, count), _turn(size * odd, count)
    half = np.arange(1, (size + 1) // 2)
    alternating = (-1.0) ** np.arange(count)[:, None] / math.sqrt(size)
    return (
        np.hstack([np.abs(alternating), _turn(half, count, size)]),
        np.hstack([alternating, _turn(count // 2 + size * half, count, size)]),
    )


def _turn(frequencies: np.ndarray, count: int, size: int | None = None) -> np.ndarray:
    """Rows (cos, sin) of each frequency, l = 0 .. count-1, each pair of squared length 2 / size."""
    angles = 2 * np.pi / count * np.outer(np.arange(count), frequencies)
    size = 2 * len(frequencies) if size is None else size
    return np.hstack([np.cos(angles), np.sin(angles)]) * math.sqrt(2.0 / size)


def _complex_simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Frequencies -S of x and T of z with T + S = {1, ..., d^2}, half of those mod 2 d^2 + 1."""
    degree = size // 2
    basis = _module_basis(units, size)
    steps = np.arange(degree)
    count = 2 * degree**2 + 1
    return (
        _phased(units[0], basis, -steps, count),
        _phased(units[0], basis, 1 + degree * steps, count),
    )


def _quaternionic_simplex(units: list[np.ndarray], size: int) -> tuple[Vectors, Vectors]:
    """Frequencies S of x, T of z with T + S and T - S together half of those mod d^2 + 1.

    A coordinate of z is (1 + j) e^{i t l} / sqrt 2, so e^{-i s l} times it has the two parts
    e^{i (t - s) l} and e^{-i (t + s) l} j.
    """
    i, j = units
    basis = _module_basis(units, size)
    degree = size // 2
    odd = np.arange(1, degree, 2)
    count = degree**2 + 1
    z = _phased(i, basis, degree * odd, count)
    return _phased(i, basis, odd, count), (z + z @ j.T) / math.sqrt(2.0)


def _phased(i: np.ndarray, basis: np.ndarray, frequencies: np.ndarray, count: int) -> np.ndarray:
    """Row l: the unit vector sum_k e^{i frequency_k l} basis_k / sqrt(number of k)."""
    angles = 2 * np.pi / count * np.outer(np.arange(count), frequencies)
    return (np.cos(angles) @ basis + np.sin(angles) @ (basis @ i.T)) / math.sqrt(len(basis))


def _construct_parity(task: Task) -> MLP:
    subset = list(task.subset or ())
    if not subset:
        raise ValueError(
            f'task {task.name!r} has no relevant coordinates; use a task such as "parity(10,4)"'
        )
    k = len(subset)
    width = parity_width(k)
    # every sign pattern up to an overall sign, which the neuron does not feel: the first sign is +
    signs = 1 - 2 * (np.arange(width) >> np.arange(k)[:, None] & 1)
    signs[k - 1] = 1
    even = np.asarray(task.inputs)[:, subset].prod(axis=1) > 0
    right = int(np.asarray(task.answers)[even][0])
    direction = np.full((task.classes, 1), -1.0)
    direction[right] = 1.0
    radius = width ** (-1.0 / (k + 1)) / math.sqrt(k + 1.0)
    u = np.zeros((task.size, width))
    u[subset] = radius * signs
    w = radius / math.sqrt(2.0) * direction * signs.prod(axis=0)
    return MLP(
        {"u": torch.from_numpy(u)[None], "w": torch.from_numpy(w)[None]},
        parse_activation(f"x^{k}"),
    )
