"""Sums over k slots: logits, loss, margin and gradient against autograd, loops and each other."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from marginlens.networks import MLP, MLPEvaluator, construct, evaluate, mlp_evaluator
from marginlens.networks.mlp_evaluator import _Table
from marginlens.tasks import Task, task
from marginlens.theory import default_activation, parse_activation

TASKS = ("compose(S3,1)", "compose(S3,3)", "compose(C5,3)", "compose(C3,4)", "compose(C2,6)")


def network(of: Task, activation: str | None = None, *, members=2, width=5, seed=0) -> MLP:
    chosen = default_activation(of) if activation is None else parse_activation(activation)
    return MLP.initial(
        of, chosen, width=width, members=members, seed=seed, scale=0.6, dtype=torch.float64
    )


def with_gradients(of: Task, net: MLP):
    gradients = {name: torch.full_like(p, 1e3) for name, p in net.tensors.items()}
    return MLPEvaluator(of, net)(net.tensors, gradients), gradients


def by_autograd(of: Task, net: MLP) -> tuple[Tensor, dict[str, Tensor]]:
    """One-hot inputs side by side through two matrices, with PyTorch's own cross-entropy."""
    leaves = {name: p.clone().requires_grad_() for name, p in net.tensors.items()}
    hot = torch.cat(
        [torch.eye(of.size, dtype=torch.float64)[of.inputs[:, s]] for s in range(of.factors)], dim=1
    )
    losses = []
    for member in range(net.members):
        first = torch.cat([leaves[slot][member] for slot in of.slots])
        logits = (hot @ first) ** net.activation.degree @ leaves["w"][member].T
        losses.append(nn.functional.cross_entropy(logits, torch.tensor(of.answers)))
    torch.stack(losses).sum().backward()
    return torch.stack(losses).detach(), {name: p.grad for name, p in leaves.items()}


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def loop_logits(of: Task, net: MLP, member: int) -> np.ndarray:
    """Row by row and neuron by neuron, as the definition says."""
    weights = {name: p[member].numpy() for name, p in net.tensors.items()}
    rows = list(itertools.product(range(of.size), repeat=of.factors))
    logits = np.zeros((len(rows), of.classes))
    for i, row in enumerate(rows):
        for neuron in range(net.width):
            inside = sum(
                float(weights[slot][a, neuron]) for slot, a in zip(of.slots, row, strict=True)
            )
            logits[i] += inside**net.activation.degree * weights["w"][:, neuron]
    return logits


@pytest.mark.parametrize("activation", [None, "x^2", "x^3"])
@pytest.mark.parametrize("name", TASKS)
def test_loss_and_gradient_are_those_of_autograd(name, activation):
    of = task(name)
    net = network(of, activation)
    result, gradients = with_gradients(of, net)
    losses, expected = by_autograd(of, net)
    assert relative_error(result.cross_entropy, losses) < 1e-12
    assert gradients.keys() == expected.keys()
    for slot, gradient in gradients.items():
        assert relative_error(gradient, expected[slot]) < 1e-12


@pytest.mark.parametrize("slot", ["u1", "u2", "u3", "w"])
def test_the_comparison_notices_slots_that_are_exchanged_or_off(slot):
    of = task("compose(S3,3)")
    net = network(of)
    _, gradients = with_gradients(of, net)
    _, expected = by_autograd(of, net)
    damaged = gradients[slot].clone()
    damaged[1, 2, 3] += 1e-9 * damaged.abs().max()
    assert relative_error(damaged, expected[slot]) > 1e-12
    other = {"u1": "u2", "u2": "u3", "u3": "u1", "w": "u1"}[slot]
    assert relative_error(gradients[other], expected[slot]) > 1e-3


