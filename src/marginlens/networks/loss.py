"""Losses of logits with gradients: accurate cross-entropy, squared, hinge, logistic."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "LOSSES",
    "add_cross_entropy_",
    "cross_entropy_",
    "hinge_",
    "loss_adder",
    "require_classes",
    "squared_",
]

Losses = Float[Tensor, "member 1 row"]
AddLoss = Callable[[Tensor, Tensor, float | Tensor, Tensor], None]
"""Adds rows to results and leaves the gradient in the logits, as :func:`add_cross_entropy_` does."""


def cross_entropy_(
    logits: Float[Tensor, "member class row"],
    answers: Int[Tensor, "member 1 row"],
    weights: float | Float[Tensor, " row"],
) -> tuple[Float[Tensor, "member 1 row"], Float[Tensor, "member 1 row"]]:
    """Return losses and margins of rows; overwrite ``logits`` by the gradient.

    The gradient is that of the weighted sum of losses. The loss of a row with right class c is z +
    log1p(sum_{j != c} exp(l_j - l_c - z) + expm1(-z)), with z the largest of 0 and the l_j - l_c,
    and the gradient of l_c is minus the sum of the others'. Both keep their relative accuracy when
    the margin is large, where the usual log-softmax loses all digits in float32.

    Parameters
    ----------
    logits
        Logits, shape (member, class, row), overwritten by the gradient.
    answers
        Index of the right class of each row.
    weights
        Weight of each row in the sum whose gradient replaces ``logits``; for a mean, one over the
        number of rows.

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

    To the first two columns the sums of losses and of rows answered rightly are added, weighted
    where
    each row has a weight; the third becomes the smaller of itself and the least margin.

    Parameters
    ----------
    logits
        Logits, shape (member, class, row), overwritten by the gradient.
    answers
        Index of the right class of each row.
    weights
        Weight of each row in the sum, or one weight of every row.
    results
        Sums and least margins, shape (member, 3), changed in place.
    """
    losses, gap = cross_entropy_(logits, answers.expand(len(logits), 1, -1), weights)
    correct = gap > 0
    if isinstance(weights, Tensor):
        losses, correct = losses * weights, correct * weights
    results[:, 0] += losses.sum((1, 2), dtype=torch.float64)
    results[:, 1] += correct.sum((1, 2), dtype=torch.float64)
    results[:, 2] = torch.minimum(results[:, 2], gap.amin((1, 2)).double())


def squared_(
    logits: Float[Tensor, "member class row"],
    answers: Int[Tensor, "member 1 row"],
    weights: float | Float[Tensor, " row"],
) -> Losses:
    """Return squared errors of rows; overwrite ``logits`` by the weighted sum's gradient.

    The loss of a row is the mean over classes of (l_j - [j = c])^2, c the right class: with equal
    weights the mean is ``torch.nn.functional.mse_loss`` of the logits and one-hot answers, the
    convention of Gromov 2023 (arXiv 2301.02679).

    Parameters
    ----------
    logits
        Logits, shape (member, class, row), overwritten by the gradient.
    answers
        Index of the right class of each row.
    weights
        Weight of each row in the sum, or one weight of every row.

    Examples
    --------
    >>> logits = torch.tensor([[[0.5], [0.5]]])
    >>> squared_(logits, torch.tensor([[[0]]]), 1.0).item(), logits.flatten().tolist()
    (0.25, [-0.5, 0.5])
    """
    logits.scatter_add_(1, answers, logits.new_full((), -1.0).expand(answers.shape))
    losses = logits.square().mean(1, keepdim=True)
    logits.mul_(weights * (2 / logits.shape[1]))
    return losses


def hinge_(
    logits: Float[Tensor, "member class row"],
    answers: Int[Tensor, "member 1 row"],
    weights: float | Float[Tensor, " row"],
) -> Losses:
    """Return hinge losses of rows; overwrite ``logits`` by the weighted sum's gradient.

    The loss is max(0, 1 - (l_c - max_{j != c} l_j)): with two classes max(0, 1 - y f) of f = l_1 -
    l_0 and y = 1 or -1 (Barak et al. 2022, arXiv 2207.08799), with more that of Crammer & Singer
    2001. Of equal largest wrong logits the first one gets the gradient.

    Parameters
    ----------
    logits
        Logits, shape (member, class, row), overwritten by the gradient.
    answers
        Index of the right class of each row.
    weights
        Weight of each row in the sum, or one weight of every row.

    Examples
    --------
    >>> logits = torch.tensor([[[0.5], [0.0]]])
    >>> hinge_(logits, torch.tensor([[[0]]]), 1.0).item(), logits.flatten().tolist()
    (0.5, [-1.0, 1.0])
    """
    right = logits.gather(1, answers)
    largest, wrong = logits.scatter_(1, answers, -math.inf).max(1, keepdim=True)
    losses = (1 - (right - largest)).clamp_min_(0)
    push = (losses > 0) * torch.as_tensor(weights, dtype=logits.dtype, device=logits.device)
    logits.zero_().scatter_(1, wrong, push).scatter_(1, answers, -push)
    return losses


def _logistic_(logits: Tensor, answers: Tensor, weights: float | Tensor) -> Losses:
    """log(1 + exp(-y f)), f = l_1 - l_0: the cross-entropy of two classes."""
    return cross_entropy_(logits, answers, weights)[0]


LOSSES: dict[str, Callable[[Tensor, Tensor, float | Tensor], Tensor]] = {
    "squared": squared_,
    "hinge": hinge_,
    "logistic": _logistic_,
}
"""What may be minimised besides ``"cross_entropy"``, by name."""


def require_classes(loss: str, classes: int) -> None:
    """Refuse an unknown loss, or one that does not support the number of classes.

    Parameters
    ----------
    loss
        Name of the loss, such as ``"cross_entropy"``.
    classes
        Number of classes of the task.

    Raises
    ------
    ValueError
        The loss is unknown or unsuitable.
    """
    if loss == "margin":
        return  # of networks that are homogeneous, as the recipe says
    if loss != "cross_entropy" and loss not in LOSSES:
        names = ", ".join(("cross_entropy", *LOSSES, "margin"))
        raise ValueError(f"loss is {loss!r}, but must be one of {names}")
    if loss == "logistic" and classes != 2:
        raise ValueError(
            f"the logistic loss is one of 2 classes, and there are {classes}: choose cross_entropy, "
            "which is the same for two, or hinge"
        )


def loss_adder(loss: str) -> AddLoss:
    """Return the function that adds rows to ``results`` and computes a loss's gradient.

    It replaces the logits by the gradient. A loss other than cross-entropy is added to a fourth
    column of ``results``; the first column is always the cross-entropy.

    Parameters
    ----------
    loss
        Name of the loss, such as ``"cross_entropy"``.

    Examples
    --------
    >>> results = torch.tensor([[0.0, 0.0, 9.0, 0.0]], dtype=torch.float64)
    >>> logits, answers = torch.tensor([[[0.5], [0.0]]]), torch.tensor([0])
    >>> loss_adder("hinge")(logits, answers, 1.0, results)
    >>> results
    tensor([[0.4741, 1.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    return add_cross_entropy_ if loss == "cross_entropy" else partial(_add_, LOSSES[loss])


def _add_(
    loss: Callable[[Tensor, Tensor, float | Tensor], Tensor],
    logits: Tensor,
    answers: Tensor,
    weights: float | Tensor,
    results: Float[Tensor, "member 4"],
) -> None:
    add_cross_entropy_(logits.clone(), answers, weights, results[:, :3])
    losses = loss(logits, answers.expand(len(logits), 1, -1), weights)
    if isinstance(weights, Tensor):
        losses = losses * weights
    results[:, 3] += losses.sum((1, 2), dtype=torch.float64)
