"""Transformers of Nanda et al. and Zhong et al., and those that TransformerLens stores."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.parts import finished, require_finite, take, task_of_order, trained_on
from marginlens.networks import Transformer, TransformerSettings
from marginlens.tasks import Task

__all__ = ["NANDA", "PIZZA", "pizza_config"]

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


def pizza_config(file: File) -> dict[str, Any]:
    """Zhong et al.'s settings beside a file; empty where there are none."""
    run = file.path.stem.removeprefix("model_")
    return file.beside(f"config_{run}.json", "config.json")


def _read_pizza(file: File, choices: Choices) -> Foreign:
    config = pizza_config(file)
    rate = choices.attention if choices.attention is not None else config.get("attn_coeff")
    if rate is None:
        raise ValueError(
            f"the attention rate of {file.name} is in no config_*.json beside it; "
            "say it, e.g. --attention 0"
        )
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ValueError(f"attn_coeff is {rate!r}; expected a number from 0 to 1")
    order = config.get("C") if isinstance(config.get("C"), int) else None
    note = f"attention rate {float(rate):g}"
    name = str(choices.activation or config.get("act_fn", "ReLU")).lower()
    separate = bool(config.get("diff_vocab"))
    if separate or name in _SMOOTH or any(key.startswith("blocks.1.") for key in file.tensors):
        return _by_logits(file, choices, order, float(rate), name, separate, note)
    network = _network(file.tensors, order, float(rate), _activation(name))
    problem = task_of_order(network.parameters["unembed"].shape[1], choices)
    return finished("pizza", network, problem, file, notes=(note,))


def _by_logits(
    file: File, choices: Choices, order: int | None, rate: float, name: str, separate: bool, note: str
) -> Foreign:  # fmt: skip
    """Variants that are none of our networks: several layers, other activations, a vocabulary for b."""
    width = take(file.tensors, "pos_embed.W_pos", None, None).shape[1]
    embed = take(file.tensors, "embed.W_E", width, None)
    if order is None:
        order = (embed.shape[1] - (len(file.tensors["pos_embed.W_pos"]) == 3)) // (1 + separate)
    problem = task_of_order(order, choices)
    act = {**_SMOOTH, "relu": torch.relu}.get(name)
    if act is None:
        raise ValueError(f"activation {name!r} is unknown; expected ReLU, GeLU or Tanh")
    logits = _plain_logits(file.tensors, problem, embed, rate, act, separate)
    require_finite(logits, file)
    why = "its logits alone: the network has a form that is not one of ours"
    return Foreign("pizza", problem, logits, notes=(note, why))


_SMOOTH = {"gelu": torch.nn.functional.gelu, "tanh": torch.tanh}


def _plain_logits(
    tensors: Mapping[str, Tensor], problem: Task, embed: Tensor, rate: float,
    act: Callable[[Tensor], Tensor], separate: bool,
) -> np.ndarray:  # fmt: skip
    """All positions of all layers, without a causal mask, as Zhong et al. computed them."""
    position = take(tensors, "pos_embed.W_pos", None, embed.shape[0])
    tokens = torch.as_tensor(problem.inputs).clone()
    tokens[:, 1] += problem.size * separate
    if len(position) == 3:
        tokens = torch.nn.functional.pad(tokens, (0, 1), value=embed.shape[1] - 1)
    if int(tokens.max()) >= embed.shape[1]:
        raise ValueError(f"embed.W_E has {embed.shape[1]} tokens, too few for {problem.name}")
    x = embed.T[tokens] + position
    layer = 0
    while f"blocks.{layer}.attn.W_K" in tensors:
        part = f"blocks.{layer}"
        key, query, value = (
            torch.einsum("hcw,rjw->rhjc", take(tensors, f"{part}.attn.W_{n}", None, None, None), x)
            for n in "KQV"
        )
        scores = torch.einsum("rhic,rhjc->rhij", query, key) / key.shape[-1] ** 0.5
        weights = rate * scores.softmax(-1) + (1 - rate)
        mixed = torch.einsum("rhij,rhjc->rihc", weights, value).flatten(2)
        x = x + mixed @ take(tensors, f"{part}.attn.W_O", None, mixed.shape[-1]).T
        hidden = act(x @ take(tensors, f"{part}.mlp.W_in", None, None).T
                     + take(tensors, f"{part}.mlp.b_in", None))  # fmt: skip
        x = x + hidden @ take(tensors, f"{part}.mlp.W_out", None, hidden.shape[-1]).T
        x = x + take(tensors, f"{part}.mlp.b_out", None)
        layer += 1
    unembed = take(tensors, "unembed.W_U", embed.shape[0], None)
    return (x[:, -1] @ unembed[:, : problem.size]).numpy()


def _read_nanda(file: File, choices: Choices) -> Foreign:
    config = file.values.get("config")
    config = config if isinstance(config, Mapping) else {}
    function = config.get("fn_name", "add")
    if function != "add" and choices.group is None:
        raise ValueError(
            f"{file.name} learned {function!r}, not addition; name its group with --group"
        )
    order = config.get("p") if isinstance(config.get("p"), int) else None
    activation = choices.activation or _activation(str(config.get("act_type", "ReLU")))
    network = _network(file.tensors, order, 1.0, activation)
    size = network.parameters["unembed"].shape[1]
    problem = task_of_order(size, choices)
    notes = ["the class of the equals sign, which is never right, is left out"]
    if function != "add":
        notes.append(f"the file says it learned {function!r}; it is measured as {problem.name}")
    train, words = trained_on(config, size * size, partial(_shuffled, size * size), "shuffled")
    notes += words
    stored = {
        name: float(torch.as_tensor(file.values[name]).detach())
        for name in ("train_loss", "test_loss")
        if isinstance(file.values.get(name), float) or _is_number(file.values.get(name))
    }
    return finished("nanda", network, problem, file, train=train, stored=stored, notes=tuple(notes))


def _shuffled(count: int, seed: int) -> list[int]:
    """Nanda et al.'s order: the pairs as they come, shuffled by Python's generator."""
    rows = list(range(count))
    random.Random(seed).shuffle(rows)
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1


PIZZA = Format(
    "pizza", "transformer on (a, b) with an attention rate, and config_*.json beside it (Zhong et al. "
    "2023)", _MARKS, _read_pizza,
)  # fmt: skip
NANDA = Format(
    "nanda", "one-layer transformer on (a, b, =), also as TransformerLens stores it (Nanda et al. 2023)",
    _MARKS, _read_nanda,
)  # fmt: skip
