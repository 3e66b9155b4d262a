"""Cross-entropy of a table of logits, with and without parts of the logits."""

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
    """Return the mean cross-entropy over rows, accurate at any margin.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    answers
        Index of the right class of each row, shape (row,).
    rows
        Numbers of the rows in the mean; ``None`` for all rows.

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
    """Return the mean of the rows with each answer, equally many in a group's table.

    Parameters
    ----------
    values
        Values of the rows, shape (row, other).
    task
        Group task of the rows.
    """
    sums = np.zeros((task.size, values.shape[1]))
    np.add.at(sums, task.answers, values)
    return sums / (len(values) / task.size)


@dataclass(frozen=True, eq=False)
class ProductAblation:
    """Losses with only the parts of the logits that are functions of ab, and without them.

    Attributes
    ----------
    restricted, excluded
        Loss of each part alone over all rows, and loss without it over the training rows if known.
    total_restricted, total_excluded
        Losses with only the key features' parts together, and without them.
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
    """Remove the part of each feature from the logits, or everything else but ``kept``.

    A function of ab is constant on the pairs of a product, so the losses of a part alone are over
    one row for each element.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    task
        Group task of the logits.
    parts
        Part of the logits for each feature, shape (element, class).
    key
        Mask of the key features, shape (feature,).
    train
        Numbers of the training rows, if known.
    kept
        Part of the logits that always stays, shape (class,).
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
