"""Loss, margin and gradient over a whole table, against autograd, float64 and brute force."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from marginlens.networks import (
    MLP,
    Evaluation,
    MLPEvaluator,
    construct,
    evaluate,
    mlp_evaluator,
    neuron_norms,
)
from marginlens.networks.loss import cross_entropy_ as our_cross_entropy_
from marginlens.tasks import Task, task
from marginlens.theory import parse_activation

TASKS = ("C5", "S3", "Q8", "parity(6,3)")
ACTIVATIONS = (
    "x^2",
    "x^3",
    "x^4",
    "relu",
    "abs",
    "leaky_relu(0.1)",
    "relu^2",
    "relu^1.5",
    "|x|^1.5",
    "|x|^3",
    "x|x|",
    "x|x|^0.5",
)
SLOPES = {"relu": 0.0, "abs": -1.0, "leaky_relu(0.1)": 0.1}


def by_definition(name: str, x: float) -> float:
    """sigma(x), spelled out by name."""
    if name in SLOPES:
        return x if x > 0 else SLOPES[name] * x
    kind, _, degree = name.partition("^")
    if kind == "x|x|":
        return x * abs(x) ** float(degree or 1)
    return {"x": x, "relu": max(x, 0.0), "|x|": abs(x)}[kind] ** float(degree)


EPS32 = torch.finfo(torch.float32).eps


def network(of: Task, activation="x^2", *, members=3, width=7, seed=0, scale=0.7) -> MLP:
    return MLP.initial(
        of,
        parse_activation(activation),
        width=width,
        members=members,
        seed=seed,
        scale=scale,
        dtype=torch.float64,
    )


def with_gradients(of: Task, net: MLP) -> tuple[Evaluation, dict[str, Tensor]]:
    # what is there before must not matter
    gradients = {name: torch.full_like(p, 1e3) for name, p in net.tensors.items()}
    return MLPEvaluator(of, net)(net.tensors, gradients), gradients


def by_autograd(of: Task, net: MLP) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of each member by cross_entropy on the logits of the whole table."""
    leaves = {name: p.clone().requires_grad_() for name, p in net.tensors.items()}
    answers = torch.tensor(of.answers)
    logits = functional_call(net, leaves, of.inputs)
    losses = torch.stack([nn.functional.cross_entropy(f, answers) for f in logits])
    losses.sum().backward()
    return losses.detach(), {name: p.grad for name, p in leaves.items()}


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Greatest error of each member, relative to the member's greatest entry; the worst member's."""
    assert actual.shape == expected.shape
    actual, expected = (t.double().reshape(len(t), -1) for t in (actual, expected))
    return float(((actual - expected).abs().amax(1) / expected.abs().amax(1)).max())


def brute_force_logits(of: Task, net: MLP) -> np.ndarray:
    """Logits (member, row, class), neuron by neuron as the definition says."""
    logits = np.zeros((net.members, len(of.answers), of.classes))
    for member in range(net.members):
        weights = {name: p[member].double().numpy() for name, p in net.tensors.items()}
        for row, inputs in enumerate(of.inputs):
            for i in range(net.width):
                if of.kind == "parity":
                    before = sum(x * weights["u"][j, i] for j, x in enumerate(inputs))
                else:
                    before = weights["u"][inputs[0], i] + weights["v"][inputs[1], i]
                hidden = by_definition(net.activation.name, before)
                logits[member, row] += hidden * weights["w"][:, i]
    return logits


def brute_force_margins(of: Task, net: MLP) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and margin of each member, row by row and class by class."""
    accuracy, margin = np.zeros(net.members), np.full(net.members, math.inf)
    for member, f in enumerate(brute_force_logits(of, net)):
        for row, answer in enumerate(of.answers):
            gaps = [f[row, answer] - f[row, c] for c in range(of.classes) if c != answer]
            accuracy[member] += all(gap > 0 for gap in gaps) / len(of.answers)
            margin[member] = min(margin[member], *gaps)
    return accuracy, margin


