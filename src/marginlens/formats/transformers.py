"""Transformers of Nanda et al. and Zhong et al., and those that TransformerLens stores."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.parts import finished, take, task_of_order
from marginlens.networks import Transformer, TransformerSettings

__all__ = ["NANDA", "PIZZA"]

_MARKS = frozenset({"embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_K", "unembed.W_U"})
_ACTIVATIONS = {"relu": "relu", "quad": "x^2"}


def _sequence(length: int, name: str) -> str:
    if length not in (2, 3):
        raise ValueError(f"{name} has {length} positions; expected 2 for (a, b) or 3 for (a, b, =)")
    return "ab=" if length == 3 else "ab"


def _activation(name: str) -> str:
    if name.lower() not in _ACTIVATIONS:
        raise ValueError(f"activation {name!r} is not one that can be measured; expected ReLU")
    return _ACTIVATIONS[name.lower()]


def _network(
    tensors: Mapping[str, Tensor], order: int | None, attention: float, activation: str
) -> Transformer:
    """One layer; TransformerLens's axes are turned where the embedding shows them."""
    width = take(tensors, "pos_embed.W_pos", None, None).shape[1]
    if any(name.startswith("blocks.1.") for name in tensors):
        raise ValueError("the file holds a transformer of several layers; expected one layer")
    if any(".ln" in name or "ln_final" in name for name in tensors):
        raise ValueError("the file holds a transformer with layer norm; expected one without")
    embed = take(tensors, "embed.W_E", None, None)
    lens = embed.shape[1] == width and "blocks.0.attn.b_Q" in tensors
    if not lens:
        embed = embed.T
    words = embed.shape[0]
    sequence = _sequence(len(tensors["pos_embed.W_pos"]), "pos_embed.W_pos")
    order = words - (sequence == "ab=") if order is None else order
    query = take(tensors, "blocks.0.attn.W_Q", None, None, None)
    heads, channels = query.shape[0], query.shape[2] if lens else query.shape[1]
    parts = {"query": "W_Q", "key": "W_K", "value": "W_V"}
    shape = (heads, width, channels) if lens else (heads, channels, width)
    parameters = {
        name: take(tensors, f"blocks.0.attn.{short}", *shape) for name, short in parts.items()
    }
    if lens:
        parameters = {name: p.mT for name, p in parameters.items()}
        parameters["output"] = take(tensors, "blocks.0.attn.W_O", heads, channels, width)
        up = take(tensors, "blocks.0.mlp.W_in", width, None).T
        down = take(tensors, "blocks.0.mlp.W_out", up.shape[0], width)
        _no_biases(tensors)
    else:
        output = take(tensors, "blocks.0.attn.W_O", width, heads * channels)
        parameters["output"] = output.T.reshape(heads, channels, width)
        up = take(tensors, "blocks.0.mlp.W_in", None, width)
        down = take(tensors, "blocks.0.mlp.W_out", width, up.shape[0]).T
    unembed = take(tensors, "unembed.W_U", width, None).T
    if words < order or unembed.shape[0] < order:
        raise ValueError(
            f"the file has {words} tokens and {unembed.shape[0]} classes; expected at least {order}"
        )
    equals = embed[-1:] if sequence == "ab=" else embed[:0]
    settings = TransformerSettings(
        width=width, heads=heads, hidden=up.shape[0], activation=activation, sequence=sequence,
        attention=attention,
    )  # fmt: skip
    return Transformer(
        {
            "embed": torch.cat([embed[:order], equals])[None].contiguous(),
            "position": take(tensors, "pos_embed.W_pos", None, width)[None],
            **{name: p[None].contiguous() for name, p in parameters.items()},
            "up": up[None].contiguous(),
            "up_bias": take(tensors, "blocks.0.mlp.b_in", up.shape[0])[None],
            "down": down[None].contiguous(),
            "down_bias": take(tensors, "blocks.0.mlp.b_out", width)[None],
            "unembed": unembed[:order][None].contiguous(),
        },
        settings,
    )


def _no_biases(tensors: Mapping[str, Tensor]) -> None:
    for name in ("attn.b_Q", "attn.b_K", "attn.b_V", "attn.b_O"):
        bias = tensors.get(f"blocks.0.{name}")
        if bias is not None and bias.abs().max() > 0:
            raise ValueError(f"blocks.0.{name} is not zero; expected attention without biases")
    bias = tensors.get("unembed.b_U")
    if bias is not None and bias.abs().max() > 0:
        raise ValueError("unembed.b_U is not zero; expected an unembedding without biases")


def _read_pizza(file: File, choices: Choices) -> Foreign:
    run = file.path.stem.removeprefix("model_")
    config = file.beside(f"config_{run}.json", "config.json")
    rate = choices.attention if choices.attention is not None else config.get("attn_coeff")
    if rate is None:
        raise ValueError(
            f"the attention rate of {file.name} is in no config_{run}.json beside it; "
            "say it, e.g. --attention 0"
        )
    if config.get("diff_vocab"):
        raise ValueError(f"{file.name} has a vocabulary of its own for b; expected one for both")
    activation = choices.activation or _activation(str(config.get("act_fn", "ReLU")))
    order = config.get("C") if isinstance(config.get("C"), int) else None
    network = _network(file.tensors, order, float(rate), activation)
    problem = task_of_order(network.parameters["unembed"].shape[1], choices)
    return finished("pizza", network, problem, file, notes=(f"attention rate {float(rate):g}",))


def _read_nanda(file: File, choices: Choices) -> Foreign:
    config = file.values.get("config")
    config = config if isinstance(config, Mapping) else {}
    function = config.get("fn_name", "add")
    if function != "add" and choices.group is None:
        raise ValueError(f"{file.name} learned {function!r}, not addition; only addition is known")
    order = config.get("p") if isinstance(config.get("p"), int) else None
    activation = choices.activation or _activation(str(config.get("act_type", "ReLU")))
    network = _network(file.tensors, order, 1.0, activation)
    size = network.parameters["unembed"].shape[1]
    problem = task_of_order(size, choices)
    train, notes = None, ["the class of the equals sign, which is never right, is left out"]
    fraction, seed = config.get("frac_train"), config.get("seed")
    if isinstance(fraction, float) and isinstance(seed, int) and 0 < fraction < 1:
        # their split: the pairs in order, shuffled by Python's generator of this seed
        rows = list(range(size * size))
        random.Random(seed).shuffle(rows)
        train = np.sort(rows[: int(fraction * len(rows))])
        notes.append(f"trained on {len(train)} rows, shuffled by seed {seed}")
    stored = {
        name: float(torch.as_tensor(file.values[name]).detach())
        for name in ("train_loss", "test_loss")
        if isinstance(file.values.get(name), Tensor | float)
    }
    return finished("nanda", network, problem, file, train=train, stored=stored, notes=tuple(notes))


PIZZA = Format(
    "pizza", "transformer on (a, b) with an attention rate, and config_*.json beside it (Zhong et al. "
    "2023)", _MARKS, _read_pizza,
)  # fmt: skip
NANDA = Format(
    "nanda", "one-layer transformer on (a, b, =), also as TransformerLens stores it (Nanda et al. 2023)",
    _MARKS, _read_nanda,
)  # fmt: skip
