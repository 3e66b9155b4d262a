"""Cross-entropy from differences of logits, with its gradient."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["add_cross_entropy_", "cross_entropy_"]


def cross_entropy_(
    logits: Float[Tensor, "member class row"],
    answers: Int[Tensor, "member 1 row"],
    weights: float | Float[Tensor, " row"],
) -> tuple[Float[Tensor, "member 1 row"], Float[Tensor, "member 1 row"]]:
    """Losses and margins of rows; ``logits`` are overwritten by the gradient of the weighted sum.

    The loss of a row with right class c is z + log1p(sum_{j != c} exp(l_j - l_c - z) + expm1(-z)),
    with z the largest of 0 and the l_j - l_c, and the gradient of l_c is minus the sum of the others'.
    Both keep their relative accuracy when the margin is large, where the usual log-softmax loses all
    digits in float32.

    Parameters
    ----------
    logits
        Overwritten.
    answers
        The right class of each row.
    weights
        Of each row in the sum whose gradient is left in ``logits``; for a mean, one over their number.

    Returns
    -------
    losses, margins
        Of each row, without its weight; the margin is l_c - max_{j != c} l_j.

    Examples
    --------
    >>> logits = torch.tensor([[[20.0], [0.0]]])
    >>> losses, margins = cross_entropy_(logits, torch.tensor([[[0]]]), 1.0)
    >>> f"{losses.item():.4e}", margins.item(), f"{logits[0, 0, 0].item():.4e}"
    ('2.0612e-09', 20.0, '-2.0612e-09')
    """
    right = logits.gather(1, answers)
    logits.scatter_(1, answers, -math.inf)
    largest = logits.amax(1, keepdim=True)
    top = torch.maximum(largest, right)
    shift = top - right
    # exp is many times slower where its value is zero or denormal: it ends just above
    logits.sub_(top).clamp_min_(math.log(torch.finfo(logits.dtype).tiny) + 0.5).exp_()
    wrong = logits.scatter_(1, answers, 0.0).sum(1, keepdim=True)
    excess = wrong + torch.expm1(-shift)
    losses = shift + torch.log1p(excess)
    scale = weights / excess.add_(1)
    logits.mul_(scale).scatter_(1, answers, -wrong * scale)
    return losses, right - largest


def add_cross_entropy_(
    logits: Float[Tensor, "member class row"],
    answers: Int[Tensor, " row"],
    weights: float | Float[Tensor, " row"],
    results: Float[Tensor, "member 3"],
) -> None:
    """Add rows to ``results``; ``logits`` are overwritten as by :func:`cross_entropy_`.

    To the first two columns the sums of losses and of rows answered rightly are added, weighted where
    each row has a weight; the third becomes the smaller of itself and the least margin.
    """
    losses, gap = cross_entropy_(logits, answers.expand(len(logits), 1, -1), weights)
    correct = gap > 0
    if isinstance(weights, Tensor):
        losses, correct = losses * weights, correct * weights
    results[:, 0] += losses.sum((1, 2), dtype=torch.float64)
    results[:, 1] += correct.sum((1, 2), dtype=torch.float64)
    results[:, 2] = torch.minimum(results[:, 2], gap.amin((1, 2)).double())
