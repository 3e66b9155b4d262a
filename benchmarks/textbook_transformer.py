"""The plain one-layer transformer that ours is measured against, as papers' code has it.

No layer norm; ReLU; all positions are computed, and the last one's logits are read. Tokens are a, b
and, if wanted, an equals sign. Sources of the form: Nanda et al. 2023 (arXiv:2301.05217), with a
causal mask and the equals sign; Zhong et al. 2023 (arXiv:2306.17844), without a mask, where constant
attention adds up the values of all positions, each with weight 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Attention", "TextbookTransformer", "textbook_transformer"]

Attention = Literal["causal", "full", "constant"]


class TextbookTransformer(nn.Module):
    """Embedding and position, attention, and a hidden layer with biases, each added to the stream.

    Parameters
    ----------
    vocabulary, positions, classes
        Sizes of what goes in and comes out.
    width, heads, hidden
        Of the stream, of attention (each width / heads wide), and of the hidden layer.
    attention
        ``"causal"`` and ``"full"`` are softmax attention with and without a mask; ``"constant"`` is a
        matrix of ones.
    """

    def __init__(
        self,
        vocabulary: int,
        positions: int,
        classes: int,
        *,
        width: int = 128,
        heads: int = 4,
        hidden: int = 512,
        attention: Attention = "causal",
    ) -> None:
        super().__init__()
        self.heads, self.attention = heads, attention
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(positions, width) / math.sqrt(width))
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.unembed = nn.Linear(width, classes, bias=False)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(width))

    def forward(self, tokens: Int[Tensor, "row position"]) -> Float[Tensor, "row class"]:
        """Logits at the last position."""
        stream = self.embed(tokens) + self.position
        stream = stream + self.out(self._attend(stream))
        stream = stream + self.second(nn.functional.relu(self.first(stream)))
        return self.unembed(stream)[:, -1]

    def _attend(
        self, stream: Float[Tensor, "row position width"]
    ) -> Float[Tensor, "row position width"]:
        """Values that each position collects, head beside head."""
        query, key, value = (
            layer(stream).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        if self.attention == "constant":
            # as in the source, where softmax attention is computed and then given no weight
            pattern = 0 * scores.softmax(-1) + 1
        else:
            if self.attention == "causal":
                later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
                scores = scores.masked_fill(later, -math.inf)
            pattern = scores.softmax(-1)
        return (pattern @ value).transpose(1, 2).flatten(2)


def textbook_transformer(
    inputs: Int[Tensor, "row 2"],
    answers: Int[Tensor, " row"],
    *,
    size: int,
    equals: bool = True,
    attention: Attention = "causal",
    rate: float = 1e-3,
    weight_decay: float = 1.0,
    seed: int = 0,
) -> Callable[[], float]:
    """The full-batch AdamW step on these rows: it returns the loss before its update.

    The loss is the mean cross-entropy, with logits taken to float64 first, as both sources do.
    """
    tokens = inputs
    if equals:
        tokens = torch.cat([inputs, torch.full((len(inputs), 1), size)], dim=1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TextbookTransformer(size + equals, tokens.shape[1], size, attention=attention)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, weight_decay=weight_decay, betas=(0.9, 0.98)
    )

    def step() -> float:
        loss = nn.functional.cross_entropy(model(tokens).double(), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
