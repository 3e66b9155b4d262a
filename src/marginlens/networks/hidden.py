"""Activations of a network's hidden neurons, and the embeddings that reach them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks.activations import activate
from marginlens.networks.factored import Factored
from marginlens.networks.kinds import Network, as_mlp
from marginlens.networks.mlp import MLP
from marginlens.networks.transformer import Transformer
from marginlens.networks.transformer_variant import TransformerVariant, variant_settings
from marginlens.tasks import Task

__all__ = [
    "embeddings_of", "hidden_activations", "relabelled", "unembedding_of", "why_no_hidden_layer",
    "with_embeddings",
]  # fmt: skip


def hidden_activations(network: Network, task: Task) -> Float[Tensor, "member row neuron"]:
    """Sigma of every neuron's input, on every row of the task: of a transformer at the last position.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> hidden_activations(construct(task("C5")), task("C5")).shape
    torch.Size([1, 25, 12])
    """
    network.require_task(task)
    if isinstance(network, Transformer):
        return network.hidden(task)
    layers = as_mlp(network).untied()
    columns = torch.as_tensor(task.inputs, device=layers.parameters["w"].device).T
    before = torch.stack(
        [
            layers.parameters[slot][:, column]
            for slot, column in zip(task.slots, columns, strict=True)
        ]
    ).sum(0)
    if layers.biases:
        before = before + layers.parameters["bias"]
    return activate(layers.activation, before)


def embeddings_of(network: Network) -> dict[str, Float[Tensor, "member element coordinate"]]:
    """The tables that turn elements into vectors: one for all slots, or one for each.

    Of a transformer ``embed``, without the equals sign, or ``embed_u`` and ``embed_v`` where both inputs
    have a vocabulary; of factored embeddings ``embed_u`` and so on; of
    an MLP ``u`` and so on, whose coordinates are the neurons.
    """
    p = network.parameters
    if isinstance(network, Transformer):
        if "embed" not in p:
            return {name: p[name] for name in ("embed_u", "embed_v")}
        size = p["embed"].shape[1] - (network.settings.sequence == "ab=")
        return {"embed": p["embed"][:, :size]}
    if isinstance(network, Factored):
        return {name: value for name, value in p.items() if name.startswith("embed_")}
    return {name: value for name, value in p.items() if name not in ("w", "bias")}


def with_embeddings(
    network: Network, tables: Mapping[str, Float[Tensor, "member element coordinate"]]
) -> Network:
    """The network with other embeddings, of as many elements as they have rows."""
    changed = dict(network.parameters)
    for name, table in tables.items():
        rest = changed[name][:, embeddings_of(network)[name].shape[1] :]
        changed[name] = torch.cat([table, rest], dim=1)
    return network.with_parameters(changed)


def why_no_hidden_layer(network: Network) -> str:
    """Reason that hidden neurons are no linear part of the logits; empty where they are.

    Parameters
    ----------
    network
        Ensemble of any kind.
    """
    if not isinstance(network, Transformer):
        return ""
    if network.settings.layer_norm != "none":
        return "layer norm stands between neurons and logits"
    last = network.settings.layer(network.parameters, network.settings.layers)
    return "" if "down" in last else "the network's last layer has no MLP"


def relabelled(
    network: Network,
    left: Int[np.ndarray, " element"],
    right: Int[np.ndarray, " element"],
    classes: Int[np.ndarray, " klass"],
) -> Network:
    """The network with its elements renumbered, or some of them alone.

    Parameters
    ----------
    network
        Network on pairs, with as many elements as its tables have.
    left, right
        For each new element, the present one that it is as first and as second input.
    classes
        For each new class, the present one.

    Returns
    -------
    Network
        With a table for each input where ``left`` and ``right`` differ.
    """
    p = dict(network.parameters)
    first, second, out = (torch.as_tensor(np.array(order)) for order in (left, right, classes))
    same = torch.equal(first, second)
    if not isinstance(network, Transformer):
        if isinstance(network, MLP) and not same:
            network = network.untied()
            p = dict(network.parameters)
        for name in ("u", "embed_u"):
            if name in p:
                p[name] = p[name][:, first]
        for name in ("v", "embed_v"):
            if name in p:
                p[name] = p[name][:, second]
        p["w"] = p["w"][:, out]
        return network.with_parameters(p)
    for name in ("unembed", "unembed_bias"):
        if name in p:
            p[name] = p[name][:, out]
    if "embed" not in p:
        p |= {"embed_u": p["embed_u"][:, first], "embed_v": p["embed_v"][:, second]}
        return network.with_parameters(p)
    whole = p.pop("embed")
    equals = whole[:, len(embeddings_of(network)["embed"][0]) :]
    if same:
        p["embed"] = torch.cat([whole[:, first], equals], dim=1)
        return network.with_parameters(p)
    p |= {"embed_u": whole[:, first], "embed_v": whole[:, second]}
    if equals.shape[1]:
        p["equals"] = equals
    return TransformerVariant(p, variant_settings(network.settings))


def unembedding_of(network: Network) -> Float[Tensor, "member class neuron"]:
    """From hidden neurons to logits: W of an MLP; W_U W_out of a transformer's last layer.

    With layer norm between them this is not the map, and there is none.
    """
    p = network.parameters
    if isinstance(network, Transformer):
        last = network.settings.layer(p, network.settings.layers)
        return p["unembed"] @ last["down"].mT
    return p["w"]
