r"""Hidden progress on sparse parity: growth in the first layer before accuracy rises."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, prod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks import MLP, Rows
from marginlens.networks.activations import times_derivative_
from marginlens.tasks import Task
from marginlens.training import Training

__all__ = [
    "ParityProgress",
    "fourier_gaps",
    "neuron_gradients",
    "parity_progress",
    "threshold_coefficient",
    "time_to_learn",
]

_BYTES = 32 << 20
LEARNED = 0.99
"""Accuracy from which a task counts as learned."""


def threshold_coefficient(
    signs: Int[np.ndarray, " coordinate"], bias: float, chosen: tuple[int, ...]
) -> float:
    r"""Return a Fourier coefficient of a threshold neuron with ±1 weights, in closed form.

    With f(x) = [<w, x> + b > 0], x uniform on ±1 vectors of length n and t = |T|,

    .. math:: \hat f(T) = E f(x) \prod_{i \in T} x_i
              = 2^{-n} \prod_{i \in T} w_i \sum_{m: n - 2m + b > 0} K_m(t),

    where the Krawtchouk polynomial K_m(t) = sum_j (-1)^j C(t, j) C(n - t, m - j) adds up the
    characters
    of all vectors with m coordinates -1. For odd n and b = 0 it is half that of majority, the case
    of
    Barak et al. 2022; a neuron's gradient on parity has these coefficients for its coordinates.

    Parameters
    ----------
    signs
        Weights w of the neuron, each 1 or -1, shape (coordinate,).
    bias
        Bias b of the neuron.
    chosen
        Coordinates T of the coefficient, from 0.

    Raises
    ------
    ValueError
        A weight is not 1 or -1.

    Examples
    --------
    >>> threshold_coefficient(np.array([1, 1, 1]), 0.0, (0,))  # majority of three: 1/2, halved
    0.25
    >>> threshold_coefficient(np.array([1, -1, 1]), 0.0, (0, 1, 2))
    0.25
    """
    if not np.isin(signs, (1, -1)).all():
        raise ValueError(
            f"signs: expected 1 or -1, got {signs.tolist()[:5]}; for example [1, -1, 1]"
        )
    n, t = len(signs), len(chosen)
    total = sum(
        sum((-1) ** j * comb(t, j) * comb(n - t, m - j) for j in range(min(t, m) + 1))
        for m in range(n + 1)
        if n - 2 * m + bias > 0
    )
    return total / 2**n * prod(int(signs[i]) for i in chosen)


@torch.no_grad()
def neuron_gradients(
    network: MLP, task: Task, *, rows: Rows | None = None
) -> Float[Tensor, "member coordinate neuron"]:
    r"""Return the gradient signal g_i = E[y x_i sigma'(<u, x> + b)] of each input weight.

    y = prod_{j in S} x_j = ±1. It is the gradient of E[y sigma(<u, x> + b)], and but for the factor
    w_1 - w_0 the population gradient of a network whose output is still small (hinge and logistic
    losses there are linear in y f). Since y x_i is a character, it is the Fourier coefficient of
    sigma'
    at S without i for a relevant coordinate and at S with i for another one.

    Parameters
    ----------
    network, task
        MLP, and its sparse parity task.
    rows
        Sample of inputs to average over; ``None`` for all 2^n inputs, exactly.

    Raises
    ------
    ValueError
        The task is another one, or the inputs are too many to list and no sample is given.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> ones = {"u": torch.ones(1, 3, 1), "w": torch.ones(1, 2, 1)}
    >>> network = MLP(ones, parse_activation("relu"))
    >>> neuron_gradients(network, task("parity(3,2)"))[0, :, 0]
    tensor([ 0.2500,  0.2500, -0.2500])
    """
    subset = _subset(task)
    network.require_task(task)
    if rows is None:
        task.require_rows()
    signs = torch.as_tensor(task.inputs) if rows is None else rows.inputs
    u = network.tensors["u"]
    x = signs.to(u)
    y = x[:, subset].prod(1)
    gradients = torch.zeros_like(u)
    block = max(1, _BYTES // (u.element_size() * u.shape[0] * u.shape[2]))
    for part in range(0, len(x), block):
        some = x[part : part + block]
        before = some @ u
        if network.biases:
            before += network.tensors["bias"]
        seen = y[part : part + block, None].expand_as(before).clone()
        gradients += some.T @ times_derivative_(network.activation, seen, before)
    return gradients * (network.activation.degree / len(x))


def fourier_gaps(
    network: MLP, task: Task, *, rows: Rows | None = None
) -> Float[np.ndarray, "member neuron"]:
    r"""Return the Fourier gap of each neuron: min_{i in S} |g_i| - max_{i not in S} |g_i|.

    If it is positive, the gradient :func:`neuron_gradients` moves every relevant coordinate by more
    than any other, which SGD amplifies long before the accuracy rises. Without irrelevant
    coordinates it is min |g_i|.

    Parameters
    ----------
    network, task, rows
        MLP, task and sample, as for :func:`neuron_gradients`. For a sample of N rows the error of
        each g_i is about N^(-1/2).

    Notes
    -----
    Barak et al. 2022 (arXiv 2207.08799), section 4: sigma' has a Fourier gap gamma at S if each of
    its
    coefficients at a (k-1)-subset of S exceeds those at all (k+1)-supersets by gamma in absolute
    value.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> ones = {"u": torch.ones(1, 5, 1), "w": torch.ones(1, 2, 1)}
    >>> network = MLP(ones, parse_activation("relu"))
    >>> fourier_gaps(network, task("parity(5,2)"))  # majority of five: 3/16 at one, -1/16 at three
    array([[0.125]])
    """
    size = neuron_gradients(network, task, rows=rows).abs().double().cpu().numpy()
    relevant = np.isin(np.arange(task.size), _subset(task))
    return size[:, relevant].min(1) - size[:, ~relevant].max(1, initial=0.0)


@dataclass(frozen=True, eq=False)
class ParityProgress:
    """Progress of member 0 of a training on sparse parity, snapshot by snapshot.

    Attributes
    ----------
    steps
        Steps of the snapshots, shape (snapshot,).
    accuracy
        Accuracy of the latest record up to each snapshot.
    gaps
        Fourier gap of each neuron (:func:`fourier_gaps`).
    shares
        Share of each neuron's energy sum_j u_j^2 on the relevant coordinates; 0 for a neuron of
        zero energy.
    total_share
        Same share of all neurons together: k / n is expected of random weights.
    hidden_step
        First snapshot at which the total share is halfway from its first value to its largest;
        ``None`` if it does not grow.
    neuron_step
        First snapshot at which the largest share of one neuron is halfway: a few neurons suffice
        for the accuracy, and they align first.
    accuracy_step
        First record with an accuracy above ``threshold``, or ``None``.
    threshold
        Accuracy that counts as risen, .9 by default.
    """

    steps: Int[np.ndarray, " snapshot"]
    accuracy: Float[np.ndarray, " snapshot"]
    gaps: Float[np.ndarray, "snapshot neuron"]
    shares: Float[np.ndarray, "snapshot neuron"]
    total_share: Float[np.ndarray, " snapshot"]
    hidden_step: int | None
    neuron_step: int | None
    accuracy_step: int | None
    threshold: float


def parity_progress(
    task: Task, training: Training, *, rows: Rows | None = None, threshold: float = 0.9
) -> ParityProgress:
    """Return Fourier gaps and relevant energy through a training, with its accuracy.

    Parameters
    ----------
    task, training
        Sparse parity task, and the training of an MLP on it with snapshots.
    rows
        Sample of inputs for the gaps if the inputs are too many to list
        (:func:`marginlens.training.recorded_rows`).
    threshold
        Accuracy that counts as risen.

    Raises
    ------
    ValueError
        The task is not a parity, the network is not an MLP, or the training has no snapshots.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.training import recipe_for, train
    >>> parity = task("parity(6,2)")
    >>> found = parity_progress(parity, train(parity, recipe_for(parity, steps=300)))
    >>> bool(found.total_share[-1] > found.total_share[0]), found.hidden_step <= found.accuracy_step
    (True, True)
    """
    subset = _subset(task)
    network = training.network
    if network.homogeneity is None:
        raise ValueError("hidden progress is one of an MLP's first layer; train with network='mlp'")
    if not len(training.snapshot_steps):
        raise ValueError("the training kept no snapshots; train with snapshots=30")
    kept = {name: torch.as_tensor(values) for name, values in training.snapshots.items()}
    path = network.with_parameters(kept).as_mlp()
    energy = np.square(training.snapshots["u"].astype(np.float64))
    relevant, whole = energy[:, subset].sum(1), energy.sum(1)
    total = relevant.sum(1) / np.maximum(whole.sum(1), 1e-300)
    risen = np.flatnonzero(training.history["accuracy"][:, 0] > threshold)
    latest = np.searchsorted(training.steps, training.snapshot_steps, side="right") - 1
    shares = relevant / np.maximum(whole, 1e-300)
    return ParityProgress(
        steps=training.snapshot_steps,
        accuracy=training.history["accuracy"][np.maximum(latest, 0), 0],
        gaps=fourier_gaps(path, task, rows=rows),
        shares=shares,
        total_share=total,
        hidden_step=_halfway(training.snapshot_steps, total),
        neuron_step=_halfway(training.snapshot_steps, shares.max(1)),
        accuracy_step=int(training.steps[risen[0]]) if len(risen) else None,
        threshold=threshold,
    )


def _halfway(steps: np.ndarray, values: np.ndarray) -> int | None:
    """Return the first step halfway from the first value to the largest, or ``None``."""
    if values.max() <= values[0]:
        return None
    return int(steps[np.flatnonzero(values >= (values[0] + values.max()) / 2)[0]])


def time_to_learn(training: Training, *, accuracy: float = LEARNED) -> Float[np.ndarray, " member"]:
    """Return each member's first recorded step with a given accuracy; NaN without one.

    The accuracy is that of held-out rows if the training has some, else that of the history: over
    the whole table, or over the fixed sample of an online training.

    Parameters
    ----------
    training
        Training with a recorded history.
    accuracy
        Least accuracy that counts as learned.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.training import recipe_for, train
    >>> time_to_learn(train(task("C5"), recipe_for(task("C5"), width=40, steps=300))) <= 300
    array([ True])
    """
    history = training.history
    reached = history.get("test_accuracy", history["accuracy"]) >= accuracy
    first = training.steps[reached.argmax(0)].astype(np.float64)
    return np.where(reached.any(0), first, np.nan)


def _subset(task: Task) -> list[int]:
    if not task.subset:
        raise ValueError(f"expected a sparse parity, got {task.name}; for example parity(10,4)")
    return list(task.subset)
