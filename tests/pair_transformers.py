"""Transformers written here in plain PyTorch, with weights that answer any table; and their files.

A second account of the forward pass: no code of the project is used.
"""

import json
import math

import torch

Tensors = dict[str, torch.Tensor]


def norm_of(x, kind, gain=None, bias=None, eps=1e-5):
    """LayerNorm ("LN"), RMSNorm ("RMS") or nothing of the last axis."""
    if kind is None:
        return x
    if kind == "LN":
        x = x - x.mean(-1, keepdim=True)
    x = x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)
    return (x if gain is None else x * gain) + (0 if bias is None else bias)


def forward(
    t, tokens, *, kind=None, act=torch.relu, rate=1.0, causal=True, scale=None, parallel=False
):
    """Logits at the last position of a network with TransformerLens's names and axes, head by head."""
    x = t["embed.W_E"][tokens] + t["pos_embed.W_pos"]
    length = x.shape[1]
    for layer in range(sum(name.endswith("attn.W_Q") for name in t)):
        b = f"blocks.{layer}."
        seen = norm_of(x, kind, t.get(b + "ln1.w"), t.get(b + "ln1.b"))
        added = torch.zeros_like(x)
        for h in range(len(t[b + "attn.W_Q"])):
            q, k, v = (
                seen @ t[f"{b}attn.W_{n}"][h] + t.get(f"{b}attn.b_{n}", torch.zeros(h + 1, 1))[h]
                for n in "QKV"
            )
            scores = q @ k.mT / (math.sqrt(q.shape[-1]) if scale is None else scale)
            allowed = torch.ones(length, length).tril().bool() if causal else scores == scores
            pattern = (
                rate * scores.masked_fill(~allowed, -1e30).softmax(-1)
                + (1 - rate) * allowed.double()
            )
            added = added + pattern @ v @ t[b + "attn.W_O"][h]
        added = added + t.get(b + "attn.b_O", 0)
        if b + "mlp.W_in" not in t:
            x = x + added
            continue
        read = x if parallel else x + added
        read = norm_of(read, kind, t.get(b + "ln2.w"), t.get(b + "ln2.b"))
        hidden = act(read @ t[b + "mlp.W_in"] + t.get(b + "mlp.b_in", 0))
        x = x + added + hidden @ t[b + "mlp.W_out"] + t.get(b + "mlp.b_out", 0)
    last = norm_of(x[:, -1], kind, t.get("ln_final.w"), t.get("ln_final.b"))
    return last @ t["unembed.W_U"] + t.get("unembed.b_U", 0)


def pairs(n, sign=None, shift=0):
    """All pairs of tokens, the second one fastest, and the equals sign after them."""
    a, b = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    columns = [a.flatten(), b.flatten() + shift]
    if sign is not None:
        columns.append(torch.full((n * n,), sign))
    return torch.stack(columns, 1)


