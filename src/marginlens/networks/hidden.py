"""Activations of a network's hidden neurons, and the embeddings that reach them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activate
from marginlens.networks.factored import Factored
from marginlens.networks.kinds import Network, as_mlp
from marginlens.networks.transformer import Transformer
from marginlens.tasks import Task

__all__ = ["embeddings_of", "hidden_activations", "unembedding_of", "with_embeddings"]


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

    Of a transformer ``embed``, without the equals sign; of factored embeddings ``embed_u`` and so on; of
    an MLP ``u`` and so on, whose coordinates are the neurons.
    """
    p = network.parameters
    if isinstance(network, Transformer):
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


def unembedding_of(network: Network) -> Float[Tensor, "member class neuron"]:
    """From hidden neurons to logits: W of an MLP; W_U W_out of a transformer's last layer.

    With layer norm between them this is not the map, and there is none.
    """
    p = network.parameters
    if isinstance(network, Transformer):
        last = network.settings.layer(p, network.settings.layers)
        return p["unembed"] @ last["down"].mT
    return p["w"]
