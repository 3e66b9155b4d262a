r"""Evidence of the hidden layer that distinguishes algorithms with equal logits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from marginlens.measures.logits.losses import mean_by_product
from marginlens.measures.logits.spectrum import LogitSpectrum, logit_spectrum
from marginlens.measures.neurons.phases import cyclic_phases
from marginlens.measures.neurons.representations import HiddenLayer, hidden_layer
from marginlens.measures.neurons.weights import neurons_of
from marginlens.networks import Network
from marginlens.tasks import Task

__all__ = ["HiddenEvidence", "hidden_evidence"]

REMOVED = 8
"""Features whose neurons are removed in turn, those with most of the logits first."""

USED = 0.01
"""A feature is used if the neurons that hold it have this share of the effect on the logits."""

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class HiddenEvidence:
    r"""Properties of the hidden layer that differ from algorithm to algorithm.

    The *interaction* of a neuron h is the part that depends on a and b together,
    $I(a, b) = h(a, b) - \bar h(a, \cdot) - \bar h(\cdot, b) + \bar h$. Means over neurons have the
    weights $\|I\|^2 \|w\|^2$, with w the neuron's centred outgoing weights: the effect that it can
    have
    on the logits (the weights are $\|I\|^2$ where layer norm stands between).

    Attributes
    ----------
    used
        Names of the features that neurons with at least 1 % of that weight hold.
    purity, chance_purity
        Mean share of the interaction's energy that is in one feature, $\rho \otimes \rho$: of this
        network, and of neurons u(a) v(b) with random u and v. One for neurons of one frequency
        each.
    product, left, right, pairs
        Shares of the centred hidden layer: functions of ab, of a alone, of b alone, and all others
        (cos(a - b), for example). They add up to one.
    product_of_interaction, chance_product
        Share of the interactions that is a function of ab: of this network, and of random functions
        of
        pairs, 1/(n - 1). A neuron of one frequency with x^2 has 1/2, of a real irrep of degree d
        1/d.
    largest_pair
        Mean share of the interaction's energy at the one pair where it is largest: $(1 - 1/n)^2$
        for a
        neuron that stands for one pair.
    integer_sum
        Share of the centred hidden layer that is a function of the integer a + b, from 0 to 2n - 2;
        ``None`` for a group that is not cyclic.
    removed
        Names of the features whose neurons were removed in turn.
    lost_own, lost_others
        Mean over these: share of the feature's own character that the logits lose, and of all other
        characters together. One and zero where each neuron serves one feature, equal where neurons
        serve
        all alike. ``None`` without a linear map to the logits, or without a second feature.
    phase_error
        Median over the live neurons of $|\theta_u + \theta_v - \theta_w|$ in radians; ``None``
        except for MLPs with x^2 on cyclic groups.

    Notes
    -----
    Shares of the hidden layer: Chughtai, Chan and Nanda 2023, section 5. Neurons of one frequency:
    Nanda
    et al. 2023, section 4. Phases: Gromov 2023; Morwani et al. 2024, Theorem 7.
    """

    used: tuple[str, ...]
    purity: float
    chance_purity: float
    product: float
    left: float
    right: float
    pairs: float
    product_of_interaction: float
    chance_product: float
    largest_pair: float
    integer_sum: float | None
    removed: tuple[str, ...]
    lost_own: float | None
    lost_others: float | None
    phase_error: float | None


def hidden_evidence(
    network: Network,
    task: Task,
    *,
    layer: HiddenLayer | None = None,
    spectrum: LogitSpectrum | None = None,
) -> HiddenEvidence:
    """Measure the hidden layer of an ensemble of one on a group's table of pairs.

    Parameters
    ----------
    network
        Ensemble of one network, in float64.
    task
        Group task over pairs of at least two elements.
    layer
        Hidden layer of the network, if already computed.
    spectrum
        Spectrum of the network's logits, if already computed.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = hidden_evidence(construct(task("C7")), task("C7"))
    >>> found.used, round(found.purity, 6), round(found.product, 6), round(found.lost_own, 6)
    (('k=1', 'k=2', 'k=3'), 1.0, 0.4, 1.0)
    """
    layer = hidden_layer(network, task) if layer is None else layer
    if spectrum is None:
        spectrum = logit_spectrum(network.logits(task).detach().double().cpu().numpy(), task)
    n, power = task.size, layer.power
    whole = max(float(power.sum()), _TINY)
    interaction = power[1:, 1:].sum((0, 1))
    starts = np.cumsum([1] + [f.dimension for f in task.features])
    inside = np.stack([power[lo:hi, lo:hi].sum((0, 1)) for lo, hi in pairwise(starts)])
    dominant = inside.argmax(0)
    effect = interaction * (1.0 if layer.out is None else np.square(_centred(layer.out)).sum(0))
    effect = effect / max(float(effect.sum()), _TINY)
    purity = inside.max(0) / np.maximum(interaction, _TINY)
    held = np.bincount(dominant, effect, len(task.features))
    product = n * float(np.square(mean_by_product(layer.table.reshape(n * n, -1), task)).sum())
    left, right = float(power[1:, 0].sum()), float(power[0, 1:].sum())
    both = float(interaction.sum())
    removed, own, others = _without_each(layer, task, dominant, spectrum)
    return HiddenEvidence(
        used=tuple(f.name for f, share in zip(task.features, held, strict=True) if share >= USED),
        purity=float(purity @ effect),
        chance_purity=_chance_purity(task),
        product=product / whole,
        left=left / whole,
        right=right / whole,
        pairs=max(both - product, 0.0) / whole,
        product_of_interaction=product / max(both, _TINY),
        chance_product=1 / (n - 1),
        largest_pair=float(_largest_pair(layer.table) @ effect),
        integer_sum=_of_integer_sum(layer.table, task),
        removed=removed,
        lost_own=own,
        lost_others=others,
        phase_error=_phase_error(network, task),
    )


def _centred(out: Float[np.ndarray, "class neuron"]) -> Float[np.ndarray, "class neuron"]:
    return out - out.mean(0)


def _chance_purity(task: Task) -> float:
    """Mean over 400 pairs of random vectors of the largest share of u(a) v(b) in one feature."""
    rng = np.random.default_rng(0)
    dimensions = np.array([f.dimension for f in task.features])
    energy = rng.chisquare(dimensions, size=(2, 400, len(dimensions)))
    shares = energy / energy.sum(2, keepdims=True)
    return float(shares.prod(0).max(1).mean())


def _largest_pair(table: Float[np.ndarray, "a b neuron"]) -> Float[np.ndarray, " neuron"]:
    squares = np.square(table - table.mean(0) - table.mean(1)[:, None])
    return squares.max((0, 1)) / np.maximum(squares.sum((0, 1)), _TINY)


def _of_integer_sum(table: Float[np.ndarray, "a b neuron"], task: Task) -> float | None:
    group = task.group
    if group is None or group.generator is None:
        return None
    order = group.powers(group.generator)
    flat = table[order][:, order].reshape(-1, table.shape[2])
    sums = np.add.outer(np.arange(len(order)), np.arange(len(order))).ravel()
    totals = np.zeros((int(sums.max()) + 1, flat.shape[1]))
    np.add.at(totals, sums, flat)
    explained = float((np.square(totals) / np.bincount(sums)[:, None]).sum())
    return explained / max(float(np.square(flat).sum()), _TINY)


def _without_each(
    layer: HiddenLayer, task: Task, dominant: Int[np.ndarray, " neuron"], spectrum: LogitSpectrum
) -> tuple[tuple[str, ...], float | None, float | None]:
    """Remove the neurons of one feature at a time; compare the characters that logits lose."""
    if layer.out is None or len(task.features) < 2:
        return (), None, None
    amount = spectrum.similarity[0] * spectrum.deviation[0]
    whole = float(amount @ amount)
    neurons = layer.table.reshape(-1, layer.table.shape[2])
    names, own, others = [], [], []
    for index in np.argsort(-np.abs(amount), kind="stable")[:REMOVED]:
        rest = np.arange(len(amount)) != index
        if amount[index] ** 2 <= 1e-3 * whole:
            break
        mine = dominant == index
        lost = logit_spectrum((neurons[:, mine] @ layer.out[:, mine].T)[None], task)
        change = lost.similarity[0] * lost.deviation[0]
        names.append(task.features[index].name)
        own.append(change[index] / amount[index])
        if float(amount[rest] @ amount[rest]) > 1e-3 * whole:
            others.append(change[rest] @ amount[rest] / (amount[rest] @ amount[rest]))
    if not names:
        return (), None, None
    return tuple(names), float(np.mean(own)), float(np.mean(others)) if others else None


def _phase_error(network: Network, task: Task) -> float | None:
    group = task.group
    if not network.neurons_are_measured or group is None or group.generator is None:
        return None
    layers = network.as_mlp()
    if layers.activation.name != "x^2" or layers.biases:
        return None
    found = neurons_of(layers, task)
    if not found.live.any():
        return None
    error = cyclic_phases(task, found.weights, found.dominant, found.live, found.spectrum)
    return float(np.nanmedian(error["phase_error"]))
