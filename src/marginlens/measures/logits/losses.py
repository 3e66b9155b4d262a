"""Cross-entropy of a table of logits, and what is left of it when parts are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from marginlens.networks import cross_entropy_
from marginlens.tasks import Task

__all__ = ["ProductAblation", "ablate_products", "mean_by_product", "mean_cross_entropy"]


def mean_cross_entropy(
    logits: Float[np.ndarray, "row class"],
    answers: Int[np.ndarray, " row"],
    rows: Int[np.ndarray, " chosen"] | None = None,
) -> float:
    """Mean over the rows, all by default, accurate at any margin.

    Examples
    --------
    >>> import numpy as np
    >>> round(mean_cross_entropy(np.zeros((2, 4)), np.array([0, 3])), 6)
    1.386294
    """
    if rows is not None:
        logits, answers = logits[rows], answers[rows]
    values = torch.tensor(logits.T[None], dtype=torch.float64)
    losses, _ = cross_entropy_(values, torch.as_tensor(answers)[None, None], 1.0)
    return float(losses.mean())


def mean_by_product(
    values: Float[np.ndarray, "row other"], task: Task
) -> Float[np.ndarray, "element other"]:
    """Mean of the rows with each answer, of which a group's table has equally many."""
    sums = np.zeros((task.size, values.shape[1]))
    np.add.at(sums, task.answers, values)
    return sums / (len(values) / task.size)


@dataclass(frozen=True, eq=False)
class ProductAblation:
    """Losses with parts of the logits that are functions of ab alone, and without them.

    Attributes
    ----------
    restricted, excluded
        Of each part alone, over all rows; without it, over the rows trained on where they are known.
    total_restricted, total_excluded
        Of the key features' parts together.
    """

    restricted: Float[np.ndarray, " feature"]
    excluded: Float[np.ndarray, " feature"]
    total_restricted: float
    total_excluded: float


def ablate_products(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    parts: Sequence[Float[np.ndarray, "element class"]],
    key: Bool[np.ndarray, " feature"],
    train: Int[np.ndarray, " chosen"] | None = None,
    kept: Float[np.ndarray, " class"] | float = 0.0,
) -> ProductAblation:
    """Take a part for each feature out of the logits, or everything else but ``kept``.

    What is a function of ab is the same at all pairs with that product, so the losses of a part alone
    are over one row for each element.
    """
    rows = np.arange(len(logits)) if train is None else train
    seen, asked = logits[rows], task.answers[rows]
    products = np.arange(task.size)
    total = sum(
        (part for part, is_key in zip(parts, key, strict=True) if is_key), np.zeros_like(parts[0])
    )
    return ProductAblation(
        restricted=np.array([mean_cross_entropy(part + kept, products) for part in parts]),
        excluded=np.array([mean_cross_entropy(seen - part[asked], asked) for part in parts]),
        total_restricted=mean_cross_entropy(total + kept, products),
        total_excluded=mean_cross_entropy(seen - total[asked], asked),
    )
