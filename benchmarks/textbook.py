"""The plain implementations that ours is measured against, as papers' code has them.

One-hot inputs and ``nn.Linear``, or looked-up embeddings, autograd and ``torch.optim``: nothing here is
tuned, and nothing is slowed down.

Sources of the forms: separate and concatenated inputs with x^2, Gromov 2023 (arXiv:2301.02679) and
Morwani et al. 2024 (arXiv:2311.07568); tied embeddings, added, and attention weighed against a constant,
Zhong et al. 2023 (arXiv:2306.17844); factored embeddings, Chughtai, Chan and Nanda 2023
(arXiv:2302.03025); the transformer, with a causal mask and logits at all positions, Nanda et al. 2023
(arXiv:2301.05217); with two layers and layer norm, Power et al. 2022 (arXiv:2201.02177).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from marginlens.networks import Factored, Transformer

__all__ = ["Form", "TextbookFactored", "TextbookMLP", "TextbookTransformer", "Training"]

Form = Literal["separate", "concatenated", "tied"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "x^2": lambda x: x.square(),
    "relu": nn.functional.relu,
}
HOMOGENEITY = {"x^2": 3, "relu": 2}
"""Degree nu in which a network's output scales with its weights."""


class TextbookMLP(nn.Module):
    """One hidden layer on one-hot inputs, without biases.

    Parameters
    ----------
    weights
        ``"u"`` and ``"v"``, (element, neuron), and ``"w"``, (class, neuron), from which it starts.
        Tied embeddings have no ``"v"``.
    activation
        ``"x^2"`` or ``"relu"``.
    form
        How inputs reach the hidden layer: a Linear for each slot, their outputs added
        (``"separate"``); one Linear on both one-hots beside each other (``"concatenated"``); one
        Linear for both slots, its outputs added (``"tied"``).
    strength
        Of the penalty strength * sum over neurons of ||omega_i||^nu, where nu is the degree in which
        the output scales.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], activation: str, form: Form, strength: float = 0.0
    ) -> None:
        super().__init__()
        self.activation, self.form, self.strength = ACTIVATIONS[activation], form, strength
        self.power = HOMOGENEITY[activation]
        if form == "concatenated":
            first = [torch.cat([weights["u"], weights["v"]])]
        else:
            first = [weights[name] for name in (("u",) if form == "tied" else ("u", "v"))]
        self.size = len(weights["u"])
        self.first = nn.ModuleList(_linear(weight.T) for weight in first)
        self.last = _linear(weights["w"])

    def encode(self, inputs: Int[Tensor, "row 2"]) -> tuple[Tensor, ...]:
        """One-hot inputs, (row, size): of each slot, or of both beside each other."""
        dtype = self.last.weight.dtype
        slots = [nn.functional.one_hot(column, self.size).to(dtype) for column in inputs.T]
        return (torch.cat(slots, dim=1),) if self.form == "concatenated" else tuple(slots)

    def forward(self, x: tuple[Tensor, ...]) -> Float[Tensor, "row class"]:
        """Logits."""
        before = self.first[0](x[0])
        if self.form != "concatenated":
            before = before + self.first[-1](x[1])
        return self.last(self.activation(before))

    def loss(self, x: tuple[Tensor, ...], answers: Int[Tensor, " row"]) -> Tensor:
        """Mean cross-entropy and the penalty."""
        value = nn.functional.cross_entropy(self(x), answers)
        if self.strength:
            value = value + self.strength * self.neuron_norms().pow(self.power).sum()
        return value

    def neuron_norms(self) -> Float[Tensor, " neuron"]:
        """Norm of all the weights of each neuron."""
        squares = self.last.weight.square().sum(0)
        for layer in self.first:
            squares = squares + layer.weight.square().sum(1)
        return squares.sqrt()

    def gradients(self) -> dict[str, Tensor]:
        """Autograd's, under the names of the weights that it started from."""
        first = torch.cat([_gradient(layer.weight).T for layer in self.first])
        names = ("u",) if self.form == "tied" else ("u", "v")
        found = dict(zip(names, first.chunk(len(names)), strict=True))
        return {**found, "w": _gradient(self.last.weight)}


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(*weight.T.shape, bias=False, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def _gradient(parameter: Tensor) -> Tensor:
    """Autograd's gradient; zero where nothing depends on the parameter."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


class TextbookFactored(nn.Module):
    """One member of a `Factored`: embeddings side by side, a hidden layer of ReLUs, an unembedding."""

    def __init__(self, network: Factored, member: int = 0) -> None:
        super().__init__()
        p = {name: value[member].detach().clone() for name, value in network.tensors.items()}
        self.W_x, self.W_y = nn.Parameter(p["embed_u"]), nn.Parameter(p["embed_v"])
        self.W = nn.Parameter(torch.cat([p["mix_u"], p["mix_v"]]))
        self.W_U = nn.Parameter(p["w"].T.contiguous())

    def encode(self, inputs: Int[Tensor, "row 2"]) -> Int[Tensor, "row 2"]:
        """Elements are looked up: nothing to do."""
        return inputs

    def loss(self, inputs: Int[Tensor, "row 2"], answers: Int[Tensor, " row"]) -> Tensor:
        """Cross-entropy of the rows."""
        joined = torch.cat([self.W_x[inputs[:, 0]], self.W_y[inputs[:, 1]]], 1)
        return nn.functional.cross_entropy(torch.relu(joined @ self.W) @ self.W_U, answers)

    def gradients(self) -> dict[str, Tensor]:
        """Autograd's, under the names of `Factored`."""
        mix_u, mix_v = _gradient(self.W).chunk(2)
        return {
            "embed_u": _gradient(self.W_x),
            "embed_v": _gradient(self.W_y),
            "mix_u": mix_u,
            "mix_v": mix_v,
            "w": _gradient(self.W_U).T,
        }


class TextbookLayer(nn.Module):
    """A layer of one member of a `Transformer`, at all positions of the sequence."""

    NAMES: ClassVar = {
        "W_Q": "query",
        "W_K": "key",
        "W_V": "value",
        "W_O": "output",
        "W_in": "up",
        "b_in": "up_bias",
        "W_out": "down",
        "b_out": "down_bias",
    }
    NORMS: ClassVar = {"ln1": "attention_norm", "ln2": "mlp_norm"}

    def __init__(self, network: Transformer, member: int, suffix: str) -> None:
        super().__init__()
        self.settings = network.settings
        given = {name: value[member].detach().clone() for name, value in network.tensors.items()}
        self.ours = {}
        for name, ours in self.NAMES.items():
            if ours + suffix in given:
                self.register_parameter(name, nn.Parameter(given[ours + suffix]))
                self.ours[name] = ours + suffix
        self.ln1: nn.Module = nn.Identity()
        self.ln2: nn.Module = nn.Identity()
        if self.settings.layer_norm != "none":
            for name, ours in self.NORMS.items():
                gain, bias = f"{ours}{suffix}", f"{ours}_bias{suffix}"
                setattr(self, name, _layer_norm(given[gain], given[bias]))
                self.ours |= {f"{name}.weight": gain, f"{name}.bias": bias}

    def forward(
        self, x: Float[Tensor, "row position width"], mask: Float[Tensor, "position position"]
    ) -> Float[Tensor, "row position width"]:
        """The stream after attention and MLP."""
        pre, post = (self.settings.layer_norm == where for where in ("pre", "post"))
        x = x + self.attention(self.ln1(x) if pre else x, mask)
        x = self.ln1(x) if post else x
        x = x + self.mlp(self.ln2(x) if pre else x)
        return self.ln2(x) if post else x

    def attention(self, x: Tensor, mask: Tensor) -> Tensor:
        """What the heads add."""
        q = torch.einsum("hcd,bpd->bhpc", self.W_Q, x)
        k = torch.einsum("hcd,bpd->bhpc", self.W_K, x)
        v = torch.einsum("hcd,bpd->bhpc", self.W_V, x)
        scores = torch.einsum("bhqc,bhpc->bhqp", q, k) / self.settings.channels**0.5
        scores = scores.masked_fill(mask == 0, -1e10)
        alpha = self.settings.attention
        pattern = alpha * scores.softmax(-1) + (1 - alpha) * mask.to(scores.dtype)
        z = torch.einsum("bhqp,bhpc->bhqc", pattern, v)
        return torch.einsum("hcd,bhqc->bqd", self.W_O, z)

    def mlp(self, x: Tensor) -> Tensor:
        """What the neurons add."""
        before = torch.einsum("nd,bpd->bpn", self.W_in, x)
        if self.settings.biases:
            before = before + self.b_in
        x = torch.einsum("nd,bpn->bpd", self.W_out, torch.relu(before))
        return x + self.b_out if self.settings.biases else x


def _layer_norm(gain: Tensor, bias: Tensor) -> nn.LayerNorm:
    norm = nn.LayerNorm(len(gain), dtype=gain.dtype)
    norm.weight, norm.bias = nn.Parameter(gain), nn.Parameter(bias)
    return norm


class TextbookTransformer(nn.Module):
    """One member of a `Transformer`, at all positions of the sequence in all layers."""

    NAMES: ClassVar = {"W_E": "embed", "W_pos": "position", "W_U": "unembed"}

    def __init__(self, network: Transformer, member: int = 0) -> None:
        super().__init__()
        self.settings = network.settings
        given = {name: value[member].detach().clone() for name, value in network.tensors.items()}
        for name, ours in self.NAMES.items():
            self.register_parameter(name, nn.Parameter(given[ours]))
        self.blocks = nn.ModuleList(
            TextbookLayer(network, member, f"_{number}" if number else "")
            for number in (0, *range(2, self.settings.layers + 1))
        )
        self.ln_final: nn.Module = nn.Identity()
        if self.settings.layer_norm == "pre":
            self.ln_final = _layer_norm(given["final_norm"], given["final_norm_bias"])
        length = len(self.W_pos)
        self.register_buffer("mask", torch.tril(torch.ones(length, length)))

    def forward(self, tokens: Int[Tensor, "row position"]) -> Float[Tensor, "row position class"]:
        """Logits at every position."""
        x = self.W_E[tokens] + self.W_pos
        for block in self.blocks:
            x = block(x, self.mask)
        return torch.einsum("cd,bpd->bpc", self.W_U, self.ln_final(x))

    def encode(self, inputs: Int[Tensor, "row slot"]) -> Int[Tensor, "row slot"]:
        """Elements are looked up: nothing to do."""
        return inputs

    def loss(self, inputs: Int[Tensor, "row slot"], answers: Int[Tensor, " row"]) -> Tensor:
        """Cross-entropy at the last position; the equals sign is put where it belongs."""
        if self.settings.sequence == "ab=":
            inputs = nn.functional.pad(inputs, (0, 1), value=len(self.W_E) - 1)
        return nn.functional.cross_entropy(self(inputs)[:, -1], answers)

    def gradients(self) -> dict[str, Tensor]:
        """Autograd's, under the names of `Transformer`."""
        names = dict(self.NAMES)
        for number, block in enumerate(self.blocks):
            names |= {f"blocks.{number}.{name}": ours for name, ours in block.ours.items()}
        names |= {"ln_final.weight": "final_norm", "ln_final.bias": "final_norm_bias"}
        return {names[name]: _gradient(p) for name, p in self.named_parameters()}


class Training:
    """The full-batch step of a textbook network: each call returns the loss before its update.

    Parameters
    ----------
    model
        Any of the three.
    inputs, answers
        The rows.
    optimizer
        ``"adam"``, or ``"adamw"``, which decays weights besides.
    """

    def __init__(
        self,
        model: TextbookMLP | TextbookFactored | TextbookTransformer,
        inputs: Int[Tensor, "row 2"],
        answers: Int[Tensor, " row"],
        *,
        optimizer: Literal["adam", "adamw"] = "adam",
        rate: float = 0.01,
        weight_decay: float = 0.0,
    ) -> None:
        self.model, self.answers = model, answers
        self.inputs = model.encode(inputs)
        if optimizer == "adam":
            self.update = torch.optim.Adam(model.parameters(), lr=rate)
        else:
            self.update = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=weight_decay)

    def __call__(self) -> float:
        """Take a step; return the loss before it."""
        self.update.zero_grad()
        loss = self.model.loss(self.inputs, self.answers)
        loss.backward()
        self.update.step()
        return loss.item()
