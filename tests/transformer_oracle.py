"""Transformers held against the textbook's full sequence and autograd, in float64."""

import pytest
import torch
from textbook_networks import TextbookTransformer, gradients_of, some_rows
from torch import Tensor
from torch.nn.functional import cross_entropy

from marginlens.networks import (
    Evaluation,
    Rows,
    Transformer,
    TransformerEvaluator,
    TransformerSettings,
)
from marginlens.tasks import Task

SMALL = TransformerSettings(width=8, heads=2, hidden=12)


def network(
    of: Task, settings: TransformerSettings = SMALL, members: int = 3, moved: float = 0.5
) -> Transformer:
    """Initial weights, moved so that the biases are not zero and attention is not uniform.

    Several layers take small moves: large weights multiply, and round-off of the largest intermediate
    values would be all that a comparison sees.
    """
    start = Transformer.initial(of, settings, members=members, dtype=torch.float64)
    generator = torch.Generator().manual_seed(9)
    parameters = {
        name: p + moved * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in start.tensors.items()
    }
    return Transformer(parameters, settings)


def evaluated(
    of: Task,
    net: Transformer,
    rows: Rows | None = None,
    memory: int | None = None,
    *,
    kind: type = TransformerEvaluator,
) -> tuple[Evaluation, dict[str, Tensor]]:
    """What the population gives; old values of the gradients must not matter."""
    gradients = {name: torch.full_like(p, 7.0) for name, p in net.tensors.items()}
    population = kind(of, net, rows=rows, memory=memory)
    return population(net.tensors, gradients), gradients


def textbook(
    of: Task, net: Transformer, member: int, rows: Rows | None = None
) -> tuple[float, float, float, dict[str, Tensor]]:
    """Weighted loss and accuracy, margin and gradients by the full sequence and autograd."""
    rows = some_rows(of, 1.0) if rows is None else rows
    model = TextbookTransformer(net, member)
    inputs = rows.inputs
    if net.settings.sequence == "ab=":
        inputs = torch.nn.functional.pad(inputs, (0, 1), value=of.size)
    logits = model(inputs)[:, -1]
    losses = cross_entropy(logits, rows.answers, reduction="none")
    weights = torch.full_like(losses, 1 / len(losses)) if rows.weights is None else rows.weights
    (loss := (losses * weights).sum()).backward()
    right = logits.gather(1, rows.answers[:, None])[:, 0]
    wrong = logits.scatter(1, rows.answers[:, None], -torch.inf).amax(1)
    accuracy = ((right > wrong) * weights).sum().item()
    return loss.item(), accuracy, (right - wrong).min().item(), gradients_of(model)


def assert_textbook(of: Task, net: Transformer, **options) -> None:
    result, gradients = evaluated(of, net, **options)
    for member in range(net.members):
        loss, accuracy, margin, expected = textbook(of, net, member, options.get("rows"))
        assert result.cross_entropy[member].item() == pytest.approx(loss, rel=1e-13)
        assert result.accuracy[member].item() == pytest.approx(accuracy, rel=1e-13)
        assert result.margin[member].item() == pytest.approx(margin, rel=1e-12, abs=1e-13)
        assert set(expected) == set(gradients)
        for name, gradient in expected.items():
            torch.testing.assert_close(
                gradients[name][member], gradient, rtol=1e-11, atol=1e-13, msg=name
            )


def weighted(of: Task, share: float = 0.6) -> Rows:
    rows = some_rows(of, share)
    weights = torch.rand(
        len(rows.answers), generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )
    return Rows(inputs=rows.inputs, answers=rows.answers, weights=weights / weights.sum())
