r"""Observables of selection laws: features of a network's logits and neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from marginlens.measures.logits.spectrum import Correlation, LogitSpectrum, group_of, joined
from marginlens.measures.neurons.spectrum import power_spectra, side_by_side
from marginlens.networks import MLP, Network
from marginlens.tasks import Task

__all__ = [
    "COLLAPSED",
    "COUNT",
    "DEAD",
    "KEY",
    "PURE",
    "Observables",
    "key_set_name",
    "observe",
    "spectral_count",
]

KEY = 0.005
"""A feature is key if its spectral weight b is at least this."""

COUNT = 0.05
"""The spectral count is of the fewest features that leave out at most this share of sum b^2."""

PURE = 0.05
"""A neuron is pure for a feature that leaves out at most this share of its energy."""

COLLAPSED = 1e-4
"""A network is collapsed if the root mean square of its centred logits is at most this.

Weight decay lets zero attract networks, and Adam comes close but never gets there. Of 100 networks each
on C5 (x^2 and ReLU, widths 2 and 8, penalty .02 to 1 times ||theta||^2, 20,000 steps at rate .001 in
float64) those that collapse end at 3e-7 or less, all others at .025 or more: this is the middle between
the two, in decades. Such logits change each probability by about 1e-4 of itself.
"""

DEAD = 1e-5
"""A neuron is dead if its energy E is at most this share of the largest neuron's ||omega||^2.

What rounding leaves of a constant weight vector, or weight decay of a neuron, is not exactly zero, and
its direction is no feature. In the networks that do not collapse (those above, and on C5 and S3 with
penalties 0, 1e-4 and .01: 15,000 neurons) the decayed neurons end at 2.4e-8 or less, all others at
1.6e-3 or more. It changes the logits by less than 1e-5 of the largest neuron's part.
"""

COLLAPSED_ENERGY = 1e-2
"""In a collapsed network a neuron is dead also if E itself is at most this.

The largest neuron is a decayed one there: E ends at 4e-6 or less, and in networks that do not collapse
the largest at .1 or more. Only neurons that cancel each other stay alive in a network without logits.
"""

_BYTES = 48 << 20
_LEAST = np.finfo(np.float64).tiny / np.finfo(np.float64).eps
_SLACK = 1e-12


@dataclass(frozen=True, eq=False)
class Observables:
    r"""Spectral weights, key sets, spectral counts, purity and multiplicities of all members.

    Attributes
    ----------
    features
        Names of the task's features.
    spectral_weights
        Spectral weight b of each feature, see :class:`marginlens.measures.LogitSpectrum`.
    key
        Whether b is at least the key threshold.
    spectral_count
        Least number of features whose b^2 add up to (1 - delta) sum b^2; 0 if all b are 0.
    spectral_total
        Sum of the squared spectral weights, sum b^2.
    collapsed
        Whether the logits count as zero (``COLLAPSED``): all b are 0, and no feature is key.
    pure
        Index of the feature that a neuron is pure for, or -1; ``None`` for a transformer, whose
        neurons have no weight for each element.
    dead
        Whether a neuron's energy counts as zero (``DEAD``); a dead neuron is never pure.

    Notes
    -----
    Levine, MAIS-A5, section 4.
    """

    features: tuple[str, ...]
    spectral_weights: Float[np.ndarray, "member feature"]
    key: Bool[np.ndarray, "member feature"]
    spectral_count: Int[np.ndarray, " member"]
    spectral_total: Float[np.ndarray, " member"]
    collapsed: Bool[np.ndarray, " member"]
    pure: Int[np.ndarray, "member neuron"] | None = None
    dead: Bool[np.ndarray, "member neuron"] | None = None

    @property
    def pure_neurons(self) -> Int[np.ndarray, "member feature"] | None:
        """Number of neurons that are pure for each feature."""
        if self.pure is None:
            return None
        return (self.pure[:, :, None] == np.arange(len(self.features))).sum(1)

    @property
    def multiplicity(self) -> Float[np.ndarray, "member feature"] | None:
        """Share of all neurons, dead ones too, that are pure for each feature."""
        if self.pure is None or self.pure_neurons is None:
            return None
        return self.pure_neurons / max(self.pure.shape[1], 1)

    @property
    def key_sets(self) -> tuple[str, ...]:
        """Name of each member's key set."""
        return tuple(key_set_name(self.features, mask) for mask in self.key)

    @property
    def same_feature(self) -> Bool[np.ndarray, " member"] | None:
        """True if all neurons are pure, and for one and the same feature."""
        if self.pure is None:
            return None
        return (self.pure[:, 0] >= 0) & (self.pure == self.pure[:, :1]).all(1)


def key_set_name(features: Sequence[str], mask: Bool[np.ndarray, " feature"]) -> str:
    """Return the notation of a set of features, such as ``{k=1, k=2}``.

    Parameters
    ----------
    features
        Names of the task's features.
    mask
        Mask of the features in the set, shape (feature,).

    Examples
    --------
    >>> key_set_name(("k=1", "k=2", "k=3"), np.array([True, False, True]))
    '{k=1, k=3}'
    """
    return "{" + ", ".join(name for name, is_in in zip(features, mask, strict=True) if is_in) + "}"