def cross_entropy_(logits: Tensor, answers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Ours, which has rows last, on logits (member, row, class)."""
    losses, gap = our_cross_entropy_(logits.mT, answers.mT, 1 / count)
    return losses.mT, gap.mT


def exact_cross_entropy(logits: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """Losses and their gradient in float64, from differences of logits: accurate at any margin."""
    f = logits.double()
    gaps = (f - f.gather(-1, answers)).scatter(-1, answers, -math.inf)
    wrong = torch.logsumexp(gaps, -1, keepdim=True)
    losses = torch.logaddexp(torch.zeros_like(wrong), wrong)
    gradient = (gaps - losses).exp()
    return losses, gradient.scatter(-1, answers, -(wrong - losses).exp())


def exact(of: Task, net: MLP) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss and gradients of the network with these very parameters, accurate at any margin."""
    leaves = {name: p.double().requires_grad_() for name, p in net.tensors.items()}
    logits = functional_call(net, leaves, of.inputs)
    answers = torch.tensor(of.answers)[None, :, None].expand(net.members, -1, -1)
    losses, gradient = exact_cross_entropy(logits.detach(), answers)
    logits.backward(gradient / len(of.answers))
    return losses.mean((1, 2)), {name: p.grad for name, p in leaves.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
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


@pytest.mark.parametrize("activation", ["x^1", "x^16"])
def test_loss_and_gradient_are_those_of_autograd_at_the_extreme_powers(activation):
    of = task("C5")
    net = network(of, activation, scale=0.4)
    result, gradients = with_gradients(of, net)
    losses, expected = by_autograd(of, net)
    assert relative_error(result.cross_entropy, losses) < 1e-12
    for slot, gradient in gradients.items():
        assert relative_error(gradient, expected[slot]) < 1e-12


def test_the_comparison_with_autograd_notices_one_wrong_entry_of_one_member():
    of = task("S3")
    net = network(of)
    _, gradients = with_gradients(of, net)
    damaged = gradients["w"].clone()
    damaged[2, 0, 0] *= 1 + 1e-9
    damaged[2, 0, 0] += 1e-9 * damaged[2].abs().max()
    assert relative_error(damaged, by_autograd(of, net)[1]["w"]) > 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", TASKS)
def test_gradient_is_the_slope_of_the_loss(name, activation):
    of = task(name)
    net = network(of, activation, members=2, width=4)
    losses = MLPEvaluator(of, net)
    _, gradients = with_gradients(of, net)
    draw = np.random.default_rng(1)
    step = 1e-4
    for slot, gradient in gradients.items():
        for _ in range(3):
            member, row, neuron = (int(draw.integers(size)) for size in gradient.shape)
            around = {}
            for shift in (-2, -1, 1, 2):
                moved = {key: p.clone() for key, p in net.tensors.items()}
                moved[slot][member, row, neuron] += shift * step
                around[shift] = losses(moved).cross_entropy
            near, far = around[1] - around[-1], around[2] - around[-2]
            slope = (8 * near - far) / (12 * step)
            assert slope[member].item() == pytest.approx(
                gradient[member, row, neuron].item(), rel=1e-9, abs=1e-9
            )
            assert slope[1 - member] == 0  # members do not mix


@pytest.mark.parametrize("activation", ["relu", "abs", "leaky_relu(0.1)", "|x|^1.5"])
def test_a_kink_has_no_slope_at_zero(activation):
    of = task("C5")
    net = network(of, activation, members=1)
    net.tensors["v"][0] = -net.tensors["u"][0, 0]  # row (0, b) is at 0 in every neuron
    _, gradients = with_gradients(of, net)
    assert (gradients["u"][0, 0] == 0).all()
    assert (gradients["u"][0, 1] != 0).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["S3", "parity(6,3)"])
def test_logits_are_the_definition(name, activation):
    of = task(name)
    net = network(of, activation, members=2)
    expected = torch.from_numpy(brute_force_logits(of, net))
    assert relative_error(net.logits(of), expected) < 1e-13


def test_evaluation_without_gradients_is_the_same():
    of = task("S3")
    net = network(of)
    alone, (along, _) = evaluate(net, of), with_gradients(of, net)
    for field in ("cross_entropy", "accuracy", "margin"):
        assert torch.equal(getattr(alone, field), getattr(along, field))


def test_evaluation_leaves_the_parameters_alone():
    of = task("S3")
    net = network(of)
    before = {slot: p.clone() for slot, p in net.tensors.items()}
    with_gradients(of, net)
    for slot, p in net.tensors.items():
        assert torch.equal(p, before[slot])


# 5 members of 7 neurons; a unit is the 6 rows of one a on S3, or one of 64 rows of parity(6,3)
@pytest.mark.parametrize("activation", ["x^2", "x^3", "relu", "leaky_relu(0.1)", "|x|^1.5"])
@pytest.mark.parametrize(
    ("name", "block", "groups", "units"),
    [
        ("S3", 1, 1, 1),
        ("S3", 2 * 42, 2, 1),
        ("S3", 4 * 42, 4, 1),
        ("S3", 5 * 42, 5, 1),
        ("S3", 5 * 4 * 42, 5, 4),
        ("parity(6,3)", 1, 1, 1),
        ("parity(6,3)", 3 * 7, 3, 1),
        ("parity(6,3)", 5 * 9 * 7, 5, 9),
        ("parity(6,3)", 5 * 63 * 7, 5, 63),
    ],
)
def test_blocks_change_nothing(monkeypatch, name, block, groups, units, activation):
    of = task(name)
    net = network(of, activation, members=5)
    whole, expected = with_gradients(of, net)
    monkeypatch.setattr(mlp_evaluator, "MEMORY", 16 * block)  # two buffers of float64
    split = MLPEvaluator(of, net)
    assert (split.group, split.block) == (groups, units)
    result, gradients = with_gradients(of, net)
    assert relative_error(result.cross_entropy, whole.cross_entropy) < 1e-14
    assert torch.equal(result.accuracy, whole.accuracy)
    assert relative_error(result.margin, whole.margin) < 1e-13
    for slot, gradient in gradients.items():
        assert relative_error(gradient, expected[slot]) < 1e-13


def test_without_a_change_of_size_the_tables_here_are_one_block():
    for name in TASKS:
        net = network(task(name), members=5)
        whole = MLPEvaluator(task(name), net)
        assert (whole.group, whole.block) == (5, whole.inputs.units)


@pytest.mark.parametrize("name", ["C5", "S3", "parity(6,3)"])
@pytest.mark.parametrize("margin", [5, 10, 20, 30, 45, 60])
def test_loss_and_gradient_keep_their_digits_at_a_large_margin_in_float32(name, margin):
    of = task(name)
    best = construct(of)
    # a little off the maximum, where the gradient is not a mere multiple of the weights
    size = (margin / evaluate(best, of).margin.item()) ** (1 / best.homogeneity)
    noise = network(of, best.activation.name, members=1, width=best.width, scale=1e-3)
    net = MLP(
        {s: ((p + noise.tensors[s]) * size).float() for s, p in best.tensors.items()},
        best.activation,
    )
    result, gradients = with_gradients(of, net)
    losses, expected = exact(of, net)
    # a logit is a sum of neurons, each rounded a few times; its error is the loss's relative error
    rounding = 4 * EPS32 * float(logit_sizes(of, net).max())
    assert rounding < 1e-3
    assert relative_error(result.cross_entropy, losses) < rounding
    for slot, gradient in gradients.items():
        assert relative_error(gradient, expected[slot]) < 2 * rounding

    usual, usual_gradients = by_autograd(of, net)
    if margin >= 20:  # the loss is less than an epsilon: log_softmax has no digit of it
        assert relative_error(usual, losses) > 0.5
        # nor of the right answer's part of the gradient, which is half of it for two classes
        assert any(relative_error(usual_gradients[s], g) > 0.4 for s, g in expected.items())


def logit_sizes(of: Task, net: MLP) -> Tensor:
    """Sum over neurons of the absolute values that make up each logit."""
    sizes = {slot: p.double().abs() for slot, p in net.tensors.items()}
    if of.kind == "table":
        return MLP(sizes, net.activation).logits(of)
    hidden = torch.as_tensor(np.abs(of.inputs)) @ sizes["u"]
    return hidden**net.activation.degree @ sizes["w"].mT


@pytest.mark.parametrize("classes", [2, 5, 60])
@pytest.mark.parametrize("margin", [-1000.0, -60.0, -5.0, 0.0, 1e-3, 5.0, 17.0, 40.0, 60.0])
def test_cross_entropy_of_any_margin_is_accurate_in_float32(margin, classes):
    rows = 200
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, rows, classes, generator=generator)
    answers = torch.randint(classes, (2, rows, 1), generator=generator)
    wrong = logits.scatter(-1, answers, -math.inf).amax(-1, keepdim=True)
    logits.scatter_(-1, answers, wrong + margin)
    losses, expected = exact_cross_entropy(logits, answers)
    gradient = logits.clone()
    actual, gap = cross_entropy_(gradient, answers, rows)
    # differences of logits are off by an epsilon of their size, exponentials by as much relatively
    allowed = EPS32 * (abs(margin) + 20)
    assert float((actual / losses - 1).abs().max()) < allowed
    largest = expected.abs().amax(-1, keepdim=True) / rows
    assert float(((gradient - expected / rows).abs() / largest).max()) < allowed
    assert gap.flatten().numpy() == pytest.approx(margin, abs=EPS32 * (abs(margin) + 4))
    if 17 <= margin <= 60:
        usual = nn.functional.cross_entropy(logits.mT, answers[..., 0], reduction="none")
        assert float((usual[..., None] / losses - 1).abs().max()) > 0.1


