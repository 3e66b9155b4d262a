"""From a network and its task to a measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marginlens.measures.mechanism import Mechanism, examine
from marginlens.measures.neurons import LIVE, neurons_of
from marginlens.measures.parity import measure_parity
from marginlens.measures.phases import cyclic_phases
from marginlens.networks import MLP, Rows, evaluate
from marginlens.tasks import Task
from marginlens.tasks import task as task_of

__all__ = ["LIVE", "Measurement", "measure"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Everything that is measured on one network.

    Attributes
    ----------
    task, activation, degree
        What it was measured on; ``degree`` is nu, the degree of homogeneity in the parameters.
    accuracy, cross_entropy, margin
        Over the whole table, or a sample; the margin is the least lead of the right logit.
    sampled
        Number of rows of that sample, where the task's rows are not listed; 0: the whole table.
    norm, normalized_margin
        sum_i ||omega_i||^nu, and margin / norm.
    neuron_norms, live
        ||omega_i||, and whether the neuron is live (``LIVE``); the others are dead.
    spectrum
        For ``"u"``, ``"v"``, ``"w"`` and ``"all"``: share of the energy (without the constant part)
        in each feature, (neuron, feature); nan for dead neurons.
    dominant, max_power, agrees
        The feature with the largest share of the whole neuron (-1 if dead), that share (its maximum
        normalized power), and whether u, v and w each have the same one.
    share, count
        Each feature's share of the norm, and number of live neurons, by dominant feature. For parity
        the norm is split over coordinates by the energy of the input weights.
    phases, phase_error
        Cyclic groups: theta of each slot and of w, with u(a) ~ A cos(2 pi k a / n + theta), and
        |theta_u + theta_v - theta_w| (sum over all inputs) modulo 2 pi, in radians.
    cosine_fit
        Cyclic groups: least share of the variance of u, v and w that the best cosine explains.
    subset_power, magnitude_ratio, signs_agree
        Parity: share of the input energy on the relevant coordinates; least over largest magnitude
        there; whether the output's sign is the product of the inputs' signs.
    non_finite
        Number of weights that are NaN or infinite; where there are any, accuracy, cross-entropy,
        margin and norm are NaN: a network with such a weight answers nothing.
    """

    task: str
    activation: str
    degree: int | float
    accuracy: float
    cross_entropy: float
    norm: float
    margin: float
    normalized_margin: float
    features: tuple[str, ...]
    neuron_norms: Float[np.ndarray, " neuron"]
    live: Bool[np.ndarray, " neuron"]
    spectrum: dict[str, Float[np.ndarray, "neuron feature"]]
    dominant: Int[np.ndarray, " neuron"]
    max_power: Float[np.ndarray, " neuron"]
    agrees: Bool[np.ndarray, " neuron"]
    share: Float[np.ndarray, " feature"]
    count: Int[np.ndarray, " feature"]
    phases: Float[np.ndarray, "neuron slot"] | None = None
    phase_error: Float[np.ndarray, " neuron"] | None = None
    cosine_fit: Float[np.ndarray, " neuron"] | None = None
    subset_power: Float[np.ndarray, " neuron"] | None = None
    magnitude_ratio: Float[np.ndarray, " neuron"] | None = None
    signs_agree: Bool[np.ndarray, " neuron"] | None = None
    sampled: int = 0
    non_finite: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A summary that JSON can hold: totals and one entry for each feature."""
        live = self.live
        return {
            "task": self.task,
            "activation": self.activation,
            **({"sampled_rows": self.sampled} if self.sampled else {}),
            **({"non_finite_weights": self.non_finite} if self.non_finite else {}),
            "accuracy": _finite(self.accuracy),
            "cross_entropy": _finite(self.cross_entropy),
            "norm": _finite(self.norm),
            "margin": _finite(self.margin),
            "normalized_margin": _finite(self.normalized_margin),
            "live_neurons": int(live.sum()),
            "dead_neurons": int((~live).sum()),
            "least_max_power": _least(self.max_power[live]),
            "share_agreeing": float(self.agrees[live].mean()) if live.any() else None,
            "largest_phase_error": None
            if self.phase_error is None or not live.any()
            else float(self.phase_error[live].max()),
            "least_cosine_fit": None if self.cosine_fit is None else _least(self.cosine_fit[live]),
            "features": [
                {"name": name, "share": float(share), "neurons": int(count)}
                for name, share, count in zip(self.features, self.share, self.count, strict=True)
            ],
        }


@overload
def measure(
    network: MLP, task: Task, *, member: int = 0, rows: Rows | None = None
) -> Measurement: ...


@overload
def measure(*, logits: Any, task: Task | str | None = None) -> Mechanism: ...


def measure(
    network: MLP | None = None,
    task: Task | str | None = None,
    *,
    member: int = 0,
    rows: Rows | None = None,
    logits: Any = None,
) -> Measurement | Mechanism:
    """Measure one member of a network, in float64; or any function, by its logits alone.

    Parameters
    ----------
    network, task, member
        An MLP, what it learned, and which of its members: gives a :class:`Measurement`. Biases count
        in the neurons' norms, and belong to no feature.
    rows
        Where the task's rows are not listed: those that accuracy, cross-entropy and margin are over
        (:func:`marginlens.training.recorded_rows`). All else is read from the weights.
    logits
        In place of a network: what any code answers, as an array (a, b, c) or (row, c) with the rows in
        the task's order; of a HookedTransformer, a JAX model, a language model. Gives a
        :class:`Mechanism`, in which what needs weights is unknown. The task may be a spec; left out, it
        is addition modulo the number of classes.

    Raises
    ------
    ValueError
        If the shapes do not belong to the task, logits are not finite, the task has no features, or its
        rows are not listed and none given.

    Notes
    -----
    The isotypic power of a weight vector follows Chughtai et al. 2023; for cyclic groups it is the
    power at a frequency, cosine and sine together.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = measure(construct(task("C5")), task("C5"))
    >>> found.count, found.max_power.min().round(12)
    (array([6, 6]), np.float64(1.0))
    >>> logits = construct(task("C5")).logits(task("C5"))[0]
    >>> measure(logits=logits, task="C5").key_features
    ('k=1', 'k=2')
    """
    if logits is not None:
        if network is not None:
            raise ValueError("give a network or logits, not both")
        return _of_logits(logits, task)
    if network is None or task is None:
        raise ValueError("give a network and its task, or logits=... of any function")
    if isinstance(task, str):
        task = task_of(task)
    return _of_network(network, task, member, rows)


def _of_logits(logits: Any, task: Task | str | None) -> Mechanism:
    """Logits of any library that NumPy can read."""
    detached = logits.detach().cpu() if isinstance(logits, Tensor) else logits
    values = np.asarray(detached, dtype=np.float64)
    if values.ndim not in (2, 3):
        raise ValueError(f"logits have shape {values.shape}; expected (a, b, c) or (row, c)")
    classes = values.shape[-1]
    if task is None:
        task = f"C{classes}"
    known = task_of(task) if isinstance(task, str) else task
    if values.size != len(known.answers) * known.classes or classes != known.classes:
        raise ValueError(
            f"logits have shape {values.shape}, but {known.name} needs "
            f"({known.size}, {known.size}, {known.classes})"
        )
    return examine(values.reshape(-1, classes), known)


def _of_network(network: MLP, task: Task, member: int, rows: Rows | None) -> Measurement:
    network.require_task(task)
    if not task.features:
        raise ValueError(
            f"{task.name} has no features that neurons could hold; its accuracy and margin are those "
            "of evaluate(network, task)"
        )
    one = network.untied().member(member).to(torch.float64)
    non_finite = sum(int((~p.isfinite()).sum()) for p in one.parameters.values())
    if non_finite:  # such a network answers nothing: it has no live neuron
        zero = {name: torch.zeros_like(p) for name, p in network.parameters.items()}
        network = network.with_parameters(zero)
        one = network.untied().member(member).to(torch.float64)
    result = evaluate(one, task, rows=rows)
    found = neurons_of(network, task, member)
    weights, live, spectrum, dominant = found.weights, found.live, found.spectrum, found.dominant
    total = float(found.masses.sum())
    extra = measure_parity(task, weights) if task.kind == "parity" else {}
    if task.kind == "table" and task.group is not None and task.group.generator is not None:
        extra = cyclic_phases(task, weights, dominant, live, spectrum)
    margin, accuracy = float(result.margin[0]), float(result.accuracy[0])
    cross_entropy = float(result.cross_entropy[0])
    if non_finite:
        margin = accuracy = cross_entropy = total = math.nan
    return Measurement(
        task=task.name,
        activation=network.activation.name,
        degree=one.homogeneity,
        accuracy=accuracy,
        cross_entropy=cross_entropy,
        norm=total,
        margin=margin,
        normalized_margin=0.0 if total == 0 else margin / total,
        features=tuple(feature.name for feature in task.features),
        neuron_norms=found.neuron_norms,
        live=live,
        spectrum=spectrum,
        dominant=dominant,
        max_power=found.max_power,
        agrees=found.agrees,
        share=found.share,
        count=found.count,
        sampled=0 if rows is None else len(rows),
        non_finite=non_finite,
        **extra,
    )


def _finite(value: float) -> float | None:
    """Return the value where it is a finite number, which JSON can hold."""
    return value if math.isfinite(value) else None


def _least(values: np.ndarray) -> float | None:
    return float(values.min()) if len(values) else None