def observe(
    network: Network, task: Task, *, key: float = KEY, count: float = COUNT, pure: float = PURE
) -> Observables:
    r"""Observe all members of a network on the whole table of a group, in float64.

    With u°, v°, w° a neuron's weight vectors less their means and $E = \|u°\|^2+\|v°\|^2+\|w°\|^2$
    its
    energy (a term for each factor), it is pure for a feature if $E > 0$ and the isotypic part of
    its
    weights has energy at least $(1-\delta) E$. Of a `Factored` network u and v are the products.
    Members are taken in chunks, so memory does not grow with their number.

    Parameters
    ----------
    network
        Network or ensemble of any kind.
    task
        Group task with any number of factors.
    key
        Least spectral weight b of a key feature.
    count, pure
        Tolerance delta of the spectral count, and of purity.

    Raises
    ------
    ValueError
        The task is not a group's table, the network is another task's, a threshold is invalid, or a
        member's logits are not finite.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = observe(construct(task("C5")), task("C5"))
    >>> found.key_sets, found.spectral_weights.round(6), found.multiplicity
    (('{k=1, k=2}',), array([[0.707107, 0.707107]]), array([[0.5, 0.5]]))
    """
    for name, value, most, good in (("key", key, 1, KEY), ("pure", pure, 0.5, PURE)):
        if not 0 < value < most:
            raise ValueError(f"{name} is {value}, but must lie between 0 and {most}: take {good}")
    if not 0 <= count < 1:
        raise ValueError(f"count is {count}, but must be at least 0 and below 1: take {COUNT}")
    group_of(task)
    network.require_task(task)
    spectra, neurons = [], []
    for members, rows in _chunks(network, task):
        chunk = network.with_parameters({k: p[members] for k, p in network.tensors.items()})
        chunk = chunk.to(torch.float64)
        chunk = chunk.as_mlp() if chunk.neurons_are_measured else chunk
        spectrum = _spectrum(chunk, task, rows, members.start)
        spectra.append(spectrum)
        if chunk.neurons_are_measured:
            neurons.append(_purity(chunk.as_mlp(), task, spectrum.deviation <= COLLAPSED, pure))
    spectrum = joined(task, spectra)
    collapsed = spectrum.deviation <= COLLAPSED
    weights = np.where(collapsed[:, None], 0.0, spectrum.spectral_weights)
    return Observables(
        features=spectrum.features,
        spectral_weights=weights,
        key=weights >= key,
        spectral_count=spectral_count(weights, count),
        spectral_total=np.square(weights).sum(1),
        collapsed=collapsed,
        pure=np.concatenate([index for index, _ in neurons]) if neurons else None,
        dead=np.concatenate([dead for _, dead in neurons]) if neurons else None,
    )


def spectral_count(
    weights: Float[np.ndarray, "member feature"], delta: float = COUNT
) -> Int[np.ndarray, " member"]:
    """Return the least number of features whose b^2 add up to (1 - delta) sum b^2.

    A sum that misses it by 1e-12 of itself, by rounding, has reached it.

    Parameters
    ----------
    weights
        Spectral weights b, shape (member, feature).
    delta
        Share of sum b^2 that may be missing.

    Examples
    --------
    >>> spectral_count(np.array([[0.6, 0.1, 0.6], [0.0, 0.0, 0.0]]))
    array([2, 0])
    """
    sums = np.cumsum(-np.sort(-np.square(weights), axis=1), axis=1)
    total = sums[:, -1:]
    enough = sums >= (1 - delta) * (1 - _SLACK) * total
    return np.where(total[:, 0] > 0, enough.argmax(1) + 1, 0)


def _chunks(network: Network, task: Task) -> Iterator[tuple[slice, list[slice]]]:
    """Return the members, and the rows, that are evaluated together.

    Blocks of rows do not depend on the number of members, so that a member's sums do not depend on
    the others.
    """
    row_bytes = 8 * (network.numbers_of_row(task) + 5 * task.classes)
    count = len(task.answers)
    together = max(1, min(count, _BYTES // row_bytes))
    rows = [slice(start, start + together) for start in range(0, count, together)]
    step = max(1, _BYTES // (row_bytes * together))
    for start in range(0, network.members, step):
        yield slice(start, min(start + step, network.members)), rows


@torch.no_grad()
def _spectrum(chunk: Network, task: Task, rows: list[slice], start: int) -> LogitSpectrum:
    sums = Correlation.zero(group_of(task), chunk.members)
    for some in rows:
        part = replace(task, inputs=task.inputs[some], answers=task.answers[some])
        sums.add(chunk.logits(part), part.answers)
    if not np.isfinite(sums.raw_squares).all():
        member = start + int(np.argmin(np.isfinite(sums.raw_squares)))
        raise ValueError(
            f"the logits of member {member} are not finite numbers: it has diverged; leave it out"
        )
    return sums.spectrum(task, np.ones(chunk.members))


def _purity(
    chunk: MLP, task: Task, collapsed: Bool[np.ndarray, " member"], delta: float
) -> tuple[Int[np.ndarray, "member neuron"], Bool[np.ndarray, "member neuron"]]:
    """Feature that each neuron is pure for, and which neurons are dead."""
    weights = {name: p.cpu().numpy() for name, p in chunk.untied().tensors.items()}
    norms = np.sum([np.square(w).sum(1) for w in weights.values()], axis=0)
    centred = {name: w - w.mean(1, keepdims=True) for name, w in weights.items()}
    energy = np.sum([np.square(w).sum(1) for w in centred.values()], axis=0)
    dead = energy <= np.maximum(DEAD * norms.max(1, keepdims=True, initial=0.0), _LEAST)
    dead |= collapsed[:, None] & (energy <= COLLAPSED_ENERGY)
    shares = power_spectra(task, side_by_side(centred), ~dead.ravel())["all"]
    shares = np.nan_to_num(shares).reshape(*dead.shape, -1)
    pure = shares.max(2) >= 1 - delta
    return np.where(pure & ~dead, shares.argmax(2), -1), dead