def test_gradient_of_each_row_sums_to_zero_although_its_entries_are_tiny():
    logits = torch.tensor([[[50.0, 1.0, 2.0], [0.0, 45.0, -3.0]]])
    cross_entropy_(logits, torch.tensor([[[0], [1]]]), 1)
    assert (logits.abs().amax(-1) > 0).all()
    assert (logits.sum(-1).abs() <= EPS32 * logits.abs().amax(-1)).all()


@pytest.mark.parametrize("size", [1e4, 1e20, 1e38])
@pytest.mark.parametrize("answer", [0, 1, 2])
def test_huge_logits_do_not_overflow(size, answer):
    logits = torch.tensor([[[size, 0.0, -size]]])
    gradient = logits.clone()
    losses, gap = cross_entropy_(gradient, torch.tensor([[[answer]]]), 1)
    expected = [0.0, size, 2 * size][answer]
    assert losses.item() == pytest.approx(expected, rel=EPS32)
    assert gap.item() == pytest.approx([size, -size, -2 * size][answer], rel=EPS32)
    right = [[0, 0, 0], [1, -1, 0], [1, 0, -1]][answer]
    # what is below exp(-86.8), where float32 ends, stays there
    assert gradient.flatten().tolist() == pytest.approx(right, abs=1e-37)