@pytest.mark.parametrize("name", TASKS)
def test_gradient_is_the_slope_of_the_loss(name):
    of = task(name)
    net = network(of, width=3)
    losses = MLPEvaluator(of, net)
    _, gradients = with_gradients(of, net)
    draw = np.random.default_rng(1)
    step = 1e-4
    for slot, gradient in gradients.items():
        member, row, neuron = (int(draw.integers(size)) for size in gradient.shape)
        around = {}
        for shift in (-2, -1, 1, 2):
            moved = {key: p.clone() for key, p in net.tensors.items()}
            moved[slot][member, row, neuron] += shift * step
            around[shift] = losses(moved).cross_entropy
        slope = (8 * (around[1] - around[-1]) - (around[2] - around[-2])) / (12 * step)
        assert slope[member].item() == pytest.approx(
            gradient[member, row, neuron].item(), rel=1e-8, abs=1e-9
        )
        assert slope[1 - member] == 0


@pytest.mark.parametrize("name", TASKS)
def test_logits_are_the_definition_and_give_the_margin(name):
    of = task(name)
    net = network(of)
    logits = net.logits(of).numpy()
    result = evaluate(net, of)
    for member in range(net.members):
        expected = loop_logits(of, net, member)
        np.testing.assert_allclose(logits[member], expected, rtol=1e-11, atol=1e-12)
        rows = np.arange(len(expected))
        right = expected[rows, of.answers]
        expected[rows, of.answers] = -math.inf
        gaps = right - expected.max(1)
        assert float(result.margin[member]) == pytest.approx(gaps.min(), rel=1e-11)
        assert float(result.accuracy[member]) == pytest.approx((gaps > 0).mean(), abs=1e-15)


@pytest.mark.parametrize("name", ["compose(S3,1)", "compose(S3,3)", "compose(C3,4)"])
def test_blocks_change_nothing(monkeypatch, name):
    of = task(name)
    net = network(of, members=3)
    whole, expected = with_gradients(of, net)
    sizes = set()
    for block in (1, 2 * of.size ** (of.factors - 1) * 5, 7 * of.size ** (of.factors - 1) * 5):
        monkeypatch.setattr(mlp_evaluator, "MEMORY", 16 * block)  # two buffers of float64
        split = MLPEvaluator(of, net)
        sizes.add((split.group, split.block))
        result, gradients = with_gradients(of, net)
        assert relative_error(result.cross_entropy, whole.cross_entropy) < 1e-14
        assert torch.equal(result.accuracy, whole.accuracy)
        assert relative_error(result.margin, whole.margin) < 1e-13
        for slot, gradient in gradients.items():
            assert relative_error(gradient, expected[slot]) < 1e-13
    assert len(sizes) == 3  # the splits were different ones


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_backward_is_the_transpose_of_forward(k):
    """<forward(p), d> = <p, backward(d)> for any p and d: the sums over slots are linear."""
    of = task("C3", inputs=k)
    inputs = _Table(of)
    generator = torch.Generator().manual_seed(k)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    p = {slot: draw(2, 3, 4) for slot in of.slots}
    d = draw(2, len(of.answers), 4)
    out = torch.empty_like(d)
    inputs.forward(p, 0, inputs.units, out)
    gradients = {slot: torch.zeros_like(value) for slot, value in p.items()}
    inputs.backward(d.clone(), 0, inputs.units, gradients)
    one = float((out * d).sum())
    other = float(sum((p[slot] * gradients[slot]).sum() for slot in of.slots))
    assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize(
    "spec", ["compose(C5,3)", "compose(C3,4)", "compose(Q8,3)", "compose(S3,1)"]
)
def test_the_constructed_network_is_evaluated_alike_everywhere(spec):
    of = task(spec)
    net = construct(of)
    logits = net.logits(of)[0]
    right = logits.gather(1, torch.tensor(of.answers)[:, None])
    others = logits.scatter(1, torch.tensor(of.answers)[:, None], -math.inf)
    assert float(evaluate(net, of).margin) == pytest.approx(
        float((right - others.amax(1, keepdim=True)).min()), rel=1e-12
    )


def test_a_network_of_another_task_is_refused_in_one_line():
    net = construct(task("compose(C5,3)"))
    for spec in ("C5", "compose(C7,3)", "compose(C5,4)", "parity(5,3)"):
        with pytest.raises(ValueError, match="weight vectors have lengths") as caught:
            evaluate(net, task(spec))
        assert "\n" not in str(caught.value)
