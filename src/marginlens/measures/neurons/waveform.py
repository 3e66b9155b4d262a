"""Fit of the predicted waveform to each trained neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from marginlens.measures.measurement import LIVE
from marginlens.measures.neurons.phases import generator_powers
from marginlens.networks import MLP
from marginlens.tasks import Task
from marginlens.theory import BestNeuron, parse_activation

__all__ = ["WaveformFit", "fit_waveform"]

_BLOCK = 1 << 22  # correlations held at a time


@dataclass(frozen=True, eq=False)
class WaveformFit:
    """Predicted neuron fitted to each trained neuron.

    Attributes
    ----------
    live
        Whether the neuron is live; the fits of the others are nan (frequency and shifts 0).
    explained
        Share of the variance of (u, v, w) that the predicted neuron explains after its one
        frequency,
        two translations, one amplitude and, where the activation allows, sign are chosen.
    cosine
        Share that three cosines of the neuron's dominant frequency explain, with separate
        amplitudes and phases.
    frequency
        k in 1, ..., p - 1: at position j stands the predicted weight of position k j + shift.
    shifts
        Shifts of u, v and w; that of w is the sum of the others.
    exchanged
        Whether the predicted u is fitted to v and the predicted v to u.
    signs
        Signs of u, v and w: 1, or -1 for u and v (and w too, if the activation is odd).
    amplitude
        Factor of the predicted neuron, which has norm one.
    measured, fitted
        Weights of u, v and w at the powers of the generator, shape (slot, position, neuron):
        trained, and predicted after the fit. Means are included; they do not count for the shares.
    """

    live: Bool[np.ndarray, " neuron"]
    explained: Float[np.ndarray, " neuron"]
    cosine: Float[np.ndarray, " neuron"]
    frequency: Int[np.ndarray, " neuron"]
    shifts: Int[np.ndarray, "neuron slot"]
    exchanged: Bool[np.ndarray, " neuron"]
    signs: Int[np.ndarray, "neuron slot"]
    amplitude: Float[np.ndarray, " neuron"]
    measured: Float[np.ndarray, "slot position neuron"]
    fitted: Float[np.ndarray, "slot position neuron"]

    def total(self, which: str = "explained") -> float:
        """Return the explained share of the variance of all live neurons together.

        It is NaN if every neuron is dead.

        Parameters
        ----------
        which
            Fit to use: ``"explained"`` for the predicted waveform, or ``"cosine"``.
        """
        if which not in ("explained", "cosine"):
            raise ValueError(f'which: expected "explained" or "cosine", got {which!r}')
        centred = self.measured - self.measured.mean(1, keepdims=True)
        variance = np.square(centred).sum((0, 1))[self.live]
        shares = getattr(self, which)[self.live]
        return float(shares @ variance / variance.sum()) if self.live.any() else float("nan")

    def in_frame(self, neuron: int) -> Float[np.ndarray, "slot position"]:
        """Return trained weights u, v, w of a live neuron in the prediction's frame.

        They are shifted, exchanged and scaled like the prediction, so that neurons of all
        frequencies and phases look alike.

        Parameters
        ----------
        neuron
            Index of a live neuron.
        """
        p = self.measured.shape[1]
        inverse = pow(int(self.frequency[neuron]), -1, p)
        places = (np.arange(p) - self.shifts[neuron][:, None]) * inverse % p
        found = np.take_along_axis(self.measured[..., neuron], places, axis=1)
        found = found * self.signs[neuron][:, None] / self.amplitude[neuron]
        return found[[1, 0, 2]] if self.exchanged[neuron] else found


def fit_waveform(network: MLP, task: Task, neuron: BestNeuron, *, member: int = 0) -> WaveformFit:
    """Fit the predicted neuron to each live neuron, and return the explained variance.

    All images of the neuron under automorphisms that have the trained neuron's dominant frequency,
    translations of u and v (w follows), exchange of u and v, and a change of sign that the
    activation allows are compared by their correlation with the trained weights, u, v and w
    together, each without its mean. A sign (u, v, w) -> (-u, -v, w) is allowed for even activations
    and those of degree 1 (up to their linear part, which has no gain), (-u, -v, -w) for odd ones.

    Parameters
    ----------
    network
        Network trained on the task.
    task
        Task of addition modulo the neuron's prime order, the elements in any order.
    neuron
        Predicted neuron, such as ``predict(task, "relu").waveform``.
    member
        Index of the network in the ensemble.

    Raises
    ------
    ValueError
        The task is not the product of two elements of a cyclic group of the neuron's order.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "Other activations".

    Examples
    --------
    >>> import torch
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import best_neuron
    >>> best = best_neuron(7, "relu", starts=4)
    >>> weights = {s: torch.tensor(getattr(best, s))[None, :, None] for s in "uvw"}
    >>> weights["u"] = weights["u"].roll(3, 1)
    >>> weights["w"] = weights["w"].roll(3, 1)
    >>> fit = fit_waveform(MLP(weights, parse_activation("relu")), task("C7"), best)
    >>> fit.explained.round(9).tolist(), fit.cosine.round(3).tolist()
    ([1.0], [0.947])
    """
    group = task.group
    p = neuron.order
    if group is None or group.generator is None or group.order != p or task.factors != 2:
        raise ValueError(
            f"expected C{p} with two factors for a neuron of addition modulo {p}, got {task.name}"
        )
    powers = generator_powers(group)
    measured = np.stack(
        [network.untied().tensors[s][member].detach().double().cpu().numpy()[powers] for s in "uvw"]
    )
    norms = np.sqrt(np.square(measured).sum((0, 1)))
    masses = norms**network.homogeneity
    live = masses > LIVE * masses.max(initial=0.0)
    count = measured.shape[2]
    explained, cosine, amplitude = (np.full(count, np.nan) for _ in range(3))
    frequency, exchanged = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
    shifts, signs = np.zeros((count, 3), dtype=np.int64), np.ones((count, 3), dtype=np.int64)
    fitted = np.full_like(measured, np.nan)
    chosen = np.flatnonzero(live)
    block = max(1, _BLOCK // p**2)
    for first in range(0, len(chosen), block):
        part = chosen[first : first + block]
        found = _aligned(measured[:, :, part], neuron)
        cosine[part], explained[part], frequency[part] = found[:3]
        shifts[part], exchanged[part], signs[part], amplitude[part], fitted[:, :, part] = found[3:]
    return WaveformFit(
        live, explained, cosine, frequency, shifts, exchanged, signs, amplitude, measured, fitted
    )


def _aligned(trained: np.ndarray, neuron: BestNeuron) -> tuple[np.ndarray, ...]:
    """Fields of :class:`WaveformFit` of live neurons, from the cosine's share on."""
    p, count = neuron.order, trained.shape[2]
    centred = trained - trained.mean(1, keepdims=True)
    variance = np.square(centred).sum((0, 1))
    energy = np.square(np.abs(np.fft.rfft(centred, axis=1)))[:, 1:].sum(0)
    dominant = energy.argmax(0) + 1
    cosine = 2.0 * energy.max(0) / p / variance
    own = np.square(np.abs(np.fft.rfft(np.stack([neuron.u, neuron.v, neuron.w]))))[:, 1:].sum(0)
    base = int(own.argmax()) + 1
    forward = dominant * pow(base, -1, p) % p
    columns = np.arange(count)
    best = np.full(count, -np.inf)
    frequency, exchanged = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
    shifts, signs = np.zeros((count, 3), dtype=np.int64), np.ones((count, 3), dtype=np.int64)
    image = np.zeros((3, p, count))
    for predicted, swapped, factors in _images(neuron):
        flat = predicted - predicted.mean(1, keepdims=True)
        norm = np.square(flat).sum()
        for k in (forward, (p - forward) % p):
            inverse = np.array([pow(int(value), -1, p) for value in k])
            # the trained weights in the predicted order: at k j stands what is at j
            places = np.arange(p)[:, None] * inverse % p
            moved = np.take_along_axis(centred, np.broadcast_to(places, centred.shape), axis=1)
            # correlations over all translations s: sum_j predicted(j + s) moved(j)
            products = np.fft.rfft(flat, axis=1)[..., None] * np.fft.rfft(moved, axis=1).conj()
            of_u, of_v, of_w = np.fft.irfft(products, n=p, axis=1)
            pairs = of_u[:, None] + of_v[None] + of_w[np.add.outer(np.arange(p), np.arange(p)) % p]
            where = pairs.reshape(p * p, count).argmax(0)
            score = pairs.reshape(p * p, count)[where, columns] / np.sqrt(norm)
            better = score > best
            s, t = np.divmod(where, p)
            best[better], frequency[better] = score[better], k[better]
            exchanged[better], signs[better] = swapped, factors
            shifts[better] = np.stack([s, t, (s + t) % p], axis=1)[better]
            for slot, shift in enumerate((s, t, (s + t) % p)):
                at = (np.arange(p)[:, None] * k + shift) % p
                image[slot][:, better] = predicted[slot][at[:, better]]
    flat = image - image.mean(1, keepdims=True)
    amplitude = best / np.sqrt(np.square(flat).sum((0, 1)))
    explained = np.square(np.maximum(best, 0.0)) / variance
    return (cosine, explained, frequency, shifts, exchanged, signs, amplitude, amplitude * image)


def _images(neuron: BestNeuron) -> list[tuple[np.ndarray, bool, np.ndarray]]:
    """Return the neuron, exchanged and not, with each admissible change of sign."""
    activation = parse_activation(neuron.activation)
    negative = activation.at_minus_one
    signs = [np.array([1, 1, 1])]
    if activation.degree == 1 or abs(negative) == 1:
        signs.append(np.array([-1, -1, -1 if negative == -1 else 1]))
    parts = np.stack([neuron.u, neuron.v, neuron.w])
    return [
        (factors[:, None] * (parts[[1, 0, 2]] if exchanged else parts), exchanged, factors)
        for factors in signs
        for exchanged in (False, True)
    ]