def random_weights(
    seed,
    *,
    tokens,
    positions,
    classes,
    width=12,
    heads=2,
    channels=6,
    hidden=10,
    layers=1,
    biases=False,
    gains=False,
):
    """Random weights with TransformerLens's names and axes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64) / 2

    t = {
        "embed.W_E": draw(tokens, width),
        "pos_embed.W_pos": draw(positions, width),
        "unembed.W_U": draw(width, classes),
    }
    if biases:
        t["unembed.b_U"] = draw(classes)
    for layer in range(layers):
        b = f"blocks.{layer}."
        t |= {f"{b}attn.W_{n}": draw(heads, width, channels) for n in "QKV"}
        t[b + "attn.W_O"] = draw(heads, channels, width)
        if hidden:
            t |= {b + "mlp.W_in": draw(width, hidden), b + "mlp.W_out": draw(hidden, width)}
            t |= {b + "mlp.b_in": draw(hidden), b + "mlp.b_out": draw(width)}
        if biases:
            t |= {f"{b}attn.b_{n}": draw(heads, channels) for n in "QKV"}
            t[b + "attn.b_O"] = draw(width)
        if gains:
            for one in ("ln1", "ln2") if hidden else ("ln1",):
                t |= {f"{b}{one}.w": 1 + draw(width), f"{b}{one}.b": draw(width)}
    if gains:
        t |= {"ln_final.w": 1 + draw(width), "ln_final.b": draw(width)}
    return t


def answering_weights(table, *, sign=False, separate=False, kind=None, extra=0):
    """Weights of a softmax transformer that answers ``table[a][b]``, a neuron for each pair.

    Head 0 copies the first input's element and head 1 the second's; the neuron of (a, b) is above zero
    where both are there. Layer norm is the same affine map on all rows, as their entries are the same
    numbers in other places.
    """
    n, positions = len(table), 2 + sign
    tokens = n * (1 + separate) + sign + extra
    width = 3 * n + positions
    embed = torch.zeros(tokens, width, dtype=torch.float64)
    for token in range(n * (1 + separate)):
        embed[token, token % n] = 1
    position = torch.zeros(positions, width, dtype=torch.float64)
    position[:, 3 * n :] = torch.eye(positions)
    query = torch.zeros(2, width, n + 1, dtype=torch.float64)
    key, value = torch.zeros_like(query), torch.zeros_like(query)
    output = torch.zeros(2, n + 1, width, dtype=torch.float64)
    for h in range(2):
        query[h, -1, 0] = 30.0 * math.sqrt(n + 1)  # the last position asks for position h
        key[h, 3 * n + h, 0] = 10.0
        value[h, :n, 1:] = torch.eye(n)
        output[h, 1:, n * (h + 1) : n * (h + 2)] = torch.eye(n)
    t = {
        "embed.W_E": embed,
        "pos_embed.W_pos": position,
        "blocks.0.attn.W_Q": query,
        "blocks.0.attn.W_K": key,
        "blocks.0.attn.W_V": value,
        "blocks.0.attn.W_O": output,
    }
    inside = torch.zeros(width, n * n, dtype=torch.float64)
    out = torch.zeros(n * n, width, dtype=torch.float64)
    unembed = torch.zeros(width, n, dtype=torch.float64)
    unembed[:n] = 5 * torch.eye(n)
    for a in range(n):
        for b in range(n):
            inside[n + a, n * a + b] = inside[2 * n + b, n * a + b] = 1
            out[n * a + b, int(table[a][b])] = 20
    t |= {
        "blocks.0.mlp.W_in": inside,
        "blocks.0.mlp.W_out": out,
        "unembed.W_U": unembed,
        "blocks.0.mlp.b_in": torch.zeros(n * n, dtype=torch.float64),
        "blocks.0.mlp.b_out": torch.zeros(width, dtype=torch.float64),
    }
    rows = pairs(n, tokens - 1 if sign else None, n if separate else 0)
    before = _before_neurons(t, rows, kind)
    right = before.diagonal()
    others = before.masked_fill(torch.eye(n * n, dtype=torch.bool), -math.inf).amax(0)
    t["blocks.0.mlp.b_in"] = -(right + others) / 2
    return t


def _before_neurons(t, rows, kind):
    """What enters the neurons, with no bias: the forward pass with the MLP as its output."""
    width = t["embed.W_E"].shape[1]
    probe = {k: v for k, v in t.items() if not k.startswith("blocks.0.mlp.")}
    probe["unembed.W_U"] = torch.eye(width, dtype=torch.float64)
    return forward(probe, rows, kind=kind) @ t["blocks.0.mlp.W_in"]


def nanda_axes(t: Tensors) -> Tensors:
    """The same weights with the names and axes of Nanda et al. and Zhong et al."""
    found = {
        "embed.W_E": t["embed.W_E"].T,
        "pos_embed.W_pos": t["pos_embed.W_pos"],
        "unembed.W_U": t["unembed.W_U"],
    }
    for name, value in t.items():
        if ".attn.W_O" in name:
            found[name] = value.flatten(0, 1).T
        elif ".attn.W_" in name:
            found[name] = value.mT
        elif ".mlp.W_" in name:
            found[name] = value.T
        elif ".mlp.b_" in name:
            found[name] = value
    length = len(t["pos_embed.W_pos"])
    found["blocks.0.attn.mask"] = torch.ones(length, length).tril()
    return {name: value.contiguous() for name, value in found.items()}


def bridge_names(t: Tensors) -> Tensors:
    """The same weights with the names of TransformerLens 4, matrices as (out, in)."""
    found = {}
    for name, value in t.items():
        part, _, short = name.rpartition(".")
        if name in ("embed.W_E", "pos_embed.W_pos"):
            found[f"{part}.weight"] = value
        elif ".ln" in name or name.startswith("ln_final"):
            found[f"{part}.{'weight' if short == 'w' else 'bias'}"] = value
        elif short == "W_U":
            found[f"{part}.weight"] = value.T
        elif short == "b_U":
            found[f"{part}.bias"] = value
        elif short in ("W_in", "W_out"):
            found[f"{part}.{short[2:]}.weight"] = value.T
        elif short in ("b_in", "b_out"):
            found[f"{part}.{short[2:]}.bias"] = value
        elif short == "W_O":
            found[f"{part}.o.weight"] = value.flatten(0, 1).T
        elif short.startswith("W_"):
            found[f"{part}.{short[-1].lower()}.weight"] = value.mT.flatten(0, 1)
        else:
            found[f"{part}.{short[-1].lower()}.bias"] = value.flatten()
    return {name: value.contiguous() for name, value in found.items()}


def save(folder, tensors, *, inside=None, name="model_x.pt", **beside):
    """Write a file, settings inside it, and JSON files beside it (``config_x`` for config_x.json)."""
    path = folder / name
    torch.save(tensors if inside is None else {"model": tensors, "config": inside}, path)
    for file, values in beside.items():
        (folder / f"{file}.json").write_text(json.dumps(values))
    return path
