"""Cross-entropy of a table of logits."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from marginlens.networks import cross_entropy_

__all__ = ["mean_cross_entropy"]


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
