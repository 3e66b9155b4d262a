"""The plain implementations that ours is measured against, as papers' code has them.

One-hot inputs, ``nn.Linear``, autograd and ``torch.optim``: nothing here is tuned, and nothing is
slowed down. Rows are pairs (a, b).

Sources of the forms: separate and concatenated inputs with x^2, Gromov 2023 (arXiv:2301.02679) and
Morwani et al. 2024 (arXiv:2311.07568); tied embeddings, added, as in Zhong et al. 2023
(arXiv:2306.17844); factored embeddings, Chughtai, Chan and Nanda 2023 (arXiv:2302.03025).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Embedding", "TextbookMLP", "one_after_another", "textbook_mlp", "train_rows"]

Embedding = Literal["separate", "concatenated", "tied", "factored"]
Step = Callable[[], float]

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
        Tied embeddings have no ``"v"``. Factored ones have ``"u"`` and ``"v"``, (element,
        embedding), and ``"hidden"``, (twice the embedding, neuron).
    activation
        ``"x^2"`` or ``"relu"``.
    embedding
        How inputs reach the hidden layer: a Linear for each slot, their outputs added
        (``"separate"``); one Linear on both one-hots beside each other (``"concatenated"``); one
        Linear for both slots, its outputs added (``"tied"``); a Linear for each slot, their outputs
        beside each other, and one more to the hidden layer (``"factored"``).
    """

    def __init__(
        self, weights: Mapping[str, Tensor], activation: str, embedding: Embedding
    ) -> None:
        super().__init__()
        self.activation, self.embedding = ACTIVATIONS[activation], embedding
        if embedding == "concatenated":
            first = [torch.cat([weights["u"], weights["v"]])]
        elif embedding == "tied":
            first = [weights["u"]]
        else:
            first = [weights["u"], weights["v"]]
        self.first = nn.ModuleList(_linear(weight.T) for weight in first)
        self.hidden = _linear(weights["hidden"].T) if embedding == "factored" else None
        self.last = _linear(weights["w"])

    def forward(
        self, a: Float[Tensor, "row size"], b: Float[Tensor, "row size"]
    ) -> Float[Tensor, "row class"]:
        """Logits."""
        if self.embedding == "concatenated":
            before = self.first[0](torch.cat([a, b], dim=1))
        elif self.embedding == "tied":
            before = self.first[0](a) + self.first[0](b)
        elif self.hidden is None:
            before = self.first[0](a) + self.first[1](b)
        else:
            before = self.hidden(torch.cat([self.first[0](a), self.first[1](b)], dim=1))
        return self.last(self.activation(before))

    def neuron_norms(self) -> Float[Tensor, " neuron"]:
        """Norm of all the weights of each neuron; not of a factored network, where they are shared."""
        squares = self.last.weight.square().sum(0)
        for layer in self.first:
            squares = squares + layer.weight.square().sum(1)
        return squares.sqrt()


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(*weight.T.shape, bias=False, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def textbook_mlp(
    inputs: Int[Tensor, "row 2"],
    answers: Int[Tensor, " row"],
    weights: Mapping[str, Tensor],
    *,
    activation: str = "x^2",
    embedding: Embedding = "separate",
    loss: Literal["cross_entropy", "squared"] = "cross_entropy",
    optimizer: Literal["adam", "adamw"] = "adam",
    rate: float = 0.01,
    weight_decay: float = 0.0,
    strength: float = 0.0,
) -> Step:
    """The full-batch training step on these rows: it returns the loss before its update.

    The loss is the mean cross-entropy, or the mean over rows and classes of (logit - one-hot
    answer)^2, with strength * sum over neurons of ||omega_i||^nu, where nu is the degree in which the
    output scales; AdamW decays weights besides.
    """
    size, classes = weights["u"].shape[0], weights["w"].shape[0]
    dtype = weights["w"].dtype
    a, b = (nn.functional.one_hot(inputs[:, slot], size).to(dtype) for slot in (0, 1))
    target = nn.functional.one_hot(answers, classes).to(dtype)
    model = TextbookMLP(weights, activation, embedding)
    if optimizer == "adam":
        update = torch.optim.Adam(model.parameters(), lr=rate)
    else:
        update = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=weight_decay)

    def step() -> float:
        logits = model(a, b)
        if loss == "cross_entropy":
            value = nn.functional.cross_entropy(logits, answers)
        else:
            value = nn.functional.mse_loss(logits, target)
        if strength:
            value = value + strength * model.neuron_norms().pow(HOMOGENEITY[activation]).sum()
        update.zero_grad()
        value.backward()
        update.step()
        return value.item()

    return step


def one_after_another(steps: Sequence[Step]) -> Step:
    """A step of each of several networks in a Python loop, as seeds are run: their mean loss."""
    return lambda: statistics.fmean([step() for step in steps])


def train_rows(count: int, fraction: float, *, seed: int = 0) -> Int[Tensor, " row"]:
    """The rows to train on: that share of a table, drawn without order, and then in order."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.randperm(count, generator=generator)[: round(fraction * count)]
    return kept.sort().values