def test_a_network_of_huge_wrong_logits_has_a_finite_loss_and_gradient():
    of = task("C5")
    net = network(of, "x^2", members=1, scale=1e4).to(torch.float32)
    result, gradients = with_gradients(of, net)
    losses, expected = exact(of, net)
    assert result.cross_entropy.item() > 1e10
    assert result.margin.item() < -1e10
    assert relative_error(result.cross_entropy, losses) < 1e-5
    for slot, gradient in gradients.items():
        assert relative_error(gradient, expected[slot]) < 1e-5


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_network_ties_everywhere_and_is_never_right(name, dtype):
    of = task(name)
    net = network(of).to(dtype)
    net.tensors["w"].zero_()
    result = evaluate(net, of)
    assert result.accuracy.tolist() == [0, 0, 0]
    assert result.margin.tolist() == [0, 0, 0]
    assert result.cross_entropy.tolist() == pytest.approx([math.log(of.classes)] * 3, rel=EPS32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", TASKS)
def test_accuracy_and_margin_are_brute_force_and_ties_are_wrong(name, activation):
    of = task(name)
    draws = network(of, activation, members=4, width=3)
    # small integers: exact in any order of summation, with many ties
    net = MLP({s: p.round().clamp(-2, 2) for s, p in draws.tensors.items()}, draws.activation)
    accuracy, margin = brute_force_margins(of, net)
    result = evaluate(net, of)
    assert result.accuracy.tolist() == pytest.approx(accuracy.tolist(), rel=1e-14)
    assert result.margin.tolist() == margin.tolist()

    logits = brute_force_logits(of, net)
    right = np.take_along_axis(logits, of.answers[None, :, None], 2)
    ties = (right == logits).sum(2) > 1
    assert (ties & (right[..., 0] == logits.max(2))).any()


def test_one_tied_row_is_one_wrong_row():
    # hidden activations of rows (0,0), (0,1), (1,0), (1,1): 0, 1, 1, 2 and 0, 0, 0, 1
    u, v, w = [[0, -1], [1, 0]], [[0, 0], [1, 1]], [[0, 3], [1, 0]]
    weights = {
        s: torch.tensor([p], dtype=torch.float64) for s, p in zip("uvw", (u, v, w), strict=True)
    }
    result = evaluate(MLP(weights, parse_activation("relu")), task("C2"))
    assert result.accuracy.tolist() == [0.75]
    assert result.margin.tolist() == [0]


@pytest.mark.parametrize("name", ["S3", "parity(6,3)"])
def test_random_networks_have_the_brute_force_margin(name):
    of = task(name)
    net = network(of, members=4)
    accuracy, margin = brute_force_margins(of, net)
    result = evaluate(net, of)
    assert result.accuracy.tolist() == pytest.approx(accuracy.tolist(), rel=1e-14)
    assert result.margin.tolist() == pytest.approx(margin.tolist(), rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["S3", "parity(6,3)"])
def test_norms_are_brute_force(name, activation):
    of = task(name)
    net = network(of, activation)
    power = math.log2(by_definition(activation, 2.0)) + 1
    norms, total = neuron_norms(net.tensors), net.norm()
    assert norms.shape == (3, 7)
    assert total.shape == (3,)
    for member in range(3):
        lengths = []
        for i in range(7):
            weights = [float(x) for p in net.tensors.values() for x in p[member, :, i]]
            lengths.append(math.sqrt(math.fsum(x * x for x in weights)))
        assert norms[member].tolist() == pytest.approx(lengths, rel=1e-14)
        assert total[member].item() == pytest.approx(sum(x**power for x in lengths), rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["S3", "parity(6,3)"])
def test_a_member_starts_the_same_whatever_the_size_of_its_ensemble(name, dtype):
    of = task(name)
    activation = parse_activation("x^2")
    many = MLP.initial(of, activation, width=7, members=4, seed=10, dtype=dtype)
    for i in range(4):
        alone = MLP.initial(of, activation, width=7, seed=10 + i, dtype=dtype)
        assert alone.members == 1
        for slot, p in alone.tensors.items():
            assert torch.equal(p, many.member(i).tensors[slot])
    first, second = many.member(0), many.member(1)
    assert not torch.equal(first.tensors["u"], second.tensors["u"])


def test_single_precision_starts_from_the_rounded_double():
    of = task("S3")
    activation = parse_activation("x^2")
    single = MLP.initial(of, activation, width=50, members=2, seed=3)
    double = MLP.initial(of, activation, width=50, members=2, seed=3, dtype=torch.float64)
    for slot, p in single.tensors.items():
        assert p.dtype == torch.float32
        assert torch.equal(p, double.tensors[slot].float())
        assert torch.equal(p, double.copy().to(torch.float32).tensors[slot])


@pytest.mark.parametrize("scale", [None, 0.1])
def test_initial_weights_have_the_standard_deviation_asked_for(scale):
    of = task("S4")
    net = MLP.initial(of, parse_activation("x^2"), width=2000, scale=scale)
    for p in net.tensors.values():
        count = p.numel()
        deviation = 24**-0.5 if scale is None else scale
        # five standard errors
        assert p.std().item() == pytest.approx(deviation, rel=5 / math.sqrt(2 * count))
        assert p.mean().item() == pytest.approx(0, abs=5 * deviation / math.sqrt(count))
