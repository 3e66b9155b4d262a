r"""Representation measures: energy of irreps in weights and neurons, and ablations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marginlens.groups import FiniteGroup, IrrepClass
from marginlens.measures.logits.losses import ablate_products, mean_by_product, mean_cross_entropy
from marginlens.measures.logits.spectrum import LogitSpectrum, group_of, logit_spectrum
from marginlens.networks import Network
from marginlens.tasks import Task

__all__ = [
    "HiddenLayer",
    "HiddenShares",
    "LogitAblations",
    "element_tables",
    "hidden_layer",
    "hidden_shares",
    "logit_ablations",
    "weight_shares",
]


@dataclass(frozen=True, eq=False)
class LogitAblations:
    r"""Losses with only one character of the logits, and without it.

    With $\tilde\ell$ the centred logits and $\psi_\rho(a,b,c)$ the real character of $abc^{-1}$,
    the
    part of a feature is $P_\rho = \frac{\langle\tilde\ell,
    \psi_\rho\rangle}{\|\psi_\rho\|^2}\psi_\rho$.

    Attributes
    ----------
    restricted, excluded
        Cross-entropy of $P_\rho$ alone over all rows, and of $\ell - P_\rho$ over the training rows
        if known, else over all rows.
    total_restricted, total_excluded
        Cross-entropy of the sum over the key features, and without it. The logits of the first are
        the network's best fit by one cosine or character each.

    Notes
    -----
    Chughtai, Chan and Nanda 2023, *A toy model of universality*, section 4.
    """

    restricted: Float[np.ndarray, " feature"]
    excluded: Float[np.ndarray, " feature"]
    total_restricted: float
    total_excluded: float


def logit_ablations(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    key: Bool[np.ndarray, " feature"],
    train: Int[np.ndarray, " chosen"] | None = None,
    *,
    spectrum: LogitSpectrum | None = None,
) -> LogitAblations:
    """Remove characters from the logits, or everything else.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    key
        Mask of the features in the totals, shape (feature,).
    train
        Numbers of the rows for the excluded losses; ``None`` for all rows.
    spectrum
        Spectrum of the logits, if already computed.
    task
        Group task of the logits.
    """
    group = group_of(task)
    found = logit_spectrum(logits[None], task) if spectrum is None else spectrum
    length = found.deviation[0] * np.sqrt(logits.size)
    rows = np.arange(len(logits)) if train is None else train
    seen, answers = logits[rows], task.answers[rows]
    quotients = group.table[answers[:, None], group.inverses[None, :]]
    # the logits of a character at any row are its values on the group, in another order
    one_row = group.table[[group.identity]][:, group.inverses]
    one_answer = np.array([group.identity])
    restricted, excluded = [], []
    total = np.zeros(group.order)
    for index, feature in enumerate(task.features):
        assert feature.irrep is not None  # the task is a group's
        values = _real_character(group, feature.irrep)
        # <l, psi> / |psi|^2 = similarity * |l| / |psi|
        scale = found.similarity[0, index] * length
        part = scale / (np.linalg.norm(values) * np.sqrt(len(logits))) * values
        restricted.append(mean_cross_entropy(part[one_row], one_answer))
        excluded.append(mean_cross_entropy(seen - part[quotients], answers))
        if key[index]:
            total += part
    return LogitAblations(
        np.array(restricted),
        np.array(excluded),
        mean_cross_entropy(total[one_row], one_answer),
        mean_cross_entropy(seen - total[quotients], answers),
    )


def _real_character(group: FiniteGroup, irrep: IrrepClass) -> Float[np.ndarray, " element"]:
    return group.characters[list(irrep.members)].sum(0).real[group.class_of]


def weight_shares(network: Network, task: Task) -> dict[str, Float[np.ndarray, " feature"]]:
    r"""Return the energy share of embeddings and unembedding in each irrep.

    The share is $\|Q^T W\|^2/\|W\|^2$. Q is an orthonormal basis of the irrep's matrix elements;
    the mean, which no feature has, counts in the whole. Of a transformer ``"embed"`` and
    ``"unembed"``; of an MLP the weights of its neurons, ``"u"``, ``"v"`` (products, where
    embeddings are factored) and ``"w"``.

    Parameters
    ----------
    network
        Ensemble of one network.
    task
        Group task of the network.

    Notes
    -----
    Chughtai et al. 2023: "fraction of variance explained" of W_a, W_b, W_U.
    """
    tables = element_tables(network, task)
    weights = tables | {network.unembedding_name: _as_array(network.unembedding()[0])}
    return {name: _shares(value, task) for name, value in weights.items()}


def element_tables(
    network: Network, task: Task
) -> dict[str, Float[np.ndarray, "element coordinate"]]:
    """Return each element's embedding: a transformer's, or an MLP's weights.

    For factored embeddings these are the products; each slot has a table, even with tied
    embeddings.

    Parameters
    ----------
    network
        Ensemble of one network.
    task
        Task of the network.
    """
    if not network.neurons_are_measured:
        return {name: _as_array(table[0]) for name, table in network.embeddings().items()}
    layers = network.as_mlp().untied().tensors
    return {slot: _as_array(layers[slot][0]) for slot in task.slots}


def _as_array(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()


def _shares(weights: Float[np.ndarray, "element other"], task: Task) -> np.ndarray:
    whole = float(np.square(weights).sum())
    power = np.array([float(np.square(f.basis.T @ weights).sum()) for f in task.features])
    return power / whole if whole > 0 else power


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    r"""Hidden neurons of one network on a group's table of pairs.

    Attributes
    ----------
    table
        Activations at each pair (a, b), with each neuron's mean over all pairs removed.
    power
        Squared coefficients of ``table`` in products of an orthonormal basis of functions of a and
        one
        of functions of b: the constant first, then the matrix elements of each feature.
    out
        Map from the neurons to the logits; ``None`` if layer norm stands between them.
    """

    table: Float[np.ndarray, "a b neuron"]
    power: Float[np.ndarray, "i j neuron"]
    out: Float[np.ndarray, "class neuron"] | None


def hidden_layer(network: Network, task: Task) -> HiddenLayer:
    """Evaluate the hidden neurons of an ensemble of one at every pair, in float64.

    Parameters
    ----------
    network
        An ensemble of one; of a transformer the neurons of its last layer at the last position.
    task
        A group's table of pairs.
    """
    group_of(task)
    n = task.size
    values = _as_array(network.hidden(task)[0])
    table = (values - values.mean(0)).reshape(n, n, -1)
    basis = np.concatenate([np.full((n, 1), n**-0.5), *(f.basis for f in task.features)], axis=1)
    once = np.einsum("ai,abm->ibm", basis, table, optimize=True)
    power = np.square(np.einsum("bj,ibm->ijm", basis, once, optimize=True))
    out = None if network.why_no_hidden_layer() else _as_array(network.unembedding()[0])
    return HiddenLayer(table, power, out)


@dataclass(frozen=True, eq=False)
class HiddenShares:
    r"""Shares of the hidden neurons' variance over the table, by irrep.

    Attributes
    ----------
    left, right, product
        Shares that functions $\rho(a)$, $\rho(b)$ and $\rho(ab)$ explain, of all neurons together.
    restricted, excluded
        Cross-entropy of the logits that $\rho(ab)$ of the hidden layer alone gives, over all rows,
        and
        of the logits without it, over the rows trained on where they are known.
    total_restricted, total_excluded
        Same losses for the key features together.
    frequency
        For each neuron the feature with most of its variance in $\{1, \rho\}^{\otimes 2}$ (of a
        frequency $\{1, \cos, \sin\}^{\otimes 2}$), -1 for a constant neuron.
    share
        That part of its variance; nan for a constant neuron.

    Notes
    -----
    Chughtai et al. 2023, section 5; the neurons' frequencies: Nanda et al. 2023, section 4.
    """

    left: Float[np.ndarray, " feature"]
    right: Float[np.ndarray, " feature"]
    product: Float[np.ndarray, " feature"]
    restricted: Float[np.ndarray, " feature"]
    excluded: Float[np.ndarray, " feature"]
    total_restricted: float
    total_excluded: float
    frequency: Int[np.ndarray, " neuron"]
    share: Float[np.ndarray, " neuron"]


def hidden_shares(
    network: Network,
    task: Task,
    logits: Float[np.ndarray, "row class"],
    key: Bool[np.ndarray, " feature"],
    train: Int[np.ndarray, " chosen"] | None = None,
    *,
    layer: HiddenLayer | None = None,
) -> HiddenShares:
    """Decompose the hidden layer of an ensemble of one on a group's table of pairs.

    Parameters
    ----------
    network
        Ensemble of one network, in any precision.
    task
        Group task over pairs.
    logits
        Logits of the network in the task's row order, shape (row, class).
    key
        Mask of the features in the totals, shape (feature,).
    train
        Numbers of the rows for the excluded losses; ``None`` for all rows.
    layer
        Hidden layer of the network, if already computed.

    Raises
    ------
    ValueError
        Layer norm stands between the neurons and the logits, which are then not linear in them.
    """
    layer = hidden_layer(network, task) if layer is None else layer
    if layer.out is None:
        raise ValueError("layer norm stands between neurons and logits; take a network without it")
    n = task.size
    out, table = layer.out, layer.table
    centred = table.reshape(n * n, -1)
    variance = max(float(np.square(centred).sum()), np.finfo(np.float64).tiny)
    by_product = mean_by_product(centred, task)
    means = {"left": table.mean(1), "right": table.mean(0), "product": by_product}
    shares = {
        name: np.array([np.square(f.basis.T @ mean).sum() * n / variance for f in task.features])
        for name, mean in means.items()
    }
    parts = [feature.project(by_product.T).T @ out.T for feature in task.features]
    found = ablate_products(logits, task, parts, key, train)
    frequency, share = _frequencies(layer.power, task)
    return HiddenShares(
        **shares,
        restricted=found.restricted,
        excluded=found.excluded,
        total_restricted=found.total_restricted,
        total_excluded=found.total_excluded,
        frequency=frequency,
        share=share,
    )


def _frequencies(
    power: Float[np.ndarray, "i j neuron"], task: Task
) -> tuple[Int[np.ndarray, " neuron"], Float[np.ndarray, " neuron"]]:
    """Return each neuron's feature of most energy in {1, rho} x {1, rho}, and its share."""
    whole = power.sum((0, 1))
    starts = np.cumsum([1] + [f.dimension for f in task.features])
    energy = np.stack(
        [
            power[lo:hi, lo:hi].sum((0, 1)) + power[0, lo:hi].sum(0) + power[lo:hi, 0].sum(0)
            for lo, hi in pairwise(starts)
        ]
    )
    live = whole > 1e-24 * max(float(whole.max(initial=0)), np.finfo(np.float64).tiny)
    best = energy.argmax(0)
    share = np.full(len(whole), np.nan)
    share[live] = energy[best, np.arange(len(whole))][live] / whole[live]
    return np.where(live, best, -1), share
